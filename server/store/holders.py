"""Sessions of holders, and tries of their passwords."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import ColumnElement, delete, select, update

from server.ports.holders import HolderSessionRecord
from server.ports.store import AuditRecord, SessionEnd, SessionId
from server.store import evidence
from server.store.holder_schema import holder_session, holder_try
from server.store.statements import Cursor, Prepared, Row, add, given, put
from server.store.writer import Writer
from shared.clock import Clock
from shared.credential.model import HolderId, StationId

_COLUMNS: Final = tuple(column for column in holder_session.columns if column is not holder_session.c.number)
_LIVE: Final = holder_session.c.ended_at.is_(None)
_OF_THIS: Final = holder_session.c.session_id == given(holder_session.c.session_id)
_ADD: Final = add(holder_session)
_BY_TOKEN: Final = Prepared(
    select(*_COLUMNS).where(holder_session.c.token_digest == given(holder_session.c.token_digest))
)
_TOUCH: Final = Prepared(
    update(holder_session).where(_OF_THIS, _LIVE).values(last_seen_at=given(holder_session.c.last_seen_at))
)


def _end(condition: ColumnElement[bool]) -> Prepared:
    """Return the statement that ends the live sessions that a condition is true for."""
    return Prepared(
        update(holder_session)
        .where(condition, _LIVE)
        .values(ended_at=given(holder_session.c.ended_at), why=given(holder_session.c.why))
        .returning(*_COLUMNS)
    )


_END: Final = _end(_OF_THIS)
_END_OF_STATION: Final = _end(holder_session.c.station_id == given(holder_session.c.station_id))

_OF_HOLDER: Final = (
    holder_try.c.directory == given(holder_try.c.directory),
    holder_try.c.holder == given(holder_try.c.holder),
)
_TRIES: Final = Prepared(select(holder_try.c.tries, holder_try.c.until).where(*_OF_HOLDER))
_PUT_TRY: Final = put(holder_try, (holder_try.c.directory, holder_try.c.holder))
_FORGET: Final = Prepared(delete(holder_try).where(*_OF_HOLDER))
_FORGET_OLD: Final = Prepared(delete(holder_try).where(holder_try.c.until <= given(holder_try.c.until)))


class HolderTables:
    """The port `HolderStore`."""

    def __init__(self, writer: Writer, clock: Clock) -> None:
        """Work through `writer`."""
        self._writer = writer
        self._clock = clock

    async def open(self, session: HolderSessionRecord, audit: AuditRecord) -> None:
        """Store a new session."""

        def work(cursor: Cursor) -> None:
            _ADD.run(cursor, {column.name: getattr(session, column.name) for column in _COLUMNS})
            evidence.append(cursor, self._clock, audit)

        await self._writer.write(work)

    async def by_digest(self, token_digest: bytes) -> HolderSessionRecord | None:
        """Return the session with this token, ended or not."""
        row = await self._writer.read(lambda cursor: _BY_TOKEN.row(cursor, token_digest=token_digest))
        return None if row is None else _session(row)

    async def touch(self, session_id: SessionId, at: datetime) -> bool:
        """Note that the session was used; returns whether it had not ended."""
        values = {"session_id": session_id, "last_seen_at": at}
        return await self._writer.write(lambda cursor: _TOUCH.run(cursor, values) == 1)

    async def end(self, session_id: SessionId, why: SessionEnd, at: datetime, audit: AuditRecord) -> bool:
        """End a session; returns whether it had not ended before."""

        def work(cursor: Cursor) -> bool:
            ended = bool(_END.rows(cursor, session_id=session_id, ended_at=at, why=why))
            if ended:
                evidence.append(cursor, self._clock, audit)
            return ended

        return await self._writer.write(work)

    async def end_of_station(
        self, station_id: StationId, at: datetime, audit: AuditRecord
    ) -> Sequence[HolderSessionRecord]:
        """End every session at this station and return them."""

        def work(cursor: Cursor) -> Sequence[HolderSessionRecord]:
            rows = _END_OF_STATION.rows(cursor, station_id=station_id, ended_at=at, why=SessionEnd.STATION)
            if rows:
                evidence.append(cursor, self._clock, audit)
            return tuple(sorted(map(_session, rows), key=lambda each: each.began_at))

        return await self._writer.write(work)

    async def try_once(
        self, directory: str, holder: HolderId, *, at: datetime, limit: int, within: timedelta
    ) -> datetime | None:
        """Count a try before it is made; return None where it may be, else until when it may not."""

        def work(cursor: Cursor) -> datetime | None:
            _FORGET_OLD.run(cursor, {"until": at})
            row = _TRIES.row(cursor, directory=directory, holder=holder)
            tries, until = (0, at + within) if row is None else row
            if tries >= limit:
                return until  # type: ignore[no-any-return]  # of a column of instants
            _PUT_TRY.run(
                cursor, {"directory": directory, "holder": holder, "tries": tries + 1, "until": until}
            )
            return None

        return await self._writer.write(work)

    async def forget_tries(self, directory: str, holder: HolderId) -> None:
        """Begin to count anew."""
        values = {"directory": directory, "holder": holder}
        await self._writer.write(lambda cursor: _FORGET.run(cursor, values))


def _session(row: Row) -> HolderSessionRecord:
    return HolderSessionRecord(**{column.name: value for column, value in zip(_COLUMNS, row, strict=True)})
