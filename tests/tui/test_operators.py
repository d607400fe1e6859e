"""A desk at which an operator has to log on: the way in and out, what roles leave on the screen, the PIN asked again."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest
from textual.pilot import Pilot

from kiosk.station import wording
from kiosk.station.faces import Ended, ReaderView
from kiosk.tui.app import DeskApp
from kiosk.tui.log_on import LogOn
from shared import errors
from shared.credential.lifecycle import OperationKind
from shared.credential.model import State
from tests.tui.conftest import StillClock
from tests.tui.guarded import PIN, READER, GuardedStation, began, session
from tests.tui.look import lines, shows, text, until
from tests.tui.scripted import PEOPLE, ScriptedVirtualDesk, credential, reader, seen

WAITS = "Put your operator's card into a reader"


def operators_card(number: int = 3) -> ReaderView:
    return replace(reader(number), present=True, card=seen(20114000 + number))


@pytest.fixture
def station() -> GuardedStation:
    return GuardedStation(reader(1, State.ACTIVE, PEOPLE[1]), reader(2, State.UNREGISTERED), operators_card())


def desk(station: GuardedStation, *, virtual: bool = False) -> DeskApp:
    cards = ScriptedVirtualDesk(station) if virtual else None
    return DeskApp(
        station=station, logons=station, virtual=cards, title="Desk 3 · Main gate", clock=StillClock()
    )


async def log_on(pilot: Pilot[None]) -> None:
    await shows(pilot, WAITS)
    await pilot.press("3", "enter")
    await shows(pilot, "Log on · Present PIN")
    await pilot.press(*PIN, "enter")
    await until(pilot, lambda: not isinstance(pilot.app.screen, LogOn) and not pilot.app.screen.is_modal)


@pytest.fixture
async def manned(station: GuardedStation) -> AsyncIterator[Pilot[None]]:
    async with desk(station).run_test(size=(100, 30)) as pilot:
        await log_on(pilot)
        yield pilot


@pytest.mark.parametrize(
    ("how", "words"),
    [
        (Ended.CARD_REMOVED, "Anna Berg: The operator's card was taken out."),
        (Ended.IDLE, "Anna Berg: Nothing was done for too long."),
        (Ended.BY_SERVER, "Anna Berg: The server ended the session"),
        (Ended.DETACHED, "Anna Berg: The ssh-agent is gone."),
    ],
)
async def test_it_is_said_whose_session_ended_and_why(
    station: GuardedStation, how: Ended, words: str
) -> None:
    async with desk(station).run_test(size=(80, 24)) as pilot:
        await log_on(pilot)
        await station.end(how)
        await shows(pilot, words, WAITS)
        box = pilot.app.screen.query_one(".dialog")
        assert pilot.app.screen.region.contains_region(box.region)


# --- in and out -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (60, 20)])
async def test_nobody_logged_on_sees_nobody(station: GuardedStation, size: tuple[int, int]) -> None:
    async with desk(station).run_test(size=size) as pilot:
        await shows(pilot, WAITS, "Log on", "Virtual reader 3", "● YubiKey 5.7", "Quit")
        shown = text(pilot.app)
        assert "Bob Smith" not in shown
        assert "Change the PIN" not in shown
        assert "…" not in shown, "a text is cut"
        await pilot.press("p", "s", "f", "m", "x", "l")
        await pilot.pause()
        assert station.asked == []
        box = pilot.app.screen.query_one(".dialog")
        assert pilot.app.screen.region.contains_region(box.region)


async def test_an_operator_logs_on_and_stands_on_the_top_line(station: GuardedStation) -> None:
    async with desk(station).run_test(size=(80, 24)) as pilot:
        await log_on(pilot)
        await shows(pilot, "● ACTIVE", "Bob Smith", "l  Log off")
        top = next(line for line in lines(pilot.app) if "Desk 3" in line)
        assert "Anna Berg · Normal" in top
        assert "14:02" in top or ":02" in top
        assert station.asked == [("log on", READER)]


async def test_a_wrong_pin_is_said_and_no_pin_is_on_any_picture(station: GuardedStation) -> None:
    station.few_tries = 2
    async with desk(station).run_test(size=(80, 24)) as pilot:
        await pilot.press("3", "enter")
        await shows(pilot, "Few tries left", "only 2 tries left")
        await pilot.press("y")
        await shows(pilot, "Log on · Present PIN", "YubiKey 5.7 · 20114003 · Virtual reader 3")
        await pilot.press(*"111222")
        assert "111222" not in pilot.app.export_screenshot()
        await pilot.press("enter")
        await shows(pilot, "The PIN is wrong: 2 tries left.")
        await pilot.press("escape")
        await shows(pilot, WAITS, "Enter   Log on with this card")


async def test_a_card_of_nobody_is_refused_in_words(station: GuardedStation) -> None:
    station.refusal = errors.LogonRefused()
    async with desk(station).run_test(size=(80, 24)) as pilot:
        await pilot.press("3", "enter")
        await shows(pilot, "Log on · Present PIN")
        await pilot.press(*PIN, "enter")
        await shows(pilot, "✗ This card logs nobody on here.", WAITS)
        assert station.view.operator is None


async def test_a_card_that_is_put_in_is_the_one_that_is_asked() -> None:
    station = GuardedStation(reader(1), reader(2), reader(3))
    async with desk(station, virtual=True).run_test(size=(80, 24)) as pilot:
        await shows(pilot, "►1 Virtual reader 1", WAITS)
        await pilot.press("enter")
        assert station.asked == []
        await station.put(operators_card())
        await shows(pilot, "►3 Virtual reader 3", "Log on with this card")
        await pilot.press("enter")
        await shows(pilot, "Log on · Present PIN")


async def test_one_reader_is_told_what_it_can_not() -> None:
    one = GuardedStation(operators_card(1))
    async with desk(one).run_test(size=(80, 24)) as pilot:
        await shows(pilot, "With this one reader", "attach a second")


async def test_failed_log_ons_are_told(station: GuardedStation) -> None:
    station.answer = session("normal", failed_logons=2)
    async with desk(station).run_test(size=(80, 24)) as pilot:
        await pilot.press("3", "enter")
        await shows(pilot, "Log on · Present PIN")
        await pilot.press(*PIN, "enter")
        await shows(pilot, "Log-ons of Anna Berg", "2 log-ons failed before.")
        await pilot.press("enter")
        await shows(pilot, "● ACTIVE", "Anna Berg · Normal")


async def test_without_an_agent_none_is_offered(station: GuardedStation) -> None:
    async with desk(station).run_test(size=(80, 24)) as pilot:
        await shows(pilot, WAITS)
        await pilot.press("a")
        await pilot.pause()
        assert "agent" not in text(pilot.app)
        assert station.asked == []


async def test_a_key_that_takes_a_touch_is_shown_to_be_one(station: GuardedStation) -> None:
    station.agent_there = station.key_takes_a_touch = True
    async with desk(station).run_test(size=(80, 24)) as pilot:
        await pilot.press("a")
        await shows(pilot, "[ssh-agent, a touch each time] Anna Berg")


@pytest.mark.parametrize("size", [(80, 24), (100, 30)])
async def test_who_comes_through_an_agent_is_shown_to(station: GuardedStation, size: tuple[int, int]) -> None:
    station.agent_there = True
    async with desk(station).run_test(size=size) as pilot:
        await shows(pilot, "a   Log on through the ssh-agent", "possession", "the session ends with the line")
        await pilot.press("a")
        await shows(pilot, "● ACTIVE", "[ssh-agent, possession only] Anna Berg")
        assert station.asked == ["log on by agent"]
        await station.end()
        await shows(pilot, WAITS, wording.LOGGED_OFF)


async def test_what_an_agent_does_not_prove_is_said(station: GuardedStation) -> None:
    station.agent_there = True
    async with desk(station).run_test(size=(100, 30)) as pilot:
        await shows(pilot, WAITS)
        await pilot.press("a")
        await shows(pilot, "● ACTIVE")
        await pilot.press("1", "u")
        await shows(pilot, "takes the operator's card in a reader")
        assert began(station) == []


async def test_an_agent_that_refuses_is_said(station: GuardedStation) -> None:
    station.agent_there, station.refusal = True, errors.AgentRefused()
    async with desk(station).run_test(size=(80, 24)) as pilot:
        await shows(pilot, WAITS)
        await pilot.press("a")
        await shows(pilot, "✗ The ssh-agent holds the key, and refused", WAITS)
        assert station.view.operator is None


async def test_a_key_logs_off(manned: Pilot[None], station: GuardedStation) -> None:
    await manned.press("l")
    await shows(manned, WAITS, wording.LOGGED_OFF)
    assert station.asked[-1] == "log off"
    await log_on(manned)
    await shows(manned, "● ACTIVE")


async def test_a_session_that_ends_takes_every_question_back(
    manned: Pilot[None], station: GuardedStation
) -> None:
    """The next operator does not answer what this one was asked."""
    await manned.press("1", "s")
    await shows(manned, "Suspend: why?  Bob Smith")
    await station.end()
    await shows(manned, WAITS)
    assert len(manned.app.screen_stack) == 3, "the framework's, the desk, the log-on"
    await log_on(manned)
    await shows(manned, "● ACTIVE")
    await manned.press("s")
    await shows(manned, "Suspend: why?  Bob Smith")
    assert began(station) == []


async def test_what_runs_goes_on_behind_the_log_on(manned: Pilot[None], station: GuardedStation) -> None:
    station.gate = asyncio.Event()
    await manned.press("1", "n")
    await until(manned, lambda: began(station) == [OperationKind.UPDATE])
    await station.end()
    await shows(manned, WAITS, "nothing is lost")
    station.gate.set()
    await log_on(manned)
    await shows(manned, wording.done(OperationKind.UPDATE))


async def test_keys_count_as_somebody_being_there(manned: Pilot[None], station: GuardedStation) -> None:
    before = station.touched
    await manned.press("2", "1")
    assert station.touched >= before + 2


# --- what roles leave -----------------------------------------------------------------------------------


async def test_what_a_role_does_not_do_is_not_offered() -> None:
    station = GuardedStation(reader(1, State.ACTIVE, PEOPLE[1]), operators_card(), roles=["restricted"])
    station.credentials = (credential(1, State.ACTIVE),)
    async with desk(station).run_test(size=(100, 30)) as pilot:
        await shows(pilot, WAITS)
        await pilot.press("2", "enter")
        await shows(pilot, "Log on · Present PIN")
        await pilot.press(*PIN, "enter")
        await pilot.press("1")
        await shows(pilot, "● ACTIVE", "u   Unblock: set a new PIN")
        assert "Change the PIN" not in text(pilot.app)
        await pilot.press("p", "s", "o", "m")
        await pilot.pause()
        assert not pilot.app.screen.is_modal
        assert began(station) == []


async def test_what_a_role_sees_is_in_the_menu_and_cannot_be_chosen() -> None:
    station = GuardedStation(reader(1, State.ACTIVE, PEOPLE[1]), operators_card(), roles=["key-recovery"])
    async with desk(station).run_test(size=(100, 30)) as pilot:
        await shows(pilot, WAITS)
        await pilot.press("2", "enter")
        await shows(pilot, "Log on · Present PIN")
        await pilot.press(*PIN, "enter")
        await pilot.press("1")
        await shows(pilot, "Your roles let you see this card, and change nothing on it.")
        await pilot.press("m")
        await shows(pilot, "Suspend", "not for your roles")
        await pilot.press("s", "enter", "p")
        await pilot.pause()
        assert pilot.app.screen.is_modal
        assert began(station) == []


# --- the PIN again --------------------------------------------------------------------------------------


async def test_what_is_sensitive_asks_for_the_pin_and_goes_on(
    manned: Pilot[None], station: GuardedStation
) -> None:
    station.proven = False
    await manned.press("1", "u")
    await shows(manned, "Operator's PIN again", "Anna Berg · YubiKey 5.7 · 20114003 · Virtual reader 3")
    await manned.press(*PIN, "enter")
    await shows(manned, "Unblock · Choose a new PIN", "Bob Smith")
    await manned.press(*"739154", "enter", *"739154", "enter")
    await shows(manned, wording.done(OperationKind.UNBLOCK))
    assert began(station) == [OperationKind.UNBLOCK]


async def test_without_the_pin_nothing_begins(manned: Pilot[None], station: GuardedStation) -> None:
    station.proven = False
    await manned.press("1", "u")
    await shows(manned, "Operator's PIN again")
    await manned.press("escape")
    await shows(manned, "It was cancelled.")
    assert began(station) == []


async def test_help_by_telephone_asks_for_the_pin_and_goes_on(
    manned: Pilot[None], station: GuardedStation
) -> None:
    station.credentials = (credential(1, State.ACTIVE),)
    station.proven = False
    await manned.press("f", *"bob")
    await shows(manned, "1 credential")
    await manned.press("enter")
    await shows(manned, "Read out a code")
    await manned.press("h")
    await shows(manned, "Are you sure who is on the telephone?")
    await manned.press("y")
    await shows(manned, "Operator's PIN again")
    await manned.press(*PIN, "enter")
    await shows(manned, "Code to read out")
    assert station.asked.count("step up") == 1
