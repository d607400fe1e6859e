"""`Stations`: what a station may ask of itself, and, on a listener of its own, joining."""

from urllib.parse import unquote

from server.authority.first_start import FirstStart
from server.authority.presence import Attendance
from server.authority.services import RenewalService
from server.authority.stations import Enrolment
from server.rpc.interceptors import Context, present_caller
from shared import errors
from shared.clock import Clock
from shared.console import ServerView
from shared.joining import SECRET_LENGTH
from shared.proto import stations_pb2 as pb
from shared.proto import stations_pb2_grpc
from shared.proto.convert_console import encode_server
from shared.proto.convert_facts import MAX_NAME, bounded
from shared.secret import Secret
from shared.station_profile import read_face

# ruff: noqa: N802, ARG002  # methods have the form and the names of the service definition


class StationsServicer(stations_pb2_grpc.StationsServicer):
    """For registered stations."""

    def __init__(
        self,
        *,
        server: str,
        version: str,
        clock: Clock,
        renewals: RenewalService,
        attendance: Attendance,
        first_start: FirstStart,
    ) -> None:
        """`server` is the server's name for people; `clock` is told, so that a station can compare its own."""
        self._first_start = first_start
        self._renewals = renewals
        self._attendance = attendance
        self._server = server
        self._version = version
        self._clock = clock

    async def WhoAmI(self, request: pb.WhoAmIRequest, context: Context) -> pb.ServerView:
        """Return how the server knows the calling station."""
        caller = present_caller()
        self._attendance.told(
            caller.station_id,
            version=bounded(request.version, MAX_NAME, "version"),
            readers=request.readers,
            face=read_face(request.face),
        )
        return encode_server(
            ServerView(
                server=self._server,
                version=self._version,
                station=caller.name,
                lab=caller.lab,
                time=self._clock.now(),
                profile=caller.profile,
                first_start=await self._first_start.waits(),
            )
        )

    async def Join(self, request: pb.JoinRequest, context: Context) -> pb.JoinReply:
        """Refuse: joining has a listener of its own."""
        raise errors.NotAllowed(what="join here")

    async def Renew(self, request: pb.RenewRequest, context: Context) -> pb.RenewReply:
        """Give the calling station its next certificate."""
        return pb.RenewReply(certificate=await self._renewals.renew(present_caller(), request.request))


class JoiningServicer(stations_pb2_grpc.StationsServicer):
    """For machines that are no stations yet."""

    def __init__(self, enrolment: Enrolment) -> None:
        """Let machines in through `enrolment`."""
        self._enrolment = enrolment

    async def Join(self, request: pb.JoinRequest, context: Context) -> pb.JoinReply:
        """Let a machine in."""
        if len(request.secret) != SECRET_LENGTH:
            raise errors.Garbled(why=f"a token's secret has {SECRET_LENGTH} bytes")
        joined = await self._enrolment.join(
            peer=host_of(context.peer()),
            secret=Secret(request.secret),
            request=request.request,
            name=request.name,
        )
        return pb.JoinReply(
            station_id=joined.station_id.bytes,
            name=joined.name,
            certificate=joined.certificate,
            server_root=joined.server_root,
            address=joined.address,
        )

    async def WhoAmI(self, request: pb.WhoAmIRequest, context: Context) -> pb.ServerView:
        """Refuse: nobody is known here."""
        raise errors.NotAllowed(what="anything but joining here")

    async def Renew(self, request: pb.RenewRequest, context: Context) -> pb.RenewReply:
        """Refuse: nobody is known here."""
        raise errors.NotAllowed(what="anything but joining here")


def host_of(peer: str) -> str:
    """Return the address in gRPC's text of a peer (`ipv4:192.0.2.1:5000`, `ipv6:%5B2001:db8::1%5D:5000`)."""
    return unquote(peer).rpartition(":")[0] or peer
