"""A thread of its own for every reader.

PC/SC calls block: a transmit for as long as the card thinks, the begin of a transaction for as long as another
program holds the card. So each reader has one thread, and everything that is done to its card is a job in it. The
threads are daemons: one that is stuck in the library does not keep the program from ending.
"""

import asyncio
import queue
import threading
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")


class DeviceThread:
    """Runs jobs one after the other in one thread, for callers on an event loop."""

    def __init__(self, name: str) -> None:
        """Start the thread; `name` shows in thread lists."""
        self._jobs: queue.SimpleQueue[Callable[[], None] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    async def run(self, job: Callable[[], T]) -> T:
        """Run a job and return what it returns or raises.

        A cancelled caller does not stop the job; its result is dropped.
        """
        loop = asyncio.get_running_loop()
        future: asyncio.Future[T] = loop.create_future()

        def settle(outcome: Callable[[Any], None], value: object) -> None:
            if not future.done():
                outcome(value)

        def work() -> None:
            try:
                result = job()
            except BaseException as error:  # noqa: BLE001  # whatever it is, it belongs to the caller
                outcome: Callable[[Any], None] = future.set_exception
                value: object = error
            else:
                outcome, value = future.set_result, result
            if not loop.is_closed():
                loop.call_soon_threadsafe(settle, outcome, value)

        self._jobs.put(work)
        return await future

    def post(self, job: Callable[[], None]) -> None:
        """Run a job after those that wait, with nobody waiting for it."""
        self._jobs.put(job)

    def stop(self) -> None:
        """End the thread after the jobs that wait; does not wait for it."""
        self._jobs.put(None)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            job()
