"""Revocation lists.

Source: [RFC 5280] 5 (version 2, with CRL number and authority key identifier), 5.3.1 (reasons).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from server.connectors.ca.signing import sign_list
from server.ports.ca import Reason
from server.ports.keystore import KeyStore
from shared import errors


@dataclass(frozen=True, slots=True, kw_only=True)
class Revoked:
    """One line of the list."""

    serial: int
    at: datetime
    reason: Reason


async def revocation_list(
    revoked: Sequence[Revoked],
    *,
    issuer: x509.Certificate,
    keystore: KeyStore,
    key: str,
    number: int,
    now: datetime,
    lifetime: timedelta,
) -> x509.CertificateRevocationList:
    """Sign a list with the issuer's key `key`, and verify it.

    Raises:
        KeyStoreDamaged: the key store signed with another key than the issuer's.
    """
    own = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    lines = sorted(revoked, key=lambda line: line.serial)
    builder = (
        # all lines at once: adding them one by one copies the list each time
        x509.CertificateRevocationListBuilder(
            issuer_name=issuer.subject, revoked_certificates=[_line(line) for line in lines]
        )
        .last_update(now)
        .next_update(now + lifetime)
        .add_extension(x509.CRLNumber(number), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(own), critical=False)
    )
    signed = await sign_list(builder, keystore, key)
    public = issuer.public_key()
    if not isinstance(public, ec.EllipticCurvePublicKey | rsa.RSAPublicKey) or not (
        signed.is_signature_valid(public)
    ):
        raise errors.KeyStoreDamaged(why=f"signing key {key} is not its issuer's")
    return signed


def _line(line: Revoked) -> x509.RevokedCertificate:
    builder = x509.RevokedCertificateBuilder().serial_number(line.serial).revocation_date(line.at)
    if line.reason is not Reason.UNSPECIFIED:  # [RFC 5280] 5.3.1: leave this one out
        builder = builder.add_extension(x509.CRLReason(x509.ReasonFlags(line.reason.value)), critical=False)
    return builder.build()
