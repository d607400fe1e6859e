"""A server on loopback with real TLS, and every kind of peer that may knock."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID, uuid4

import grpc.aio
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from kiosk.backend.identity import StationIdentity
from server.authority.access import Access, Caller
from server.authority.acting import Acting
from server.authority.approval_proof import ApprovalProofs
from server.authority.approvals import Approvals
from server.authority.approved import ApprovalPolicy
from server.authority.first_start import FirstStart
from server.authority.fleet import Fleet
from server.authority.holders import HolderSessions
from server.authority.lines import Lines
from server.authority.logons import Logons
from server.authority.operator_admin import OperatorAdmin
from server.authority.operators import Operators
from server.authority.policy import unrestricted
from server.authority.presence import Attendance
from server.authority.proofs import Proofs
from server.authority.renewal import Renewals
from server.authority.sessions import Sessions
from server.authority.stations import Enrolment, JoinAddress
from server.authority.throttle import Limit
from server.machines import applications
from server.operations.link import StationLink
from server.operations.services import Services
from server.ports.directory import Directory
from server.ports.store import AuditKind, AuditRecord, StationRecord, StationState, Store
from server.rpc.applications import ApplicationsServicer
from server.rpc.server import Endpoint, ServerTls, bind_joining, bind_stations
from server.store.memory import MemoryStore
from shared.clock import Clock, SystemClock
from shared.console import CardHints, CardView, Comparison, Found, TemplateView
from shared.credential.lifecycle import OperationKind
from shared.credential.model import HolderId, Person, State, StationId
from shared.credentials import CodeView, CredentialView, DecisionView, FoundCredentials
from shared.rehearsal import Rehearsal, RehearsalRequest
from shared.relay import Begin, Done
from shared.secret import Secret
from tests.server.rpc import pki
from tests.server.rpc.holders import OwnCards, Passwords

AUDIT = AuditRecord(kind=AuditKind.STATION, event="test", actor="test")


class MovableClock(SystemClock):
    """The machine's clock, some time later."""

    def __init__(self) -> None:
        self.later = timedelta()

    def now(self) -> datetime:
        return datetime.now(UTC) + self.later

    def monotonic(self) -> float:
        return super().monotonic() + self.later.total_seconds()


Run = Callable[[Caller, StationLink], Awaitable[None]]


async def begin_and_done(_caller: Caller, station: StationLink) -> None:
    turn = await station.receive()
    assert isinstance(turn, Begin)
    await station.send(Done(state="issued", facts={"reader": turn.reader}))


@dataclass(slots=True)
class Engine:
    """An engine that does what the test says, and remembers who called."""

    behaviour: Run = begin_and_done
    callers: list[Caller] = field(default_factory=list)
    ended: asyncio.Queue[BaseException | None] = field(default_factory=asyncio.Queue)

    async def run(self, caller: Caller, station: StationLink) -> None:
        self.callers.append(caller)
        try:
            await self.behaviour(caller, station)
        except BaseException as error:
            self.ended.put_nowait(error)
            raise
        self.ended.put_nowait(None)


@dataclass(slots=True)
class Console:
    """A console that answers the same every time, or fails as told."""

    failure: Exception | None = None
    delay: float = 0.0
    asked: list[object] = field(default_factory=list)
    heard: asyncio.Event = field(default_factory=asyncio.Event)

    async def look_up(self, caller: Caller, hints: CardHints) -> CardView:
        await self._ask(caller, hints)
        return CardView(state=State.UNREGISTERED)

    async def compare(self, caller: Caller, hints: CardHints, template: str) -> Comparison:
        await self._ask(caller, hints, template)
        return Comparison(template="badge", title="Badge", version=3)

    async def find_people(self, caller: Caller, text: str, limit: int, directory: str = "") -> Found:
        await self._ask(caller, text, limit, directory)
        return Found(people=(Person(holder=HolderId("1"), name="Bob"),))

    async def templates(self, caller: Caller) -> Sequence[TemplateView]:
        await self._ask(caller)
        return (TemplateView(name="badge", title="Badge", version=3),)

    async def _ask(self, *what: object) -> None:
        self.asked.append(what)
        self.heard.set()
        await asyncio.sleep(self.delay)
        if self.failure is not None:
            raise self.failure


REHEARSAL = Rehearsal(
    profile="yubikey-5.7",
    product="YubiKey 5.7",
    new=True,
    holder="42",
    holder_name="Bob",
    template="badge",
    template_title="Badge",
    template_version=3,
)


