"""The first start at the desk, with a server of its own process, and nothing scripted."""

import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from textual.pilot import Pilot

from kiosk.backend.client import GrpcBackend
from kiosk.backend.first_start import GrpcFirstStart
from kiosk.backend.joining import join
from kiosk.devices.virtual.reader import VirtualReaders
from kiosk.station.core import StationCore
from kiosk.station.first_start import FirstStart
from kiosk.station.logon import Logon
from kiosk.station.manned import MannedStation
from kiosk.tui.app import DeskApp
from kiosk.tui.show_code import CodeText
from shared.clock import SystemClock
from shared.piv.ids import ProfileName
from shared.virtual.card import VirtualCard
from tests.scenario.installation import Installation
from tests.tui.look import text
from tests.tui.test_whole_life import said, wait

PASSCODE = "correct horse battery"
PIN = "739154"
READER, OTHER = "Reader 1", "Reader 2"
CARDS = {"owner": 20114001, "operator": 20114002, "another": 20114003}


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Installation]:
    made = Installation(tmp_path)
    made.make(passcode=PASSCODE)
    made.start()
    yield made
    made.kill()


class Desk:
    """A desk that joined, with virtual cards and a screen."""

    def __init__(self, pilot: Pilot[None], readers: VirtualReaders) -> None:
        self.pilot, self.readers = pilot, readers
        self.code = ""

    async def passcode(self, passcode: str = PASSCODE) -> None:
        await said(self.pilot, "First start", "Enter the passcode")
        await self.pilot.press("enter")
        await said(self.pilot, "First start · Passcode")
        await self.pilot.press(*passcode.replace(" ", "\t").replace("\t", " "))
        assert passcode not in text(self.pilot.app)
        await self.pilot.press("enter")

    async def pin(self) -> None:
        await said(self.pilot, "Choose a new PIN")
        await self.pilot.press(*PIN, "enter", *PIN, "enter")

    async def owner(self) -> None:
        await said(self.pilot, "Make this card the System Owner's")
        await self.pilot.press("enter")
        await said(self.pilot, "Make the System Owner's card?", "What cannot be undone")
        await self.pilot.press("y")
        await self.pin()
        await self.keep()

    async def keep(self) -> None:
        await said(self.pilot, "The System Owner's unblock code", "shown once")
        code = self.pilot.app.screen.query_one(CodeText)
        self.code = code._code.reveal().decode().replace(" ", "")
        assert self.code not in self.pilot.app.export_screenshot().replace(" ", "")
        await self.pilot.press("enter", *"00000000", "enter")
        await said(self.pilot, "This is not the code")
        await self.pilot.press("enter", *self.code, "enter")

    async def operator(self) -> None:
        await said(self.pilot, "Make this card the first operator's")
        await self.pilot.press("enter")
        await said(self.pilot, "Anna Berg")
        await self.pilot.press("enter")
        await said(self.pilot, "Make the first operator's card?", "Anna Berg", "all")
        await self.pilot.press("y")
        await self.pin()


@pytest.fixture
async def desk(installation: Installation, tmp_path: Path) -> AsyncIterator[Desk]:
    identity = await join(installation.token, tmp_path / "desk", "Desk")
    clock = SystemClock()
    line, readers = GrpcBackend(identity, clock), VirtualReaders([READER, OTHER])
    for name, serial in CARDS.items():
        readers.add_card(name, VirtualCard.new(ProfileName.YUBIKEY_5_7, serial=serial, random=os.urandom))
    station = MannedStation(StationCore(readers, line, clock), Logon(readers, line, clock))
    await station.start()
    app = DeskApp(
        station=station, logons=station, first_start=FirstStart(station, GrpcFirstStart(line)), title="Desk"
    )
    try:
        async with app.run_test(size=(100, 36)) as pilot:
            yield Desk(pilot, readers)
    finally:
        await station.close()


async def test_from_the_passcode_to_the_log_on(desk: Desk, installation: Installation) -> None:
    pilot = desk.pilot
    await desk.passcode("not the passcode")
    await said(pilot, "This is not the passcode")
    await desk.passcode()
    await said(pilot, "Put a new card into a reader.")
    await desk.readers.insert(READER, "owner")
    await desk.owner()
    await said(pilot, "✓ 2", "Put another new card into a reader.")
    await desk.readers.pull(READER)
    await desk.readers.insert(READER, "operator")
    await desk.operator()
    await said(pilot, "20114001", "First operator: Anna Berg", "The passcode is gone", "Go on to the log-on")
    await pilot.press("enter")
    await said(pilot, "Put your operator's card into a reader")
    assert desk.readers.card("owner").memory.puk.value.reveal() == desk.code.encode()
    listed = (await installation.ask("operators", "list")).decode()
    assert "Anna Berg" in listed
    assert "System Owner" in listed
    everything = b"".join(path.read_bytes() for path in installation.folder.glob("*.log"))
    for secret in (desk.code, PIN, PASSCODE):
        assert secret.encode() not in everything


async def test_a_card_pulled_in_the_middle_is_gone_on_with(desk: Desk) -> None:
    pilot = desk.pilot
    await desk.passcode()
    await desk.readers.insert(READER, "owner")
    await said(pilot, "Make this card the System Owner's")
    await pilot.press("enter")
    await said(pilot, "Make the System Owner's card?")
    await pilot.press("y")
    await said(pilot, "Choose a new PIN")
    await desk.readers.pull(READER)
    await pilot.press("escape")
    await said(pilot, "Put a new card into a reader.")
    await desk.readers.insert(READER, "owner")
    await desk.owner()
    await said(pilot, "✓ 2")


async def test_what_is_left_for_now_is_opened_by_the_passcode_again(desk: Desk) -> None:
    pilot = desk.pilot
    await desk.passcode()
    await said(pilot, "Put a new card into a reader.")
    await pilot.press("escape")
    await wait(pilot, lambda: "First start" not in text(pilot.app))
