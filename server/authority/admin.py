"""What an administrator asks of the running server, on its own machine.

Until operators exist, the server's own Unix user is the administrator: who can open the socket may ask. From then on, what changes
something takes the session of an operator.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import timedelta
from typing import Final, Protocol

from server.authority.administrator import administrator
from server.authority.fleet import Fleet
from server.authority.keys import MasterKeyGenerations
from server.authority.policy import unrestricted
from server.authority.services import (
    Check,
    CompromisedStation,
    JobView,
    KeyGeneration,
    Retried,
    ServerStatus,
    StationView,
    TaskView,
    TemplateLine,
    TemplateText,
    WaitingTasks,
)
from server.authority.stations import Enrolment
from server.authority.templates import Templates
from server.authority.work import Work
from server.ports.store import StationRecord
from shared import errors
from shared.clock import Clock
from shared.credential.model import RequestId
from shared.errors import Fact
from shared.station_profile import StationProfile

ACTOR: Final = "admin"
_OWN_USER: Final = unrestricted(ACTOR)


class Probe(Protocol):
    """Try one thing that the server needs; return what is worth telling, raise what is wrong."""

    def __call__(self) -> Awaitable[dict[str, Fact]]:
        """Look once."""
        ...


async def _check(subject: str, probe: Probe) -> Check:
    try:
        return Check(subject=subject, facts=await probe())
    except errors.KioskError as error:
        return Check(subject=subject, error=error)


class Admin:
    """Answer `kiosk-server` commands."""

    def __init__(
        self,
        *,
        name: str,
        version: str,
        enrolment: Enrolment,
        fleet: Fleet,
        templates: Templates,
        keys: MasterKeyGenerations,
        work: Work,
        probes: Callable[[], Mapping[str, Probe]],
        clock: Clock,
    ) -> None:
        """`probes` returns what `doctor` tries at that time, by subject."""
        self._name = name
        self._version = version
        self._enrolment = enrolment
        self._fleet = fleet
        self._templates = templates
        self._keys = keys
        self._work = work
        self._probes = probes
        self._started_at = clock.now()

    async def create_token(self, name: str, *, lab: bool, valid_for: timedelta) -> str:
        """Make a join token and return its text; it works once.

        Raises:
            Invalid: the name or the time is not acceptable.
            NotAllowed: the settings allow no lab stations.
        """
        return await self._enrolment.create_token(name, lab=lab, valid_for=valid_for)

    async def stations(self) -> Sequence[StationView]:
        """Return every station, by name."""
        return await self._fleet.all()

    async def block_station(self, which: str, why: str) -> StationRecord:
        """Let a station do nothing any more, at once; what it is doing is cut.

        Raises:
            Invalid: there is no such station, several have this name, or there is no reason.
        """
        return await self._fleet.block(which, why, _actor())

    async def unblock_station(self, which: str, why: str) -> StationRecord:
        """Let a blocked station work again; `Invalid` as above, or where it is not blocked."""
        return await self._fleet.unblock(which, why, _actor())

    async def compromise_station(self, which: str, why: str) -> CompromisedStation:
        """Block a station for good and name every card whose secrets it carried; `Invalid` as above."""
        return await self._fleet.compromised(which, why, _actor())

    async def set_station_profile(self, which: str, profile: StationProfile, why: str) -> StationRecord:
        """Say what a station may be used for; `Invalid` as above, or where there is no such template."""
        return await self._fleet.set_profile(which, profile, why, _actor())

    async def rename_station(self, which: str, name: str, why: str) -> StationRecord:
        """Call a station by another name; `Invalid` as above, or where the name is not acceptable."""
        return await self._fleet.rename(which, name, why, _actor())

    async def plan_templates(self, texts: Sequence[TemplateText]) -> Sequence[TemplateLine]:
        """Say what applying these texts would do; changes nothing."""
        return await self._templates.plan(texts)

    async def apply_templates(self, texts: Sequence[TemplateText]) -> Sequence[TemplateLine]:
        """Apply all texts or, where one has problems, none."""
        return await self._templates.apply(texts, _actor())

    async def status(self) -> ServerStatus:
        """Check everything that the server needs, outside systems included."""
        checks = await asyncio.gather(*(_check(*each) for each in self._probes().items()))
        return ServerStatus(
            server=self._name,
            version=self._version,
            started_at=self._started_at,
            checks=tuple(checks),
        )

    async def key_generations(self) -> Sequence[KeyGeneration]:
        """Return every generation of the master key, the oldest first."""
        return await self._keys.all()

    async def new_key_generation(self, why: str) -> KeyGeneration:
        """Make the next generation of the master key and return it; older cards go on working.

        Raises:
            Invalid: there is no reason, or a very long one.
        """
        return await self._keys.make(why, _actor())

    async def tasks(self) -> WaitingTasks:
        """Return what certificate authorities still have to do, the oldest first."""
        return await self._work.tasks()

    async def retry_tasks(self, connection: str, *, given_up: bool) -> Retried:
        """Have tasks tried now: all of them, or those of one connection.

        Raises:
            Invalid: there is no such connection.
        """
        return await self._work.retry(connection, _actor(), given_up=given_up)

    async def give_up_task(self, request_id: RequestId, why: str) -> TaskView:
        """Stop trying a task; it is kept.

        Raises:
            Invalid: there is no such task, or no reason, or a very long one.
            StoreConflict: it was done just now.
        """
        return await self._work.give_up(request_id, why, _actor())

    async def jobs(self) -> Sequence[JobView]:
        """Return the server's jobs, by name."""
        return await self._work.jobs()


def _actor() -> str:
    return administrator(_OWN_USER).actor
