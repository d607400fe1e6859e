"""Sessions of operators, and the challenges that begin them."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from sqlalchemy import ColumnElement, delete, select, update

from server.ports.store import (
    AuditRecord,
    ChallengeRecord,
    LoggedOn,
    OperatorId,
    SessionEnd,
    SessionId,
    SessionRecord,
)
from server.store import evidence
from server.store.operator_schema import challenge, operator, operator_key, session
from server.store.operators import operator_of
from server.store.statements import Cursor, Prepared, Row, add, given
from server.store.writer import Writer
from shared import errors
from shared.clock import Clock
from shared.credential.model import CredentialId, StationId

_COLUMNS: Final = tuple(column for column in session.columns if column is not session.c.number)
_LIVE: Final = session.c.ended_at.is_(None)
_OF_THIS: Final = session.c.session_id == given(session.c.session_id)
_ADD: Final = add(session)
_BY_TOKEN: Final = Prepared(select(*_COLUMNS).where(session.c.token_digest == given(session.c.token_digest)))
_ALL_LIVE: Final = Prepared(select(*_COLUMNS).where(_LIVE).order_by(session.c.began_at, session.c.number))
_LOGGED_ON: Final = Prepared(
    update(operator)
    .where(operator.c.operator_id == given(operator.c.operator_id))
    .values(last_logon_at=given(operator.c.last_logon_at), failed_logons=0, locked_until=None)
)
_TOUCH: Final = Prepared(
    update(session).where(_OF_THIS, _LIVE).values(last_seen_at=given(session.c.last_seen_at))
)
_STEP_UP: Final = Prepared(
    update(session).where(_OF_THIS, _LIVE).values(stepped_up_at=given(session.c.stepped_up_at))
)


def _end(condition: ColumnElement[bool]) -> Prepared:
    """Return the statement that ends the live sessions that a condition is true for."""
    return Prepared(
        update(session)
        .where(condition, _LIVE)
        .values(ended_at=given(session.c.ended_at), why=given(session.c.why))
        .returning(*_COLUMNS)
    )


_END: Final = _end(_OF_THIS)
_END_OF_OPERATOR: Final = _end(session.c.operator_id == given(session.c.operator_id))
_END_OF_STATION: Final = _end(session.c.station_id == given(session.c.station_id))
_END_OF_CREDENTIAL: Final = _end(
    session.c.key_digest.in_(
        select(operator_key.c.digest).where(
            operator_key.c.credential_id == given(operator_key.c.credential_id)
        )
    )
)

_ADD_CHALLENGE: Final = add(challenge)
_FORGET_EXPIRED: Final = Prepared(
    delete(challenge).where(challenge.c.expires_at <= given(challenge.c.expires_at))
)
_SPEND: Final = Prepared(
    delete(challenge)
    .where(
        challenge.c.digest == given(challenge.c.digest),
        challenge.c.expires_at > given(challenge.c.expires_at),
    )
    .returning(challenge.c.digest, challenge.c.station_id, challenge.c.purpose, challenge.c.expires_at)
)


class SessionTable:
    """The port `SessionStore`."""

    def __init__(self, writer: Writer, clock: Clock) -> None:
        """Work through `writer`."""
        self._writer = writer
        self._clock = clock

    async def open(self, session: SessionRecord, audit: AuditRecord) -> int:
        """Store a new session as its operator's log-on."""

        def work(cursor: Cursor) -> int:
            operator = operator_of(cursor, session.operator_id)
            if operator is None or not operator.may_use(session.key_digest):
                raise errors.StoreConflict(what="operator")
            _ADD.run(cursor, {column.name: getattr(session, column.name) for column in _COLUMNS})
            at = {"operator_id": session.operator_id, "last_logon_at": session.began_at}
            _LOGGED_ON.run(cursor, at)
            evidence.append(cursor, self._clock, audit)
            return operator.failed_logons

        return await self._writer.write(work)

    async def by_digest(self, token_digest: bytes) -> LoggedOn | None:
        """Return the session with this token, ended or not, and its operator."""

        def work(cursor: Cursor) -> LoggedOn | None:
            row = _BY_TOKEN.row(cursor, token_digest=token_digest)
            if row is None:
                return None
            found = _session(row)
            operator = operator_of(cursor, found.operator_id)
            assert operator is not None  # the reference holds
            return LoggedOn(session=found, operator=operator)

        return await self._writer.read(work)

    async def live(self) -> Sequence[SessionRecord]:
        """Return the sessions that have not ended, the oldest first."""
        return tuple(_session(row) for row in await self._writer.read(_ALL_LIVE.rows))

    async def touch(self, session_id: SessionId, at: datetime) -> bool:
        """Note that the session was used; returns whether it had not ended."""
        values = {"session_id": session_id, "last_seen_at": at}
        return await self._writer.write(lambda cursor: _TOUCH.run(cursor, values) == 1)

    async def step_up(self, session_id: SessionId, at: datetime, audit: AuditRecord) -> bool:
        """Note that the PIN was asked again; returns whether the session had not ended."""

        def work(cursor: Cursor) -> bool:
            if _STEP_UP.run(cursor, {"session_id": session_id, "stepped_up_at": at}) != 1:
                return False
            evidence.append(cursor, self._clock, audit)
            return True

        return await self._writer.write(work)

    async def end(self, session_id: SessionId, why: SessionEnd, at: datetime, audit: AuditRecord) -> bool:
        """End a session; returns whether it had not ended before."""
        return len(await self._ended(_END, {"session_id": session_id}, why, at, audit)) == 1

    async def end_of_operator(
        self, operator_id: OperatorId, at: datetime, audit: AuditRecord
    ) -> Sequence[SessionRecord]:
        """End every session of this operator and return them."""
        which = {"operator_id": operator_id}
        return await self._ended(_END_OF_OPERATOR, which, SessionEnd.OPERATOR, at, audit)

    async def end_of_station(
        self, station_id: StationId, at: datetime, audit: AuditRecord
    ) -> Sequence[SessionRecord]:
        """End every session at this station and return them."""
        which = {"station_id": station_id}
        return await self._ended(_END_OF_STATION, which, SessionEnd.STATION, at, audit)

    async def end_of_credential(
        self, credential_id: CredentialId, at: datetime, audit: AuditRecord
    ) -> Sequence[SessionRecord]:
        """End every session that a key of this credential logged on and return them."""
        which = {"credential_id": credential_id}
        return await self._ended(_END_OF_CREDENTIAL, which, SessionEnd.CREDENTIAL, at, audit)

    async def _ended(
        self,
        statement: Prepared,
        which: Mapping[str, object],
        why: SessionEnd,
        at: datetime,
        audit: AuditRecord,
    ) -> Sequence[SessionRecord]:
        def work(cursor: Cursor) -> Sequence[SessionRecord]:
            rows = statement.rows(cursor, **which, ended_at=at, why=why)
            if rows:
                evidence.append(cursor, self._clock, audit)
            return tuple(sorted(map(_session, rows), key=lambda each: each.began_at))

        return await self._writer.write(work)


