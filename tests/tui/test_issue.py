"""From an empty card to a working one: the questions, the live steps, the outcome."""

import asyncio
from dataclasses import replace

import pytest
from textual.events import Paste
from textual.widgets import DataTable

from kiosk.station.faces import Job
from kiosk.tui.find import SEARCH_MAX, FindPerson
from shared import errors
from shared.credential.lifecycle import OperationKind
from shared.credential.model import State
from tests.tui import scripted
from tests.tui.conftest import Desk
from tests.tui.look import shows, text, until
from tests.tui.scripted import PEOPLE, TEMPLATES, ScriptedStation, reader

ISSUE_BOB = Job(operation=OperationKind.ISSUE, reader="Virtual reader 2", holder="p1", template="employee")


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_issue_and_activate_a_card(desk: Desk, station: ScriptedStation, size: tuple[int, int]) -> None:
    app = desk()
    async with app.run_test(size=size) as pilot:
        await pilot.press("2", "enter")
        await shows(pilot, "Who gets this card?", "Anna Berg", "Department", "6 people")
        await pilot.press(*"smi")
        await shows(pilot, "1 person", "Bob Smith", "Research & Develop")
        await pilot.press("enter")
        await shows(pilot, "Which kind of card?", "Employee badge", "Guest card", "9D", "key-management")
        await pilot.press("enter")
        await shows(pilot, "Issue this card?", "Bob Smith", "bob.smith@example.org", "9E P-256", "20114002")
        await pilot.press("enter")
        await until(pilot, lambda: ISSUE_BOB in station.asked)
        await shows(pilot, "✓ The card is issued.", "Let the holder set the PIN", "7 round trips", "13 of 13")
        await shows(pilot, "✓ Read everything back", " a   Activate: set the PIN")
        await pilot.press("enter")
        await shows(pilot, "Choose a new PIN", "Bob Smith · YubiKey 5.7 · 20114002")
        await pilot.press(*"735172", "enter", *"735172", "enter")
        await shows(pilot, "✓ The PIN is set", "● active")
        assert station.pins == [b"735172"]
        await pilot.press("escape")
        await shows(pilot, "● ACTIVE", "Life of this card")


async def test_live_steps_show_where_it_is(desk: Desk, station: ScriptedStation) -> None:
    station.gate = asyncio.Event()
    app = desk()
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("2", "i")
        await shows(pilot, "6 people")
        await pilot.press("enter")
        await shows(pilot, "Which kind")
        await pilot.press("down", "enter")
        await shows(pilot, "Guest card", "Issue this card?")
        await pilot.press("enter")
        await shows(pilot, "✓ Own the card", "◐ Card capabilities", "· Key 9A", "2 of 13", "█", "░")
        await shows(pilot, "Anna Berg · Guest card", "◐ Issued", "◐ working", "Leave the card in the reader")
        await pilot.press("i", "enter", "escape")
        assert sum(isinstance(asked, Job) for asked in station.asked) == 1
        station.gate.set()
        await shows(pilot, "✓ The card is issued.")


async def test_one_template_is_not_asked_for(desk: Desk, station: ScriptedStation) -> None:
    station.template_list = TEMPLATES[:1]
    app = desk()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("2", "i")
        await shows(pilot, "6 people")
        await pilot.press("down", "enter")
        await shows(pilot, "Issue this card?", "Bob Smith", "Employee badge  v7")
        await pilot.press("n")
        await until(pilot, lambda: not app.screen.is_modal)
        assert not any(isinstance(asked, Job) for asked in station.asked)


async def test_what_cannot_be_revoked_is_said_before(desk: Desk, station: ScriptedStation) -> None:
    station.template_list = (replace(TEMPLATES[1], unrevocable=("est",)),)
    app = desk()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("2", "i", "enter")
        await shows(pilot, "Issue this card?", "Certificates of est may stay valid", "nobody can revoke them")


async def test_no_template_is_said(desk: Desk, station: ScriptedStation) -> None:
    station.template_list = ()
    app = desk()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("2", "i")
        await shows(pilot, "6 people")
        await pilot.press("enter")
        await shows(pilot, "That did not work", "There is no template that this")


async def test_typing_fast_asks_once(desk: Desk, station: ScriptedStation) -> None:
    app = desk()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("2", "i")
        await shows(pilot, "6 people")
        await pilot.press(*"dana")
        await shows(pilot, "1 person", "Dana Fischer")
        assert station.asked == [("find", ""), ("find", "dana")]
        assert "Anna Berg" not in text(app)


