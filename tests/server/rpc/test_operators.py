"""Operators and roles over the Unix socket, both ends."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import grpc.aio
import pytest

from server.authority.access import RULES, Rule
from server.authority.administrator import SWITCHING_OFF, needs_operator
from server.authority.operator_admin import OperatorView
from server.authority.policy import CALL_RULES, Needs
from server.ports.operators import OperatorKind, OperatorState
from server.rpc.admin import AdminClient
from server.rpc.operator_messages import MAX_GRANTS, MAX_ROLES
from server.rpc.server import bind_admin
from shared import errors
from shared.credential.lifecycle import OperationKind
from shared.proto import operators_pb2 as pb
from shared.proto import operators_pb2_grpc, sessions_pb2
from shared.proto.status import from_trailer
from shared.roles import PRESETS, SYSTEM_ADMINISTRATOR, Grant, Level
from shared.secret import Secret
from tests.logged_on import log_on
from tests.server.rpc.test_admin import Admin
from tests.server.rpc.world import World, applications_of, operators_of
from tests.server.store.examples import EVIDENCE, NOON, a_key, an_operator

LATER = NOON + timedelta(hours=1)
BERG = an_operator(
    a_key(),
    a_key(active=False),
    name="Berg",
    roles=frozenset({"normal", SYSTEM_ADMINISTRATOR}),
    last_logon_at=NOON,
    failed_logons=2,
    locked_until=LATER,
)
OWNER = an_operator(a_key(), name="System Owner", kind=OperatorKind.SYSTEM_OWNER)
ROBOT = an_operator(name="Robot", kind=OperatorKind.APPLICATION, state=OperatorState.INACTIVE)


@dataclass(slots=True)
class Room:
    """A server with its socket, and operators on record."""

    path: Path
    world: World
    client: AdminClient
    token: Secret
    """Of the System Owner's session."""


@pytest.fixture
async def room(tmp_path: Path) -> AsyncIterator[Room]:
    path, world = tmp_path / "run" / "admin.sock", World()
    for operator in (BERG, OWNER, ROBOT):
        await world.store.operators.add(operator, EVIDENCE)
    endpoint = bind_admin(path, access=world.access)
    await endpoint.serve_admin(Admin(), operators_of(world), applications_of(world))
    token = await log_on(world.store, world.clock, OWNER)
    async with AdminClient(path, token) as client:
        yield Room(path=path, world=world, client=client, token=token)
    await endpoint.stop(0)


async def test_both_ends_agree_about_operators(room: Room) -> None:
    berg, robot, owner = await room.client.operators.all()
    assert berg == OperatorView(
        operator_id=BERG.operator_id,
        name="Berg",
        kind=OperatorKind.OPERATOR,
        active=True,
        roles=BERG.roles,
        keys=2,
        usable_keys=1,
        registered_at=NOON,
        last_logon_at=NOON,
        failed_logons=2,
        locked_until=LATER,
    )
    assert (robot.kind, robot.active, robot.last_logon_at) == (OperatorKind.APPLICATION, False, None)
    assert owner.kind is OperatorKind.SYSTEM_OWNER
    off = await room.client.operators.deactivate("Berg", "left")
    assert (off.name, off.active) == ("Berg", False)
    on = await room.client.operators.activate(str(BERG.operator_id), "came back")
    assert (on.active, on.failed_logons, on.locked_until) == (True, 0, None)
    assert (await room.client.operators.set_roles("Berg", ["elevated"], "less")).roles == {"elevated"}
    assert (await room.client.operators.set_roles("Berg", [], "nothing")).roles == frozenset()


async def test_both_ends_agree_about_roles(room: Room) -> None:
    assert [view.role for view in await room.client.operators.roles()] == list(PRESETS.values())
    made = await room.client.operators.clone("normal", "desk", "Desk", "a new desk")
    grants = (
        Grant(subject=OperationKind.ISSUE, level=Level.EXECUTE, templates=frozenset({"badge", "token"})),
        Grant(subject=OperationKind.SUSPEND, level=Level.HIDDEN),
    )
    changed = await room.client.operators.edit("desk", grants, "", "badges only")
    assert grants[0] in changed.role.grants
    assert len(changed.role.grants) == len(made.role.grants) - 1
    assert (await room.client.operators.edit("normal", grants[1:], "", "no")).edited
    assert (await room.client.operators.reset("normal", "yes")).role == PRESETS["normal"]
    await room.client.operators.delete("desk", "closed")
    assert len(await room.client.operators.roles()) == len(PRESETS)


