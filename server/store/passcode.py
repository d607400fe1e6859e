"""The passcode of the first start, and the one session that it opened."""

from dataclasses import replace
from datetime import datetime
from typing import Final

from sqlalchemy import delete, literal, select

from server.ports.store import AuditRecord, FirstStartRecord, PasscodeRecord
from server.store import evidence
from server.store.operator_schema import operator, passcode
from server.store.statements import Cursor, Prepared, put
from server.store.writer import Writer
from shared import errors
from shared.clock import Clock

_HAS_OPERATOR: Final = Prepared(select(literal(1)).select_from(operator).limit(1))
_COLUMNS: Final = tuple(column for column in passcode.columns if column is not passcode.c.number)
_PUT: Final = put(passcode, (passcode.c.number,))
_GET: Final = Prepared(select(*_COLUMNS))
_FORGET: Final = Prepared(delete(passcode))


class PasscodeTable:
    """The port `PasscodeStore`."""

    def __init__(self, writer: Writer, clock: Clock) -> None:
        """Work through `writer`."""
        self._writer = writer
        self._clock = clock

    async def set(self, passcode: PasscodeRecord, audit: AuditRecord) -> None:
        """Keep this passcode in the place of an earlier one."""

        def work(cursor: Cursor) -> None:
            if passcode.expires_at is None and _HAS_OPERATOR.row(cursor) is not None:
                raise errors.StoreConflict(what="operator")
            _put(cursor, passcode)
            evidence.append(cursor, self._clock, audit)

        await self._writer.write(work)

    async def get(self) -> PasscodeRecord | None:
        """Return it; None where there is none."""
        return await self._writer.read(_kept)

    async def note_failure(self, locked_until: datetime | None, audit: AuditRecord) -> int:
        """Count a wrong one, and return how many there were in a row."""

        def work(cursor: Cursor) -> int:
            kept = _kept(cursor)
            if kept is None:
                return 0
            _put(cursor, replace(kept, failures=kept.failures + 1, locked_until=locked_until))
            evidence.append(cursor, self._clock, audit)
            return kept.failures + 1

        return await self._writer.write(work)

    async def begin(self, session: FirstStartRecord, seen: PasscodeRecord, audit: AuditRecord) -> None:
        """Open a session in the place of the one before; failures are forgotten."""

        def work(cursor: Cursor) -> None:
            kept = _kept(cursor)
            if kept is None or (kept.salt, kept.digest) != (seen.salt, seen.digest):
                raise errors.StoreConflict(what="passcode")
            _put(cursor, replace(kept, failures=0, locked_until=None, session=session))
            evidence.append(cursor, self._clock, audit)

        await self._writer.write(work)

    async def end(self, token_digest: bytes, audit: AuditRecord) -> bool:
        """End the session with this token; returns whether there was one."""

        def work(cursor: Cursor) -> bool:
            kept = _kept(cursor)
            if kept is None or kept.session is None or kept.session.token_digest != token_digest:
                return False
            _put(cursor, replace(kept, session=None))
            evidence.append(cursor, self._clock, audit)
            return True

        return await self._writer.write(work)


def forget_passcode(cursor: Cursor) -> None:
    """Let the passcode go, and its session: there is an operator now."""
    _FORGET.run(cursor, {})


def _kept(cursor: Cursor) -> PasscodeRecord | None:
    row = _GET.row(cursor)
    if row is None:
        return None
    values = dict(zip((column.name for column in _COLUMNS), row, strict=True))
    session = None
    bound = {name: values.pop(name) for name in ("token_digest", "station_id", "fingerprint")}
    until = values.pop("session_until")
    if until is not None:
        session = FirstStartRecord(**bound, expires_at=until)
    return PasscodeRecord(**values, session=session)


def _put(cursor: Cursor, record: PasscodeRecord) -> None:
    session = record.session
    _PUT.run(
        cursor,
        {
            "number": 1,
            "salt": record.salt,
            "digest": record.digest,
            "cost": record.cost,
            "block_size": record.block_size,
            "parallelism": record.parallelism,
            "made_at": record.made_at,
            "expires_at": record.expires_at,
            "failures": record.failures,
            "locked_until": record.locked_until,
            "token_digest": session.token_digest if session else None,
            "station_id": session.station_id if session else None,
            "fingerprint": session.fingerprint if session else None,
            "session_until": session.expires_at if session else None,
        },
    )
