"""Every call over the wire, with every preset and with every token that does not count: what docs/roles.md says, happens."""

import hashlib
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any
from uuid import uuid4

import grpc
import grpc.aio
import pytest

from server.authority.access import RULES, Rule
from server.authority.policy import CALL_RULES, Needs, Standing
from server.ports.operators import (
    LogonMethod,
    OperatorKind,
    OperatorState,
    SessionEnd,
    SessionId,
    SessionRecord,
)
from server.ports.store import StationRecord
from shared import errors
from shared.errors import KioskError
from shared.proto.status import from_trailer
from shared.roles import PRESETS, allowed
from tests.server.rpc import pki
from tests.server.rpc.test_gate import METHODS, VALID
from tests.server.rpc.world import World
from tests.server.store.examples import EVIDENCE, a_key, an_operator

TOKEN = bytes(range(32))
LOG_OFF = "/kiosk.v1.Sessions/LogOff"
CALLS = sorted(
    (name for name, rule in RULES.items() if rule in {Rule.REGISTERED_STATION, Rule.LAB_STATION}),
    key=lambda name: name == LOG_OFF,  # the last call of a session
)
REFUSALS = (errors.NotAllowed, errors.LogonNeeded, errors.SessionEnded)


async def knock(channel: Any, name: str, token: bytes | None) -> KioskError | grpc.StatusCode | None:
    """Make a call as whoever has this token; return what it was refused with."""
    metadata = () if token is None else (("kiosk-session-bin", token),)
    method = METHODS[name]

    async def requests() -> AsyncIterator[bytes]:
        yield VALID.get(name, b"")

    try:
        if method.client_streaming:
            async for _ in channel.stream_stream(name)(requests(), timeout=10, metadata=metadata):
                break
        elif method.server_streaming:
            async for _ in channel.unary_stream(name)(VALID.get(name, b""), timeout=10, metadata=metadata):
                break
        else:
            await channel.unary_unary(name)(VALID.get(name, b""), timeout=10, metadata=metadata)
    except grpc.aio.AioRpcError as error:
        if error.details() == "Internal error from Core" and method.client_streaming:
            return await knock(channel, name, token)  # grpcio was still writing; ask again
        return from_trailer(error.trailing_metadata()) or error.code()
    return None


async def desk(world: World, *, lab: bool = False) -> tuple[pki.Pair, StationRecord]:
    pair = world.pair()
    return pair, await world.register(pair, lab=lab)


async def log_on(world: World, station: StationRecord, *roles: str, **changed: Any) -> SessionRecord:
    """Put an operator with these roles on record, and a session of the operator's at this station."""
    operator = an_operator(a_key(), roles=frozenset(roles), **changed)
    await world.store.operators.add(operator, EVIDENCE)
    now = world.clock.now()
    session = SessionRecord(
        session_id=SessionId(uuid4()),
        token_digest=hashlib.sha256(TOKEN).digest(),
        operator_id=operator.operator_id,
        key_digest=operator.keys[0].digest,
        method=LogonMethod.CARD,
        station_id=station.station_id,
        fingerprint=station.fingerprint,
        began_at=now,
        last_seen_at=now,
        expires_at=now + timedelta(hours=12),
    )
    await world.store.sessions.open(session, EVIDENCE)
    return session


# --- presets --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("preset", [*PRESETS, None])
async def test_a_session_may_call_what_its_role_may(world: World, preset: str | None) -> None:
    pair, station = await desk(world)
    await log_on(world, station, *([preset] if preset else []))
    roles = [PRESETS[preset]] if preset else []
    async with world.raw(pair) as channel:
        for name in CALLS:
            rule, came = CALL_RULES[name], await knock(channel, name, TOKEN)
            if isinstance(rule, Needs) and allowed(roles, rule.subject, None) < rule.level:
                assert isinstance(came, errors.NotAllowed), name
                assert came.facts == {"what": rule.subject.value}
            elif rule in {Standing.HOLDER, Standing.FIRST_START}:  # an operator is neither
                assert isinstance(came, errors.NotAllowed), name
            else:
                assert not isinstance(came, REFUSALS), (name, came)
        assert isinstance(await knock(channel, LOG_OFF, TOKEN), errors.SessionEnded)


async def test_the_system_owner_may_call_everything(world: World) -> None:
    pair, station = await desk(world)
    await log_on(world, station, kind=OperatorKind.SYSTEM_OWNER)
    async with world.raw(pair) as channel:
        for name in CALLS:
            of_others = CALL_RULES[name] in {Standing.HOLDER, Standing.FIRST_START}
            assert isinstance(await knock(channel, name, TOKEN), REFUSALS) is of_others, name


# --- no session, or one that does not count -------------------------------------------------------------


