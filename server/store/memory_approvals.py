"""Requests for approval, and what was signed for them, in memory."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from uuid import UUID

from server.ports.approvals import ApprovalRecord, ApprovalSignature, ApprovalState
from server.ports.store import AuditRecord
from server.store.memory_state import Book, Draft
from server.store.rules import expiry_evidence
from shared import errors
from shared.credential.model import OperationId, RecordId


class MemoryApprovals:
    """The port `ApprovalStore`."""

    def __init__(self, book: Book) -> None:
        """Work on `book`."""
        self._book = book

    async def add(self, approval: ApprovalRecord, audit: AuditRecord) -> None:
        """Store a new request."""
        with self._book.writing() as draft:
            if approval.request_id in draft.approvals:
                raise errors.StoreConflict(what="approval")
            draft.approvals[approval.request_id] = approval
            self._book.note(draft, audit)

    async def by_id(self, request_id: UUID) -> ApprovalRecord | None:
        """Return this request."""
        return self._book.state.approvals.get(request_id)

    async def waiting(self, now: datetime) -> Sequence[ApprovalRecord]:
        """Return the requests that are open and have not expired, the oldest first."""
        kept = self._book.state.approvals.values()
        return tuple(each for each in kept if each.state is ApprovalState.OPEN and each.expires_at > now)

    async def newest(self, limit: int) -> Sequence[ApprovalRecord]:
        """Return the newest requests, whatever became of them."""
        return tuple(reversed(self._book.state.approvals.values()))[:limit]

    async def spent_by(self, operation_id: OperationId) -> ApprovalRecord | None:
        """Return the request that this operation spent."""
        kept = self._book.state.approvals.values()
        return next((each for each in kept if each.spent_by == operation_id), None)

    async def spent_on(self, record_id: RecordId) -> Sequence[ApprovalRecord]:
        """Return the requests that were spent on a card, the newest first."""
        kept = reversed(self._book.state.approvals.values())
        return tuple(each for each in kept if each.spent_on == record_id)

    async def sign(
        self, request_id: UUID, signature: ApprovalSignature, now: datetime, audit: AuditRecord
    ) -> None:
        """Keep a signature."""
        with self._book.writing() as draft:
            kept = _open(draft, request_id)
            if kept.expires_at <= now:
                raise errors.StoreConflict(what="approval")
            if any(each.certificate == signature.certificate for each in kept.signatures):
                raise errors.StoreConflict(what="approval_signature")
            if any(
                each.text == signature.text for other in draft.approvals.values() for each in other.signatures
            ):
                raise errors.StoreConflict(what="approval_signature")
            draft.approvals[request_id] = replace(kept, signatures=(*kept.signatures, signature))
            self._book.note(draft, audit)

    async def close(self, request_id: UUID, state: ApprovalState, why: str, audit: AuditRecord) -> None:
        """End an open request without it being spent."""
        with self._book.writing() as draft:
            draft.approvals[request_id] = replace(_open(draft, request_id), state=state, why=why)
            self._book.note(draft, audit)

    async def expire(self, now: datetime) -> Sequence[UUID]:
        """End every open request that has expired, each with evidence, and return their ids."""
        kept = self._book.state.approvals.values()
        over = [each for each in kept if each.state is ApprovalState.OPEN and each.expires_at <= now]
        if over:
            with self._book.writing() as draft:
                for each in over:
                    draft.approvals[each.request_id] = replace(each, state=ApprovalState.EXPIRED)
                    self._book.note(draft, expiry_evidence(each.request_id))
        return tuple(each.request_id for each in over)

    async def spend(self, request_id: UUID, now: datetime, audit: AuditRecord) -> None:
        """Spend a request for something that opens no operation."""
        with self._book.writing() as draft:
            spend(draft, request_id, None, None, now)
            self._book.note(draft, audit)


def spend(
    draft: Draft,
    request_id: UUID,
    operation_id: OperationId | None,
    record_id: RecordId | None,
    now: datetime,
) -> None:
    """Spend a request; `StoreConflict` where it is not open any more."""
    draft.approvals[request_id] = replace(
        _open(draft, request_id),
        state=ApprovalState.SPENT,
        spent_by=operation_id,
        spent_on=record_id,
        spent_at=now,
    )


def _open(draft: Draft, request_id: UUID) -> ApprovalRecord:
    kept = draft.approvals.get(request_id)
    if kept is None or kept.state is not ApprovalState.OPEN:
        raise errors.StoreConflict(what="approval")
    return kept
