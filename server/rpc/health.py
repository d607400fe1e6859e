"""The standard health service, for every service of one listener.

Source: grpc.health.v1 (`Check`, `List`, `Watch`); grpcio's asyncio servicer lacks `List`.
"""

from collections.abc import Sequence

from grpc_health.v1 import health, health_pb2

from server.rpc.interceptors import Context

# ruff: noqa: N802, ARG002  # methods have the form and the names of the service definition


class HealthServicer(health.aio.HealthServicer):  # type: ignore[misc]  # no types published
    """Say that services are there, until the server begins to stop."""

    def __init__(self, services: Sequence[str]) -> None:
        """`services` are full names; the empty name, the server as a whole, is always there."""
        super().__init__()
        self._names = ("", *services)

    async def begin(self) -> None:
        """Say that all services are there."""
        for name in self._names:
            await self.set(name, health_pb2.HealthCheckResponse.SERVING)

    async def List(
        self, request: health_pb2.HealthListRequest, context: Context
    ) -> health_pb2.HealthListResponse:
        """Return the state of every service."""
        response = health_pb2.HealthListResponse()
        for name in self._names:
            state = await self.Check(health_pb2.HealthCheckRequest(service=name), context)
            response.statuses[name].CopyFrom(state)
        return response
