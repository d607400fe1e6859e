"""The way out of one connection: whatever a connector asks of an outside system goes through its `Line`.

A line bounds how many calls run at once and how long each takes, repeats what is safe to repeat, and lets a system that
fails again and again alone for a while, so that nobody at a counter waits for what is known to be down.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum, unique
from typing import Protocol, TypeVar

T = TypeVar("T")


@unique
class Circuit(StrEnum):
    """Whether calls go out."""

    CLOSED = "closed"
    """They do."""
    OPEN = "open"
    """Not before a moment: too many failed, or the other end asked for rest."""
    HALF_OPEN = "half-open"
    """The next one does, as a trial; its outcome decides."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LineState:
    """How a line is, and what came of its calls since the server started or the connection was changed.

    `answered` counts what the other end answered, refusals included; `failed` what it did not. `refused_here` were not
    sent at all. `reason` is why the last failure was; `retry_at` is set while the circuit is open.
    """

    circuit: Circuit = Circuit.CLOSED
    retry_at: datetime | None = None
    running: int = 0
    answered: int = 0
    failed: int = 0
    repeated: int = 0
    refused_here: int = 0
    busy_ms: int = 0
    """How long all calls together took."""
    last_answer_at: datetime | None = None
    last_failure_at: datetime | None = None
    reason: str = ""


class NoAnswer(Exception):  # it is caught by the line, which makes a typed error of it
    """The other end did not answer, raised inside a call: the line decides what follows.

    `reason` says how, without any secret. `sent` is false where the other end certainly did nothing (no connection, too
    many requests): then any call may be repeated. `wait_s` is how long it asked us to wait.
    """

    def __init__(self, *, reason: str, sent: bool = True, wait_s: float | None = None) -> None:
        """Keep what happened."""
        super().__init__(reason)
        self.reason = reason
        self.sent = sent
        self.wait_s = wait_s


class Line(Protocol):
    """Call out for one connection."""

    async def call(
        self,
        what: str,
        act: Callable[[], Awaitable[T]],
        *,
        repeatable: bool = False,
        within_s: float | None = None,
    ) -> T:
        """Return what `act` returns; `what` names the call for people (`issue`, `search`).

        `act` raises `NoAnswer` where the other end did not answer; every other error passes through as an answer.
        Only what is `repeatable` is sent again after it may have arrived. `within_s` bounds all attempts together; by
        default it is the connection's `timeout-s`.

        Raises:
            ConnectorUnreachable: no answer, or it is not asked just now; fact `wait_s` where it is known for how long.
        """
        ...

    @property
    def state(self) -> LineState:
        """How it is now."""
        ...
