"""How operators come into being: a card with roles, its first PIN, and from then on nobody acts without one."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

import pytest

from kiosk.station.operator_card import prove_operator, read_operator_card
from server.authority.access import Access, Caller, Listener
from server.authority.acting import Acting
from server.authority.policy import Principal
from server.authority.sessions import Sessions
from server.connectors.directory.memory import MemoryDirectory
from server.ports.ca import Outcome, SignRequest
from server.ports.store import AuditKind, OperatorKind, OperatorRecord, RoleRecord
from shared import errors
from shared.credential.approval import Way
from shared.credential.lifecycle import OperationKind
from shared.credential.model import CardRecord, Person, State
from shared.logon import LogonPurpose, LogonText, read_logon_text
from shared.piv.ids import Ins, ProfileName
from shared.roles import PRESETS, Area, Grant, Level, Role, clone, to_document, union
from shared.virtual.faults import Fault, FaultKind
from tests.scenario.approving import Second
from tests.scenario.lab import ALICE, BOB, Holder, Lab
from tests.scenario.templates import EMPLOYEE
from tests.server.store.examples import EVIDENCE, a_station

OPERATOR = EMPLOYEE.replace('name = "employee"', 'name = "operator"\noperator = true')
ADMINISTRATOR = "system-administrator"
FIND = "/kiosk.v1.Credentials/Find"
PIN = "824650"


@pytest.fixture
async def lab() -> AsyncIterator[Lab]:
    people = {"people": MemoryDirectory([BOB, ALICE])}
    made = await Lab.start(template=OPERATOR, adapt=lambda services: replace(services, directories=people))
    await made.apply(EMPLOYEE)
    await made.insert(ProfileName.YUBIKEY_5_7)
    yield made
    await made.close()


async def issue(
    lab: Lab, *roles: str, subject: str = BOB.holder, template: str = "operator"
) -> errors.KioskError | None:
    outcome = await lab.perform(OperationKind.ISSUE, subject=subject, template=template, roles=roles)
    return outcome.error


async def activate(lab: Lab) -> errors.KioskError | None:
    return (await lab.perform(OperationKind.ACTIVATE, Holder(new_pins=[PIN]))).error


async def another_card(lab: Lab, serial: int) -> None:
    await lab.readers.pull("Reader 1")
    await lab.insert(ProfileName.YUBIKEY_5_7, serial=serial, name=f"card {serial}")


async def the_card(lab: Lab, person: Person = BOB) -> CardRecord:
    return (await lab.store.credentials.of_holder(person.holder))[0]


async def the_operator(lab: Lab) -> OperatorRecord:
    (operator,) = await lab.store.operators.of_holder(BOB.holder)
    return operator


def become(lab: Lab, *roles: Role) -> None:
    caller = lab.backend._caller
    lab.backend._caller = replace(caller, principal=Principal(actor="anna", permissions=union(roles)))


class Door:
    """The server's door, as a station of the lab comes to it."""

    def __init__(self, lab: Lab, caller: Caller) -> None:
        self.lab = lab
        self.caller = caller
        self.sessions = Sessions(lab.store, lab.services.clock, names=["lab"])
        self.acting = Acting(lab.store.operators, lab.store.roles, self.sessions)
        self.access = Access(lab.store.stations, lab.services.clock, self.acting)

    @classmethod
    async def of(cls, lab: Lab) -> "Door":
        station = replace(a_station("desk"), lab=True, not_after=lab.services.clock.now().replace(year=2100))
        await lab.store.stations.add_station(station, EVIDENCE)
        caller = Caller(station_id=station.station_id, name="desk", lab=True, fingerprint=station.fingerprint)
        return cls(lab, caller)

    async def enter(self, token: bytes | None = None, method: str = FIND) -> Caller:
        caller = await self.access.admit(Listener.STATIONS, method, self.caller.fingerprint, token)
        assert caller is not None
        return caller

    async def log_on(self) -> bytes:
        """Log on with the card in the reader, and return the token."""

        async def challenge() -> LogonText:
            return read_logon_text(await self.sessions.challenge(self.caller, LogonPurpose.LOG_ON, "lab"))

        readers = self.lab.readers
        card = await read_operator_card(readers, "Reader 1")
        proof = await prove_operator(readers, card, Holder(current_pins=[PIN]), challenge)
        return (await self.sessions.log_on(self.caller, proof)).token.reveal()


