"""What `Line` promises, for every connector: bounded, timed, repeated where that is safe, and let alone when it is down.

The circuit opens after a few failures in a row, or when the other end asks for rest, and stays open twice as long each time
its trial fails. A rest that ends in time is waited for; everything else is refused at once, with the last failure's reason.

Source: [RFC 9110] 9.2.2 (what may be repeated), 10.2.3 (Retry-After).
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final, TypeVar

from server.ports.line import Circuit, LineState, NoAnswer
from shared import errors
from shared.clock import Clock

T = TypeVar("T")

ATTEMPTS: Final = 3
"""How often something is sent at the most."""
FIRST_PAUSE_S: Final = 0.2
"""Before the second attempt at the most; twice as long before the third."""
FAILURES: Final = 5
"""In a row, before the circuit opens."""
FIRST_REST_S: Final = 5.0
LONGEST_REST_S: Final = 300.0
"""How long the circuit stays open: first, and at the most."""
MAX_ASKED_S: Final = 3600.0
"""A longer Retry-After is taken for this: after that it is tried anyway."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What one connection may cost: seconds for a call with all its attempts, and calls at once."""

    timeout_s: float = 15.0
    at_once: int = 64


class GuardedLine:
    """The line of one connection, in one process: a `Line`."""

    def __init__(
        self,
        connection: str,
        clock: Clock,
        limits: Limits | None = None,
        *,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        fraction: Callable[[], float] = random.random,
    ) -> None:
        """Begin closed; `fraction` draws from 0 to 1, so that many callers do not come back in one moment."""
        self._connection = connection
        self._clock = clock
        self._limits = limits or Limits()
        self._sleep = sleep
        self._fraction = fraction
        self._places = asyncio.Semaphore(self._limits.at_once)
        self._breaker = _Breaker(clock, fraction)
        self._counts = LineState()

    @property
    def state(self) -> LineState:
        """How it is now."""
        circuit, left = self._breaker.circuit, self._breaker.rest_s
        retry_at = self._clock.now() + timedelta(seconds=left) if circuit is Circuit.OPEN else None
        return replace(self._counts, circuit=circuit, retry_at=retry_at)

    async def call(
        self,
        what: str,
        act: Callable[[], Awaitable[T]],
        *,
        repeatable: bool = False,
        within_s: float | None = None,
    ) -> T:
        """Return what `act` returns, see `Line.call`.

        Raises:
            ConnectorUnreachable: no answer, or it is not asked just now.
        """
        budget = within_s or self._limits.timeout_s
        try:
            await asyncio.wait_for(self._places.acquire(), budget)
        except TimeoutError as cause:
            raise self._refused(reason=f"{what}: too many calls are under way") from cause
        try:
            ends = self._clock.monotonic() + budget
            return await self._attempts(what, act, ends, repeatable=repeatable)
        finally:
            self._places.release()

    async def _attempts(
        self, what: str, act: Callable[[], Awaitable[T]], ends: float, *, repeatable: bool
    ) -> T:
        attempt = 1
        while True:
            await self._admitted(what, ends)
            try:
                return await self._once(act, ends)
            except NoAnswer as failure:
                pause = failure.wait_s
                if pause is None:
                    pause = FIRST_PAUSE_S * 2 ** (attempt - 1) * self._fraction()
                again = attempt < ATTEMPTS and (repeatable or not failure.sent)
                if not again or self._clock.monotonic() + pause >= ends:
                    raise self._unreachable(
                        reason=f"{what}: {failure.reason}", wait_s=failure.wait_s
                    ) from failure
            attempt += 1
            self._count(repeated=1)
            await self._sleep(pause)

    async def _admitted(self, what: str, ends: float) -> None:
        """Wait for a rest that ends in time.

        Raises:
            ConnectorUnreachable: it is not asked just now.
        """
        breaker = self._breaker
        if breaker.asked_for and 0 < breaker.rest_s < ends - self._clock.monotonic():
            await self._sleep(breaker.rest_s)
        if not breaker.admits():
            reason = f"{what}: it is let alone for a while; {self._counts.reason}"
            raise self._refused(reason=reason, wait_s=breaker.rest_s)

    async def _once(self, act: Callable[[], Awaitable[T]], ends: float) -> T:
        """Make one attempt, and learn from it how the line is."""
        began = self._clock.monotonic()
        self._count(running=1)
        try:
            async with asyncio.timeout(max(0.0, ends - began)):
                answer = await act()
        except NoAnswer as failure:
            self._failed(failure)
            raise
        except TimeoutError as cause:
            late = NoAnswer(reason="no answer in time")
            self._failed(late)
            raise late from cause
        except errors.KioskError:
            self._answered()  # it said no, or nonsense: it is there
            raise
        else:
            self._answered()
            return answer
        finally:
            self._breaker.ended()
            spent = round((self._clock.monotonic() - began) * 1000)
            self._count(running=-1, busy_ms=spent)

    def _answered(self) -> None:
        self._breaker.answered()
        self._count(answered=1)
        self._counts = replace(self._counts, last_answer_at=self._clock.now())

    def _failed(self, failure: NoAnswer) -> None:
        self._breaker.failed(failure.wait_s)
        self._count(failed=1)
        self._counts = replace(self._counts, last_failure_at=self._clock.now(), reason=failure.reason)

    def _count(self, **by: int) -> None:
        self._counts = replace(
            self._counts, **{name: getattr(self._counts, name) + more for name, more in by.items()}
        )

    def _refused(self, *, reason: str, wait_s: float | None = None) -> errors.ConnectorUnreachable:
        self._count(refused_here=1)
        return self._unreachable(reason=reason, wait_s=wait_s)

    def _unreachable(self, *, reason: str, wait_s: float | None) -> errors.ConnectorUnreachable:
        known = {} if wait_s is None else {"wait_s": max(1, round(wait_s))}
        return errors.ConnectorUnreachable(connection=self._connection, reason=reason, **known)


