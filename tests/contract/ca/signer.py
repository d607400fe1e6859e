"""The certificate authority inside a double: it signs for real, checks possession and keeps a book.

What products do in their own words (which status, which body) is for their doubles.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from cryptography.x509.oid import ExtendedKeyUsageOID

DAY: Final = timedelta(days=1)


class Malformed(Exception):  # doubles name it in their own words
    """A request that cannot be read, or that its key did not sign."""


@dataclass
class Entry:
    """One certificate in the book."""

    certificate: x509.Certificate
    tag: str = ""
    """By what the product finds it besides its serial: user name, seat, order."""
    profile: str = ""
    revoked: bool = False
    reason: str = ""

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(Encoding.DER)

    @property
    def pem(self) -> str:
        return self.certificate.public_bytes(Encoding.PEM).decode()

    @property
    def serial(self) -> int:
        return self.certificate.serial_number

    @property
    def public_key(self) -> bytes:
        return self.certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


@dataclass
class Pair:
    """A certificate with its key."""

    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def pem(self) -> str:
        return self.certificate.public_bytes(Encoding.PEM).decode()

    @property
    def der(self) -> bytes:
        return self.certificate.public_bytes(Encoding.DER)

    @property
    def key_pem(self) -> str:
        return self.key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()


def make(
    subject: str,
    issuer: Pair | None = None,
    *,
    ca: bool = False,
    names: Sequence[x509.GeneralName] = (),
    purpose: x509.ObjectIdentifier | None = None,
    days: int = 3650,
) -> Pair:
    """Make a certificate with a new key, signed by `issuer` or by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name.from_rfc4514_string(subject)
    now = datetime.now(UTC).replace(microsecond=0)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(issuer.certificate.subject if issuer else name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - DAY)
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    if issuer is not None:
        authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.key.public_key())
        builder = builder.add_extension(authority, critical=False)
    if ca:
        usage = key_usage(key_cert_sign=True, crl_sign=True)
        builder = builder.add_extension(usage, critical=True)
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    if purpose is not None:
        builder = builder.add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
    if purpose is not None and not ca:
        builder = builder.add_extension(key_usage(digital_signature=True), critical=True)
    return Pair(builder.sign(issuer.key if issuer else key, hashes.SHA256()), key)


def key_usage(**named: bool) -> x509.KeyUsage:
    """Return a key usage with just the named bits."""
    bits = {
        "digital_signature": False,
        "content_commitment": False,
        "key_encipherment": False,
        "data_encipherment": False,
        "key_agreement": False,
        "key_cert_sign": False,
        "crl_sign": False,
        "encipher_only": False,
        "decipher_only": False,
    }
    return x509.KeyUsage(**{**bits, **named})


@dataclass
class Signer:
    """A root, an issuing certificate below it, and a book of what was signed."""

    root: Pair = field(default_factory=lambda: make("CN=Double Root,O=Elsewhere", ca=True))
    book: list[Entry] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.issuing = make("CN=Double Issuing CA,O=Elsewhere", self.root, ca=True)

    @property
    def chain_pem(self) -> str:
        return self.issuing.pem + self.root.pem

    @property
    def chain_der(self) -> tuple[bytes, bytes]:
        return self.issuing.der, self.root.der

    def read(self, request: bytes) -> x509.CertificateSigningRequest:
        """Read a PKCS#10 request (DER or PEM) and check the proof of possession."""
        try:
            pem = request.lstrip().startswith(b"-----BEGIN")
            parsed = x509.load_pem_x509_csr(request) if pem else x509.load_der_x509_csr(request)
            good = parsed.is_signature_valid
        except (ValueError, UnsupportedAlgorithm) as cause:
            raise Malformed from cause
        if not good or not isinstance(parsed.public_key(), ec.EllipticCurvePublicKey | rsa.RSAPublicKey):
            raise Malformed
        return parsed

    def sign(
        self,
        request: x509.CertificateSigningRequest,
        *,
        tag: str = "",
        profile: str = "",
        subject: x509.Name | None = None,
        names: Sequence[x509.GeneralName] | None = None,
        extensions: Sequence[x509.ExtensionType] = (),
        lasts: timedelta = 365 * DAY,
        until: datetime | None = None,
    ) -> Entry:
        """Sign; subject and names come from the request where they are not given otherwise."""
        now = datetime.now(UTC).replace(microsecond=0)
        if names is None:
            names = requested_names(request)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject if subject is not None else request.subject)
            .issuer_name(self.issuing.certificate.subject)
            .public_key(request.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(minutes=5))
            .not_valid_after(until or now + lasts)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(key_usage(digital_signature=True), critical=True)
            .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self.issuing.key.public_key()),
                critical=False,
            )
        )
        if names:
            builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
        for each in extensions:
            builder = builder.add_extension(each, critical=False)
        entry = Entry(builder.sign(self.issuing.key, hashes.SHA256()), tag=tag, profile=profile)
        self.book.append(entry)
        return entry

    def by_serial(self, serial: int) -> Entry | None:
        return next((each for each in self.book if each.serial == serial), None)

    def by_tag(self, tag: str) -> list[Entry]:
        return [each for each in self.book if each.tag == tag]


def requested_names(request: x509.CertificateSigningRequest) -> Sequence[x509.GeneralName]:
    """Return the alternative names that a request asks for."""
    for extension in request.extensions:
        if isinstance(extension.value, x509.SubjectAlternativeName):
            return list(extension.value)
    return []


def other_extensions(request: x509.CertificateSigningRequest) -> list[x509.ExtensionType]:
    """Return what a request asks for besides alternative names."""
    return [
        each.value for each in request.extensions if not isinstance(each.value, x509.SubjectAlternativeName)
    ]
