"""Personalise a virtual card with tools that are not ours."""

from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_public_key

from shared.piv.ids import FACTORY_MANAGEMENT_KEY, FACTORY_PIN, FACTORY_PUK, Slot
from tests.peers.authority import SmallAuthority
from tests.peers.judges.yubico import piv_tool, ykman

PIN: Final = "428713"
PUK: Final = "91827364"
MANAGEMENT_KEY_3DES: Final = "a1b2c3d4e5f60718293a4b5c6d7e8f901122334455667788"
MANAGEMENT_KEY_AES: Final = MANAGEMENT_KEY_3DES + "99aabbccddeeff00"


def personalise_with_yubico_piv_tool(
    reader: str, authority: SmallAuthority, algorithms: dict[Slot, str], folder: Path
) -> dict[Slot, x509.Certificate]:
    """Set all secrets, CHUID and CCC, then a key and certificate in every slot; return the certificates.

    The tool knows management keys of 3DES only (2.2.0); its own requests and self-signed certificates are
    broken with OpenSSL 3, so that only keys are made by it.
    """
    key = f"--key={MANAGEMENT_KEY_3DES}"
    piv_tool(reader, "--action", "set-mgm-key", "--new-key", MANAGEMENT_KEY_3DES)
    piv_tool(reader, "--action", "change-pin", "--pin", FACTORY_PIN.decode(), "--new-pin", PIN)
    piv_tool(reader, "--action", "change-puk", "--pin", FACTORY_PUK.decode(), "--new-pin", PUK)
    piv_tool(reader, key, "--action", "set-chuid")
    piv_tool(reader, key, "--action", "set-ccc")
    certificates = {}
    for slot, algorithm in algorithms.items():
        public, file = folder / f"{slot.name}.pub", folder / f"{slot.name}.pem"
        where = ("--slot", f"{slot.value:02x}")
        piv_tool(
            reader, key, "--action", "generate", *where, "--algorithm", algorithm, "--output", str(public)
        )
        certificates[slot] = _certify(authority, public, slot, file)
        piv_tool(reader, key, "--action", "import-certificate", *where, "--input", str(file))
    return certificates


def personalise_with_ykman(
    reader: str, authority: SmallAuthority, algorithms: dict[Slot, str], folder: Path
) -> dict[Slot, x509.Certificate]:
    """Set all secrets, CHUID and CCC, then a key and certificate in every slot; return the certificates."""
    key = ("--management-key", MANAGEMENT_KEY_AES)
    factory = FACTORY_MANAGEMENT_KEY.hex()
    new_key = (
        "--algorithm",
        "AES256",
        "--management-key",
        factory,
        "--new-management-key",
        MANAGEMENT_KEY_AES,
    )
    ykman(reader, "access", "change-management-key", "--force", *new_key)
    ykman(reader, "access", "change-pin", "--pin", FACTORY_PIN.decode(), "--new-pin", PIN)
    ykman(reader, "access", "change-puk", "--puk", FACTORY_PUK.decode(), "--new-puk", PUK)
    for name in ("CHUID", "CCC"):
        ykman(reader, "objects", "generate", *key, "--pin", PIN, name)
    certificates = {}
    for slot, algorithm in algorithms.items():
        public, file = folder / f"{slot.name}.pub", folder / f"{slot.name}.pem"
        where = f"{slot.value:02x}"
        ykman(reader, "keys", "generate", *key, "--pin", PIN, "--algorithm", algorithm, where, str(public))
        certificates[slot] = _certify(authority, public, slot, file)
        # --verify: ykman signs with the slot and compares
        ykman(reader, "certificates", "import", *key, "--pin", PIN, "--verify", where, str(file))
    return certificates


def _certify(authority: SmallAuthority, public: Path, slot: Slot, file: Path) -> x509.Certificate:
    """Turn the public key that a tool wrote into a certificate for it."""
    key = load_pem_public_key(public.read_bytes())
    assert isinstance(key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey)
    certificate = authority.certify(key, f"Anna Berg {slot.value:02X}")
    file.write_bytes(certificate.public_bytes(Encoding.PEM))
    return certificate
