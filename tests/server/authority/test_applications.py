"""Applications: what is left of their roles where nobody gives a PIN, and who changes them."""

from collections.abc import Iterable
from dataclasses import replace
from datetime import timedelta
from typing import Final
from uuid import uuid4

import pytest

from server.authority.access import Caller, Listener
from server.authority.acting import NEVER, UNATTENDED, alone
from server.authority.acts import Acts
from server.authority.applications import Applications, ApplicationView
from server.authority.approved import ApprovalPolicy
from server.authority.fleet import Fleet
from server.authority.operators import Operators
from server.authority.policy import CALL_RULES, MORE_THAN_OWN, Needs, Principal, principal_of, unrestricted
from server.ports.operators import OperatorKind, OperatorState
from server.ports.store import Application, StationState
from shared import errors
from shared.approval import read_intent
from shared.credential.approval import ADMINISTRATIVE, Way
from shared.credential.lifecycle import OperationKind
from shared.joining import read_token
from shared.logon import LogonPurpose
from shared.roles import (
    PRESETS,
    SENSITIVE,
    SUBJECTS,
    SYSTEM_ADMINISTRATOR,
    Act,
    Area,
    Grant,
    Level,
    Role,
    Subject,
    union,
)
from shared.station_profile import StationProfile
from tests.server.authority.test_stations import enrolment, request
from tests.server.rpc.world import World
from tests.server.store.examples import EVIDENCE, a_station, an_operator

ADMIN = unrestricted("admin")
WHY: Final = "payroll moves"
HOUR: Final = timedelta(hours=1)
EVERYTHING: Final = union([PRESETS[SYSTEM_ADMINISTRATOR]])
FIND: Final = "/kiosk.v1.Credentials/Find"
RUN: Final = "/kiosk.v1.Operations/Run"


class Office:
    """A record with one application, that joined."""

    def __init__(self) -> None:
        self.world = World()
        world = self.world
        fleet = Fleet(
            world.store.stations,
            world.store.cards,
            world.store.templates,
            world.lines,
            world.attendance,
            (world.store.sessions, world.store.holders),
            world.clock,
            applications=True,
        )
        self.operators = Operators(world.store, world.clock)
        self.door = enrolment(world)
        self.applications = Applications(world.store.stations, self.operators, fleet, self.door)

    async def join(
        self, name: str, roles: Iterable[str], unattended: Iterable[Subject] = ()
    ) -> ApplicationView:
        wanted = Application(roles=frozenset(roles), unattended=frozenset(unattended))
        token = await self.applications.invite(name, wanted, lab=False, valid_for=HOUR, by=ADMIN)
        joined = await self.door.join(
            peer="here", secret=read_token(token).secret, request=request(), name="what it likes"
        )
        assert joined.name == name
        (view,) = [each for each in await self.applications.all() if each.view.station.name == name]
        return view

    async def call(
        self, view: ApplicationView, method: str = FIND, token: bytes | None = None, face: str = ""
    ) -> Caller:
        caller = await self.world.access.admit(
            Listener.STATIONS, method, view.view.station.fingerprint, token, face=face
        )
        assert caller is not None
        return caller


@pytest.fixture
def office() -> Office:
    return Office()


# --- what is left of roles ------------------------------------------------------------------------------


@pytest.mark.parametrize("subject", list(SUBJECTS.values()))
def test_what_is_sensitive_is_seen_and_not_done(subject: Subject) -> None:
    left = alone(EVERYTHING, frozenset()).allowed(subject, None)
    expected = Level.HIDDEN if subject in NEVER else Level.VIEW if subject in SENSITIVE else Level.EXECUTE
    assert left is expected


@pytest.mark.parametrize("subject", list(SUBJECTS.values()))
def test_a_grant_by_name_opens_that_and_nothing_else(subject: Subject) -> None:
    closed, open_ = alone(EVERYTHING, frozenset()), alone(EVERYTHING, frozenset({subject}))
    for each in SUBJECTS.values():
        differs = each is subject and subject in UNATTENDED
        assert open_.allowed(each, None) is (Level.EXECUTE if differs else closed.allowed(each, None))


