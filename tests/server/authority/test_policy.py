"""Every call and every operation has a rule, and the rules are kept, for every preset."""

import importlib
import pkgutil
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from google.protobuf.descriptor import ServiceDescriptor
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

import shared.proto
from server.authority.access import RULES
from server.authority.policy import (
    CALL_RULES,
    OPERATION_RULES,
    Needs,
    Principal,
    Standing,
    authorise,
    authorise_call,
    principal_of,
    unrestricted,
)
from server.ports.operators import OperatorKind
from shared import errors
from shared.credential.lifecycle import OperationKind
from shared.roles import (
    PRESETS,
    SENSITIVE,
    SUBJECTS,
    SYSTEM_ADMINISTRATOR,
    WITH_TEMPLATE,
    Act,
    Grant,
    Level,
    Role,
    allowed,
    union,
)
from tests.server.store.examples import an_operator

BADGE_DESK = Role(
    name="badge-desk",
    title="Badge desk",
    grants=(
        Grant(subject=OperationKind.ISSUE, level=Level.EXECUTE, templates=frozenset({"badge"})),
        Grant(subject=OperationKind.RENEW, level=Level.EXECUTE),
    ),
)
RUN = "/kiosk.v1.Operations/Run"


def services() -> Iterator[ServiceDescriptor]:
    """Return every service that there is, whoever serves it."""
    names = [each.name for each in pkgutil.iter_modules(shared.proto.__path__) if each.name.endswith("_pb2")]
    modules: list[Any] = [importlib.import_module(f"shared.proto.{name}") for name in names]
    for module in (*modules, health_pb2, reflection_pb2):
        yield from module.DESCRIPTOR.services_by_name.values()


METHODS = {f"/{service.full_name}/{method.name}" for service in services() for method in service.methods}


def who(*roles: Role) -> Principal:
    return Principal(actor="anna", permissions=union(roles))


# --- the tables -----------------------------------------------------------------------------------------


def test_every_call_has_a_rule_and_every_rule_a_call() -> None:
    assert set(CALL_RULES) == METHODS
    assert set(RULES) == METHODS


def test_every_operation_has_a_rule() -> None:
    assert set(OPERATION_RULES) == set(OperationKind)


def test_an_operation_takes_its_own_permission() -> None:
    assert {kind: needs.subject for kind, needs in OPERATION_RULES.items()} == {
        kind: kind for kind in OperationKind
    }
    assert {needs.level for needs in OPERATION_RULES.values()} == {Level.EXECUTE}


def test_every_subject_is_what_some_rule_asks_for() -> None:
    """Granting it means something."""
    asked = {
        rule.subject for rule in (*CALL_RULES.values(), *OPERATION_RULES.values()) if isinstance(rule, Needs)
    }
    assert asked == set(SUBJECTS.values())


def test_what_is_sensitive_is_asked_for_somewhere() -> None:
    asked = {
        rule.subject
        for rule in (*CALL_RULES.values(), *OPERATION_RULES.values())
        if isinstance(rule, Needs) and rule.sensitive
    }
    assert asked == SENSITIVE
    assert not Needs(subject=OperationKind.ISSUE, level=Level.VIEW).sensitive


# --- calls ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("preset", PRESETS)
def test_a_preset_may_call_what_its_levels_say(preset: str) -> None:
    role = PRESETS[preset]
    for method, rule in CALL_RULES.items():
        if isinstance(rule, Needs) and allowed([role], rule.subject, None) < rule.level:
            with pytest.raises(errors.NotAllowed) as refused:
                authorise_call(who(role), method)
            assert refused.value.facts == {"what": rule.subject.value}, method
        elif rule in {Standing.HOLDER, Standing.FIRST_START}:
            with pytest.raises(errors.NotAllowed):
                authorise_call(who(role), method)
        else:
            assert authorise_call(who(role), method) is rule


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("kind", OperationKind)
def test_a_preset_may_begin_what_its_levels_say(preset: str, kind: OperationKind) -> None:
    role = PRESETS[preset]
    if allowed([role], kind, None) is Level.EXECUTE:
        assert authorise_call(who(role), RUN, kind) is OPERATION_RULES[kind]
        authorise(who(role), OPERATION_RULES[kind], "badge")
        authorise(who(role), OPERATION_RULES[kind], None)
    else:
        with pytest.raises(errors.NotAllowed):
            authorise_call(who(role), RUN, kind)
        for template in ("badge", None):
            with pytest.raises(errors.NotAllowed):
                authorise(who(role), OPERATION_RULES[kind], template)


