"""What every store holds to, whatever it is made of."""

import unicodedata
from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from typing import Final
from uuid import UUID

from cryptography import x509

from server.ports.ca import Reason
from server.ports.store import AuditKind, AuditRecord, Opening, UnblockCode
from shared import errors
from shared.credential.model import (
    CardRecord,
    CertificateAction,
    CertificateRecord,
    CertificateState,
    CertificateTask,
    CredentialRecord,
    RecordId,
    State,
)

LEASE_UNPROVEN_S: Final = 30
"""How long a lease lives, after the last sign of life, whose station has not had the card prove its management key.

It keeps out nobody who has the card, and no decision about it: it gives way to them.
"""

LEASE_PROVEN_S: Final = 120
"""How long it lives after a sign of life once the card has proven itself: longer than a station is silent at work."""

LEASES_UNPROVEN: Final = 32
"""How many cards a station may claim at the same time without having shown one of them."""

DONE: Final = "done"
"""The code with which an operation ends well."""

SUPERSEDED: Final = "superseded"
"""The code with which an operation ends whose place another one took."""

FORGOTTEN_CREDENTIAL: Final = frozenset({State.RETIRED, State.DELETED, State.UNREGISTERED})
"""A card's record does not show a credential in one of these."""

CLOSED_CREDENTIAL: Final = FORGOTTEN_CREDENTIAL | {State.REVOKED}
"""A card has at most one credential in any other state."""

USED_CREDENTIAL: Final = frozenset({State.ISSUED, State.ACTIVE, State.SUSPENDED})
"""A credential that is in use, or may be again."""

OUT_OF_SERVICE: Final = frozenset({State.UNREGISTERED, State.DELETED})
"""A card whose record is closed: the card is the factory's again, or is not expected back."""

CERTIFICATE_AFTER: Final[Mapping[CertificateAction, CertificateState]] = {
    CertificateAction.REVOKE: CertificateState.REVOKED,
    CertificateAction.HOLD: CertificateState.HELD,
    CertificateAction.RELEASE: CertificateState.CONFIRMED,
}
"""What a certificate is once its authority has done what it was asked. A revoked one stays revoked."""

ON_HOLD: Final = Reason.CERTIFICATE_HOLD.value
"""The reason in the certificate authority's book of what may still be released."""


def check_revocation(reason: str) -> None:
    """Refuse to revoke for good for a reason that says it is not.

    Raises:
        Invalid: it is a hold's.
    """
    if reason == ON_HOLD:
        raise errors.Invalid(field="reason", why="a hold is not a revocation")


def check_opening(opening: Opening) -> None:
    """Refuse an opening that contradicts itself.

    Raises:
        Invalid: the new card has another record id.
    """
    if opening.new_card is not None and opening.new_card.record_id != opening.record_id:
        raise errors.Invalid(field="new_card", why="another record id")


def same_card(present: CardRecord | None, seen: CardRecord) -> bool:
    """Whether a card's record is the one that was seen; how often an authority was asked meanwhile does not count."""
    return present is not None and _without_attempts(present) == _without_attempts(seen)


def _without_attempts(card: CardRecord) -> CardRecord:
    tasks = (replace(task, next_at=task.asked_at, attempts=0, failure="") for task in card.tasks)
    return replace(card, tasks=tuple(tasks))


def check_task(task: CertificateTask, record_id: RecordId) -> None:
    """Refuse a task that is not this card's.

    Raises:
        Invalid: it names another card.
    """
    if task.record_id != record_id:
        raise errors.Invalid(field="task", why="another record id")


def settled(
    kept: CertificateRecord, task: CertificateTask, became: CertificateRecord | None
) -> CertificateRecord:
    """Return a certificate as it is after its authority did `task`, or as the authority said that it is."""
    if kept.state is CertificateState.REVOKED:
        return kept
    if became is None:
        return replace(kept, state=CERTIFICATE_AFTER[task.action])
    return replace(kept, state=became.state, certificate=became.certificate)


def expiry_evidence(request_id: UUID) -> AuditRecord:
    """Return the evidence that nobody approved, or spent, a request in time."""
    return AuditRecord(
        kind=AuditKind.OPERATION, event="approval-expired", actor="server", subject=str(request_id)
    )


def check_code(code: UnblockCode) -> None:
    """Refuse a code that nobody could use.

    Raises:
        Invalid: it leaves no attempt.
    """
    if code.attempts_left < 1:
        raise errors.Invalid(field="attempts_left", why="at least one")


def not_after(certificate: bytes) -> datetime | None:
    """Return when a certificate (DER) expires; None where there is none yet, or none that can be read.

    One that cannot be read is refused before it reaches a card and is never confirmed.
    """
    try:
        return x509.load_der_x509_certificate(certificate).not_valid_after_utc
    except ValueError:
        return None


def fold(text: str) -> str:
    """Return `text` so that the same words are equal however they are written: case, spaces, composed letters."""
    plain = unicodedata.normalize("NFKC", text).casefold()
    return " ".join(unicodedata.normalize("NFKC", plain).split())


def words(credential: CredentialRecord) -> str:
    """Return what a credential's holder is found by, one line for the name and one for the id."""
    return f"{fold(credential.holder_name)}\n{fold(credential.holder)}"
