"""`Operators`: operators and roles looked after over the Unix socket, both ends of it."""

from collections.abc import Awaitable, Collection, Sequence
from typing import Final, Protocol, TypeVar

import grpc.aio

from server.authority.operator_admin import OperatorAdminService, OperatorView
from server.authority.operators import RoleView
from server.rpc import operator_messages as messages
from server.rpc.admin_messages import MAX_WHY
from server.rpc.interceptors import Context
from shared.proto import operators_pb2 as pb
from shared.proto import operators_pb2_grpc
from shared.proto.convert_facts import MAX_NAME, bounded
from shared.proto.convert_sessions import encode_grant
from shared.roles import Grant

# ruff: noqa: N802, ARG002  # methods have the form and the names of the service definition

CALL_TIMEOUT_S: Final = 15.0

R = TypeVar("R")


class OperatorsServicer(operators_pb2_grpc.OperatorsServicer):
    """Turn messages into values and back."""

    def __init__(self, service: OperatorAdminService) -> None:
        """Ask `service`."""
        self._service = service

    async def ListOperators(
        self, request: pb.ListOperatorsRequest, context: Context
    ) -> pb.ListOperatorsReply:
        """Return every operator."""
        found = await self._service.all()
        return pb.ListOperatorsReply(operators=[messages.encode_operator(each) for each in found])

    async def ActivateOperator(self, request: pb.OperatorActRequest, context: Context) -> pb.Operator:
        """Let an operator log on again."""
        return messages.encode_operator(await self._service.activate(_which(request.operator), _why(request)))

    async def DeactivateOperator(self, request: pb.OperatorActRequest, context: Context) -> pb.Operator:
        """Let an operator log on no more."""
        which = _which(request.operator)
        return messages.encode_operator(await self._service.deactivate(which, _why(request)))

    async def SetOperatorRoles(self, request: pb.SetOperatorRolesRequest, context: Context) -> pb.Operator:
        """Give an operator these roles and no others."""
        which, roles = _which(request.operator), messages.decode_names(request.roles)
        return messages.encode_operator(await self._service.set_roles(which, roles, _why(request)))

    async def ListRoles(self, request: pb.ListRolesRequest, context: Context) -> pb.ListRolesReply:
        """Return every role."""
        found = await self._service.roles()
        return pb.ListRolesReply(roles=[messages.encode_role(each) for each in found])

    async def CloneRole(self, request: pb.CloneRoleRequest, context: Context) -> pb.Role:
        """Make a role that may do what another one may."""
        role, name = _role(request.role), bounded(request.name, MAX_NAME, "name")
        title = bounded(request.title, MAX_NAME, "title")
        return messages.encode_role(await self._service.clone(role, name, title, _why(request)))

    async def EditRole(self, request: pb.EditRoleRequest, context: Context) -> pb.Role:
        """Change what a role may do."""
        role, grants = _role(request.role), messages.decode_grants(request)
        title = bounded(request.title, MAX_NAME, "title")
        return messages.encode_role(await self._service.edit(role, grants, title, _why(request)))

    async def ResetRole(self, request: pb.RoleActRequest, context: Context) -> pb.Role:
        """Make a preset what it is in the program again."""
        return messages.encode_role(await self._service.reset(_role(request.role), _why(request)))

    async def DeleteRole(self, request: pb.RoleActRequest, context: Context) -> pb.DeleteRoleReply:
        """Remove a role that was made here."""
        await self._service.delete(_role(request.role), _why(request))
        return pb.DeleteRoleReply()


class _Caller(Protocol):
    """Wait for a call, and raise what the server meant."""

    def __call__(self, call: Awaitable[R], /) -> Awaitable[R]:
        """Wait."""
        ...


class OperatorsClient:
    """The running server as an `OperatorAdminService`, for `kiosk-server` commands."""

    def __init__(self, channel: grpc.aio.Channel, call: _Caller) -> None:
        """Ask over `channel`; `call` waits for an answer and raises our errors."""
        self._stub = operators_pb2_grpc.OperatorsStub(channel)
        self._call = call

    async def all(self) -> Sequence[OperatorView]:
        """Return every operator, by name."""
        call = self._stub.ListOperators(pb.ListOperatorsRequest(), timeout=CALL_TIMEOUT_S)
        return tuple(messages.decode_operator(each) for each in (await self._call(call)).operators)

    async def activate(self, which: str, why: str) -> OperatorView:
        """Let an operator log on again."""
        request = pb.OperatorActRequest(operator=which, why=why)
        call = self._stub.ActivateOperator(request, timeout=CALL_TIMEOUT_S)
        return messages.decode_operator(await self._call(call))

    async def deactivate(self, which: str, why: str) -> OperatorView:
        """Let an operator log on no more."""
        request = pb.OperatorActRequest(operator=which, why=why)
        call = self._stub.DeactivateOperator(request, timeout=CALL_TIMEOUT_S)
        return messages.decode_operator(await self._call(call))

    async def set_roles(self, which: str, roles: Collection[str], why: str) -> OperatorView:
        """Give an operator these roles and no others."""
        request = pb.SetOperatorRolesRequest(operator=which, roles=sorted(roles), why=why)
        call = self._stub.SetOperatorRoles(request, timeout=CALL_TIMEOUT_S)
        return messages.decode_operator(await self._call(call))

    async def roles(self) -> Sequence[RoleView]:
        """Return every role."""
        call = self._stub.ListRoles(pb.ListRolesRequest(), timeout=CALL_TIMEOUT_S)
        return tuple(messages.decode_role(each) for each in (await self._call(call)).roles)

    async def clone(self, source: str, name: str, title: str, why: str) -> RoleView:
        """Make a role that may do what another one may."""
        request = pb.CloneRoleRequest(role=source, name=name, title=title, why=why)
        return messages.decode_role(await self._call(self._stub.CloneRole(request, timeout=CALL_TIMEOUT_S)))

    async def edit(self, name: str, grants: Sequence[Grant], title: str, why: str) -> RoleView:
        """Put grants in the place of what a role says of their subjects."""
        encoded = [encode_grant(grant) for grant in grants]
        request = pb.EditRoleRequest(role=name, grants=encoded, title=title, why=why)
        return messages.decode_role(await self._call(self._stub.EditRole(request, timeout=CALL_TIMEOUT_S)))

    async def reset(self, name: str, why: str) -> RoleView:
        """Make a preset what it is in the program again."""
        request = pb.RoleActRequest(role=name, why=why)
        return messages.decode_role(await self._call(self._stub.ResetRole(request, timeout=CALL_TIMEOUT_S)))

    async def delete(self, name: str, why: str) -> None:
        """Remove a role that was made here."""
        request = pb.RoleActRequest(role=name, why=why)
        await self._call(self._stub.DeleteRole(request, timeout=CALL_TIMEOUT_S))


class _Reasoned(Protocol):
    """A request that says why."""

    @property
    def why(self) -> str:
        """The reason."""
        ...


def _why(request: _Reasoned) -> str:
    return bounded(request.why, MAX_WHY, "why")


def _which(operator: str) -> str:
    return bounded(operator, MAX_NAME, "operator")


def _role(name: str) -> str:
    return bounded(name, MAX_NAME, "role")
