"""The home screen: what it shows and what its keys ask for."""

from dataclasses import replace

import pytest

from kiosk.station.faces import Job
from shared import errors
from shared.credential.lifecycle import OperationKind
from shared.credential.model import State
from tests.tui.conftest import Desk
from tests.tui.look import lines, shows, text, until
from tests.tui.scripted import PEOPLE, ScriptedStation, reader, record

SIZES = [(80, 24), (120, 40), (200, 60), (80, 50), (120, 24)]


@pytest.mark.parametrize("size", SIZES)
async def test_home_shows_readers_life_person_and_the_obvious_next_action(
    desk: Desk, size: tuple[int, int]
) -> None:
    app = desk()
    async with app.run_test(size=size) as pilot:
        await shows(
            pilot, "VIRTUAL CARDS — LAB", "Desk 3 · Main gate", "Readers", "Bob Smith", "● active", "○ empty"
        )
        await shows(
            pilot, "● ACTIVE", "Registered", "Issued", "Suspended", "Revoked", "Retired", "New", "Deleted"
        )
        await shows(pilot, "Employee badge", "v7", " p   Change the PIN", "? ", "Help", "Quit")


@pytest.mark.parametrize("size", SIZES)
async def test_nothing_is_clipped(desk: Desk, size: tuple[int, int]) -> None:
    app = desk()
    async with app.run_test(size=size) as pilot:
        await shows(pilot, "● ACTIVE")
        shown = lines(app)
        for corner in "┌┐└┘":
            assert sum(line.count(corner) for line in shown) >= 3 + 8, (
                f"{corner} is missing from a frame or a box"
            )
        count = {corner: sum(line.replace("┌ a ┐", "").count(corner) for line in shown) for corner in "┌┐└┘"}
        assert len(set(count.values())) == 1, "every corner belongs to a box"
        assert "…" not in "".join(shown), "a text is cut"
        for widget in app.screen.query("ReaderBar, LifePicture, CardPane, KeyBar, TopBar, LabBanner"):
            assert app.screen.region.contains_region(widget.region), widget


async def test_a_terminal_too_small_still_shows_the_next_action(desk: Desk) -> None:
    app = desk()
    async with app.run_test(size=(60, 20)) as pilot:
        await shows(pilot, "Change the PIN", "Quit", "● ACTIVE", " p ", " u  Unblock", " s  Suspended")


async def test_keys_choose_readers(desk: Desk) -> None:
    app = desk()
    async with app.run_test(size=(80, 24)) as pilot:
        await shows(pilot, "►1 Virtual reader 1")
        await pilot.press("2")
        await shows(pilot, "►2 Virtual reader 2", "● NEW", " i   Issue this card")
        await pilot.press("down")
        await shows(
            pilot, "►3 Virtual reader 3", "Put a card into Virtual reader 3.", " v   Insert a virtual card"
        )
        await pilot.press("down")
        await shows(pilot, "►1")
        await pilot.press("up")
        await shows(pilot, "►3")
        await pilot.press("9")
        await shows(pilot, "►3")


async def test_a_reachable_state_carries_its_key_and_the_present_one_its_mark(
    desk: Desk, station: ScriptedStation
) -> None:
    app = desk()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("2")
        await shows(pilot, "● NEW", "┌─ i ───")
        await station.put(reader(2, State.ISSUED, PEOPLE[0]))
        await shows(pilot, "● ISSUED", "┌─ a ───", " a   Activate: set the PIN")
        assert "● NEW" not in text(app)


async def test_keys_that_are_not_reachable_do_nothing(desk: Desk, station: ScriptedStation) -> None:
    app = desk()
    async with app.run_test(size=(80, 24)) as pilot:
        await shows(pilot, "● ACTIVE")
        await pilot.press("i", "a")
        await pilot.press("3", "i", "a", "p", "r")
        await pilot.pause()
        assert station.asked == []


async def test_a_card_that_comes_draws_the_eye(desk: Desk, station: ScriptedStation) -> None:
    app = desk()
    async with app.run_test(size=(80, 24)) as pilot:
        await shows(pilot, "►1")
        await station.put(reader(3, State.ISSUED, PEOPLE[3]))
        await shows(pilot, "►3", "Dana Fischer", "● ISSUED")


async def test_an_interrupted_issue_is_the_obvious_next_action(desk: Desk) -> None:
    cut = record(State.REGISTERED, PEOPLE[1], interrupted=OperationKind.ISSUE)
    station = ScriptedStation(reader(1, State.REGISTERED, PEOPLE[1], record=cut))
    app = desk(station)
    async with app.run_test(size=(80, 24)) as pilot:
        await shows(pilot, "! interrupted", "Nothing is lost", " i   Continue issue")
        await pilot.press("enter")
        await until(pilot, lambda: len(station.asked) > 0)
        assert station.asked[0] == Job(
            operation=OperationKind.ISSUE, reader="Virtual reader 1", holder="p1", template="employee"
        )


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (errors.NotPivCard(atr="3B00", sw="6A82"), "This card has no PIV application."),
        (errors.ServerUnreachable(server="x", reason="y"), "The server x does not answer (y)."),
        (errors.ReaderBusy(reader="Virtual reader 1"), "Another program is using the card."),
        (errors.VirtualCardRefused(), "Virtual cards are for lab stations"),
    ],
)
async def test_a_card_that_cannot_be_used_says_why(desk: Desk, error: errors.KioskError, words: str) -> None:
    station = ScriptedStation(replace(reader(1), present=True, error=error))
    app = desk(station)
    async with app.run_test(size=(80, 24)) as pilot:
        await shows(pilot, f"✗ {words}", " r   Read again")
        await pilot.press("enter")
        await until(pilot, lambda: station.asked == [("refresh", "Virtual reader 1")])


