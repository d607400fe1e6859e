"""Who gets through: every kind of peer at every method of every listener."""

import asyncio
import contextlib
import ssl
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import grpc
import grpc.aio
import pytest
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from grpc_health.v1 import health_pb2
from grpc_reflection.v1alpha import reflection_pb2

from server.authority.access import RULES, Access, Listener, Rule
from server.authority.policy import CALL_RULES, Standing
from server.ports.store import AuditKind
from server.rpc.server import bind_admin
from shared import errors
from shared.errors import KioskError
from shared.proto import (
    admin_pb2,
    applications_pb2,
    approvals_pb2,
    connections_pb2,
    console_pb2,
    credentials_pb2,
    first_start_pb2,
    operations_pb2,
    operators_pb2,
    people_pb2,
    rehearsals_pb2,
    self_service_pb2,
    sessions_pb2,
    stations_pb2,
)
from shared.proto.status import from_trailer
from tests.server.rpc import pki
from tests.server.rpc.world import World

SERVICES: tuple[ServiceDescriptor, ...] = tuple(
    service
    for module in (
        *(operations_pb2, console_pb2, credentials_pb2, rehearsals_pb2, sessions_pb2),
        *(stations_pb2, admin_pb2, operators_pb2, applications_pb2),
        *(first_start_pb2, self_service_pb2, approvals_pb2, connections_pb2, people_pb2),
        *(health_pb2, reflection_pb2),
    )
    for service in module.DESCRIPTOR.services_by_name.values()
)
METHODS: dict[str, MethodDescriptor] = {
    f"/{service.full_name}/{method.name}": method for service in SERVICES for method in service.methods
}

PROOF = sessions_pb2.LogonProof(text=b"t", certificate=b"c", signature=b"s")
VALID: dict[str, bytes] = {
    "/kiosk.v1.FirstStart/Begin": first_start_pb2.BeginFirstStartRequest(passcode=b"?").SerializeToString(),
    "/kiosk.v1.Operations/Run": operations_pb2.StationTurn(
        begin=operations_pb2.Begin(operation=operations_pb2.OPERATION_KIND_ISSUE)
    ).SerializeToString(),
    "/kiosk.v1.Console/FindPeople": console_pb2.FindPeopleRequest(text="b", limit=1).SerializeToString(),
    "/kiosk.v1.Credentials/Find": credentials_pb2.FindCredentialsRequest(
        text="b", limit=1
    ).SerializeToString(),
    "/kiosk.v1.Credentials/Decide": credentials_pb2.DecideRequest(
        record_id=bytes(16), operation=operations_pb2.OPERATION_KIND_REVOKE, reason="lost"
    ).SerializeToString(),
    **{
        f"/kiosk.v1.Credentials/{name}": credentials_pb2.HelpRequest(record_id=bytes(16)).SerializeToString()
        for name in ("ReadOut", "MakeUnblockCode")
    },
    "/kiosk.v1.Sessions/Challenge": sessions_pb2.ChallengeRequest(
        purpose=sessions_pb2.LOGON_PURPOSE_LOG_ON, server="localhost"
    ).SerializeToString(),
    "/kiosk.v1.SelfService/Challenge": self_service_pb2.HolderChallengeRequest(
        server="localhost"
    ).SerializeToString(),
    "/kiosk.v1.SelfService/LogOn": self_service_pb2.HolderLogOnRequest(
        password=self_service_pb2.HolderPassword(name="nobody", password=b"wrong")
    ).SerializeToString(),
    "/kiosk.v1.SelfService/BeginDevice": self_service_pb2.HolderDeviceRequest(
        name="nobody"
    ).SerializeToString(),
    **{
        f"/kiosk.v1.SelfService/{name}": self_service_pb2.HolderDeviceQuestion(
            logon_id=bytes(16)
        ).SerializeToString()
        for name in ("AskDevice", "CancelDevice")
    },
    "/kiosk.v1.SelfService/Decide": credentials_pb2.DecideRequest(
        record_id=bytes(16), operation=operations_pb2.OPERATION_KIND_REVOKE, reason="lost"
    ).SerializeToString(),
    "/kiosk.v1.SelfService/RequestApproval": approvals_pb2.RequestApprovalRequest(
        operation="unblock", card=str(UUID(int=1))
    ).SerializeToString(),
    "/kiosk.v1.SelfService/WithdrawApproval": approvals_pb2.WithdrawApprovalRequest(
        request_id=bytes(16)
    ).SerializeToString(),
    "/kiosk.v1.Sessions/LogOn": sessions_pb2.LogOnRequest(proof=PROOF).SerializeToString(),
    "/kiosk.v1.Sessions/StepUp": sessions_pb2.StepUpRequest(proof=PROOF).SerializeToString(),
    "/kiosk.v1.Approvals/RequestApproval": approvals_pb2.RequestApprovalRequest(
        operation="unblock", card=str(UUID(int=1))
    ).SerializeToString(),
    **{
        f"/kiosk.v1.Approvals/{name}": approvals_pb2.ShowApprovalRequest(
            request_id=bytes(16)
        ).SerializeToString()
        for name in ("ShowApproval", "ChallengeApproval", "WithdrawApproval")
    },
    "/kiosk.v1.Approvals/DeclineApproval": approvals_pb2.DeclineApprovalRequest(
        request_id=bytes(16), why="no"
    ).SerializeToString(),
    "/kiosk.v1.Approvals/Approve": approvals_pb2.ApproveRequest(
        request_id=bytes(16), proof=PROOF
    ).SerializeToString(),
    **{
        f"/kiosk.v1.DeskOperators/{name}": operators_pb2.OperatorActRequest(
            operator="nobody", why="to try"
        ).SerializeToString()
        for name in ("ActivateOperator", "DeactivateOperator")
    },
    "/kiosk.v1.DeskOperators/SetOperatorRoles": operators_pb2.SetOperatorRolesRequest(
        operator="nobody", why="to try"
    ).SerializeToString(),
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo": (
        reflection_pb2.ServerReflectionRequest(list_services="").SerializeToString()
    ),
}


REFUSED_IN_THE_END: dict[str, type[KioskError] | tuple[type[KioskError], ...]] = {
    "/kiosk.v1.SelfService/LogOn": errors.HolderLogonRefused,
    "/kiosk.v1.SelfService/BeginDevice": errors.HolderLogonRefused,
    "/kiosk.v1.SelfService/AskDevice": errors.HolderLogonRefused,
    "/kiosk.v1.Sessions/LogOn": errors.LogonRefused,
    "/kiosk.v1.FirstStart/Begin": errors.PasscodeRejected,
    "/kiosk.v1.FirstStart/View": (errors.LogonNeeded, errors.NotAllowed),
    "/kiosk.v1.FirstStart/End": (errors.LogonNeeded, errors.NotAllowed),
    "/kiosk.v1.Sessions/StepUp": errors.LogonNeeded,
    "/kiosk.v1.Sessions/LogOff": errors.LogonNeeded,
    "/kiosk.v1.Sessions/WhoIs": errors.LogonNeeded,
    "/kiosk.v1.Stations/Renew": errors.Invalid,
    "/kiosk.v1.Approvals/RequestApproval": (errors.UnknownCard, errors.NotAllowed),
    **{
        f"/kiosk.v1.Approvals/{name}": (errors.Invalid, errors.NotAllowed)  # there is no such request
        for name in ("ShowApproval", "ChallengeApproval", "Approve", "DeclineApproval", "WithdrawApproval")
    },
    **{
        f"/kiosk.v1.DeskOperators/{name}": (errors.Invalid, errors.NotAllowed)  # there is no such operator
        for name in ("ActivateOperator", "DeactivateOperator", "SetOperatorRoles")
    },
}
"""What a station without an operator may ask, and is told."""


async def knock(channel: Any, name: str) -> KioskError | grpc.StatusCode | None:
    """Call a method with raw bytes; return the error, or the status of a peer that was not let in."""
    method = METHODS[name]

    async def requests() -> AsyncIterator[bytes]:
        yield VALID.get(name, b"")

    try:
        if method.client_streaming:
            async for _ in channel.stream_stream(name)(requests(), timeout=10):
                break
        elif method.server_streaming:
            async for _ in channel.unary_stream(name)(VALID.get(name, b""), timeout=10):
                break
        else:
            await channel.unary_unary(name)(VALID.get(name, b""), timeout=10)
    except grpc.aio.AioRpcError as error:
        if error.details() == "Internal error from Core" and method.client_streaming:
            return await knock(channel, name)  # grpcio was still writing when gRPC itself refused; ask again
        return from_trailer(error.trailing_metadata()) or error.code()
    return None


def test_every_method_has_a_rule_and_every_rule_a_method() -> None:
    assert set(METHODS) == set(RULES)


async def none(_world: World) -> pki.Pair | None:
    return None


async def wrong_root(world: World) -> pki.Pair:
    pair = world.pair(issuer=pki.root("stations"))
    await world.register(pair)
    return pair


async def expired(world: World) -> pki.Pair:
    pair = world.pair(ends=-pki.DAY)
    await world.register(pair)
    return pair


async def unknown(world: World) -> pki.Pair:
    return world.pair()


async def blocked(world: World) -> pki.Pair:
    pair = world.pair()
    await world.register(pair, blocked=True)
    return pair


async def plain(world: World) -> pki.Pair:
    pair = world.pair()
    await world.register(pair, lab=False)
    return pair


async def lab(world: World) -> pki.Pair:
    pair = world.pair()
    await world.register(pair)
    return pair


Peer = Callable[[World], Awaitable[pki.Pair | None]]
SHUT_OUT: dict[Peer, type[KioskError] | None] = {
    none: None,
    wrong_root: None,
    expired: None,
    unknown: errors.StationUnknown,
    blocked: errors.StationBlocked,
}


@pytest.mark.parametrize("peer", SHUT_OUT)
async def test_who_is_no_station_gets_nothing(world: World, peer: Peer) -> None:
    reason = SHUT_OUT[peer]
    async with world.raw(await peer(world)) as channel:
        for name, rule in RULES.items():
            result = await knock(channel, name)
            if reason is None:
                assert result is grpc.StatusCode.UNAVAILABLE, name
            elif rule in {Rule.REGISTERED_STATION, Rule.LAB_STATION}:
                assert isinstance(result, reason), name
            else:
                assert isinstance(result, errors.NotAllowed) or result is grpc.StatusCode.UNIMPLEMENTED, name
    assert not world.engine.callers
    assert not world.console.asked


@pytest.mark.parametrize("peer", [plain, lab])
async def test_a_station_gets_what_its_rule_says(world: World, peer: Peer) -> None:
    async with world.raw(await peer(world)) as channel:
        for name, rule in RULES.items():
            result = await knock(channel, name)
            if name in REFUSED_IN_THE_END:
                assert isinstance(result, REFUSED_IN_THE_END[name]), name
            elif CALL_RULES.get(name) is Standing.HOLDER:  # whoever the station is
                assert isinstance(result, errors.NotAllowed if peer is lab else errors.LogonNeeded), name
            elif rule is Rule.REGISTERED_STATION or (rule is Rule.LAB_STATION and peer is lab):
                assert result is None, name
            elif rule is Rule.ADMINISTRATOR:
                assert result is grpc.StatusCode.UNIMPLEMENTED, name
            else:
                assert isinstance(result, errors.NotAllowed), name
    assert len(world.engine.callers) == (1 if peer is lab else 0)


async def test_the_joining_listener_serves_joining_alone(world: World) -> None:
    await world.start_joining()
    for pair in (None, await lab(world)):
        async with world.raw(pair, world.joining_port) as channel:
            for name, rule in RULES.items():
                result = await knock(channel, name)
                if rule is Rule.JOINING:
                    assert isinstance(result, errors.Garbled), name
                elif name.startswith("/kiosk.v1.Stations/"):
                    assert isinstance(result, errors.NotAllowed), name
                else:
                    assert result is grpc.StatusCode.UNIMPLEMENTED, name


async def test_a_station_that_expires_while_connected_is_shut_out(world: World) -> None:
    async with world.raw(await lab(world)) as channel:
        assert await knock(channel, "/kiosk.v1.Stations/WhoAmI") is None
        world.clock.later = 2 * pki.DAY
        assert isinstance(await knock(channel, "/kiosk.v1.Stations/WhoAmI"), errors.StationExpired)


async def test_a_method_without_rule_is_refused() -> None:
    access = Access(World().store.stations, World().clock, World().acting)
    for listener in Listener:
        with pytest.raises(errors.NotAllowed):
            await access.admit(listener, "/kiosk.v1.Console/DoAnything", b"x" * 32)


async def test_refusals_leave_evidence_once_a_minute(world: World) -> None:
    pair = await blocked(world)
    async with world.raw(pair) as channel:
        for _ in range(3):
            await knock(channel, "/kiosk.v1.Stations/WhoAmI")
        world.clock.later = timedelta(minutes=1)
        await knock(channel, "/kiosk.v1.Console/FindPeople")
    entries = [entry.record for entry in await world.store.audit.page(0, 10)]
    refused = [record for record in entries if record.kind is AuditKind.REFUSED]
    assert [(record.event, record.subject) for record in refused] == [
        ("station-blocked", "/kiosk.v1.Stations/WhoAmI"),
        ("station-blocked", "/kiosk.v1.Console/FindPeople"),
    ]
    assert refused[0].actor == pair.fingerprint.hex()


async def test_strangers_without_certificate_leave_no_evidence(world: World) -> None:
    await world.start_joining()
    async with world.raw(None, world.joining_port) as channel:
        assert isinstance(await knock(channel, "/kiosk.v1.Stations/WhoAmI"), errors.NotAllowed)
    assert not await world.store.audit.page(0, 10)


async def test_noise_on_the_ports_harms_nobody(world: World) -> None:
    await world.start_joining()
    for port in (world.port, world.joining_port):
        for noise in (b"GET / HTTP/1.1\r\n\r\n", bytes(range(256)) * 40, b""):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(noise)
            with contextlib.suppress(OSError):
                await writer.drain()
                writer.write_eof()
                await asyncio.wait_for(reader.read(), 5)
            writer.transport.abort()
            with contextlib.suppress(OSError):
                await writer.wait_closed()
    async with world.raw(await lab(world)) as channel:
        assert await knock(channel, "/kiosk.v1.Stations/WhoAmI") is None


async def speak_tls(port: int, newest: ssl.TLSVersion) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    context.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # old versions are the point
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = newest
    _, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    writer.transport.abort()
    with contextlib.suppress(OSError):
        await writer.wait_closed()


async def test_old_tls_is_refused(world: World) -> None:
    await world.start_joining()
    await speak_tls(world.joining_port, ssl.TLSVersion.TLSv1_2)
    for old in (ssl.TLSVersion.TLSv1_1, ssl.TLSVersion.TLSv1):
        with pytest.raises((ssl.SSLError, ConnectionResetError)):
            await speak_tls(world.joining_port, old)


async def test_bytes_of_strangers_are_not_parsed(world: World) -> None:
    async with world.raw(world.pair()) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await channel.unary_unary("/kiosk.v1.Console/LookUpCard")(b"\xff\xff\xff", timeout=10)
    assert isinstance(from_trailer(caught.value.trailing_metadata()), errors.StationUnknown)


async def test_noise_is_garbled(world: World) -> None:
    async with world.raw(await lab(world)) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await channel.unary_unary("/kiosk.v1.Console/LookUpCard")(b"\xff\xff\xff", timeout=10)
    assert isinstance(from_trailer(caught.value.trailing_metadata()), errors.Garbled)


async def test_an_unexpected_failure_shows_a_number_only(
    world: World, caplog: pytest.LogCaptureFixture
) -> None:
    world.console.failure = RuntimeError("/var/lib/secret")
    async with world.raw(await lab(world)) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await channel.unary_unary("/kiosk.v1.Console/LookUpCard")(b"", timeout=10)
    known = from_trailer(caught.value.trailing_metadata())
    assert isinstance(known, errors.ServerFault)
    assert "secret" not in f"{caught.value} {caught.value.details()}"
    assert str(known.facts["incident"]) in caplog.text
    assert "/var/lib/secret" in caplog.text


async def test_messages_that_are_too_large_are_refused(world: World) -> None:
    async with world.raw(await lab(world)) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await channel.unary_unary("/kiosk.v1.Console/LookUpCard")(bytes(300_000), timeout=10)
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    await world.start_joining()
    async with world.raw(None, world.joining_port) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await channel.unary_unary("/kiosk.v1.Stations/Join")(bytes(5_000), timeout=10)
        assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_a_port_in_use_is_an_error(world: World) -> None:
    with pytest.raises(errors.ConfigInvalid):
        await World.start(world)


async def test_a_folder_that_others_may_enter_gets_no_socket(tmp_path: Path) -> None:
    world = World()
    folder = tmp_path / "open"
    folder.mkdir(mode=0o755)
    with pytest.raises(errors.ConfigInvalid):
        bind_admin(folder / "admin.sock", access=world.access)
    with pytest.raises(errors.ConfigInvalid):
        bind_admin(tmp_path / ("x" * 100) / "admin.sock", access=world.access)
