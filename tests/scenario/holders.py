"""Self-service in the lab: people with passwords, a station for holders, and whoever is logged on there."""

from collections.abc import Iterable, Mapping
from dataclasses import replace
from uuid import UUID

from kiosk.station.core import StationCore
from kiosk.station.operator_card import prove_operator, read_operator_card
from server.authority.access import Access, Caller, Listener
from server.authority.acting import Acting
from server.authority.holders import HolderLimits, HolderSessions
from server.authority.policy import unrestricted
from server.authority.self_service import SelfServices
from server.authority.sessions import Sessions
from server.connectors.directory.memory import MemoryDirectory
from server.operations.engine import OperationEngine
from server.ports.connection import Ability
from server.ports.store import StationRecord
from shared import errors
from shared.clock import Clock
from shared.console import CardHints, CardView
from shared.credential.model import CardRecord, HolderId, Person
from shared.credentials import DecisionView, FoundCredentials
from shared.logon import LogonText, read_logon_text
from shared.relay import OperationKind
from shared.secret import Secret
from shared.self_service import CardShown, CodeGiven, HolderGiven, PasswordGiven
from shared.station_profile import EVERYTHING, StationProfile
from tests.scenario.approving import service
from tests.scenario.lab import ALICE as SAME_NAMES
from tests.scenario.lab import BOB, DirectBackend, Holder, Lab
from tests.scenario.templates import EMPLOYEE
from tests.server.store.examples import EVIDENCE, a_station

ALICE = replace(
    SAME_NAMES, attributes={**SAME_NAMES.attributes, "user": "ajones", "upn": "a@x", "mail": "a@x"}
)
BOBS_PIN = "739154"
PASSWORDS = {BOB.holder: "correct horse", ALICE.holder: "battery staple"}
LIMITS = HolderLimits()

SELF_SERVICE = """
[self-service]
issue = ["password"]
activate = ["password", "code"]
change-pin = ["password", "card", "code"]
unblock = ["password", "card", "code"]
renew = ["card"]
reissue = ["card"]
suspend = ["password", "card"]
revoke = ["card"]
retire = ["card"]
"""
BADGE = EMPLOYEE.replace("\n[[certificate]]", f"{SELF_SERVICE}\n[[certificate]]", 1)


class PasswordDirectory(MemoryDirectory):
    """A directory that knows passwords, locks accounts, and counts what it is asked."""

    def __init__(self, people: Iterable[Person], passwords: Mapping[HolderId, str]) -> None:
        super().__init__(people)
        self.passwords = dict(passwords)
        self.locked: set[HolderId] = set()
        self.asked: list[HolderId] = []
        self.silent = False

    @property
    def abilities(self) -> frozenset[Ability]:
        return super().abilities | {Ability.AUTHENTICATE}

    async def authenticate(self, holder: HolderId, password: Secret) -> bool:
        self.asked.append(holder)
        if self.silent:
            raise errors.ConnectorUnreachable(connection="people", reason="silent")
        if holder in self.locked:
            raise errors.ConnectorRefused(connection="people", reason="locked")
        return self.passwords.get(holder) == password.reveal().decode()

    def disable(self, holder: HolderId) -> None:
        self._people[holder] = replace(self._people[holder], enabled=False)


class HolderBackend(DirectBackend):
    """The server as it is reached from here: by a holder who is logged on, else by somebody who may do everything."""

    def __init__(
        self, lab: Lab, self_services: SelfServices, engine: OperationEngine, caller: Caller
    ) -> None:
        super().__init__(engine, lab.backend._console, caller)
        self._self_services = self_services

    def become(self, caller: Caller) -> None:
        self._caller = caller

    async def look_up(self, hints: CardHints) -> CardView:
        if self._caller.holder is None:
            return await super().look_up(hints)
        return await self._self_services.look_up(self._caller, hints)

    async def find_credentials(self, text: str, limit: int) -> FoundCredentials:
        if self._caller.holder is None:
            return await super().find_credentials(text, limit)
        return await self._self_services.credentials(self._caller, text)

    async def decide(self, record_id: UUID, operation: OperationKind, reason: str) -> DecisionView:
        if self._caller.holder is None:
            return await super().decide(record_id, operation, reason)
        return await self._self_services.decide(self._caller, record_id, operation, reason)


