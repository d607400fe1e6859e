"""Taking a credential out of use at the desk: why is asked, what follows is said, and no slip of a finger does it."""

from functools import partial

import pytest

from kiosk.station.faces import Job
from kiosk.tui.app import DeskApp
from kiosk.tui.confirm import Confirm
from kiosk.tui.labels import CAUSES, CAUSES_OF, OPERATION_KEYS
from kiosk.tui.menu import Menu
from kiosk.tui.reason import ChooseReason
from shared import errors
from shared.credential.lifecycle import OperationKind
from shared.credential.model import State
from shared.credential.reasons import Cause
from tests.tui.conftest import Desk
from tests.tui.look import shows, text, until
from tests.tui.scripted import PEOPLE, ScriptedStation, reader, record

READER = "Virtual reader 1"


async def test_a_suspension_asks_why_and_begins(desk: Desk, station: ScriptedStation) -> None:
    app = desk()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("s")
        await shows(
            pilot, "Suspend: why?  Bob Smith", "It was left at home", "until it is resumed. Nobody knows"
        )
        assert "It was damaged" not in text(app)
        await pilot.press("down", "enter")
        await shows(pilot, "✓ The credential is suspended until somebody resumes it.")
        assert station.asked == [Job(operation=OperationKind.SUSPEND, reader=READER, reason="lost")]
        await pilot.press("escape")
        await shows(pilot, "● SUSPENDED", " b   Resume: use it again")
        await pilot.press("enter")
        await shows(pilot, "Resume · Choose a new PIN")


@pytest.mark.parametrize("operation", [OperationKind.REVOKE, OperationKind.RETIRE, OperationKind.DELETE])
async def test_what_cannot_be_undone_is_asked_twice_and_names_whom_it_is_about(
    desk: Desk, station: ScriptedStation, operation: OperationKind
) -> None:
    app = desk()
    likely = CAUSES_OF[operation][0]
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press(OPERATION_KEYS[operation])
        await shows(pilot, "why?  Bob Smith", "This cannot be undone.")
        await pilot.press("escape")
        await until(pilot, lambda: not app.screen.is_modal)
        await pilot.press(OPERATION_KEYS[operation])
        await shows(pilot, "why?  Bob Smith")
        await pilot.press("enter")
        await shows(pilot, "Bob Smith", "Employee badge  v7", CAUSES[likely][:40], "This cannot be undone.")
        await pilot.press("enter", "enter", "space")
        assert isinstance(app.screen, Confirm), "Enter is too easily pressed twice"
        assert station.asked == []
        await pilot.press("y", "y")
        await until(pilot, lambda: bool(station.asked))
        await until(pilot, lambda: not station.reader(READER).busy)
    assert station.asked == [Job(operation=operation, reader=READER, reason=likely.value)]


async def test_whoever_says_no_has_changed_nothing(desk: Desk, station: ScriptedStation) -> None:
    app = desk()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("d")
        await shows(pilot, "Delete the record: why?")
        await pilot.press("enter")
        await shows(pilot, "This cannot be undone.")
        await pilot.press("n")
        await until(pilot, lambda: not app.screen.is_modal)
    assert station.asked == []


async def test_an_answer_about_a_card_that_was_pulled_is_dropped(
    desk: Desk, station: ScriptedStation
) -> None:
    app = desk()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("o")
        await shows(pilot, "Revoke: why?")
        await station.put(reader(1))
        await pilot.press("enter")
        await shows(pilot, "Why")
        await pilot.press("y")
        await shows(pilot, "✗ There is no card in the reader Virtual reader 1.")
    assert station.asked == []


async def test_an_end_that_was_cut_goes_on_without_asking_again(desk: Desk) -> None:
    cut = record(State.ACTIVE, PEOPLE[1], interrupted=OperationKind.RETIRE)
    station = ScriptedStation(reader(1, State.ACTIVE, PEOPLE[1], record=cut))
    app = desk(station)
    async with app.run_test(size=(80, 24)) as pilot:
        await shows(pilot, "Retiring was interrupted.", " e   Continue retiring")
        await pilot.press("enter")
        await shows(pilot, "✓ The card is empty and may be issued again.")
    assert station.asked == [Job(operation=OperationKind.RETIRE, reader=READER)]


async def test_a_line_lost_while_it_is_decided_is_said(desk: Desk, station: ScriptedStation) -> None:
    station.ends = lambda _job: errors.ConnectionLost()
    app = desk()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("s")
        await shows(pilot, "Suspend: why?")
        await pilot.press("enter")
        await shows(pilot, "✗ Suspend stopped", "The line to the server was cut", "code connection-lost")


# --- the menu -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (120, 24)])
async def test_what_is_seldom_wanted_is_in_the_menu(
    desk: Desk, station: ScriptedStation, size: tuple[int, int]
) -> None:
    app = desk()
    async with app.run_test(size=size) as pilot:
        await shows(pilot, " p   Change the PIN", " u  Unblock", " m  More")
        assert "Revoke " not in text(app).split("This card")[1]
        await pilot.press("m")
        for words in (
            "Every day",
            "Keys and certificates",
            "Out of use",
            "closes the record; cannot be undone",
        ):
            await shows(pilot, words)
        await pilot.press("escape")
        await until(pilot, lambda: not app.screen.is_modal)
        await pilot.press("m")
        await shows(pilot, "Every day")
        await pilot.press("s")
        await shows(pilot, "Suspend: why?")
        assert isinstance(app.screen, ChooseReason)
        await pilot.press("escape")
        await until(pilot, lambda: not app.screen.is_modal)
        await pilot.press("m")
        await shows(pilot, "Every day")
        await pilot.press("down", "down", "enter")
        await until(pilot, lambda: bool(station.asked))
    assert station.asked == [Job(operation=OperationKind.UPDATE, reader=READER)]


async def test_the_menu_has_no_way_for_another_card(desk: Desk, station: ScriptedStation) -> None:
    app = desk()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("m")
        await shows(pilot, "Every day")
        await station.put(reader(1, State.ACTIVE, PEOPLE[2], card=None))
        await pilot.press("u")
        await shows(pilot, "Another card answered than before")
    assert station.asked == []


async def test_no_menu_where_there_is_no_choice(desk: Desk, station: ScriptedStation) -> None:
    cut = record(State.ISSUED, PEOPLE[1], interrupted=OperationKind.ACTIVATE)
    await station.put(reader(1, State.ISSUED, PEOPLE[1], record=cut))
    app = desk()
    async with app.run_test(size=(80, 24)) as pilot:
        await shows(pilot, "Continue activation")
        assert "More" not in text(app)
        await pilot.press("m")
        await pilot.press("3", "m")
        await pilot.pause()
        assert not isinstance(app.screen, Menu)


async def test_every_key_works_whether_or_not_it_is_listed(desk: Desk) -> None:
    for operation, key in OPERATION_KEYS.items():
        ways = (OperationKind.CHANGE_PIN, operation)
        known = record(State.ACTIVE, PEOPLE[1], reachable=ways)
        station = ScriptedStation(reader(1, State.ACTIVE, PEOPLE[1], record=known))
        app = desk(station)
        async with app.run_test(size=(80, 24)) as pilot:
            await shows(pilot, "● ACTIVE")
            await pilot.press(key)
            await until(pilot, partial(_has_begun, app, station), key)


def _has_begun(app: DeskApp, station: ScriptedStation) -> bool:
    return app.screen.is_modal or bool(station.asked)


def test_a_reason_that_only_the_server_gives_is_not_offered() -> None:
    assert all(Cause.ENDED not in causes for causes in CAUSES_OF.values())
