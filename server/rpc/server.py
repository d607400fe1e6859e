"""The listeners: stations (mutual TLS), joining (server's certificate only), administration (Unix socket).

An endpoint is bound first, so that its port is known before tokens are written, and serves once it is told
what. TLS is 1.2 at least (gRPC's own floor); a peer without a certificate of the stations' root does not get
past the handshake of the stations' listener, and past it the gate asks for the registered fingerprint.
"""

import contextlib
import os
import socket
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import grpc
import grpc.aio
from grpc_health.v1 import health, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from server.authority.access import Access, Listener
from server.authority.approvals import Approvals
from server.authority.connection_views import ConnectionsService
from server.authority.first_start import FirstStart
from server.authority.lines import Lines
from server.authority.operator_admin import OperatorAdminService
from server.authority.people import PeopleService
from server.authority.presence import Attendance
from server.authority.self_service_calls import SelfServiceCalls
from server.authority.services import (
    AdminService,
    ConsoleService,
    CredentialsService,
    RehearsalService,
    RenewalService,
    SessionsService,
)
from server.authority.stations import Enrolment
from server.operations.link import Engine
from server.rpc.admin import AdminServicer
from server.rpc.applications import ApplicationsServicer
from server.rpc.approvals import ApprovalAdminServicer, ApprovalsServicer
from server.rpc.connections import ConnectionsServicer
from server.rpc.console import ConsoleServicer
from server.rpc.credentials import CredentialsServicer
from server.rpc.desk_operators import DeskOperatorsServicer
from server.rpc.first_start import FirstStartServicer
from server.rpc.health import HealthServicer
from server.rpc.interceptors import Gate
from server.rpc.operations import OperationsServicer
from server.rpc.operators import OperatorsServicer
from server.rpc.people import PeopleServicer
from server.rpc.rehearsals import RehearsalsServicer
from server.rpc.self_service import SelfServiceServicer
from server.rpc.sessions import SessionsServicer
from server.rpc.stations import JoiningServicer, StationsServicer
from shared import errors
from shared.clock import Clock
from shared.proto import (
    admin_pb2_grpc,
    applications_pb2_grpc,
    approvals_pb2,
    approvals_pb2_grpc,
    connections_pb2_grpc,
    console_pb2,
    console_pb2_grpc,
    credentials_pb2,
    credentials_pb2_grpc,
    first_start_pb2,
    first_start_pb2_grpc,
    operations_pb2,
    operations_pb2_grpc,
    operators_pb2,
    operators_pb2_grpc,
    people_pb2_grpc,
    rehearsals_pb2,
    rehearsals_pb2_grpc,
    self_service_pb2,
    self_service_pb2_grpc,
    sessions_pb2,
    sessions_pb2_grpc,
    stations_pb2,
    stations_pb2_grpc,
)
from shared.secret import Secret

MAX_TURN: Final = 262_144
"""Bytes of a message from a station: a batch's responses fit many times."""
MAX_ANSWER: Final = 4_194_304
"""Bytes of a message to a station, and of one from an administrator."""
MAX_JOIN: Final = 4096
"""Bytes of a message on the joining listener."""
JOINING_CALLS: Final = 32
"""Calls on the joining listener at once."""
KEEPALIVE_MS: Final = 20_000
KEEPALIVE_TIMEOUT_MS: Final = 10_000
SOCKET_PATH_MAX: Final = 107
"""Bytes, of Linux (`sun_path` with its final zero)."""

_TAKEN: Final = "cannot listen there: it is in use, or not an address of this machine"

STATION_SERVICES: Final = tuple(
    module.DESCRIPTOR.services_by_name[name].full_name
    for module, name in (
        (operations_pb2, "Operations"),
        (console_pb2, "Console"),
        (credentials_pb2, "Credentials"),
        (rehearsals_pb2, "Rehearsals"),
        (sessions_pb2, "Sessions"),
        (self_service_pb2, "SelfService"),
        (approvals_pb2, "Approvals"),
        (operators_pb2, "DeskOperators"),
        (first_start_pb2, "FirstStart"),
        (stations_pb2, "Stations"),
    )
)

