"""`Connections`: connections to outside systems over the Unix socket, both ends of it."""

from collections.abc import Awaitable, Mapping, Sequence
from typing import Final, Protocol, TypeVar

import grpc.aio

from server.authority.connection_views import ConnectionsService, ConnectionView
from server.ports.connection import Finding, Value
from server.rpc import connection_messages as messages
from server.rpc.interceptors import Context
from shared.proto import connections_pb2 as pb
from shared.proto import connections_pb2_grpc
from shared.proto.convert_facts import MAX_NAME, bounded

# ruff: noqa: N802, ARG002  # methods have the form and the names of the service definition

CALL_TIMEOUT_S: Final = 15.0
TEST_TIMEOUT_S: Final = 75.0
"""Longer than the server lets a test take."""

R = TypeVar("R")


class ConnectionsServicer(connections_pb2_grpc.ConnectionsServicer):
    """Turn messages into values and back."""

    def __init__(self, service: ConnectionsService) -> None:
        """Ask `service`."""
        self._service = service

    async def ListConnections(
        self, request: pb.ListConnectionsRequest, context: Context
    ) -> pb.ListConnectionsReply:
        """Return every connection."""
        found = await self._service.all()
        return pb.ListConnectionsReply(connections=[messages.encode_connection(each) for each in found])

    async def AddConnection(self, request: pb.AddConnectionRequest, context: Context) -> pb.Connection:
        """Add a connection."""
        name, kind = _name(request.name), bounded(request.kind, MAX_NAME, "kind")
        made = await self._service.add(name, kind, messages.decode_values(request.values))
        return messages.encode_connection(made)

    async def EditConnection(self, request: pb.EditConnectionRequest, context: Context) -> pb.Connection:
        """Change a connection."""
        unset = [bounded(each, MAX_NAME, "unset") for each in request.unset]
        values = messages.decode_values(request.values)
        return messages.encode_connection(await self._service.edit(_name(request.name), values, unset))

    async def RemoveConnection(
        self, request: pb.RemoveConnectionRequest, context: Context
    ) -> pb.RemoveConnectionReply:
        """Forget a connection."""
        await self._service.remove(_name(request.name))
        return pb.RemoveConnectionReply()

    async def TestConnection(
        self, request: pb.TestConnectionRequest, context: Context
    ) -> pb.TestConnectionReply:
        """Try a connection."""
        found = await self._service.test(_name(request.name))
        return pb.TestConnectionReply(findings=[messages.encode_finding(each) for each in found])


def _name(text: str) -> str:
    return bounded(text, MAX_NAME, "name")


class _Caller(Protocol):
    """Wait for an answer; `AdminClient` has it."""

    def __call__(self, answer: Awaitable[R], /) -> Awaitable[R]:
        """Raise our errors."""
        ...


class ConnectionsClient:
    """The running server as a `ConnectionsService`, for `kiosk-server` commands."""

    def __init__(self, channel: grpc.aio.Channel, call: _Caller) -> None:
        """Ask over `channel`; `call` waits for an answer and raises our errors."""
        self._stub = connections_pb2_grpc.ConnectionsStub(channel)
        self._call = call

    async def all(self) -> Sequence[ConnectionView]:
        """Return every connection, by port and name."""
        call = self._stub.ListConnections(pb.ListConnectionsRequest(), timeout=CALL_TIMEOUT_S)
        return tuple(messages.decode_connection(each) for each in (await self._call(call)).connections)

    async def add(self, name: str, kind: str, values: Mapping[str, Value]) -> ConnectionView:
        """Add a connection."""
        request = pb.AddConnectionRequest(name=name, kind=kind, values=messages.encode_values(values))
        call = self._stub.AddConnection(request, timeout=CALL_TIMEOUT_S)
        return messages.decode_connection(await self._call(call))

    async def edit(self, name: str, values: Mapping[str, Value], unset: Sequence[str]) -> ConnectionView:
        """Change a connection."""
        request = pb.EditConnectionRequest(name=name, values=messages.encode_values(values), unset=unset)
        call = self._stub.EditConnection(request, timeout=CALL_TIMEOUT_S)
        return messages.decode_connection(await self._call(call))

    async def remove(self, name: str) -> None:
        """Forget a connection."""
        await self._call(
            self._stub.RemoveConnection(pb.RemoveConnectionRequest(name=name), timeout=CALL_TIMEOUT_S)
        )

    async def test(self, name: str) -> Sequence[Finding]:
        """Try a connection."""
        call = self._stub.TestConnection(pb.TestConnectionRequest(name=name), timeout=TEST_TIMEOUT_S)
        return tuple(messages.decode_finding(each) for each in (await self._call(call)).findings)
