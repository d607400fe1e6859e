"""One operation's stream: what the station says in it, and how it ends."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Final

import grpc
import grpc.aio

from shared.proto import operations_pb2
from shared.proto.convert_turns import encode_station_turn
from shared.relay import StationTurn

LAST_WORD_TIMEOUT_S: Final = 2.0
"""How long the server may take to end a stream after its last turn."""


async def speak(
    call: "grpc.aio.StreamStreamCall[operations_pb2.StationTurn, operations_pb2.ServerTurn]",
    turns: AsyncIterator[StationTurn],
) -> None:
    """Say what the station has to say; where that fails, end the call, so that nobody waits for an answer."""
    try:
        async for turn in turns:
            await call.write(encode_station_turn(turn))
        await call.done_writing()
    except (grpc.aio.AioRpcError, asyncio.InvalidStateError, grpc.aio.UsageError):
        return  # the line is gone; who listens is told why
    except BaseException:
        call.cancel()
        raise


async def last_word(
    call: "grpc.aio.StreamStreamCall[operations_pb2.StationTurn, operations_pb2.ServerTurn]",
) -> None:
    """Close our side and let the server end the stream, so that it does not see a cut after its last turn."""
    with suppress(TimeoutError, grpc.aio.AioRpcError, asyncio.InvalidStateError):
        async with asyncio.timeout(LAST_WORD_TIMEOUT_S):
            await call.done_writing()
            await call.code()
