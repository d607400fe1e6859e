"""The operators at the desk: who there is and where, roles within one's own, who may log on, the PIN again, a second person."""

from collections.abc import AsyncIterator, Collection, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

import pytest
from textual.pilot import Pilot

from kiosk.station.faces import Job
from kiosk.tui.app import DeskApp
from kiosk.tui.log_on import LogOn
from shared import errors
from shared.console import TemplateView
from shared.credential.model import State
from shared.operators import LoggedOnAt, OperatorSummary, RoleSummary
from shared.roles import PRESETS
from shared.sessions import LogonMethod
from tests.tui.conftest import StillClock
from tests.tui.guarded import PIN, GuardedStation, session
from tests.tui.inbox import ScriptedInbox
from tests.tui.look import shows, text, until
from tests.tui.scripted import PEOPLE, reader, seen

AT = datetime(2026, 11, 20, 9, 30, tzinfo=UTC)
BOB = OperatorSummary(
    operator_id=UUID(int=20),
    name="Bob Smith",
    kind="operator",
    active=True,
    roles=frozenset({"normal"}),
    keys=2,
    usable_keys=1,
    last_logon_at=AT,
    failed_logons=3,
    sessions=(
        LoggedOnAt(method=LogonMethod.CARD, possession_only=False, station="Desk 5", began_at=AT),
        LoggedOnAt(method=LogonMethod.AGENT, possession_only=True, station="Desk 6", began_at=AT),
    ),
)
OWNER = replace(
    BOB,
    operator_id=UUID(int=21),
    name="System Owner",
    kind="system-owner",
    roles=frozenset(),
    last_logon_at=None,
    failed_logons=0,
    sessions=(),
)


class ScriptedColleagues:
    """Two operators and the presets; keeps what was asked."""

    def __init__(self, station: GuardedStation) -> None:
        self.everybody = {str(each.operator_id): each for each in (BOB, OWNER)}
        self.asked: list[object] = []
        self.refusal: errors.KioskError | None = None
        self._station = station

    async def all(self) -> Sequence[OperatorSummary]:
        return sorted(self.everybody.values(), key=lambda each: each.name)

    async def roles(self) -> Sequence[RoleSummary]:
        return [RoleSummary(role=role, operators=1) for role in PRESETS.values()]

    async def activate(self, which: str, why: str) -> OperatorSummary:
        return self._change(("activate", which, why), which, active=True)

    async def deactivate(self, which: str, why: str) -> OperatorSummary:
        return self._change(("deactivate", which, why), which, active=False)

    async def set_roles(self, which: str, roles: Collection[str], why: str) -> OperatorSummary:
        return self._change(("roles", which, sorted(roles), why), which, roles=frozenset(roles))

    def _change(self, asked: object, which: str, **fields: object) -> OperatorSummary:
        if not self._station.proven:
            raise errors.StepUpNeeded(what="operators")
        self.asked.append(asked)
        if self.refusal is not None:
            raise self.refusal
        self.everybody[which] = replace(self.everybody[which], **fields)  # type: ignore[arg-type]  # the caller's
        return self.everybody[which]


@pytest.fixture
def station() -> GuardedStation:
    operators = replace(reader(3), present=True, card=seen(20114003))
    return GuardedStation(
        reader(1, State.ACTIVE, PEOPLE[1]), reader(2), operators, roles=("system-administrator",)
    )


@pytest.fixture
def colleagues(station: GuardedStation) -> ScriptedColleagues:
    return ScriptedColleagues(station)


@asynccontextmanager
async def manned(
    station: GuardedStation, colleagues: ScriptedColleagues, size: tuple[int, int] = (80, 24)
) -> AsyncIterator[Pilot[None]]:
    app = DeskApp(
        station=station,
        logons=station,
        inbox=ScriptedInbox(),
        colleagues=colleagues,
        title="Desk 3",
        clock=StillClock(),
    )
    async with app.run_test(size=size) as pilot:
        await shows(pilot, "Put your operator's card into a reader")
        await pilot.press("3", "enter")
        await shows(pilot, "Log on · Present PIN")
        await pilot.press(*PIN, "enter")
        await until(pilot, lambda: not isinstance(app.screen, LogOn) and not app.screen.is_modal)
        yield pilot


async def choose_bob(pilot: Pilot[None]) -> None:
    await pilot.press("t")
    await shows(pilot, "2 operators")
    await pilot.press("enter")
    await shows(pilot, "The card is lost")


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_they_are_listed_with_what_an_auditor_asks_for(
    station: GuardedStation, colleagues: ScriptedColleagues, size: tuple[int, int]
) -> None:
    async with manned(station, colleagues, size) as pilot:
        await pilot.press("t")
        await shows(pilot, "Bob Smith", "normal", "2026-11-20 09:30", "active", "System Owner", "never")
        await shows(pilot, "1 of 2 cards log on", "3 log-ons failed since the last one")
        await shows(pilot, "at Desk 5 since", "card and PIN", "Desk 6", "possession only")
        await pilot.press(*"own")
        await shows(pilot, "1 operator")
        box = pilot.app.screen.query_one(".dialog")
        assert pilot.app.screen.region.contains_region(box.region)
        await pilot.press("enter")
        await shows(pilot, "Deactivate")
        assert "give and take" not in text(pilot.app), "the System Owner's rights are not roles"


