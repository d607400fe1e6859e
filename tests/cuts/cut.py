"""Where an operation is cut, and the line that dies there."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from enum import StrEnum, unique
from typing import Final

from shared import errors
from shared.relay import ServerTurn, StationTurn
from shared.virtual.faults import FaultKind
from tests.scenario.lab import Wire


@unique
class CutKind(StrEnum):
    """What happens."""

    COMMAND_LOST = "command-lost"
    """The card is pulled before it executes a physical command."""
    RESPONSE_LOST = "response-lost"
    """The card executes a physical command and is pulled before it answers."""
    TO_SERVER_LOST = "to-server-lost"
    """The line dies before a message of the station arrives."""
    TO_SERVER_LAST = "to-server-last"
    """A message of the station is the last that arrives."""
    TO_STATION_LOST = "to-station-lost"
    """The line dies before a message of the server arrives."""
    TO_STATION_LAST = "to-station-last"
    """A message of the server is the last that arrives."""
    BEFORE_COMMIT = "before-commit"
    """The server is killed when it was about to commit."""
    AFTER_COMMIT = "after-commit"
    """The server is killed when a commit has reached the disk, and nobody knows yet."""


FAULTS: Final = {
    CutKind.COMMAND_LOST: FaultKind.COMMAND_LOST,
    CutKind.RESPONSE_LOST: FaultKind.RESPONSE_LOST,
}
TO_SERVER: Final = (CutKind.TO_SERVER_LOST, CutKind.TO_SERVER_LAST)
TO_STATION: Final = (CutKind.TO_STATION_LOST, CutKind.TO_STATION_LAST)
MESSAGES: Final = (*TO_SERVER, *TO_STATION)
COMMITS: Final = (CutKind.BEFORE_COMMIT, CutKind.AFTER_COMMIT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Cut:
    """One cut: at the `at`-th command, message in this direction, or commit of the operation (1 is the first)."""

    kind: CutKind
    at: int

    def __str__(self) -> str:
        """Return it as reports name it."""
        return f"{self.kind.value} {self.at}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """What an operation consisted of: physical commands, messages in both directions, commits."""

    commands: int = 0
    to_server: int = 0
    to_station: int = 0
    commits: int = 0

    def of(self, kind: CutKind) -> int:
        """Return how many places there are for a cut of this kind."""
        if kind in FAULTS:
            return self.commands
        if kind in TO_SERVER:
            return self.to_server
        return self.to_station if kind in TO_STATION else self.commits


class DyingWire(Wire):
    """Both ends of one operation's stream; it may die at one message, for both ends at once."""

    def __init__(self, turns: AsyncIterator[StationTurn], cut: Cut | None) -> None:
        """Carry `turns` until `cut`."""
        super().__init__(turns)
        self._cut = cut
        self.to_server = 0
        self.sent = 0
        self.dead = False

    async def send(self, turn: ServerTurn) -> None:
        """Carry a message of the server."""
        self._alive()
        self.sent += 1
        if self._is(CutKind.TO_STATION_LOST, self.sent):
            self._die()
        await super().send(turn)
        if self._is(CutKind.TO_STATION_LAST, self.sent):
            self._die(loud=False)

    async def receive(self) -> StationTurn:
        """Carry a message of the station."""
        self._alive()
        turn = await super().receive()
        self.to_server += 1
        if self._is(CutKind.TO_SERVER_LOST, self.to_server):
            self._die()
        if self._is(CutKind.TO_SERVER_LAST, self.to_server):
            self._die(loud=False)
        return turn

    def _is(self, kind: CutKind, number: int) -> bool:
        return self._cut == Cut(kind=kind, at=number)

    def _alive(self) -> None:
        if self.dead:
            raise errors.ConnectionLost

    def _die(self, *, loud: bool = True) -> None:
        """End the line: the station hears it after what it was sent, the server at its next word."""
        self.dead = True
        self.to_station.put_nowait(errors.ConnectionLost())
        if loud:
            self._alive()