@dataclass(slots=True)
class Rehearsals:
    """Dry runs that say the same every time, or fail as told."""

    failure: Exception | None = None
    asked: list[RehearsalRequest] = field(default_factory=list)

    async def rehearse_issue(self, caller: Caller, request: RehearsalRequest) -> Rehearsal:
        self.asked.append(request)
        if self.failure is not None:
            raise self.failure
        return REHEARSAL


RECORD_ID = UUID("00000000-0000-4000-8000-000000000042")


@dataclass(slots=True)
class Credentials:
    """One credential, whatever is searched for, and decisions that are taken or fail as told."""

    failure: Exception | None = None
    decided: list[tuple[UUID, OperationKind, str]] = field(default_factory=list)

    async def find(self, caller: Caller, text: str, limit: int) -> FoundCredentials:
        view = CredentialView(
            record_id=RECORD_ID,
            credential_id=None,
            state=State.ACTIVE,
            holder="1",
            holder_name="Bob",
            reachable=(OperationKind.SUSPEND,),
        )
        return FoundCredentials(credentials=(view,), more=limit == 1)

    async def read_out(self, caller: Caller, record_id: UUID) -> CodeView:
        del caller, record_id
        return CodeView(code=Secret.from_text("1234 5678 9012"))

    async def make_unblock_code(self, caller: Caller, record_id: UUID) -> CodeView:
        del caller, record_id
        return CodeView(code=Secret.from_text("ABCD EFGH 2345"), expires_at="2026-11-21T10:00:00+00:00")

    async def decide(
        self, caller: Caller, record_id: UUID, operation: OperationKind, reason: str
    ) -> DecisionView:
        self.decided.append((record_id, operation, reason))
        if self.failure is not None:
            raise self.failure
        return DecisionView(state=State.SUSPENDED, facts={"waiting": 1})


class Authority:
    """Signs stations with the test's root."""

    def __init__(self, root: pki.Pair) -> None:
        self.root = root

    async def issue_station(
        self, csr: bytes, name: str, station_id: StationId, *, application: bool = False
    ) -> bytes:
        del application
        key = x509.load_der_x509_csr(csr).public_key()
        assert isinstance(key, ec.EllipticCurvePublicKey)
        names = (f"{station_id}.station.invalid",)
        made = pki.certify(name, key, self.root, pki.CLIENT, names=names, ends=20 * pki.DAY)
        return made.public_bytes(pki.DER)


def approvals_of(store: Store, clock: Clock) -> Approvals:
    """Return what answers about approvals where there is nothing but a record."""
    parts = SimpleNamespace(store=store, clock=clock, directories={}, approvals=ApprovalPolicy())
    proofs = Proofs(store, clock, names=["localhost"], random=secrets.token_bytes)
    return Approvals(cast("Services", parts), ApprovalProofs(store, clock, proofs))


