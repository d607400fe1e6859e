"""Certificates for the mutual TLS of a benchmark: a root, a server, a station, all P-256."""

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import grpc
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

SERVER = "server"
STATION = "station"


@dataclass(frozen=True, slots=True, kw_only=True)
class Identity:
    """PEM of the root, of one's own certificate and of its key."""

    root: bytes
    certificate: bytes
    key: bytes

    @classmethod
    def load(cls, folder: Path, name: str) -> "Identity":
        """Read what `make_identities` wrote for `name`."""
        root, certificate, key = (
            (folder / file).read_bytes() for file in ("root.pem", f"{name}.pem", f"{name}.key")
        )
        return cls(root=root, certificate=certificate, key=key)

    def server_credentials(self) -> grpc.ServerCredentials:
        """Ask every client for a certificate of the root."""
        return grpc.ssl_server_credentials(
            [(self.key, self.certificate)], self.root, require_client_auth=True
        )

    def channel_credentials(self) -> grpc.ChannelCredentials:
        """Show our certificate, and trust nothing but the root."""
        return grpc.ssl_channel_credentials(self.root, self.key, self.certificate)


def make_identities(folder: Path) -> None:
    """Write the root, and certificate and key of server and station, into `folder`."""
    root_key = ec.generate_private_key(ec.SECP256R1())
    root = _certify("root", root_key, "root", root_key)
    (folder / "root.pem").write_bytes(root.public_bytes(Encoding.PEM))
    for name in (SERVER, STATION):
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = _certify(name, key, "root", root_key)
        pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        (folder / f"{name}.key").write_bytes(pem)
        (folder / f"{name}.pem").write_bytes(certificate.public_bytes(Encoding.PEM))


def _certify(
    name: str, key: ec.EllipticCurvePrivateKey, issuer: str, issuer_key: ec.EllipticCurvePrivateKey
) -> x509.Certificate:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(_name(name))
        .issuer_name(_name(issuer))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=name == issuer, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(issuer_key, hashes.SHA256())
    )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])
