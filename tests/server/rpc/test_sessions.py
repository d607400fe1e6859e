"""Sessions over the wire: who gets through once there is an operator, and what a token is worth elsewhere."""

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast

import grpc
import grpc.aio
import pytest

from kiosk.backend.client import GrpcBackend
from kiosk.backend.identity import StationIdentity
from server.authority.access import RULES, Rule
from server.ports.store import AuditKind, OperatorState, StationState
from server.rpc.server import bind_admin
from shared import errors
from shared.clock import SystemClock
from shared.credential.lifecycle import OperationKind
from shared.credential.model import State
from shared.logon import LogonPurpose
from shared.proto.status import from_trailer
from shared.secret import Secret
from shared.sessions import SessionView
from tests.server.authority.logons import Clerk, Person
from tests.server.rpc.test_gate import knock
from tests.server.rpc.world import RECORD_ID, World, applications_of, operators_of, running
from tests.server.store.examples import EVIDENCE, with_template


@dataclass
class Town:
    """A server with an operator, and stations that call it."""

    world: World
    anna: Person
    clerk: Clerk
    lines: list[GrpcBackend] = field(default_factory=list)

    def line(self, identity: StationIdentity) -> GrpcBackend:
        self.lines.append(GrpcBackend(identity, SystemClock()))
        return self.lines[-1]

    async def station(self, *, lab: bool = True) -> GrpcBackend:
        pair = self.world.pair()
        await self.world.register(pair, lab=lab)
        return self.line(self.world.identity(pair))

    async def logged_on(self, *, lab: bool = True) -> GrpcBackend:
        line = await self.station(lab=lab)
        await self.log_on(line)
        return line

    async def log_on(self, line: GrpcBackend) -> None:
        await line.log_on(self.anna.prove(await line.challenge(LogonPurpose.LOG_ON)))


def now() -> datetime:
    return datetime.now(UTC)


@pytest.fixture
async def town() -> AsyncIterator[Town]:
    async with running() as world:
        await with_template(world.store)
        anna = Person(until=now() + timedelta(days=1))
        made = Town(world, anna, await Clerk.hired(world.store, anna, "normal"))
        yield made
        for line in made.lines:
            await line.close()


# --- with and without -----------------------------------------------------------------------------------


@pytest.mark.parametrize("lab", [True, False])
async def test_as_soon_as_there_is_an_operator_nobody_acts_without(town: Town, lab: bool) -> None:  # noqa: FBT001  # a parameter of the test
    pair = town.world.pair()
    await town.world.register(pair, lab=lab)
    async with town.world.raw(pair) as channel:
        for name, rule in RULES.items():
            if rule is Rule.LAB_STATION and name != "/kiosk.v1.Operations/Run":
                assert isinstance(await knock(channel, name), errors.LogonNeeded), name
    assert town.world.console.asked == []
    assert town.world.credentials.decided == []


@pytest.mark.parametrize("lab", [True, False])
async def test_with_a_session_a_station_acts_as_its_operator(town: Town, lab: bool) -> None:  # noqa: FBT001  # a parameter of the test
    line = await town.logged_on(lab=lab)
    assert (await line.find_people("b", 5)).people
    asked = town.world.console.asked[0]
    assert isinstance(asked, tuple)
    assert asked[0].actor == str(town.clerk.operator.operator_id)
    session = await line.who_is()
    assert (session.name, [role.name for role in session.roles]) == ("Anna Berg", ["normal"])
    assert session.stepped_up_until is not None


async def test_a_role_says_what_a_session_may(town: Town) -> None:
    line = await town.logged_on()
    await town.world.store.operators.set_roles(town.clerk.operator.operator_id, {"key-recovery"}, EVIDENCE)
    await line.find_people("b", 5)
    with pytest.raises(errors.NotAllowed):
        await line.make_unblock_code(RECORD_ID)
    await town.world.store.operators.set_roles(town.clerk.operator.operator_id, (), EVIDENCE)
    with pytest.raises(errors.NotAllowed):
        await line.find_people("b", 5)
    assert (await line.who_is()).name == "Anna Berg"
    entries = [each.record for each in await town.world.store.audit.page(0, 100)]
    (refused,) = [each for each in entries if each.kind is AuditKind.REFUSED]
    assert refused.subject == "/kiosk.v1.Credentials/MakeUnblockCode"
    assert refused.actor == str(town.clerk.operator.operator_id), "not the certificate's: hers"
    assert refused.facts.keys() == {"certificate"}