class World:
    """Roots, a server, and stations of every kind."""

    def __init__(self) -> None:
        self.clock = MovableClock()
        self.store: Store = MemoryStore(self.clock)
        self.engine = Engine()
        self.console = Console()
        self.rehearsals = Rehearsals()
        self.credentials = Credentials()
        self.root = pki.root("stations")
        self.server = self.server_pair()
        self.sessions = Sessions(self.store, self.clock, names=["localhost"])
        self.first_start = FirstStart(self.store, self.clock)
        self.passwords = Passwords()
        self.directories: dict[str, Directory] = {"people": self.passwords}
        self.holders = HolderSessions(self.store, self.directories, self.clock, names=["localhost"])
        self.acting = Acting(
            self.store.operators, self.store.roles, self.sessions, self.first_start, self.holders
        )
        self.access = Access(self.store.stations, self.clock, self.acting, self.store.audit)
        self.approvals = approvals_of(self.store, self.clock)
        self.attendance = Attendance(self.clock)
        self.lines = Lines(self.attendance.note)
        self.fleet = Fleet(
            self.store.stations,
            self.store.cards,
            self.store.templates,
            self.lines,
            self.attendance,
            (self.store.sessions, self.store.holders),
            self.clock,
        )
        self.port = 0
        self.describe = True
        self.joining_port = 0
        self._endpoints: list[Endpoint] = []

    def server_pair(self, **times: timedelta) -> pki.Pair:
        return pki.leaf("server", self.root, pki.SERVER, names=("localhost", "127.0.0.1"), **times)

    def tls(self, pair: pki.Pair | None = None) -> ServerTls:
        shown = pair or self.server
        return ServerTls(key=Secret(shown.key_pem), chain=shown.pem + self.root.pem)

    async def start(self, pair: pki.Pair | None = None) -> Endpoint:
        """Serve stations, on the same port every time."""
        address = f"127.0.0.1:{self.port}"
        endpoint = bind_stations(
            address, self.tls(pair), station_roots=self.root.pem, access=self.access, lines=self.lines
        )
        self.port = endpoint.port
        await endpoint.serve_stations(
            engine=self.engine,
            console=self.console,
            rehearsals=self.rehearsals,
            attendance=self.attendance,
            renewals=Renewals(self.store.stations, Authority(self.root), self.clock),
            credentials=self.credentials,
            sessions=Logons(self.sessions, self.store.roles),
            self_service=OwnCards(self.holders),
            first_start=self.first_start,
            approvals=self.approvals,
            operators=operators_of(self),
            server="Main",
            version="0.1.0",
            clock=self.clock,
            describe=self.describe,
        )
        self._endpoints.append(endpoint)
        return endpoint

    async def start_joining(
        self, *, allow_lab: bool = True, per_peer: Limit | None = None, overall: Limit | None = None
    ) -> Enrolment:
        plenty = Limit(burst=1000, seconds=1)
        endpoint = bind_joining("127.0.0.1:0", self.tls(), access=self.access)
        self.joining_port = endpoint.port
        enrolment = Enrolment(
            stations=self.store.stations,
            authority=Authority(self.root),
            clock=self.clock,
            address=JoinAddress(
                joining=f"127.0.0.1:{endpoint.port}",
                stations=f"127.0.0.1:{self.port}",
                fingerprint=self.server.fingerprint,
                server_root=self.root.der,
            ),
            allow_lab=allow_lab,
            per_peer=per_peer or plenty,
            overall=overall or plenty,
        )
        await endpoint.serve_joining(enrolment)
        self._endpoints.append(endpoint)
        return enrolment

    async def stop(self) -> None:
        for endpoint in self._endpoints:
            await endpoint.stop(0.1)

    def pair(self, *, issuer: pki.Pair | None = None, ends: timedelta = pki.DAY) -> pki.Pair:
        return pki.leaf("Desk", issuer or self.root, pki.CLIENT, begins=-2 * pki.DAY, ends=ends)

    async def register(self, pair: pki.Pair, *, lab: bool = True, blocked: bool = False) -> StationRecord:
        record = StationRecord(
            station_id=StationId(uuid4()),
            name="Desk",
            fingerprint=pair.fingerprint,
            lab=lab,
            state=StationState.BLOCKED if blocked else StationState.ACTIVE,
            joined_at=self.clock.now(),
            not_after=pair.certificate.not_valid_after_utc,
        )
        await self.store.stations.add_station(record, AUDIT)
        return record

    def identity(self, pair: pki.Pair, *, root: pki.Pair | None = None) -> StationIdentity:
        return StationIdentity(
            station_id=StationId(UUID(int=1)),
            name="Desk",
            server=f"localhost:{self.port}",
            key=Secret(pair.key_pem),
            certificate=pair.pem,
            server_root=(root or self.root).pem,
            not_after=pair.certificate.not_valid_after_utc,
        )

    async def lab_station(self) -> StationIdentity:
        pair = self.pair()
        await self.register(pair)
        return self.identity(pair)

    @asynccontextmanager
    async def raw(self, pair: pki.Pair | None, port: int | None = None) -> AsyncIterator[Any]:
        """Open a channel for calls with raw bytes, which the stubs of gRPC do not know."""
        credentials = grpc.ssl_channel_credentials(
            self.root.pem, pair.key_pem if pair else None, pair.pem if pair else None
        )
        async with grpc.aio.secure_channel(f"localhost:{port or self.port}", credentials) as channel:
            yield channel


def moved(identity: StationIdentity, port: int) -> StationIdentity:
    """Return the identity with its server at another port."""
    return replace(identity, server=f"localhost:{port}")


@asynccontextmanager
async def running() -> AsyncIterator[World]:
    """Start a world that serves stations."""
    world = World()
    await world.start()
    try:
        yield world
    finally:
        await world.stop()


def operators_of(world: World) -> OperatorAdmin:
    """Return what administration asks about operators, on the world's own record."""
    return OperatorAdmin(Operators(world.store, world.clock), unrestricted("admin"))


def applications_of(world: World) -> ApplicationsServicer:
    """Return what administration asks about applications, on the world's own record; joining is not served there."""
    operators = Operators(world.store, world.clock)
    enrolment = Enrolment(
        stations=world.store.stations,
        authority=Authority(world.root),
        clock=world.clock,
        address=JoinAddress(
            joining=f"127.0.0.1:{world.joining_port or 1}",
            stations=f"127.0.0.1:{world.port or 1}",
            fingerprint=world.server.fingerprint,
            server_root=world.root.der,
        ),
        allow_lab=True,
    )
    return applications(world.store, operators, enrolment, world.lines, world.attendance, world.clock)
