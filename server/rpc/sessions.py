"""`Sessions`: log-ons of operators."""

from server.authority.services import SessionsService
from server.rpc.interceptors import Context, present_caller
from shared.proto import sessions_pb2 as pb
from shared.proto import sessions_pb2_grpc
from shared.proto.convert_sessions import (
    decode_leaving,
    decode_proof,
    decode_question,
    encode_logged_on,
    encode_session,
)

# ruff: noqa: N802, ARG002  # methods have the form and the names of the service definition


class SessionsServicer(sessions_pb2_grpc.SessionsServicer):
    """Turn messages into values and back."""

    def __init__(self, service: SessionsService) -> None:
        """Ask `service`."""
        self._service = service

    async def Challenge(self, request: pb.ChallengeRequest, context: Context) -> pb.ChallengeReply:
        """Return a text for the operator's card to sign."""
        purpose, server = decode_question(request)
        return pb.ChallengeReply(text=await self._service.challenge(present_caller(), purpose, server))

    async def LogOn(self, request: pb.LogOnRequest, context: Context) -> pb.LogOnReply:
        """Begin a session."""
        return encode_logged_on(await self._service.log_on(present_caller(), decode_proof(request.proof)))

    async def StepUp(self, request: pb.StepUpRequest, context: Context) -> pb.SessionView:
        """Take the proof again."""
        return encode_session(await self._service.step_up(present_caller(), decode_proof(request.proof)))

    async def LogOff(self, request: pb.LogOffRequest, context: Context) -> pb.LogOffReply:
        """End the session."""
        await self._service.log_off(present_caller(), decode_leaving(request))
        return pb.LogOffReply()

    async def WhoIs(self, request: pb.WhoIsRequest, context: Context) -> pb.SessionView:
        """Return who is logged on."""
        return encode_session(await self._service.who_is(present_caller()))