def test_a_grant_gives_nothing_that_no_role_gives() -> None:
    only = Grant(subject=OperationKind.ISSUE, level=Level.EXECUTE, templates=frozenset({"badge"}))
    left = alone(union([Role(name="r", title="R", grants=(only,))]), frozenset(UNATTENDED))
    assert left.allowed(OperationKind.ISSUE, "badge") is Level.EXECUTE
    assert (
        left.allowed(OperationKind.ISSUE, "other") is left.allowed(OperationKind.REVOKE, None) is Level.HIDDEN
    )


def test_no_area_is_ever_done_unattended() -> None:
    assert UNATTENDED.isdisjoint(Area)
    assert {Area.OPERATORS, Area.ROLES, Area.KEYS} == NEVER


# --- calls ----------------------------------------------------------------------------------------------


async def test_it_acts_as_itself_by_its_certificate(office: Office) -> None:
    view = await office.join("Payroll", ["normal"], [OperationKind.ISSUE])
    caller = await office.call(view)
    assert caller.principal is not None
    assert caller.actor == caller.principal.actor == str(view.view.station.station_id)
    allowed = caller.principal.permissions.allowed
    assert allowed(OperationKind.ISSUE, "badge") is allowed(OperationKind.SUSPEND, None) is Level.EXECUTE
    assert allowed(OperationKind.ACTIVATE, "badge") is allowed(OperationKind.REVOKE, None) is Level.VIEW


async def test_roles_grants_and_profiles_count_from_the_next_call_on(office: Office) -> None:
    view = await office.join("Payroll", ["normal"], [OperationKind.ISSUE])
    await office.applications.set_unattended("Payroll", [OperationKind.REVOKE], WHY, ADMIN)
    principal = (await office.call(view)).principal
    assert principal is not None
    assert principal.permissions.anywhere(OperationKind.ISSUE) is Level.VIEW
    assert principal.permissions.anywhere(OperationKind.REVOKE) is Level.EXECUTE
    limits = StationProfile(operations=frozenset({OperationKind.ISSUE}))
    await office.applications.set_profile("Payroll", limits, WHY, ADMIN)
    principal = (await office.call(view)).principal
    assert principal is not None
    assert principal.permissions.anywhere(OperationKind.REVOKE) is Level.HIDDEN
    await office.applications.set_roles("Payroll", [], WHY, ADMIN)
    with pytest.raises(errors.NotAllowed):
        await office.call(view)


async def test_a_role_that_it_loses_counts_in_the_middle_of_an_operation(office: Office) -> None:
    view = await office.join("Payroll", ["normal"], [OperationKind.ISSUE])
    caller = await office.call(view, RUN)
    await office.applications.set_roles("Payroll", ["restricted"], WHY, ADMIN)
    again = await office.world.acting.again(caller)
    assert again.principal is not None
    assert again.principal.permissions.anywhere(OperationKind.ISSUE) is Level.HIDDEN
    await office.operators.deactivate("Payroll", WHY, ADMIN)
    with pytest.raises(errors.NotAllowed):
        await office.world.acting.again(caller)


async def test_one_that_is_blocked_or_not_active_does_nothing(office: Office) -> None:
    view = await office.join("Payroll", ["normal"])
    assert (await office.applications.block("Payroll", WHY, ADMIN)).view.station.state is StationState.BLOCKED
    with pytest.raises(errors.StationBlocked):
        await office.call(view)
    await office.applications.unblock("Payroll", WHY, ADMIN)
    await office.call(view)
    await office.operators.deactivate("Payroll", WHY, ADMIN)
    assert not (await office.applications.all())[0].active
    with pytest.raises(errors.NotAllowed):
        await office.call(view)


