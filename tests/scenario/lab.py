"""A whole installation in one process: real operations, key store, certificate authority and cards, no wire."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Self
from uuid import UUID, uuid4

from kiosk.devices.virtual.reader import VirtualReaders
from kiosk.ports import LinkState
from kiosk.station.core import StationCore
from kiosk.station.faces import Job, Outcome
from server.authority.access import Caller
from server.authority.console import Console
from server.authority.credentials import Credentials
from server.authority.policy import unrestricted
from server.connectors.ca.bootstrap import CONTENT_SIGNING_KEY, bootstrap, certify_content_signer
from server.connectors.ca.builtin import BuiltinAuthority
from server.connectors.directory.memory import MemoryDirectory
from server.connectors.keystore.memory import MemoryKeyStore
from server.operations.engine import OperationEngine
from server.operations.services import ContentSigner, Services
from server.ports.store import AuditKind, AuditRecord, StoredTemplate
from server.store.memory import MemoryStore
from shared import errors
from shared.clock import Clock, SystemClock
from shared.console import CardHints, CardView, Comparison, Found, ServerView, TemplateView
from shared.credential.model import HolderId, Person, StationId, TemplateRef
from shared.credential.pins import PinPolicy
from shared.credential.template_reading import parse_template
from shared.credentials import CodeView, DecisionView, FoundCredentials
from shared.errors import KioskError
from shared.piv.ids import ProfileName
from shared.relay import OperationKind, ServerTurn, StationTurn, StepLine
from shared.secret import Secret
from shared.virtual.card import VirtualCard
from tests.scenario.templates import EMPLOYEE


class Wire:
    """Both ends of one operation's stream, in memory."""

    def __init__(self, turns: AsyncIterator[StationTurn]) -> None:
        self._turns = turns
        self.to_station: asyncio.Queue[ServerTurn | KioskError | None] = asyncio.Queue()

    async def send(self, turn: ServerTurn) -> None:
        await self.to_station.put(turn)

    async def receive(self) -> StationTurn:
        try:
            return await anext(self._turns)
        except StopAsyncIteration as cause:
            raise errors.ConnectionLost from cause


class DirectBackend:
    """The server without a wire. `wire` makes both ends of each operation's stream."""

    def __init__(self, engine: OperationEngine, console: Console, caller: Caller) -> None:
        self._engine = engine
        self._console = console
        self._credentials = Credentials(engine._services)
        self._caller = caller
        self.wire: Callable[[AsyncIterator[StationTurn]], Wire] = Wire

    async def operation(self, turns: AsyncIterator[StationTurn]) -> AsyncIterator[ServerTurn]:
        wire = self.wire(turns)

        async def run() -> None:
            try:
                await self._engine.run(self._caller, wire)
            except KioskError as error:
                await wire.to_station.put(error)
            else:
                await wire.to_station.put(None)

        task = asyncio.create_task(run())
        try:
            while (turn := await wire.to_station.get()) is not None:
                if isinstance(turn, KioskError):
                    raise turn
                yield turn
        finally:
            await task

    async def who_am_i(self) -> ServerView:
        return ServerView(server="lab", version="test", station=self._caller.name, lab=self._caller.lab)

    async def look_up(self, hints: CardHints) -> CardView:
        return await self._console.look_up(self._caller, hints)

    async def compare(self, hints: CardHints, template: str) -> Comparison:
        return await self._console.compare(self._caller, hints, template)

    async def find_people(self, text: str, limit: int, directory: str = "") -> Found:
        return await self._console.find_people(self._caller, text, limit, directory)

    async def templates(self) -> Sequence[TemplateView]:
        return await self._console.templates(self._caller)

    async def find_credentials(self, text: str, limit: int) -> FoundCredentials:
        return await self._credentials.find(self._caller, text, limit)

    async def decide(self, record_id: UUID, operation: OperationKind, reason: str) -> DecisionView:
        return await self._credentials.decide(self._caller, record_id, operation, reason)

    async def read_out(self, record_id: UUID) -> CodeView:
        return await self._credentials.read_out(self._caller, record_id)

    async def make_unblock_code(self, record_id: UUID) -> CodeView:
        return await self._credentials.make_unblock_code(self._caller, record_id)

    async def link(self) -> AsyncIterator[LinkState]:
        yield LinkState.CONNECTED
        await asyncio.Event().wait()

    async def close(self) -> None:
        pass


@dataclass
class Holder:
    """Somebody who types PINs."""

    new_pins: list[str] = field(default_factory=list)
    current_pins: list[str] = field(default_factory=list)
    problems: list[KioskError | None] = field(default_factory=list)
    tries_seen: list[int | None] = field(default_factory=list)
    codes: list[str] = field(default_factory=list)
    """Unblock codes that were kept, the newest last."""
    confirm: bool = True

    async def new_pin(self, policy: PinPolicy, problem: KioskError | None) -> Secret | None:
        self.problems.append(problem)
        return Secret.from_text(self.new_pins.pop(0)) if self.new_pins else None

    async def current_pin(self, tries_left: int | None, problem: KioskError | None) -> Secret | None:
        self.problems.append(problem)
        self.tries_seen.append(tries_left)
        return Secret.from_text(self.current_pins.pop(0)) if self.current_pins else None

    async def confirm_few_tries(self, tries_left: int) -> bool:
        return self.confirm

    async def keep_code(self, code: Secret) -> bool:
        self.codes.append(code.reveal().decode())
        return self.confirm

    async def present_code(self) -> Secret | None:
        return Secret.from_text(self.codes[-1]) if self.codes else None


