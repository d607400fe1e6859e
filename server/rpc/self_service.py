"""`SelfService`: holders, their own cards and credentials."""

from server.authority.self_service_calls import SelfServiceCalls
from server.rpc.interceptors import Context, present_caller
from shared.proto import approvals_pb2, console_pb2, credentials_pb2, self_service_pb2_grpc
from shared.proto import self_service_pb2 as pb
from shared.proto.convert_approvals import decode_id, decode_wish, encode_view, encode_views
from shared.proto.convert_console import decode_hints, encode_card
from shared.proto.convert_credentials import (
    decode_decision,
    decode_find,
    encode_decided,
    encode_found_credentials,
)
from shared.proto.convert_device import (
    decode_device_name,
    decode_device_question,
    encode_device,
    encode_device_reply,
)
from shared.proto.convert_self_service import (
    decode_given,
    decode_holder_question,
    encode_holder,
    encode_holder_reply,
)
from shared.self_service import CodeGiven, PasswordGiven

# ruff: noqa: N802, ARG002  # methods have the form and the names of the service definition


class SelfServiceServicer(self_service_pb2_grpc.SelfServiceServicer):
    """Turn messages into values and back."""

    def __init__(self, service: SelfServiceCalls) -> None:
        """Ask `service`."""
        self._service = service

    async def Challenge(
        self, request: pb.HolderChallengeRequest, context: Context
    ) -> pb.HolderChallengeReply:
        """Return a text for a holder's card to sign."""
        server = decode_holder_question(request)
        return pb.HolderChallengeReply(text=await self._service.challenge(present_caller(), server))

    async def LogOn(self, request: pb.HolderLogOnRequest, context: Context) -> pb.HolderLogOnReply:
        """Begin a session; what was given is wiped, as far as gRPC has not copied it."""
        given = decode_given(request)
        try:
            return encode_holder_reply(await self._service.log_on(present_caller(), given))
        finally:
            if isinstance(given, PasswordGiven):
                given.password.wipe()
            elif isinstance(given, CodeGiven):
                given.code.wipe()

    async def BeginDevice(self, request: pb.HolderDeviceRequest, context: Context) -> pb.HolderDeviceCode:
        """Begin a log-on that somebody finishes on another device."""
        return encode_device(await self._service.begin_device(present_caller(), decode_device_name(request)))

    async def AskDevice(self, request: pb.HolderDeviceQuestion, context: Context) -> pb.HolderDeviceReply:
        """Say what became of it."""
        which = decode_device_question(request)
        return encode_device_reply(await self._service.ask_device(present_caller(), which))

    async def CancelDevice(
        self, request: pb.HolderDeviceQuestion, context: Context
    ) -> pb.HolderDeviceCancelled:
        """Take it back."""
        await self._service.cancel_device(present_caller(), decode_device_question(request))
        return pb.HolderDeviceCancelled()

    async def LogOff(self, request: pb.HolderLogOffRequest, context: Context) -> pb.HolderLogOffReply:
        """End the session."""
        await self._service.log_off(present_caller())
        return pb.HolderLogOffReply()

    async def WhoIs(self, request: pb.HolderWhoIsRequest, context: Context) -> pb.HolderView:
        """Return who is logged on."""
        return encode_holder(await self._service.who_is(present_caller()))

    async def LookUpCard(self, request: console_pb2.CardHints, context: Context) -> console_pb2.CardView:
        """Return what the record says of a card that is the holder's, or nobody's."""
        return encode_card(await self._service.look_up(present_caller(), decode_hints(request)))

    async def ListCredentials(
        self, request: credentials_pb2.FindCredentialsRequest, context: Context
    ) -> credentials_pb2.FindCredentialsReply:
        """Return the holder's credentials."""
        text, _ = decode_find(request)
        return encode_found_credentials(await self._service.credentials(present_caller(), text))

    async def Decide(
        self, request: credentials_pb2.DecideRequest, context: Context
    ) -> credentials_pb2.DecideReply:
        """Take a decision about one of them."""
        record_id, operation, reason = decode_decision(request)
        return encode_decided(await self._service.decide(present_caller(), record_id, operation, reason))

    async def RequestApproval(
        self, request: approvals_pb2.RequestApprovalRequest, context: Context
    ) -> approvals_pb2.ApprovalView:
        """Ask a second person."""
        return encode_view(await self._service.request_approval(present_caller(), decode_wish(request)))

    async def ListApprovals(
        self, request: approvals_pb2.ListApprovalsRequest, context: Context
    ) -> approvals_pb2.ListApprovalsReply:
        """Return what the holder asked for."""
        return encode_views(await self._service.approvals(present_caller()))

    async def WithdrawApproval(
        self, request: approvals_pb2.WithdrawApprovalRequest, context: Context
    ) -> approvals_pb2.ApprovalView:
        """Take it back."""
        which = decode_id(request.request_id)
        return encode_view(await self._service.withdraw_approval(present_caller(), which))
