"""A certificate authority of a few lines, for cards that third parties personalise."""

from datetime import UTC, datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.x509.oid import NameOID


class SmallAuthority:
    """A root that signs certificates for public keys."""

    def __init__(self) -> None:
        """Make the root's key and certificate."""
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _name("Root of the peer tests")
        constraints = x509.BasicConstraints(ca=True, path_length=0)
        self.root = self._sign(
            self._key.public_key(), self._name, constraints, _usage("key_cert_sign", "crl_sign")
        )

    def certify(self, key: CertificatePublicKeyTypes, common_name: str) -> x509.Certificate:
        """Return a certificate over `key`."""
        constraints = x509.BasicConstraints(ca=False, path_length=None)
        return self._sign(key, _name(common_name), constraints, _usage("digital_signature", "key_agreement"))

    def _sign(
        self,
        key: CertificatePublicKeyTypes,
        subject: x509.Name,
        constraints: x509.BasicConstraints,
        usage: x509.KeyUsage,
    ) -> x509.Certificate:
        now = datetime.now(UTC)
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(minutes=5))
            .not_valid_after(now + timedelta(days=1))
            .add_extension(constraints, critical=True)
            .add_extension(usage, critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False
            )
            .sign(self._key, hashes.SHA256())
        )


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _usage(*allowed: str) -> x509.KeyUsage:
    every: Final = (
        *(
            "digital_signature",
            "content_commitment",
            "key_encipherment",
            "data_encipherment",
            "key_agreement",
        ),
        *("key_cert_sign", "crl_sign", "encipher_only", "decipher_only"),
    )
    return x509.KeyUsage(**{usage: usage in allowed for usage in every})