class Kiosk:
    """A station for holders, whose readers are the lab's."""

    def __init__(self, lab: Lab, directory: PasswordDirectory, station: StationRecord) -> None:
        services = lab.services
        self.lab, self.directory, self.record = lab, directory, station
        self.station = a_caller(station)
        self.sessions = HolderSessions(
            lab.store, services.directories, services.clock, names=["lab"], limits=LIMITS
        )
        operators = Sessions(lab.store, services.clock, names=["lab"])
        self.operators = operators
        self.acting = Acting(lab.store.operators, lab.store.roles, operators, holders=self.sessions)
        self.access = Access(lab.store.stations, services.clock, self.acting, lab.store.audit)
        self.self_services = SelfServices(services, self.sessions, lab.backend._console, service(lab))
        engine = OperationEngine(services, self.acting.again)
        self.backend = HolderBackend(lab, self.self_services, engine, self.station)
        lab.backend = self.backend
        lab.station = StationCore(lab.readers, self.backend)

    @classmethod
    async def start(
        cls, *templates: str, clock: Clock | None = None, profile: StationProfile = EVERYTHING
    ) -> "Kiosk":
        directory = PasswordDirectory([BOB, ALICE], PASSWORDS)
        people = {"people": directory}
        first, *others = templates or (BADGE,)
        lab = await Lab.start(
            clock=clock, template=first, adapt=lambda services: replace(services, directories=people)
        )
        for template in others:
            await lab.apply(template)
        station = await a_place(lab, "kiosk", profile)
        for watch in lab.station._tasks:  # the one of the kiosk takes its place
            watch.cancel()
        made = cls(lab, directory, station)
        await lab.station.start()
        return made

    async def close(self) -> None:
        await self.lab.close()

    # --- logging on -------------------------------------------------------------------------------------

    async def give(self, given: HolderGiven, caller: Caller | None = None) -> bytes:
        """Log on, and return the token."""
        opened = await self.sessions.log_on(caller or self.station, given)
        return opened.token.reveal()

    async def by_password(self, person: Person = BOB, password: str | None = None) -> bytes:
        text = PASSWORDS[person.holder] if password is None else password
        name = person.attributes["user"]
        return await self.give(PasswordGiven(name=name, password=Secret.from_text(text)))

    async def card_shown(self, pin: str = BOBS_PIN) -> CardShown:
        """Have the card in the reader sign a challenge of ours."""

        async def challenge() -> LogonText:
            return read_logon_text(await self.sessions.challenge(self.station, "lab"))

        readers = self.lab.readers
        card = await read_operator_card(readers, "Reader 1")
        proof = await prove_operator(readers, card, Holder(current_pins=[pin]), challenge)
        return CardShown(card=(await self.the_card()).record_id, proof=proof)

    async def by_card(self, pin: str = BOBS_PIN) -> bytes:
        return await self.give(await self.card_shown(pin))

    async def by_code(self, code: Secret) -> bytes:
        given = CodeGiven(card=(await self.the_card()).record_id, code=Secret(code.reveal()))
        return await self.give(given)

    async def enter(
        self, token: bytes | None, method: str = "/kiosk.v1.Operations/Run", *, face: str = "cli"
    ) -> Caller:
        """Come to the server's door with a token of a holder."""
        caller = await self.access.admit(
            Listener.STATIONS, method, self.station.fingerprint, None, face, token
        )
        assert caller is not None
        return caller

    async def act(self, token: bytes) -> None:
        """From now on the lab's station calls as this holder."""
        await self._become(await self.enter(token))

    async def as_operator(self) -> None:
        """From now on the lab's station calls as somebody who may do everything."""
        await self._become(replace(self.station, principal=unrestricted("test")))

    async def _become(self, caller: Caller) -> None:
        self.backend.become(caller)
        await self.lab.station.refresh("Reader 1")

    async def the_card(self, person: Person = BOB) -> CardRecord:
        return (await self.lab.store.credentials.of_holder(person.holder))[0]


async def a_place(lab: Lab, name: str, profile: StationProfile = EVERYTHING) -> StationRecord:
    """Return a station of the lab that is on record."""
    until = lab.services.clock.now().replace(year=2100)
    station = replace(a_station(name), lab=True, not_after=until, profile=profile)
    await lab.store.stations.add_station(station, EVIDENCE)
    return station


def a_caller(station: StationRecord) -> Caller:
    """Return a station as it calls, with nobody logged on."""
    return Caller(
        station_id=station.station_id,
        name=station.name,
        lab=station.lab,
        fingerprint=station.fingerprint,
        profile=station.profile,
    )