@dataclass
class Notes:
    """Somebody who watches the steps."""

    lines: list[StepLine] = field(default_factory=list)
    done: set[int] = field(default_factory=set)

    def steps(self, steps: Sequence[StepLine]) -> None:
        self.lines = list(steps)

    def step(self, index: int, *, done: bool, expected_ms: int) -> None:
        if done:
            self.done.add(index)


BOB = Person(
    holder=HolderId("7a7e7c6e-0001"),
    name="Bob Smith",
    attributes={
        "user": "bsmith",
        "upn": "bsmith@example.test",
        "mail": "bsmith@example.test",
        "department": "Research",
        "sid": "S-1-5-21-1004336348-1177238915-682003330-1001",
    },
)
ALICE = replace(BOB, holder=HolderId("7a7e7c6e-0002"), name="Alice Jones")


class Lab:
    """Everything, started."""

    def __init__(self, services: Services, store: MemoryStore, ca: BuiltinAuthority, caller: Caller) -> None:
        self.services = services
        self.store = store
        self.ca = ca
        self.readers = VirtualReaders(["Reader 1"])
        self.engine = OperationEngine(services)
        console = Console(
            store.cards,
            store.credentials,
            store.templates,
            services.directories,
            lambda: services.keystore.generation,
            services.clock,
        )
        self.backend = DirectBackend(self.engine, console, caller)
        self.station = StationCore(self.readers, self.backend)

    @classmethod
    async def start(
        cls,
        *,
        clock: Clock | None = None,
        template: str = EMPLOYEE,
        lab: bool = True,
        adapt: Callable[[Services], Services] = lambda services: services,
    ) -> Self:
        """Start everything; `adapt` may put other parts in the place of the usual ones."""
        clock = clock or SystemClock()
        keystore = MemoryKeyStore(clock)
        store = MemoryStore(clock)
        issuers = await bootstrap(keystore, store.ledger, clock, "Example")
        ca = BuiltinAuthority(
            connection="built-in",
            keystore=keystore,
            ledger=store.ledger,
            audit=store.audit,
            clock=clock,
            issuers=issuers,
        )
        services = Services(
            store=store,
            keystore=keystore,
            authorities={"built-in": ca},
            directories={"people": MemoryDirectory([BOB])},
            signer=ContentSigner(
                key=CONTENT_SIGNING_KEY,
                certificate=await certify_content_signer(ca.issuer, keystore, store.ledger),
            ),
            clock=clock,
            allow_virtual=True,
        )
        caller = Caller(
            station_id=StationId(uuid4()),
            name="desk",
            lab=lab,
            fingerprint=b"\x00" * 32,
            principal=unrestricted("test"),
        )
        made = cls(adapt(services), store, ca, caller)
        await made.apply(template)
        await made.station.start()
        return made

    async def apply(self, template: str, version: int = 1) -> None:
        """Store a version of a template."""
        parsed = parse_template(template)
        await self.store.templates.add(
            StoredTemplate(
                ref=TemplateRef(name=parsed.name, version=version, digest=parsed.digest),
                text=template,
                applied_at=self.services.clock.now(),
            ),
            AuditRecord(kind=AuditKind.TEMPLATE, event="applied", actor="test"),
        )

    async def insert(
        self,
        profile: ProfileName,
        serial: int = 1001,
        name: str = "card",
        make: Callable[..., VirtualCard] = VirtualCard.new,
    ) -> None:
        """Put a new card of this profile into the reader."""
        self.readers.add_card(name, make(profile, serial=serial, random=os.urandom))
        await self.readers.insert("Reader 1", name)

    async def settle(self) -> None:
        """Wait until the station has read the card, so that what comes next is not its reading."""
        async for view in self.station.views():
            seen = next((reader for reader in view.readers if reader.name == "Reader 1"), None)
            known = self.station._known.get("Reader 1")
            if seen is not None and seen.present and known is not None and known.reading is not None:
                await asyncio.wait({known.reading})
                return

    async def perform(
        self,
        operation: OperationKind,
        person: Holder | None = None,
        *,
        subject: str = "",
        template: str = "",
        reason: str = "",
        replaces: str = "",
        primary: str = "",
        temporary_pin: bool = False,
        code: Secret | None = None,
        slots: Sequence[str] = (),
        roles: Sequence[str] = (),
        notes: Notes | None = None,
    ) -> Outcome:
        job = Job(
            operation=operation,
            reader="Reader 1",
            holder=subject,
            template=template,
            reason=reason,
            replaces=replaces,
            primary=primary,
            temporary_pin=temporary_pin,
            code=code,
            slots=tuple(slots),
            roles=tuple(roles),
        )
        return await self.station.perform(job, person or Holder(), notes or Notes())

    async def close(self) -> None:
        await self.station.close()
        await self.readers.close()
