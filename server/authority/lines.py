"""Calls that are being answered, by station, so that blocking a station cuts them at once.

Whether a station may call is asked when a call comes in, and an operation's stream is open for minutes. Blocking bars
the station here before the record says so: a call that was let in just before meets the bar, whatever it waited for.
"""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from server.authority.access import Caller
from shared import errors
from shared.credential.model import StationId

T = TypeVar("T")


@dataclass(slots=True, eq=False)
class _Line:
    """One call: the task that answers it."""

    task: "asyncio.Task[Any]"
    cut: bool = False


class Lines:
    """The calls of all stations."""

    def __init__(self, noted: Callable[[StationId], None] = lambda _: None) -> None:
        """Start with none; `noted` hears of every call that is answered."""
        self._noted = noted
        self._open: Final[dict[StationId, set[_Line]]] = {}
        self._barred: Final[set[StationId]] = set()

    async def answer(self, caller: Caller, act: Callable[[], Awaitable[T]]) -> T:
        """Answer one call, as long as its station is not barred.

        Raises:
            StationBlocked: it is, or was barred meanwhile.
        """
        if caller.station_id in self._barred:
            raise errors.StationBlocked
        self._noted(caller.station_id)
        task = asyncio.current_task()
        assert task is not None
        line = _Line(task)
        lines = self._open.setdefault(caller.station_id, set())
        lines.add(line)
        try:
            return await act()
        except asyncio.CancelledError:
            if not line.cut:
                raise
            task.uncancel()
            raise errors.StationBlocked from None
        finally:
            lines.discard(line)
            if not lines and self._open.get(caller.station_id) is lines:
                del self._open[caller.station_id]

    def bar(self, station: StationId) -> int:
        """Cut every call of a station and let no other one through; return how many were cut."""
        self._barred.add(station)
        cut = [line for line in self._open.get(station, ()) if not line.cut]
        for line in cut:
            line.cut = True
            line.task.cancel()
        return len(cut)

    def allow(self, station: StationId) -> None:
        """Let a station call again, as far as this is concerned."""
        self._barred.discard(station)
