"""Operators looked after at a desk: by whom, with what proof, and what evidence says of it."""

import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from uuid import uuid4

import pytest

from kiosk.backend.client import GrpcBackend
from kiosk.backend.operators import GrpcOperators
from server.ports.operators import (
    LogonMethod,
    OperatorRecord,
    OperatorState,
    SessionEnd,
    SessionId,
    SessionRecord,
)
from shared import errors
from shared.secret import Secret
from tests.server.rpc.test_matrix import TOKEN, desk, log_on
from tests.server.rpc.world import World
from tests.server.store.examples import EVIDENCE, a_key, an_operator


@dataclass
class Bench:
    """A station at which an administrator may be logged on, and somebody who is looked after."""

    world: World
    line: GrpcBackend
    colleague: OperatorRecord
    session: SessionRecord

    @property
    def operators(self) -> GrpcOperators:
        return GrpcOperators(self.line)

    @property
    def which(self) -> str:
        return str(self.colleague.operator_id)

    async def prove(self) -> None:
        assert await self.world.store.sessions.step_up(
            self.session.session_id, self.world.clock.now(), EVIDENCE
        )


async def opened(world: World, role: str) -> AsyncIterator[Bench]:
    pair, station = await desk(world)
    session = await log_on(world, station, role)
    colleague = an_operator(a_key(), name="Bob Smith", roles=frozenset({"normal"}))
    await world.store.operators.add(colleague, EVIDENCE)
    line = GrpcBackend(world.identity(pair), world.clock)
    line.token.keep(Secret(TOKEN))
    try:
        yield Bench(world, line, colleague, session)
    finally:
        await line.close()


@pytest.fixture
async def bench(world: World) -> AsyncIterator[Bench]:
    async for made in opened(world, "system-administrator"):
        yield made


async def test_they_are_told_with_where_they_are_logged_on(bench: Bench) -> None:
    found = {each.name: each for each in await bench.operators.all()}
    assert found["Bob Smith"].roles == {"normal"}
    assert found["Bob Smith"].usable_keys == 1
    assert found["Bob Smith"].sessions == ()
    own = next(each for each in found.values() if each.operator_id == bench.session.operator_id)
    assert [(each.method, each.station) for each in own.sessions] == [(LogonMethod.CARD, "Desk")]
    assert "key-recovery" in {each.role.name for each in await bench.operators.roles()}


async def test_a_change_takes_the_pin_again_and_is_done_in_the_operators_name(bench: Bench) -> None:
    for change in (
        bench.operators.deactivate(bench.which, "left"),
        bench.operators.activate(bench.which, "back"),
        bench.operators.set_roles(bench.which, ["restricted"], "less"),
    ):
        with pytest.raises(errors.StepUpNeeded):
            await change
    await bench.prove()
    assert not (await bench.operators.deactivate(bench.which, "left")).active
    stored = await bench.world.store.operators.by_id(bench.colleague.operator_id)
    assert stored is not None
    assert stored.state is OperatorState.INACTIVE
    (evidence,) = [
        each.record
        for each in await bench.world.store.audit.about(bench.which)
        if each.record.event == "operator-deactivated"
    ]
    assert evidence.actor == str(bench.session.operator_id)
    assert evidence.facts["why"] == "left"
    assert (await bench.operators.activate(bench.which, "back")).active
    assert (await bench.operators.set_roles(bench.which, ["restricted"], "less")).roles == {"restricted"}


async def test_nobody_locks_everybody_out_from_a_desk(bench: Bench) -> None:
    await bench.prove()
    with pytest.raises(errors.NotAllowed):
        await bench.operators.deactivate(str(bench.session.operator_id), "myself")


async def test_without_a_reason_nothing_is_done(bench: Bench) -> None:
    await bench.prove()
    with pytest.raises(errors.Invalid):
        await bench.operators.deactivate(bench.which, "")


@pytest.mark.parametrize("role", ["normal", "restricted", "key-recovery"])
async def test_who_has_no_right_to_it_sees_and_changes_nothing(world: World, role: str) -> None:
    async for bench in opened(world, role):
        await bench.prove()
        for asked in (bench.operators.all(), bench.operators.deactivate(bench.which, "to try")):
            with pytest.raises(errors.NotAllowed):
                await asked


async def test_through_an_agent_operators_are_seen_and_not_changed(world: World) -> None:
    async for bench in opened(world, "system-administrator"):
        now = world.clock.now()
        await world.store.sessions.end(bench.session.session_id, SessionEnd.REPLACED, now, EVIDENCE)
        token = bytes(reversed(TOKEN))
        await world.store.sessions.open(_through_agent(bench.session, token), EVIDENCE)
        bench.line.token.keep(Secret(token))
        assert await bench.operators.all()
        with pytest.raises(errors.PresenceNeeded):
            await bench.operators.deactivate(bench.which, "to try")


def _through_agent(session: SessionRecord, token: bytes) -> SessionRecord:
    return replace(
        session,
        session_id=SessionId(uuid4()),
        token_digest=hashlib.sha256(token).digest(),
        method=LogonMethod.AGENT,
    )