async def test_one_is_deactivated_with_a_reason_and_the_pin_again(
    station: GuardedStation, colleagues: ScriptedColleagues
) -> None:
    async with manned(station, colleagues) as pilot:
        station.proven = False
        await choose_bob(pilot)
        await pilot.press("d")
        await shows(pilot, "Deactivate?  Bob Smith", "sessions end at once")
        await pilot.press("enter")
        await pilot.press(*"left us", "enter")
        await shows(pilot, "Operator's PIN again")
        assert colleagues.asked == []
        await pilot.press(*PIN, "enter")
        await shows(pilot, "Bob Smith may not log on; roles: normal.")
        assert colleagues.asked == [("deactivate", str(BOB.operator_id), "left us")]
        await pilot.press("enter")
        await shows(pilot, "! inactive")
        await pilot.press("enter")
        await shows(pilot, "lets the operator log on again")
        await pilot.press("a", *"back", "enter")
        await shows(pilot, "Bob Smith may log on")


async def test_roles_are_marked_and_given(station: GuardedStation, colleagues: ScriptedColleagues) -> None:
    async with manned(station, colleagues) as pilot:
        await choose_bob(pilot)
        await pilot.press("r")
        await shows(pilot, "Roles of Bob Smith", "[x] Normal", "[ ] Restricted", "Space marks a role")
        rows = [role.title for role in PRESETS.values()]
        await pilot.press(*["down"] * rows.index("Restricted"), "space")
        await shows(pilot, "[x] Restricted")
        await pilot.press("enter")
        await shows(pilot, "Roles?  Bob Smith", "Normal, Restricted")
        await pilot.press(*"two jobs", "enter")
        await shows(pilot, "roles: normal, restricted.")
        assert colleagues.asked == [("roles", str(BOB.operator_id), ["normal", "restricted"], "two jobs")]


async def test_nobody_marks_more_than_their_own(
    station: GuardedStation, colleagues: ScriptedColleagues
) -> None:
    grants = tuple(
        grant
        for grant in PRESETS["system-administrator"].grants
        if str(grant.subject) not in {"keys", "settings"}
    )
    station.answer = replace(session("normal"), grants=grants)
    async with manned(station, colleagues) as pilot:
        await choose_bob(pilot)
        await pilot.press("r")
        await shows(pilot, "[ ] System Administrator", "more than your own", "[x] Normal")


async def test_what_takes_a_second_person_has_been_asked_for(
    station: GuardedStation, colleagues: ScriptedColleagues
) -> None:
    colleagues.refusal = errors.ApprovalNeeded(
        operation="activate-operator", why="it was asked for", request=str(UUID(int=5))
    )
    async with manned(station, colleagues) as pilot:
        await choose_bob(pilot)
        await pilot.press("d", *"left", "enter")
        await shows(pilot, "It takes a second person", "finds it in their inbox")


async def test_a_lost_card_leads_to_a_replacement(
    station: GuardedStation, colleagues: ScriptedColleagues
) -> None:
    async with manned(station, colleagues) as pilot:
        await choose_bob(pilot)
        await pilot.press("c")
        await shows(pilot, "The card of Bob Smith", "choose Replacement")


async def test_who_may_not_see_operators_has_no_key_for_it(
    station: GuardedStation, colleagues: ScriptedColleagues
) -> None:
    station.answer = session("restricted")
    async with manned(station, colleagues) as pilot:
        await pilot.press("t")
        await pilot.pause()
        assert not pilot.app.screen.is_modal
        assert "Operators" not in text(pilot.app)


# --- an operator's card -----------------------------------------------------------------------------------


async def test_who_issues_an_operators_card_chooses_roles(
    station: GuardedStation, colleagues: ScriptedColleagues
) -> None:
    station.template_list = (TemplateView(name="operator", title="Operator", version=1, operator=True),)
    await station.put(reader(2, State.UNREGISTERED))
    async with manned(station, colleagues) as pilot:
        await pilot.press("2", "i")
        await shows(pilot, "Anna Berg", "6 people")
        await pilot.press("enter")
        await shows(pilot, "Roles of Anna Berg", "[ ] Normal")
        rows = [role.title for role in PRESETS.values()]
        await pilot.press(*["down"] * rows.index("Normal"), "space", "enter")
        await shows(pilot, "Write this card now?", "Roles", "normal")
        await pilot.press("enter")
        await until(pilot, lambda: any(isinstance(each, Job) for each in station.asked))
        (job,) = [each for each in station.asked if isinstance(each, Job)]
        assert (job.template, job.roles) == ("operator", ("normal",))


async def test_roles_that_were_not_chosen_issue_nothing(
    station: GuardedStation, colleagues: ScriptedColleagues
) -> None:
    station.template_list = (TemplateView(name="operator", title="Operator", version=1, operator=True),)
    await station.put(reader(2, State.UNREGISTERED))
    async with manned(station, colleagues) as pilot:
        await pilot.press("2", "i")
        await shows(pilot, "6 people")
        await pilot.press("enter")
        await shows(pilot, "Roles of Anna Berg")
        await pilot.press("escape")
        await until(pilot, lambda: not pilot.app.screen.is_modal)
        assert not any(isinstance(each, Job) for each in station.asked)