# --- the first one --------------------------------------------------------------------------------------


async def test_from_an_empty_installation_to_a_revoked_operator(lab: Lab) -> None:
    door = await Door.of(lab)
    assert await issue(lab, ADMINISTRATOR) is None
    await door.enter()  # nobody is an operator yet: a lab station acts by itself
    assert not await lab.store.operators.exist()
    assert await activate(lab) is None
    with pytest.raises(errors.LogonNeeded):
        await door.enter()
    operator = await the_operator(lab)
    assert (operator.name, operator.kind, operator.holder) == (BOB.name, OperatorKind.OPERATOR, BOB.holder)
    assert operator.roles == {ADMINISTRATOR}
    token = await door.log_on()
    caller = await door.enter(token)
    assert caller.actor == str(operator.operator_id)
    lab.backend._caller = caller
    await another_card(lab, 1002)
    assert await issue(lab, subject=ALICE.holder, template="employee") is None
    card = await the_card(lab)
    await lab.backend.decide(card.record_id, OperationKind.REVOKE, "lost")
    with pytest.raises(errors.SessionEnded):
        await door.enter(token)
    with pytest.raises(errors.LogonNeeded):  # and the installation does not fall back to lab stations
        await door.enter()


async def test_a_role_decides(lab: Lab) -> None:
    door = await Door.of(lab)
    assert await issue(lab, ADMINISTRATOR) is None
    assert await activate(lab) is None
    operator = await the_operator(lab)
    token = await door.log_on()
    await lab.store.operators.set_roles(operator.operator_id, {"restricted"}, EVIDENCE)
    lab.backend._caller = await door.enter(token)
    await another_card(lab, 1002)
    refused = await issue(lab, subject=ALICE.holder, template="employee")
    assert isinstance(refused, errors.NotAllowed)
    await door.enter(token, FIND)
    with pytest.raises(errors.NotAllowed):
        await door.enter(token, "/kiosk.v1.Rehearsals/RehearseIssue")


@pytest.mark.parametrize("how", [OperationKind.SUSPEND, OperationKind.REVOKE, OperationKind.DELETE])
async def test_a_card_that_is_out_of_use_logs_nobody_on(lab: Lab, how: OperationKind) -> None:
    door = await Door.of(lab)
    assert await issue(lab, ADMINISTRATOR) is None
    assert await activate(lab) is None
    token = await door.log_on()
    card = await the_card(lab)
    await lab.backend.decide(card.record_id, how, "lost")
    with pytest.raises(errors.SessionEnded):
        await door.enter(token)
    with pytest.raises(errors.LogonRefused):
        await door.log_on()


# --- what is refused ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("template", "roles"),
    [
        ("operator", ()),
        ("operator", ("nobody",)),
        ("operator", ("normal",)),
        ("employee", (ADMINISTRATOR,)),
    ],
    ids=["none", "unknown", "the first manages nobody", "no operator's template"],
)
async def test_roles_that_do_not_fit_are_refused_before_the_card(
    lab: Lab, template: str, roles: tuple[str, ...]
) -> None:
    refused = await issue(lab, *roles, template=template)
    assert isinstance(refused, errors.Invalid)
    assert refused.facts["field"] == "role"
    kinds = {entry.record.kind for entry in await lab.store.audit.page(0, 100)}
    assert AuditKind.OPERATION not in kinds


MANAGES = Role(name="manages", title="Manages", grants=(Grant(subject=Area.OPERATORS, level=Level.EXECUTE),))