async def test_nobody_logs_on_there_and_no_session_counts(office: Office) -> None:
    view = await office.join("Payroll", ["normal"])
    with pytest.raises(errors.SessionEnded):
        await office.call(view, token=bytes(32))
    caller = await office.call(view)
    with pytest.raises(errors.NotAllowed):
        await office.world.sessions.challenge(caller, LogonPurpose.LOG_ON, "localhost")
    for method in (each for each in CALL_RULES if each.startswith("/kiosk.v1.Sessions/StepUp")):
        assert not isinstance(CALL_RULES[method], Needs)


@pytest.mark.parametrize("face", ["desk", "self-service"])
async def test_nobody_stands_in_front_of_it(office: Office, face: str) -> None:
    view = await office.join("Payroll", ["normal"])
    for allowed in ("", "cli", "batch", "another"):
        await office.call(view, face=allowed)
    with pytest.raises(errors.NotAllowed):
        await office.call(view, face=face)


async def test_stations_act_as_before_where_there_are_applications_only(office: Office) -> None:
    await office.join("Payroll", ["system-administrator"])
    assert not await office.world.acting.anybody()


# --- looking after them ---------------------------------------------------------------------------------


async def test_what_was_granted_is_in_the_record_and_in_the_evidence(office: Office) -> None:
    view = await office.join("Payroll", ["normal", "restricted"], [OperationKind.ISSUE, Act.UNBLOCK_CODE])
    assert view.roles == {"normal", "restricted"}
    assert view.unattended == frozenset[Subject]({OperationKind.ISSUE, Act.UNBLOCK_CODE})
    (operator,) = await office.operators.all()
    assert (operator.kind, operator.state) == (OperatorKind.APPLICATION, OperatorState.ACTIVE)
    records = [each.record for each in await office.world.store.audit.page(0, 50)]
    made, joined = records
    assert (made.event, joined.event) == ("join-token-created", "application-joined")
    for each in records:
        assert (each.facts["roles"], each.facts["unattended"]) == ("normal restricted", "issue unblock-code")
    await office.applications.set_unattended("Payroll", [], f" {WHY}\n", ADMIN)
    last = (await office.world.store.audit.page(0, 50))[-1].record
    assert (last.event, last.actor, last.facts["before"], last.facts["after"], last.facts["why"]) == (
        "application-unattended",
        "admin",
        "issue unblock-code",
        "",
        WHY,
    )
    assert (await office.applications.rename("Payroll", "HR", WHY, ADMIN)).view.station.name == "HR"
    assert [each.name for each in await office.operators.all()] == ["HR"]


@pytest.mark.parametrize(
    "wanted",
    [
        Application(roles=frozenset({"no-such-role"})),
        Application(roles=frozenset(), unattended=frozenset({OperationKind.SUSPEND})),
        Application(roles=frozenset(), unattended=frozenset({Area.OPERATORS})),
        Application(roles=frozenset(), unattended=frozenset({Area.STATIONS})),
    ],
)
async def test_what_cannot_be_granted_makes_no_token(office: Office, wanted: Application) -> None:
    with pytest.raises(errors.Invalid):
        await office.applications.invite("Payroll", wanted, lab=False, valid_for=HOUR, by=ADMIN)
    with pytest.raises(errors.Invalid):
        await office.applications.invite(
            "", Application(roles=frozenset()), lab=False, valid_for=HOUR, by=ADMIN
        )
    assert await office.world.store.audit.page(0, 50) == ()


async def test_nobody_gives_an_application_more_than_they_have(office: Office) -> None:
    elevated = Principal(actor="Berg", permissions=union([PRESETS["normal"]]))
    wanted = Application(roles=frozenset({"elevated"}))
    with pytest.raises(errors.NotAllowed, match=MORE_THAN_OWN):
        await office.applications.invite("Payroll", wanted, lab=False, valid_for=HOUR, by=elevated)
    await office.join("Payroll", ["restricted"])
    with pytest.raises(errors.NotAllowed, match=MORE_THAN_OWN):
        await office.applications.set_roles("Payroll", ["elevated"], WHY, elevated)


