"""`DeskOperators`: operators looked after at a desk, by one who is logged on there.

What is done is what `Operators` does on the server's own machine, in the name of that operator; what changes somebody takes the PIN
again.
"""

from server.authority.acting import needs_of, permit
from server.authority.operator_admin import OperatorAdminService
from server.rpc.interceptors import Context, present_caller
from server.rpc.operators import OperatorsServicer
from shared.proto import operators_pb2 as pb
from shared.proto import operators_pb2_grpc

# ruff: noqa: N802  # methods have the names of the service definition


class DeskOperatorsServicer(operators_pb2_grpc.DeskOperatorsServicer):
    """Judge, then do as for an administrator."""

    def __init__(self, service: OperatorAdminService) -> None:
        """Ask `service`."""
        self._inner = OperatorsServicer(service)

    async def ListOperators(
        self, request: pb.ListOperatorsRequest, context: Context
    ) -> pb.ListOperatorsReply:
        """Return every operator."""
        _permit("ListOperators")
        return await self._inner.ListOperators(request, context)

    async def ActivateOperator(self, request: pb.OperatorActRequest, context: Context) -> pb.Operator:
        """Let an operator log on again."""
        _permit("ActivateOperator")
        return await self._inner.ActivateOperator(request, context)

    async def DeactivateOperator(self, request: pb.OperatorActRequest, context: Context) -> pb.Operator:
        """Let an operator log on no more."""
        _permit("DeactivateOperator")
        return await self._inner.DeactivateOperator(request, context)

    async def SetOperatorRoles(self, request: pb.SetOperatorRolesRequest, context: Context) -> pb.Operator:
        """Give an operator these roles and no others."""
        _permit("SetOperatorRoles")
        return await self._inner.SetOperatorRoles(request, context)

    async def ListRoles(self, request: pb.ListRolesRequest, context: Context) -> pb.ListRolesReply:
        """Return every role."""
        _permit("ListRoles")
        return await self._inner.ListRoles(request, context)


def _permit(name: str) -> None:
    """Refuse who may not do it, or not without the PIN (`acting.permit`)."""
    permit(present_caller(), needs_of(f"/kiosk.v1.DeskOperators/{name}"), None)