def test_nobody_gets_what_takes_somebody() -> None:
    for method, rule in CALL_RULES.items():
        if rule in {Standing.ANYBODY, Standing.STATION}:
            assert authorise_call(None, method) is rule
        else:
            with pytest.raises(errors.LogonNeeded):
                authorise_call(None, method)
    for kind in OperationKind:
        with pytest.raises(errors.LogonNeeded):
            authorise_call(None, RUN, kind)


def test_a_call_without_rule_is_refused_whoever_asks() -> None:
    for principal in (None, unrestricted("admin")):
        with pytest.raises(errors.NotAllowed):
            authorise_call(principal, "/kiosk.v1.Console/DoAnything")


def test_without_roles_nothing_is_allowed_that_takes_a_permission() -> None:
    for method, rule in CALL_RULES.items():
        if isinstance(rule, Needs):
            with pytest.raises(errors.NotAllowed):
                authorise_call(who(), method)


# --- templates ------------------------------------------------------------------------------------------


def test_a_permission_for_one_template_begins_and_ends_there() -> None:
    desk = who(BADGE_DESK)
    needs = OPERATION_RULES[OperationKind.ISSUE]
    assert authorise_call(desk, RUN, OperationKind.ISSUE) is needs
    assert authorise_call(desk, "/kiosk.v1.Rehearsals/RehearseIssue")
    authorise(desk, needs, "badge")
    for template in ("token", None):
        with pytest.raises(errors.NotAllowed):
            authorise(desk, needs, template)


@pytest.mark.parametrize("subject", sorted(set(SUBJECTS.values()) - WITH_TEMPLATE))
def test_what_has_no_template_takes_a_permission_for_all(subject: Any) -> None:
    """A record from elsewhere that grants it for one template opens nothing."""
    odd = Role(
        name="odd",
        title="Odd",
        grants=(Grant(subject=subject, level=Level.EXECUTE, templates=frozenset({"badge"})),),
    )
    for method, rule in CALL_RULES.items():
        if isinstance(rule, Needs) and rule.subject is subject:
            with pytest.raises(errors.NotAllowed):
                authorise_call(who(odd), method)


# --- who asks -------------------------------------------------------------------------------------------


def test_an_operator_may_do_what_its_roles_may_together() -> None:
    operator = an_operator(roles=frozenset({"badge-desk", "restricted", "gone"}))
    roles = {**PRESETS, "badge-desk": BADGE_DESK}
    principal = principal_of(operator, roles)
    assert principal.actor == str(operator.operator_id)
    assert principal.permissions == union([BADGE_DESK, PRESETS["restricted"]])


def test_a_role_is_what_it_was_edited_to() -> None:
    operator = an_operator(roles=frozenset({"restricted"}))
    edited = {**PRESETS, "restricted": replace(BADGE_DESK, name="restricted")}
    permissions = principal_of(operator, edited).permissions
    assert permissions.allowed(OperationKind.RENEW, None) is Level.EXECUTE
    assert permissions.anywhere(Act.READ_OUT) is Level.HIDDEN


def test_the_system_owner_may_do_everything_whatever_was_edited() -> None:
    owner = an_operator(kind=OperatorKind.SYSTEM_OWNER)
    edited = {SYSTEM_ADMINISTRATOR: replace(BADGE_DESK, name=SYSTEM_ADMINISTRATOR)}
    for roles in (PRESETS, edited, {}):
        permissions = principal_of(owner, roles).permissions
        assert all(permissions.allowed(subject, None) is Level.EXECUTE for subject in SUBJECTS.values())
    assert unrestricted("admin").permissions == principal_of(owner, {}).permissions
