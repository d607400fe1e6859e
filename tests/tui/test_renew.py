"""Renew and reissue at the desk: a key each, and the present PIN."""

import pytest

from kiosk.station.faces import Job
from kiosk.tui.current_pin import CurrentPin
from shared.credential.expiry import RENEWAL_DUE
from shared.credential.lifecycle import OperationKind, reachable
from shared.credential.model import State
from tests.tui.conftest import Desk
from tests.tui.look import shows, until
from tests.tui.scripted import PEOPLE, ScriptedStation, reader, record


@pytest.mark.parametrize(
    ("key", "operation", "done"),
    [
        ("w", OperationKind.RENEW, "✓ The certificates are renewed; the keys are as before."),
        ("c", OperationKind.REISSUE, "✓ The card has new keys and certificates."),
    ],
)
async def test_a_key_and_the_present_pin(
    desk: Desk, station: ScriptedStation, key: str, operation: OperationKind, done: str
) -> None:
    app = desk()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press(key)
        await shows(pilot, "Present PIN")
        assert isinstance(app.screen, CurrentPin)
        await pilot.press(*"739154", "enter")
        await shows(pilot, done)
    assert station.asked[0] == Job(operation=operation, reader=reader(1, State.ACTIVE).name)
    assert station.pins == [b"739154"], "and no other PIN is asked for"


async def test_certificates_that_end_soon_are_said_and_enter_renews_them(desk: Desk) -> None:
    rest = [way for way in reachable(State.ACTIVE) if way is not OperationKind.RENEW]
    ending = record(State.ACTIVE, PEOPLE[1], notices=(RENEWAL_DUE,), reachable=(OperationKind.RENEW, *rest))
    station = ScriptedStation(reader(1, State.ACTIVE, PEOPLE[1], record=ending))
    app = desk(station)
    async with app.run_test(size=(80, 24)) as pilot:
        await shows(pilot, "! Certificates of this card end soon", " w   Renew the certificates")
        await pilot.press("enter")
        await shows(pilot, "Present PIN")
        await pilot.press("escape")
        await until(pilot, lambda: not isinstance(app.screen, CurrentPin))


async def test_a_cut_gives_way_to_unblocking_where_the_pin_is_blocked(desk: Desk) -> None:
    cut = record(State.ACTIVE, PEOPLE[1], interrupted=OperationKind.REISSUE)
    station = ScriptedStation(reader(1, State.ACTIVE, PEOPLE[1], record=cut))
    app = desk(station)
    async with app.run_test(size=(80, 24)) as pilot:
        await shows(pilot, "Reissuing was interrupted.", " c   Continue reissuing", "Unblock")
        await pilot.press("u")
        await shows(pilot, "Choose a new PIN")
