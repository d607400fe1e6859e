"""Jobs, done again and again while the server runs, each by one server process at a time.

A job that fails leaves evidence, and is done again at its next time. A job may be stopped wherever it waits: whatever it does
is a task that is stored, or a decision in one commit, so that nothing is half done.
"""

import asyncio
import logging
import traceback
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from server.operations.services import Services
from server.ports.store import FAILED, AuditKind, AuditRecord
from shared import errors

log = logging.getLogger(__name__)

ACTOR: Final = "server"
STOPPED: Final = "stopped"

TICK_S: Final = 1.0
"""How often the runner looks whether a job's time has come."""

SPREAD: Final = 0.2
"""How much later than its time a job may begin, as a part of it: servers that started together do not stay together."""

START: Final = timedelta(seconds=5)
"""When jobs are first done after a start."""

HELD_FOR_S: Final = 900.0
"""How long a job is a process's: one that died in it lets another go on after that."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """Something that is done every so often. `run` gets the services and the time, and returns a note on how it went."""

    name: str
    every: timedelta
    run: Callable[[Services, datetime], Awaitable[str]]


class Runner:
    """Do jobs when their time has come."""

    def __init__(
        self, services: Services, jobs: Sequence[Job], *, holder: str, random: Callable[[], float]
    ) -> None:
        """`holder` names this process; `random` (0 to 1) spreads the times."""
        self._services = services
        self._jobs = tuple(jobs)
        self._holder = holder
        self._random = random
        now = services.clock.monotonic()
        self._next = {job.name: now + START.total_seconds() * random() for job in jobs}
        self._running: dict[str, asyncio.Task[None]] = {}
        self._loop: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Do jobs from now on."""
        self._loop = asyncio.create_task(self._for_ever())

    async def stop(self) -> None:
        """Begin no more jobs, and stop those that are under way where they are."""
        tasks = [task for task in (self._loop, *self._running.values()) if task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._running.clear()
        self._loop = None

    async def run_due(self) -> None:
        """Do every job whose time has come, side by side, and wait until all have ended."""
        await asyncio.gather(*self._begin_due())

    async def _for_ever(self) -> None:
        while True:
            self._begin_due()
            await asyncio.sleep(TICK_S)

    def _begin_due(self) -> Sequence[asyncio.Task[None]]:
        """Begin every job whose time has come and which is not under way."""
        now = self._services.clock.monotonic()
        begun = []
        for job in self._jobs:
            before = self._running.get(job.name)
            if now < self._next[job.name] or (before is not None and not before.done()):
                continue
            self._next[job.name] = now + job.every.total_seconds() * (1 + SPREAD * self._random())
            self._running[job.name] = asyncio.create_task(self._run(job), name=f"job {job.name}")
            begun.append(self._running[job.name])
        return begun

    async def _run(self, job: Job) -> None:
        """Do a job, unless another process does it now."""
        jobs, clock = self._services.store.jobs, self._services.clock
        try:
            if not await jobs.begin(job.name, self._holder, clock.now(), HELD_FOR_S):
                return
            note = STOPPED
            try:
                note = await job.run(self._services, clock.now())
            except errors.KioskError as error:
                note = FAILED + error.code
                log.error("job %s failed: %s", job.name, error.code)  # noqa: TRY400  # its cause is in the code
                await self._tell(job, note)
            except Exception as fault:  # noqa: BLE001  # a job's fault must not end the others, or the server
                note = FAILED + type(fault).__name__
                # without its words: they may be anything
                where = "".join(traceback.format_tb(fault.__traceback__))
                log.error("job %s failed: %s\n%s", job.name, type(fault).__name__, where)  # noqa: TRY400  # as said
                await self._tell(job, note)
            finally:
                await jobs.end(job.name, self._holder, clock.now(), note)
        except errors.StoreError as error:
            log.error("job %s was not recorded: %s", job.name, error.code)  # noqa: TRY400  # as above

    async def _tell(self, job: Job, note: str) -> None:
        """Leave evidence of a failure, once as long as it stays the same."""
        store = self._services.store
        before = next((each for each in await store.jobs.all() if each.name == job.name), None)
        if before is None or before.note != note:
            failure: dict[str, errors.Fact] = {"error": note.removeprefix(FAILED)}
            await store.audit.append(
                [
                    AuditRecord(
                        kind=AuditKind.SERVER,
                        event="job-failed",
                        actor=ACTOR,
                        subject=job.name,
                        facts=failure,
                    )
                ]
            )