@pytest.mark.parametrize(
    ("who", "passes"),
    [
        ([PRESETS["normal"]], False),
        ([PRESETS["elevated"]], False),
        ([PRESETS["restricted"], MANAGES], False),
        ([PRESETS["normal"], MANAGES], True),
        ([PRESETS[ADMINISTRATOR]], True),
    ],
    ids=["normal", "elevated", "less than it gives", "manages and has", "administrator"],
)
async def test_nobody_gives_by_a_card_what_they_may_not_do(
    lab: Lab, who: list[Role], *, passes: bool
) -> None:
    assert await issue(lab, ADMINISTRATOR) is None
    assert await activate(lab) is None
    await another_card(lab, 1002)
    carol = await Second.hired(lab)

    async def agreed(way: Way) -> None:
        """Let a second person agree, so that nothing but the right of who does it is missing."""
        become(lab, PRESETS[ADMINISTRATOR])
        wish = {"template": "operator", "roles": ("normal",)} if way is Way.ISSUE else {}
        await carol.agree(way, holder=ALICE.holder, **wish)
        become(lab, *who)

    await agreed(Way.ISSUE)
    given = await issue(lab, "normal", subject=ALICE.holder)
    assert isinstance(given, type(None) if passes else errors.NotAllowed)
    become(lab, PRESETS[ADMINISTRATOR])
    if not passes:
        assert await issue(lab, "normal", subject=ALICE.holder) is None
    await agreed(Way.ACTIVATE)
    activated = await activate(lab)
    assert isinstance(activated, type(None) if passes else errors.NotAllowed)
    become(lab, PRESETS[ADMINISTRATOR])
    if not passes:
        assert await activate(lab) is None
    for way in (Way.UNBLOCK, Way.UNBLOCK_CODE, Way.READ_OUT):
        await agreed(way)
    unblocked = await lab.perform(OperationKind.UNBLOCK, Holder(new_pins=["913572"]))
    assert isinstance(unblocked.error, type(None) if passes else errors.NotAllowed)
    record_id = (await the_card(lab, ALICE)).record_id
    for ask in (lab.backend.make_unblock_code, lab.backend.read_out):
        if passes:
            await ask(record_id)
        else:
            with pytest.raises(errors.NotAllowed):
                await ask(record_id)


# --- another card of the same person --------------------------------------------------------------------


async def test_a_replacement_keeps_the_operator_and_drops_the_old_key(lab: Lab) -> None:
    door = await Door.of(lab)
    assert await issue(lab, ADMINISTRATOR) is None
    assert await activate(lab) is None
    before = await the_operator(lab)
    old = (await the_card(lab)).credential
    assert old is not None
    await another_card(lab, 1002)
    carol = await Second.hired(lab)
    await carol.agree(Way.ISSUE, replaces=str(old.credential_id))
    replaced = await lab.perform(
        OperationKind.ISSUE, template="operator", replaces=str(old.credential_id), reason="damaged"
    )
    assert replaced.error is None
    await carol.agree(Way.ACTIVATE, holder=BOB.holder)
    assert await activate(lab) is None
    after = await the_operator(lab)
    assert (after.operator_id, after.roles) == (before.operator_id, before.roles)
    assert [key.active for key in after.keys] == [False, True]
    await door.log_on()


async def test_a_second_card_gives_no_other_roles(lab: Lab) -> None:
    assert await issue(lab, ADMINISTRATOR) is None
    assert await activate(lab) is None
    await another_card(lab, 1002)
    assert isinstance(await issue(lab, "normal"), errors.Invalid)
    carol = await Second.hired(lab)
    await carol.agree(Way.ISSUE, holder=BOB.holder, template="operator")
    assert await issue(lab) is None
    await carol.agree(Way.ACTIVATE, holder=BOB.holder)
    assert await activate(lab) is None
    operator = await the_operator(lab)
    assert operator.roles == {ADMINISTRATOR}
    assert [key.counts for key in operator.keys] == [True, True]