@pytest.mark.parametrize("lab", [True, False])
async def test_once_there_is_an_operator_nobody_acts_without_a_session(world: World, lab: bool) -> None:  # noqa: FBT001  # a parameter
    pair, station = await desk(world, lab=lab)
    await log_on(world, station, "system-administrator")
    async with world.raw(pair) as channel:
        for name in CALLS:
            came = await knock(channel, name, None)
            if CALL_RULES[name] is Standing.STATION:
                assert not isinstance(came, REFUSALS), name
            else:
                assert isinstance(came, errors.LogonNeeded), name


async def refused_everywhere(world: World, pair: pki.Pair, token: bytes = TOKEN) -> None:
    async with world.raw(pair) as channel:
        for name in CALLS:
            assert isinstance(await knock(channel, name, token), errors.SessionEnded), name
    assert not world.engine.callers
    assert not world.console.asked


@pytest.mark.parametrize("token", [b"", b"\x00" * 32, TOKEN[:-1], TOKEN + b"\x00"])
async def test_a_token_of_nobody_is_refused_and_never_ignored(world: World, token: bytes) -> None:
    pair, station = await desk(world, lab=True)
    await log_on(world, station, "system-administrator")
    await refused_everywhere(world, pair, token)


async def test_a_token_is_good_at_its_station_alone(world: World) -> None:
    _, station = await desk(world)
    await log_on(world, station, "system-administrator")
    elsewhere, _ = await desk(world, lab=True)
    await refused_everywhere(world, elsewhere)


async def test_a_session_ends_with_its_time(world: World) -> None:
    pair, station = await desk(world)
    await log_on(world, station, "system-administrator")
    world.clock.later = timedelta(minutes=10, seconds=1)
    await refused_everywhere(world, pair)


@pytest.mark.parametrize("how", ["ended", "operator", "key"])
async def test_a_session_ends_at_once_with_what_it_hangs_on(world: World, how: str) -> None:
    pair, station = await desk(world)
    session = await log_on(world, station, "system-administrator")
    async with world.raw(pair) as channel:
        assert await knock(channel, "/kiosk.v1.Sessions/WhoIs", TOKEN) is None
    match how:
        case "ended":
            now = world.clock.now()
            await world.store.sessions.end(session.session_id, SessionEnd.CARD_REMOVED, now, EVIDENCE)
        case "operator":
            inactive = OperatorState.INACTIVE
            await world.store.operators.set_state(session.operator_id, inactive, EVIDENCE)
        case _:
            await world.store.operators.set_key(session.key_digest, EVIDENCE, active=False)
    await refused_everywhere(world, pair)


async def test_a_role_that_is_taken_away_is_gone_with_the_next_call(world: World) -> None:
    pair, station = await desk(world)
    session = await log_on(world, station, "restricted")
    find = "/kiosk.v1.Console/FindPeople"
    async with world.raw(pair) as channel:
        assert await knock(channel, find, TOKEN) is None
        await world.store.operators.set_roles(session.operator_id, [], EVIDENCE)
        assert isinstance(await knock(channel, find, TOKEN), errors.NotAllowed)


async def test_a_blocked_station_gets_nothing_with_any_session(world: World) -> None:
    pair = world.pair()
    station = await world.register(pair, blocked=True)
    await log_on(world, station, "system-administrator")
    async with world.raw(pair) as channel:
        for name in CALLS:
            assert isinstance(await knock(channel, name, TOKEN), errors.StationBlocked), name


async def test_a_station_that_expires_gets_nothing_with_a_session_that_goes_on(world: World) -> None:
    pair = world.pair(ends=timedelta(minutes=5))
    await log_on(world, await world.register(pair), "system-administrator")
    async with world.raw(pair) as channel:
        assert await knock(channel, "/kiosk.v1.Sessions/WhoIs", TOKEN) is None
        world.clock.later = timedelta(minutes=6)
        for name in CALLS:
            assert isinstance(await knock(channel, name, TOKEN), errors.StationExpired), name
    assert not world.engine.callers
    assert not world.console.asked


async def test_a_token_without_a_station_is_worth_nothing(world: World) -> None:
    _, station = await desk(world)
    await log_on(world, station, "system-administrator")
    for pair in (None, world.pair(issuer=pki.root("stations")), world.pair(ends=-pki.DAY)):
        async with world.raw(pair) as channel:
            for name in CALLS:
                assert await knock(channel, name, TOKEN) is grpc.StatusCode.UNAVAILABLE, name
    async with world.raw(world.pair()) as channel:
        for name in CALLS:
            assert isinstance(await knock(channel, name, TOKEN), errors.StationUnknown), name
    assert not world.engine.callers
    assert not world.console.asked