async def test_search_says_when_nobody_is_found_and_when_it_fails(
    desk: Desk, station: ScriptedStation
) -> None:
    app = desk()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("2", "i")
        await shows(pilot, "6 people")
        await pilot.press(*"zz")
        await shows(pilot, "Nobody found")
        await pilot.press("enter")
        assert isinstance(app.screen, FindPerson)
        station.search_error = errors.ConnectorUnreachable(connection="staff", reason="timeout")
        await pilot.press("backspace")
        await shows(pilot, "✗ The connection “staff” does not answer: timeout.")
        station.search_error = None
        await pilot.press("backspace")
        await shows(pilot, "6 people")


async def test_one_of_several_directories_is_chosen(
    desk: Desk, station: ScriptedStation, monkeypatch: pytest.MonkeyPatch
) -> None:
    guest = replace(PEOPLE[1], directory="guests")
    monkeypatch.setattr(scripted, "PEOPLE", (replace(PEOPLE[0], directory="people"), guest))
    station.directories = ("people", "guests")
    station.template_list = [
        replace(TEMPLATES[0], directory="people"),
        replace(TEMPLATES[1], directory="guests"),
    ]
    app = desk()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("2", "i")
        await shows(pilot, "2 people  ·  all 2 directories", "Known in people", "Tab")
        await pilot.press("tab")
        await shows(pilot, "1 person  ·  people", "Anna Berg")
        await pilot.press("tab")
        await shows(pilot, "1 person  ·  guests", "Bob Smith", "Known in guests")
        assert station.asked == [("find", ""), ("find", " in people"), ("find", " in guests")]
        await pilot.press("enter")
        await shows(pilot, "Issue this card?", "Bob Smith", TEMPLATES[1].title)
        await pilot.press("escape", "2", "i", "tab", "tab", "tab")
        await shows(pilot, "2 people  ·  all 2 directories")


async def test_what_is_pasted_may_be_long(desk: Desk, station: ScriptedStation) -> None:
    app = desk()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("2", "i")
        await shows(pilot, "6 people")
        app.screen.post_message(Paste("lorem ipsum " * 100))
        await shows(pilot, "Nobody found")
        assert station.asked[-1] == ("find", ("lorem ipsum " * 100)[:SEARCH_MAX])


async def test_arrows_choose_while_typing(desk: Desk) -> None:
    app = desk()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("2", "i")
        await shows(pilot, "6 people")
        await pilot.press("down", "down", "up")
        assert app.screen.query_one(DataTable).cursor_row == 1
        await pilot.press("pagedown")
        assert app.screen.query_one(DataTable).cursor_row == 5
        await pilot.press("escape")
        await until(pilot, lambda: not app.screen.is_modal)


async def test_a_pulled_card_says_insert_it_again_and_a_new_card_clears_it(
    desk: Desk, station: ScriptedStation
) -> None:
    station.ends = lambda _job: errors.CardLost()
    app = desk()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("2", "i")
        await shows(pilot, "6 people")
        await pilot.press("enter")
        await shows(pilot, "Which kind")
        await pilot.press("enter")
        await shows(pilot, "Issue this card?")
        await pilot.press("enter")
        await shows(
            pilot, "✗ Issue stopped", "The card left the reader", "Insert the card again", "code card-lost"
        )
        await shows(pilot, "✗ Card capabilities")
        await station.put(reader(2))
        await shows(pilot, "✗ Issue stopped", "Put a card into Virtual reader 2")
        await station.put(reader(2, State.UNREGISTERED))
        await shows(pilot, "● NEW")
        assert "stopped" not in text(app)


async def test_a_certificate_that_waits_for_an_approval_is_no_failure(
    desk: Desk, station: ScriptedStation
) -> None:
    station.ends = lambda _job: errors.CertificatePending(connection="corporate")
    app = desk()
    async with app.run_test(size=(120, 30)) as pilot:
        await pilot.press("2", "i")
        await shows(pilot, "6 people")
        await pilot.press("enter")
        await shows(pilot, "Which kind")
        await pilot.press("enter")
        await shows(pilot, "Issue this card?")
        await pilot.press("enter")
        await shows(pilot, "· Issue waits", "lets the request wait", "code certificate-pending")
        assert "✗" not in text(app)
        assert "stopped" not in text(app)


async def test_stop_waits_for_the_end_of_a_step(desk: Desk, station: ScriptedStation) -> None:
    station.gate = asyncio.Event()
    await station.put(reader(2, State.ISSUED, PEOPLE[0]))
    app = desk()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("2", "a")
        await shows(pilot, "Choose a new PIN")
        await pilot.press(*"735172", "enter", *"735172", "enter")
        await shows(pilot, "◐ Prove the keys", "Stop")
        await pilot.press("x")
        await shows(pilot, "✗ Activate stopped", "It was cancelled.")
        assert station.tasks == ["cancelled"]


