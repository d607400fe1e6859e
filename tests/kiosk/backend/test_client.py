"""The line to the server, over loopback with real TLS."""

import asyncio
import socket
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import replace
from datetime import timedelta

import pytest

from kiosk.backend import channel
from kiosk.backend.client import GrpcBackend
from kiosk.backend.failures import Reason
from kiosk.ports import LinkState
from server.authority.access import Caller, Listener
from server.operations.link import StationLink
from server.rpc.server import OPTIONS
from shared import errors
from shared.clock import SystemClock
from shared.console import CardHints, ServerView
from shared.credential.model import State
from shared.errors import KioskError
from shared.iso7816.apdu import Command, Response
from shared.relay import (
    Begin,
    Done,
    Exchange,
    Failed,
    OperationKind,
    Responses,
    ServerTurn,
    StationTurn,
    Working,
)
from tests.server.rpc import pki
from tests.server.rpc.world import World, moved, running

BEGIN = Begin(operation=OperationKind.ISSUE, reader="Virtual 1", virtual=True, holder="42", template="badge")
HINTS = CardHints(profile="yubikey-5.7", serial=20114)


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


async def say(*turns: StationTurn) -> AsyncIterator[StationTurn]:
    for turn in turns:
        yield turn
    await asyncio.Event().wait()  # a relay speaks until it is closed


async def hear(backend: GrpcBackend, turns: AsyncIterator[StationTurn]) -> list[ServerTurn]:
    async with aclosing(backend.operation(turns)) as operation:
        return [turn async for turn in operation]


@pytest.fixture
async def backend(world: World) -> AsyncIterator[GrpcBackend]:
    backend = GrpcBackend(await world.lab_station(), world.clock)
    yield backend
    await backend.close()


async def test_questions_and_answers(world: World, backend: GrpcBackend) -> None:
    told = await backend.who_am_i()
    assert told.time is not None
    assert abs(told.time - world.clock.now()) < timedelta(minutes=1)
    assert replace(told, time=None) == ServerView(server="Main", version="0.1.0", station="Desk", lab=True)
    assert (await backend.look_up(HINTS)).state is State.UNREGISTERED
    assert [person.name for person in (await backend.find_people("b", 5)).people] == ["Bob"]
    assert [template.version for template in await backend.templates()] == [3]
    assert [what[1:] for what in world.console.asked if isinstance(what, tuple)] == [
        (HINTS,),
        ("b", 5, ""),
        (),
    ]


async def test_credentials_are_found_and_decided_about(world: World, backend: GrpcBackend) -> None:
    found = await backend.find_credentials("bob", 1)
    assert found.more
    (view,) = found.credentials
    assert (view.state, view.reachable, view.serial) == (State.ACTIVE, (OperationKind.SUSPEND,), None)
    decided = await backend.decide(view.record_id, OperationKind.SUSPEND, "lost")
    assert (decided.state, decided.facts) == (State.SUSPENDED, {"waiting": 1})
    assert world.credentials.decided == [(view.record_id, OperationKind.SUSPEND, "lost")]
    world.credentials.failure = errors.CardNeeded(operation="resume")
    with pytest.raises(errors.CardNeeded):
        await backend.decide(view.record_id, OperationKind.RESUME, "")


async def test_an_operation_goes_back_and_forth(world: World, backend: GrpcBackend) -> None:
    select = Command(ins=0xA4, p1=4, label="select", parts=(b"\xa0\x00",), le=0)

    async def three_rounds(_caller: Caller, station: StationLink) -> None:
        assert await station.receive() == BEGIN
        for number in range(3):
            await station.send(Exchange(number=number, items=(select,), epoch=1))
            answer = await station.receive()
            assert answer == Responses(number=number, responses=(Response(bytes([number]), 0x9000),))
        await station.send(Done(state="issued"))

    world.engine.behaviour = three_rounds
    answers: asyncio.Queue[StationTurn] = asyncio.Queue()
    answers.put_nowait(BEGIN)

    async def speak() -> AsyncIterator[StationTurn]:
        while True:
            yield await answers.get()

    heard = []
    async with aclosing(backend.operation(speak())) as operation:
        async for turn in operation:
            heard.append(turn)
            if isinstance(turn, Exchange):
                response = Response(bytes([turn.number]), 0x9000)
                answers.put_nowait(Responses(number=turn.number, responses=(response,)))
    assert [type(turn) for turn in heard] == [Exchange, Exchange, Exchange, Done]
    assert await asyncio.wait_for(world.engine.ended.get(), 5) is None
    assert world.engine.callers[0].name == "Desk"


