"""`FirstStart`: the passcode of the first start, and the session that it opens."""

from server.authority.first_start import FirstStart
from server.rpc.interceptors import Context, present_caller
from shared.proto import first_start_pb2 as pb
from shared.proto import first_start_pb2_grpc
from shared.proto.convert_first_start import decode_passcode, encode_begun, encode_view

# ruff: noqa: N802, ARG002  # methods have the form and the names of the service definition


class FirstStartServicer(first_start_pb2_grpc.FirstStartServicer):
    """Turn messages into values and back."""

    def __init__(self, service: FirstStart) -> None:
        """Ask `service`."""
        self._service = service

    async def Begin(self, request: pb.BeginFirstStartRequest, context: Context) -> pb.BeginFirstStartReply:
        """Open a session."""
        passcode = decode_passcode(request)
        try:
            return encode_begun(await self._service.begin(present_caller(), passcode))
        finally:
            passcode.wipe()

    async def View(self, request: pb.ViewFirstStartRequest, context: Context) -> pb.FirstStartView:
        """Return how far it is."""
        return encode_view(await self._service.view(present_caller()))

    async def End(self, request: pb.EndFirstStartRequest, context: Context) -> pb.EndFirstStartReply:
        """End the session."""
        await self._service.end(present_caller())
        return pb.EndFirstStartReply()
