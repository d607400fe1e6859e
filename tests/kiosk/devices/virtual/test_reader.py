"""Virtual readers: events, sessions, cards pulled at any moment."""

import asyncio
import os
import threading
import time
from collections.abc import AsyncIterator, Sequence

import pytest

from kiosk.devices.virtual.reader import VirtualReaders
from kiosk.ports import (
    CardAbsent,
    CardPresent,
    CardSession,
    Filled,
    ReaderAttached,
    ReaderDetached,
    ReaderEvent,
    ReaderInfo,
    Readers,
    Spoken,
)
from kiosk.station.faces import VirtualDesk
from shared import errors
from shared.iso7816.apdu import ANY_STATUS, ColdReset, Command
from shared.piv.ids import ProfileName
from shared.virtual.card import VirtualCard
from shared.virtual.faults import Fault, FaultKind
from shared.virtual.memory import Memory


def filled(ins: int, p1: int = 0, p2: int = 0, data: bytes = b"", **more: object) -> Filled:
    command = Command(ins=ins, p1=p1, p2=p2, label=f"{ins:02X}", parts=(data,), le=0, **more)  # type: ignore[arg-type]
    return Filled(command=command, data=bytearray(data), masked=b"")


def select() -> Filled:
    return filled(0xA4, 4, 0, bytes.fromhex("A000000308"))


def verify(pin: bytes = b"123456\xff\xff") -> Filled:
    return filled(0x20, 0, 0x80, pin, expect=ANY_STATUS)


def tries() -> Filled:
    return filled(0x20, 0, 0x80, expect=ANY_STATUS)


def new_card(serial: int = 1) -> VirtualCard:
    return VirtualCard.new(ProfileName.YUBIKEY_5_4, serial=serial, random=os.urandom)


@pytest.fixture
async def readers() -> AsyncIterator[VirtualReaders]:
    readers = VirtualReaders(["one", "two"])
    readers.add_card("anna", new_card(1))
    readers.add_card("bob", new_card(2))
    yield readers
    await readers.close()


class Watch:
    """Collects events in the background."""

    def __init__(self, readers: VirtualReaders) -> None:
        self.events: list[ReaderEvent] = []
        self._task = asyncio.create_task(self._collect(readers))

    async def _collect(self, readers: VirtualReaders) -> None:
        async for event in readers.watch():
            self.events.append(event)

    async def seen(self) -> list[str]:
        for _ in range(5):
            await asyncio.sleep(0)
        texts = [f"{type(event).__name__} {event.reader.name}" for event in self.events]  # type: ignore[union-attr]
        self.events.clear()
        return texts

    async def ended(self) -> None:
        await asyncio.wait_for(self._task, 2)


def statuses(spoken: Spoken) -> list[int]:
    return [response.sw for response in spoken.responses]


async def say(readers: VirtualReaders, reader: str, *items: Filled | ColdReset) -> Spoken:
    async with readers.session(reader) as session:
        return await session.exchange(items)


async def test_it_is_what_the_ports_ask_for(readers: VirtualReaders) -> None:
    port: Readers = readers
    desk: VirtualDesk = readers
    assert [info.name for info in await port.all()] == ["one", "two"]
    assert all(info.virtual for info in await port.all())
    assert list(desk.cards()) == ["anna", "bob"]


async def test_events(readers: VirtualReaders) -> None:
    watch = Watch(readers)
    assert await watch.seen() == [
        "ReaderAttached one",
        "CardAbsent one",
        "ReaderAttached two",
        "CardAbsent two",
    ]
    await readers.insert("one", "anna")
    await asyncio.sleep(0)
    assert watch.events == [
        CardPresent(reader=ReaderInfo(name="one", virtual=True), atr=readers.card("anna").atr)
    ]
    assert await watch.seen() == ["CardPresent one"]
    await readers.insert("two", "anna")
    assert await watch.seen() == ["CardAbsent one", "CardPresent two"]
    await readers.insert("two", "bob")
    assert await watch.seen() == ["CardAbsent two", "CardPresent two"]
    await readers.pull("two")
    await readers.pull("two")
    assert await watch.seen() == ["CardAbsent two"]
    readers.attach("three")
    await readers.detach("one")
    assert await watch.seen() == ["ReaderAttached three", "CardAbsent three", "ReaderDetached one"]
    late = Watch(readers)
    assert await late.seen() == [
        "ReaderAttached two",
        "CardAbsent two",
        "ReaderAttached three",
        "CardAbsent three",
    ]
    await readers.close()
    await watch.ended()
    await late.ended()


async def test_no_session_without_reader_or_card(readers: VirtualReaders) -> None:
    with pytest.raises(errors.NoReader):
        await say(readers, "four")
    with pytest.raises(errors.CardMissing):
        await say(readers, "one")
    with pytest.raises(errors.Invalid):
        await readers.insert("one", "carol")
    with pytest.raises(errors.NoReader):
        await readers.pull("four")


async def test_the_pin_does_not_outlive_a_session(readers: VirtualReaders) -> None:
    await readers.insert("one", "anna")
    assert statuses(await say(readers, "one", select(), verify(), tries())) == [0x9000] * 3
    assert statuses(await say(readers, "one", tries())) == [0x6986]
    assert statuses(await say(readers, "one", select(), tries())) == [0x9000, 0x63C3]


async def test_a_cold_reset_inside_a_batch(readers: VirtualReaders) -> None:
    await readers.insert("one", "anna")
    spoken = await say(readers, "one", select(), verify(), ColdReset(), select(), tries())
    assert statuses(spoken) == [0x9000, 0x9000, 0x9000, 0x9000, 0x63C3]
    assert spoken.responses[2].data == readers.card("anna").atr