class _Breaker:
    """The circuit: closed, open until a moment, or waiting for what a trial brings."""

    def __init__(self, clock: Clock, fraction: Callable[[], float]) -> None:
        """Begin closed."""
        self._clock = clock
        self._fraction = fraction
        self._failures = 0
        self._rests = 0
        self._until: float | None = None
        self._on_trial = False
        self.asked_for = False
        """Whether the other end asked for the present rest."""

    @property
    def circuit(self) -> Circuit:
        """How it stands."""
        if self._until is None:
            return Circuit.CLOSED
        return Circuit.OPEN if self.rest_s > 0 else Circuit.HALF_OPEN

    @property
    def rest_s(self) -> float:
        """Seconds until the next call may go out."""
        return 0.0 if self._until is None else max(0.0, self._until - self._clock.monotonic())

    def admits(self) -> bool:
        """Whether a call may go out now; after a rest that failures brought, one at a time."""
        match self.circuit:
            case Circuit.CLOSED:
                return True
            case Circuit.OPEN:
                return False
            case Circuit.HALF_OPEN if self.asked_for:
                self._until, self.asked_for = None, False
                return True
            case Circuit.HALF_OPEN:
                first, self._on_trial = not self._on_trial, True
                return first

    def ended(self) -> None:
        """End a trial, whatever came of it: a call that was cancelled says nothing."""
        self._on_trial = False

    def answered(self) -> None:
        """Close: the other end is there."""
        self._failures = self._rests = 0
        self._until, self.asked_for = None, False

    def failed(self, wait_s: float | None) -> None:
        """Count a failure; rest for as long as was asked, or after too many."""
        self._failures += 1
        now = self._clock.monotonic()
        if wait_s is not None:
            self._until, self.asked_for = now + min(wait_s, MAX_ASKED_S), True
        elif self._failures >= FAILURES and self.rest_s == 0:
            longest = min(LONGEST_REST_S, FIRST_REST_S * 2 ** min(self._rests, 10))
            self._rests += 1
            self._until, self.asked_for = now + longest * (0.5 + self._fraction() / 2), False