@pytest.mark.parametrize("kind", errors.BY_CODE.values(), ids=errors.BY_CODE.keys())
async def test_every_error_of_the_server_arrives(
    world: World, backend: GrpcBackend, kind: type[KioskError]
) -> None:
    sent = kind(what="x", tries_left=2)
    world.console.failure = sent

    async def fail(_caller: Caller, station: StationLink) -> None:
        await station.receive()
        raise sent

    world.engine.behaviour = fail
    with pytest.raises(kind) as asked:
        await backend.look_up(HINTS)
    with pytest.raises(kind) as run:
        await hear(backend, say(BEGIN))
    assert asked.value.facts == run.value.facts == sent.facts


async def test_a_failure_of_the_operation_is_its_last_turn(world: World, backend: GrpcBackend) -> None:
    async def fail(_caller: Caller, station: StationLink) -> None:
        await station.receive()
        await station.send(Failed(error=errors.CardFull(command="x"), state="issued", next_action="retry"))

    world.engine.behaviour = fail
    (last,) = await hear(backend, say(BEGIN))
    assert isinstance(last, Failed)
    assert isinstance(last.error, errors.CardFull)


async def test_a_station_that_talks_on_still_hears_the_last_turn(backend: GrpcBackend) -> None:
    async def chatter() -> AsyncIterator[StationTurn]:
        yield BEGIN
        for number in range(200):
            yield Working(number=number)
        await asyncio.Event().wait()

    for _ in range(20):
        (last,) = await hear(backend, chatter())
        assert isinstance(last, Done)


async def wait_for_ever(_caller: Caller, station: StationLink) -> None:
    await station.send(Exchange(number=1, items=(Command(ins=0xA4, label="select"),), epoch=1))
    while True:
        await station.receive()


async def test_a_server_that_stops_cuts_the_operation(world: World, backend: GrpcBackend) -> None:
    world.engine.behaviour = wait_for_ever
    async with aclosing(backend.operation(say(BEGIN))) as operation:
        assert isinstance(await anext(operation), Exchange)
        await world.stop()
        with pytest.raises(errors.ConnectionLost):
            await anext(operation)
    assert isinstance(await asyncio.wait_for(world.engine.ended.get(), 5), errors.ConnectionLost)


