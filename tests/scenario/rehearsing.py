"""A lab that can rehearse, and an ear on the wire for comparing a dry run with the real thing."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from kiosk.station.cards import hints_for
from kiosk.station.converse import converse
from server.connectors.ca.issuing import Publication
from server.operations.rehearsal import Rehearsals
from server.operations.services import Services
from server.scratch import rehearsals
from shared.console import CardHints
from shared.iso7816.apdu import ColdReset, Item, Response
from shared.piv.ids import ProfileName
from shared.piv.inspect import inspect
from shared.rehearsal import Rehearsal, RehearsalRequest
from shared.relay import Exchange, Responses, ServerTurn, StationTurn
from tests.scenario.lab import BOB, Lab, Wire


def rehearsals_of(services: Services) -> Rehearsals:
    """Return what `server.wiring` would make of these services."""
    return rehearsals(services, organisation="Example", publication=Publication())


async def rehearse(
    lab: Lab,
    card: CardHints | ProfileName,
    *,
    holder: str = BOB.holder,
    template: str = "employee",
    services: Services | None = None,
) -> Rehearsal:
    """Ask for a dry run as the lab's station."""
    hints = CardHints(profile=card) if isinstance(card, ProfileName) else card
    asked = RehearsalRequest(holder=holder, template=template, card=hints)
    return await rehearsals_of(services or lab.services).rehearse_issue(lab.backend._caller, asked)


async def seen(lab: Lab) -> CardHints:
    """Read the card in the reader as `kiosk do issue --dry-run` does."""
    await lab.settle()
    async with lab.readers.session("Reader 1") as session:
        return hints_for(await converse(inspect(), session), virtual=True)


@dataclass(frozen=True, slots=True)
class Sent:
    """One command of a real operation, in the words of a dry run."""

    header: bytes
    label: str
    data: int
    response: int


@dataclass
class Ear:
    """Everything that was exchanged with the card."""

    batches: list[tuple[Item, ...]] = field(default_factory=list)
    answers: list[tuple[Response, ...]] = field(default_factory=list)

    def listen(self, lab: Lab) -> None:
        """Hear the next operation."""
        lab.backend.wire = partial(_Tapped, self)

    @property
    def trips(self) -> list[list[Sent]]:
        """What was sent and answered, by round trips."""
        return [
            [_sent(item, response) for item, response in zip(batch, heard, strict=True)]
            for batch, heard in zip(self.batches, self.answers, strict=True)
        ]


class _Tapped(Wire):
    def __init__(self, ear: Ear, turns: Any) -> None:
        super().__init__(turns)
        self._ear = ear

    async def send(self, turn: ServerTurn) -> None:
        if isinstance(turn, Exchange):
            self._ear.batches.append(turn.items)
        await super().send(turn)

    async def receive(self) -> StationTurn:
        turn = await super().receive()
        if isinstance(turn, Responses):
            self._ear.answers.append(turn.responses)
        return turn


def _sent(item: Item, response: Response) -> Sent:
    if isinstance(item, ColdReset):
        return Sent(b"", item.label, 0, 0)
    header = bytes((item.cla, item.ins, item.p1, item.p2))
    return Sent(header, item.label, item.length, len(response.data))


class Sealed:
    """A part of an installation of which only the named things may be touched."""

    def __init__(self, part: object, **allowed: object) -> None:
        """Let pass what is in `allowed`: True for the part's own, else what stands in its place."""
        self._part = part
        self._allowed: Mapping[str, object] = allowed

    def __getattr__(self, name: str) -> Any:
        if name not in self._allowed:
            message = f"a rehearsal touched {type(self._part).__name__}.{name}"
            raise AssertionError(message)
        found = self._allowed[name]
        return getattr(self._part, name) if found is True else found