async def test_without_an_operator_all_is_as_before() -> None:
    async with running() as world:
        line = GrpcBackend(await world.lab_station(), SystemClock())
        assert (await line.find_people("b", 5)).people
        with pytest.raises(errors.LogonNeeded):
            await line.who_is()
        with pytest.raises(errors.LogonNeeded):
            await line.log_off()
        await line.close()


# --- a token where it does not count --------------------------------------------------------------------


async def refused_for_good(line: GrpcBackend) -> None:
    """The token is refused, forgotten by the station, and from then on nobody is logged on."""
    with pytest.raises(errors.SessionEnded):
        await line.who_am_i()  # which takes no session, and yet does not ignore one
    assert line.token.value is None
    with pytest.raises(errors.LogonNeeded):
        await line.find_people("b", 5)


async def test_a_token_is_worth_nothing_at_another_station(town: Town) -> None:
    line, thief = await town.logged_on(), await town.station()
    assert line.token.value is not None
    thief.token.keep(Secret(line.token.value.reveal()))
    await refused_for_good(thief)
    assert (await line.who_is()).name == "Anna Berg"


async def test_a_token_is_worth_nothing_after_log_off(town: Town) -> None:
    line = await town.logged_on()
    assert line.token.value is not None
    kept = Secret(line.token.value.reveal())
    await line.log_off()
    assert line.token.value is None
    line.token.keep(kept)
    await refused_for_good(line)


@pytest.mark.parametrize("state", [State.SUSPENDED, State.REVOKED])
async def test_a_token_is_worth_nothing_after_its_credential(town: Town, state: State) -> None:
    line = await town.logged_on()
    await town.clerk.set_credential(state)
    await refused_for_good(line)
    with pytest.raises(errors.LogonRefused):
        await town.log_on(line)


async def test_a_token_is_worth_nothing_after_its_operator(town: Town) -> None:
    line = await town.logged_on()
    store = town.world.store.operators
    await store.set_state(town.clerk.operator.operator_id, OperatorState.INACTIVE, EVIDENCE)
    await refused_for_good(line)


async def test_a_blocked_station_has_no_session(town: Town) -> None:
    pair = town.world.pair()
    record = await town.world.register(pair)
    line = town.line(town.world.identity(pair))
    await town.log_on(line)
    await town.world.store.stations.set_state(record.station_id, StationState.BLOCKED, EVIDENCE)
    with pytest.raises(errors.StationBlocked):
        await line.who_is()


@pytest.mark.parametrize("how", ["block", "compromised"])
async def test_a_session_does_not_come_back_with_its_station(town: Town, how: str) -> None:
    pair = town.world.pair()
    record = await town.world.register(pair)
    line = town.line(town.world.identity(pair))
    await town.log_on(line)
    assert len(await town.world.store.sessions.live()) == 1
    fleet = town.world.fleet
    await (fleet.block if how == "block" else fleet.compromised)(str(record.station_id), "stolen", "test")
    assert await town.world.store.sessions.live() == ()
    if how == "block":
        await fleet.unblock(str(record.station_id), "found", "test")
        with pytest.raises(errors.SessionEnded):
            await line.who_is()


async def test_two_tokens_are_none(town: Town) -> None:
    line = await town.logged_on()
    assert line.token.value is not None
    token = line.token.value.reveal()
    from shared.proto import stations_pb2

    twice = (("kiosk-session-bin", token), ("kiosk-session-bin", token))
    call = line._stations.WhoAmI(stations_pb2.WhoAmIRequest(), metadata=twice, timeout=5)
    with pytest.raises(errors.SessionEnded):
        await line._call(call)


