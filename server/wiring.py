"""Where the server's parts are chosen and put together. Nothing else here decides anything."""

import asyncio
import os
import secrets
from dataclasses import dataclass
from datetime import timedelta
from importlib.metadata import version
from typing import Final
from uuid import UUID, uuid4

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256

from server.alone import hold
from server.approving import approval_admin, approvals, policy
from server.authority.access import Access
from server.authority.acting import Acting
from server.authority.acts import Acts
from server.authority.admin import ACTOR, Admin
from server.authority.administrator import administrator
from server.authority.connections import Connections
from server.authority.console import Console
from server.authority.credentials import Credentials
from server.authority.first_start import BUILT_IN as NO_DIRECTORY
from server.authority.first_start import FirstStart
from server.authority.keys import MasterKeyGenerations
from server.authority.lines import Lines
from server.authority.logons import Logons
from server.authority.operator_admin import OperatorAdmin
from server.authority.operators import Operators
from server.authority.people import People
from server.authority.policy import unrestricted
from server.authority.presence import Attendance
from server.authority.renewal import Renewals
from server.authority.services import TemplateAction, TemplateLine, TemplateText
from server.authority.sessions import SessionLimits, Sessions
from server.authority.stations import Enrolment, JoinAddress
from server.authority.templates import Templates
from server.authority.work import Work
from server.connection_probes import connection_probes
from server.connectors.ca.bootstrap import CONTENT_SIGNING_KEY
from server.connectors.ca.builtin import BuiltinAuthority
from server.connectors.ca.stations import StationAuthority
from server.connectors.directory.builtin import BuiltinDirectory
from server.connectors.keystore.software import SoftwareKeyStore
from server.connectors.kinds import AUTHORITY, BY_NAME, KINDS
from server.given import connect_given
from server.identity import Identity, load_identity, make_identity, pem
from server.jobs.rota import rota
from server.jobs.runner import Runner
from server.machines import applications, fleet
from server.operations.engine import OperationEngine
from server.operations.lateness import Deadlines
from server.operations.services import ContentSigner, Services
from server.ports.keystore import Derivation, KeyPurpose
from server.ports.store import AuditKind, AuditRecord, Store
from server.probes import probes
from server.published import issuers_algorithm, publication, publishing, watch
from server.publishing import Publishing
from server.rpc.server import Endpoint, ServerTls, bind_admin, bind_joining, bind_stations
from server.scratch import rehearsals
from server.self_serving import holder_sessions, self_services
from server.settings import ServerSettings
from server.store.database import create_store, open_store
from server.switchboard import Switchboard
from server.vendors import read_roots
from shared import errors
from shared.clock import Clock
from shared.config import Address
from shared.errors import Fact
from shared.secret import Secret

BUILT_IN: Final = "built-in"
SERVER: Final = "server"
DATABASE_KEY: Final = Derivation(purpose=KeyPurpose.DATABASE, subject=UUID(int=0), generation=1, length=32)
"""The database's key never changes: it is of the first generation, and there is one database to a key store."""

ATTESTATION_FOLDER: Final = "attestation"
LAB_FOLDER: Final = "attestation-lab"


@dataclass(frozen=True, slots=True, kw_only=True)
class Parts:
    """The server, assembled and not yet listening."""

    settings: ServerSettings
    keystore: SoftwareKeyStore
    store: Store
    identity: Identity
    services: Services
    switchboard: Switchboard
    connections: Connections
    templates: Templates
    enrolment: Enrolment
    stations: StationAuthority
    publishing: Publishing | None
    clock: Clock


async def initialise(settings: ServerSettings, passphrase: Secret, clock: Clock) -> Parts:
    """Make key store, database and certificates, once.

    Raises:
        StoreConflict, StoreUnavailable: something is there already, or cannot be written; nothing is overwritten.
    """
    try:
        settings.data_folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as cause:
        raise errors.StoreUnavailable(why=f"{settings.data_folder}: {cause.strerror}") from cause
    keystore = SoftwareKeyStore.create(settings.key_store_file, passphrase, clock=clock)
    store = create_store(settings.store_file, await keystore.derive(DATABASE_KEY), clock)
    identity = await make_identity(
        settings.data_folder,
        keystore=keystore,
        store=store,
        clock=clock,
        organisation=settings.organisation,
        names=settings.names,
        algorithm=issuers_algorithm(settings),
    )
    return _assemble(settings, keystore, store, identity, clock)


