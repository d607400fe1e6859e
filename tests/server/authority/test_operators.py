"""Operators and roles, looked after: who may log on, what roles may do, and that somebody is always left."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any
from uuid import uuid4

import pytest

from server.authority.acting import all_roles
from server.authority.operators import NOBODY_LEFT, Operators
from server.authority.policy import MORE_THAN_OWN, Principal, principal_of, unrestricted
from server.ports.operators import (
    LogonMethod,
    OperatorKind,
    OperatorRecord,
    OperatorState,
    SessionEnd,
    SessionId,
    SessionRecord,
)
from server.ports.store import AuditKind, AuditRecord, Store
from server.store.memory import MemoryStore
from shared import errors
from shared.credential.lifecycle import OperationKind
from shared.roles import PRESETS, SYSTEM_ADMINISTRATOR, Area, Grant, Level, union
from tests.server.store.examples import EVIDENCE, NOON, FixedClock, a_key, a_station, an_operator

ADMIN = unrestricted("admin")
WHY = "moved to another desk"
NO_SUSPENDING = Grant(subject=OperationKind.SUSPEND, level=Level.HIDDEN)
NO_MANAGING = Grant(subject=Area.OPERATORS, level=Level.VIEW)


@dataclass(slots=True)
class Office:
    """A record with operators in it."""

    store: Store
    operators: Operators
    clock: FixedClock

    async def hire(self, name: str, *roles: str, keys: int = 1, **changed: Any) -> OperatorRecord:
        operator = an_operator(*(a_key() for _ in range(keys)), name=name, roles=frozenset(roles), **changed)
        await self.store.operators.add(operator, EVIDENCE)
        return operator

    async def acts(self) -> Sequence[AuditRecord]:
        return [each.record for each in await self.store.audit.page(0, 200) if each.record != EVIDENCE]

    async def person(self, name: str) -> Principal:
        (found,) = [each for each in await self.store.operators.all() if each.name == name]
        return principal_of(found, await all_roles(self.store.roles))

    async def grants(self, name: str) -> dict[str, str]:
        (view,) = [each for each in await self.operators.roles() if each.role.name == name]
        return {grant.subject.value: grant.level.word for grant in view.role.grants}


@pytest.fixture
def office() -> Office:
    clock = FixedClock()
    store = MemoryStore(clock)
    return Office(store=store, operators=Operators(store, clock), clock=clock)


# --- operators ------------------------------------------------------------------------------------------


async def test_an_operator_is_deactivated_and_activated_with_evidence(office: Office) -> None:
    await office.hire("Root", SYSTEM_ADMINISTRATOR)
    berg = await office.hire("Berg", "normal", failed_logons=3)
    assert (await office.operators.deactivate("Berg", WHY, ADMIN)).state is OperatorState.INACTIVE
    assert (await office.operators.activate(str(berg.operator_id), f" {WHY}\n", ADMIN)).failed_logons == 0
    assert await office.store.operators.by_id(berg.operator_id) == replace(berg, failed_logons=0)
    subject = str(berg.operator_id)
    assert await office.acts() == [
        AuditRecord(
            kind=AuditKind.OPERATOR,
            event=event,
            actor="admin",
            subject=subject,
            facts={"name": "Berg", "why": WHY},
        )
        for event in ("operator-deactivated", "operator-activated")
    ]


async def test_sessions_end_with_the_operator(office: Office) -> None:
    await office.hire("Root", SYSTEM_ADMINISTRATOR)
    berg, station = await office.hire("Berg", "normal"), a_station()
    await office.store.stations.add_station(station, EVIDENCE)
    session = SessionRecord(
        session_id=SessionId(uuid4()),
        token_digest=b"t" * 32,
        operator_id=berg.operator_id,
        key_digest=berg.keys[0].digest,
        method=LogonMethod.CARD,
        station_id=station.station_id,
        fingerprint=station.fingerprint,
        began_at=NOON,
        last_seen_at=NOON,
        expires_at=NOON,
    )
    await office.store.sessions.open(session, EVIDENCE)
    await office.operators.deactivate("Berg", WHY, ADMIN)
    found = await office.store.sessions.by_digest(b"t" * 32)
    assert found is not None
    assert (found.session.why, found.session.ended_at) == (SessionEnd.OPERATOR, NOON)
    assert [(each.kind, each.event) for each in await office.acts()] == [
        (AuditKind.OPERATOR, "operator-deactivated"),
        (AuditKind.SESSION, "sessions-ended"),
    ]


async def test_roles_are_given_with_evidence(office: Office) -> None:
    await office.hire("Root", SYSTEM_ADMINISTRATOR)
    berg = await office.hire("Berg", "normal", "restricted")
    changed = await office.operators.set_roles("Berg", ["restricted", "elevated"], WHY, ADMIN)
    assert changed.roles == {"restricted", "elevated"}
    assert await office.store.operators.by_id(berg.operator_id) == changed
    (act,) = await office.acts()
    assert (act.event, act.subject) == ("operator-roles", str(berg.operator_id))
    assert act.facts == {
        "name": "Berg",
        "before": "normal restricted",
        "after": "elevated restricted",
        "why": WHY,
    }


async def test_who_is_meant_has_to_be_clear(office: Office) -> None:
    first = await office.hire("Berg", SYSTEM_ADMINISTRATOR)
    await office.hire("Berg", SYSTEM_ADMINISTRATOR)
    for which in ("Berg", "Adler", str(uuid4())):
        with pytest.raises(errors.Invalid) as refused:
            await office.operators.deactivate(which, WHY, ADMIN)
        assert refused.value.facts["field"] == "operator"
    await office.operators.deactivate(str(first.operator_id), WHY, ADMIN)


@pytest.mark.parametrize("why", ["", "  \n", "x" * 401])
async def test_every_change_says_why(office: Office, why: str) -> None:
    await office.hire("Berg", SYSTEM_ADMINISTRATOR)
    for change in (
        office.operators.activate("Berg", why, ADMIN),
        office.operators.deactivate("Berg", why, ADMIN),
        office.operators.set_roles("Berg", ["normal"], why, ADMIN),
        office.operators.clone("normal", "desk", "Desk", why, ADMIN),
        office.operators.edit("normal", [NO_SUSPENDING], "", why, ADMIN),
        office.operators.reset("normal", why, ADMIN),
        office.operators.delete("desk", why, ADMIN),
    ):
        with pytest.raises(errors.Invalid) as refused:
            await change
        assert refused.value.facts["field"] == "why"
    assert await office.acts() == []


async def test_the_system_owners_roles_do_not_change(office: Office) -> None:
    await office.hire("System Owner", kind=OperatorKind.SYSTEM_OWNER)
    with pytest.raises(errors.Invalid):
        await office.operators.set_roles("System Owner", ["normal"], WHY, ADMIN)


async def test_a_role_that_there_is_not_is_given_to_nobody(office: Office) -> None:
    await office.hire("Berg", SYSTEM_ADMINISTRATOR)
    with pytest.raises(errors.Invalid) as refused:
        await office.operators.set_roles("Berg", [SYSTEM_ADMINISTRATOR, "desk"], WHY, ADMIN)
    assert "no role desk; there are system-administrator, elevated" in str(refused.value.facts["why"])


# --- somebody is left -----------------------------------------------------------------------------------


async def nobody_left(change: Any) -> None:
    with pytest.raises(errors.NotAllowed) as refused:
        await change
    assert refused.value.facts == {"what": NOBODY_LEFT}


@pytest.mark.parametrize(
    "other",
    [
        {"roles": ("elevated",)},
        {"roles": (SYSTEM_ADMINISTRATOR,), "keys": 0},
        {"roles": (SYSTEM_ADMINISTRATOR,), "state": OperatorState.INACTIVE},
        {"roles": (SYSTEM_ADMINISTRATOR,), "kind": OperatorKind.APPLICATION},
    ],
)
async def test_the_last_who_manages_operators_stays(office: Office, other: dict[str, Any]) -> None:
    """Who may not, cannot log on, or is no person, is no other one."""
    await office.hire("Root", SYSTEM_ADMINISTRATOR, "normal")
    roles = other.pop("roles")
    await office.hire("Other", *roles, **other)
    await nobody_left(office.operators.deactivate("Root", WHY, ADMIN))
    await nobody_left(office.operators.set_roles("Root", ["normal"], WHY, ADMIN))
    assert await office.acts() == []
    await office.operators.set_roles("Root", [SYSTEM_ADMINISTRATOR], WHY, ADMIN)


@pytest.mark.parametrize("kind", [OperatorKind.OPERATOR, OperatorKind.SYSTEM_OWNER])
async def test_where_another_one_is_left_one_may_go(office: Office, kind: OperatorKind) -> None:
    await office.hire("Root", SYSTEM_ADMINISTRATOR)
    await office.hire("Other", *([SYSTEM_ADMINISTRATOR] if kind is OperatorKind.OPERATOR else []), kind=kind)
    await office.operators.deactivate("Root", WHY, ADMIN)
    await nobody_left(office.operators.deactivate("Other", WHY, ADMIN))


async def test_two_who_are_deactivated_at_once_are_not_both_gone(office: Office) -> None:
    for name in ("Root", "Other"):
        await office.hire(name, SYSTEM_ADMINISTRATOR)
    came = await asyncio.gather(
        *(office.operators.deactivate(name, WHY, ADMIN) for name in ("Root", "Other")),
        return_exceptions=True,
    )
    assert [isinstance(each, errors.NotAllowed) for each in came] == [False, True]


async def test_where_nobody_manages_operators_nothing_is_held_up(office: Office) -> None:
    await office.hire("Berg", "normal")
    await office.operators.deactivate("Berg", WHY, ADMIN)


async def test_a_role_that_somebody_manages_operators_by_keeps_that(office: Office) -> None:
    await office.operators.clone(SYSTEM_ADMINISTRATOR, "chief", "Chief", WHY, ADMIN)
    await office.hire("Root", "chief")
    await nobody_left(office.operators.edit("chief", [NO_MANAGING], "", WHY, ADMIN))
    await office.operators.edit("elevated", [replace(NO_MANAGING, level=Level.EXECUTE)], "", WHY, ADMIN)
    await office.operators.set_roles("Root", ["elevated"], WHY, ADMIN)
    await nobody_left(office.operators.reset("elevated", WHY, ADMIN))


# --- roles ----------------------------------------------------------------------------------------------


async def test_the_presets_are_there_from_the_start(office: Office) -> None:
    views = await office.operators.roles()
    assert [view.role for view in views] == list(PRESETS.values())
    assert not any(view.edited or view.operators for view in views)


async def test_a_clone_is_made_changed_given_and_removed(office: Office) -> None:
    await office.hire("Root", SYSTEM_ADMINISTRATOR)
    await office.hire("Berg")
    made = await office.operators.clone("normal", "desk", "Desk", WHY, ADMIN)
    assert (made.role.grants, made.role.preset, made.edited) == (PRESETS["normal"].grants, False, False)
    issue = Grant(subject=OperationKind.ISSUE, level=Level.EXECUTE, templates=frozenset({"badge"}))
    changed = await office.operators.edit("desk", [issue, NO_SUSPENDING], "Front desk", WHY, ADMIN)
    may = union([changed.role])
    assert changed.role.title == "Front desk"
    assert may.allowed(OperationKind.ISSUE, "badge") is Level.EXECUTE
    assert may.anywhere(OperationKind.SUSPEND) is may.allowed(OperationKind.ISSUE, "token") is Level.HIDDEN
    await office.operators.set_roles("Berg", ["desk"], WHY, ADMIN)
    with pytest.raises(errors.Invalid) as refused:
        await office.operators.delete("desk", WHY, ADMIN)
    assert refused.value.facts["why"] == "operators have it: 1"
    assert [view.operators for view in await office.operators.roles()] == [1, 0, 0, 0, 0, 1]
    await office.operators.set_roles("Berg", [], WHY, ADMIN)
    await office.operators.delete("desk", WHY, ADMIN)
    assert len(await office.operators.roles()) == len(PRESETS)
    acts = {act.event: act.facts for act in await office.acts() if act.kind is AuditKind.ROLE}
    assert acts["role-made"] == {"from": "normal", "title": "Desk", "why": WHY}
    assert acts["role-edited"] == {
        "changed": "-issue=execute -suspend=execute +issue=execute:badge title Front desk",
        "why": WHY,
    }
    assert list(acts) == ["role-made", "role-edited", "role-deleted"]


async def test_a_preset_is_edited_and_reset(office: Office) -> None:
    for grant in (NO_SUSPENDING, Grant(subject=OperationKind.DELETE, level=Level.EXECUTE)):
        view = await office.operators.edit("normal", [grant], "", WHY, ADMIN)
        assert (view.edited, view.role.preset, view.role.title) == (True, True, "Normal")
    assert (await office.grants("normal"))["delete"] == "execute"
    assert "suspend" not in await office.grants("normal")
    view = await office.operators.reset("normal", WHY, ADMIN)
    assert (view.role, view.edited) == (PRESETS["normal"], False)
    assert [act.event for act in await office.acts()] == ["role-edited", "role-edited", "role-reset"]
    assert (await office.acts())[-1].facts["changed"] == "-delete=execute +delete=view +suspend=execute"


async def test_what_cannot_be_done_to_a_role_is_refused(office: Office) -> None:
    await office.operators.clone("normal", "desk", "Desk", WHY, ADMIN)
    for change in (
        office.operators.clone("none", "other", "Other", WHY, ADMIN),
        office.operators.clone("normal", "desk", "Desk", WHY, ADMIN),
        office.operators.clone("normal", "elevated", "Elevated", WHY, ADMIN),
        office.operators.clone("normal", "No Name", "Desk", WHY, ADMIN),
        office.operators.edit("none", [NO_SUSPENDING], "", WHY, ADMIN),
        office.operators.edit(SYSTEM_ADMINISTRATOR, [NO_SUSPENDING], "", WHY, ADMIN),
        office.operators.reset("none", WHY, ADMIN),
        office.operators.reset("desk", WHY, ADMIN),
        office.operators.reset("normal", WHY, ADMIN),
        office.operators.delete("none", WHY, ADMIN),
        office.operators.delete("normal", WHY, ADMIN),
    ):
        with pytest.raises(errors.Invalid):
            await change
    assert len(await office.acts()) == 1


# --- nobody gives what they do not have -----------------------------------------------------------------


async def too_much(change: Any) -> None:
    with pytest.raises(errors.NotAllowed) as refused:
        await change
    assert refused.value.facts == {"what": MORE_THAN_OWN}


async def test_nobody_gives_what_they_may_not_do(office: Office) -> None:
    await office.hire("Root", SYSTEM_ADMINISTRATOR)
    await office.operators.clone("restricted", "lead", "Team lead", WHY, ADMIN)
    managing = [Grant(subject=area, level=Level.EXECUTE) for area in (Area.OPERATORS, Area.ROLES)]
    await office.operators.edit("lead", managing, "", WHY, ADMIN)
    await office.operators.edit(
        "key-recovery", [Grant(subject=Area.KEYS, level=Level.EXECUTE)], "", WHY, ADMIN
    )
    await office.hire("Lead", "lead")
    await office.hire("Berg", "normal", state=OperatorState.INACTIVE)
    before = len(await office.acts())
    lead = await office.person("Lead")
    for role in ("normal", SYSTEM_ADMINISTRATOR):
        await too_much(office.operators.set_roles("Lead", ["lead", role], WHY, lead))
        await too_much(office.operators.clone(role, "mine", "Mine", WHY, lead))
    await too_much(office.operators.edit("lead", [replace(NO_SUSPENDING, level=Level.VIEW)], "", WHY, lead))
    await too_much(office.operators.reset("key-recovery", WHY, lead))
    await too_much(office.operators.activate("Berg", WHY, lead))
    assert len(await office.acts()) == before
    await office.operators.set_roles(
        "Berg", ["normal", "restricted"], WHY, lead
    )  # what is there already stays
    await office.operators.edit("normal", [NO_SUSPENDING], "", WHY, lead)
    assert {act.actor for act in (await office.acts())[before:]} == {lead.actor}
