"""The link between stream and engine where things go wrong."""

import asyncio
from collections.abc import AsyncIterator

import grpc.aio
import pytest

from server.authority.access import Caller
from server.operations.link import StationLink
from shared import errors
from shared.iso7816.apdu import Command
from shared.proto import operations_pb2 as pb
from shared.proto.convert_turns import encode_station_turn
from shared.proto.status import from_trailer
from shared.relay import Begin, Exchange, OperationKind
from tests.server.rpc.world import World

RUN = "/kiosk.v1.Operations/Run"
BEGIN = encode_station_turn(
    Begin(operation=OperationKind.ISSUE, reader="Virtual 1", virtual=True)
).SerializeToString()
SELECT = Exchange(number=1, items=(Command(ins=0xA4, label="select"),), epoch=1)


async def say(*turns: bytes) -> AsyncIterator[bytes]:
    for turn in turns:
        yield turn
    await asyncio.Event().wait()


async def converse(world: World, *turns: bytes) -> errors.KioskError | None:
    """Run one operation with raw bytes; return the error that it ended with."""
    pair = world.pair()
    await world.register(pair)
    async with world.raw(pair) as channel:
        try:
            async for _ in channel.stream_stream(RUN)(say(*turns), timeout=10):
                pass
        except grpc.aio.AioRpcError as error:
            return from_trailer(error.trailing_metadata())
    return None


async def listen(_caller: Caller, station: StationLink) -> None:
    while True:
        await station.receive()


@pytest.mark.parametrize(
    "noise",
    [
        b"\xff\xff\xff",
        pb.StationTurn().SerializeToString(),
        b"\xfa\x01\x00",  # a turn of a later version
    ],
)
async def test_noise_in_the_stream_is_garbled(world: World, noise: bytes) -> None:
    world.engine.behaviour = listen
    assert isinstance(await converse(world, BEGIN, noise), errors.Garbled)
    assert isinstance(await asyncio.wait_for(world.engine.ended.get(), 5), errors.Garbled)


async def test_an_engine_that_returns_ends_the_stream(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.rpc.operations.PART_TIMEOUT_S", 0.1)
    assert await converse(world, BEGIN) is None


async def leave_when(world: World, ready: asyncio.Event) -> None:
    """Open an operation and go away once the engine is `ready`."""
    pair = world.pair()
    await world.register(pair)
    async with world.raw(pair) as channel:
        call = channel.stream_stream(RUN)(say(BEGIN))
        await call.read()
        await asyncio.wait_for(ready.wait(), 5)
        call.cancel()


async def test_a_crash_after_the_line_was_cut_is_logged(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    ready = asyncio.Event()

    async def crash_late(_caller: Caller, station: StationLink) -> None:
        await station.send(SELECT)
        ready.set()
        await asyncio.sleep(0.2)
        message = "a bug"
        raise ValueError(message)

    world.engine.behaviour = crash_late
    await leave_when(world, ready)
    assert isinstance(await asyncio.wait_for(world.engine.ended.get(), 5), ValueError)
    await asyncio.sleep(0)
    assert "incident" in caplog.text
    assert "a bug" in caplog.text


async def test_a_cut_link_stays_cut(world: World) -> None:
    ready = asyncio.Event()
    seen: list[type[BaseException]] = []

    async def try_on(_caller: Caller, station: StationLink) -> None:
        await station.send(SELECT)
        ready.set()
        for _ in range(2):
            try:
                await station.receive()
                await station.receive()
            except errors.ConnectionLost as lost:
                seen.append(type(lost))
        await station.send(SELECT)

    world.engine.behaviour = try_on
    await leave_when(world, ready)
    assert isinstance(await asyncio.wait_for(world.engine.ended.get(), 5), errors.ConnectionLost)
    assert seen == [errors.ConnectionLost] * 2


async def test_a_server_that_stops_does_not_wait_for_ever() -> None:
    world = World()
    endpoint = await world.start()
    ready = asyncio.Event()

    async def hang(_caller: Caller, station: StationLink) -> None:
        await station.send(SELECT)
        ready.set()
        await asyncio.sleep(3600)

    world.engine.behaviour = hang
    leaving = asyncio.create_task(leave_when(world, ready))
    await asyncio.wait_for(ready.wait(), 5)
    await asyncio.wait_for(endpoint.stop(0.1), 5)
    assert isinstance(await asyncio.wait_for(world.engine.ended.get(), 5), asyncio.CancelledError)
    await asyncio.gather(leaving, return_exceptions=True)


async def test_reflection_names_what_is_served(world: World) -> None:
    from grpc_reflection.v1alpha import reflection_pb2

    pair = world.pair()
    await world.register(pair, lab=False)
    request = reflection_pb2.ServerReflectionRequest(list_services="").SerializeToString()
    async with world.raw(pair) as channel:
        call = channel.stream_stream("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo")(
            say(request), timeout=10
        )
        answer = reflection_pb2.ServerReflectionResponse.FromString(await call.read())
    names = {service.name for service in answer.list_services_response.service}
    assert names == {
        "kiosk.v1.Operations",
        "kiosk.v1.Console",
        "kiosk.v1.Credentials",
        "kiosk.v1.Rehearsals",
        "kiosk.v1.Sessions",
        "kiosk.v1.Stations",
        "kiosk.v1.Approvals",
        "kiosk.v1.DeskOperators",
        "kiosk.v1.FirstStart",
        "kiosk.v1.SelfService",
        "grpc.health.v1.Health",
        "grpc.reflection.v1alpha.ServerReflection",
    }


async def test_nothing_is_described_unless_that_is_wanted(world: World) -> None:
    from grpc_reflection.v1alpha import reflection_pb2

    await world.stop()
    world.port, world.describe = 0, False
    await world.start()
    pair = world.pair()
    await world.register(pair, lab=False)
    request = reflection_pb2.ServerReflectionRequest(list_services="").SerializeToString()
    async with world.raw(pair) as channel:
        call = channel.stream_stream("/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo")(
            say(request), timeout=10
        )
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await call.read()
    assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED
