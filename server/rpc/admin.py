"""`Admin`: administration over the Unix socket, both ends of it."""

from collections.abc import Awaitable, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, Final, Self, TypeVar

import grpc.aio

from server.authority.services import (
    AdminService,
    CompromisedStation,
    JobView,
    KeyGeneration,
    Retried,
    ServerStatus,
    StationView,
    TaskView,
    TemplateLine,
    TemplateText,
    WaitingTasks,
)
from server.ports.store import StationRecord
from server.rpc import admin_messages as messages
from server.rpc import work_messages as work
from server.rpc.applications import ApplicationsClient
from server.rpc.approvals import ApprovalsClient
from server.rpc.connections import ConnectionsClient
from server.rpc.interceptors import SESSION, Context
from server.rpc.operators import OperatorsClient
from server.rpc.people import PeopleClient
from shared import errors
from shared.credential.model import RequestId
from shared.proto import admin_pb2 as pb
from shared.proto import admin_pb2_grpc
from shared.proto.convert_facts import MAX_NAME, bounded
from shared.proto.status import from_trailer
from shared.secret import Secret
from shared.station_profile import MAX_DOCUMENT as MAX_PROFILE
from shared.station_profile import StationProfile, from_document, to_document

# ruff: noqa: N802, ARG002  # methods have the form and the names of the service definition

CALL_TIMEOUT_S: Final = 60.0
"""Checking every outside system may take a while."""

R = TypeVar("R")


class AdminServicer(admin_pb2_grpc.AdminServicer):
    """Turn messages into values and back."""

    def __init__(self, service: AdminService) -> None:
        """Ask `service`."""
        self._service = service

    async def CreateStationToken(
        self, request: pb.CreateStationTokenRequest, context: Context
    ) -> pb.CreateStationTokenReply:
        """Make a join token."""
        token = await self._service.create_token(
            bounded(request.name, MAX_NAME, "name"),
            lab=request.lab,
            valid_for=timedelta(seconds=request.valid_seconds),
        )
        return pb.CreateStationTokenReply(token=token)

    async def ListStations(self, request: pb.ListStationsRequest, context: Context) -> pb.ListStationsReply:
        """Return every station."""
        return messages.encode_stations(await self._service.stations())

    async def BlockStation(self, request: pb.StationActRequest, context: Context) -> pb.StationEntry:
        """Block a station at once."""
        return messages.encode_station(await self._service.block_station(*_act(request)))

    async def UnblockStation(self, request: pb.StationActRequest, context: Context) -> pb.StationEntry:
        """Let a blocked station work again."""
        return messages.encode_station(await self._service.unblock_station(*_act(request)))

    async def CompromiseStation(
        self, request: pb.StationActRequest, context: Context
    ) -> pb.CompromisedStation:
        """Block a station for good, and name the cards whose secrets it carried."""
        return messages.encode_compromised(await self._service.compromise_station(*_act(request)))

    async def SetStationProfile(
        self, request: pb.SetStationProfileRequest, context: Context
    ) -> pb.StationEntry:
        """Say what a station may be used for."""
        profile = from_document(bounded(request.profile, MAX_PROFILE, "profile"))
        which, why = _act(request)
        return messages.encode_station(await self._service.set_station_profile(which, profile, why))

    async def RenameStation(self, request: pb.RenameStationRequest, context: Context) -> pb.StationEntry:
        """Call a station by another name."""
        name = bounded(request.name, MAX_NAME, "name")
        which, why = _act(request)
        return messages.encode_station(await self._service.rename_station(which, name, why))

    async def PlanTemplates(self, request: pb.TemplateTexts, context: Context) -> pb.TemplateLines:
        """Say what applying would do."""
        return messages.encode_lines(await self._service.plan_templates(messages.decode_texts(request)))

    async def ApplyTemplates(self, request: pb.TemplateTexts, context: Context) -> pb.TemplateLines:
        """Apply templates."""
        return messages.encode_lines(await self._service.apply_templates(messages.decode_texts(request)))

    async def ServerStatus(self, request: pb.ServerStatusRequest, context: Context) -> pb.ServerStatusReply:
        """Check everything that the server needs."""
        return messages.encode_status(await self._service.status())

    async def ListKeyGenerations(
        self, request: pb.ListKeyGenerationsRequest, context: Context
    ) -> pb.ListKeyGenerationsReply:
        """Return every generation of the master key."""
        found = await self._service.key_generations()
        return pb.ListKeyGenerationsReply(generations=[messages.encode_generation(each) for each in found])

    async def NewKeyGeneration(
        self, request: pb.NewKeyGenerationRequest, context: Context
    ) -> pb.KeyGeneration:
        """Make the next generation of the master key."""
        why = bounded(request.why, messages.MAX_WHY, "why")
        return messages.encode_generation(await self._service.new_key_generation(why))

    async def ListTasks(self, request: pb.ListTasksRequest, context: Context) -> pb.ListTasksReply:
        """Return what certificate authorities still have to do."""
        return work.encode_tasks(await self._service.tasks())

    async def RetryTasks(self, request: pb.RetryTasksRequest, context: Context) -> pb.RetryTasksReply:
        """Have tasks tried now."""
        connection = bounded(request.connection, MAX_NAME, "connection")
        retried = await self._service.retry_tasks(connection, given_up=request.given_up)
        return pb.RetryTasksReply(done=retried.done, failed=retried.failed, left=retried.left)

    async def GiveUpTask(self, request: pb.GiveUpTaskRequest, context: Context) -> pb.CertificateTask:
        """Stop trying a task."""
        request_id = RequestId(messages.decode_id(request.request_id))
        why = bounded(request.why, messages.MAX_WHY, "why")
        return work.encode_task(await self._service.give_up_task(request_id, why))

    async def ListJobs(self, request: pb.ListJobsRequest, context: Context) -> pb.ListJobsReply:
        """Return the server's jobs."""
        return work.encode_jobs(await self._service.jobs())


def _act(
    request: pb.StationActRequest | pb.RenameStationRequest | pb.SetStationProfileRequest,
) -> tuple[str, str]:
    """Return which station is meant, and the reason."""
    which = bounded(request.station, MAX_NAME, "station")
    return which, bounded(request.why, messages.MAX_WHY, "why")


class _Showing(grpc.aio.UnaryUnaryClientInterceptor):
    """Shows the token of a session with every call."""

    def __init__(self, token: Secret) -> None:
        self._token = token

    async def intercept_unary_unary(self, continuation: Any, client_call_details: Any, request: Any) -> Any:
        """Add the token to what goes with a call."""
        shown = grpc.aio.Metadata(*(client_call_details.metadata or ()), (SESSION, self._token.reveal()))
        return await continuation(client_call_details._replace(metadata=shown), request)


class AdminClient:
    """The running server as an `AdminService`, for `kiosk-server` commands.

    Raises everywhere:
        ServerUnreachable: no server listens on this socket, or it is not ours to enter.
    """

    def __init__(self, socket: Path, token: Secret | None = None) -> None:
        """Connect to the server's Unix socket at the first call; `token` is of the session of who asks."""
        self._socket = socket
        self._channel = grpc.aio.insecure_channel(
            f"unix:{socket.absolute()}",
            options=[("grpc.enable_http_proxy", 0)],
            interceptors=[] if token is None else [_Showing(token)],
        )
        self._stub = admin_pb2_grpc.AdminStub(self._channel)
        self.operators: Final = OperatorsClient(self._channel, self._call)
        """Operators and roles."""
        self.applications: Final = ApplicationsClient(self._channel, self._call)
        self.people: Final = PeopleClient(self._channel, self._call)
        """What directories say of people."""
        self.connections: Final = ConnectionsClient(self._channel, self._call)
        """Connections to outside systems."""
        self.approvals: Final = ApprovalsClient(self._channel, self._call)
        """Other systems as callers."""

    async def __aenter__(self) -> Self:
        """Return the client."""
        return self

    async def __aexit__(self, *_: object) -> None:
        """Close the line."""
        await self.close()

    async def close(self) -> None:
        """Close the line."""
        await self._channel.close()

    async def create_token(self, name: str, *, lab: bool, valid_for: timedelta) -> str:
        """Make a join token and return its text."""
        seconds = int(valid_for.total_seconds())
        if not 0 < seconds < 2**32:
            raise errors.Invalid(field="valid_for", why="out of range")
        request = pb.CreateStationTokenRequest(name=name, lab=lab, valid_seconds=seconds)
        return (await self._call(self._stub.CreateStationToken(request, timeout=CALL_TIMEOUT_S))).token

    async def stations(self) -> Sequence[StationView]:
        """Return every station, by name."""
        call = self._stub.ListStations(pb.ListStationsRequest(), timeout=CALL_TIMEOUT_S)
        return messages.decode_stations(await self._call(call))

    async def block_station(self, which: str, why: str) -> StationRecord:
        """Let a station do nothing any more, at once."""
        request = pb.StationActRequest(station=which, why=why)
        return messages.decode_station(
            await self._call(self._stub.BlockStation(request, timeout=CALL_TIMEOUT_S))
        )

    async def unblock_station(self, which: str, why: str) -> StationRecord:
        """Let a blocked station work again."""
        request = pb.StationActRequest(station=which, why=why)
        return messages.decode_station(
            await self._call(self._stub.UnblockStation(request, timeout=CALL_TIMEOUT_S))
        )

    async def compromise_station(self, which: str, why: str) -> CompromisedStation:
        """Block a station for good, and name the cards whose secrets it carried."""
        request = pb.StationActRequest(station=which, why=why)
        return messages.decode_compromised(
            await self._call(self._stub.CompromiseStation(request, timeout=CALL_TIMEOUT_S))
        )

    async def set_station_profile(self, which: str, profile: StationProfile, why: str) -> StationRecord:
        """Say what a station may be used for."""
        request = pb.SetStationProfileRequest(station=which, profile=to_document(profile), why=why)
        return messages.decode_station(
            await self._call(self._stub.SetStationProfile(request, timeout=CALL_TIMEOUT_S))
        )

    async def rename_station(self, which: str, name: str, why: str) -> StationRecord:
        """Call a station by another name."""
        request = pb.RenameStationRequest(station=which, name=name, why=why)
        return messages.decode_station(
            await self._call(self._stub.RenameStation(request, timeout=CALL_TIMEOUT_S))
        )

    async def plan_templates(self, texts: Sequence[TemplateText]) -> Sequence[TemplateLine]:
        """Say what applying these texts would do."""
        call = self._stub.PlanTemplates(messages.encode_texts(texts), timeout=CALL_TIMEOUT_S)
        return messages.decode_lines(await self._call(call))

    async def apply_templates(self, texts: Sequence[TemplateText]) -> Sequence[TemplateLine]:
        """Apply all texts or, where one has problems, none."""
        call = self._stub.ApplyTemplates(messages.encode_texts(texts), timeout=CALL_TIMEOUT_S)
        return messages.decode_lines(await self._call(call))

    async def status(self) -> ServerStatus:
        """Check everything that the server needs."""
        call = self._stub.ServerStatus(pb.ServerStatusRequest(), timeout=CALL_TIMEOUT_S)
        return messages.decode_status(await self._call(call))

    async def key_generations(self) -> Sequence[KeyGeneration]:
        """Return every generation of the master key, the oldest first."""
        call = self._stub.ListKeyGenerations(pb.ListKeyGenerationsRequest(), timeout=CALL_TIMEOUT_S)
        return tuple(messages.decode_generation(each) for each in (await self._call(call)).generations)

    async def new_key_generation(self, why: str) -> KeyGeneration:
        """Make the next generation of the master key and return it."""
        call = self._stub.NewKeyGeneration(pb.NewKeyGenerationRequest(why=why), timeout=CALL_TIMEOUT_S)
        return messages.decode_generation(await self._call(call))

    async def tasks(self) -> WaitingTasks:
        """Return what certificate authorities still have to do, the oldest first."""
        call = self._stub.ListTasks(pb.ListTasksRequest(), timeout=CALL_TIMEOUT_S)
        return work.decode_tasks(await self._call(call))

    async def retry_tasks(self, connection: str, *, given_up: bool) -> Retried:
        """Have tasks tried now: all of them, or those of one connection."""
        request = pb.RetryTasksRequest(connection=connection, given_up=given_up)
        reply = await self._call(self._stub.RetryTasks(request, timeout=CALL_TIMEOUT_S))
        return Retried(done=reply.done, failed=reply.failed, left=reply.left)

    async def give_up_task(self, request_id: RequestId, why: str) -> TaskView:
        """Stop trying a task; it is kept."""
        request = pb.GiveUpTaskRequest(request_id=request_id.bytes, why=why)
        return work.decode_task(await self._call(self._stub.GiveUpTask(request, timeout=CALL_TIMEOUT_S)))

    async def jobs(self) -> Sequence[JobView]:
        """Return the server's jobs, by name."""
        call = self._stub.ListJobs(pb.ListJobsRequest(), timeout=CALL_TIMEOUT_S)
        return work.decode_jobs(await self._call(call))

    async def _call(self, call: Awaitable[R]) -> R:
        try:
            return await call
        except grpc.aio.AioRpcError as error:
            known = from_trailer(error.trailing_metadata())
            if known is not None:
                raise known from error
            if error.code() is grpc.StatusCode.UNAVAILABLE:
                reason = (
                    "it does not run; “kiosk-server serve” starts it"
                    if not self._socket.exists()
                    else "no answer"
                )
                raise errors.ServerUnreachable(server=str(self._socket), reason=reason) from error
            if error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
                raise errors.ServerUnreachable(
                    server=str(self._socket), reason="no answer in time"
                ) from error
            raise errors.UnknownFailure(reported=error.code().name) from error
