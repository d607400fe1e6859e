"""What a holder's session is good for at the server's door, and what it is not: over TLS, with real sessions."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from typing import Any

import grpc
import grpc.aio
import pytest

from server.authority.access import RULES, Rule
from server.authority.policy import CALL_RULES, FOR_HOLDERS_TOO, Standing
from server.ports.store import StationRecord, StationState
from shared import errors
from shared.console import CardHints
from shared.errors import KioskError
from shared.proto import self_service_pb2 as pb
from shared.proto import self_service_pb2_grpc
from shared.proto.convert_console import encode_hints
from shared.proto.convert_self_service import encode_given
from shared.proto.status import from_trailer
from shared.secret import Secret
from shared.self_service import PasswordGiven
from shared.station_profile import Face, StationProfile
from tests.server.rpc import pki
from tests.server.rpc.holders import ANNA, OWN, PASSWORD
from tests.server.rpc.test_gate import METHODS, VALID
from tests.server.rpc.world import World
from tests.server.store.examples import EVIDENCE

HOLDER, OPERATOR = "kiosk-holder-bin", "kiosk-session-bin"
LOG_OFF = "/kiosk.v1.SelfService/LogOff"
CALLS = sorted(
    (name for name, rule in RULES.items() if rule in {Rule.REGISTERED_STATION, Rule.LAB_STATION}),
    key=lambda name: name == LOG_OFF,  # the last call of a session
)
REFUSALS = (errors.NotAllowed, errors.LogonNeeded, errors.SessionEnded)


async def knock(
    channel: Any, name: str, *tokens: tuple[str, bytes], message: bytes | None = None
) -> KioskError | grpc.StatusCode | None:
    """Make a call with these tokens; return what it was refused with."""
    method, said = METHODS[name], VALID.get(name, b"") if message is None else message

    async def requests() -> AsyncIterator[bytes]:
        yield said

    try:
        if method.client_streaming:
            async for _ in channel.stream_stream(name)(requests(), timeout=10, metadata=tokens):
                break
        elif method.server_streaming:
            async for _ in channel.unary_stream(name)(said, timeout=10, metadata=tokens):
                break
        else:
            await channel.unary_unary(name)(said, timeout=10, metadata=tokens)
    except grpc.aio.AioRpcError as error:
        if error.details() == "Internal error from Core" and method.client_streaming:
            return await knock(channel, name, *tokens, message=message)  # grpcio was still writing; ask again
        return from_trailer(error.trailing_metadata()) or error.code()
    return None


async def place(world: World, profile: StationProfile | None = None) -> tuple[pki.Pair, StationRecord]:
    pair = world.pair()
    station = await world.register(pair, lab=False)
    if profile is not None:
        await world.store.stations.set_profile(station.station_id, profile, EVIDENCE)
        station = replace(station, profile=profile)
    return pair, station


async def log_on(channel: Any, password: str = PASSWORD, name: str = "aberg") -> bytes:
    given = PasswordGiven(name=name, password=Secret.from_text(password))
    try:
        reply: pb.HolderLogOnReply = await self_service_pb2_grpc.SelfServiceStub(channel).LogOn(
            encode_given(given), timeout=10
        )
    except grpc.aio.AioRpcError as error:
        raise from_trailer(error.trailing_metadata()) or error from error
    return reply.token


async def test_a_holder_calls_what_is_for_holders_and_nothing_of_operators(world: World) -> None:
    pair, _ = await place(world)
    async with world.raw(pair) as channel:
        token = (HOLDER, await log_on(channel))
        for name in CALLS:
            rule, came = CALL_RULES[name], await knock(channel, name, token)
            if rule in {Standing.STATION, Standing.HOLDER} or name in FOR_HOLDERS_TOO:
                assert not isinstance(came, REFUSALS), (name, came)
            else:
                assert isinstance(came, errors.NotAllowed), (name, came)
        assert isinstance(await knock(channel, LOG_OFF, token), errors.SessionEnded)


async def test_a_token_of_one_kind_is_none_of_the_other(world: World) -> None:
    pair, _ = await place(world)
    async with world.raw(pair) as channel:
        token = await log_on(channel)
        for name in CALLS:
            for tokens in ([(OPERATOR, token)], [(OPERATOR, token), (HOLDER, token)]):
                assert isinstance(await knock(channel, name, *tokens), errors.SessionEnded), name
        assert not world.engine.callers
        assert not isinstance(await knock(channel, "/kiosk.v1.SelfService/WhoIs", (HOLDER, token)), REFUSALS)


async def test_a_session_counts_at_its_station_alone_and_its_theft_is_noted(world: World) -> None:
    pair, _ = await place(world)
    async with world.raw(pair) as channel:
        token = await log_on(channel)
    other, _ = await place(world)
    async with world.raw(other) as channel:
        for name in CALLS:
            assert isinstance(await knock(channel, name, (HOLDER, token)), errors.SessionEnded), name
    assert not world.engine.callers
    events = [entry.record.event for entry in await world.store.audit.page(0, 200)]
    assert "token-elsewhere" in events
    async with world.raw(pair) as channel:
        assert not isinstance(await knock(channel, "/kiosk.v1.SelfService/WhoIs", (HOLDER, token)), REFUSALS)


@pytest.mark.parametrize("ends", ["idle", "longest", "blocked", "altered", "unknown"])
async def test_a_session_that_ended_is_nobodys(world: World, ends: str) -> None:
    pair, station = await place(world)
    async with world.raw(pair) as channel:
        token = await log_on(channel)
        wanted: type[KioskError] = errors.SessionEnded
        if ends == "idle":
            world.clock.later += world.holders.limits.idle
        elif ends == "longest":
            for _ in range(8):
                world.clock.later += timedelta(minutes=2)
                came = await knock(channel, "/kiosk.v1.SelfService/WhoIs", (HOLDER, token))
        elif ends == "blocked":
            await world.store.stations.set_state(station.station_id, StationState.BLOCKED, EVIDENCE)
            wanted = errors.StationBlocked
        else:
            token = bytes([token[0] ^ 1, *token[1:]]) if ends == "altered" else bytes(32)
        for name in CALLS:
            came = await knock(channel, name, (HOLDER, token))
            assert isinstance(came, wanted), (name, came)


async def test_a_station_for_operators_lets_no_holder_in(world: World) -> None:
    pair, station = await place(world, StationProfile(faces=frozenset({Face.DESK})))
    async with world.raw(pair) as channel:
        with pytest.raises(errors.NotAllowed):
            await log_on(channel)
        challenge = "/kiosk.v1.SelfService/Challenge"
        assert isinstance(await knock(channel, challenge), errors.NotAllowed)
        assert world.passwords.tried == 0
        await world.store.stations.set_profile(station.station_id, StationProfile(), EVIDENCE)
        token = await log_on(channel)
        await world.store.stations.set_profile(station.station_id, station.profile, EVIDENCE)
        for name in CALLS:  # nor one who was in before
            assert isinstance(await knock(channel, name, (HOLDER, token)), errors.NotAllowed), name


async def test_a_station_for_holders_alone_lets_them_work(world: World) -> None:
    pair, _ = await place(world, StationProfile(faces=frozenset({Face.SELF_SERVICE})))
    async with world.raw(pair) as channel:
        token = await log_on(channel)
        came = await knock(channel, "/kiosk.v1.Operations/Run", (HOLDER, token))
        assert not isinstance(came, REFUSALS), came
        assert world.engine.callers[-1].holder is not None
        assert world.engine.callers[-1].actor == f"holder {ANNA.holder}"


async def test_passwords_are_not_tried_for_ever(world: World) -> None:
    pair, _ = await place(world)
    limits = world.holders.limits
    async with world.raw(pair) as channel:
        for _ in range(limits.tries):
            with pytest.raises(errors.HolderLogonRefused):
                await log_on(channel, "wrong")
        with pytest.raises(errors.TooManyAttempts) as refused:
            await log_on(channel)  # the right one comes too late
        assert refused.value.facts["seconds"] == limits.within.total_seconds()
        assert world.passwords.tried == limits.tries
    other, _ = await place(world)
    async with world.raw(other) as channel:
        with pytest.raises(errors.TooManyAttempts):
            await log_on(channel)
        world.clock.later += limits.within
        await log_on(channel)
    failed = [
        entry.record
        for entry in await world.store.audit.page(0, 200)
        if entry.record.event == "holder-log-on-failed"
    ]
    assert len(failed) == limits.tries
    assert all("wrong" not in repr(each) for each in failed)


async def test_what_is_asked_of_somebody_elses_is_not_theirs(world: World) -> None:
    pair, _ = await place(world)
    async with world.raw(pair) as channel:
        token = (HOLDER, await log_on(channel))
        look_up, decide = "/kiosk.v1.SelfService/LookUpCard", "/kiosk.v1.SelfService/Decide"
        assert isinstance(await knock(channel, look_up, token), errors.NotYours)
        assert isinstance(await knock(channel, decide, token), errors.NotYours)
        own = encode_hints(CardHints(profile="yubikey-5.7", serial=1, guid=OWN, virtual=True))
        assert await knock(channel, look_up, token, message=own.SerializeToString()) is None