async def open_parts(settings: ServerSettings, passphrase: Secret, clock: Clock) -> Parts:
    """Open what `initialise` made.

    Raises:
        PassphraseRejected: wrong passphrase.
        ConfigMissing: the server was never initialised.
        StoreUnavailable, KeyStoreDamaged: a file is damaged, or of another version.
    """
    keystore = SoftwareKeyStore.open(settings.key_store_file, passphrase, clock=clock)
    store = open_store(settings.store_file, await keystore.derive(DATABASE_KEY), clock)
    identity = await load_identity(settings.data_folder, keystore)
    parts = _assemble(settings, keystore, store, identity, clock)
    await parts.connections.load()
    return parts


def _assemble(
    settings: ServerSettings, keystore: SoftwareKeyStore, store: Store, identity: Identity, clock: Clock
) -> Parts:
    switchboard = Switchboard(clock)
    switchboard.fix(NO_DIRECTORY, BY_NAME, BuiltinDirectory())
    connect_given(switchboard, settings, clock)
    authority = BuiltinAuthority(
        connection=BUILT_IN,
        keystore=keystore,
        ledger=store.ledger,
        audit=store.audit,
        clock=clock,
        issuers=identity.issuers,
        publication=publication(settings),
    )
    switchboard.fix(BUILT_IN, AUTHORITY, authority)
    vendors = read_roots(settings.data_folder / ATTESTATION_FOLDER)
    services = Services(
        store=store,
        keystore=keystore,
        authorities=switchboard.authorities,
        directories=switchboard.directories,
        signer=ContentSigner(key=CONTENT_SIGNING_KEY, certificate=identity.content_signing),
        clock=clock,
        allow_virtual=settings.allow_lab,
        attestation_roots=vendors.roots,
        attestation_intermediates=vendors.intermediates,
        lab_roots=read_roots(settings.data_folder / LAB_FOLDER).roots,
        approvals=policy(settings),
    )
    stations = StationAuthority(
        keystore=keystore, ledger=store.ledger, clock=clock, root=identity.stations_root
    )
    host = settings.names[0]
    enrolment = Enrolment(
        stations=store.stations,
        authority=stations,
        clock=clock,
        address=JoinAddress(
            joining=str(Address(host, settings.join_listen.port)),
            stations=str(Address(host, settings.listen.port)),
            fingerprint=x509.load_der_x509_certificate(identity.server).fingerprint(SHA256()),
            server_root=identity.stations_root,
        ),
        allow_lab=settings.allow_lab,
    )
    acts = Acts(store, clock, policy(settings))
    templates = Templates(store.templates, services.authorities, services.directories, clock, acts)
    return Parts(
        settings=settings,
        keystore=keystore,
        store=store,
        identity=identity,
        services=services,
        switchboard=switchboard,
        connections=Connections(
            store,
            keystore,
            switchboard,
            KINDS,
            clock,
            actor=lambda: administrator(unrestricted(ACTOR)).actor,
        ),
        templates=templates,
        enrolment=enrolment,
        stations=stations,
        publishing=publishing(
            settings, authority, identity=identity, keystore=keystore, store=store, clock=clock
        ),
        clock=clock,
    )


async def apply_templates(parts: Parts, texts: list[TemplateText]) -> list[TemplateLine]:
    """Apply templates while nothing listens yet (first start).

    Raises:
        The first problem of a template that is refused.
    """
    lines = list(await parts.templates.apply(texts, ACTOR))
    for line in lines:
        if line.action is TemplateAction.REFUSE:
            raise line.problems[0]
    return lines


async def station_token(parts: Parts, name: str, *, lab: bool, valid_for: timedelta) -> str:
    """Make a join token while nothing listens yet (first start)."""
    return await parts.enrolment.create_token(name, lab=lab, valid_for=valid_for)


