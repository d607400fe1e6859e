"""The record of stations: who joined, by which certificates each is known, what it may be used for."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum, unique
from typing import Protocol

from server.ports.audit import AuditRecord
from server.ports.operators import OperatorRecord
from shared.credential.model import RecordId, StationId
from shared.roles import Subject
from shared.station_profile import EVERYTHING, StationProfile


@unique
class StationState(StrEnum):
    """Whether a station may call. One that was declared compromised never may again; its machine joins anew."""

    ACTIVE = "active"
    BLOCKED = "blocked"
    COMPROMISED = "compromised"


@unique
class Standing(StrEnum):
    """What a certificate is to its station."""

    CURRENT = "current"
    NEXT = "next"
    """Renewed, and not shown yet: the current one counts until then."""
    FORMER = "former"
    """The one before, which counts a little longer: another process of the station may still show it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Application:
    """What another system may do: `roles` as operators have, and what of it is sensitive and may be done `unattended`."""

    roles: frozenset[str]
    unattended: frozenset[Subject] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class StationRecord:
    """A machine that joined, as one of its certificates shows it.

    `fingerprint` is the SHA-256 of that certificate (DER); `not_after` is when it stops counting. `unattended` is None for
    a station; for an application, which acts as itself, it is what it may do of what others give a PIN for.
    """

    station_id: StationId
    name: str
    fingerprint: bytes
    lab: bool
    state: StationState
    joined_at: datetime
    not_after: datetime
    standing: Standing = Standing.CURRENT
    profile: StationProfile = EVERYTHING
    unattended: frozenset[Subject] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinToken:
    """A right to join once: `digest` is the SHA-256 of the token's secret part; an `application` is what the machine will be."""

    digest: bytes
    name: str
    lab: bool
    expires_at: datetime
    application: Application | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Carried:
    """A card whose secrets a station carried, and when it did so last."""

    record_id: RecordId
    at: datetime


class StationStore(Protocol):
    """Stations and join tokens."""

    async def by_fingerprint(self, fingerprint: bytes) -> StationRecord | None:
        """Return the station that is known by this certificate, whatever its standing."""
        ...

    async def all(self) -> Sequence[StationRecord]:
        """Return every station by its current certificate, in the order of names."""
        ...

    async def add_token(self, token: JoinToken, audit: AuditRecord) -> None:
        """Store a join token."""
        ...

    async def spend_token(self, digest: bytes, now: datetime) -> JoinToken | None:
        """Take a token out, once; None where it is unknown, spent or expired."""
        ...

    async def add_station(
        self, station: StationRecord, audit: AuditRecord, operator: OperatorRecord | None = None
    ) -> None:
        """Store a station that joined, which may be used for everything; an application with the `operator` that it is.

        Raises:
            StoreConflict: the id or the certificate is known already.
            Invalid: there is no such role any more.
        """
        ...

    async def set_state(self, station_id: StationId, state: StationState, audit: AuditRecord) -> None:
        """Block a station, or let it work again; `StoreConflict` where there is none, or it was compromised."""
        ...

    async def compromise(
        self, station_id: StationId, audit: AuditRecord, about: Callable[[RecordId], AuditRecord]
    ) -> Sequence[Carried]:
        """Write down, in one commit, that whoever has a station has what it carried; for good.

        Every card in service whose secrets it carried has its PUK and management key replaced at the next contact. Returns
        all cards whose secrets it carried, the last first, each with evidence `about` it. May be said again, for the list.

        Raises:
            StoreConflict: there is no such station.
        """
        ...

    async def rename(self, station_id: StationId, name: str, audit: AuditRecord) -> None:
        """Give a station, and the application that it is, another name; `StoreConflict` where there is none."""
        ...

    async def set_unattended(
        self, station_id: StationId, unattended: Collection[Subject], audit: AuditRecord
    ) -> None:
        """Say what of what is sensitive an application may do; `StoreConflict` where there is no such application."""
        ...

    async def set_profile(self, station_id: StationId, profile: StationProfile, audit: AuditRecord) -> None:
        """Say what a station may be used for; `StoreConflict` where there is none."""
        ...

    async def add_next(
        self, station_id: StationId, fingerprint: bytes, not_after: datetime, audit: AuditRecord
    ) -> None:
        """Store a renewed certificate; one that was renewed before and never shown gives way.

        Raises:
            StoreConflict: there is no such station, or the certificate is known.
        """
        ...

    async def take_next(self, fingerprint: bytes, former_until: datetime, audit: AuditRecord) -> bool:
        """Make a renewed certificate the current one, as it is shown first; the present one becomes the former.

        The former one counts until `former_until`, and never longer than it is valid. Returns whether the certificate was
        the next one; where it was not, nothing is written.
        """
        ...
