"""The first start: the System Owner's card, the first operator's, and what nobody may do to either."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest

from kiosk.station.faces import Outcome
from server.authority.access import RULES, Access, Caller, Listener, Rule
from server.authority.acting import Acting
from server.authority.first_start import LASTS, FirstStart, keep_passcode
from server.authority.operator_templates import operator_templates
from server.authority.operators import Operators
from server.authority.policy import unrestricted
from server.authority.sessions import Sessions
from server.connectors.directory.builtin import BuiltinDirectory
from server.connectors.directory.memory import MemoryDirectory
from server.operations.journal import Journal
from server.operations.secrets import CardSecrets
from server.ports.directory import Directory
from server.ports.store import OperatorKind, OperatorRecord
from server.store.memory import MemoryStore
from shared import errors
from shared.clock import SystemClock
from shared.credential.lifecycle import WITHOUT_CARD, OperationKind
from shared.credential.model import OWNERS, CardRecord, HolderId, State
from shared.first_start import SYSTEM_OWNER, named
from shared.piv.ids import ProfileName
from shared.roles import SYSTEM_ADMINISTRATOR
from shared.secret import Secret
from shared.virtual.faults import Fault, FaultKind
from tests.scenario.lab import BOB, Holder, Lab
from tests.scenario.templates import EMPLOYEE
from tests.server.rpc.world import MovableClock
from tests.server.store.examples import EVIDENCE, a_station

PASSCODE = "correct horse"
PIN = "824650"
RUN = "/kiosk.v1.Operations/Run"


class Start:
    """A server that waits for its first start, and two stations that are no lab stations."""

    def __init__(self, lab: Lab, here: Caller, elsewhere: Caller) -> None:
        self.lab, self.here, self.elsewhere = lab, here, elsewhere
        clock = lab.services.clock
        self.first_start = FirstStart(lab.store, clock)
        sessions = Sessions(lab.store, clock, names=["lab"])
        self.acting = Acting(lab.store.operators, lab.store.roles, sessions, self.first_start)
        self.access = Access(lab.store.stations, clock, self.acting)

    async def enter(self, token: bytes | None, method: str = RUN, at: Caller | None = None) -> Caller:
        caller = await self.access.admit(Listener.STATIONS, method, (at or self.here).fingerprint, token)
        assert caller is not None
        return caller

    async def begin(self) -> bytes:
        """Give the passcode, and act by it from now on."""
        token = (await self.first_start.begin(self.here, Secret.from_text(PASSCODE))).token.reveal()
        self.lab.backend._caller = replace(await self.enter(token), lab=True)
        return token

    async def card(self, serial: int) -> None:
        if serial != 1001:
            await self.lab.readers.pull("Reader 1")
        await self.lab.insert(ProfileName.YUBIKEY_5_7, serial=serial, name=f"card {serial}")

    async def issue(self, template: str, subject: str, roles: tuple[str, ...] = ()) -> Outcome:
        return await self.lab.perform(OperationKind.ISSUE, subject=subject, template=template, roles=roles)

    async def activate(self, holder: Holder) -> Outcome:
        return await self.lab.perform(OperationKind.ACTIVATE, holder)

    async def owner(self, holder: Holder) -> None:
        await self.card(1001)
        assert (await self.issue("system-owner", SYSTEM_OWNER)).error is None
        assert (await self.activate(holder)).error is None

    async def operator(self) -> None:
        await self.card(1002)
        assert (await self.issue("operator", BOB.holder, (SYSTEM_ADMINISTRATOR,))).error is None
        assert (await self.activate(Holder(new_pins=[PIN]))).error is None

    async def of(self, holder: HolderId) -> CardRecord:
        return (await self.lab.store.credentials.of_holder(holder))[0]

    async def operators(self) -> dict[OperatorKind, OperatorRecord]:
        return {each.kind: each for each in await self.lab.store.operators.all()}


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    people: dict[str, Directory] = {"built-in": BuiltinDirectory(), "people": MemoryDirectory([BOB])}
    lab = await Lab.start(template=EMPLOYEE, adapt=lambda services: replace(services, directories=people))
    for text in operator_templates("Example, Ltd", "people"):
        await lab.apply(text.text)
    await keep_passcode(lab.store, lab.services.clock, Secret.from_text(PASSCODE))
    callers = []
    for name in ("desk", "elsewhere"):
        station = replace(a_station(name), lab=False, not_after=lab.services.clock.now() + timedelta(days=30))
        await lab.store.stations.add_station(station, EVIDENCE)
        callers.append(
            Caller(station_id=station.station_id, name=name, lab=False, fingerprint=station.fingerprint)
        )
    yield Start(lab, *callers)
    await lab.close()


# --- from nothing to an operator ------------------------------------------------------------------------


async def test_from_the_passcode_to_an_operator(start: Start) -> None:
    token = await start.begin()
    assert not (await start.first_start.view(await start.enter(token))).owner_made
    holder = Holder(new_pins=[PIN])
    await start.owner(holder)
    (code,) = holder.codes
    assert len(code) == 8
    card = await start.of(SYSTEM_OWNER)
    assert card.puk.proven == OWNERS
    assert card.puk.pending is None
    assert (await start.first_start.view(await start.enter(token))).owner_made
    assert await start.first_start.waits()
    await start.operator()
    assert not await start.first_start.waits()
    made = await start.operators()
    assert set(made) == {OperatorKind.SYSTEM_OWNER, OperatorKind.OPERATOR}
    assert made[OperatorKind.OPERATOR].roles == {SYSTEM_ADMINISTRATOR}
    with pytest.raises(errors.SessionEnded):
        await start.enter(token)
    with pytest.raises(errors.PasscodeRejected):
        await start.begin()


async def test_the_code_opens_the_card_and_the_server_does_not_know_it(start: Start) -> None:
    await start.begin()
    holder = Holder(new_pins=[PIN])
    await start.owner(holder)
    card = start.lab.readers.card("card 1001")
    code = holder.codes[0].encode()
    assert card.memory.puk.value.reveal() == code
    start.lab.backend._caller = replace(start.here, lab=True, principal=unrestricted("test"))
    again = Holder(new_pins=["739154"], codes=[*holder.codes])
    assert (await start.lab.perform(OperationKind.UNBLOCK, again)).error is None
    assert again.codes == holder.codes, "no other code was made"
    assert card.memory.puk.value.reveal() == code
    assert card.memory.pin.value.reveal().rstrip(b"\xff") == b"739154"
    wrong = Holder(new_pins=["204816"], codes=["00000001"])
    refused = await start.lab.perform(OperationKind.UNBLOCK, wrong)
    assert isinstance(refused.error, errors.PukRejected)
    assert card.memory.pin.value.reveal().rstrip(b"\xff") == b"739154"
    again.new_pins.append("204816")
    assert (await start.lab.perform(OperationKind.UNBLOCK, again)).error is None
    assert card.memory.puk.left == card.memory.puk.tries


async def test_who_is_in_no_directory_is_called_by_name(start: Start) -> None:
    by_name = operator_templates("Example", "")[1].text.replace('"operator"', '"by-name"', 1)
    await start.lab.apply(by_name)
    await start.begin()
    await start.owner(Holder(new_pins=[PIN]))
    await start.card(1002)
    assert (await start.issue("by-name", named("Carla  Diaz"), (SYSTEM_ADMINISTRATOR,))).error is None
    assert (await start.activate(Holder(new_pins=[PIN]))).error is None
    assert (await start.operators())[OperatorKind.OPERATOR].name == "Carla Diaz"


# --- what nobody may do to the System Owner's card ------------------------------------------------------


@pytest.mark.parametrize("operation", [OperationKind.RETIRE, OperationKind.REVOKE, OperationKind.SUSPEND])
async def test_nobody_takes_the_way_back_in_away(start: Start, operation: OperationKind) -> None:
    await start.begin()
    await start.owner(Holder(new_pins=[PIN]))
    start.lab.backend._caller = replace(start.here, lab=True, principal=unrestricted("test"))
    refused = await start.lab.perform(operation, reason="lost")
    assert isinstance(refused.error, errors.OwnersCode)
    card = await start.of(SYSTEM_OWNER)
    if operation is not OperationKind.RETIRE:
        with pytest.raises(errors.OwnersCode):
            await start.lab.backend.decide(card.record_id, operation, "lost")
    assert (await start.of(SYSTEM_OWNER)).state is State.ACTIVE


async def test_no_code_of_the_servers_opens_it(start: Start) -> None:
    await start.begin()
    await start.owner(Holder(new_pins=[PIN]))
    start.lab.backend._caller = replace(start.here, lab=True, principal=unrestricted("test"))
    card = await start.of(SYSTEM_OWNER)
    for tell in (start.lab.backend.read_out, start.lab.backend.make_unblock_code):
        with pytest.raises(errors.OwnersCode):
            await tell(card.record_id)
    with pytest.raises(errors.OwnersCode):
        await CardSecrets(
            start.lab.services.keystore, card.record_id, Journal(start.lab.store.cards, start.here)
        ).puk(OWNERS)


async def test_nobody_else_gets_the_owners_card(start: Start) -> None:
    """Neither an administrator, nor by its holder's id, nor as a second one in a first start."""
    start.lab.backend._caller = replace(start.here, lab=True, principal=unrestricted("test"))
    await start.card(1001)
    assert isinstance((await start.issue("system-owner", SYSTEM_OWNER)).error, errors.NotAllowed)
    assert isinstance((await start.issue("operator", SYSTEM_OWNER, ("normal",))).error, errors.KioskError)
    await start.begin()
    assert isinstance((await start.issue("system-owner", BOB.holder)).error, errors.KioskError)
    assert (await start.issue("system-owner", SYSTEM_OWNER)).error is None
    assert (await start.activate(Holder(new_pins=[PIN]))).error is None
    await start.card(1002)
    assert isinstance((await start.issue("system-owner", SYSTEM_OWNER)).error, errors.Invalid)


