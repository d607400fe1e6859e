import asyncio
from collections.abc import AsyncIterator, Callable

import pytest

from kiosk.devices.virtual.reader import VirtualReaders
from kiosk.ports import LinkState
from kiosk.station.core import StationCore
from kiosk.station.faces import Job, ReaderView, StationView
from kiosk.station.latest import Latest
from shared import errors
from shared.credential.model import State
from shared.relay import Cancel, Done, Exchange, Failed, OperationKind, ServerTurn, StationTurn
from shared.virtual.faults import Fault, FaultKind
from tests.kiosk.station.commands import SELECT
from tests.kiosk.station.doubles import READER, NotingWatcher, ScriptedBackend, ToldPerson, readers_with_card

JOB = Job(operation=OperationKind.ISSUE, reader=READER, holder="bob", template="employee")

Bench = tuple[StationCore, VirtualReaders, ScriptedBackend]


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    readers, _ = await readers_with_card()
    backend = ScriptedBackend()
    async with StationCore(readers, backend) as core:
        yield core, readers, backend
    assert backend.closed


async def until(core: StationCore, wanted: Callable[[StationView], bool]) -> StationView:
    async with asyncio.timeout(5):
        async for view in core.views():
            if wanted(view):
                return view
    raise AssertionError


def reader(view: StationView, name: str = READER) -> ReaderView:
    return next(each for each in view.readers if each.name == name)


def recorded(view: StationView) -> bool:
    return bool(view.readers) and reader(view).record is not None and not reader(view).busy


async def test_a_card_is_read_and_looked_up(bench: Bench) -> None:
    core, _, backend = bench
    view = await until(core, recorded)
    seen = reader(view)
    assert seen.card is not None
    assert (seen.card.serial, seen.card.pin_tries_left, seen.present, seen.reading) == (20114, 3, True, False)
    assert seen.record is not None
    assert seen.record.state is State.UNREGISTERED
    assert view.connected
    assert view.server is not None
    assert view.server.lab
    hints = backend.hints[-1]
    assert (hints.serial, hints.virtual, hints.factory_management_key) == (20114, True, True)


async def test_pulling_and_inserting_show(bench: Bench) -> None:
    core, readers, _ = bench
    await until(core, recorded)
    await readers.pull(READER)
    view = await until(core, lambda view: not reader(view).present)
    assert (reader(view).card, reader(view).record) == (None, None)
    await readers.insert(READER, "card")
    assert reader(await until(core, recorded)).present


async def test_readers_come_and_go(bench: Bench) -> None:
    core, readers, _ = bench
    readers.attach("Virtual 2")
    view = await until(core, lambda view: len(view.readers) == 2)
    assert [each.name for each in view.readers] == [READER, "Virtual 2"]
    await readers.detach(READER)
    await until(core, lambda view: [each.name for each in view.readers] == ["Virtual 2"])


async def test_a_slow_face_sees_only_the_newest_view(bench: Bench) -> None:
    core, readers, _ = bench
    await until(core, recorded)
    views = core.views()
    await anext(views)
    for _ in range(20):
        await readers.pull(READER)
        await readers.insert(READER, "card")
    await until(core, recorded)
    assert reader(await anext(views)).present, "what came in between is not queued"


async def test_a_card_that_is_no_piv_card_has_a_reason(bench: Bench) -> None:
    core, readers, _ = bench
    await until(core, recorded)
    await readers.pull(READER)
    readers.arm("card", Fault(kind=FaultKind.STATUS, at=1, ins=0xA4, sw=0x6A82, every=True))
    await readers.insert(READER, "card")
    view = await until(core, lambda view: reader(view).error is not None)
    assert isinstance(reader(view).error, errors.NotPivCard)
    assert not reader(view).reading


async def test_a_card_that_comes_up_slowly_is_read_again(bench: Bench) -> None:
    core, readers, _ = bench
    await until(core, recorded)
    readers.arm("card", Fault(kind=FaultKind.STATUS, at=1, ins=0xA4, sw=0x6F00))
    assert isinstance((await core.refresh(READER)).error, errors.KioskError)
    view = await core.refresh(READER)
    assert view.error is None
    assert view.record is not None


async def test_the_server_goes_and_comes_back(bench: Bench) -> None:
    core, readers, backend = bench
    await until(core, recorded)
    backend.failure = errors.ServerUnreachable(server="test", reason="down")
    backend.line.put(LinkState.LOST)
    await until(core, lambda view: not view.connected)
    await readers.pull(READER)
    await readers.insert(READER, "card")
    view = await until(core, lambda view: reader(view).error is not None)
    assert isinstance(reader(view).error, errors.ServerUnreachable)
    assert reader(view).card is not None, "the station still shows what it read itself"
    backend.failure = None
    backend.line.put(LinkState.CONNECTED)
    view = await until(core, recorded)
    assert reader(view).error is None


