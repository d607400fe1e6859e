"""Certificates and keys are replaced, and authorities, cards or stations are not as they should be."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace

import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from server.connectors.ca.builtin import BuiltinAuthority
from server.operations.services import Services
from server.operations.tasks import attempt
from server.ports.ca import Abilities, Issued, Outcome, Pending, Reason, Refused, SignRequest
from shared import errors
from shared.credential.model import CertificateState, KeyState, State
from shared.iso7816.apdu import Command
from shared.iso7816.status import SW
from shared.piv.ids import Algorithm, Ins, PinPolicyId, ProfileName, Slot
from shared.relay import Ask, Exchange, OperationKind, ServerTurn, StationTurn
from shared.virtual.faults import Fault, FaultKind
from shared.virtual.lab import lab_root
from tests.scenario.judging import nothing_changes, said
from tests.scenario.lab import Holder, Lab, Wire
from tests.scenario.replacing import PIN, A, C, D, E, active_card, certificates, judge, keys, record_of
from tests.scenario.templates import EMPLOYEE, certificate, template

OPERATIONS = (OperationKind.RENEW, OperationKind.REISSUE)
ATTESTED = "[attestation]\nrequired = true\nroots = ['lab']"


@dataclass
class Authority:
    """The built-in authority, with habits of others."""

    inner: BuiltinAuthority
    by_key: bool = False
    """It finds by public key, and knows nothing of request ids."""
    same_again: bool = False
    """Asked for a key that it has certified, it returns what it has."""
    refuses: bool = False
    refuses_profile: str = ""
    waits: bool = False
    revokes: bool = True
    releases: bool = True
    asked: list[SignRequest] = field(default_factory=list)

    @property
    def abilities(self) -> Abilities:
        return self.inner.abilities

    async def issue(self, requests: Sequence[SignRequest]) -> Sequence[Outcome]:
        self.asked += requests
        if self.refuses or self.waits:
            return [Pending() if self.waits else Refused("not today") for _ in requests]
        return [await self._one(request) for request in requests]

    async def _one(self, request: SignRequest) -> Outcome:
        if request.profile == self.refuses_profile:
            return Refused("not today")
        earlier = await self._by_key(request) if self.same_again else None
        if earlier is not None:
            return earlier
        (made,) = await self.inner.issue([request])
        return made

    async def find(self, request: SignRequest) -> Outcome | None:
        return await (self._by_key(request) if self.by_key else self.inner.find(request))

    async def _by_key(self, request: SignRequest) -> Outcome | None:
        entries = await self.inner._ledger.by_public_key(request.public_key)
        return Issued(entries[0].certificate) if entries else None

    async def trust(self) -> Sequence[bytes]:
        return await self.inner.trust()

    async def revoke(self, certificate: bytes, reason: Reason) -> None:
        if not self.revokes:
            raise errors.ConnectorUnreachable(connection="built-in", reason="no route")
        await self.inner.revoke(certificate, reason)

    async def hold(self, certificate: bytes) -> None:
        await self.inner.hold(certificate)

    async def release(self, certificate: bytes) -> None:
        if not self.releases:
            raise errors.ConnectorUnreachable(connection="built-in", reason="no route")
        await self.inner.release(certificate)


def with_habits(services: Services) -> Services:
    inner = services.authorities["built-in"]
    assert isinstance(inner, BuiltinAuthority)
    root = lab_root().public_bytes(Encoding.DER)
    return replace(services, authorities={"built-in": Authority(inner)}, lab_roots={"lab": root})


@pytest.fixture
async def lab() -> AsyncIterator[Lab]:
    made = await Lab.start(adapt=with_habits)
    yield made
    await made.close()


@pytest.fixture
def authority(lab: Lab) -> Authority:
    found = lab.services.authorities["built-in"]
    assert isinstance(found, Authority)
    return found


async def again(lab: Lab) -> None:
    """Insert the card again after a cut."""
    await lab.readers.insert("Reader 1", "card")
    await lab.settle()


# --- certificate authorities ----------------------------------------------------------------------------


async def test_an_authority_that_searches_by_key_does_not_pass_off_the_old_certificate(
    lab: Lab, authority: Authority
) -> None:
    card = await active_card(lab)
    before = certificates(card.memory)
    authority.by_key = authority.refuses = True
    assert (await lab.perform(OperationKind.RENEW, Holder(current_pins=[PIN]))).error is not None
    authority.refuses = False
    outcome = await lab.perform(OperationKind.RENEW, Holder(current_pins=[PIN]))
    assert outcome.error is None
    after = certificates(await judge(lab))
    assert all(before[slot].serial_number != after[slot].serial_number for slot in before)


async def test_a_request_whose_answer_was_lost_is_asked_again_where_only_the_old_certificate_is_found(
    lab: Lab, authority: Authority
) -> None:
    await active_card(lab)
    authority.by_key = True
    issue = authority.inner.issue

    async def silent(_: Sequence[SignRequest]) -> Sequence[Outcome]:
        raise errors.ConnectorUnreachable(connection="built-in", reason="no answer")

    authority.inner.issue = silent  # type: ignore[method-assign,assignment]
    failed = await lab.perform(OperationKind.RENEW, Holder(current_pins=[PIN]))
    said(failed, "connector-unreachable")
    authority.inner.issue = issue  # type: ignore[method-assign]
    assert (await lab.perform(OperationKind.RENEW, Holder(current_pins=[PIN]))).error is None
    await judge(lab)


async def test_the_old_certificate_is_no_answer_and_stays_valid(lab: Lab, authority: Authority) -> None:
    card = await active_card(lab)
    before = card.memory
    authority.same_again = True
    outcome = await lab.perform(OperationKind.RENEW, Holder(current_pins=[PIN]), slots=["9A"])
    assert "the key had before" in said(outcome, "certificate-rejected")
    assert card.memory == before
    revoked = [entry for entry in lab.store._book.state.ledger.values() if entry.revoked_at]
    assert revoked == []
    authority.same_again = False
    assert (await lab.perform(OperationKind.RENEW, Holder(current_pins=[PIN]))).error is None


async def test_a_renewal_that_is_refused_leaves_the_card_as_it_was(lab: Lab, authority: Authority) -> None:
    """Nothing is half done, so nothing is to be continued: the card may be renewed later, reissued or taken back."""
    card = await active_card(lab)
    before = card.memory
    authority.refuses_profile = "signature"
    outcome = await lab.perform(OperationKind.RENEW, Holder(current_pins=[PIN]))
    assert "not today" in said(outcome, "connector-refused")
    assert card.memory == before
    await judge(lab)
    assert (await lab.perform(OperationKind.RETIRE, reason="left")).error is None


async def test_a_request_that_waits_for_an_approval_is_gone_on_with(lab: Lab, authority: Authority) -> None:
    card = await active_card(lab)
    before = certificates(card.memory)
    authority.waits = True
    failed = await lab.perform(OperationKind.RENEW, Holder(current_pins=[PIN]), slots=["9A"])
    assert "lets the request wait" in said(failed, "certificate-pending")
    view = (await lab.station.refresh("Reader 1")).record
    assert view is not None
    assert view.interrupted is OperationKind.RENEW
    authority.waits = False
    assert (await lab.perform(OperationKind.RENEW, Holder(current_pins=[PIN]))).error is None
    after = certificates(await judge(lab))
    assert {slot for slot in before if before[slot] != after[slot]} == {A}


async def test_an_authority_that_refuses_after_the_keys_were_made(lab: Lab, authority: Authority) -> None:
    card = await active_card(lab)
    authority.refuses = True
    outcome = await lab.perform(OperationKind.REISSUE, Holder(current_pins=[PIN]), slots=["9A"])
    said(outcome, "connector-refused")
    assert outcome.state == State.ACTIVE
    made = keys(card.memory)[A]
    authority.refuses = False
    assert (await lab.perform(OperationKind.REISSUE, Holder(current_pins=[PIN]))).error is None
    assert keys(await judge(lab))[A] == made, "the key that was made is the one to go on with"


@pytest.mark.parametrize("operation", OPERATIONS)
async def test_an_authority_that_does_not_revoke_holds_nobody_up(
    lab: Lab, authority: Authority, operation: OperationKind
) -> None:
    await active_card(lab, ProfileName.YUBIKEY_4)
    authority.revokes = False
    outcome = await lab.perform(operation, Holder(current_pins=[PIN]))
    assert outcome.error is None
    assert outcome.facts["waiting"] == 4
    record = await record_of(lab)
    assert record.open_operation is None
    assert {task.reason for task in record.tasks} == {"superseded"}
    authority.revokes = True
    assert await attempt(lab.services, record.tasks) == 0
    await judge(lab)


# --- the card, and the station --------------------------------------------------------------------------


@pytest.mark.parametrize("profile", [ProfileName.YUBIKEY_5_7, ProfileName.YUBIKEY_4])
async def test_a_key_that_somebody_replaced_gets_no_certificate(lab: Lab, profile: ProfileName) -> None:
    """Cards with metadata show it; on others the signature does."""
    card = await active_card(lab, profile)
    card.alter(card.memory.with_key(A, card.memory.keys[C]))
    async with nothing_changes(lab):
        outcome = await lab.perform(OperationKind.RENEW, Holder(current_pins=[PIN]))
    assert "9A" in said(outcome, "card-not-genuine")


@pytest.mark.parametrize("profile", [ProfileName.YUBIKEY_5_7, ProfileName.YUBIKEY_5_4])
async def test_a_reissue_mends_keys_that_somebody_replaced(lab: Lab, profile: ProfileName) -> None:
    """Also the one that decrypts: it is gone already, so nothing is kept of what took its place."""
    card = await active_card(lab, profile)
    foreign = card.memory.keys[C]
    card.alter(card.memory.without_key(A).with_key(D, foreign))
    assert (await lab.perform(OperationKind.REISSUE, Holder(current_pins=[PIN]))).error is None
    assert foreign not in (await judge(lab)).keys.values()


async def test_a_key_that_was_to_stay_proves_itself_before_others_are_destroyed(lab: Lab) -> None:
    """This card does not say what is in its slots; only a signature shows that it is not the key of the record."""
    card = await active_card(lab, ProfileName.YUBIKEY_4)
    card.alter(card.memory.with_key(D, card.memory.keys[C]))
    async with nothing_changes(lab):
        outcome = await lab.perform(OperationKind.REISSUE, Holder(current_pins=[PIN]))
    assert "9D" in said(outcome, "card-not-genuine")


async def test_new_keys_are_attested_where_the_template_asks_for_it(lab: Lab) -> None:
    slots = (
        certificate(A, Algorithm.P256),
        certificate(C, Algorithm.P256),
        certificate(D, Algorithm.X25519),
    )
    await lab.apply(template(*slots, tables=ATTESTED))
    await active_card(lab, name="breadth")
    for operation in OPERATIONS:
        assert (await lab.perform(operation, Holder(current_pins=[PIN]))).error is None
    await judge(lab, (A, C, D, Slot.RETIRED_1))


async def test_a_key_that_another_card_has_shown_is_not_taken(lab: Lab) -> None:
    """A station that shows one card's key for another's gains no certificate."""
    card = await active_card(lab)
    made: list[bytes] = []
    generate = card.transmit

    def shows_a_known_key(apdu: bytes) -> bytes:
        answer = generate(apdu)
        if apdu[1] == Ins.GENERATE_ASYMMETRIC:
            made.append(answer)
            return made[0]
        return answer

    card.transmit = shows_a_known_key  # type: ignore[method-assign]
    outcome = await lab.perform(OperationKind.REISSUE, Holder(current_pins=[PIN]), slots=["9A", "9C"])
    said(outcome, "card-not-genuine")
    card.transmit = generate  # type: ignore[method-assign]
    assert (await lab.perform(OperationKind.REISSUE, Holder(current_pins=[PIN]))).error is None
    await judge(lab)


async def test_a_new_key_that_cannot_be_used_is_made_again(lab: Lab) -> None:
    """The third use of a key is the first of the new one: challenge and answer of the management key come before."""
    await active_card(lab)
    fault = Fault(kind=FaultKind.STATUS, ins=Ins.GENERAL_AUTHENTICATE, at=3, sw=SW.CONDITIONS_NOT_SATISFIED)
    lab.readers.arm("card", fault)
    outcome = await lab.perform(OperationKind.REISSUE, Holder(current_pins=[PIN]), slots=["9A"])
    assert "9A" in said(outcome, "card-not-genuine")
    assert (await record_of(lab)).keys[A].state is KeyState.INTENDED
    assert (await lab.perform(OperationKind.REISSUE, Holder(current_pins=[PIN]))).error is None
    await judge(lab)


class Counting(Wire):
    """A line that counts how often the PIN was announced, and how often it was used."""

    announced = 0
    used = 0

    async def send(self, turn: ServerTurn) -> None:
        match turn:
            case Ask(uses=uses):
                self.announced += uses
            case Exchange(items=items):
                self.used += sum(len(item.holes) for item in items if isinstance(item, Command))
        await super().send(turn)


@pytest.mark.parametrize("slots", [(), ("9A",), ("9E",), ("9D", "9E")])
@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("policy", [PinPolicyId.DEFAULT, PinPolicyId.ALWAYS, PinPolicyId.NEVER])
async def test_the_pin_is_used_as_often_as_it_was_announced(
    lab: Lab, operation: OperationKind, policy: PinPolicyId, slots: Sequence[str]
) -> None:
    always = EMPLOYEE.replace('slot = "9A"', f'slot = "9A"\npin-policy = "{policy.name.lower()}"')
    await lab.apply(always, 2)
    await active_card(lab)
    wires: list[Counting] = []

    def make(turns: AsyncIterator[StationTurn]) -> Wire:
        wires.append(Counting(turns))
        return wires[-1]

    lab.backend.wire = make
    assert (await lab.perform(operation, Holder(current_pins=[PIN]), slots=slots)).error is None
    (wire,) = wires
    assert wire.used == wire.announced > 0


@pytest.mark.parametrize("ins", [Ins.VERIFY, Ins.GENERAL_AUTHENTICATE, Ins.GENERATE_ASYMMETRIC, Ins.MOVE_KEY])
async def test_cut_at_the_commands_that_matter_the_rest_is_done(lab: Lab, ins: Ins) -> None:
    card = await active_card(lab)
    old = card.memory.keys[D]
    lab.readers.arm("card", Fault(kind=FaultKind.RESPONSE_LOST, ins=ins))
    assert (await lab.perform(OperationKind.REISSUE, Holder(current_pins=[PIN]))).error is not None
    await again(lab)
    assert (await lab.perform(OperationKind.REISSUE, Holder(current_pins=[PIN]))).error is None
    after = await judge(lab, (A, C, D, E, Slot.RETIRED_1))
    assert after.keys[Slot.RETIRED_1] == old, "the key that decrypts is moved once"


async def test_the_record_says_what_is_on_its_way(lab: Lab, authority: Authority) -> None:
    await active_card(lab)
    authority.refuses = True
    assert (await lab.perform(OperationKind.RENEW, Holder(current_pins=[PIN]), slots=["9A"])).error
    states = [each.state for each in (await record_of(lab)).certificates if each.slot is A]
    assert states == [CertificateState.CONFIRMED, CertificateState.REFUSED]


@pytest.mark.parametrize(
    ("operation", "slots"), [(OperationKind.RENEW, ()), (OperationKind.REISSUE, ("9A",))]
)
async def test_a_certificate_that_waits_to_be_released_stays_on_the_card_or_is_revoked(
    lab: Lab, authority: Authority, operation: OperationKind, slots: tuple[str, ...]
) -> None:
    await active_card(lab)
    await lab.perform(OperationKind.SUSPEND, reason="forgotten")
    authority.releases = False
    assert (await lab.perform(OperationKind.RESUME, Holder(new_pins=[PIN]))).facts["waiting"] == 4
    authority.releases = True
    outcome = await lab.perform(operation, Holder(current_pins=[PIN]), slots=slots)
    assert outcome.error is None
    await attempt(lab.services, (await record_of(lab)).tasks)
    await judge(lab)