async def test_server_down_and_back(desk: Desk, station: ScriptedStation) -> None:
    app = desk()
    async with app.run_test(size=(80, 24)) as pilot:
        await shows(pilot, "● kiosk-server")
        await station.show(replace(station.view, connected=False))
        await shows(pilot, "No connection to the server. The desk goes on by itself", "○ no connection")
        await station.show(replace(station.view, connected=True))
        await until(pilot, lambda: "No connection" not in text(app))


async def test_the_line_is_opened(desk: Desk, station: ScriptedStation) -> None:
    app = desk()
    async with app.run_test(size=(80, 24)) as pilot:
        waiting = replace(station.view.readers[0], record=None)
        view = replace(station.view, connected=False, connecting=True, readers=(waiting,))
        await station.show(view)
        await shows(pilot, "◐ connecting to the server", "◐ Waiting for the server …", "◐ waiting")
        assert "No connection" not in text(app)


async def test_pcscd_gone_and_no_reader(desk: Desk, station: ScriptedStation) -> None:
    app = desk(virtual=False)
    async with app.run_test(size=(80, 24)) as pilot:
        problem = errors.PcscUnavailable(reason="pcscd does not run")
        await station.show(replace(station.view, readers=(), problem=problem))
        await shows(
            pilot,
            "smart card service of this machine is not available",
            "no reader attached",
            "Attach a card",
        )
        assert "VIRTUAL CARDS" not in text(app)


async def test_the_lab_banner_is_on_every_screen(desk: Desk) -> None:
    app = desk(banner="operator PIN 00")
    async with app.run_test(size=(80, 24)) as pilot:
        for keys in ((), ("question_mark",), ("escape", "v"), ("escape", "p"), ("escape", "2", "i")):
            await pilot.press(*keys)
            await pilot.pause()
            await shows(pilot, "VIRTUAL CARDS — LAB", "operator PIN 00")
            assert "VIRTUAL" in lines(app)[0]


async def test_no_banner_without_virtual_readers(desk: Desk) -> None:
    station = ScriptedStation(replace(reader(1, State.ACTIVE, PEOPLE[1]), name="ACR39U", virtual=False))
    app = desk(station, virtual=False)
    async with app.run_test(size=(80, 24)) as pilot:
        await shows(pilot, "ACR39U", "● ACTIVE")
        assert "VIRTUAL" not in text(app)
        assert "Virtual cards" not in text(app)


async def test_many_readers_keep_the_chosen_one_in_sight(desk: Desk) -> None:
    station = ScriptedStation(*(reader(number) for number in range(1, 13)))
    app = desk(station)
    for size in ((80, 24), (120, 40)):
        async with app.run_test(size=size) as pilot:
            await pilot.press("9")
            await shows(pilot, "►9 Virtual reader 9")
        app = desk(station)


async def test_a_blocked_pin_offers_to_unblock_and_no_change(desk: Desk) -> None:
    active = reader(1, State.ACTIVE, PEOPLE[1])
    assert active.card is not None
    station = ScriptedStation(replace(active, card=replace(active.card, pin_tries_left=0)))
    app = desk(station)
    async with app.run_test(size=(80, 24)) as pilot:
        await shows(pilot, "! The PIN of this card is blocked.", "Unblock: set a new PIN")
        assert "Change" not in text(app)
        await pilot.press("p")
        await pilot.pause()
        assert station.asked == []
        await pilot.press("enter")
        await until(pilot, lambda: bool(station.asked))
        assert station.asked == [Job(operation=OperationKind.UNBLOCK, reader=active.name)]


async def test_a_card_of_an_older_key_says_so_and_enter_updates_it(desk: Desk) -> None:
    ways = (OperationKind.UPDATE, OperationKind.CHANGE_PIN, OperationKind.UNBLOCK)
    old = record(State.ACTIVE, PEOPLE[1], reachable=ways, notices=("update-needed",))
    station = ScriptedStation(reader(1, State.ACTIVE, PEOPLE[1], record=old))
    app = desk(station)
    async with app.run_test(size=(80, 24)) as pilot:
        await shows(pilot, "! There is a newer master key", " n   Update: bring it up to date", "Change PIN")
        await pilot.press("enter")
        await shows(pilot, "The card is up to date.")
        assert station.asked == [Job(operation=OperationKind.UPDATE, reader="Virtual reader 1")]
        assert station.pins == [], "nobody is asked for a PIN"


async def test_a_record_that_is_remarkable_says_so(desk: Desk) -> None:
    known = record(State.ISSUED, PEOPLE[1], notices=("known-card-in-factory-state", "holder-disabled"))
    app = desk(ScriptedStation(reader(1, State.ISSUED, PEOPLE[1], record=known)))
    async with app.run_test(size=(80, 24)) as pilot:
        await shows(
            pilot, "! The card is known, but it is in factory state", "! The directory says that this person"
        )
        await shows(pilot, "● ISSUED", " a   Activate", "Quit")
