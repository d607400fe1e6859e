"""What the operation engine and the wire know of each other: values only, no protobuf, no gRPC."""

from typing import Protocol

from server.authority.access import Caller
from shared.relay import ServerTurn, StationTurn


class StationLink(Protocol):
    """The line to the station for one operation."""

    async def send(self, turn: ServerTurn) -> None:
        """Send one turn.

        Raises:
            ConnectionLost: the stream ended; the turn may or may not have arrived.
        """
        ...

    async def receive(self) -> StationTurn:
        """Wait for the station's next turn. Not to be cancelled and called again: a turn may be lost between.

        Raises:
            ConnectionLost: the stream ended, or the station will say no more.
            Garbled: the station sent something malformed.
        """
        ...


class Engine(Protocol):
    """Run operations."""

    async def run(self, caller: Caller, station: StationLink) -> None:
        """Run one operation, from the station's `Begin` to `Done` or `Failed`.

        It runs in a task of its own that a cut line does not cancel: the next `send` or `receive` raises
        `ConnectionLost` instead, so that what was begun is recorded. An error that it raises ends the stream
        with that error; a failure that the station is to explain is sent as `Failed` instead.
        """
        ...
