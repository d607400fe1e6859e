"""PC/SC against a real pcscd with the vpcd driver."""

import asyncio
import os
import signal
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from kiosk.devices.pcsc import PcscReaders
from kiosk.devices.pcsc_library import Library, Rc, load_library
from kiosk.devices.virtual.vpcd import serve_vpcd
from kiosk.ports import (
    CardAbsent,
    CardPresent,
    CardSession,
    Filled,
    ReaderAttached,
    ReaderEvent,
    ReaderInfo,
    ReadersFailed,
)
from kiosk.station.converse import converse
from kiosk.station.filling import plain
from shared import errors
from shared.iso7816.apdu import ColdReset, Command
from shared.piv.ids import ProfileName
from shared.piv.inspect import inspect
from shared.virtual.card import VirtualCard
from shared.virtual.factory import manufacture
from shared.virtual.faults import Fault, FaultKind
from shared.virtual.profiles import PROFILES
from tests.kiosk.station.commands import SELECT, tries, verify_plain
from tests.peers.pcscd import PRESENCE_POLL_S, PcscReader, PcscService, pcsc_service

pytestmark = pytest.mark.needs_pcscd


def new_card(profile: ProfileName = ProfileName.YUBIKEY_5_4) -> VirtualCard:
    return VirtualCard(manufacture(PROFILES[profile], serial=77, random=os.urandom), random=os.urandom)


@asynccontextmanager
async def inserted(reader: PcscReader, card: VirtualCard | None = None) -> AsyncIterator[VirtualCard]:
    """Keep a card in the reader, until the end or until it is pulled."""
    card = card or new_card()
    with _CardThread(card, reader.port):
        await present(reader.name, wanted=True)
        yield card
    # another card within one poll would not be noticed
    await asyncio.sleep(PRESENCE_POLL_S + 0.1)
    await present(reader.name, wanted=False)


class _CardThread:
    """A card on an event loop of its own: other clients block this one."""

    def __init__(self, card: VirtualCard, port: int) -> None:
        self._loop = asyncio.new_event_loop()
        self._task = self._loop.create_task(serve_vpcd(card, host="127.0.0.1", port=port))
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        with suppress(asyncio.CancelledError):
            self._loop.run_until_complete(self._task)
        self._loop.close()

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        if not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._task.cancel)
        self._thread.join()


async def present(name: str, *, wanted: bool) -> None:
    readers = PcscReaders()
    async with asyncio.timeout(10):
        async for event in readers.watch():
            match event:
                case CardPresent(reader=ReaderInfo(name=where)) if where == name and wanted:
                    return
                case CardAbsent(reader=ReaderInfo(name=where)) if where == name and not wanted:
                    return
                case _:
                    pass


@pytest.fixture
async def readers() -> AsyncIterator[PcscReaders]:
    readers = PcscReaders(busy_limit_s=1)
    yield readers
    await readers.close()


def commands(*items: Command | ColdReset) -> list[Filled | ColdReset]:
    return [item if isinstance(item, ColdReset) else plain(item) for item in items]


async def statuses(session: CardSession, *items: Command | ColdReset) -> list[int]:
    return [response.sw for response in (await session.exchange(commands(*items))).responses]


async def test_readers_are_listed(readers: PcscReaders, pcsc: PcscService) -> None:
    names = {reader.name for reader in pcsc.readers}
    assert names <= {info.name for info in await readers.all()}
    assert not any(info.virtual for info in await readers.all()), "a card behind pcscd is a reader's card"


async def test_a_card_is_inspected(readers: PcscReaders, pcsc_reader: PcscReader) -> None:
    async with inserted(pcsc_reader), readers.session(pcsc_reader.name) as session:
        facts = await converse(inspect(), session)
    assert (facts.serial, facts.pin.tries_left) == (77, 3)
    assert facts.attestation_certificate is not None, "more than 256 bytes came back"


async def test_security_status_ends_with_a_cold_reset_and_with_the_session(
    readers: PcscReaders, pcsc_reader: PcscReader
) -> None:
    async with inserted(pcsc_reader) as card:
        async with readers.session(pcsc_reader.name) as session:
            assert await statuses(session, SELECT, verify_plain(), tries()) == [0x9000] * 3
            spoken = await session.exchange(commands(ColdReset(), SELECT, tries()))
            assert [response.sw for response in spoken.responses] == [0x9000, 0x9000, 0x63C3]
            assert spoken.responses[0].data == card.atr
            assert await statuses(session, verify_plain(), tries()) == [0x9000] * 2
        async with readers.session(pcsc_reader.name) as session:
            assert await statuses(session, SELECT, tries()) == [0x9000, 0x63C3]


