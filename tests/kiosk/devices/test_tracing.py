import logging
import os
from collections.abc import AsyncIterator, Sequence

import pytest

from kiosk.devices.readers import CombinedReaders
from kiosk.devices.tracing import TracedReaders
from kiosk.devices.virtual.reader import VirtualReaders
from kiosk.ports import CardPresent, Filled, ReaderAttached, ReaderEvent, ReaderInfo, ReadersFailed
from kiosk.station.filling import fill, plain
from kiosk.station.pins import PinKind
from shared import errors
from shared.iso7816.apdu import ANY_STATUS, ColdReset, Command, Hole
from shared.logs import TRAFFIC
from shared.piv.ids import Ins, KeyRef
from shared.relay import Purpose
from shared.virtual.faults import Fault, FaultKind
from tests.kiosk.station.commands import (
    READ_CHUID,
    SELECT,
    agree,
    change,
    held,
    sign,
    tries,
    unblock,
    verify,
    verify_plain,
)
from tests.kiosk.station.doubles import READER, readers_with_card

SECRET = b"7391840628517395"


@pytest.fixture
async def virtual() -> AsyncIterator[VirtualReaders]:
    readers, _ = await readers_with_card()
    yield readers
    await readers.close()


def anything(ins: int, *, p2: int = 0, cla: int = 0, sensitive: bool = False) -> Command:
    return Command(
        ins=ins, label="x", p2=p2, cla=cla, parts=(SECRET,), expect=ANY_STATUS, sensitive=sensitive
    )


async def traced(
    virtual: VirtualReaders, caplog: pytest.LogCaptureFixture, *items: Filled | ColdReset
) -> list[str]:
    caplog.set_level(TRAFFIC, "kiosk.devices.tracing")
    async with TracedReaders(virtual).session(READER) as session:
        for item in items:
            await session.exchange([item])
    return [record.getMessage() for record in caplog.records if record.name == "kiosk.devices.tracing"]


async def test_what_is_no_secret_is_shown(virtual: VirtualReaders, caplog: pytest.LogCaptureFixture) -> None:
    lines = await traced(virtual, caplog, ColdReset(), plain(SELECT), plain(READ_CHUID), plain(tries()))
    assert lines[0] == f"{READER}: session begins"
    assert lines[1] == f"{READER}: > cold reset"
    assert lines[3] == f"{READER}: > 00A40400 A000000308 le 0  select PIV"
    assert lines[4].startswith(f"{READER}: < 9000 61114F06")
    assert lines[6] == f"{READER}: < 6A82"
    assert lines[8] == f"{READER}: < 63C3"
    assert lines[-1] == f"{READER}: session ends"


@pytest.mark.parametrize(
    "command",
    [
        anything(Ins.VERIFY, p2=KeyRef.PIN),
        anything(Ins.CHANGE_REFERENCE_DATA, p2=KeyRef.PUK),
        anything(Ins.RESET_RETRY_COUNTER, p2=KeyRef.PIN),
        anything(Ins.SET_MANAGEMENT_KEY),
        anything(Ins.IMPORT_KEY),
        anything(Ins.GENERAL_AUTHENTICATE, p2=0x9D),
        anything(0xE4),
        anything(Ins.GET_DATA, cla=0x0C),
        anything(Ins.PUT_DATA, sensitive=True),
    ],
)
async def test_what_may_be_a_secret_is_counted(
    virtual: VirtualReaders, caplog: pytest.LogCaptureFixture, command: Command
) -> None:
    lines = await traced(virtual, caplog, plain(SELECT), plain(command))
    assert any("[16 bytes masked]" in line for line in lines)
    assert SECRET.hex().upper() not in "".join(lines).upper()
    assert SECRET.decode() not in "".join(lines)


async def test_what_was_filled_in_is_not_shown(
    virtual: VirtualReaders, caplog: pytest.LogCaptureFixture
) -> None:
    pins = held(Purpose.ISSUE, PinKind.DRAWN)
    lines = await traced(
        virtual,
        caplog,
        plain(SELECT),
        fill(unblock(b"12345678", Hole(name="pin")), pins),
        fill(verify(), pins),
        fill(change(Hole(name="pin"), Hole(name="new")), pins),
        fill(sign(), pins),
        plain(agree()),
        plain(verify_plain()),
    )
    text = "".join(lines).upper()
    for pin in (b"739184", b"918273", b"12345678", b"123456"):
        assert pin.hex().upper() not in text
    assert "7C24820081" in text, "a text to sign is nobody's secret"


async def test_a_lost_card_shows_what_was_said_last(
    virtual: VirtualReaders, caplog: pytest.LogCaptureFixture
) -> None:
    virtual.arm("card", Fault(kind=FaultKind.RESPONSE_LOST, at=1))
    lines = await traced(virtual, caplog, plain(SELECT))
    assert lines[1].endswith("select PIV")
    assert lines[2] == f"{READER}: card lost"


async def test_long_data_is_cut(virtual: VirtualReaders, caplog: pytest.LogCaptureFixture) -> None:
    long = Command(ins=Ins.PUT_DATA, label="write", parts=(os.urandom(300),), expect=ANY_STATUS)
    lines = await traced(virtual, caplog, plain(SELECT), plain(long))
    assert "… [300 bytes]" in lines[3]
    assert len(lines[3]) < 250


async def test_nothing_is_logged_while_the_level_is_off(
    virtual: VirtualReaders, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "kiosk.devices.tracing")
    traced_readers = TracedReaders(virtual)
    async with traced_readers.session(READER) as session:
        await session.exchange([plain(SELECT)])
    assert caplog.records == []
    assert [info.name for info in await traced_readers.all()] == [READER]


class Broken(VirtualReaders):
    """A source that does not work: pcscd is not there."""

    async def all(self) -> Sequence[ReaderInfo]:
        raise errors.PcscUnavailable(reason="pcscd does not run")

    async def watch(self) -> AsyncIterator[ReaderEvent]:
        raise errors.PcscUnavailable(reason="pyscard is not installed")
        yield


async def test_a_working_source_hides_a_broken_one(virtual: VirtualReaders) -> None:
    both = CombinedReaders([Broken(), virtual])
    assert [info.name for info in await both.all()] == [READER]
    async with both.session(READER) as session:
        assert (await session.exchange([plain(SELECT)])).responses[0].ok
    with pytest.raises(errors.NoReader):
        async with both.session("another"):
            pass
    with pytest.raises(errors.PcscUnavailable):
        await CombinedReaders([Broken()]).all()


async def test_events_of_all_sources_come_together(virtual: VirtualReaders) -> None:
    second = VirtualReaders(["Virtual 2"])
    both = CombinedReaders([Broken(), virtual, second])
    seen: list[ReaderEvent] = []
    watch = both.watch()
    async for event in watch:
        seen.append(event)
        if len(seen) == 5:
            break
    await watch.aclose()  # type: ignore[attr-defined]  # it is a generator
    assert ReadersFailed(reason="pyscard is not installed") in seen
    attached = {event.reader.name for event in seen if isinstance(event, ReaderAttached)}
    assert attached == {READER, "Virtual 2"}
    assert any(isinstance(event, CardPresent) for event in seen)
    await both.close()
