"""One thread that owns the database.

Work is a closure that gets a cursor. Writes that wait while another commits are committed together: one wait
for the disk for all of them. Each runs in a savepoint of its own, so that one that fails takes nothing of the
others back, and nobody hears of success before the disk has it.

Who stops waiting does not stop the work: a write that was handed over happens.
"""

import asyncio
import re
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from queue import SimpleQueue
from typing import Any, Final, Protocol, TypeVar, cast

import sqlcipher3

from server.store.statements import Cursor
from shared import errors

MOST_TOGETHER: Final = 64
"""Writes in one commit."""

T = TypeVar("T")

Work = Callable[[Cursor], T]


class Connection(Protocol):
    """What is used of a driver's connection that leaves transactions to us."""

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open."""
        ...

    def cursor(self) -> Cursor:
        """Open a cursor."""
        ...

    def close(self) -> None:
        """Close it."""
        ...


@dataclass(slots=True, eq=False)
class _Job:
    """Work, who waits for it, and what came of it."""

    work: Work[Any]
    writes: bool
    waiter: asyncio.Future[Any]
    result: object = None
    error: BaseException | None = None


class Writer:
    """Run work in the thread `store`, one piece after the other."""

    def __init__(self, connection: Connection) -> None:
        """Take over `connection`; it is closed with the writer."""
        self._connection = connection
        self._cursor = connection.cursor()
        self._jobs: SimpleQueue[_Job | None] = SimpleQueue()
        self._closed = False
        self.commits = 0
        self._thread = threading.Thread(target=self._run, name="store", daemon=True)
        self._thread.start()

    async def read(self, work: Work[T]) -> T:
        """Return what `work` reads.

        Raises:
            StoreUnavailable: the database failed or was closed.
        """
        return cast("T", await self._hand_over(work, writes=False))

    async def write(self, work: Work[T]) -> T:
        """Run `work` in a transaction and return its result when the disk has it.

        Raises:
            StoreConflict: a constraint of the database says no; `what` is the table, or `reference`.
            StoreUnavailable: the database failed or was closed; nothing was written.
        """
        return cast("T", await self._hand_over(work, writes=True))

    async def close(self) -> None:
        """Finish what was handed over, then close the database."""
        if not self._closed:
            self._closed = True
            self._jobs.put(None)
        await asyncio.to_thread(self._thread.join)

    def _hand_over(self, work: Work[Any], *, writes: bool) -> asyncio.Future[Any]:
        if self._closed:
            raise errors.StoreUnavailable(why="closed")
        job = _Job(work, writes, asyncio.get_running_loop().create_future())
        self._jobs.put(job)
        return job.waiter

    # --- in the thread ----------------------------------------------------------------------------------

    def _run(self) -> None:
        while jobs := self._take():
            self._serve(jobs)
        self._connection.close()

    def _take(self) -> list[_Job]:
        """Wait for work and return all that waits; nothing when the writer was closed."""
        waiting = [self._jobs.get()]
        while len(waiting) < MOST_TOGETHER and not self._jobs.empty():  # nobody else takes from it
            waiting.append(self._jobs.get())
        jobs = [job for job in waiting if job is not None]
        if jobs and len(jobs) < len(waiting):
            self._jobs.put(None)  # close after these
        return jobs

    def _serve(self, jobs: list[_Job]) -> None:
        reads = [job for job in jobs if not job.writes]
        writes = [job for job in jobs if job.writes]
        for job in reads:
            self._attempt(job)
        _settle(reads)
        if writes:
            self._commit(writes)
            _settle(writes)

    def _commit(self, jobs: list[_Job]) -> None:
        """Run all jobs in one transaction."""
        execute = self._cursor.execute
        try:
            execute("BEGIN IMMEDIATE")
            for job in jobs:
                execute("SAVEPOINT one")
                self._attempt(job)
                if job.error is not None:
                    execute("ROLLBACK TO one")
                execute("RELEASE one")
            if any(job.error is None for job in jobs):
                execute("COMMIT")
                self.commits += 1
            else:
                execute("ROLLBACK")
        except sqlcipher3.Error as error:
            with suppress(sqlcipher3.Error):
                if self._connection.in_transaction:
                    execute("ROLLBACK")
            for job in jobs:
                job.error = job.error or _translate(error)

    def _attempt(self, job: _Job) -> None:
        try:
            job.result = job.work(self._cursor)
        except sqlcipher3.Error as error:
            job.error = _translate(error)
        except BaseException as error:  # noqa: BLE001  # it belongs to whoever waits, in another thread
            job.error = error


_UNIQUE: Final = re.compile(r"UNIQUE constraint failed: (\w+)\.")


def _translate(error: sqlcipher3.Error) -> errors.StoreError:
    """Return our error for the driver's, whose words name tables and columns, never values."""
    made: errors.StoreError
    if isinstance(error, sqlcipher3.IntegrityError):
        unique = _UNIQUE.match(str(error))
        missing = str(error).startswith("FOREIGN KEY")
        made = errors.StoreConflict(
            what=unique.group(1) if unique else "reference" if missing else str(error)
        )
    else:
        made = errors.StoreUnavailable(why=str(error))
    made.__cause__ = error
    return made


def _settle(jobs: list[_Job]) -> None:
    """Tell those who wait, each loop once."""
    for loop in {job.waiter.get_loop() for job in jobs}:
        mine = [job for job in jobs if job.waiter.get_loop() is loop]
        with suppress(RuntimeError):  # the loop ended meanwhile: nobody waits
            loop.call_soon_threadsafe(_wake, mine)


def _wake(jobs: list[_Job]) -> None:
    for job in jobs:
        if job.waiter.done():
            continue
        if job.error is not None:
            job.waiter.set_exception(job.error)
        else:
            job.waiter.set_result(job.result)