async def test_a_fault_pulls_the_card_and_the_reader_says_so(readers: VirtualReaders) -> None:
    watch = Watch(readers)
    await readers.insert("one", "anna")
    await watch.seen()
    readers.arm("anna", Fault(kind=FaultKind.RESPONSE_LOST, at=2))
    async with readers.session("one") as session:
        spoken = await session.exchange([select(), verify(b"000000\xff\xff"), tries()])
        assert (statuses(spoken), spoken.lost) == ([0x9000], True)
        assert readers.card_in("one") is None
        assert (await session.exchange([select()])).lost
    assert await watch.seen() == ["CardAbsent one"]
    await readers.insert("one", "anna")
    assert statuses(await say(readers, "one", select(), tries())) == [0x9000, 0x63C2], "it was executed"


async def test_a_card_pulled_by_hand_in_the_middle_of_a_batch(readers: VirtualReaders) -> None:
    await readers.insert("one", "anna")
    in_command, go_on = threading.Event(), threading.Event()

    def wait(_: float) -> None:
        in_command.set()
        go_on.wait(5)

    card = VirtualCard(new_card().memory, random=os.urandom, wait=wait)
    readers.add_card("slow", card)
    await readers.insert("one", "slow")
    readers.arm("slow", Fault(kind=FaultKind.DELAY, at=2))
    async with readers.session("one") as session:
        batch = asyncio.create_task(session.exchange([select(), tries(), tries()]))
        await asyncio.to_thread(in_command.wait, 5)
        pulling = asyncio.create_task(readers.pull("one"))
        await asyncio.sleep(0)
        assert readers.card_in("one") is None
        go_on.set()
        spoken = await batch
        await pulling
    assert (statuses(spoken), spoken.lost) == ([0x9000], True)
    assert card.commands == 2, "the third was never sent"


async def test_a_swapped_card_is_not_spoken_to_by_the_old_session(readers: VirtualReaders) -> None:
    await readers.insert("one", "anna")
    async with readers.session("one") as session:
        await session.exchange([select(), verify()])
        await readers.insert("one", "bob")
        assert (await session.exchange([select()])).lost
    assert readers.card("bob").commands == 0
    assert statuses(await say(readers, "one", select())) == [0x9000]


async def test_sessions_in_one_reader_wait_for_each_other(readers: VirtualReaders) -> None:
    await readers.insert("one", "anna")
    order: list[str] = []

    async def visit(name: str) -> None:
        async with readers.session("one") as session:
            order.append(f"{name} in")
            await session.exchange([select(), verify()])
            await asyncio.sleep(0.01)
            order.append(f"{name} out")

    await asyncio.gather(visit("a"), visit("b"))
    assert order == ["a in", "a out", "b in", "b out"]


async def test_readers_work_side_by_side_each_in_its_thread(readers: VirtualReaders) -> None:
    meeting = threading.Barrier(2, timeout=5)
    names: set[str] = set()

    def wait(_: float) -> None:
        names.add(threading.current_thread().name)
        meeting.wait()

    for reader in ("one", "two"):
        readers.add_card(reader, VirtualCard(new_card().memory, random=os.urandom, wait=wait))
        await readers.insert(reader, reader)
        readers.arm(reader, Fault(kind=FaultKind.DELAY))
    spoken = await asyncio.gather(*(say(readers, reader, select()) for reader in ("one", "two")))
    assert [statuses(each) for each in spoken] == [[0x9000], [0x9000]]
    assert len(names) == 2


async def test_a_cancelled_session_resets_the_card_behind_its_batch(readers: VirtualReaders) -> None:
    in_command, released = threading.Event(), threading.Event()

    def wait(_: float) -> None:
        in_command.set()
        released.wait(5)

    card = VirtualCard(new_card().memory, random=os.urandom, wait=wait)
    readers.add_card("slow", card)
    await readers.insert("one", "slow")
    readers.arm("slow", Fault(kind=FaultKind.DELAY, at=2))
    task = asyncio.create_task(say(readers, "one", select(), verify()))
    await asyncio.to_thread(in_command.wait, 5)
    task.cancel()
    released.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert statuses(await say(readers, "one", tries())) == [0x6986]


async def test_memory_is_saved_before_the_answers_are_told(readers: VirtualReaders) -> None:
    saved: list[Memory] = []
    card = new_card()
    readers.add_card("kept", card, saved.append)
    await readers.insert("one", "kept")
    await say(readers, "one", select(), tries())
    assert saved == []
    await say(readers, "one", select(), verify(b"000000\xff\xff"))
    assert [memory.pin.left for memory in saved] == [2]


async def test_the_cards_own_time_is_reported(readers: VirtualReaders) -> None:
    await readers.insert("one", "anna")
    before = readers.busy_seconds
    begun = time.perf_counter()
    await say(readers, "one", select(), *[tries() for _ in range(50)])
    assert before < readers.busy_seconds <= before + time.perf_counter() - begun


async def test_closing_ends_open_sessions_and_threads() -> None:
    readers = VirtualReaders(["one"])
    readers.add_card("anna", new_card())
    await readers.insert("one", "anna")
    names = {thread.name for thread in threading.enumerate()}
    async with readers.session("one") as session:
        await session.exchange([select()])
        await readers.close()
        assert (await lost_or_refused(session, [select()])).lost
    assert not any(
        thread.name.startswith("reader one") for thread in threading.enumerate() if thread.name not in names
    )


async def lost_or_refused(session: CardSession, items: Sequence[Filled]) -> Spoken:
    return await session.exchange(items)


def test_event_types_are_the_ports() -> None:
    assert {CardPresent, CardAbsent, ReaderAttached, ReaderDetached} <= set(ReaderEvent.__args__)
