"""The lab root: it certifies the attestation keys of virtual cards, and nothing else.

Its private key follows from a published text, so it proves nothing to anybody: a server trusts it only where
lab stations are allowed. Certificates look like Yubico's, extension by extension.

Source: Yubico, "PIV attestation" (object identifiers 1.3.6.1.4.1.41482.3.3, 3.7, 3.8 and 3.9).
"""

import hashlib
from datetime import UTC, datetime
from functools import cache
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa, x25519
from cryptography.x509.oid import NameOID

from shared.piv.ids import Algorithm, Slot
from shared.virtual.memory import StoredKey

FIRMWARE: Final = x509.ObjectIdentifier("1.3.6.1.4.1.41482.3.3")
"""Three bytes: major, minor, patch."""
SERIAL: Final = x509.ObjectIdentifier("1.3.6.1.4.1.41482.3.7")
"""A DER INTEGER."""
POLICIES: Final = x509.ObjectIdentifier("1.3.6.1.4.1.41482.3.8")
"""Two bytes: PIN policy, touch policy."""
FORM_FACTOR: Final = x509.ObjectIdentifier("1.3.6.1.4.1.41482.3.9")
"""One byte."""

ATTESTATION_ALGORITHM: Final = Algorithm.P256
"""What the attestation keys of virtual cards are."""

_NOT_BEFORE: Final = datetime(2016, 3, 14, tzinfo=UTC)
_NOT_AFTER: Final = datetime(2052, 4, 17, tzinfo=UTC)
_SEED: Final = b"issuance-kiosk lab attestation root v1"
_SHA256: Final = hashes.SHA256()

PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey | ed25519.Ed25519PublicKey | x25519.X25519PublicKey


@cache
def lab_root() -> x509.Certificate:
    """Return the lab root's certificate, the same in every process."""
    key = _root_key()
    return (
        _builder(_name("Lab PIV Attestation Root"), _name("Lab PIV Attestation Root"), serial=1)
        .public_key(key.public_key())
        .add_extension(x509.BasicConstraints(ca=True, path_length=1), critical=True)
        .sign(key, _SHA256, ecdsa_deterministic=True)
    )


def device_certificate(public: PublicKey, *, version: tuple[int, int, int], serial: bytes) -> bytes:
    """Return the certificate of one card's attestation key, in DER, signed by the lab root.

    `serial` is 16 random bytes.
    """
    return (
        _builder(
            _name("Lab PIV Attestation"),
            lab_root().subject,
            serial=int.from_bytes(serial, "big") >> 1 | 1,
        )
        .public_key(public)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(x509.UnrecognizedExtension(FIRMWARE, bytes(version)), critical=False)
        .sign(_root_key(), _SHA256)
        .public_bytes(serialization.Encoding.DER)
    )


def attestation(
    key: StoredKey,
    slot: Slot,
    *,
    by: StoredKey,
    issuer: x509.Name,
    version: tuple[int, int, int],
    serial: int,
    form_factor: int,
    number: bytes,
) -> bytes:
    """Return the certificate, in DER, by which a card says that it made this key itself.

    `by` is the card's attestation key, `issuer` its certificate's subject, `serial` the card's
    number, `number` 16 random bytes.
    """
    builder = (
        _builder(
            _name(f"YubiKey PIV Attestation {slot.value:x}"),
            issuer,
            serial=int.from_bytes(number, "big") >> 1 | 1,
        )
        .public_key(key.private.public_key())
        .add_extension(x509.UnrecognizedExtension(FIRMWARE, bytes(version)), critical=False)
        .add_extension(x509.UnrecognizedExtension(POLICIES, bytes((key.pin, key.touch))), critical=False)
        .add_extension(x509.UnrecognizedExtension(FORM_FACTOR, bytes((form_factor,))), critical=False)
        .add_extension(x509.UnrecognizedExtension(SERIAL, _integer(serial)), critical=False)
    )
    signer = by.private
    assert not isinstance(signer, x25519.X25519PrivateKey), "the ATTEST command refuses it before"
    algorithm = None if isinstance(signer, ed25519.Ed25519PrivateKey) else _SHA256
    return builder.sign(signer, algorithm).public_bytes(serialization.Encoding.DER)


@cache
def _root_key() -> ec.EllipticCurvePrivateKey:
    """Return the lab root's key; everybody can compute it."""
    return ec.derive_private_key(int.from_bytes(hashlib.sha256(_SEED).digest(), "big") >> 1, ec.SECP256R1())


def _name(common: str) -> x509.Name:
    """Return a name with only a common name."""
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _builder(subject: x509.Name, issuer: x509.Name, *, serial: int) -> x509.CertificateBuilder:
    """Begin a certificate with the validity that all of them share."""
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .serial_number(serial)
        .not_valid_before(_NOT_BEFORE)
        .not_valid_after(_NOT_AFTER)
    )


def _integer(value: int) -> bytes:
    """Return a DER INTEGER that is not negative."""
    body = value.to_bytes(value.bit_length() // 8 + 1, "big")
    return bytes((0x02, len(body))) + body
