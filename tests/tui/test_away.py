"""Credentials whose cards are not here: found, decided about, and help for a holder who is far away."""

import pytest

from kiosk.station import wording
from kiosk.tui.confirm import Confirm
from kiosk.tui.find_credential import FindCredential
from kiosk.tui.menu import Menu
from kiosk.tui.show_code import CodeText, ShowCode
from shared import errors
from shared.credential.lifecycle import OperationKind
from shared.credential.model import State
from shared.secret import Secret
from tests.tui.conftest import Desk
from tests.tui.look import shows, text, until
from tests.tui.scripted import ScriptedStation, credential, reader

READ_OUT = "1 2 3 4", "5 6 7 8", "9 0 1 2"
ANNA = credential(0, State.ACTIVE)


@pytest.fixture
def away() -> ScriptedStation:
    """Nothing in any reader, and four credentials."""
    station = ScriptedStation(reader(1))
    station.credentials = [
        ANNA,
        credential(1, State.SUSPENDED, reason="forgotten", waiting=2),
        credential(2, State.REVOKED, reason="stolen", waits_for_card=True),
        credential(3, State.DELETED, reason="from-the-future"),
    ]
    return station


async def test_a_search_by_holder_says_how_each_credential_is(desk: Desk, away: ScriptedStation) -> None:
    app = desk(away)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("f")
        await shows(pilot, "Find a credential", "4 credentials", "Anna Berg", "Employee badge", "2026-11-20")
        await shows(pilot, "Active", "Suspended !", "Revoked !", "Deleted", "yubikey-5.7 · 20114000")
        await pilot.press("down")
        await shows(pilot, "It was left at home", wording.waiting(2)[:40])
        await pilot.press("down")
        await shows(pilot, "It was stolen", wording.notice("carry-due")[:40])
        await pilot.press("down")
        await shows(pilot, "from-the-future")
        await pilot.press(*"okafor")
        await shows(pilot, "1 credential", "Chidi Okafor")
        assert away.asked == [("find credentials", ""), ("find credentials", "okafor")]
        await pilot.press("escape")
        await until(pilot, lambda: not app.screen.is_modal)


async def test_nothing_found_and_nobody_there_are_said(desk: Desk, away: ScriptedStation) -> None:
    app = desk(away)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("f", *"zz")
        await shows(pilot, "No credential is found.")
        await pilot.press("enter")
        assert isinstance(app.screen, FindCredential)
        away.search_error = errors.ServerUnreachable(server="s", reason="r")
        await pilot.press("backspace")
        await shows(pilot, "✗ The server s does not answer (r).")
        away.search_error = None
        await pilot.press("backspace")
        await shows(pilot, "4 credentials")


async def test_a_badge_reported_lost_is_revoked_without_it(desk: Desk, away: ScriptedStation) -> None:
    away.waiting = 2
    app = desk(away)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("f", *"anna")
        await shows(pilot, "1 credential")
        await pilot.press("enter")
        await shows(pilot, "Anna Berg", "Employee badge  v7", "20114000 · active", "Without the card")
        await pilot.press("o")
        await shows(
            pilot, "Revoke: why?  Anna Berg", "is taken when the card is next at a", "cannot be undone"
        )
        await pilot.press("enter")
        await shows(pilot, "Revoke?  Anna Berg", "It was lost")
        await pilot.press("enter")
        assert isinstance(app.screen, Confirm)
        await pilot.press("y")
        await shows(
            pilot, f"✓ {wording.done(OperationKind.REVOKE)}", "2 certificates wait for their authority"
        )
        await pilot.press("enter")
        await shows(pilot, "1 credential", "Revoked !")
        assert app.screen.query_one("#text").value == "anna", "the search stays as it was"  # type: ignore[attr-defined]  # an Input
    decided = [asked for asked in away.asked if isinstance(asked, tuple) and asked[0] == "decide"]
    assert decided == [("decide", ANNA.record_id, OperationKind.REVOKE, "lost")]


async def test_suspended_and_resumed_without_the_card(desk: Desk, away: ScriptedStation) -> None:
    app = desk(away)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("f", *"anna")
        await shows(pilot, "1 credential")
        await pilot.press("enter", "s")
        await shows(pilot, "It was left at home")
        await pilot.press("enter")
        await shows(pilot, wording.done(OperationKind.SUSPEND))
        await pilot.press("enter")
        await shows(pilot, "Suspended")
        await pilot.press("enter")
        await shows(pilot, "back in use, with the PIN it has")
        await pilot.press("b")
        await shows(pilot, "Resume?  Anna Berg", "keeps the PIN that it has")
        await pilot.press("y")
        await shows(pilot, wording.done(OperationKind.RESUME))
    decided = [asked[2:] for asked in away.asked if isinstance(asked, tuple) and asked[0] == "decide"]
    assert decided == [(OperationKind.SUSPEND, "forgotten"), (OperationKind.RESUME, "")]


@pytest.mark.parametrize(
    "error", [errors.ConnectionLost(), errors.CardLeased(station="Desk 4"), errors.UnknownCard()]
)
async def test_what_was_not_decided_is_said_in_the_same_words(
    desk: Desk, away: ScriptedStation, error: errors.KioskError
) -> None:
    away.decision_error = error
    app = desk(away)
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.press("f", *"anna")
        await shows(pilot, "1 credential")
        await pilot.press("enter", "s")
        await shows(pilot, "Suspend: why?")
        await pilot.press("enter")
        await shows(pilot, "That did not work", wording.failure(error)[:50], f"code {error.code}")
        await pilot.press("enter")
        await shows(pilot, "1 credential")


