"""`Operations`: a stream of messages becomes a link of values for the engine."""

import asyncio
import contextlib
import logging
from typing import Any, Final

import grpc.aio
from google.protobuf.message import DecodeError

from server.operations.link import Engine
from server.rpc.interceptors import Context, fault, present_caller
from shared import errors
from shared.proto import operations_pb2 as pb
from shared.proto import operations_pb2_grpc
from shared.proto.convert_turns import decode_station_turn, encode_server_turn
from shared.relay import ServerTurn, StationTurn

# ruff: noqa: N802, ARG002  # methods have the form and the names of the service definition

log: Final = logging.getLogger(__name__)

PART_TIMEOUT_S: Final = 2.0


class StreamLink:
    """A stream as `StationLink`. Once cut it stays cut."""

    def __init__(self, context: Context) -> None:
        """Speak through the stream of `context`."""
        self._context = context
        self._cut = False

    def cut(self) -> None:
        """Note that the stream is gone."""
        self._cut = True

    async def send(self, turn: ServerTurn) -> None:
        """Send one turn; `ConnectionLost` where the stream ended."""
        if self._cut:
            raise errors.ConnectionLost
        try:
            await self._context.write(encode_server_turn(turn))
        except grpc.aio.BaseError as error:
            self._cut = True
            raise errors.ConnectionLost from error

    async def receive(self) -> StationTurn:
        """Wait for the station's next turn; `ConnectionLost` where the stream ended, `Garbled` for noise."""
        if self._cut:
            raise errors.ConnectionLost
        try:
            message = await self._context.read()
        except DecodeError as error:
            raise errors.Garbled(why="not a message") from error
        except grpc.aio.BaseError as error:
            self._cut = True
            raise errors.ConnectionLost from error
        if not isinstance(message, pb.StationTurn):
            self._cut = True
            raise errors.ConnectionLost
        return decode_station_turn(message)

    async def part(self) -> None:
        """Let the station close its side first, a moment long.

        A client of grpcio that writes (a heartbeat, a cancellation) while the end of the stream arrives reports an
        internal error and forgets the last turn.
        """
        with contextlib.suppress(TimeoutError, DecodeError, grpc.aio.BaseError):
            async with asyncio.timeout(PART_TIMEOUT_S):
                while isinstance(await self._context.read(), pb.StationTurn):
                    pass


class OperationsServicer(operations_pb2_grpc.OperationsServicer):
    """Run each operation in a task of its own.

    gRPC cancels the handler of a call whose station is gone, wherever it waits. The engine must not be cut
    between an act and its record, so it goes on in its own task and meets `ConnectionLost` at its next word.
    """

    def __init__(self, engine: Engine) -> None:
        """Hand every stream to `engine`."""
        self._engine = engine
        self._running: set[asyncio.Task[None]] = set()

    async def Run(self, request_iterator: Any, context: Context) -> None:  # type: ignore[override]  # it reads and writes through the context
        """Run one operation over this stream."""
        link = StreamLink(context)
        work = asyncio.create_task(self._engine.run(present_caller(), link))
        self._running.add(work)
        work.add_done_callback(self._running.discard)
        try:
            await asyncio.shield(work)
            await link.part()
        except asyncio.CancelledError:
            link.cut()
            work.add_done_callback(_report)
            raise

    async def drain(self, seconds: float) -> None:
        """Wait for operations whose line was cut to record where they stopped; then cancel them."""
        if self._running:
            _, late = await asyncio.wait(self._running, timeout=seconds)
            for work in late:
                work.cancel()
            if late:
                await asyncio.wait(late)


def _report(work: asyncio.Task[None]) -> None:
    """Log how an operation ended that nobody listens to any more."""
    if work.cancelled():
        return
    try:
        work.result()
    except errors.KioskError as error:
        log.info("an operation whose line was cut ended with %s", error.code)
    except Exception as error:  # noqa: BLE001  # the border of the process, as in the gate; nobody is left to tell
        fault("Operations/Run after its line was cut", error)
