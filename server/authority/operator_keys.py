"""Whether a key that has signed logs its operator on now, and whether it signs for nobody who does not touch the card."""

import hashlib
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from server.ports.credentials import CredentialStore
from server.ports.operators import LoggedOn, LogonMethod, OperatorRecord
from shared.credential.model import CardRecord, CertificateState, KeyState
from shared.credential.template import Template
from shared.piv.ids import PinPolicyId, Slot, TouchPolicyId

_ON_CARDS: Final = frozenset({CertificateState.ISSUED, CertificateState.CONFIRMED})


def public_key_of(certificate: bytes) -> bytes:
    """Return a certificate's key (DER SubjectPublicKeyInfo); nothing where it cannot be read."""
    try:
        key = x509.load_der_x509_certificate(certificate).public_key()
        return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    except (ValueError, UnsupportedAlgorithm):
        return b""


async def why_not(
    credentials: CredentialStore,
    operator: OperatorRecord,
    digest: bytes,
    certificate: bytes | None,
    now: datetime,
) -> str:
    """Say why a key of the operator's card does not log on; empty where it does. What is said is for evidence alone.

    `certificate` is the one that was shown; None where none was, because an ssh-agent has keys only: then the record says
    which one the key has, and a key without one does not log on.
    """
    key = operator.key(digest)
    if key is None or key.method is not LogonMethod.CARD:
        return "method"
    if not key.counts:
        return "credential"
    if not operator.may_use(digest):
        return "operator"
    if key.credential_id is None:
        return "" if certificate is not None else "certificate"
    card = await credentials.by_credential(key.credential_id)
    held = _on(card) if card is not None else ()
    if certificate is not None:
        shows = certificate in held and _valid(certificate, now)
    else:
        shows = any(_sha256(public_key_of(each)) == digest and _valid(each, now) for each in held)
    return "" if shows else "certificate"


async def takes_a_touch(credentials: CredentialStore, present: LoggedOn, *, lab: bool) -> bool:
    """Whether the key that logged on signs for nobody who does not touch the card, each time, as its vendor vouches.

    The record says so where the server verified the attestation of this very key. A touch that serves for a while does not
    count: it may have been for something else. A virtual card is touched by nobody, and counts on a `lab` station alone.
    """
    key = present.operator.key(present.session.key_digest)
    if key is None or key.credential_id is None:
        return False
    card = await credentials.by_credential(key.credential_id)
    if card is None or (card.virtual and not lab):
        return False
    held = card.keys.get(Slot.AUTHENTICATION)
    return (
        held is not None
        and held.state is KeyState.PROVEN
        and held.touch is TouchPolicyId.ALWAYS
        and _sha256(held.public_key) == key.digest
    )


def shows(card: CardRecord, certificate: bytes, slot: Slot, now: datetime) -> bool:
    """Whether this very certificate is on the card in this slot, and valid now."""
    held = [each.certificate for each in card.certificates if each.slot is slot and each.state in _ON_CARDS]
    return bool(certificate) and certificate in held and _valid(certificate, now)


def takes_pin(template: Template) -> bool:
    """Whether the key with which a card proves whose it is takes the PIN."""
    specs = [each for each in template.certificates if each.slot is Slot.AUTHENTICATION]
    return bool(specs) and all(each.pin_policy is not PinPolicyId.NEVER for each in specs)


def _on(card: CardRecord) -> Sequence[bytes]:
    """Return the certificates that are on a card: what a caller shows proves nothing else."""
    return [each.certificate for each in card.certificates if each.certificate and each.state in _ON_CARDS]


def _valid(certificate: bytes, now: datetime) -> bool:
    shown = x509.load_der_x509_certificate(certificate)
    return shown.not_valid_before_utc <= now <= shown.not_valid_after_utc


def _sha256(content: bytes) -> bytes:
    return hashlib.sha256(content).digest()
