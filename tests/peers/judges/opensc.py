"""OpenSC: opensc-tool, and pkcs11-tool with OpenSC's PKCS#11 module."""

import re
from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from shared.piv.ids import Slot
from tests.peers.judges.openssl import check_signature, write_public_key
from tests.peers.judges.subject import Subject
from tests.peers.programs import need, need_file, run

OBJECT_IDS: Final = {
    Slot.AUTHENTICATION: "01",
    Slot.SIGNATURE: "02",
    Slot.KEY_MANAGEMENT: "03",
    Slot.CARD_AUTHENTICATION: "04",
    Slot.RETIRED_1: "05",
}
"""How OpenSC numbers the keys of a PIV card. Source: OpenSC, pkcs15-piv.c."""

_NO_RANDOM: Final = "C_GenerateRandom failed: CKR_FUNCTION_NOT_SUPPORTED"


def module() -> Path:
    """Return OpenSC's PKCS#11 module."""
    return need_file("*/opensc-pkcs11.so", "opensc-pkcs11")


def pkcs11_tool(subject: Subject, *words: str | Path) -> str:
    """Run pkcs11-tool on the subject's reader, logged in."""
    tool: list[str | Path] = [
        need("pkcs11-tool", "opensc"),
        "--module",
        module(),
        "--slot-description",
        subject.reader,
    ]
    return run([*tool, "--login", "--pin", subject.pin, *words])


def judge_with_opensc(subject: Subject) -> None:
    """Recognise the card, run OpenSC's own test, and use the key of every slot that OpenSC offers."""
    name = run([need("opensc-tool", "opensc"), "--reader", subject.reader, "--name"])
    assert "Personal Identity Verification Card" in name
    _self_test(subject)
    for slot, certificate in subject.certificates.items():
        if slot not in OBJECT_IDS:
            continue
        _same_certificate(subject, slot)
        if slot is Slot.KEY_MANAGEMENT or slot.retired:
            if isinstance(certificate.public_key(), ec.EllipticCurvePublicKey):
                _agree(subject, slot)
        else:
            _sign(subject, slot)


def certificates_with_opensc(reader: str) -> int:
    """Return how many certificates pkcs15-tool finds on the card."""
    said = run([need("pkcs15-tool", "opensc"), "--reader", reader, "--list-certificates"])
    return len(re.findall(r"^X\.509 Certificate \[", said, re.MULTILINE))


def change_pin_with_opensc(subject: Subject, new_pin: str) -> None:
    """Change the PIN as a holder would with OpenSC."""
    said = pkcs11_tool(subject, "--change-pin", "--new-pin", new_pin)
    assert "PIN successfully changed" in said


def _self_test(subject: Subject) -> None:
    """Run `pkcs11-tool --test`; only one complaint is known to be OpenSC's own.

    Its random numbers are challenges for a 3DES management key; a card with an AES one has none to give.
    """
    said = pkcs11_tool(subject, "--test")
    errors = re.search(r"^(\d+|No) errors$", said, re.MULTILINE)
    assert errors is not None, said
    expected = "1" if _NO_RANDOM in said else "No"
    assert errors[1] == expected, said


def _same_certificate(subject: Subject, slot: Slot) -> None:
    """Read the certificate through OpenSC."""
    path = subject.folder / f"opensc-{slot.name}.der"
    pkcs11_tool(subject, "--read-object", "--type", "cert", "--id", OBJECT_IDS[slot], "--output-file", path)
    assert path.read_bytes() == subject.certificates[slot].public_bytes(Encoding.DER), slot


def _sign(subject: Subject, slot: Slot) -> None:
    """Sign with the slot's key; the certificate's key must verify it."""
    certificate = subject.certificates[slot]
    message, signature = subject.folder / "message", subject.folder / f"opensc-{slot.name}.sig"
    message.write_bytes(b"signed by the card, asked by OpenSC, verified by openssl\n" * 3)
    rsa_key = isinstance(certificate.public_key(), rsa.RSAPublicKey)
    mechanism = "SHA256-RSA-PKCS" if rsa_key else "ECDSA-SHA256"
    pkcs11_tool(
        subject,
        *("--sign", "--mechanism", mechanism, "--signature-format", "openssl", "--id", OBJECT_IDS[slot]),
        *("--input-file", message, "--output-file", signature),
    )
    check_signature(write_public_key(certificate, subject.folder / "key.pem"), message, signature)


def _agree(subject: Subject, slot: Slot) -> None:
    """Agree on a secret with the slot's key, once on the card and once here."""
    public = subject.certificates[slot].public_key()
    assert isinstance(public, ec.EllipticCurvePublicKey)
    ours = ec.generate_private_key(public.curve)
    peer, secret = subject.folder / "peer.der", subject.folder / "secret"
    peer.write_bytes(ours.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo))
    pkcs11_tool(
        subject,
        *("--derive", "--mechanism", "ECDH1-DERIVE", "--id", OBJECT_IDS[slot]),
        *("--input-file", peer, "--output-file", secret),
    )
    assert secret.read_bytes() == ours.exchange(ec.ECDH(), public)
