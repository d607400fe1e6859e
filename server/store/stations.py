"""Stations, and the tokens with which they join."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from sqlalchemy import delete, select, true, update

from server.ports.store import (
    AuditRecord,
    Carried,
    JoinToken,
    OperatorRecord,
    Standing,
    StationRecord,
    StationState,
)
from server.store import applications, evidence
from server.store.application_schema import application
from server.store.operators import insert_operator, rename_operator
from server.store.rules import OUT_OF_SERVICE
from server.store.schema import card, card_carrier, join_token, station, station_certificate, station_profile
from server.store.statements import Cursor, Prepared, add, given, put
from server.store.writer import Writer
from shared import errors
from shared.clock import Clock
from shared.credential.model import RecordId, StationId
from shared.roles import Subject
from shared.station_profile import EVERYTHING, StationProfile, from_document, to_document

_ADD: Final = add(station)
_KNOWN: Final = select(
    station.c.station_id,
    station.c.name,
    station.c.fingerprint,
    station.c.lab,
    station.c.state,
    station.c.joined_at,
    station.c.not_after,
    station_profile.c.document,
    application.c.unattended,
).select_from(
    station.outerjoin(station_profile, station_profile.c.station_id == station.c.station_id).outerjoin(
        application, application.c.station_id == station.c.station_id
    )
)
_BY_FINGERPRINT: Final = Prepared(_KNOWN.where(station.c.fingerprint == given(station.c.fingerprint)))
_BY_ID: Final = Prepared(_KNOWN.where(station.c.station_id == given(station.c.station_id)))
_ALL: Final = Prepared(_KNOWN.order_by(station.c.name, station.c.joined_at))
_ADD_TOKEN: Final = add(join_token)
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


def _set_on_station(*names: str) -> Prepared:
    return Prepared(
        update(station)
        .where(station.c.station_id == given(station.c.station_id))
        .values({name: given(station.c[name]) for name in names})
    )


_SET_STATE: Final = Prepared(
    update(station)
    .where(station.c.station_id == given(station.c.station_id), station.c.state != StationState.COMPROMISED)
    .values(state=given(station.c.state))
)
_COMPROMISE: Final = _set_on_station("state")
_CARRIED: Final = Prepared(
    select(card_carrier.c.record_id, card_carrier.c.carried_at)
    .where(card_carrier.c.station_id == given(card_carrier.c.station_id))
    .order_by(card_carrier.c.carried_at.desc(), card_carrier.c.record_id)
)
_DISCLOSE: Final = Prepared(
    update(card)
    .where(
        card.c.record_id.in_(
            select(card_carrier.c.record_id).where(
                card_carrier.c.station_id == given(card_carrier.c.station_id)
            )
        ),
        *(card.c.state != state for state in sorted(OUT_OF_SERVICE)),
    )
    .values(puk_disclosed=true(), key_disclosed=true())
)
_SET_NAME: Final = _set_on_station("name")
_SET_CERTIFICATE: Final = _set_on_station("fingerprint", "not_after")
_PUT_PROFILE: Final = put(station_profile, (station_profile.c.station_id,))
_OTHER: Final = Prepared(
    select(
        station_certificate.c.station_id, station_certificate.c.standing, station_certificate.c.not_after
    ).where(station_certificate.c.fingerprint == given(station_certificate.c.fingerprint))
)
_ADD_OTHER: Final = add(station_certificate)
_DROP_OTHER: Final = Prepared(
    delete(station_certificate).where(
        station_certificate.c.station_id == given(station_certificate.c.station_id),
        station_certificate.c.standing == given(station_certificate.c.standing),
    )
)


class StationTables:
    """The port `StationStore`."""

    def __init__(self, writer: Writer, clock: Clock) -> None:
        """Work through `writer`."""
        self._writer = writer
        self._clock = clock

    async def by_fingerprint(self, fingerprint: bytes) -> StationRecord | None:
        """Return the station that is known by this certificate, whatever its standing."""
        return await self._writer.read(lambda cursor: _by_fingerprint(cursor, fingerprint))

    async def all(self) -> Sequence[StationRecord]:
        """Return every station by its current certificate, in the order of names."""
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
            applications.add_token(cursor, token.digest, token.application)
            evidence.append(cursor, self._clock, audit)

        await self._writer.write(work)

    async def spend_token(self, digest: bytes, now: datetime) -> JoinToken | None:
        """Take a token out, once; None where it is unknown, spent or expired."""

        def work(cursor: Cursor) -> JoinToken | None:
            row = _SPEND.row(cursor, digest=digest, spent_at=now)
            if row is None:
                return None
            kept, name, lab, expires_at = row
            wanted = applications.of_token(cursor, digest)
            return JoinToken(digest=kept, name=name, lab=lab, expires_at=expires_at, application=wanted)

        return await self._writer.write(work)

    async def add_station(
        self, station: StationRecord, audit: AuditRecord, operator: OperatorRecord | None = None
    ) -> None:
        """Store a station that joined, or an application; `StoreConflict` where its certificate is known already."""

        def work(cursor: Cursor) -> None:
            _refuse_known(cursor, station.fingerprint)
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
            applications.add_application(cursor, station)
            if operator is not None:
                insert_operator(cursor, operator)
            evidence.append(cursor, self._clock, audit)

        await self._writer.write(work)

    async def set_state(self, station_id: StationId, state: StationState, audit: AuditRecord) -> None:
        """Block a station, or let it work again; `StoreConflict` where there is none, or it was compromised."""
        await self._change(_SET_STATE, {"station_id": station_id, "state": state}, audit)

    async def compromise(
        self, station_id: StationId, audit: AuditRecord, about: Callable[[RecordId], AuditRecord]
    ) -> Sequence[Carried]:
        """Write down, in one commit, that whoever has a station has what it carried; for good."""

        def work(cursor: Cursor) -> Sequence[Carried]:
            row = _BY_ID.row(cursor, station_id=station_id)
            if row is None:
                raise errors.StoreConflict(what="station")
            if _station(row).state is not StationState.COMPROMISED:  # it has carried nothing since
                _COMPROMISE.run(cursor, {"station_id": station_id, "state": StationState.COMPROMISED})
                _DISCLOSE.run(cursor, {"station_id": station_id})
            found = [
                Carried(record_id=record_id, at=at)
                for record_id, at in _CARRIED.rows(cursor, station_id=station_id)
            ]
            evidence.append(cursor, self._clock, audit)
            for each in found:
                evidence.append(cursor, self._clock, about(each.record_id))
            return found

        return await self._writer.write(work)

    async def rename(self, station_id: StationId, name: str, audit: AuditRecord) -> None:
        """Give a station, and the application that it is, another name; `StoreConflict` where there is none."""

        def work(cursor: Cursor) -> None:
            if _SET_NAME.run(cursor, {"station_id": station_id, "name": name}) != 1:
                raise errors.StoreConflict(what="station")
            rename_operator(cursor, station_id, name)
            evidence.append(cursor, self._clock, audit)

        await self._writer.write(work)

    async def set_unattended(
        self, station_id: StationId, unattended: Collection[Subject], audit: AuditRecord
    ) -> None:
        """Say what of what is sensitive an application may do; `StoreConflict` where there is no such application."""

        def work(cursor: Cursor) -> None:
            row = _BY_ID.row(cursor, station_id=station_id)
            if row is None or _station(row).unattended is None:
                raise errors.StoreConflict(what="application")
            applications.set_unattended(cursor, station_id, unattended)
            evidence.append(cursor, self._clock, audit)

        await self._writer.write(work)

    async def set_profile(self, station_id: StationId, profile: StationProfile, audit: AuditRecord) -> None:
        """Say what a station may be used for; `StoreConflict` where there is none."""
        values: dict[str, object] = {"station_id": station_id, "document": to_document(profile)}
        await self._change(_PUT_PROFILE, values, audit)

    async def add_next(
        self, station_id: StationId, fingerprint: bytes, not_after: datetime, audit: AuditRecord
    ) -> None:
        """Store a renewed certificate; one that was renewed before and never shown gives way."""

        def work(cursor: Cursor) -> None:
            _refuse_known(cursor, fingerprint)
            _put_other(cursor, station_id, fingerprint, Standing.NEXT, not_after)
            evidence.append(cursor, self._clock, audit)

        await self._writer.write(work)

    async def take_next(self, fingerprint: bytes, former_until: datetime, audit: AuditRecord) -> bool:
        """Make a renewed certificate the current one, as it is shown first; the present one becomes the former."""

        def work(cursor: Cursor) -> bool:
            shown = _by_fingerprint(cursor, fingerprint)
            if shown is None or shown.standing is not Standing.NEXT:
                return False
            station_id = shown.station_id
            before = _station(_present(_BY_ID.row(cursor, station_id=station_id)))
            _DROP_OTHER.run(cursor, {"station_id": station_id, "standing": Standing.NEXT})
            _SET_CERTIFICATE.run(
                cursor,
                {"station_id": station_id, "fingerprint": fingerprint, "not_after": shown.not_after},
            )
            until = min(before.not_after, former_until)
            _put_other(cursor, station_id, before.fingerprint, Standing.FORMER, until)
            evidence.append(cursor, self._clock, audit)
            return True

        return await self._writer.write(work)

    async def _change(self, statement: Prepared, values: dict[str, object], audit: AuditRecord) -> None:
        def work(cursor: Cursor) -> None:
            if _BY_ID.row(cursor, station_id=values["station_id"]) is None:
                raise errors.StoreConflict(what="station")
            if statement.run(cursor, values) != 1:
                raise errors.StoreConflict(what="station")
            evidence.append(cursor, self._clock, audit)

        await self._writer.write(work)


def _by_fingerprint(cursor: Cursor, fingerprint: bytes) -> StationRecord | None:
    row = _BY_FINGERPRINT.row(cursor, fingerprint=fingerprint)
    if row is not None:
        return _station(row)
    other = _OTHER.row(cursor, fingerprint=fingerprint)
    if other is None:
        return None
    station_id, standing, not_after = other
    known = _station(_present(_BY_ID.row(cursor, station_id=station_id)))
    return replace(known, fingerprint=fingerprint, standing=standing, not_after=not_after)


def _refuse_known(cursor: Cursor, fingerprint: bytes) -> None:
    if _by_fingerprint(cursor, fingerprint) is not None:
        raise errors.StoreConflict(what="station")


def _put_other(
    cursor: Cursor, station_id: StationId, fingerprint: bytes, standing: Standing, not_after: datetime
) -> None:
    """Store a certificate of this standing; the one that had it gives way."""
    if _BY_ID.row(cursor, station_id=station_id) is None:
        raise errors.StoreConflict(what="station")
    _DROP_OTHER.run(cursor, {"station_id": station_id, "standing": standing})
    _ADD_OTHER.run(
        cursor,
        {
            "fingerprint": fingerprint,
            "station_id": station_id,
            "standing": standing,
            "not_after": not_after,
        },
    )


def _present(row: tuple[Any, ...] | None) -> tuple[Any, ...]:
    assert row is not None  # the foreign key
    return row


def _station(row: tuple[Any, ...]) -> StationRecord:
    station_id, name, fingerprint, lab, state, joined_at, not_after, document, unattended = row
    return StationRecord(
        station_id=station_id,
        name=name,
        fingerprint=fingerprint,
        lab=lab,
        state=state,
        joined_at=joined_at,
        not_after=not_after,
        profile=EVERYTHING if document is None else from_document(document),
        unattended=None if unattended is None else applications.read(unattended),
    )