async def test_a_card_waits_for_a_line_that_is_only_being_opened() -> None:
    readers, _ = await readers_with_card()
    backend = ScriptedBackend()
    backend.line = Latest(LinkState.CONNECTING)
    backend.failure = errors.ServerUnreachable(server="test", reason="it is starting")
    async with StationCore(readers, backend) as core:
        await until(core, lambda view: bool(view.readers) and reader(view).card is not None)
        seen = await core.refresh(READER)
        assert isinstance(seen.error, errors.ServerUnreachable), "who asks is told at once"
        await readers.pull(READER)
        await readers.insert(READER, "card")
        view = await until(core, lambda view: reader(view).card is not None and not reader(view).reading)
        assert (view.connected, view.connecting) == (False, True)
        assert (reader(view).record, reader(view).error) == (None, None)
        backend.failure = None
        backend.line.put(LinkState.CONNECTED)
        view = await until(core, recorded)
        assert (view.connected, view.connecting) == (True, False)


async def test_a_card_that_waited_in_vain_says_why() -> None:
    readers, _ = await readers_with_card()
    backend = ScriptedBackend()
    backend.line = Latest(LinkState.CONNECTING)
    backend.failure = errors.ServerUnreachable(server="test", reason="no answer")
    async with StationCore(readers, backend) as core:
        await until(core, lambda view: bool(view.readers) and reader(view).card is not None)
        backend.line.put(LinkState.LOST)
        view = await until(core, lambda view: reader(view).error is not None)
        assert reader(view).error is backend.failure
        assert (view.connected, view.connecting) == (False, False)


async def test_a_blocked_station_is_a_problem_of_the_station() -> None:
    readers, _ = await readers_with_card()
    backend = ScriptedBackend()
    backend.failure = errors.StationBlocked()
    async with StationCore(readers, backend) as core:
        view = await until(core, lambda view: view.problem is not None)
        assert isinstance(view.problem, errors.StationBlocked)


async def test_an_operation_runs_on_a_busy_reader_and_the_card_is_read_again(bench: Bench) -> None:
    core, _, backend = bench
    await until(core, recorded)

    async def script(turns: AsyncIterator[StationTurn]) -> AsyncIterator[ServerTurn]:
        view = await until(core, lambda view: reader(view).busy)
        assert reader(view).present
        yield Exchange(number=1, items=(SELECT,), epoch=1, release=True)
        await anext(turns)
        yield Done(state="issued")

    backend.script = script
    looked_up = len(backend.hints)
    outcome = await core.perform(JOB, ToldPerson(), NotingWatcher())
    assert (outcome.error, outcome.state, outcome.operation) == (None, "issued", OperationKind.ISSUE)
    begin = backend.began[0]
    assert (begin.holder, begin.template, begin.virtual) == ("bob", "employee", True)
    await until(core, lambda view: recorded(view) and len(backend.hints) > looked_up)


async def test_an_unknown_reader_is_an_outcome_or_an_error(bench: Bench) -> None:
    core, _, _ = bench
    outcome = await core.perform(
        Job(operation=OperationKind.ISSUE, reader="none"), ToldPerson(), NotingWatcher()
    )
    assert isinstance(outcome.error, errors.NoReader)
    with pytest.raises(errors.NoReader):
        await core.refresh("none")


async def test_cancelling_stops_at_the_next_border(bench: Bench) -> None:
    core, _, backend = bench
    started = asyncio.Event()

    async def script(turns: AsyncIterator[StationTurn]) -> AsyncIterator[ServerTurn]:
        started.set()
        while not isinstance(await anext(turns), Cancel):
            pass
        yield Failed(error=errors.Cancelled(question="operation"), state="registered", next_action="none")

    backend.script = script
    running = asyncio.create_task(core.perform(JOB, ToldPerson(), NotingWatcher()))
    await asyncio.wait_for(started.wait(), 5)
    running.cancel()
    outcome = await running
    assert isinstance(outcome.error, errors.Cancelled)
    assert outcome.state == "registered"


async def test_cancelling_twice_ends_it_at_once(bench: Bench) -> None:
    core, _, backend = bench
    started = asyncio.Event()

    async def script(_turns: AsyncIterator[StationTurn]) -> AsyncIterator[ServerTurn]:
        started.set()
        await asyncio.sleep(60)
        yield Done(state="issued")

    backend.script = script
    running = asyncio.create_task(core.perform(JOB, ToldPerson(), NotingWatcher()))
    await asyncio.wait_for(started.wait(), 5)
    running.cancel()
    await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    view = await until(core, lambda view: not reader(view).busy)
    assert reader(view).present


async def test_directory_and_templates_are_the_servers(bench: Bench) -> None:
    core, _, backend = bench
    assert not (await core.find_people("bob")).more
    assert (await core.templates())[0].name == "employee"
    backend.failure = errors.ServerUnreachable(server="test", reason="down")
    with pytest.raises(errors.ServerUnreachable):
        await core.templates()


async def test_latest_yields_now_then_the_newest_and_ends() -> None:
    latest = Latest(1)
    watch = latest.watch()
    assert await anext(watch) == 1
    latest.put(2)
    latest.put(3)
    assert (await anext(watch), latest.value) == (3, 3)
    latest.put(3)
    with pytest.raises(asyncio.TimeoutError):
        async with asyncio.timeout(0.02):
            await anext(watch)
    other = latest.watch()
    assert await anext(other) == 3
    latest.close()
    with pytest.raises(StopAsyncIteration):
        await anext(other)
