"""Certificates made on the spot."""

import hashlib
import ipaddress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

PEM = serialization.Encoding.PEM
DER = serialization.Encoding.DER
SERVER = ExtendedKeyUsageOID.SERVER_AUTH
CLIENT = ExtendedKeyUsageOID.CLIENT_AUTH
DAY = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """A private key with its certificate."""

    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    @property
    def key_pem(self) -> bytes:
        return self.key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())

    @property
    def pem(self) -> bytes:
        return self.certificate.public_bytes(PEM)

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(DER)

    @property
    def fingerprint(self) -> bytes:
        return hashlib.sha256(self.der).digest()


def root(name: str) -> Pair:
    key = ec.generate_private_key(ec.SECP256R1())
    return Pair(key=key, certificate=_build(name, name, key.public_key(), key, None, -DAY, 30 * DAY))


def leaf(
    name: str,
    issuer: Pair,
    usage: x509.ObjectIdentifier,
    *,
    names: tuple[str, ...] = (),
    begins: timedelta = -DAY,
    ends: timedelta = DAY,
) -> Pair:
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = certify(name, key.public_key(), issuer, usage, names=names, begins=begins, ends=ends)
    return Pair(key=key, certificate=certificate)


def certify(
    name: str,
    public_key: ec.EllipticCurvePublicKey,
    issuer: Pair,
    usage: x509.ObjectIdentifier,
    *,
    names: tuple[str, ...] = (),
    begins: timedelta = -DAY,
    ends: timedelta = DAY,
) -> x509.Certificate:
    signer = issuer.certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)[0].value
    return _build(name, str(signer), public_key, issuer.key, usage, begins, ends, names)


def _build(
    name: str,
    issuer: str,
    public_key: ec.EllipticCurvePublicKey,
    signer: ec.EllipticCurvePrivateKey,
    usage: x509.ObjectIdentifier | None,
    begins: timedelta,
    ends: timedelta,
    names: tuple[str, ...] = (),
) -> x509.Certificate:
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
        .issuer_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, issuer)]))
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + begins)
        .not_valid_after(now + ends)
        .add_extension(x509.BasicConstraints(ca=usage is None, path_length=None), critical=True)
    )
    if usage is not None:
        builder = builder.add_extension(x509.ExtendedKeyUsage([usage]), critical=False)
    if names:
        builder = builder.add_extension(
            x509.SubjectAlternativeName([_general(each) for each in names]), critical=False
        )
    return builder.sign(signer, hashes.SHA256())


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
