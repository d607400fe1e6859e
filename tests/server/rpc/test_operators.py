"""Operators and roles over the Unix socket, both ends."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import grpc.aio
import pytest

from server.authority.operator_admin import OperatorView
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


@pytest.fixture
async def room(tmp_path: Path) -> AsyncIterator[Room]:
    path, world = tmp_path / "run" / "admin.sock", World()
    for operator in (BERG, OWNER, ROBOT):
        await world.store.operators.add(operator, EVIDENCE)
    endpoint = bind_admin(path, access=world.access)
    await endpoint.serve_admin(Admin(), operators_of(world), applications_of(world))
    async with AdminClient(path) as client:
        yield Room(path=path, world=world, client=client)
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
    with pytest.raises(errors.NotAllowed):
        await room.client.operators.deactivate("Berg", "left")
    with pytest.raises(errors.Invalid):
        await room.client.operators.set_roles("Nobody", ["normal"], "why not")


async def test_messages_that_say_too_much_are_refused(room: Room) -> None:
    grant = sessions_pb2.Grant(subject="issue", level="view", all_templates=True)
    async with grpc.aio.insecure_channel(f"unix:{room.path}") as channel:
        stub = operators_pb2_grpc.OperatorsStub(channel)
        for call in (
            stub.ActivateOperator(pb.OperatorActRequest(operator="x" * 10_000, why="x")),
            stub.ActivateOperator(pb.OperatorActRequest(operator="Berg", why="x" * 10_000)),
            stub.SetOperatorRoles(
                pb.SetOperatorRolesRequest(operator="Berg", roles=["normal"] * (MAX_ROLES + 1), why="x")
            ),
            stub.EditRole(pb.EditRoleRequest(role="normal", grants=[grant] * (MAX_GRANTS + 1), why="x")),
            stub.EditRole(
                pb.EditRoleRequest(
                    role="normal", grants=[sessions_pb2.Grant(subject="fly", level="view")], why="x"
                )
            ),
        ):
            with pytest.raises(grpc.aio.AioRpcError) as refused:
                await call
            assert isinstance(from_trailer(refused.value.trailing_metadata()), errors.Invalid)