async def test_an_end_without_last_turn_is_a_cut(
    world: World, backend: GrpcBackend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("server.rpc.operations.PART_TIMEOUT_S", 0.1)

    async def vanish(_caller: Caller, station: StationLink) -> None:
        await station.receive()

    world.engine.behaviour = vanish
    with pytest.raises(errors.ConnectionLost):
        await hear(backend, say(BEGIN))


async def test_a_station_that_leaves_is_lost_to_the_engine(world: World, backend: GrpcBackend) -> None:
    world.engine.behaviour = wait_for_ever
    async with aclosing(backend.operation(say(BEGIN))) as operation:
        async for _ in operation:
            break
    assert isinstance(await asyncio.wait_for(world.engine.ended.get(), 5), errors.ConnectionLost)


async def test_the_engine_is_not_cancelled_between_act_and_record(world: World, backend: GrpcBackend) -> None:
    recorded = asyncio.Event()
    acting = asyncio.Event()

    async def act_and_record(_caller: Caller, station: StationLink) -> None:
        await station.send(Exchange(number=1, items=(Command(ins=0xA4, label="select"),), epoch=1))
        acting.set()
        await asyncio.sleep(0.3)
        recorded.set()
        await station.send(Done(state="issued"))

    world.engine.behaviour = act_and_record
    async with aclosing(backend.operation(say(BEGIN))) as operation:
        async for _ in operation:
            await acting.wait()
            break
    await asyncio.wait_for(recorded.wait(), 5)
    assert isinstance(await asyncio.wait_for(world.engine.ended.get(), 5), errors.ConnectionLost)


async def test_a_silent_station_is_a_cut_for_the_engine(world: World, backend: GrpcBackend) -> None:
    async def listen(_caller: Caller, station: StationLink) -> None:
        await station.receive()
        await station.receive()

    async def one_word() -> AsyncIterator[StationTurn]:
        yield BEGIN

    world.engine.behaviour = listen
    with pytest.raises(errors.ConnectionLost):
        await hear(backend, one_word())
    assert isinstance(await asyncio.wait_for(world.engine.ended.get(), 5), errors.ConnectionLost)


async def test_what_the_station_failed_to_say_is_raised(world: World, backend: GrpcBackend) -> None:
    async def stumble() -> AsyncIterator[StationTurn]:
        yield BEGIN
        raise errors.HoleRefused(command="PUT DATA", why="no PIN goes there")

    world.engine.behaviour = wait_for_ever
    with pytest.raises(errors.HoleRefused):
        await hear(backend, stumble())


async def test_an_unexpected_failure_of_the_engine_is_a_number(
    world: World, backend: GrpcBackend, caplog: pytest.LogCaptureFixture
) -> None:
    async def crash(_caller: Caller, station: StationLink) -> None:
        await station.receive()
        message = "internal detail"
        raise ValueError(message)

    world.engine.behaviour = crash
    with pytest.raises(errors.ServerFault) as caught:
        await hear(backend, say(BEGIN))
    assert "internal detail" not in str(caught.value)
    assert str(caught.value.facts["incident"]) in caplog.text


async def test_no_server() -> None:
    world = World()
    identity = moved(world.identity(world.pair()), closed_port())
    backend = GrpcBackend(identity, SystemClock())
    with pytest.raises(errors.ServerUnreachable) as caught:
        await backend.who_am_i()
    assert caught.value.facts == {"server": identity.server, "reason": Reason.REFUSED}
    with pytest.raises(errors.ServerUnreachable):
        await hear(backend, say(BEGIN))
    await backend.close()


async def test_no_such_name() -> None:
    world = World()
    identity = replace(world.identity(world.pair()), server="nowhere.invalid:7443")
    backend = GrpcBackend(identity, SystemClock())
    with pytest.raises(errors.ServerUnreachable) as caught:
        await backend.who_am_i()
    assert caught.value.facts["reason"] in {Reason.NAME, Reason.TIMEOUT}
    await backend.close()


async def test_another_server_is_not_believed(world: World) -> None:
    pair = world.pair()
    await world.register(pair)
    backend = GrpcBackend(world.identity(pair, root=pki.root("stations")), world.clock)
    with pytest.raises(errors.ServerUnreachable) as caught:
        await backend.who_am_i()
    assert caught.value.facts["reason"] == Reason.OTHER_SERVER
    await backend.close()


async def test_another_name_is_not_believed(world: World) -> None:
    identity = replace(await world.lab_station(), server=f"ip6-localhost.invalid:{world.port}")
    backend = GrpcBackend(identity, world.clock, f"127.0.0.2:{world.port}")
    with pytest.raises(errors.ServerUnreachable):
        await backend.who_am_i()
    await backend.close()


async def test_a_station_cannot_pose_as_the_server() -> None:
    world = World()
    impostor = pki.leaf("Desk", world.root, pki.CLIENT, names=("localhost",))
    await world.start(impostor)
    backend = GrpcBackend(await world.lab_station(), world.clock)
    with pytest.raises(errors.ServerUnreachable) as caught:
        await backend.who_am_i()
    assert caught.value.facts["reason"] == Reason.OTHER_SERVER
    await backend.close()
    await world.stop()


async def test_an_expired_server_is_named() -> None:
    world = World()
    await world.start(world.server_pair(begins=-2 * pki.DAY, ends=-pki.DAY))
    backend = GrpcBackend(await world.lab_station(), world.clock)
    with pytest.raises(errors.ServerUnreachable) as caught:
        await backend.who_am_i()
    assert caught.value.facts["reason"] == Reason.EXPIRED
    await backend.close()
    await world.stop()


async def test_an_expired_station_knows_why(world: World) -> None:
    pair = world.pair(ends=-pki.DAY)
    await world.register(pair)
    backend = GrpcBackend(world.identity(pair), world.clock)
    with pytest.raises(errors.StationExpired):
        await backend.who_am_i()
    await backend.close()


async def test_a_certificate_of_another_root_is_named_as_a_reason(world: World) -> None:
    backend = GrpcBackend(world.identity(world.pair(issuer=pki.root("other"))), world.clock)
    with pytest.raises(errors.ServerUnreachable) as caught:
        await backend.who_am_i()
    assert caught.value.facts["reason"] == Reason.HUNG_UP
    await backend.close()


async def test_an_unknown_station_is_told(world: World) -> None:
    backend = GrpcBackend(world.identity(world.pair()), world.clock)
    with pytest.raises(errors.StationUnknown):
        await backend.who_am_i()
    with pytest.raises(errors.StationUnknown):
        await hear(backend, say(BEGIN))
    await backend.close()


async def test_a_slow_answer_meets_the_deadline(world: World) -> None:
    backend = GrpcBackend(await world.lab_station(), world.clock, call_timeout_s=0.3)
    world.console.delay = 5
    with pytest.raises(errors.ServerUnreachable) as caught:
        await backend.look_up(HINTS)
    assert caught.value.facts["reason"] == Reason.TIMEOUT
    await backend.close()


async def test_the_line_comes_back(world: World, backend: GrpcBackend) -> None:
    states = backend.link()

    async def until(wanted: LinkState) -> list[LinkState]:
        seen = []
        async with asyncio.timeout(15):
            async for state in states:
                seen.append(state)
                if state is wanted:
                    break
        return seen

    assert await until(LinkState.CONNECTED) in (
        [LinkState.CONNECTING, LinkState.CONNECTED],
        [LinkState.CONNECTED],
    )
    await world.stop()
    assert await until(LinkState.LOST)
    with pytest.raises(errors.ServerUnreachable):
        await backend.who_am_i()
    await world.start()
    assert await until(LinkState.CONNECTED) == [LinkState.CONNECTED]
    assert (await backend.who_am_i()).station == "Desk"
    await states.aclose()


def quick(options: Sequence[tuple[str, object]]) -> list[tuple[str, object]]:
    """Return the same options with every time of the keepalive 300 ms, where there is one."""
    hurried = {"grpc.keepalive_time_ms", "grpc.keepalive_timeout_ms", "grpc.http2.ping_timeout_ms"}
    assert hurried <= {name for name, _ in options}
    return [(name, 300 if name in hurried else value) for name, value in options]


@asynccontextmanager
async def swallowing_line(world: World) -> AsyncIterator[tuple[int, asyncio.Event]]:
    """A relay before the server that, once told, takes all bytes and passes none on, as a pulled cable does."""
    swallowing = asyncio.Event()
    writers: list[asyncio.StreamWriter] = []

    async def pipe(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        with suppress(OSError):
            while data := await reader.read(65_536):
                if not swallowing.is_set():
                    writer.write(data)

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        behind_reader, behind_writer = await asyncio.open_connection("127.0.0.1", world.port)
        await asyncio.gather(pipe(reader, behind_writer), pipe(behind_reader, writer))

    proxy = await asyncio.start_server(relay, "127.0.0.1", 0)
    try:
        yield proxy.sockets[0].getsockname()[1], swallowing
    finally:
        proxy.close()
        for writer in writers:
            writer.transport.abort()
        await asyncio.gather(*(writer.wait_closed() for writer in writers), return_exceptions=True)


async def test_a_pulled_cable_is_noticed_by_the_station(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(channel, "OPTIONS", quick(channel.OPTIONS))
    world.engine.behaviour = wait_for_ever
    async with swallowing_line(world) as (port, swallowing):
        backend = GrpcBackend(moved(await world.lab_station(), port), world.clock)
        async with aclosing(backend.operation(say(BEGIN))) as operation:
            assert isinstance(await anext(operation), Exchange)
            swallowing.set()
            with pytest.raises(errors.ConnectionLost):
                await asyncio.wait_for(anext(operation), 8)
        await backend.close()


async def test_a_pulled_cable_is_noticed_by_the_server(monkeypatch: pytest.MonkeyPatch) -> None:
    hurried = quick(OPTIONS[Listener.STATIONS])
    monkeypatch.setitem(OPTIONS, Listener.STATIONS, hurried)
    async with running() as world:
        world.engine.behaviour = wait_for_ever
        async with swallowing_line(world) as (port, swallowing):
            backend = GrpcBackend(moved(await world.lab_station(), port), world.clock)
            async with aclosing(backend.operation(say(BEGIN))) as operation:
                assert isinstance(await anext(operation), Exchange)
                swallowing.set()
                ended = await asyncio.wait_for(world.engine.ended.get(), 8)
            assert isinstance(ended, errors.ConnectionLost)
            await backend.close()


async def test_closing_ends_the_watch(world: World) -> None:
    backend = GrpcBackend(await world.lab_station(), world.clock)

    async def watch() -> list[LinkState]:
        return [state async for state in backend.link()]

    watching = asyncio.create_task(watch())
    await backend.who_am_i()
    await asyncio.sleep(0.05)
    await backend.close()
    assert (await asyncio.wait_for(watching, 5))[-1] is LinkState.CONNECTED


async def test_eight_operations_at_once(world: World, backend: GrpcBackend) -> None:
    ended = await asyncio.gather(
        *(hear(backend, say(replace(BEGIN, reader=f"Reader {number}"))) for number in range(8))
    )
    assert sorted(turns[0].facts["reader"] for turns in ended if isinstance(turns[0], Done)) == [
        f"Reader {number}" for number in range(8)
    ]
    assert timedelta() == world.clock.later