async def test_quit_asks_while_something_runs(desk: Desk, station: ScriptedStation) -> None:
    station.gate = asyncio.Event()
    await station.put(reader(2, State.ISSUED, PEOPLE[0]))
    app = desk()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("2", "a")
        await shows(pilot, "Choose a new PIN")
        await pilot.press(*"735172", "enter", *"735172", "enter")
        await shows(pilot, "◐ Prove the keys")
        await pilot.press("q")
        await shows(pilot, "Quit?", "An operation is running", "Activate")
        await pilot.press("enter")
        await shows(pilot, "Quit?")
        await pilot.press("n")
        await until(pilot, lambda: not app.screen.is_modal)
        await pilot.press("q")
        await shows(pilot, "Quit?")
        await pilot.press("y")
        await until(pilot, lambda: app._exit)
        assert station.tasks == ["cancelled"]


async def test_quit_at_once_when_nothing_runs(desk: Desk) -> None:
    app = desk()
    async with app.run_test(size=(80, 24)) as pilot:
        await shows(pilot, "● ACTIVE")
        await pilot.press("q")
        await until(pilot, lambda: app._exit)


async def test_virtual_cards_are_inserted_and_pulled(desk: Desk, station: ScriptedStation) -> None:
    app = desk()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("3", "enter")
        await shows(pilot, "Virtual cards", "Virtual reader 3", "▼ Insert Plain PIV card")
        await pilot.press("down", "enter")
        await shows(pilot, "►3", "● NEW")
        assert station.asked == [("insert", "Virtual reader 3", "YubiKey 5.4 · 20114002")]
        await pilot.press("v")
        await shows(pilot, "▲ Pull the card out")
        await pilot.press("left")
        await shows(pilot, "◄ Virtual reader 2 ►")
        await pilot.press("right", "enter")
        await shows(pilot, "Put a card into Virtual reader 3")
        assert station.asked[-1] == ("pull", "Virtual reader 3")


async def test_two_readers_work_at_the_same_time(desk: Desk, station: ScriptedStation) -> None:
    station.gate = asyncio.Event()
    await station.put(reader(2, State.ISSUED, PEOPLE[0]))
    await station.put(reader(3, State.ISSUED, PEOPLE[3]))
    app = desk()
    async with app.run_test(size=(80, 24)) as pilot:
        for key in "23":
            await pilot.press(key, "a")
            await shows(pilot, "Choose a new PIN")
            await pilot.press(*"735172", "enter", *"735172", "enter")
            await shows(pilot, "◐ Prove the keys")
        assert text(app).count("◐ working") == 2
        station.gate.set()
        await shows(pilot, "✓ The PIN is set")
        await pilot.press("2")
        await shows(pilot, "►2", "Anna Berg", "✓ The PIN is set")


async def test_a_card_swapped_during_the_questions_is_not_written(
    desk: Desk, station: ScriptedStation
) -> None:
    app = desk()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("2", "i")
        await shows(pilot, "6 people")
        other = reader(2, State.UNREGISTERED)
        assert other.card is not None
        await station.put(replace(other, card=replace(other.card, serial=5)))
        await pilot.press("enter")
        await shows(pilot, "Which kind")
        await pilot.press("enter")
        await shows(pilot, "Issue this card?")
        await pilot.press("enter")
        await shows(pilot, "That did not work", "Another card answered than before", "code card-changed")
        assert not any(isinstance(asked, Job) for asked in station.asked)


async def test_a_question_of_another_reader_waits_for_its_turn(desk: Desk, station: ScriptedStation) -> None:
    await station.put(reader(3, State.ISSUED, PEOPLE[3]))
    app = desk()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("2", "i")
        await shows(pilot, "6 people")
        app._jobs.begin(Job(operation=OperationKind.ACTIVATE, reader="Virtual reader 3"), "Dana Fischer")
        await until(pilot, lambda: station.reader("Virtual reader 3").busy)
        await shows(pilot, "Who gets this card?")
        await pilot.press("escape")
        await shows(pilot, "Choose a new PIN", "Dana Fischer · YubiKey 5.7 · 20114003")


async def test_an_answer_that_comes_too_late_is_dropped(desk: Desk, station: ScriptedStation) -> None:
    await station.put(reader(1, State.UNREGISTERED))
    app = desk()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("i")
        await shows(pilot, "Who gets this card?")
        screen = app.screen
        assert isinstance(screen, FindPerson)
        await pilot.press("escape")
        await until(pilot, lambda: not app.screen.is_modal)
        await screen.search("")
        station.search_error = errors.ConnectorUnreachable(connection="people", reason="gone")
        await screen.search("")
        await pilot.pause()
        assert not app.screen.is_modal
