"""A server that works on its own while time passes, and a certificate authority with moods."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import Enum, auto
from typing import Self

from server.connectors.ca.builtin import BuiltinAuthority
from server.jobs.certificate_tasks import certificate_tasks
from server.jobs.credentials import credentials
from server.jobs.leavers import leavers
from server.jobs.orphans import orphans
from server.jobs.renewal import renewal
from server.jobs.runner import Job, Runner
from server.jobs.succession import succession
from server.jobs.temporary import temporary
from server.operations.lateness import Deadlines
from server.operations.services import Services
from server.ports.ca import Abilities, Issued, Outcome, Reason, SignRequest
from server.ports.store import AuditEntry, LedgerEntry
from shared import errors
from shared.credential.model import CardRecord
from tests.conftest import FixedClock
from tests.scenario.lab import BOB, Lab
from tests.scenario.templates import EMPLOYEE

ORPHANED_AFTER = timedelta(days=7)


class Mood(Enum):
    """How an authority answers to what it is asked to do with a certificate."""

    AWAKE = auto()
    ASLEEP = auto()
    HANGS = auto()
    DOES_AND_HANGS = auto()
    """It does what it is asked to, and the answer is lost."""
    FAULTY = auto()


@dataclass
class Moody:
    """The built-in authority, not always in the mood."""

    inner: BuiltinAuthority
    mood: Mood = Mood.AWAKE
    forgets_to_answer: bool = False
    """What it signs is never seen."""
    once_issued: Callable[[], None] = lambda: None
    """What happens between the authority's answer and the card."""
    by_key: bool = False
    """It finds by public key, and knows nothing of request ids."""
    tried: list[datetime] = field(default_factory=list)
    cancelled: int = 0

    @property
    def abilities(self) -> Abilities:
        return self.inner.abilities

    async def issue(self, requests: Sequence[SignRequest]) -> Sequence[Outcome]:
        made = await self.inner.issue(requests)
        self.once_issued()
        if self.forgets_to_answer:
            raise errors.ConnectorUnreachable(connection="built-in", reason="the line went dead")
        return made

    async def find(self, request: SignRequest) -> Outcome | None:
        if not self.by_key:
            return await self.inner.find(request)
        entries = await self.inner._ledger.by_public_key(request.public_key)
        return Issued(entries[-1].certificate) if entries else None

    async def trust(self) -> Sequence[bytes]:
        return await self.inner.trust()

    async def revoke(self, certificate: bytes, reason: Reason) -> None:
        await self._consider()
        await self.inner.revoke(certificate, reason)
        await self._afterwards()

    async def hold(self, certificate: bytes) -> None:
        await self._consider()
        await self.inner.hold(certificate)
        await self._afterwards()

    async def release(self, certificate: bytes) -> None:
        await self._consider()
        await self.inner.release(certificate)
        await self._afterwards()

    async def _consider(self) -> None:
        self.tried.append(self.inner._clock.now())
        if self.mood is Mood.ASLEEP:
            raise errors.ConnectorUnreachable(connection="built-in", reason="asleep")
        if self.mood is Mood.FAULTY:
            message = "739154"
            raise ValueError(message)
        if self.mood is Mood.HANGS:
            await self._hang()

    async def _afterwards(self) -> None:
        if self.mood is Mood.DOES_AND_HANGS:
            await self._hang()

    async def _hang(self) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise


@dataclass
class Working:
    """A lab whose time is moved by hand, and which does its jobs."""

    lab: Lab
    clock: FixedClock
    authority: Moody
    runner: Runner

    @classmethod
    async def start(cls, clock: FixedClock, *, template: str = EMPLOYEE) -> Self:
        authorities: list[Moody] = []

        def adapt(services: Services) -> Services:
            inner = services.authorities["built-in"]
            assert isinstance(inner, BuiltinAuthority)
            authorities.append(Moody(inner))
            return replace(services, authorities={"built-in": authorities[0]})

        lab = await Lab.start(clock=clock, template=template, adapt=adapt)
        return cls(lab, clock, authorities[0], runner(lab.services))

    async def restart(self) -> None:
        """Stop the jobs and begin them anew, as after a restart of the server."""
        await self.runner.stop()
        await self.lab.store.jobs.release_all(self.clock.now())
        self.runner = runner(self.lab.services)

    async def pass_time(self, by: timedelta, step: timedelta = timedelta(minutes=10)) -> None:
        """Let time pass, and do what is due every `step`."""
        end = self.clock.now() + by
        while self.clock.now() < end:
            self.clock.move(min(step, end - self.clock.now()))
            await self.runner.run_due()

    async def record(self) -> CardRecord:
        (found,) = await self.lab.store.credentials.of_holder(BOB.holder)
        return found

    def ledger(self) -> list[LedgerEntry]:
        """Return what the authority signed for cards."""
        return [each for each in self.lab.store._book.state.ledger.values() if each.request_id is not None]

    def reasons(self) -> list[str]:
        return [each.reason for each in self.ledger()]

    async def evidence(self, event: str) -> list[AuditEntry]:
        entries = await self.lab.store.audit.page(0, 10_000)
        return [entry for entry in entries if entry.record.event == event]

    async def notes(self) -> dict[str, str]:
        return {job.name: job.note for job in await self.lab.store.jobs.all()}

    async def close(self) -> None:
        await self.runner.stop()
        await self.lab.close()


def all_jobs(services: Services) -> tuple[Job, ...]:
    store = services.store
    return (
        certificate_tasks(store, Deadlines()),
        orphans(ORPHANED_AFTER),
        temporary(),
        succession(),
        renewal(store),
        leavers(store),
        credentials(store),
    )


def runner(services: Services) -> Runner:
    return Runner(services, all_jobs(services), holder="lab", random=lambda: 0.0)