async def test_new_keys_log_on_instead_of_the_old_ones(lab: Lab) -> None:
    door = await Door.of(lab)
    assert await issue(lab, ADMINISTRATOR) is None
    assert await activate(lab) is None
    token = await door.log_on()
    await (await Second.hired(lab)).agree(Way.REISSUE, holder=BOB.holder)
    holder = Holder(current_pins=[PIN, PIN])
    outcome = await lab.perform(OperationKind.REISSUE, holder, slots=["9A"])
    assert outcome.error is None
    assert [key.active for key in (await the_operator(lab)).keys] == [False, True]
    with pytest.raises(errors.SessionEnded):
        await door.enter(token)
    await door.enter(await door.log_on())


async def test_a_role_that_is_gone_is_not_given(lab: Lab) -> None:
    chief = clone(PRESETS[ADMINISTRATOR], name="chief", title="Chief")
    kept = RoleRecord(
        name="chief", document=to_document(chief), preset=False, changed_at=lab.services.clock.now()
    )
    await lab.store.roles.add(kept, EVIDENCE)
    assert await issue(lab, "chief") is None
    await lab.store.roles.remove("chief", EVIDENCE)
    refused = await activate(lab)
    assert isinstance(refused, errors.Invalid)
    assert "chief" in str(refused.facts["why"])
    assert (await the_card(lab)).state is State.ISSUED
    assert not await lab.store.operators.exist()


async def test_a_cut_keeps_the_roles(lab: Lab) -> None:
    certify = lab.ca.issue

    async def issue_and_pull(requests: Sequence[SignRequest]) -> Sequence[Outcome]:
        await lab.readers.pull("Reader 1")
        return await certify(requests)

    lab.ca.issue = issue_and_pull  # type: ignore[method-assign]  # the same, and the card is gone
    assert isinstance(await issue(lab, ADMINISTRATOR), errors.CardLost)
    lab.ca.issue = certify  # type: ignore[method-assign]
    await lab.readers.insert("Reader 1", "card")
    record = await the_card(lab)
    assert record.open_operation is not None
    assert record.open_operation.roles == (ADMINISTRATOR,)
    assert isinstance(await issue(lab, "normal"), errors.OperationInterrupted)
    assert await issue(lab) is None
    assert await activate(lab) is None
    assert (await the_operator(lab)).roles == {ADMINISTRATOR}


@pytest.mark.parametrize("at", [Ins.RESET_RETRY_COUNTER, Ins.CHANGE_REFERENCE_DATA, Ins.VERIFY])
async def test_an_activation_that_was_cut_registers_its_operator_once(lab: Lab, at: Ins) -> None:
    assert await issue(lab, ADMINISTRATOR) is None
    lab.readers.arm("card", Fault(kind=FaultKind.RESPONSE_LOST, ins=at, at=1))
    assert isinstance(await activate(lab), errors.CardLost)
    assert not await lab.store.operators.exist()
    await lab.readers.insert("Reader 1", "card")
    assert await activate(lab) is None
    operator = await the_operator(lab)
    assert [key.counts for key in operator.keys] == [True]
    await (await Door.of(lab)).log_on()


async def test_who_loses_a_role_meanwhile_does_not_finish(lab: Lab) -> None:
    assert await issue(lab, ADMINISTRATOR) is None
    assert await activate(lab) is None
    await another_card(lab, 1002)
    held = Principal(actor="anna", permissions=union([PRESETS["normal"], MANAGES]))
    lost = Principal(actor="anna", permissions=union([PRESETS["normal"]]))
    lab.backend._caller = replace(lab.backend._caller, principal=held)

    async def again(caller: Caller) -> Caller:
        return replace(caller, principal=lost)

    lab.engine._again = again
    await (await Second.hired(lab)).agree(
        Way.ISSUE, holder=ALICE.holder, template="operator", roles=("normal",)
    )
    assert isinstance(await issue(lab, "normal", subject=ALICE.holder), errors.NotAllowed)
    record = await the_card(lab, ALICE)
    assert record.credential is None
    assert record.open_operation is not None, "somebody else may finish"
