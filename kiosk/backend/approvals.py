"""Approvals over gRPC: `kiosk.station.approving.ApprovalLine`."""

from collections.abc import Sequence
from uuid import UUID

import grpc.aio

from kiosk.backend.asking import Asking
from kiosk.ports import LineEnds
from shared.approvals import ApprovalView, ApprovalWish
from shared.proto import approvals_pb2 as pb
from shared.proto import approvals_pb2_grpc, self_service_pb2_grpc
from shared.proto.convert_approvals import (
    decode_view,
    decode_views,
    encode_approval,
    encode_id,
    encode_wish,
)
from shared.proto.convert_sessions import decode_challenge
from shared.sessions import LogonProof


class GrpcApprovals:
    """Speaks over a station's line."""

    def __init__(self, line: Asking) -> None:
        """Speak over `line`."""
        self._line = line

    def _stub(
        self, channel: grpc.aio.Channel
    ) -> "approvals_pb2_grpc.ApprovalsAsyncStub | self_service_pb2_grpc.SelfServiceAsyncStub":
        """Return the service that whoever is logged on asks: holders have one of their own."""
        if self._line.of_holder:
            return self_service_pb2_grpc.SelfServiceStub(channel)
        return approvals_pb2_grpc.ApprovalsStub(channel)

    @property
    def ends(self) -> LineEnds:
        """Who speaks with whom, as TLS has proven it."""
        return self._line.ends

    async def request_approval(self, wish: ApprovalWish) -> ApprovalView:
        """Ask for approvals."""
        request = encode_wish(wish)
        return decode_view(
            await self._line.ask(
                lambda channel, timeout, metadata: self._stub(channel).RequestApproval(
                    request, timeout=timeout, metadata=metadata
                )
            )
        )

    async def approvals(self) -> Sequence[ApprovalView]:
        """Return the requests that wait: those that whoever is logged on may approve, and their own."""
        return decode_views(
            await self._line.ask(
                lambda channel, timeout, metadata: self._stub(channel).ListApprovals(
                    pb.ListApprovalsRequest(), timeout=timeout, metadata=metadata
                )
            )
        )

    async def approval(self, request_id: UUID) -> ApprovalView:
        """Return one request."""
        request = pb.ShowApprovalRequest(request_id=encode_id(request_id))
        return decode_view(
            await self._line.ask(
                lambda channel, timeout, metadata: approvals_pb2_grpc.ApprovalsStub(channel).ShowApproval(
                    request, timeout=timeout, metadata=metadata
                )
            )
        )

    async def approval_challenge(self, request_id: UUID) -> bytes:
        """Ask for a text that the approver's card is to sign."""
        request = pb.ChallengeApprovalRequest(request_id=encode_id(request_id), server=self.ends.server)
        return decode_challenge(
            await self._line.ask(
                lambda channel, timeout, metadata: approvals_pb2_grpc.ApprovalsStub(
                    channel
                ).ChallengeApproval(request, timeout=timeout, metadata=metadata)
            )
        )

    async def approve(self, request_id: UUID, proof: LogonProof, card: UUID | None) -> ApprovalView:
        """Bring an approval; `card` is the record of the card that signed, as the card says."""
        request = encode_approval(request_id, proof, card)
        return decode_view(
            await self._line.ask(
                lambda channel, timeout, metadata: approvals_pb2_grpc.ApprovalsStub(channel).Approve(
                    request, timeout=timeout, metadata=metadata
                )
            )
        )

    async def decline(self, request_id: UUID, why: str) -> ApprovalView:
        """Decline a request for good."""
        request = pb.DeclineApprovalRequest(request_id=encode_id(request_id), why=why)
        return decode_view(
            await self._line.ask(
                lambda channel, timeout, metadata: approvals_pb2_grpc.ApprovalsStub(channel).DeclineApproval(
                    request, timeout=timeout, metadata=metadata
                )
            )
        )

    async def withdraw(self, request_id: UUID) -> ApprovalView:
        """Take back one's own request."""
        request = pb.WithdrawApprovalRequest(request_id=encode_id(request_id))
        return decode_view(
            await self._line.ask(
                lambda channel, timeout, metadata: self._stub(channel).WithdrawApproval(
                    request, timeout=timeout, metadata=metadata
                )
            )
        )
