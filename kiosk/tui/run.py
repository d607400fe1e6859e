"""One operation as the screen remembers it: its steps, their marks and times, and how it ended."""

import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum, auto, unique

from kiosk.station.faces import Job, Outcome
from shared.clock import Clock
from shared.errors import CertificatePending
from shared.relay import StepLine


@unique
class Mark(Enum):
    """How far a step is."""

    WAITING = auto()
    RUNNING = auto()
    DONE = auto()
    FAILED = auto()


@dataclass(slots=True, kw_only=True)
class StepState:
    """A step and how far it is. Times are the clock's monotonic seconds."""

    line: StepLine
    mark: Mark = Mark.WAITING
    began: float = 0.0
    ended: float = 0.0
    expected_ms: int = 0

    def seconds(self, now: float) -> float:
        """Return how long the step took, or has been running."""
        if self.mark is Mark.WAITING:
            return 0.0
        return (now if self.mark is Mark.RUNNING else self.ended) - self.began


class Run:
    """An operation that runs, or has ended and was not put away. A `Watcher` of the station.

    `changed` is called after every change, from the event loop; it only asks for a repaint, so that a hundred
    steps in one frame cost one paint.
    """

    def __init__(
        self, job: Job, subject: str, clock: Clock, changed: Callable[[], None], *, why: str = ""
    ) -> None:
        """Begin to count the time; `subject` says for whom, `why` what began it where no operator did."""
        self.job = job
        self.subject = subject
        self.why = why
        self.began = clock.monotonic()
        self.ended = 0.0
        self.states: list[StepState] = []
        self.outcome: Outcome | None = None
        self.stopping = False
        self._clock = clock
        self._changed = changed

    @property
    def running(self) -> bool:
        """Whether it has not ended yet."""
        return self.outcome is None

    @property
    def done(self) -> int:
        """The number of steps that are done."""
        return sum(state.mark is Mark.DONE for state in self.states)

    @property
    def current(self) -> int:
        """The index of the step that deserves the eye: the running one, else the last one reached."""
        for index, state in enumerate(self.states):
            if state.mark in (Mark.RUNNING, Mark.FAILED):
                return index
        return max(0, self.done - 1)

    def seconds(self) -> float:
        """Return how long it took, or has been running."""
        return (self._clock.monotonic() if self.running else self.ended) - self.began

    def now(self) -> float:
        """Return the clock's monotonic seconds."""
        return self._clock.monotonic()

    def steps(self, steps: Sequence[StepLine]) -> None:
        """Take a new list; what it has in common with the old one from the start keeps its marks."""
        kept = [
            state
            for state, _ in itertools.takewhile(
                lambda pair: pair[0].line == pair[1], zip(self.states, steps, strict=False)
            )
        ]
        self.states = kept + [StepState(line=line) for line in steps[len(kept) :]]
        self._changed()

    @property
    def waits(self) -> bool:
        """Whether it ended because somebody elsewhere has to agree first: it did not fail, and goes on later."""
        return self.outcome is not None and isinstance(self.outcome.error, CertificatePending)

    def step(self, index: int, *, done: bool, expected_ms: int) -> None:
        """Mark a step as begun or done; an index outside the list is not ours to judge and is left out."""
        if not 0 <= index < len(self.states):
            return
        state, now = self.states[index], self._clock.monotonic()
        if state.mark is Mark.WAITING:
            state.began = now
        state.expected_ms = expected_ms or state.expected_ms
        state.mark = Mark.DONE if done else Mark.RUNNING
        if done:
            state.ended = now
        self._changed()

    def end(self, outcome: Outcome) -> None:
        """Note how it ended; a step that was running then is the one that failed, or that waits."""
        self.ended = self._clock.monotonic()
        self.outcome = outcome
        for state in self.states:
            if state.mark is Mark.RUNNING:
                unfinished = Mark.WAITING if self.waits else Mark.FAILED
                state.mark = Mark.DONE if outcome.error is None else unfinished
                state.ended = self.ended
        self._changed()
