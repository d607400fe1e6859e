"""Operators over gRPC, for one who is logged on at this desk: `kiosk.station.faces.Colleagues`."""

from collections.abc import Collection, Sequence

from kiosk.backend.asking import Asking
from shared.operators import OperatorSummary, RoleSummary
from shared.proto import operators_pb2 as pb
from shared.proto.convert_operators import decode_operator, decode_roles
from shared.proto.operators_pb2_grpc import DeskOperatorsStub


class GrpcOperators:
    """Speaks over a station's line."""

    def __init__(self, line: Asking) -> None:
        """Speak over `line`."""
        self._line = line

    async def all(self) -> Sequence[OperatorSummary]:
        """Return every operator, by name."""
        reply = await self._line.ask(
            lambda channel, timeout, metadata: DeskOperatorsStub(channel).ListOperators(
                pb.ListOperatorsRequest(), timeout=timeout, metadata=metadata
            )
        )
        return tuple(decode_operator(each) for each in reply.operators)

    async def roles(self) -> Sequence[RoleSummary]:
        """Return every role."""
        reply = await self._line.ask(
            lambda channel, timeout, metadata: DeskOperatorsStub(channel).ListRoles(
                pb.ListRolesRequest(), timeout=timeout, metadata=metadata
            )
        )
        return decode_roles(reply.roles)

    async def activate(self, which: str, why: str) -> OperatorSummary:
        """Let an operator log on again."""
        request = pb.OperatorActRequest(operator=which, why=why)
        return decode_operator(
            await self._line.ask(
                lambda channel, timeout, metadata: DeskOperatorsStub(channel).ActivateOperator(
                    request, timeout=timeout, metadata=metadata
                )
            )
        )

    async def deactivate(self, which: str, why: str) -> OperatorSummary:
        """Let an operator log on no more."""
        request = pb.OperatorActRequest(operator=which, why=why)
        return decode_operator(
            await self._line.ask(
                lambda channel, timeout, metadata: DeskOperatorsStub(channel).DeactivateOperator(
                    request, timeout=timeout, metadata=metadata
                )
            )
        )

    async def set_roles(self, which: str, roles: Collection[str], why: str) -> OperatorSummary:
        """Give an operator these roles and no others."""
        request = pb.SetOperatorRolesRequest(operator=which, roles=sorted(roles), why=why)
        return decode_operator(
            await self._line.ask(
                lambda channel, timeout, metadata: DeskOperatorsStub(channel).SetOperatorRoles(
                    request, timeout=timeout, metadata=metadata
                )
            )
        )