async def test_nobody_has_done_unattended_what_they_may_not_do(office: Office) -> None:
    """Who manages operators and may not make a code gives no application the right to."""
    manages = Grant(subject=Area.OPERATORS, level=Level.EXECUTE)
    berg = Principal(actor="Berg", permissions=union([Role(name="m", title="M", grants=(manages,))]))
    await office.join("Payroll", ["elevated"], [OperationKind.ISSUE])
    with pytest.raises(errors.NotAllowed, match=MORE_THAN_OWN):
        await office.applications.set_unattended("Payroll", [Act.UNBLOCK_CODE], WHY, berg)
    less = await office.applications.set_unattended("Payroll", [], WHY, berg)
    assert less.unattended == frozenset()
    wanted = Application(roles=frozenset(), unattended=frozenset({OperationKind.ISSUE}))
    with pytest.raises(errors.NotAllowed, match=MORE_THAN_OWN):
        await office.applications.invite("Other", wanted, lab=False, valid_for=HOUR, by=berg)


async def test_to_give_an_application_more_takes_a_second_person_where_roles_do(office: Office) -> None:
    """It asks and carries out in a name of its own: whoever makes one alone would be two people."""
    await office.join("Payroll", ["elevated"])
    store = office.world.store
    await store.operators.add(an_operator(name="Anna"), EVIDENCE)
    office.operators.acts = Acts(store, office.world.clock, ApprovalPolicy(acts=ADMINISTRATIVE))  # type: ignore[misc]  # as the server's settings would
    wanted = Application(roles=frozenset({"elevated"}), unattended=frozenset({OperationKind.ISSUE}))
    for call in (
        lambda: office.applications.invite("Other", wanted, lab=False, valid_for=HOUR, by=ADMIN),
        lambda: office.applications.set_unattended("Payroll", [OperationKind.ISSUE], WHY, ADMIN),
        lambda: office.applications.set_roles("Payroll", ["normal"], WHY, ADMIN),
    ):
        with pytest.raises(errors.ApprovalNeeded) as refused:
            await call()
        assert refused.value.facts["operation"] == Way.SET_ROLES.value
    asked = [read_intent(each.intent) for each in await store.approvals.waiting(office.world.clock.now())]
    assert [each.detail for each in asked] == [
        "a new application Other; unattended: issue",
        "an application; unattended: issue",
        "",
    ]
    nothing = Application(roles=frozenset())
    await office.applications.invite("Nobody", nothing, lab=False, valid_for=HOUR, by=ADMIN)


async def test_stations_and_applications_are_not_taken_for_each_other(office: Office) -> None:
    await office.join("Payroll", ["normal"])
    await office.world.store.stations.add_station(replace(a_station("Desk"), station_id=uuid4()), EVIDENCE)  # type: ignore[arg-type]  # a new type of UUIDs
    assert [each.view.station.name for each in await office.applications.all()] == ["Payroll"]
    assert [each.station.name for each in await office.world.fleet.all()] == ["Desk"]
    with pytest.raises(errors.Invalid):
        await office.applications.block("Desk", WHY, ADMIN)
    with pytest.raises(errors.Invalid):
        await office.world.fleet.block("Payroll", WHY, "admin")


async def test_it_never_manages_operators_whatever_its_roles(office: Office) -> None:
    view = await office.join("Payroll", [SYSTEM_ADMINISTRATOR], UNATTENDED)
    principal = (await office.call(view)).principal
    assert principal is not None
    for area in NEVER:
        assert principal.permissions.allowed(area, None) is Level.HIDDEN
    (operator,) = await office.operators.all()
    whole = principal_of(operator, PRESETS)
    assert whole.permissions.allowed(Area.OPERATORS, None) is Level.EXECUTE  # its role would
