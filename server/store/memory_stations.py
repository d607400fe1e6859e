"""Stations and the tokens with which they join, in memory."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from datetime import datetime

from server.ports.store import (
    AuditRecord,
    Carried,
    JoinToken,
    OperatorId,
    OperatorRecord,
    Standing,
    StationRecord,
    StationState,
)
from server.store.memory_operators import insert_operator
from server.store.memory_state import Book, Draft
from server.store.rules import OUT_OF_SERVICE
from shared import errors
from shared.credential.model import RecordId, StationId
from shared.roles import Subject
from shared.station_profile import StationProfile


class MemoryStations:
    """The port `StationStore`."""

    def __init__(self, book: Book) -> None:
        """Work on `book`."""
        self._book = book

    async def by_fingerprint(self, fingerprint: bytes) -> StationRecord | None:
        """Return the station that is known by this certificate, whatever its standing."""
        return _known(self._book.state, fingerprint)

    async def all(self) -> Sequence[StationRecord]:
        """Return every station by its current certificate, in the order of names."""
        return tuple(sorted(self._book.state.stations.values(), key=lambda station: station.name))

    async def add_token(self, token: JoinToken, audit: AuditRecord) -> None:
        """Store a join token."""
        with self._book.writing() as draft:
            if token.digest in draft.tokens:
                raise errors.StoreConflict(what="join_token")
            draft.tokens[token.digest] = token
            self._book.note(draft, audit)

    async def spend_token(self, digest: bytes, now: datetime) -> JoinToken | None:
        """Take a token out, once; None where it is unknown, spent or expired."""
        with self._book.writing() as draft:
            token = draft.tokens.get(digest)
            if token is None or token.expires_at <= now:
                return None
            del draft.tokens[digest]
        return token

    async def add_station(
        self, station: StationRecord, audit: AuditRecord, operator: OperatorRecord | None = None
    ) -> None:
        """Store a station that joined, or an application; `StoreConflict` where its certificate is known already."""
        with self._book.writing() as draft:
            if station.station_id in draft.stations or _known(draft, station.fingerprint) is not None:
                raise errors.StoreConflict(what="station")
            draft.stations[station.station_id] = station
            if operator is not None:
                insert_operator(draft, operator)
            self._book.note(draft, audit)

    async def set_state(self, station_id: StationId, state: StationState, audit: AuditRecord) -> None:
        """Block a station, or let it work again; `StoreConflict` where there is none, or it was compromised."""

        def change(station: StationRecord) -> StationRecord:
            if station.state is StationState.COMPROMISED:
                raise errors.StoreConflict(what="station")
            return replace(station, state=state)

        self._change(station_id, audit, change)

    async def compromise(
        self, station_id: StationId, audit: AuditRecord, about: Callable[[RecordId], AuditRecord]
    ) -> Sequence[Carried]:
        """Write down, in one commit, that whoever has a station has what it carried; for good."""
        with self._book.writing() as draft:
            if station_id not in draft.stations:
                raise errors.StoreConflict(what="station")
            station = draft.stations[station_id]
            draft.stations[station_id] = replace(station, state=StationState.COMPROMISED)
            found = [
                Carried(record_id=record_id, at=at)
                for (record_id, carrier), at in draft.carriers.items()
                if carrier == station_id
            ]
            found.sort(key=lambda each: (-each.at.timestamp(), each.record_id))
            for each in found if station.state is not StationState.COMPROMISED else ():
                if draft.cards[each.record_id].state not in OUT_OF_SERVICE:
                    draft.cards[each.record_id] = replace(
                        draft.cards[each.record_id], puk_disclosed=True, key_disclosed=True
                    )
            self._book.note(draft, audit, *(about(each.record_id) for each in found))
        return found

    async def rename(self, station_id: StationId, name: str, audit: AuditRecord) -> None:
        """Give a station, and the application that it is, another name; `StoreConflict` where there is none."""
        with self._book.writing() as draft:
            if station_id not in draft.stations:
                raise errors.StoreConflict(what="station")
            draft.stations[station_id] = replace(draft.stations[station_id], name=name)
            operator_id = OperatorId(station_id)
            if operator_id in draft.operators:
                draft.operators[operator_id] = replace(draft.operators[operator_id], name=name)
            self._book.note(draft, audit)

    async def set_unattended(
        self, station_id: StationId, unattended: Collection[Subject], audit: AuditRecord
    ) -> None:
        """Say what of what is sensitive an application may do; `StoreConflict` where there is no such application."""
        station = self._book.state.stations.get(station_id)
        if station is None or station.unattended is None:
            raise errors.StoreConflict(what="application")
        self._change(station_id, audit, lambda station: replace(station, unattended=frozenset(unattended)))

    async def set_profile(self, station_id: StationId, profile: StationProfile, audit: AuditRecord) -> None:
        """Say what a station may be used for; `StoreConflict` where there is none."""
        self._change(station_id, audit, lambda station: replace(station, profile=profile))

    async def add_next(
        self, station_id: StationId, fingerprint: bytes, not_after: datetime, audit: AuditRecord
    ) -> None:
        """Store a renewed certificate; one that was renewed before and never shown gives way."""
        with self._book.writing() as draft:
            if station_id not in draft.stations or _known(draft, fingerprint) is not None:
                raise errors.StoreConflict(what="station")
            _put_other(draft, fingerprint, station_id, Standing.NEXT, not_after)
            self._book.note(draft, audit)

    async def take_next(self, fingerprint: bytes, former_until: datetime, audit: AuditRecord) -> bool:
        """Make a renewed certificate the current one, as it is shown first; the present one becomes the former."""
        with self._book.writing() as draft:
            shown = _known(draft, fingerprint)
            if shown is None or shown.standing is not Standing.NEXT:
                return False
            before = draft.stations[shown.station_id]
            del draft.certificates[fingerprint]
            draft.stations[shown.station_id] = replace(
                before, fingerprint=fingerprint, not_after=shown.not_after
            )
            until = min(before.not_after, former_until)
            _put_other(draft, before.fingerprint, before.station_id, Standing.FORMER, until)
            self._book.note(draft, audit)
        return True

    def _change(
        self, station_id: StationId, audit: AuditRecord, change: Callable[[StationRecord], StationRecord]
    ) -> None:
        with self._book.writing() as draft:
            if station_id not in draft.stations:
                raise errors.StoreConflict(what="station")
            draft.stations[station_id] = change(draft.stations[station_id])
            self._book.note(draft, audit)


def _known(state: Draft, fingerprint: bytes) -> StationRecord | None:
    for station in state.stations.values():
        if station.fingerprint == fingerprint:
            return station
    if fingerprint not in state.certificates:
        return None
    station_id, standing, not_after = state.certificates[fingerprint]
    station = state.stations[station_id]
    return replace(station, fingerprint=fingerprint, standing=standing, not_after=not_after)


def _put_other(
    draft: Draft, fingerprint: bytes, station_id: StationId, standing: Standing, not_after: datetime
) -> None:
    """Store a certificate of this standing; the one that had it gives way."""
    draft.certificates = {
        known: other for known, other in draft.certificates.items() if other[:2] != (station_id, standing)
    }
    draft.certificates[fingerprint] = (station_id, standing, not_after)
