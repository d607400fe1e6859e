"""What directories still have to be told of certificates, and what they were told."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from sqlalchemy import ColumnElement, and_, bindparam, delete, func, literal, select, true, update

from server.ports.store import AuditRecord
from server.ports.write_back import WriteBack, WriteBackAction
from server.store import evidence
from server.store.statements import Cursor, Prepared, Row, given, put
from server.store.write_back_schema import write_back as table
from server.store.writer import Writer
from shared import errors
from shared.clock import Clock
from shared.credential.model import NEVER, RecordId, RequestId

_COLUMNS: Final = (
    table.c.request_id,
    table.c.record_id,
    table.c.connection,
    table.c.holder,
    table.c.action,
    table.c.asked_at,
    table.c.next_at,
    table.c.attempts,
    table.c.failure,
    table.c.done,
)
_LIMIT: Final[ColumnElement[int]] = bindparam("limit", required=True)
_of_connection = (
    select(
        table.c.number,
        func.row_number()
        .over(partition_by=table.c.connection, order_by=(table.c.asked_at, table.c.number))
        .label("place"),
    )
    .where(table.c.next_at <= given(table.c.next_at), ~table.c.done)
    .subquery("of_connection")
)
_DUE: Final = Prepared(
    select(*_COLUMNS)
    .join(_of_connection, _of_connection.c.number == table.c.number)
    .where(_of_connection.c.place <= _LIMIT)
    .order_by(table.c.asked_at, table.c.number)
)
_WAITING: Final = Prepared(select(*_COLUMNS).where(~table.c.done).order_by(table.c.asked_at, table.c.number))
_OF_CARD: Final = Prepared(
    select(*_COLUMNS).where(table.c.record_id == given(table.c.record_id)).order_by(table.c.number)
)
_COUNT: Final = Prepared(
    select(func.count()).select_from(table).where(table.c.connection == given(table.c.connection))
)
_STILL: Final = and_(
    table.c.request_id == given(table.c.request_id),
    table.c.action == given(table.c.action),
    table.c.asked_at == given(table.c.asked_at),
    ~table.c.done,
)
_FORGET: Final = Prepared(delete(table).where(_STILL))
_REMEMBER: Final = Prepared(
    update(table)
    .where(_STILL)
    .values(
        done=true(), failure="", attempts=table.c.attempts + 1, next_at=literal(NEVER, table.c.next_at.type)
    )
)
_FAIL: Final = Prepared(
    update(table)
    .where(_STILL)
    .values(attempts=table.c.attempts + 1, failure=given(table.c.failure), next_at=given(table.c.next_at))
)
_GIVE_UP: Final = Prepared(
    update(table).where(_STILL).values(failure=given(table.c.failure), next_at=given(table.c.next_at))
)
_PUT: Final = put(table, (table.c.request_id,), owner=table.c.record_id)


def _withdrawing(which: ColumnElement[bool]) -> Prepared:
    return Prepared(
        update(table)
        .where(which, table.c.action != WriteBackAction.WITHDRAW)
        .values(
            action=literal(WriteBackAction.WITHDRAW, table.c.action.type),
            asked_at=given(table.c.asked_at),
            next_at=given(table.c.next_at),
            attempts=0,
            failure="",
            done=~true(),
        )
    )


_WITHDRAW: Final = _withdrawing(table.c.request_id == given(table.c.request_id))
_WITHDRAW_ALL: Final = _withdrawing(table.c.record_id == given(table.c.record_id))


def ask(cursor: Cursor, record_id: RecordId, entry: WriteBack) -> None:
    """Write what a directory is to be told; `StoreConflict` where the certificate is another card's."""
    if entry.record_id != record_id or not _PUT.run(cursor, _row(entry)):
        raise errors.StoreConflict(what="reference")


def withdraw(cursor: Cursor, request_id: RequestId, asked_at: datetime, next_at: datetime) -> None:
    """Have a certificate withdrawn wherever it was published, or was going to be."""
    _WITHDRAW.run(cursor, {"request_id": request_id, "asked_at": asked_at, "next_at": next_at})


def withdraw_all(cursor: Cursor, record_id: RecordId, now: datetime) -> None:
    """Have all certificates of a card withdrawn."""
    _WITHDRAW_ALL.run(cursor, {"record_id": record_id, "asked_at": now, "next_at": now})


class WriteBackTable:
    """The port `WriteBackStore`."""

    def __init__(self, writer: Writer, clock: Clock) -> None:
        """Work through `writer`."""
        self._writer = writer
        self._clock = clock

    async def due(self, now: datetime, limit: int) -> Sequence[WriteBack]:
        """Return what waits and whose time has come; at most `limit` of each connection."""
        rows = await self._writer.read(lambda cursor: _DUE.rows(cursor, next_at=now, limit=limit))
        return tuple(_entry(row) for row in rows)

    async def waiting(self) -> Sequence[WriteBack]:
        """Return everything that a directory was not told yet."""
        return tuple(_entry(row) for row in await self._writer.read(_WAITING.rows))

    async def of_card(self, record_id: RecordId) -> Sequence[WriteBack]:
        """Return what directories were told, or are to be, of one card."""
        rows = await self._writer.read(lambda cursor: _OF_CARD.rows(cursor, record_id=record_id))
        return tuple(_entry(row) for row in rows)

    async def settle(self, entry: WriteBack, audit: AuditRecord) -> bool:
        """Keep evidence of what the directory did; remember what was published, forget what was withdrawn."""
        statement = _REMEMBER if entry.action is WriteBackAction.PUBLISH else _FORGET

        def work(cursor: Cursor) -> bool:
            evidence.append(cursor, self._clock, audit)
            return statement.run(cursor, _same(entry)) == 1

        return await self._writer.write(work)

    async def failed(self, entry: WriteBack, failure: str, next_at: datetime) -> bool:
        """Count an attempt and say when to try again."""
        values = {**_same(entry), "failure": failure, "next_at": next_at}
        return await self._writer.write(lambda cursor: _FAIL.run(cursor, values) == 1)

    async def give_up(self, entry: WriteBack, why: str, audit: AuditRecord) -> bool:
        """Keep what is not tried any more."""
        values = {**_same(entry), "failure": why, "next_at": NEVER}

        def work(cursor: Cursor) -> bool:
            if _GIVE_UP.run(cursor, values) != 1:
                return False
            evidence.append(cursor, self._clock, audit)
            return True

        return await self._writer.write(work)

    async def count(self, connection: str) -> int:
        """Count what this directory was told, and has to be told to forget one day."""
        row = await self._writer.read(lambda cursor: _COUNT.row(cursor, connection=connection))
        return int(row[0]) if row else 0


def _same(entry: WriteBack) -> dict[str, object]:
    return {"request_id": entry.request_id, "action": entry.action, "asked_at": entry.asked_at}


def _row(entry: WriteBack) -> dict[str, object]:
    return {column.name: getattr(entry, column.name) for column in _COLUMNS}


def _entry(row: Row) -> WriteBack:
    return WriteBack(**dict(zip((column.name for column in _COLUMNS), row, strict=True)))