async def test_its_roles_stay(start: Start) -> None:
    await start.begin()
    await start.owner(Holder(new_pins=[PIN]))
    operators = Operators(start.lab.store, start.lab.services.clock)
    owner = (await start.operators())[OperatorKind.SYSTEM_OWNER]
    for roles in ((), ("normal",)):
        with pytest.raises(errors.Invalid):
            await operators.set_roles(str(owner.operator_id), roles, "to try", unrestricted("test"))


# --- what the passcode is not good for -------------------------------------------------------------------


async def test_it_makes_two_cards_and_nothing_else(start: Start) -> None:
    token = await start.begin()
    await start.card(1001)
    assert isinstance((await start.issue("employee", BOB.holder)).error, errors.NotAllowed)
    refused = await start.issue("operator", BOB.holder, (SYSTEM_ADMINISTRATOR,))
    assert isinstance(refused.error, errors.Invalid), "the System Owner's card comes first"
    for kind in set(OperationKind) - {OperationKind.ISSUE, OperationKind.ACTIVATE}:
        outcome = await start.lab.perform(kind, reason="lost")
        assert isinstance(outcome.error, errors.NotAllowed), kind
    for kind in WITHOUT_CARD:
        with pytest.raises(errors.NotAllowed):
            await start.lab.backend.decide(uuid4(), kind, "lost")
    allowed = {
        "Decide",
        "RehearseIssue",
        "LookUpCard",
        "CompareCard",
        "FindPeople",
        "ListTemplates",
        "Run",
        "WhoAmI",
        "Renew",
    }
    allowed |= {"Begin", "View", "End", "Challenge", "LogOn", "StepUp", "LogOff", "WhoIs"}
    allowed |= {"BeginDevice", "AskDevice", "CancelDevice"}  # a station asks, whoever is there
    allowed |= {"Check", "List", "Watch", "ServerReflectionInfo"}
    for method, rule in RULES.items():
        if rule not in {Rule.REGISTERED_STATION, Rule.LAB_STATION}:
            continue
        name = method.rpartition("/")[2]
        try:
            await start.enter(token, method)
        except errors.PolicyError:
            continue
        assert name in allowed, method


