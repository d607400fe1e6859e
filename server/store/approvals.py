"""Requests for approval, and what was signed for them."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final
from uuid import UUID

from sqlalchemy import select, update

from server.ports.approvals import ApprovalRecord, ApprovalSignature, ApprovalState
from server.ports.store import AuditRecord
from server.store import evidence
from server.store.approval_schema import approval, approval_signature
from server.store.rules import expiry_evidence
from server.store.statements import Cursor, Prepared, Row, add, given
from server.store.writer import Writer
from shared import errors
from shared.clock import Clock
from shared.credential.model import OperationId, RecordId

_COLUMNS: Final = tuple(column for column in approval.columns if column is not approval.c.number)
_SIGNED: Final = tuple(
    column
    for column in approval_signature.columns
    if column not in {approval_signature.c.number, approval_signature.c.request_id}
)
_OF_THIS: Final = approval.c.request_id == given(approval.c.request_id)
_OPEN: Final = approval.c.state == ApprovalState.OPEN
_ROWS: Final = select(*_COLUMNS)
_ADD: Final = add(approval)
_ADD_SIGNATURE: Final = add(approval_signature)
_BY_ID: Final = Prepared(_ROWS.where(_OF_THIS))
_WAITING: Final = Prepared(
    _ROWS.where(_OPEN, approval.c.expires_at > given(approval.c.expires_at)).order_by(approval.c.number)
)
_OVERDUE: Final = Prepared(
    _ROWS.where(_OPEN, approval.c.expires_at <= given(approval.c.expires_at)).order_by(approval.c.number)
)
_NEWEST: Final = _ROWS.order_by(approval.c.number.desc())
_SPENT_BY: Final = Prepared(_ROWS.where(approval.c.spent_by == given(approval.c.spent_by)))
_SPENT_ON: Final = Prepared(
    _ROWS.where(approval.c.spent_on == given(approval.c.spent_on)).order_by(approval.c.number.desc())
)
_SIGNATURES: Final = Prepared(
    select(*_SIGNED)
    .where(approval_signature.c.request_id == given(approval_signature.c.request_id))
    .order_by(approval_signature.c.number)
)
_CLOSE: Final = Prepared(
    update(approval).where(_OF_THIS, _OPEN).values(state=given(approval.c.state), why=given(approval.c.why))
)
_SPEND: Final = Prepared(
    update(approval)
    .where(_OF_THIS, _OPEN)
    .values(
        state=ApprovalState.SPENT,
        spent_by=given(approval.c.spent_by),
        spent_on=given(approval.c.spent_on),
        spent_at=given(approval.c.spent_at),
    )
)


class ApprovalTables:
    """The port `ApprovalStore`."""

    def __init__(self, writer: Writer, clock: Clock) -> None:
        """Work through `writer`."""
        self._writer = writer
        self._clock = clock

    async def add(self, approval: ApprovalRecord, audit: AuditRecord) -> None:
        """Store a new request."""

        def work(cursor: Cursor) -> None:
            _ADD.run(cursor, {column.name: getattr(approval, column.name) for column in _COLUMNS})
            evidence.append(cursor, self._clock, audit)

        await self._writer.write(work)

    async def by_id(self, request_id: UUID) -> ApprovalRecord | None:
        """Return this request."""
        found = await self._writer.read(
            lambda cursor: _read(cursor, _BY_ID.rows(cursor, request_id=request_id))
        )
        return found[0] if found else None

    async def waiting(self, now: datetime) -> Sequence[ApprovalRecord]:
        """Return the requests that are open and have not expired, the oldest first."""
        return await self._writer.read(lambda cursor: _read(cursor, _WAITING.rows(cursor, expires_at=now)))

    async def newest(self, limit: int) -> Sequence[ApprovalRecord]:
        """Return the newest requests, whatever became of them."""
        statement = Prepared(_NEWEST.limit(limit))
        return await self._writer.read(lambda cursor: _read(cursor, statement.rows(cursor)))

    async def spent_by(self, operation_id: OperationId) -> ApprovalRecord | None:
        """Return the request that this operation spent."""
        found = await self._writer.read(
            lambda cursor: _read(cursor, _SPENT_BY.rows(cursor, spent_by=operation_id))
        )
        return found[0] if found else None

    async def spent_on(self, record_id: RecordId) -> Sequence[ApprovalRecord]:
        """Return the requests that were spent on a card, the newest first."""
        return await self._writer.read(
            lambda cursor: _read(cursor, _SPENT_ON.rows(cursor, spent_on=record_id))
        )

    async def sign(
        self, request_id: UUID, signature: ApprovalSignature, now: datetime, audit: AuditRecord
    ) -> None:
        """Keep a signature."""

        def work(cursor: Cursor) -> None:
            found = _read(cursor, _BY_ID.rows(cursor, request_id=request_id))
            kept = found[0] if found else None
            if kept is None or kept.state is not ApprovalState.OPEN or kept.expires_at <= now:
                raise errors.StoreConflict(what="approval")
            if any(each.certificate == signature.certificate for each in kept.signatures):
                raise errors.StoreConflict(what="approval_signature")
            values = {column.name: getattr(signature, column.name) for column in _SIGNED}
            _ADD_SIGNATURE.run(cursor, {**values, "request_id": request_id})
            evidence.append(cursor, self._clock, audit)

        await self._writer.write(work)

    async def close(self, request_id: UUID, state: ApprovalState, why: str, audit: AuditRecord) -> None:
        """End an open request without it being spent."""

        def work(cursor: Cursor) -> None:
            if _CLOSE.run(cursor, {"request_id": request_id, "state": state, "why": why}) != 1:
                raise errors.StoreConflict(what="approval")
            evidence.append(cursor, self._clock, audit)

        await self._writer.write(work)

    async def expire(self, now: datetime) -> Sequence[UUID]:
        """End every open request that has expired, each with evidence, and return their ids."""
        if not await self._writer.read(lambda cursor: _OVERDUE.rows(cursor, expires_at=now)):
            return ()

        def work(cursor: Cursor) -> Sequence[UUID]:
            over = [row[0] for row in _OVERDUE.rows(cursor, expires_at=now)]
            for request_id in over:
                _CLOSE.run(cursor, {"request_id": request_id, "state": ApprovalState.EXPIRED, "why": ""})
                evidence.append(cursor, self._clock, expiry_evidence(request_id))
            return tuple(over)

        return await self._writer.write(work)

    async def spend(self, request_id: UUID, now: datetime, audit: AuditRecord) -> None:
        """Spend a request for something that opens no operation."""

        def work(cursor: Cursor) -> None:
            spend(cursor, request_id, None, None, now)
            evidence.append(cursor, self._clock, audit)

        await self._writer.write(work)


def spend(
    cursor: Cursor,
    request_id: UUID,
    operation_id: OperationId | None,
    record_id: RecordId | None,
    now: datetime,
) -> None:
    """Spend a request; `StoreConflict` where it is not open any more."""
    values = {"request_id": request_id, "spent_by": operation_id, "spent_on": record_id, "spent_at": now}
    if _SPEND.run(cursor, values) != 1:
        raise errors.StoreConflict(what="approval")


def _read(cursor: Cursor, rows: Sequence[Row]) -> Sequence[ApprovalRecord]:
    found = []
    for row in rows:
        values = {column.name: value for column, value in zip(_COLUMNS, row, strict=True)}
        signed = _SIGNATURES.rows(cursor, request_id=values["request_id"])
        found.append(ApprovalRecord(**values, signatures=tuple(map(_signature, signed))))
    return tuple(found)


def _signature(row: Row) -> ApprovalSignature:
    return ApprovalSignature(**{column.name: value for column, value in zip(_SIGNED, row, strict=True)})