async def test_what_another_program_left_open_is_closed(
    readers: PcscReaders, pcsc_reader: PcscReader
) -> None:
    async with inserted(pcsc_reader):
        with other_client(pcsc_reader.name) as other:
            other.begin()
            assert other.send(SELECT, verify_plain()) == [0x9000, 0x9000]
            other.end(leave=True)
            async with readers.session(pcsc_reader.name) as session:
                assert await statuses(session, SELECT, tries()) == [0x9000, 0x63C3]


class OtherClient:
    """Another program, as far as pcscd can tell: a context and a handle of its own."""

    def __init__(self, reader: str) -> None:
        self._library = load_library()
        _, (self._context,) = self._library.call("SCardEstablishContext", 2)
        code, values = self._library.call("SCardConnect", self._context, reader, 2, 3)
        assert code == Rc.OK
        self._card, self._protocol = values

    def begin(self) -> None:
        assert self._library.call("SCardBeginTransaction", self._card)[0] == Rc.OK

    def end(self, *, leave: bool) -> None:
        assert self._library.call("SCardEndTransaction", self._card, 0 if leave else 1)[0] == Rc.OK

    def reset(self) -> int:
        return self._library.call("SCardReconnect", self._card, 2, 3, 1)[0]

    def send(self, *items: Command) -> list[int]:
        said = []
        for item in items:
            header = bytes((item.cla, item.ins, item.p1, item.p2))
            data = item.plain
            apdu = header + (bytes((len(data),)) + data if data else b"")
            code, values = self._library.call("SCardTransmit", self._card, self._protocol, list(apdu))
            assert code == Rc.OK
            answer = bytes(values[0])
            said.append(0x9000 if answer[-2] == 0x61 else int.from_bytes(answer[-2:], "big"))
        return said

    def close(self) -> None:
        self._library.call("SCardDisconnect", self._card, 1)
        self._library.call("SCardReleaseContext", self._context)


class other_client:  # noqa: N801  # reads like the function that it stands for
    """A client that is let go of at the end."""

    def __init__(self, reader: str) -> None:
        self._client = OtherClient(reader)

    def __enter__(self) -> OtherClient:
        return self._client

    def __exit__(self, *_: object) -> None:
        self._client.close()


async def test_another_programs_transaction_is_waited_for_but_not_forever(
    readers: PcscReaders, pcsc_reader: PcscReader
) -> None:
    async with inserted(pcsc_reader):
        with other_client(pcsc_reader.name) as other:
            other.begin()
            with pytest.raises(errors.ReaderBusy):
                async with readers.session(pcsc_reader.name):
                    pass
            other.end(leave=False)
        async with readers.session(pcsc_reader.name) as session:
            assert await statuses(session, SELECT) == [0x9000], "the reader is usable when the other has gone"


async def test_our_transaction_keeps_others_out_over_a_cold_reset(
    readers: PcscReaders, pcsc_reader: PcscReader
) -> None:
    """Another program's reset waits until our session has ended, also after we have reset the card ourselves."""
    async with inserted(pcsc_reader):
        with other_client(pcsc_reader.name) as other:
            async with readers.session(pcsc_reader.name) as session:
                assert await statuses(session, SELECT, ColdReset(), SELECT, verify_plain()) == [0x9000] * 4
                resetting = asyncio.create_task(asyncio.to_thread(other.reset))
                await asyncio.sleep(0.3)
                assert not resetting.done()
                assert await statuses(session, tries()) == [0x9000], "the PIN is still verified"
            async with asyncio.timeout(5):
                assert await resetting == Rc.OK


async def test_a_pulled_card_is_lost_and_stays_lost(readers: PcscReaders, pcsc_reader: PcscReader) -> None:
    card = new_card()
    async with inserted(pcsc_reader, card), readers.session(pcsc_reader.name) as session:
        card.faults.arm(Fault(kind=FaultKind.RESPONSE_LOST, at=2))
        spoken = await session.exchange(commands(SELECT, tries(), tries()))
        assert spoken.lost
        assert [response.sw for response in spoken.responses] == [0x9000]
        assert (await session.exchange(commands(SELECT))).lost
        assert (await session.exchange(commands(ColdReset()))).lost


