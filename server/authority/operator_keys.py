"""Whether a key that has signed logs its operator on now."""

from datetime import datetime
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from server.ports.credentials import CredentialStore
from server.ports.operators import LogonMethod, OperatorRecord
from shared.credential.model import CardRecord, CertificateState

_ON_CARDS: Final = frozenset({CertificateState.ISSUED, CertificateState.CONFIRMED})


def public_key_of(certificate: bytes) -> bytes:
    """Return a certificate's key (DER SubjectPublicKeyInfo); nothing where it cannot be read."""
    try:
        key = x509.load_der_x509_certificate(certificate).public_key()
        return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    except (ValueError, UnsupportedAlgorithm):
        return b""


async def why_not(
    credentials: CredentialStore, operator: OperatorRecord, digest: bytes, certificate: bytes, now: datetime
) -> str:
    """Say why a key of the operator's card does not log on; empty where it does. What is said is for evidence alone."""
    key = operator.key(digest)
    if key is None or key.method is not LogonMethod.CARD:
        return "method"
    if not key.counts:
        return "credential"
    if not operator.may_use(digest):
        return "operator"
    if key.credential_id is not None:
        card = await credentials.by_credential(key.credential_id)
        if card is None or not _holds(card, certificate, now):
            return "certificate"
    return ""


def _holds(card: CardRecord, certificate: bytes, now: datetime) -> bool:
    """Whether this very certificate is one of the card's, and valid now: what a caller shows proves nothing else."""
    if not any(each.certificate == certificate and each.state in _ON_CARDS for each in card.certificates):
        return False
    shown = x509.load_der_x509_certificate(certificate)
    return shown.not_valid_before_utc <= now <= shown.not_valid_after_utc
