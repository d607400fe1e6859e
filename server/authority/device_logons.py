"""Log-ons of holders that are finished on another device: begun at a station, asked about until there is an outcome.

What the directory gave to ask with never leaves the server, and is in its memory alone: a log-on that a restart cuts is begun anew. The
station gets what the person types elsewhere, and a number that counts at that station and nowhere else.

Whoever begins one may show the code to somebody else, who types it without thinking ([RFC 8628] 5.4). So it is a proof of its own, which a
template allows or not, and what was begun is evidence.

Source: [RFC 8628] 3.3 to 3.5, 5.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil
from typing import Final
from uuid import UUID, uuid4

from server.authority.access import Caller
from server.ports.directory import CanAuthenticateByCode, CodeLogon, Known, NotKnown, Waiting
from shared import errors
from shared.clock import Clock
from shared.credential.model import HolderId, StationId
from shared.self_service import DeviceCode, DeviceWaits

MOST_AT_ONCE: Final = 8
"""Log-ons that wait at one station."""
LONGEST: Final = timedelta(minutes=15)
"""However long a directory would wait."""


@dataclass(slots=True, kw_only=True)
class _Waiting:
    """One that nobody has finished yet. `next_at` is when the directory may be asked again."""

    station_id: StationId
    fingerprint: bytes
    name: str
    directory: CanAuthenticateByCode
    holder: HolderId
    logon: CodeLogon
    ends_at: datetime
    interval_s: int
    next_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Finished:
    """What became of a log-on: `why` is empty where the directory says that it was `holder` of `directory`."""

    directory: str
    holder: HolderId
    why: str = ""


class DeviceLogons:
    """Those that wait, of all stations."""

    def __init__(self, clock: Clock, *, new_id: Callable[[], UUID] = uuid4) -> None:
        """Begin with none."""
        self._clock = clock
        self._new_id = new_id
        self._waiting: dict[UUID, _Waiting] = {}

    async def begin(
        self, caller: Caller, name: str, directory: CanAuthenticateByCode, holder: HolderId
    ) -> DeviceCode:
        """Ask a directory, `name`, for a code with which this holder may log on; one that waits for them here ends.

        Raises:
            TooManyAttempts: enough wait at this station.
            ConnectorUnreachable, ConnectorRefused: as `CanAuthenticateByCode.begin`.
        """
        now = self._clock.now()
        self._forget_late(now)
        here = {key: each for key, each in self._waiting.items() if each.station_id == caller.station_id}
        for key, each in here.items():
            if (each.name, each.holder) == (name, holder):
                self._drop(key)
        left = [each.ends_at for key, each in here.items() if key in self._waiting]
        if len(left) >= MOST_AT_ONCE:
            raise errors.TooManyAttempts(seconds=ceil((min(left) - now).total_seconds()))
        logon = await directory.begin(holder)
        now = self._clock.now()
        key, ends_at = self._new_id(), min(logon.ends_at, now + LONGEST)
        self._waiting[key] = _Waiting(
            station_id=caller.station_id,
            fingerprint=caller.fingerprint,
            name=name,
            directory=directory,
            holder=holder,
            logon=logon,
            ends_at=ends_at,
            interval_s=logon.interval_s,
            next_at=now + timedelta(seconds=logon.interval_s),
        )
        return DeviceCode(
            logon_id=key,
            code=logon.code,
            address=logon.address,
            whole_address=logon.whole_address,
            ends_at=ends_at,
            interval_s=logon.interval_s,
        )

    async def ask(self, caller: Caller, logon_id: UUID) -> Finished | DeviceWaits | None:
        """Return what became of a log-on, once; None where there is none that this station began, or any more.

        A station that asks too often is told to wait, and the directory is not asked.

        Raises:
            ConnectorUnreachable, ConnectorRefused: as `CanAuthenticateByCode.outcome`; it still waits.
        """
        now = self._clock.now()
        one = self._of(caller, logon_id)
        if one is None:
            return None
        if now >= one.ends_at:
            return self._finish(logon_id, NotKnown("expired"))
        if now < one.next_at:
            return DeviceWaits(interval_s=ceil((one.next_at - now).total_seconds()))
        one.next_at = now + timedelta(seconds=one.interval_s)  # of two that ask at the same time, one does
        outcome = await one.directory.outcome(one.holder, one.logon)
        if self._waiting.get(logon_id) is not one:
            return None  # it was taken back meanwhile
        if not isinstance(outcome, Waiting):
            return self._finish(logon_id, outcome)
        one.interval_s = max(one.interval_s, outcome.interval_s)
        one.next_at = self._clock.now() + timedelta(seconds=one.interval_s)
        return DeviceWaits(interval_s=one.interval_s)

    def _finish(self, logon_id: UUID, outcome: Known | NotKnown) -> Finished:
        """Return what became of a log-on, which is over."""
        one = self._waiting[logon_id]
        self._drop(logon_id)
        if isinstance(outcome, NotKnown):
            why = outcome.reason
        else:
            why = "" if outcome.holder == one.holder else "another person"
        return Finished(directory=one.name, holder=one.holder, why=why)

    def cancel(self, caller: Caller, logon_id: UUID) -> None:
        """Take back a log-on that this station began; where there is none, that is what was wanted."""
        if self._of(caller, logon_id) is not None:
            self._drop(logon_id)

    def _of(self, caller: Caller, logon_id: UUID) -> _Waiting | None:
        one = self._waiting.get(logon_id)
        bound = one is not None and (one.station_id, one.fingerprint) == (
            caller.station_id,
            caller.fingerprint,
        )
        return one if bound else None

    def _drop(self, logon_id: UUID) -> None:
        self._waiting.pop(logon_id).logon.handle.wipe()

    def _forget_late(self, now: datetime) -> None:
        for key in [key for key, each in self._waiting.items() if now >= each.ends_at]:
            self._drop(key)