async def test_a_token_shows_nowhere(town: Town, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(1)
    line = await town.logged_on()
    assert line.token.value is not None
    token = line.token.value.reveal()
    await line.find_people("b", 5)
    await line.log_off()
    entries = [dataclasses.asdict(entry.record) for entry in await town.world.store.audit.page(0, 100)]
    said = repr(entries) + caplog.text + repr(line.token)
    for form in (repr(token), token.hex(), repr(Secret(token).reveal())):
        assert form not in said


# --- proofs where they do not count ---------------------------------------------------------------------


async def test_a_challenge_is_answered_at_its_own_station_once(town: Town) -> None:
    line, other = await town.station(), await town.station()
    proof = town.anna.prove(await line.challenge(LogonPurpose.LOG_ON))
    with pytest.raises(errors.LogonRefused):
        await other.log_on(proof)
    with pytest.raises(errors.LogonRefused):
        await line.log_on(proof)
    proof = town.anna.prove(await line.challenge(LogonPurpose.LOG_ON))
    await line.log_on(proof)
    await line.log_off()
    with pytest.raises(errors.LogonRefused):
        await line.log_on(proof)


async def test_the_pin_again_keeps_the_session(town: Town) -> None:
    line = await town.logged_on()
    town.world.clock.later = timedelta(minutes=6)
    assert (await line.who_is()).stepped_up_until is None
    await line.step_up(town.anna.prove(await line.challenge(LogonPurpose.STEP_UP)))
    assert (await line.who_is()).stepped_up_until is not None


async def test_a_station_that_never_heard_of_it_is_told_to_log_on(town: Town) -> None:
    line = await town.station()
    with pytest.raises(errors.LogonNeeded):
        await line.decide(RECORD_ID, OperationKind.REVOKE, "lost")
    with pytest.raises(errors.LogonNeeded):
        await line.challenge(LogonPurpose.STEP_UP)


async def test_of_the_same_proof_twice_at_once_one_counts(town: Town) -> None:
    line = await town.station()
    proof = town.anna.prove(await line.challenge(LogonPurpose.LOG_ON))
    came = await asyncio.gather(*(line.log_on(proof) for _ in range(5)), return_exceptions=True)
    assert all(isinstance(each, SessionView | errors.LogonRefused | errors.TooManyAttempts) for each in came)
    assert sum(isinstance(each, SessionView) for each in came) == 1


@pytest.mark.parametrize("at", [0, 40, -1])
async def test_a_proof_altered_in_one_bit_is_refused(town: Town, at: int) -> None:
    line = await town.station()
    for name in ("text", "certificate", "signature"):
        proof = town.anna.prove(await line.challenge(LogonPurpose.LOG_ON))
        altered = bytearray(getattr(proof, name))
        altered[at] ^= 1
        with pytest.raises(errors.LogonRefused):
            await line.log_on(dataclasses.replace(proof, **{name: bytes(altered)}))
        town.world.clock.later += timedelta(minutes=2)  # whoever fails waits
    assert line.token.value is None


async def test_a_token_opens_no_joining_and_what_its_roles_allow_on_the_socket(
    town: Town, tmp_path: Path
) -> None:
    line = await town.logged_on()
    assert line.token.value is not None
    token = (("kiosk-session-bin", line.token.value.reveal()),)
    await town.world.start_joining()
    endpoint = bind_admin(tmp_path / "admin" / "admin.sock", access=town.world.access)
    await endpoint.serve_admin(cast("Any", None), operators_of(town.world), applications_of(town.world))
    try:
        async with grpc.aio.insecure_channel(f"unix:{tmp_path}/admin/admin.sock") as channel:
            refused = await told(channel, "/kiosk.v1.Operators/ActivateOperator", token)
            assert isinstance(refused, errors.NotAllowed)
            wrong = (("kiosk-session-bin", bytes(32)),)
            assert isinstance(
                await told(channel, "/kiosk.v1.Operators/ListOperators", wrong), errors.SessionEnded
            )
        async with town.world.raw(None, town.world.joining_port) as channel:
            assert isinstance(await told(channel, "/kiosk.v1.Stations/Join", token), errors.SessionEnded)
    finally:
        await endpoint.stop(0.1)


async def told(channel: Any, name: str, token: tuple[tuple[str, bytes], ...]) -> errors.KioskError | None:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await channel.unary_unary(name)(b"", metadata=token, timeout=5)
    return from_trailer(caught.value.trailing_metadata())