class ChallengeTable:
    """The port `ChallengeStore`."""

    def __init__(self, writer: Writer) -> None:
        """Work through `writer`."""
        self._writer = writer

    async def add(self, challenge: ChallengeRecord, now: datetime) -> None:
        """Store a challenge, and forget those that have expired."""

        def work(cursor: Cursor) -> None:
            _FORGET_EXPIRED.run(cursor, {"expires_at": now})
            _ADD_CHALLENGE.run(
                cursor,
                {
                    "digest": challenge.digest,
                    "station_id": challenge.station_id,
                    "purpose": challenge.purpose,
                    "expires_at": challenge.expires_at,
                },
            )

        await self._writer.write(work)

    async def spend(self, digest: bytes, now: datetime) -> ChallengeRecord | None:
        """Take a challenge out, once; None where it is unknown, spent or expired."""
        row = await self._writer.write(lambda cursor: _SPEND.row(cursor, digest=digest, expires_at=now))
        if row is None:
            return None
        kept, station_id, purpose, expires_at = row
        return ChallengeRecord(digest=kept, station_id=station_id, purpose=purpose, expires_at=expires_at)


def _session(row: Row) -> SessionRecord:
    return SessionRecord(**{column.name: value for column, value in zip(_COLUMNS, row, strict=True)})