async def test_only_what_is_reachable_is_offered(desk: Desk, away: ScriptedStation) -> None:
    app = desk(away)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("f", *"dana")
        await shows(pilot, "1 credential")
        await pilot.press("enter")
        await shows(pilot, "There is nothing more to do.")
        await pilot.press("o", "s", "h", "t", "enter")
        assert isinstance(app.screen, Menu)
        await pilot.press("escape")
        await shows(pilot, "1 credential")
        await pilot.press(*["backspace"] * 4, *"bob")
        await shows(pilot, "Bob Smith", "1 credential")
        await pilot.press("enter")
        await shows(pilot, "Without the card")
        assert "telephone" not in text(app), "nobody has a PIN that could be unblocked"


# --- help at a distance -----------------------------------------------------------------------------------


async def test_a_code_is_read_out_after_the_operator_is_sure(desk: Desk, away: ScriptedStation) -> None:
    app = desk(away)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("f", *"anna")
        await shows(pilot, "1 credential")
        await pilot.press("enter", "h")
        await shows(pilot, "Are you sure who is on the telephone?", "counts as", "disclosed", "Anna Berg")
        await pilot.press("enter")
        assert ("read out", ANNA.record_id) not in away.asked
        await pilot.press("n")
        await shows(pilot, "1 credential")
        await pilot.press("enter", "h")
        await shows(pilot, "Are you sure")
        await pilot.press("y")
        await shows(pilot, "Code to read out", *READ_OUT, "counts as disclosed now")
        await pilot.press("y", "enter", "space", "q")
        await shows(pilot, *READ_OUT)
        await pilot.press("escape")
        await shows(pilot, "1 credential")
        assert "1 2 3 4" not in text(app)
    assert away.asked.count(("read out", ANNA.record_id)) == 1


async def test_a_code_for_one_time_says_until_when(desk: Desk, away: ScriptedStation) -> None:
    app = desk(away)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("f", *"anna")
        await shows(pilot, "1 credential")
        await pilot.press("enter", "t")
        await shows(pilot, "nobody but the holder", "An earlier code")
        await pilot.press("y")
        await shows(pilot, "A B C D", "E F G H", "2 3 4 5", "It works once, until 2026-11-21 10:00 UTC")


async def test_a_code_is_in_no_picture_no_title_and_wiped_when_it_is_hidden(
    desk: Desk, away: ScriptedStation
) -> None:
    app = desk(away)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("f", *"anna")
        await shows(pilot, "1 credential")
        await pilot.press("enter", "h")
        await shows(pilot, "Are you sure")
        await pilot.press("y")
        await shows(pilot, *READ_OUT)
        picture = app.export_screenshot().replace("&#160;", " ")
        assert "Code to read out" in picture
        assert not any(part in picture for part in (*READ_OUT, "1234", "5678", "9012"))
        assert "● ● ● ●" in picture
        await shows(pilot, *READ_OUT)
        assert "1234" not in f"{app.title}{app.sub_title}{app.screen!r}{vars(app.screen)!r}"
        secret = app.screen.query_one(CodeText)._code
        assert isinstance(secret, Secret)
        await pilot.press("escape")
        await until(pilot, lambda: not isinstance(app.screen, ShowCode))
        await until(pilot, lambda: secret.wiped)


async def test_a_desk_that_ends_wipes_the_code(desk: Desk, away: ScriptedStation) -> None:
    app = desk(away)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("f", *"anna")
        await shows(pilot, "1 credential")
        await pilot.press("enter", "h")
        await shows(pilot, "Are you sure")
        await pilot.press("y")
        await shows(pilot, *READ_OUT)
        secret = app.screen.query_one(CodeText)._code
    assert secret.wiped


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_every_dialog_fits(desk: Desk, away: ScriptedStation, size: tuple[int, int]) -> None:
    app = desk(away)
    async with app.run_test(size=size) as pilot:
        for keys, words in (
            (("f",), "4 credentials"),
            (("enter",), "Without the card"),
            (("h",), "Are you sure"),
            (("y",), "Hide it"),
            (("escape", "enter", "t"), "nobody but the holder"),
            (("n", "enter", "d"), "Delete the record: why?"),
            (("enter",), "This cannot be undone."),
            (("y",), "The record is closed."),
        ):
            for key in keys:
                await pilot.press(key)
                await pilot.pause(0.3)
            await shows(pilot, words)
            box = app.screen.query_one(".dialog")
            assert app.screen.region.contains_region(box.region)
            assert box.max_scroll_y == 0, "something in the box is cut"


# --- before an issue ----------------------------------------------------------------------------------------


async def test_whoever_has_a_card_is_said_to_have_one_before_another_is_made(desk: Desk) -> None:
    station = ScriptedStation(reader(1, State.UNREGISTERED))
    station.credentials = [ANNA, credential(1, State.REVOKED)]
    app = desk(station)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("i")
        await shows(pilot, "6 people")
        await pilot.press("enter")
        await shows(
            pilot, "Anna Berg has a card", "Active", "serial 20114000 · since 2026-11-20", "Another card"
        )
        await pilot.press("escape")
        await until(pilot, lambda: not app.screen.is_modal)
        await pilot.press("i")
        await shows(pilot, "6 people")
        await pilot.press("enter")
        await shows(pilot, "Another card")
        await pilot.press("a")
        await shows(pilot, "Which kind of card?  Anna Berg")


async def test_a_card_that_is_revoked_is_no_card_that_somebody_has(desk: Desk) -> None:
    station = ScriptedStation(reader(1, State.UNREGISTERED))
    station.credentials = [credential(0, State.REVOKED)]
    app = desk(station)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("i")
        await shows(pilot, "6 people")
        await pilot.press("enter")
        await shows(pilot, "Which kind of card?  Anna Berg")