class Server:
    """The three listeners and the jobs over one set of parts."""

    def __init__(self, parts: Parts, *, work: bool = True) -> None:
        """Take the data folder and bind all listeners; without `work`, no job is done.

        Raises:
            StoreUnavailable: another server uses the data folder.
            ConfigInvalid: an address cannot be had.
        """
        settings, identity = parts.settings, parts.identity
        self._parts = parts
        self._version = version("issuance-kiosk")
        self._sessions = _sessions(parts)
        self._first_start = FirstStart(parts.store, parts.clock)
        self._holders = holder_sessions(parts.services, settings)
        self._acting = Acting(
            parts.store.operators, parts.store.roles, self._sessions, self._first_start, self._holders
        )
        access = Access(parts.store.stations, parts.clock, self._acting, parts.store.audit)
        tls = ServerTls(key=identity.key, chain=identity.chain)
        self._deadlines = Deadlines(
            warning=timedelta(hours=settings.jobs.warn_after_hours),
            limit=timedelta(hours=settings.jobs.limit_hours),
        )
        orphan_after = timedelta(days=settings.jobs.orphan_after_days)
        self._jobs = rota(parts.store, self._deadlines, orphan_after=orphan_after) if work else ()
        self._runner = Runner(
            parts.services, self._jobs, holder=str(uuid4()), random=secrets.SystemRandom().random
        )
        self._attendance = Attendance(parts.clock)
        self._lines = Lines(self._attendance.note)
        self._alone = hold(settings.data_folder)
        try:
            self._admin = bind_admin(settings.admin_socket_file, access=access)
            self._stations = bind_stations(
                str(settings.listen),
                tls,
                station_roots=pem(identity.stations_root),
                access=access,
                lines=self._lines,
            )
            self._joining = bind_joining(str(settings.join_listen), tls, access=access)
        except errors.ConfigInvalid:
            os.close(self._alone)
            raise

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """The listeners."""
        return (self._stations, self._joining, self._admin)

    async def start(self) -> None:
        """Serve, and do the jobs; that the key store was opened for it leaves evidence."""
        parts = self._parts
        await self._evidence("started")
        await parts.store.cards.release_all()
        await parts.store.jobs.release_all(parts.clock.now())
        name, store, services = parts.settings.names[0], parts.store, parts.services
        acts = Acts(store, parts.clock, policy(parts.settings))
        console = Console(
            store.cards,
            store.credentials,
            store.templates,
            services.directories,
            lambda: parts.keystore.generation,
            services.clock,
        )
        standing = {
            **probes(
                services,
                parts.keystore,
                connection=BUILT_IN,
                issuing=parts.identity.issuers.issuing,
                deadlines=self._deadlines,
                jobs=self._jobs,
            ),
            **watch(parts.settings, parts.identity.issuers.issuing, parts.clock),
        }
        admin = Admin(
            name=name,
            version=self._version,
            enrolment=parts.enrolment,
            fleet=fleet(store, self._lines, self._attendance, parts.clock),
            templates=parts.templates,
            keys=MasterKeyGenerations(parts.keystore, store.cards, store.audit, acts),
            work=Work(services, self._deadlines, {job.name: job.every for job in self._jobs}),
            probes=lambda: {**standing, **connection_probes(parts.switchboard, parts.clock)},
            clock=parts.clock,
        )
        operators = Operators(store, parts.clock, acts)
        managed = OperatorAdmin(operators, unrestricted(ACTOR))
        await self._stations.serve_stations(
            engine=OperationEngine(services, self._acting.again),
            console=console,
            credentials=Credentials(services),
            rehearsals=rehearsals(
                services, organisation=parts.settings.organisation, publication=publication(parts.settings)
            ),
            attendance=self._attendance,
            renewals=Renewals(store.stations, parts.stations, parts.clock),
            sessions=Logons(self._sessions, store.roles),
            self_service=self_services(services, self._holders, console, parts.settings),
            first_start=self._first_start,
            approvals=approvals(services, parts.settings),
            operators=managed,
            server=name,
            version=self._version,
            clock=parts.clock,
            describe=parts.settings.reflection,
        )
        await self._joining.serve_joining(parts.enrolment)
        await self._admin.serve_admin(
            admin,
            managed,
            applications(store, operators, parts.enrolment, self._lines, self._attendance, parts.clock),
            approvals=approval_admin(services, parts.settings, ACTOR),
            connections=parts.connections,
            people=People(services),
        )
        if parts.publishing is not None:
            await parts.publishing.start()
        self._runner.start()

    async def stop(self) -> None:
        """Take no more calls, stop the jobs, let operations record where they are, close the database."""
        await self._runner.stop()
        await asyncio.gather(*(endpoint.stop() for endpoint in self.endpoints))
        if self._parts.publishing is not None:
            await self._parts.publishing.stop()
        await self._parts.switchboard.close()
        await self._evidence("stopped")
        await self._parts.store.close()
        os.close(self._alone)

    async def _evidence(self, event: str) -> None:
        facts: dict[str, Fact] = {"version": self._version, "generation": self._parts.keystore.generation}
        record = AuditRecord(kind=AuditKind.SERVER, event=event, actor=SERVER, facts=facts)
        await self._parts.store.audit.append([record])


def _sessions(parts: Parts) -> Sessions:
    settings = parts.settings
    limits = SessionLimits(
        idle=timedelta(minutes=settings.sessions.idle_minutes),
        absolute=timedelta(minutes=settings.sessions.longest_minutes),
        step_up=timedelta(minutes=settings.sessions.step_up_minutes),
        agent_idle=timedelta(minutes=settings.sessions.agent_idle_minutes),
    )
    return Sessions(parts.store, parts.clock, names=settings.names, limits=limits)
