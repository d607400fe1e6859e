"""`Approvals` and `ApprovalAdmin`: requests that a second person approves, and both ends of what an administrator sees."""

from collections.abc import Awaitable, Sequence
from datetime import timedelta
from typing import Final, Protocol, TypeVar
from uuid import UUID

import grpc.aio

from server.authority.administrator import administrator
from server.authority.approvals import Approvals
from server.authority.approved import ApprovalPolicy
from server.authority.policy import unrestricted
from server.rpc.interceptors import Context, present_caller
from shared.approvals import ApprovalView
from shared.credential.approval import Way
from shared.proto import approvals_pb2 as pb
from shared.proto import approvals_pb2_grpc, sessions_pb2
from shared.proto.convert_approvals import (
    decode_approval,
    decode_id,
    decode_view,
    decode_views,
    decode_wish,
    encode_id,
    encode_view,
    encode_views,
)
from shared.proto.convert_facts import bounded
from shared.proto.convert_items import MAX_TEXT

# ruff: noqa: N802, ARG002  # methods have the form and the names of the service definition

CALL_TIMEOUT_S: Final = 15.0

R = TypeVar("R")


class ApprovalsServicer(approvals_pb2_grpc.ApprovalsServicer):
    """Turn messages into values and back."""

    def __init__(self, service: Approvals) -> None:
        """Ask `service`."""
        self._service = service

    async def RequestApproval(self, request: pb.RequestApprovalRequest, context: Context) -> pb.ApprovalView:
        """Ask for approvals."""
        return encode_view(await self._service.request(present_caller(), decode_wish(request)))

    async def ListApprovals(
        self, request: pb.ListApprovalsRequest, context: Context
    ) -> pb.ListApprovalsReply:
        """Return the requests that wait."""
        return encode_views(await self._service.list(present_caller()))

    async def ShowApproval(self, request: pb.ShowApprovalRequest, context: Context) -> pb.ApprovalView:
        """Return one request."""
        return encode_view(await self._service.show(present_caller(), decode_id(request.request_id)))

    async def ChallengeApproval(
        self, request: pb.ChallengeApprovalRequest, context: Context
    ) -> sessions_pb2.ChallengeReply:
        """Return a text for the approver's card to sign."""
        request_id, server = decode_id(request.request_id), bounded(request.server, MAX_TEXT, "server")
        text = await self._service.challenge(present_caller(), request_id, server)
        return sessions_pb2.ChallengeReply(text=text)

    async def Approve(self, request: pb.ApproveRequest, context: Context) -> pb.ApprovalView:
        """Take somebody's approval."""
        return encode_view(await self._service.approve(present_caller(), *decode_approval(request)))

    async def DeclineApproval(self, request: pb.DeclineApprovalRequest, context: Context) -> pb.ApprovalView:
        """Decline a request."""
        why = bounded(request.why, MAX_TEXT, "why")
        return encode_view(await self._service.decline(present_caller(), decode_id(request.request_id), why))

    async def WithdrawApproval(
        self, request: pb.WithdrawApprovalRequest, context: Context
    ) -> pb.ApprovalView:
        """Take back what one asked for."""
        return encode_view(await self._service.withdraw(present_caller(), decode_id(request.request_id)))


class ApprovalAdminServicer(approvals_pb2_grpc.ApprovalAdminServicer):
    """Turn messages into values and back, for an administrator on the server's own machine."""

    def __init__(self, service: Approvals, policy: ApprovalPolicy, actor: str) -> None:
        """Ask `service`; what is declined here is declined by who is logged on, else by `actor`."""
        self._service = service
        self._policy = policy
        self._default = unrestricted(actor)

    @property
    def _actor(self) -> str:
        return administrator(self._default).actor

    async def ListAllApprovals(
        self, request: pb.ListAllApprovalsRequest, context: Context
    ) -> pb.ListApprovalsReply:
        """Return the newest requests, whatever became of them."""
        return encode_views(await self._service.all())

    async def DeclineAnyApproval(
        self, request: pb.DeclineApprovalRequest, context: Context
    ) -> pb.ApprovalView:
        """Decline a request."""
        request_id, why = decode_id(request.request_id), bounded(request.why, MAX_TEXT, "why")
        return encode_view(await self._service.end(request_id, why, self._actor))

    async def ShowApprovalPolicy(
        self, request: pb.ShowApprovalPolicyRequest, context: Context
    ) -> pb.ApprovalPolicy:
        """Return what this server asks for besides its templates."""
        return pb.ApprovalPolicy(
            acts=sorted(self._policy.acts),
            valid_for_s=int(self._policy.valid_for.total_seconds()),
            approver_executes=self._policy.approver_executes,
            same_station=self._policy.same_station,
        )


class Calls(Protocol):
    """Makes one call, and turns its failure into our error."""

    async def __call__(self, call: Awaitable[R], /) -> R:
        """Return the answer."""
        ...


class ApprovalsClient:
    """The running server's approvals, for `kiosk-server` commands; raises what `Approvals` does."""

    def __init__(self, channel: grpc.aio.Channel, call: Calls) -> None:
        """Speak over `channel`."""
        self._stub = approvals_pb2_grpc.ApprovalAdminStub(channel)
        self._call = call

    async def all(self) -> Sequence[ApprovalView]:
        """Return the newest requests, whatever became of them."""
        call = self._stub.ListAllApprovals(pb.ListAllApprovalsRequest(), timeout=CALL_TIMEOUT_S)
        return decode_views(await self._call(call))

    async def decline(self, request_id: UUID, why: str) -> ApprovalView:
        """Decline a request for good."""
        request = pb.DeclineApprovalRequest(request_id=encode_id(request_id), why=why)
        call = self._stub.DeclineAnyApproval(request, timeout=CALL_TIMEOUT_S)
        return decode_view(await self._call(call))

    async def policy(self) -> ApprovalPolicy:
        """Return what the server asks for besides its templates."""
        call = self._stub.ShowApprovalPolicy(pb.ShowApprovalPolicyRequest(), timeout=CALL_TIMEOUT_S)
        found = await self._call(call)
        return ApprovalPolicy(
            acts=frozenset(map(Way, found.acts)),
            valid_for=timedelta(seconds=found.valid_for_s),
            approver_executes=found.approver_executes,
            same_station=found.same_station,
        )