_COMMON: Final[Sequence[tuple[str, Any]]] = (
    # on Linux two servers would share a port without a word
    ("grpc.so_reuseport", 0),
    ("grpc.max_send_message_length", MAX_ANSWER),
    ("grpc.server_handshake_timeout_ms", 10_000),
    ("grpc.enable_http_proxy", 0),
)
OPTIONS: Final[dict[Listener, Sequence[tuple[str, Any]]]] = {
    Listener.STATIONS: (
        *_COMMON,
        ("grpc.max_receive_message_length", MAX_TURN),
        # a station that was unplugged is noticed within half a minute; without the ping's own time-out (a minute)
        # the one of the keepalive has no effect
        ("grpc.keepalive_time_ms", KEEPALIVE_MS),
        ("grpc.keepalive_timeout_ms", KEEPALIVE_TIMEOUT_MS),
        ("grpc.http2.ping_timeout_ms", KEEPALIVE_TIMEOUT_MS),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.http2.min_recv_ping_interval_without_data_ms", KEEPALIVE_MS // 2),
    ),
    Listener.JOINING: (
        *_COMMON,
        ("grpc.max_receive_message_length", MAX_JOIN),
        ("grpc.max_connection_idle_ms", 10_000),
        ("grpc.max_connection_age_ms", 30_000),
        ("grpc.max_connection_age_grace_ms", 10_000),
        ("grpc.max_concurrent_streams", 4),
    ),
    Listener.ADMIN: (*_COMMON, ("grpc.max_receive_message_length", MAX_ANSWER)),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerTls:
    """What a listener shows: its private key (PEM, unencrypted) and its certificate with issuers (PEM)."""

    key: Secret
    chain: bytes


class Endpoint:
    """One listening address, bound and not yet serving."""

    def __init__(
        self, listener: Listener, access: Access, *, lines: Lines | None = None, calls: int | None = None
    ) -> None:
        """Use `bind_stations`, `bind_joining` or `bind_admin`."""
        self.listener = listener
        self.port = 0
        self._operations: OperationsServicer | None = None
        self._health: HealthServicer | None = None
        self.server = grpc.aio.server(
            interceptors=(Gate(listener, access, lines or Lines()),),
            options=OPTIONS[listener],
            maximum_concurrent_rpcs=calls,
        )

    async def serve_stations(
        self,
        *,
        engine: Engine,
        console: ConsoleService,
        credentials: CredentialsService,
        rehearsals: RehearsalService,
        renewals: RenewalService,
        attendance: Attendance,
        sessions: SessionsService,
        self_service: SelfServiceCalls,
        first_start: FirstStart,
        approvals: Approvals,
        operators: OperatorAdminService,
        server: str,
        version: str,
        clock: Clock,
        describe: bool = False,
    ) -> None:
        """Serve stations and health; `describe` the services, too, to who asks. `server` is the server's name for people."""
        self._operations = OperationsServicer(engine)
        operations_pb2_grpc.add_OperationsServicer_to_server(self._operations, self.server)
        console_pb2_grpc.add_ConsoleServicer_to_server(ConsoleServicer(console), self.server)
        credentials_pb2_grpc.add_CredentialsServicer_to_server(CredentialsServicer(credentials), self.server)
        rehearsals_pb2_grpc.add_RehearsalsServicer_to_server(RehearsalsServicer(rehearsals), self.server)
        sessions_pb2_grpc.add_SessionsServicer_to_server(SessionsServicer(sessions), self.server)
        self_service_pb2_grpc.add_SelfServiceServicer_to_server(
            SelfServiceServicer(self_service), self.server
        )
        approvals_pb2_grpc.add_ApprovalsServicer_to_server(ApprovalsServicer(approvals), self.server)
        operators_pb2_grpc.add_DeskOperatorsServicer_to_server(DeskOperatorsServicer(operators), self.server)
        first_start_pb2_grpc.add_FirstStartServicer_to_server(FirstStartServicer(first_start), self.server)
        stations_pb2_grpc.add_StationsServicer_to_server(
            StationsServicer(
                server=server,
                version=version,
                clock=clock,
                renewals=renewals,
                attendance=attendance,
                first_start=first_start,
            ),
            self.server,
        )
        self._health = HealthServicer(STATION_SERVICES)
        await self._health.begin()
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self.server)
        if describe:
            names = (*STATION_SERVICES, health.SERVICE_NAME, reflection.SERVICE_NAME)
            reflection.enable_server_reflection(names, self.server)
        await self.server.start()

    async def serve_joining(self, enrolment: Enrolment) -> None:
        """Serve joining."""
        stations_pb2_grpc.add_StationsServicer_to_server(JoiningServicer(enrolment), self.server)
        await self.server.start()

    async def serve_admin(
        self,
        service: AdminService,
        operators: OperatorAdminService,
        applications: ApplicationsServicer,
        approvals: ApprovalAdminServicer | None = None,
        connections: ConnectionsService | None = None,
        people: PeopleService | None = None,
    ) -> None:
        """Serve administration."""
        admin_pb2_grpc.add_AdminServicer_to_server(AdminServicer(service), self.server)
        operators_pb2_grpc.add_OperatorsServicer_to_server(OperatorsServicer(operators), self.server)
        applications_pb2_grpc.add_ApplicationsServicer_to_server(applications, self.server)
        if approvals is not None:
            approvals_pb2_grpc.add_ApprovalAdminServicer_to_server(approvals, self.server)
        if connections is not None:
            servicer = ConnectionsServicer(connections)
            connections_pb2_grpc.add_ConnectionsServicer_to_server(servicer, self.server)
        if people is not None:
            people_pb2_grpc.add_PeopleServicer_to_server(PeopleServicer(people), self.server)
        await self.server.start()

    async def stop(self, grace: float = 5.0) -> None:
        """Take no more calls, give running ones `grace` seconds, then cut them and let them record it."""
        if self._health is not None:
            await self._health.enter_graceful_shutdown()
        await self.server.stop(grace)
        if self._operations is not None:
            await self._operations.drain(grace)


