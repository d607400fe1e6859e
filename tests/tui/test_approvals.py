"""The inbox at the desk: what waits is counted, read, approved with a card, declined, withdrawn, and asked for."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from uuid import UUID

import pytest
from textual.pilot import Pilot

from kiosk.tui.app import DeskApp
from kiosk.tui.inbox import InboxList, Request
from kiosk.tui.log_on import LogOn
from shared import approval_words, errors
from shared.approvals import ApprovalState, ApprovalWish, Signed
from shared.credential.approval import Approvers, Way
from shared.credential.model import State
from shared.sessions import LogonMethod
from tests.tui.conftest import StillClock
from tests.tui.guarded import PIN, READER, GuardedStation
from tests.tui.inbox import AT, ScriptedInbox, request
from tests.tui.look import lines, shows, text, until
from tests.tui.scripted import PEOPLE, credential, reader, seen

SIZES = [(80, 24), (120, 40)]


@pytest.fixture
def station() -> GuardedStation:
    operators = replace(reader(3), present=True, card=seen(20114003))
    return GuardedStation(reader(1, State.ACTIVE, PEOPLE[1]), reader(2), operators)


@pytest.fixture
def inbox() -> ScriptedInbox:
    return ScriptedInbox(
        request(1, mine=True, open_to_me=False, name="Dana Fischer", requester_name="Anna Berg"),
        request(2, Way.ISSUE, card=None, detail="starts on Monday"),
    )


@asynccontextmanager
async def manned(
    station: GuardedStation, inbox: ScriptedInbox, size: tuple[int, int] = (80, 24)
) -> AsyncIterator[Pilot[None]]:
    app = DeskApp(station=station, logons=station, inbox=inbox, title="Desk 3", clock=StillClock())
    async with app.run_test(size=size) as pilot:
        await shows(pilot, "Put your operator's card into a reader")
        await pilot.press("3", "enter")
        await shows(pilot, "Log on · Present PIN")
        await pilot.press(*PIN, "enter")
        await until(pilot, lambda: not isinstance(app.screen, LogOn) and not app.screen.is_modal)
        yield pilot


@pytest.mark.parametrize("size", SIZES)
async def test_what_waits_is_counted_on_the_top_line_and_listed(
    station: GuardedStation, inbox: ScriptedInbox, size: tuple[int, int]
) -> None:
    async with manned(station, inbox, size) as pilot:
        await shows(pilot, "1 to approve", "y  Approvals")
        top = next(line for line in lines(pilot.app) if "Desk 3" in line)
        assert " y  1 to approve" in top
        assert "Anna Berg" in top
        await pilot.press("y")
        await shows(
            pilot, "What", "For", "Asked by", "Until, UTC", "Issue a card", "Bob Smith", "Chidi Okafor"
        )
        await shows(pilot, "11-21 14:02", "you", "Dana Fischer", "employee · any card", "starts on Monday")
        rows = [line for line in lines(pilot.app) if "11-21 14:02" in line]
        assert "Bob Smith" in rows[0], "what waits for who looks stands first"
        box = pilot.app.screen.query_one(".dialog")
        assert pilot.app.screen.region.contains_region(box.region)


@pytest.mark.parametrize("size", SIZES)
async def test_a_request_is_read_in_full_and_approved_with_the_operators_own_card(
    station: GuardedStation, inbox: ScriptedInbox, size: tuple[int, int]
) -> None:
    async with manned(station, inbox, size) as pilot:
        await pilot.press("y")
        await shows(pilot, "Issue a card")
        await pilot.press("enter")
        await shows(pilot, "y   Approve, with card and PIN", "d   Decline")
        read: set[str] = set()
        for _ in range(30):
            read |= set(text(pilot.app).split())
            await pilot.press("down")
        for name, value in approval_words.facts(inbox.waiting[1]):
            assert set(f"{name} {value}".split()) <= read, f"{name} cannot be read"
        assert "Withdraw" not in text(pilot.app)
        await pilot.press("enter")
        assert isinstance(pilot.app.screen, Request), "Enter by the way approves nothing"
        await pilot.press("y")
        await shows(pilot, "Approve · Present PIN", "Bob Smith", "20114003")
        await pilot.press(*PIN)
        assert PIN not in pilot.app.export_screenshot()
        await pilot.press("enter")
        await shows(pilot, "Approved", "Issue a card, for Bob Smith: approved.")
        assert inbox.asked == [("approve", UUID(int=2), READER)]
        await pilot.press("enter", "escape")
        await until(pilot, lambda: not pilot.app.screen.is_modal)
        assert "to approve" not in text(pilot.app)


async def test_a_wrong_pin_approves_nothing(station: GuardedStation, inbox: ScriptedInbox) -> None:
    async with manned(station, inbox) as pilot:
        await pilot.press("y")
        await shows(pilot, "Issue a card")
        await pilot.press("enter", "y")
        await shows(pilot, "Approve · Present PIN")
        await pilot.press(*"111222", "enter")
        await shows(pilot, "The PIN is wrong: 2 tries left.")
        await pilot.press("enter")
        await shows(pilot, "Until, UTC", "Issue a card")
        assert inbox.asked == []


async def test_a_request_is_declined_with_a_reason(station: GuardedStation, inbox: ScriptedInbox) -> None:
    async with manned(station, inbox) as pilot:
        await pilot.press("y")
        await shows(pilot, "Issue a card")
        await pilot.press("enter", "d")
        await shows(pilot, "Decline?  Bob Smith", "Why, for whoever asked", "Chidi Okafor")
        await pilot.press("enter")
        assert inbox.asked == [], "not without a reason"
        await pilot.press(*"not yet", "enter")
        await until(pilot, lambda: inbox.asked == [("decline", UUID(int=2), "not yet")])
        await shows(pilot, "Until, UTC", "Dana Fischer")
        await until(
            pilot, lambda: not any("11-21" in line and "Bob Smith" in line for line in lines(pilot.app))
        )


async def test_an_own_request_is_withdrawn(station: GuardedStation, inbox: ScriptedInbox) -> None:
    async with manned(station, inbox) as pilot:
        await pilot.press("y")
        await shows(pilot, "Dana Fischer")
        await pilot.press("down", "enter")
        await shows(pilot, "w   Withdraw it", "Somebody else approves here")
        assert "d   Decline" not in text(pilot.app)
        await pilot.press("w")
        await until(pilot, lambda: inbox.asked == [("withdraw", UUID(int=1))])


async def test_somebody_elses_card_beside_the_operators_own_approves_an_own_request(
    station: GuardedStation, inbox: ScriptedInbox
) -> None:
    async with manned(station, inbox) as pilot:
        await pilot.press("y", "down", "enter", "y")
        await shows(pilot, "Approve · Present PIN", "20114001")
        await pilot.press(*PIN, "enter")
        await shows(pilot, "Approved")
        assert inbox.asked == [("approve", UUID(int=1), "Virtual reader 1")]
        await pilot.press("enter")
        await shows(pilot, "Approvals")
        await pilot.press("escape")
        await shows(pilot, "1 approved")


async def test_without_another_card_it_is_said_what_is_missing(inbox: ScriptedInbox) -> None:
    station = GuardedStation(reader(1), replace(reader(3), present=True, card=seen(20114003)))
    app = DeskApp(station=station, logons=station, inbox=inbox, clock=StillClock())
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("2", "enter")
        await shows(pilot, "Present PIN")
        await pilot.press(*PIN, "enter")
        await shows(pilot, "y  Approvals")
        await pilot.press("y", "down", "enter", "y")
        await shows(pilot, "Whose card approves?", "into a reader, beside")


async def test_a_colleague_chooses_the_reader(station: GuardedStation) -> None:
    inbox = ScriptedInbox(request(4, by=Approvers.COLLEAGUES, count=2))
    await station.put(reader(2, State.ACTIVE, PEOPLE[3]))
    async with manned(station, inbox) as pilot:
        await pilot.press("y", "enter")
        await shows(pilot, "2 of colleagues of the holder")
        await pilot.press("y")
        await shows(pilot, "Whose card approves?", "Bob Smith", "Dana Fischer")
        await pilot.press("2")
        await shows(pilot, "Approve · Present PIN", "20114002")
        await pilot.press(*PIN, "enter")
        await shows(pilot, "waits, 1 of 2 approved.")
        assert inbox.asked == [("approve", UUID(int=4), "Virtual reader 2")]


async def test_who_came_through_an_agent_is_refused_in_a_sentence(
    station: GuardedStation, inbox: ScriptedInbox
) -> None:
    station.answer = replace(station.answer, method=LogonMethod.AGENT, possession_only=True)
    async with manned(station, inbox, (120, 40)) as pilot:
        await pilot.press("y", "enter", "y")
        await shows(pilot, "This takes the operator's card in a reader", "possession only")
        assert inbox.asked == []


async def test_what_is_decided_elsewhere_disappears_from_the_list(
    station: GuardedStation, inbox: ScriptedInbox
) -> None:
    async with manned(station, inbox) as pilot:
        await pilot.press("y")
        await shows(pilot, "Bob Smith", "Dana Fischer")
        await inbox.put(*inbox.waiting, request(3, name="Farid Haddad"))
        await shows(pilot, "Farid Haddad")
        await pilot.press("down")
        await inbox.decide(inbox.waiting[1], ApprovalState.SPENT)
        await until(pilot, lambda: "Issue a card" not in text(pilot.app))
        await inbox.put()
        await shows(pilot, "Nothing waits for your approval")
        await pilot.press("enter", "escape")
        await until(pilot, lambda: not pilot.app.screen.is_modal)


async def test_what_is_decided_elsewhere_while_it_is_read_is_said(
    station: GuardedStation, inbox: ScriptedInbox
) -> None:
    async with manned(station, inbox) as pilot:
        await pilot.press("y", "enter")
        await shows(pilot, "Approve, with card and PIN")
        await inbox.decide(inbox.waiting[1], ApprovalState.DECLINED, "come in person")
        await shows(
            pilot, "It does not wait any more", "Issue a card, for Bob Smith: it was declined: come in"
        )
        await pilot.press("enter")
        await until(pilot, lambda: isinstance(pilot.app.screen, InboxList))


async def test_a_request_that_others_sign_meanwhile_is_drawn_again(
    station: GuardedStation, inbox: ScriptedInbox
) -> None:
    async with manned(station, inbox, (120, 40)) as pilot:
        await pilot.press("y", "enter")
        await shows(pilot, "Approve, with card and PIN")
        now = replace(inbox.waiting[1], signed=(Signed(name="Farid Haddad", at=AT),), open_to_me=False)
        await inbox.put(inbox.waiting[0], now)
        await shows(pilot, "Farid Haddad")
        assert "Approve, with card and PIN" not in text(pilot.app)


async def test_a_card_that_is_pulled_takes_the_inbox_away(
    station: GuardedStation, inbox: ScriptedInbox
) -> None:
    async with manned(station, inbox) as pilot:
        await pilot.press("y", "enter", "y")
        await shows(pilot, "Approve · Present PIN")
        await station.end()
        await shows(pilot, "Nobody is logged on any more.")
        await pilot.press("3", "enter")
        await shows(pilot, "Log on · Present PIN")
        await pilot.press(*PIN, "enter")
        await until(pilot, lambda: not isinstance(pilot.app.screen, LogOn) and not pilot.app.screen.is_modal)
        assert inbox.asked == []


# --- asking -----------------------------------------------------------------------------------------------

NEEDED = errors.ApprovalNeeded(
    operation="unblock",
    why="nobody has approved it",
    template="employee",
    card=str(UUID(int=77)),
    count=1,
    by="operators",
)


async def test_what_is_refused_for_want_of_an_approval_is_asked_for_there_and_then(
    station: GuardedStation, inbox: ScriptedInbox
) -> None:
    station.ends = lambda _job: NEEDED
    async with manned(station, inbox) as pilot:
        await pilot.press("1", "u")
        await shows(pilot, "Choose a new PIN")
        await pilot.press(*"735172", "enter", *"735172", "enter")
        await shows(pilot, "A second person has to approve this", "Unblock a card", "Bob Smith")
        await shows(pilot, "1 of operators who may do the same", "For whoever approves")
        await pilot.press(*"forgot it", "enter")
        await shows(pilot, "Asked for", "It waits until 2026-11-21 14:02 UTC.", "the top line says so")
        assert inbox.asked == [ApprovalWish(way=Way.UNBLOCK, card=str(UUID(int=77)), note="forgot it")]
        await pilot.press("enter")
        await until(pilot, lambda: not pilot.app.screen.is_modal)
        await inbox.put(replace(inbox.waiting[-1], signed=(Signed(name="Farid Haddad", at=AT),)))
        await shows(pilot, "1 approved")


async def test_nobody_has_to_ask(station: GuardedStation, inbox: ScriptedInbox) -> None:
    station.ends = lambda _job: NEEDED
    async with manned(station, inbox) as pilot:
        await pilot.press("1", "u")
        await shows(pilot, "Choose a new PIN")
        await pilot.press(*"735172", "enter", *"735172", "enter")
        await shows(pilot, "A second person has to approve this")
        await pilot.press("escape")
        await until(pilot, lambda: not pilot.app.screen.is_modal)
        assert inbox.asked == []


async def test_help_at_a_distance_is_asked_for_in_the_same_way(
    station: GuardedStation, inbox: ScriptedInbox
) -> None:
    station.credentials = (credential(1, State.SUSPENDED),)
    station.decision_error = errors.ApprovalNeeded(
        operation="resume", why="nobody has approved it", card=str(UUID(int=2)), count=1, by="operators"
    )
    async with manned(station, inbox) as pilot:
        await pilot.press("f")
        await shows(pilot, "1 credential")
        await pilot.press("enter", "b")
        await shows(pilot, "Resume?")
        await pilot.press("y")
        await shows(pilot, "A second person has to approve this", "Resume a suspended card")
        await pilot.press("enter")
        await shows(pilot, "Asked for")
        assert inbox.asked == [ApprovalWish(way=Way.RESUME, card=str(UUID(int=2)))]
