"""`Credentials`: credentials whose cards are not here."""

from server.authority.services import CredentialsService
from server.rpc.interceptors import Context, present_caller
from shared.proto import credentials_pb2 as pb
from shared.proto import credentials_pb2_grpc
from shared.proto.convert_credentials import (
    decode_decision,
    decode_find,
    decode_help,
    encode_decided,
    encode_found_credentials,
    encode_read_out,
    encode_unblock_code,
)

# ruff: noqa: N802, ARG002  # methods have the form and the names of the service definition


class CredentialsServicer(credentials_pb2_grpc.CredentialsServicer):
    """Turn messages into values and back."""

    def __init__(self, service: CredentialsService) -> None:
        """Ask `service`."""
        self._service = service

    async def Find(self, request: pb.FindCredentialsRequest, context: Context) -> pb.FindCredentialsReply:
        """Search by holder."""
        text, limit = decode_find(request)
        return encode_found_credentials(await self._service.find(present_caller(), text, limit))

    async def Decide(self, request: pb.DecideRequest, context: Context) -> pb.DecideReply:
        """Take a decision."""
        record_id, operation, reason = decode_decision(request)
        return encode_decided(await self._service.decide(present_caller(), record_id, operation, reason))

    async def ReadOut(self, request: pb.HelpRequest, context: Context) -> pb.ReadOutReply:
        """Tell the code that unblocks a card far away."""
        return encode_read_out(await self._service.read_out(present_caller(), decode_help(request)))

    async def MakeUnblockCode(self, request: pb.HelpRequest, context: Context) -> pb.UnblockCodeReply:
        """Make a code with which a holder unblocks the card once."""
        return encode_unblock_code(
            await self._service.make_unblock_code(present_caller(), decode_help(request))
        )
