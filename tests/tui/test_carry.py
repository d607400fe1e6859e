"""What was decided about a card while it was away is carried to it as soon as it is seen, and never in a circle."""

import asyncio
from dataclasses import replace

from kiosk.station.faces import Job, ReaderView
from shared import errors
from shared.credential.lifecycle import OperationKind
from shared.credential.model import State
from tests.tui.conftest import Desk
from tests.tui.look import shows, text, until
from tests.tui.scripted import PEOPLE, ScriptedStation, reader, record

CARRIED = Job(operation=OperationKind.UPDATE, reader="Virtual reader 1")
WHY = "! What was decided"


def due(number: int = 1) -> ReaderView:
    """Return a reader with a card that has yet to learn of its revocation."""
    known = record(State.REVOKED, PEOPLE[0], at_sight=OperationKind.UPDATE, notices=("carry-due",))
    return reader(number, State.REVOKED, PEOPLE[0], record=known)


async def test_it_begins_by_itself_and_says_why(desk: Desk, station: ScriptedStation) -> None:
    gate = station.gate = asyncio.Event()
    await station.put(reader(1))
    app = desk()
    async with app.run_test(size=(80, 24)) as pilot:
        await shows(pilot, "○ empty")
        await station.put(due())
        await shows(pilot, "┌─ Update", "Anna Berg", WHY, "◐ Prove the keys", "x  Stop")
        gate.set()
        await shows(pilot, "✓ The card is up to date.")
        await pilot.press("escape")
        await shows(pilot, "● REVOKED")
    assert station.asked == [CARRIED]
    assert station.pins == [], "nobody is asked"


async def test_a_card_that_was_there_before_the_desk_is_seen_too(desk: Desk) -> None:
    station = ScriptedStation(due())
    app = desk(station)
    async with app.run_test(size=(120, 40)) as pilot:
        await shows(pilot, "✓ The card is up to date.", WHY)
    assert station.asked == [CARRIED]


async def test_a_failure_is_shown_and_waits_for_the_operator(desk: Desk) -> None:
    station = ScriptedStation(due())
    station.ends = lambda _job: errors.CardLost()
    app = desk(station)
    async with app.run_test(size=(80, 24)) as pilot:
        await shows(pilot, "✗ Update stopped", "The card left the reader", "Insert the card again")
        await shows(pilot, "code card-lost", WHY)
        assert text(app).count("What was decided") == 1, "not here and there"
        for _ in range(5):
            await station.put(replace(station.reader("Virtual reader 1"), reading=True))
            await pilot.pause()
            await station.put(due())
            await pilot.pause()
        await shows(pilot, "✗ Update stopped")
        assert station.asked == [CARRIED]
        station.ends = lambda _job: None
        await pilot.press("n")
        await shows(pilot, "✓ The card is up to date.")
        assert station.asked == [CARRIED, CARRIED]


async def test_the_next_insertion_tries_again(desk: Desk) -> None:
    station = ScriptedStation(due())
    station.ends = lambda _job: errors.CardLost()
    app = desk(station)
    async with app.run_test(size=(80, 24)) as pilot:
        await shows(pilot, "✗ Update stopped")
        await station.put(reader(1))
        await shows(pilot, "Put a card into Virtual reader 1")
        station.ends = lambda _job: None
        await station.put(due())
        await shows(pilot, "✓ The card is up to date.")
    assert station.asked == [CARRIED, CARRIED]


async def test_what_is_decided_while_the_card_is_here_is_carried_as_well(desk: Desk) -> None:
    station = ScriptedStation(reader(1, State.ACTIVE, PEOPLE[0]))
    app = desk(station)
    async with app.run_test(size=(80, 24)) as pilot:
        await shows(pilot, "● ACTIVE")
        for _ in range(2):
            await station.put(due())
            await shows(pilot, "✓ The card is up to date.")
            await pilot.press("escape")
            await shows(pilot, "● REVOKED")
    assert station.asked == [CARRIED, CARRIED], "once for each decision"


async def test_the_operator_s_question_is_not_disturbed(desk: Desk, station: ScriptedStation) -> None:
    await station.put(reader(3))
    app = desk()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("1", "p")
        await shows(pilot, "Present PIN")
        await station.put(due(3))
        await until(pilot, lambda: len(station.asked) == 2)
        await shows(pilot, "Present PIN")
        await pilot.press("escape")
        await shows(pilot, "►1", "Change PIN stopped")
        await pilot.press("3")
        await shows(pilot, "►3", "✓ The card is up to date.", WHY)


async def test_a_stop_is_final_for_this_insertion(desk: Desk) -> None:
    station = ScriptedStation(due())
    station.gate = asyncio.Event()
    app = desk(station)
    async with app.run_test(size=(80, 24)) as pilot:
        await shows(pilot, "◐ Prove the keys")
        await pilot.press("x")
        await shows(pilot, "✗ Update stopped")
        await pilot.pause()
    assert station.asked == [CARRIED]
