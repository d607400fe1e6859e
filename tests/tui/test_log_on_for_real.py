"""The desk with a server of its own process, an operator whose card was issued there, and nothing scripted."""

import os
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from textual.pilot import Pilot

from kiosk.backend.client import GrpcBackend
from kiosk.backend.joining import join
from kiosk.devices.virtual.reader import VirtualReaders
from kiosk.station.core import StationCore
from kiosk.station.faces import Job
from kiosk.station.logon import Logon
from kiosk.station.manned import MannedStation
from kiosk.tui.app import DeskApp
from kiosk.tui.log_on import LogOn
from shared.clock import SystemClock
from shared.credential.lifecycle import OperationKind
from shared.piv.ids import ProfileName
from shared.virtual.card import VirtualCard
from tests.scenario.installation import HOLDER, Installation
from tests.scenario.lab import Holder, Notes
from tests.scenario.templates import EMPLOYEE
from tests.tui.look import lines, text
from tests.tui.test_whole_life import said, wait

OPERATOR = EMPLOYEE.replace('name = "employee"', 'name = "operator"\noperator = true')
PIN = "739154"
FIRST, SECOND = "Reader 1", "Reader 2"
WAITS = "Put your operator's card into a reader"


@dataclass
class Machine:
    """A lab station with two readers, on the line to a real server."""

    core: StationCore
    logon: Logon
    readers: VirtualReaders
    installation: Installation
    line: GrpcBackend

    async def perform(self, job: Job, person: Holder) -> None:
        outcome = await self.core.perform(job, person, Notes())
        assert outcome.error is None, outcome.error


@pytest.fixture
def installation(tmp_path: Path) -> Iterator[Installation]:
    made = Installation(tmp_path)
    made.make(template=OPERATOR)
    made.start()
    yield made
    made.kill()


@pytest.fixture
async def machine(installation: Installation, tmp_path: Path) -> AsyncIterator[Machine]:
    """The first operator's card is made before there is an operator, and lies in the first reader."""
    identity = await join(installation.token, tmp_path / "desk", "Desk")
    clock = SystemClock()
    line, readers = GrpcBackend(identity, clock), VirtualReaders([FIRST, SECOND])
    for name, serial in (("operator", 20114001), ("blank", 20114002)):
        readers.add_card(name, VirtualCard.new(ProfileName.YUBIKEY_5_7, serial=serial, random=os.urandom))
    made = Machine(
        StationCore(readers, line, clock), Logon(readers, line, clock), readers, installation, line
    )
    await readers.insert(FIRST, "operator")
    roles = ("system-administrator", "normal")
    issue, activate = OperationKind.ISSUE, OperationKind.ACTIVATE
    job = Job(operation=issue, reader=FIRST, holder=HOLDER, template="operator", roles=roles)
    await made.perform(job, Holder())
    await made.perform(Job(operation=activate, reader=FIRST), Holder(new_pins=[PIN]))
    yield made
    await readers.close()


async def log_on(pilot: Pilot[None]) -> None:
    await said(pilot, WAITS, FIRST, "Log on with this card")
    await pilot.press("1", "enter")
    await said(pilot, "Log on · Present PIN")
    await pilot.press(*PIN, "enter")
    await wait(pilot, lambda: not isinstance(pilot.app.screen, LogOn) and not pilot.app.screen.is_modal)


async def test_an_operator_works_at_the_desk_and_leaves(machine: Machine) -> None:
    station = MannedStation(machine.core, machine.logon)
    await station.start()
    app = DeskApp(station=station, logons=station, title="Desk")
    try:
        async with app.run_test(size=(100, 36)) as pilot:
            await log_on(pilot)
            await said(pilot, "Anna Berg · Normal, System Administrator", "● active")
            assert PIN not in app.export_screenshot()
            await machine.readers.insert(SECOND, "blank")
            await said(pilot, "●", "20114002", "Issue this card")
            await pilot.press("2", "g")
            await said(pilot, "✓ The card is registered and may be issued.")
            await machine.readers.pull(FIRST)
            await said(pilot, WAITS, "Nobody is logged on any more.")
            assert "● registered" not in text(app)
            await machine.readers.insert(FIRST, "operator")
            await log_on(pilot)
            await said(pilot, "● registered")
            await pilot.press("l")
            await said(pilot, WAITS)
            assert "Anna Berg" not in "".join(lines(app))
    finally:
        await station.close()


async def test_an_operator_whose_own_card_is_suspended_is_logged_off(machine: Machine) -> None:
    """What the server decides elsewhere reaches the desk with the next thing that it asks."""
    station = MannedStation(machine.core, machine.logon)
    await station.start()
    app = DeskApp(station=station, logons=station, title="Desk")
    try:
        async with app.run_test(size=(100, 36)) as pilot:
            await log_on(pilot)
            await said(pilot, "● active")
            await pilot.press("f", *"anna")
            await said(pilot, "1 credential")
            await pilot.press("enter", "s")
            await said(pilot, "Suspend: why?  Anna Berg")
            await pilot.press("enter")
            await said(pilot, WAITS)
            await pilot.press("1", "enter")
            await said(pilot, "Log on · Present PIN")
            await pilot.press(*PIN, "enter")
            await said(pilot, "This card logs nobody on here.")
    finally:
        await station.close()


async def test_an_idle_desk_learns_that_its_session_has_ended(machine: Machine) -> None:
    """Nobody presses a key, and no card moves."""
    station = MannedStation(machine.core, machine.logon)
    await station.start()
    app = DeskApp(station=station, logons=station, title="Desk")
    try:
        async with app.run_test(size=(100, 36)) as pilot:
            await log_on(pilot)
            await said(pilot, "● active")
            (own,) = (await machine.core.find_credentials("anna")).credentials
            assert own.credential_id is not None
            await machine.line.decide(own.record_id, OperationKind.SUSPEND, "lost")
            await said(pilot, WAITS, "Anna Berg: The server ended the session")
    finally:
        await station.close()