async def test_a_first_operator_without_all_it_takes_is_refused(start: Start) -> None:
    await start.begin()
    await start.owner(Holder(new_pins=[PIN]))
    await start.card(1002)
    assert isinstance((await start.issue("operator", BOB.holder, ("normal",))).error, errors.Invalid)


async def test_a_session_counts_where_it_began_and_for_a_while(start: Start) -> None:
    token = await start.begin()
    with pytest.raises(errors.SessionEnded):
        await start.enter(token, at=start.elsewhere)
    assert await start.lab.store.audit.page(1, 1000)
    events = [entry.record.event for entry in await start.lab.store.audit.page(1, 1000)]
    assert "first-start-elsewhere" in events
    other = await start.first_start.begin(start.elsewhere, Secret.from_text(PASSCODE))
    with pytest.raises(errors.SessionEnded):
        await start.enter(token)
    await start.enter(other.token.reveal(), at=start.elsewhere)


async def test_wrong_passcodes_are_counted_delayed_and_recorded() -> None:
    clock = MovableClock()
    store = MemoryStore(clock)
    await keep_passcode(store, clock, Secret.from_text(PASSCODE))
    station = a_station("desk")
    await store.stations.add_station(station, EVIDENCE)
    caller = Caller(station_id=station.station_id, name="desk", lab=False, fingerprint=station.fingerprint)
    judge = FirstStart(store, clock)
    for _ in range(3):
        with pytest.raises(errors.PasscodeRejected):
            await judge.begin(caller, Secret.from_text("wrong passcode"))
        clock.later += timedelta(seconds=5)
    clock.later += timedelta(seconds=-5)
    with pytest.raises(errors.TooManyAttempts):
        await judge.begin(caller, Secret.from_text(PASSCODE))
    events = [entry.record.event for entry in await store.audit.page(1, 100)]
    assert events.count("passcode-rejected") == 3
    clock.later += timedelta(seconds=6)
    begun = await judge.begin(caller, Secret.from_text(PASSCODE))
    assert (await judge.admit(begun.token.reveal(), caller)).first_start
    clock.later += timedelta(seconds=LASTS.total_seconds())
    with pytest.raises(errors.SessionEnded):
        await judge.admit(begun.token.reveal(), caller)


