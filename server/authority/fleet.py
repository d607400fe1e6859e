"""Stations after they have joined: blocked, let in again, called by another name.

An administrator names a station as people do, or by its id where a name is not enough.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final, Protocol
from uuid import UUID

from server.authority.lines import Lines
from server.authority.presence import Attendance
from server.authority.services import CarriedCard, CompromisedStation, StationView
from server.authority.stations import check_name
from server.ports.store import (
    AuditKind,
    AuditRecord,
    CardStore,
    Carried,
    StationRecord,
    StationState,
    StationStore,
    TemplateStore,
)
from shared import errors
from shared.clock import Clock
from shared.credential.model import StationId
from shared.errors import Fact
from shared.station_profile import StationProfile, to_document

WHY_MAX: Final = 400
"""Characters of a reason."""
COMPROMISED: Final = "it was compromised; let the machine join again"


class SessionsAtStations(Protocol):
    """Sessions that do not outlive their station."""

    async def end_of_station(self, station_id: StationId, at: datetime, audit: AuditRecord) -> object:
        """End every session at this station; evidence is kept where there was one."""
        ...


class Fleet:
    """Change what stations may do. Every change says why, and leaves evidence in the same commit."""

    def __init__(
        self,
        stations: StationStore,
        cards: CardStore,
        templates: TemplateStore,
        lines: Lines,
        attendance: Attendance,
        sessions: Sequence[SessionsAtStations],
        clock: Clock,
        *,
        applications: bool = False,
    ) -> None:
        """Keep it in `stations`; look after those that are `applications`, or after the others. `lines` are the calls that stations make right now, `attendance` those that they made.

        All `sessions`, operators' and holders', end with the station that they are at.
        """
        self._stations = stations
        self._cards = cards
        self._templates = templates
        self._attendance = attendance
        self._lines = lines
        self._sessions = sessions
        self._clock = clock
        self._applications = applications
        self._word: Final = "application" if applications else "station"

    async def all(self) -> Sequence[StationView]:
        """Return every one of them, by name."""
        return [
            StationView(station=each, presence=self._attendance.of(each.station_id))
            for each in await self._ours()
        ]

    async def set_profile(self, which: str, profile: StationProfile, why: str, actor: str) -> StationRecord:
        """Say what a station may be used for; it counts from its next call on.

        Raises:
            Invalid: there is no such station, several have this name, there is no such template, or there is no reason.
        """
        why = check_why(why)
        station = await self.find(which)
        for name in sorted({*(profile.templates or ()), *filter(None, [profile.default_template])}):
            if await self._templates.latest(name) is None:
                raise errors.Invalid(field="templates", why=f"there is no template {name}")
        facts: dict[str, Fact] = {"name": station.name, "profile": to_document(profile), "why": why}
        audit = _evidence("station-profile", actor, station, facts)
        await self._stations.set_profile(station.station_id, profile, audit)
        return replace(station, profile=profile)

    async def block(self, which: str, why: str, actor: str) -> StationRecord:
        """Let a station do nothing any more, from this moment: what it is doing is cut.

        An operation that is cut records where it is, and its card is healed at another station.

        Raises:
            Invalid: there is no such station, several have this name, or there is no reason.
        """
        why = check_why(why)
        station = await self.find(which)
        if station.state is StationState.COMPROMISED:
            raise errors.Invalid(field=self._word, why=COMPROMISED)
        calls = self._lines.bar(station.station_id)
        try:
            blocked = await self._set(
                station, StationState.BLOCKED, "station-blocked", actor, why, calls=calls
            )
        except BaseException:
            if station.state is StationState.ACTIVE:
                self._lines.allow(station.station_id)
            raise
        await self._end_sessions(station, actor)
        return blocked

    async def unblock(self, which: str, why: str, actor: str) -> StationRecord:
        """Let a blocked station work again.

        Raises:
            Invalid: there is no such station, several have this name, it is not blocked, or there is no reason.
        """
        why = check_why(why)
        station = await self.find(which)
        if station.state is StationState.COMPROMISED:
            raise errors.Invalid(field=self._word, why=COMPROMISED)
        if station.state is not StationState.BLOCKED:
            raise errors.Invalid(field=self._word, why="it is not blocked")
        changed = await self._set(station, StationState.ACTIVE, "station-unblocked", actor, why)
        self._lines.allow(station.station_id)
        return changed

    async def compromised(self, which: str, why: str, actor: str) -> CompromisedStation:
        """Block a station for good, because somebody else has it or had it, and name every card whose secrets it carried.

        The PUKs and management keys of those cards count as disclosed: each is replaced at the card's next contact with
        another station. May be said again, for the list.

        Raises:
            Invalid: there is no such station, several have this name, or there is no reason.
        """
        why = check_why(why)
        station = await self.find(which)
        calls = self._lines.bar(station.station_id)
        facts: dict[str, Fact] = {"name": station.name, "why": why, "calls": calls}
        try:
            found = await self._stations.compromise(
                station.station_id,
                _evidence("station-compromised", actor, station, facts),
                lambda record_id: AuditRecord(
                    kind=AuditKind.STATION,
                    event="secrets-compromised",
                    actor=actor,
                    subject=str(record_id),
                    facts={"station": str(station.station_id), "name": station.name, "why": why},
                ),
            )
        except BaseException:
            if station.state is StationState.ACTIVE:
                self._lines.allow(station.station_id)
            raise
        await self._end_sessions(station, actor)
        return CompromisedStation(
            station=replace(station, state=StationState.COMPROMISED),
            cards=tuple([await self._carried(each) for each in found]),
        )

    async def _end_sessions(self, station: StationRecord, actor: str) -> None:
        """End every session at a station: letting it in again must not bring them back."""
        audit = _evidence("sessions-ended", actor, station, {"name": station.name})
        for sessions in self._sessions:
            await sessions.end_of_station(station.station_id, self._clock.now(), audit)

    async def _carried(self, carried: Carried) -> CarriedCard:
        record = await self._cards.card(carried.record_id)
        assert record is not None  # cards are never taken out of the record
        credential = record.credential
        return CarriedCard(
            record_id=carried.record_id,
            at=carried.at,
            serial=record.serial,
            state=record.state,
            holder=credential.holder_name if credential else "",
            rotates_puk=record.puk_disclosed,
            rekeys=record.key_disclosed,
        )

    async def rename(self, which: str, name: str, why: str, actor: str) -> StationRecord:
        """Call a station by another name, which no other one has. A reason is welcome and not needed.

        Raises:
            Invalid: there is no such station, several have the old name, or the new one is not acceptable.
        """
        check_name(name)
        why = check_why(why) if why else ""
        station = await self.find(which)
        if any(each.name == name for each in await self._stations.all() if each != station):
            raise errors.Invalid(field="name", why="another station is called so")
        audit = _evidence("station-renamed", actor, station, {"from": station.name, "to": name, "why": why})
        await self._stations.rename(station.station_id, name, audit)
        return replace(station, name=name)

    async def _set(
        self, station: StationRecord, state: StationState, event: str, actor: str, why: str, **facts: Fact
    ) -> StationRecord:
        audit = _evidence(event, actor, station, {"name": station.name, "why": why, **facts})
        await self._stations.set_state(station.station_id, state, audit)
        return replace(station, state=state)

    async def _ours(self) -> Sequence[StationRecord]:
        """Return applications, or stations that are none."""
        kept = await self._stations.all()
        return [each for each in kept if (each.unattended is not None) is self._applications]

    async def find(self, which: str) -> StationRecord:
        """Return the station of this id, or the only one of this name.

        Raises:
            Invalid: there is none, or several have this name.
        """
        stations = await self._ours()
        found = [each for each in stations if each.station_id == _read_id(which)]
        found = found or [each for each in stations if each.name == which]
        if not found:
            raise errors.Invalid(field=self._word, why=f"no {self._word} is called so")
        if len(found) > 1:
            raise errors.Invalid(
                field=self._word, why=f"{len(found)} {self._word}s are called so; give the id"
            )
        return found[0]


def check_why(why: str) -> str:
    """Return a reason as it is kept, on one line; `Invalid` where there is none, or a very long one."""
    why = " ".join(why.split())
    if not 0 < len(why) <= WHY_MAX:
        raise errors.Invalid(field="why", why=f"1 to {WHY_MAX} characters")
    return why


def _evidence(event: str, actor: str, station: StationRecord, facts: dict[str, Fact]) -> AuditRecord:
    subject = str(station.station_id)
    return AuditRecord(kind=AuditKind.STATION, event=event, actor=actor, subject=subject, facts=facts)


def _read_id(text: str) -> UUID | None:
    try:
        return UUID(text)
    except ValueError:
        return None