async def test_what_is_refused_says_why_at_the_other_end(room: Room) -> None:
    await room.client.operators.deactivate("System Owner", "in the safe")
    with pytest.raises(errors.SessionEnded):  # it was the System Owner's own
        await room.client.operators.deactivate("Berg", "left")
    async with AdminClient(room.path, await log_on(room.world.store, room.world.clock, BERG)) as client:
        with pytest.raises(errors.NotAllowed):
            await client.operators.deactivate("Berg", "left")
        with pytest.raises(errors.Invalid):
            await client.operators.set_roles("Nobody", ["normal"], "why not")


async def test_without_a_session_there_is_no_more_than_to_look_and_to_switch_off(room: Room) -> None:
    async with AdminClient(room.path) as client:
        assert len(await client.operators.all()) == 3
        assert await client.operators.roles()
        for change in (
            client.operators.activate("Berg", "to try"),
            client.operators.deactivate("Berg", "to try"),
            client.operators.set_roles("Robot", ["normal"], "to try"),
            client.operators.clone("normal", "more", "More", "to try"),
            client.new_key_generation("to try"),
            client.create_token("Desk", lab=True, valid_for=timedelta(hours=1)),
            client.unblock_station("Desk", "to try"),
        ):
            with pytest.raises(errors.LogonNeeded):
                await change
    for method, rule in RULES.items():
        if rule is Rule.ADMINISTRATOR:
            wanted = CALL_RULES[method]
            assert isinstance(wanted, Needs), method
            open_to_all = wanted.level is Level.VIEW or method in SWITCHING_OFF
            assert needs_operator(method) is not open_to_all, method


async def test_a_session_without_the_role_is_refused_there_too(room: Room) -> None:
    plain = an_operator(a_key(), name="Plain", roles=frozenset({"normal"}))
    await room.world.store.operators.add(plain, EVIDENCE)
    async with AdminClient(room.path, await log_on(room.world.store, room.world.clock, plain)) as client:
        for change in (
            client.operators.activate("Berg", "to try"),
            client.operators.all(),
            client.new_key_generation("to try"),
        ):
            with pytest.raises(errors.NotAllowed):
                await change


async def test_what_is_done_is_done_in_the_operators_name_and_asks_for_the_pin_again(room: Room) -> None:
    await room.client.operators.activate("Berg", "came back")
    entry = (await room.world.store.audit.page(1, 100))[-1]
    assert (entry.record.event, entry.record.actor) == ("operator-activated", str(OWNER.operator_id))
    room.world.clock.later += timedelta(minutes=6)
    with pytest.raises(errors.StepUpNeeded):
        await room.client.operators.activate("Berg", "came back")
    assert await room.client.operators.all()


async def test_messages_that_say_too_much_are_refused(room: Room) -> None:
    grant = sessions_pb2.Grant(subject="issue", level="view", all_templates=True)
    shown = (("kiosk-session-bin", room.token.reveal()),)
    async with grpc.aio.insecure_channel(f"unix:{room.path}") as channel:
        stub = operators_pb2_grpc.OperatorsStub(channel)
        calls: tuple[tuple[Any, Any], ...] = (
            (stub.ActivateOperator, pb.OperatorActRequest(operator="x" * 10_000, why="x")),
            (stub.ActivateOperator, pb.OperatorActRequest(operator="Berg", why="x" * 10_000)),
            (
                stub.SetOperatorRoles,
                pb.SetOperatorRolesRequest(operator="Berg", roles=["normal"] * (MAX_ROLES + 1), why="x"),
            ),
            (stub.EditRole, pb.EditRoleRequest(role="normal", grants=[grant] * (MAX_GRANTS + 1), why="x")),
            (
                stub.EditRole,
                pb.EditRoleRequest(
                    role="normal", grants=[sessions_pb2.Grant(subject="fly", level="view")], why="x"
                ),
            ),
        )
        for method, request in calls:
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await method(request, metadata=shown)
            assert isinstance(from_trailer(refused.value.trailing_metadata()), errors.Invalid)
