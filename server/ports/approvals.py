"""Requests for approval, and what was signed for them.

What was asked for and what was signed are kept as they are, and are verified again each time that they count: a row that
somebody edited gives nothing. A request is spent once, in the same commit that opens what it was asked for.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol
from uuid import UUID

from server.ports.audit import AuditRecord
from server.ports.operators import OperatorId
from shared.approvals import ApprovalState as ApprovalState  # noqa: PLC0414  # a word of the store
from shared.credential.model import CredentialId, OperationId, RecordId, StationId


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalSignature:
    """What one person's card made: the text, the certificate (DER) whose key signed it, and the signature.

    It is an operator's, or that of a credential of a colleague.
    """

    text: bytes
    certificate: bytes
    signature: bytes = field(repr=False)
    station_id: StationId
    signed_at: datetime
    operator_id: OperatorId | None = None
    credential_id: CredentialId | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalRecord:
    """A request: the intent as it is signed, and what became of it. `why` is the reason of whoever declined it.

    `spent_by` is the operation that it was spent by, `spent_on` its card; an administrative act has neither.
    """

    request_id: UUID
    intent: bytes
    state: ApprovalState
    asked_at: datetime
    expires_at: datetime
    signatures: tuple[ApprovalSignature, ...] = ()
    why: str = ""
    spent_by: OperationId | None = None
    spent_on: RecordId | None = None
    spent_at: datetime | None = None


class ApprovalStore(Protocol):
    """Requests for approval. They are never removed: evidence names them."""

    async def add(self, approval: ApprovalRecord, audit: AuditRecord) -> None:
        """Store a new request; `StoreConflict` where its id is known."""
        ...

    async def by_id(self, request_id: UUID) -> ApprovalRecord | None:
        """Return this request."""
        ...

    async def waiting(self, now: datetime) -> Sequence[ApprovalRecord]:
        """Return the requests that are open and have not expired, the oldest first."""
        ...

    async def newest(self, limit: int) -> Sequence[ApprovalRecord]:
        """Return the newest requests, whatever became of them."""
        ...

    async def spent_by(self, operation_id: OperationId) -> ApprovalRecord | None:
        """Return the request that this operation spent."""
        ...

    async def spent_on(self, record_id: RecordId) -> Sequence[ApprovalRecord]:
        """Return the requests that were spent on a card, the newest first."""
        ...

    async def sign(
        self, request_id: UUID, signature: ApprovalSignature, now: datetime, audit: AuditRecord
    ) -> None:
        """Keep a signature.

        Raises:
            StoreConflict: the request is not open any more, or this certificate has signed it.
        """
        ...

    async def close(self, request_id: UUID, state: ApprovalState, why: str, audit: AuditRecord) -> None:
        """End an open request without it being spent; `StoreConflict` where it is not open any more."""
        ...

    async def expire(self, now: datetime) -> Sequence[UUID]:
        """End every open request that has expired, each with evidence, and return their ids."""
        ...

    async def spend(self, request_id: UUID, now: datetime, audit: AuditRecord) -> None:
        """Spend a request for something that opens no operation; `StoreConflict` where it is not open any more."""
        ...
