"""A dry run: what issuing a card would do to it, as values.

Nothing in them is random, secret, or depends on when they were made: equal questions have equal answers. Sizes that
vary with random values (signatures, certificates) are the largest that there can be.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from shared.console import CardHints
from shared.relay import StepLine


@dataclass(frozen=True, slots=True, kw_only=True)
class RehearsalRequest:
    """Whom the card would be for, by which template, and what is known of the card.

    A `card` with nothing but a profile stands for a new card of that kind.
    """

    holder: str
    template: str
    card: CardHints


@dataclass(frozen=True, slots=True, kw_only=True)
class RehearsedStep:
    """One step of the plan; `expected_ms` is 0 where it is too short to say."""

    line: StepLine
    expected_ms: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class RehearsedCommand:
    """One command as the server would send it, before chaining.

    `header` is CLA INS P1 P2, empty for a cold reset. `data_max` and `response_max` are the most bytes that its data and
    its response (without the status) can have.
    """

    header: bytes
    label: str
    data_max: int
    response_max: int
    expected_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RoundTrip:
    """Commands that travel together; `expected_ms` is for all of them and for the way there and back."""

    commands: tuple[RehearsedCommand, ...]
    expected_ms: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Rehearsal:
    """Everything that would be done. `new` says that the card has no record yet.

    `figures` are the durations, in milliseconds, that the prediction is made of.
    """

    profile: str
    product: str
    new: bool
    holder: str
    holder_name: str
    template: str
    template_title: str
    template_version: int
    steps: tuple[RehearsedStep, ...] = ()
    round_trips: tuple[RoundTrip, ...] = ()
    figures: Mapping[str, int] = field(default_factory=dict)

    @property
    def commands(self) -> int:
        """How many commands would be sent, cold resets included: the number that the operation itself reports."""
        return sum(len(trip.commands) for trip in self.round_trips)

    @property
    def expected_ms(self) -> int:
        """How long it would take."""
        return sum(trip.expected_ms for trip in self.round_trips)
