"""`Rehearsals`: what an operation would do, for stations that want to know before."""

from server.authority.services import RehearsalService
from server.rpc.interceptors import Context, present_caller
from shared.proto import rehearsals_pb2 as pb
from shared.proto import rehearsals_pb2_grpc
from shared.proto.convert_rehearsal import decode_request, encode_rehearsal

# ruff: noqa: N802, ARG002  # methods have the form and the names of the service definition


class RehearsalsServicer(rehearsals_pb2_grpc.RehearsalsServicer):
    """Turn messages into values and back."""

    def __init__(self, service: RehearsalService) -> None:
        """Ask `service`."""
        self._service = service

    async def RehearseIssue(self, request: pb.RehearsalRequest, context: Context) -> pb.Rehearsal:
        """Return what issuing would do."""
        return encode_rehearsal(await self._service.rehearse_issue(present_caller(), decode_request(request)))
