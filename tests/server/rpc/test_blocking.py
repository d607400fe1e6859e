"""A station that is blocked while it works: cut at once, and let in again."""

import asyncio
from uuid import uuid4

import grpc.aio
import pytest

from kiosk.backend.client import GrpcBackend
from server.authority.access import Caller
from server.operations.link import StationLink
from server.ports.store import AuditRecord, StationRecord, StationState
from server.store.memory import MemoryStore
from shared import errors
from tests.server.rpc.test_operations import BEGIN, RUN, SELECT, say
from tests.server.rpc.world import World

SOON_S = 5.0


async def evidence(world: World, station: StationRecord) -> list[AuditRecord]:
    return [entry.record for entry in await world.store.audit.about(str(station.station_id))]


async def test_a_running_operation_is_cut_and_hears_why_it_ended(world: World) -> None:
    asked = asyncio.Event()

    async def wait_for_the_card(_caller: Caller, station: StationLink) -> None:
        await station.receive()
        await station.send(SELECT)
        asked.set()
        await station.receive()

    world.engine.behaviour = wait_for_the_card
    pair = world.pair()
    station = await world.register(pair)
    async with world.raw(pair) as channel:
        call = channel.stream_stream(RUN)(say(BEGIN))
        await call.read()
        await asyncio.wait_for(asked.wait(), SOON_S)
        blocked = await world.fleet.block("Desk", "  stolen\nat night ", "admin")
        assert isinstance(await asyncio.wait_for(world.engine.ended.get(), SOON_S), errors.ConnectionLost)
        with pytest.raises(grpc.aio.AioRpcError):
            await call.read()
    assert blocked.state is StationState.BLOCKED
    (record,) = await evidence(world, station)
    assert (record.event, record.actor) == ("station-blocked", "admin")
    assert record.facts == {"name": "Desk", "why": "stolen at night", "calls": 1}


async def test_a_call_that_waits_is_cut_and_says_why(world: World) -> None:
    world.console.delay = 60
    line = GrpcBackend(await world.lab_station(), world.clock)
    asking = asyncio.create_task(line.find_people("b", 1))
    await asyncio.wait_for(world.console.heard.wait(), SOON_S)
    await world.fleet.block("Desk", "stolen", "admin")
    with pytest.raises(errors.StationBlocked):
        await asyncio.wait_for(asking, SOON_S)
    with pytest.raises(errors.StationBlocked):
        await line.who_am_i()
    await world.fleet.unblock("Desk", "found again", "admin")
    assert (await line.who_am_i()).station == "Desk"
    await line.close()


async def test_a_call_that_was_just_let_in_meets_the_bar(world: World) -> None:
    """What was judged before the record changed does not get past the block."""
    station = await world.register(world.pair())
    caller = Caller(station_id=station.station_id, name="Desk", lab=True, fingerprint=station.fingerprint)
    assert world.lines.bar(station.station_id) == 0

    async def act() -> None:
        raise AssertionError

    with pytest.raises(errors.StationBlocked):
        await world.lines.answer(caller, act)


async def test_other_stations_go_on(world: World) -> None:
    line = GrpcBackend(await world.lab_station(), world.clock)
    other = await world.register(world.pair())
    await world.fleet.rename(str(other.station_id), "Gate", "", "admin")
    await world.fleet.block("Gate", "stolen", "admin")
    assert (await line.who_am_i()).station == "Desk"
    await line.close()


async def test_the_new_name_is_told(world: World) -> None:
    line = GrpcBackend(await world.lab_station(), world.clock)
    await world.fleet.rename("Desk", "Front desk", "two were called so", "admin")
    assert (await line.who_am_i()).station == "Front desk"
    await line.close()


async def test_what_is_not_clear_changes_nothing(world: World) -> None:
    first, second = await world.register(world.pair()), await world.register(world.pair())
    fleet = world.fleet
    for asked in (
        fleet.block("Desk", "which of the two?", "admin"),
        fleet.block("nobody", "why", "admin"),
        fleet.block(str(uuid4()), "why", "admin"),
        fleet.block(str(first.station_id), " \n ", "admin"),
        fleet.block(str(first.station_id), "x" * 401, "admin"),
        fleet.unblock(str(first.station_id), "it is not blocked", "admin"),
        fleet.rename(str(first.station_id), "Desk", "", "admin"),
        fleet.rename(str(first.station_id), "a\x1b[31m", "", "admin"),
    ):
        with pytest.raises(errors.Invalid):
            await asked
    assert {each.station.state for each in await fleet.all()} == {StationState.ACTIVE}
    assert [*await evidence(world, first), *await evidence(world, second)] == []


async def test_a_block_that_was_not_written_lets_the_station_work(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert isinstance(world.store, MemoryStore)
    line = GrpcBackend(await world.lab_station(), world.clock)

    async def full(*_: object) -> None:
        raise errors.StoreUnavailable(why="disk full")

    monkeypatch.setattr(world.store.stations, "set_state", full)
    with pytest.raises(errors.StoreUnavailable):
        await world.fleet.block("Desk", "stolen", "admin")
    assert (await line.who_am_i()).station == "Desk"
    await line.close()