def bind_stations(
    address: str, tls: ServerTls, *, station_roots: bytes, access: Access, lines: Lines
) -> Endpoint:
    """Bind the stations' listener. `station_roots` (PEM) is the one that signs stations, and only that.

    What is running is among `lines`, so that a station that is blocked is cut.

    Raises:
        ConfigInvalid: the address is taken, not of this machine, or key and certificate do not fit.
    """
    credentials = grpc.ssl_server_credentials(
        [(tls.key.reveal(), tls.chain)], root_certificates=station_roots, require_client_auth=True
    )
    return _bind(Endpoint(Listener.STATIONS, access, lines=lines), address, credentials)


def bind_joining(address: str, tls: ServerTls, *, access: Access) -> Endpoint:
    """Bind the joining listener; `ConfigInvalid` as above."""
    credentials = grpc.ssl_server_credentials([(tls.key.reveal(), tls.chain)])
    return _bind(Endpoint(Listener.JOINING, access, calls=JOINING_CALLS), address, credentials)


def bind_admin(path: Path, *, access: Access) -> Endpoint:
    """Bind the Unix socket of administration.

    Whoever can open it is the administrator: gRPC does not tell a Unix peer's user, so the file system decides.
    The folder is made (or has to be) ours with mode 0700; the socket gets 0600.

    Raises:
        ConfigInvalid: the folder is open to others, another server uses the socket, or the path is too long.
    """
    path = path.absolute()
    if len(os.fsencode(path)) > SOCKET_PATH_MAX:
        raise errors.ConfigInvalid(key=str(path), why=f"longer than {SOCKET_PATH_MAX} bytes")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder = path.parent.stat()
    except OSError as error:
        raise errors.ConfigInvalid(key=str(path.parent), why=error.strerror or "cannot be made") from error
    if folder.st_uid != os.geteuid() or stat.S_IMODE(folder.st_mode) & 0o077:
        raise errors.ConfigInvalid(key=str(path.parent), why="others may enter it (it needs mode 0700)")
    if _answers(path):
        raise errors.ConfigInvalid(key=str(path), why="another server uses it")
    endpoint = Endpoint(Listener.ADMIN, access)
    try:
        endpoint.server.add_insecure_port(f"unix:{path}")
        path.chmod(0o600)
    except (RuntimeError, OSError) as error:
        raise errors.ConfigInvalid(key=str(path), why="cannot listen there") from error
    return endpoint


def _bind(endpoint: Endpoint, address: str, credentials: grpc.ServerCredentials) -> Endpoint:
    try:
        endpoint.port = endpoint.server.add_secure_port(address, credentials)
    except RuntimeError as error:
        raise errors.ConfigInvalid(key=address, why=_TAKEN) from error
    if not endpoint.port:
        raise errors.ConfigInvalid(key=address, why=_TAKEN)
    return endpoint


def _answers(path: Path) -> bool:
    """Whether a server listens on this socket; gRPC would take its place without a word."""
    with contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            return False
    return True