async def test_insertion_and_removal_are_events(readers: PcscReaders, pcsc_reader: PcscReader) -> None:
    seen: list[ReaderEvent] = []
    here = ReaderInfo(name=pcsc_reader.name)

    async def note() -> None:
        async for event in readers.watch():
            if isinstance(event, ReadersFailed) or event.reader == here:
                seen.append(event)  # noqa: PERF401  # the list is looked at meanwhile

    noting = asyncio.create_task(note())
    await until(lambda: CardAbsent(reader=here) in seen)
    card = new_card()
    async with inserted(pcsc_reader, card):
        await until(lambda: CardPresent(reader=here, atr=card.atr) in seen)
    await until(lambda: seen[-1] == CardAbsent(reader=here))
    assert seen == [
        ReaderAttached(reader=here),
        CardAbsent(reader=here),
        CardPresent(reader=here, atr=card.atr),
        CardAbsent(reader=here),
    ]
    noting.cancel()
    with suppress(asyncio.CancelledError):
        await noting


async def until(there: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not there():  # noqa: ASYNC110  # a list that a task fills
            await asyncio.sleep(0.02)


async def test_no_reader_and_no_card(readers: PcscReaders, pcsc_reader: PcscReader) -> None:
    with pytest.raises(errors.NoReader):
        async with readers.session("No such reader 00 00"):
            pass
    with pytest.raises(errors.CardMissing):
        async with readers.session(pcsc_reader.name):
            pass


async def test_without_pyscard_there_is_a_reason() -> None:
    def load() -> Library:
        raise errors.PcscUnavailable(reason="pyscard is not installed (extra pcsc)")

    readers = PcscReaders(load)
    with pytest.raises(errors.PcscUnavailable):
        await readers.all()
    with pytest.raises(errors.PcscUnavailable):
        async for _ in readers.watch():
            pass


def test_data_of_a_failed_call_is_dropped() -> None:
    class Module:
        @staticmethod
        def heap() -> tuple[int, list[int]]:
            return Rc.REMOVED_CARD, [0x41] * 65_548

        @staticmethod
        def nothing() -> int:
            raise SystemError

        @staticmethod
        def signed() -> int:
            return -0x7FEFFFF6  # 8010000A

    library = Library(Module)
    assert library.call("heap") == (Rc.REMOVED_CARD, ())
    assert library.call("nothing") == (Rc.BROKEN, ())
    assert library.call("signed") == (Rc.TIMEOUT, ())


@pytest.fixture
def own_service(pcsc: PcscService) -> Iterator[None]:
    """Lead this process back to the shared service afterwards."""
    socket = Path(os.environ["PCSCLITE_CSOCK_NAME"])
    shared = socket.readlink()
    assert pcsc.process_id
    yield
    socket.unlink(missing_ok=True)
    socket.symlink_to(shared)


@pytest.mark.usefixtures("own_service")
async def test_a_service_that_ends_is_reported_and_found_again(tmp_path: Path) -> None:
    seen: list[ReaderEvent] = []

    async def note(readers: PcscReaders) -> None:
        async for event in readers.watch():
            seen.append(event)  # noqa: PERF401  # the list is looked at meanwhile

    readers = PcscReaders()
    with pcsc_service(tmp_path / "first") as first:
        noting = asyncio.create_task(note(readers))
        await until(lambda: any(isinstance(event, CardAbsent) for event in seen))
        os.kill(first.process_id, signal.SIGTERM)
        await until(lambda: any(isinstance(event, ReadersFailed) for event in seen))
        with pytest.raises(errors.PcscUnavailable):
            await readers.all()
    seen.clear()
    with pcsc_service(tmp_path / "second") as second:
        await until(lambda: any(isinstance(event, ReaderAttached) for event in seen))
        async with inserted(second.readers[0]), readers.session(second.readers[0].name) as session:
            assert await statuses(session, SELECT) == [0x9000]
    noting.cancel()
    with suppress(asyncio.CancelledError):
        await noting
    await readers.close()
