"""Stations, and the tokens with which they join."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from sqlalchemy import select, update

from server.ports.store import AuditRecord, JoinToken, StationRecord, StationState
from server.store import evidence
from server.store.schema import join_token, station
from server.store.statements import Cursor, Prepared, add, given
from server.store.writer import Writer
from shared import errors
from shared.clock import Clock
from shared.credential.model import StationId

_ADD: Final = add(station)
_BY_FINGERPRINT: Final = Prepared(
    select(*station.columns).where(station.c.fingerprint == given(station.c.fingerprint))
)
_ALL: Final = Prepared(select(*station.columns).order_by(station.c.name, station.c.joined_at))
_ADD_TOKEN: Final = add(join_token)


def _set_on_station(name: str) -> Prepared:
    return Prepared(
        update(station)
        .where(station.c.station_id == given(station.c.station_id))
        .values({name: given(station.c[name])})
    )


_SET_STATE: Final = _set_on_station("state")
_SET_NAME: Final = _set_on_station("name")
_SPEND: Final = Prepared(
    update(join_token)
    .where(
        join_token.c.digest == given(join_token.c.digest),
        join_token.c.spent_at.is_(None),
        join_token.c.expires_at > given(join_token.c.spent_at),
    )
    .values(spent_at=given(join_token.c.spent_at))
    .returning(join_token.c.digest, join_token.c.name, join_token.c.lab, join_token.c.expires_at)
)


class StationTables:
    """The port `StationStore`."""

    def __init__(self, writer: Writer, clock: Clock) -> None:
        """Work through `writer`."""
        self._writer = writer
        self._clock = clock

    async def by_fingerprint(self, fingerprint: bytes) -> StationRecord | None:
        """Return the station that joined with this certificate."""
        row = await self._writer.read(lambda cursor: _BY_FINGERPRINT.row(cursor, fingerprint=fingerprint))
        return None if row is None else _station(row)

    async def all(self) -> Sequence[StationRecord]:
        """Return every station, by name."""
        return [_station(row) for row in await self._writer.read(_ALL.rows)]

    async def add_token(self, token: JoinToken, audit: AuditRecord) -> None:
        """Store a join token."""

        def work(cursor: Cursor) -> None:
            _ADD_TOKEN.run(
                cursor,
                {
                    "digest": token.digest,
                    "name": token.name,
                    "lab": token.lab,
                    "expires_at": token.expires_at,
                    "spent_at": None,
                },
            )
            evidence.append(cursor, self._clock, audit)

        await self._writer.write(work)

    async def spend_token(self, digest: bytes, now: datetime) -> JoinToken | None:
        """Take a token out, once; None where it is unknown, spent or expired."""
        row = await self._writer.write(lambda cursor: _SPEND.row(cursor, digest=digest, spent_at=now))
        if row is None:
            return None
        kept, name, lab, expires_at = row
        return JoinToken(digest=kept, name=name, lab=lab, expires_at=expires_at)

    async def add_station(self, station: StationRecord, audit: AuditRecord) -> None:
        """Store a station that joined; `StoreConflict` where its certificate is known already."""

        def work(cursor: Cursor) -> None:
            _ADD.run(
                cursor,
                {
                    "station_id": station.station_id,
                    "name": station.name,
                    "fingerprint": station.fingerprint,
                    "lab": station.lab,
                    "state": station.state,
                    "joined_at": station.joined_at,
                    "not_after": station.not_after,
                },
            )
            evidence.append(cursor, self._clock, audit)

        await self._writer.write(work)

    async def set_state(self, station_id: StationId, state: StationState, audit: AuditRecord) -> None:
        """Block a station, or let it work again; `StoreConflict` where there is none."""
        await self._change(_SET_STATE, {"station_id": station_id, "state": state}, audit)

    async def rename(self, station_id: StationId, name: str, audit: AuditRecord) -> None:
        """Give a station another name; `StoreConflict` where there is none."""
        await self._change(_SET_NAME, {"station_id": station_id, "name": name}, audit)

    async def _change(self, statement: Prepared, values: dict[str, object], audit: AuditRecord) -> None:
        def work(cursor: Cursor) -> None:
            if statement.run(cursor, values) != 1:
                raise errors.StoreConflict(what="station")
            evidence.append(cursor, self._clock, audit)

        await self._writer.write(work)


def _station(row: tuple[Any, ...]) -> StationRecord:
    station_id, name, fingerprint, lab, state, joined_at, not_after = row
    return StationRecord(
        station_id=station_id,
        name=name,
        fingerprint=fingerprint,
        lab=lab,
        state=state,
        joined_at=joined_at,
        not_after=not_after,
    )