@pytest.mark.parametrize("passcode", ["short", "x" * 129])
async def test_a_passcode_that_is_too_short_is_not_kept(passcode: str) -> None:
    clock = SystemClock()
    with pytest.raises(errors.Invalid):
        await keep_passcode(MemoryStore(clock), clock, Secret.from_text(passcode))


# --- cut, and opened again --------------------------------------------------------------------------------


@pytest.mark.parametrize("at", range(1, 16))
@pytest.mark.parametrize("kind", [FaultKind.COMMAND_LOST, FaultKind.RESPONSE_LOST])
async def test_an_activation_that_is_cut_is_gone_on_with(start: Start, at: int, kind: FaultKind) -> None:
    await start.begin()
    await start.card(1001)
    assert (await start.issue("system-owner", SYSTEM_OWNER)).error is None
    holder = Holder(new_pins=[PIN, "739154", "204816"])
    start.lab.readers.card("card 1001").faults.arm(Fault(kind=kind, at=at))
    for _ in range(3):
        outcome = await start.activate(holder)
        if outcome.error is None:
            break
        await start.lab.readers.pull("Reader 1")
        await start.lab.readers.insert("Reader 1", "card 1001")
    assert outcome.error is None, outcome.error
    memory = start.lab.readers.card("card 1001").memory
    assert memory.puk.value.reveal() == holder.codes[-1].encode()
    assert (await start.of(SYSTEM_OWNER)).puk.proven == OWNERS
    assert OperatorKind.SYSTEM_OWNER in await start.operators()


async def test_when_every_card_is_lost_a_first_start_is_opened_again(start: Start) -> None:
    await start.begin()
    await start.owner(Holder(new_pins=[PIN]))
    await start.operator()
    before = (await start.operators())[OperatorKind.SYSTEM_OWNER]
    await keep_passcode(start.lab.store, start.lab.services.clock, Secret.from_text(PASSCODE), again=True)
    await start.begin()
    assert (await start.first_start.view(start.lab.backend._caller)).again
    await start.card(1003)
    assert (await start.issue("system-owner", SYSTEM_OWNER)).error is None
    assert (await start.activate(Holder(new_pins=[PIN]))).error is None
    after = (await start.operators())[OperatorKind.SYSTEM_OWNER]
    assert after.operator_id == before.operator_id
    assert [key.active for key in after.keys] == [False, True]
    assert await start.first_start.waits()
    start.lab.backend._caller = replace(start.here, lab=True, principal=unrestricted("test"))
    old = next(
        each for each in await start.lab.store.credentials.of_holder(SYSTEM_OWNER) if each.serial == 1001
    )
    await start.lab.backend.decide(old.record_id, OperationKind.REVOKE, "lost")
