"""A credential in use gets new certificates, or new keys; its holder types the PIN, and keeps it."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from kiosk.station import wording
from kiosk.station.offers import offered
from server.operations.tasks import attempt
from server.ports.store import AuditKind
from shared import errors
from shared.clock import SystemClock
from shared.credential.expiry import RENEWAL_DUE
from shared.credential.model import CertificateState, State
from shared.credential.update import REISSUE_NEEDED
from shared.iso7816.status import SW
from shared.piv.ids import Algorithm, Ins, ObjectId, ProfileName, Slot
from shared.piv.key_history import KeyHistory
from shared.relay import OperationKind
from shared.secret import Secret
from shared.virtual.faults import Fault, FaultKind
from tests.scenario.judging import WatchedCard, evidence, give, nothing_changes, said
from tests.scenario.lab import BOB, Holder, Lab, Notes
from tests.scenario.replacing import PIN, A, C, D, E, active_card, certificates, judge, keys, record_of
from tests.scenario.templates import EMPLOYEE, certificate, template

NEXT_PIN, WRONG_PIN = "482615", "111222"
PROFILES = (ProfileName.YUBIKEY_5_7, ProfileName.YUBIKEY_4, ProfileName.UNKNOWN)
ACCEPTING = EMPLOYEE.replace('slot = "9D"', 'slot = "9D"\naccept-loss = true')


class Later(SystemClock):
    """A clock that can be put forward."""

    ahead = timedelta()

    def now(self) -> datetime:
        return super().now() + self.ahead


@pytest.fixture
def clock() -> Later:
    return Later()


@pytest.fixture
async def lab(clock: Later) -> AsyncIterator[Lab]:
    made = await Lab.start(clock=clock)
    yield made
    await made.close()


async def seen(lab: Lab) -> tuple[tuple[str, ...], tuple[OperationKind, ...]]:
    """Return what the desk is told: notices, and operations."""
    view = (await lab.station.refresh("Reader 1")).record
    assert view is not None
    return view.notices, view.reachable


# --- renew: the keys stay -------------------------------------------------------------------------------


@pytest.mark.parametrize("profile", PROFILES)
async def test_every_certificate_is_new_and_every_key_as_before(lab: Lab, profile: ProfileName) -> None:
    card = await active_card(lab, profile)
    before = card.memory
    holder, notes = Holder(current_pins=[PIN]), Notes()
    outcome = await lab.perform(OperationKind.RENEW, holder, notes=notes)
    assert (outcome.error, outcome.state) == (None, State.ACTIVE)
    assert outcome.facts["slots"] == "9A 9C 9D 9E"
    assert outcome.facts["waiting"] == 0
    assert outcome.round_trips <= 5
    after = await judge(lab)
    assert keys(after) == keys(before)
    assert after.pin == before.pin
    assert after.puk == before.puk
    assert after.management == before.management
    old, new = certificates(before), certificates(after)
    assert all(old[slot].serial_number != new[slot].serial_number for slot in old)
    assert all(old[slot].subject == new[slot].subject for slot in old)
    assert holder.problems == [None], "asked once"
    assert notes.done == set(range(len(notes.lines)))
    assert all("…" not in wording.step(line) for line in notes.lines)
    assert set(card.writes) == {"PUT_DATA"}
    (said_of_it,) = [each for each in evidence(lab) if each.event == "renewed"]
    assert said_of_it.kind is AuditKind.TRANSITION
    reasons = [entry.reason for entry in lab.store._book.state.ledger.values() if entry.revoked_at]
    assert reasons == ["superseded"] * 4


async def test_only_the_slots_that_were_named_are_renewed(lab: Lab) -> None:
    card = await active_card(lab)
    before = certificates(card.memory)
    outcome = await lab.perform(OperationKind.RENEW, Holder(current_pins=[PIN]), slots=["9a", "9E"])
    assert outcome.error is None
    assert outcome.facts["slots"] == "9A 9E"
    after = certificates(await judge(lab))
    changed = {slot for slot in before if before[slot].serial_number != after[slot].serial_number}
    assert changed == {A, E}


@pytest.mark.parametrize("operation", [OperationKind.RENEW, OperationKind.REISSUE])
async def test_a_slot_that_the_credential_does_not_have_is_refused(
    lab: Lab, operation: OperationKind
) -> None:
    await active_card(lab)
    async with nothing_changes(lab):
        outcome = await lab.perform(operation, Holder(current_pins=[PIN]), slots=["82"])
    said(outcome, "invalid-request")
    assert outcome.error is not None
    assert outcome.error.facts["why"] == "the card has 9A, 9C, 9D, 9E"


async def test_a_holder_who_was_renamed_has_the_new_name(lab: Lab) -> None:
    await active_card(lab)
    give(lab, replace(BOB, name="Bob Miller"))
    assert (await lab.perform(OperationKind.RENEW, Holder(current_pins=[PIN]))).error is None
    names = {slot: each.subject.rfc4514_string() for slot, each in certificates(await judge(lab)).items()}
    assert "Bob Miller" in names[A]
    record = await record_of(lab)
    assert record.credential is not None
    assert record.credential.holder_name == "Bob Miller"


async def test_what_ends_soon_is_said_and_renewed(lab: Lab, clock: Later) -> None:
    await active_card(lab)
    assert RENEWAL_DUE not in (await seen(lab))[0]
    clock.ahead = timedelta(days=701)
    notices, reachable = await seen(lab)
    assert RENEWAL_DUE in notices
    assert reachable[0] is OperationKind.RENEW
    assert (await lab.perform(OperationKind.RENEW, Holder(current_pins=[PIN]))).error is None
    await judge(lab)
    assert RENEWAL_DUE not in (await seen(lab))[0]


# --- reissue: new keys ----------------------------------------------------------------------------------


async def test_every_key_is_new_and_the_one_that_decrypts_is_kept_in_a_retired_slot(lab: Lab) -> None:
    card = await active_card(lab)
    before = card.memory
    holder, notes = Holder(current_pins=[PIN]), Notes()
    outcome = await lab.perform(OperationKind.REISSUE, holder, notes=notes)
    assert (outcome.error, outcome.state) == (None, State.ACTIVE)
    after = await judge(lab, (A, C, D, E, Slot.RETIRED_1))
    assert after.keys[Slot.RETIRED_1] == before.keys[D], "what was encrypted for it can still be read"
    assert certificates(after)[Slot.RETIRED_1] == certificates(before)[D]
    assert not set(keys(before).values()) & {keys(after)[slot] for slot in (A, C, D, E)}
    assert KeyHistory.from_bytes(after.objects[ObjectId.KEY_HISTORY]).on_card == 1
    assert after.pin == before.pin
    assert after.puk == before.puk
    assert holder.problems == [None]
    assert [line.key for line in notes.lines].count("keep") == 0
    assert notes.done == set(range(len(notes.lines)))
    assert outcome.round_trips <= 10
    again = await lab.perform(OperationKind.REISSUE, Holder(current_pins=[PIN]), slots=["9D"])
    assert again.error is None
    twice = await judge(lab, (A, C, D, E, Slot.RETIRED_1, Slot.RETIRED_2))
    assert twice.keys[Slot.RETIRED_2] == after.keys[D]
    assert twice.keys[A] == after.keys[A]
    assert KeyHistory.from_bytes(twice.objects[ObjectId.KEY_HISTORY]).on_card == 2


@pytest.mark.parametrize("profile", [ProfileName.YUBIKEY_4, ProfileName.UNKNOWN])
async def test_a_key_that_decrypts_stays_where_the_card_cannot_move_it(
    lab: Lab, profile: ProfileName
) -> None:
    card = await active_card(lab, profile)
    before, notes = card.memory, Notes()
    outcome = await lab.perform(OperationKind.REISSUE, Holder(current_pins=[PIN]), notes=notes)
    assert outcome.error is None
    after = await judge(lab)
    assert [slot for slot, key in keys(before).items() if keys(after)[slot] == key] == [D]
    assert certificates(before)[D].serial_number != certificates(after)[D].serial_number
    (kept,) = [line for line in notes.lines if line.key == "keep"]
    assert kept.facts == {"slot": "9D"}


@pytest.mark.parametrize("profile", [ProfileName.YUBIKEY_4, ProfileName.UNKNOWN])
async def test_a_key_that_decrypts_is_not_lost_by_asking_for_it(lab: Lab, profile: ProfileName) -> None:
    await active_card(lab, profile)
    async with nothing_changes(lab):
        outcome = await lab.perform(OperationKind.REISSUE, Holder(current_pins=[PIN]), slots=["9D"])
    assert "9D" in said(outcome, "template-impossible")


async def test_a_loss_that_the_template_accepts_is_no_reason_to_keep_a_key(lab: Lab) -> None:
    await lab.apply(ACCEPTING, 2)
    card = await active_card(lab, ProfileName.YUBIKEY_4)
    before = card.memory
    outcome = await lab.perform(OperationKind.REISSUE, Holder(current_pins=[PIN]), slots=["9D"])
    assert outcome.error is None
    after = await judge(lab)
    assert {slot for slot in keys(before) if keys(before)[slot] != keys(after)[slot]} == {D}


async def test_slots_of_somebody_else_are_not_taken_for_retired_keys(lab: Lab) -> None:
    card = await active_card(lab)
    foreign = card.memory.keys[A]
    card.alter(card.memory.with_key(Slot.RETIRED_1, foreign))
    assert (await lab.perform(OperationKind.REISSUE, Holder(current_pins=[PIN]))).error is None
    after = card.memory
    assert after.keys[Slot.RETIRED_1] == foreign
    assert Slot.RETIRED_2 in certificates(after)


async def test_a_card_with_retired_keys_is_emptied_when_it_is_taken_back(lab: Lab) -> None:
    card = await active_card(lab)
    assert (await lab.perform(OperationKind.REISSUE, Holder(current_pins=[PIN]))).error is None
    assert (await lab.perform(OperationKind.RETIRE, reason="left")).error is None
    assert keys(card.memory) == {}
    assert certificates(card.memory) == {}
    assert ObjectId.KEY_HISTORY not in card.memory.objects


# --- reissue: a newer template --------------------------------------------------------------------------


async def test_a_newer_version_that_wants_other_keys_is_reissued(lab: Lab) -> None:
    await active_card(lab)
    wanted = EMPLOYEE.replace('"P-256"', '"P-384"', 1)
    wanted = wanted.replace('slot = "9E"', 'slot = "83"').replace(
        'profile = "card-authentication"', 'profile = "key-management"'
    )
    await lab.apply(wanted, 2)
    assert REISSUE_NEEDED in (await seen(lab))[0]
    outcome = await lab.perform(OperationKind.REISSUE, Holder(current_pins=[PIN]))
    assert outcome.error is None
    assert outcome.facts["version"] == 2
    after = await judge(lab, (A, C, D, Slot.RETIRED_1, Slot.RETIRED_2))
    assert after.keys[A].algorithm is Algorithm.P384
    record = await record_of(lab)
    assert record.credential is not None
    assert record.credential.template.version == 2
    assert (await seen(lab))[0] == ()
    again = await lab.perform(OperationKind.RENEW, Holder(current_pins=[PIN]))
    assert again.error is None
    await judge(lab, (A, C, D, Slot.RETIRED_1, Slot.RETIRED_2))


async def test_a_slot_that_goes_is_emptied_where_keys_cannot_be_deleted(lab: Lab) -> None:
    card = await active_card(lab, ProfileName.YUBIKEY_4)
    before = card.memory
    without = EMPLOYEE[: EMPLOYEE.index('[[certificate]]\nslot = "9E"')]
    await lab.apply(without, 2)
    assert (await lab.perform(OperationKind.REISSUE, Holder(current_pins=[PIN]))).error is None
    assert E not in certificates(card.memory)
    assert keys(card.memory)[E] != keys(before)[E], "overwritten: the card has no command that deletes"


async def test_named_slots_keep_the_version_of_the_credential(lab: Lab) -> None:
    await active_card(lab)
    await lab.apply(EMPLOYEE.replace('"P-256"', '"P-384"', 1), 2)
    assert (await lab.perform(OperationKind.REISSUE, Holder(current_pins=[PIN]), slots=["9A"])).error is None
    after = await judge(lab)
    assert after.keys[A].algorithm is Algorithm.P256
    assert REISSUE_NEEDED in (await seen(lab))[0]


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (
            ('title = "Employee badge"', 'title = "Employee badge"\nmanagement-key = "AES-128"'),
            "management key",
        ),
        (("[[certificate]]", "[pin]\ntries = 5\npuk-tries = 5\n\n[[certificate]]"), "tries"),
        (('slot = "9D"\nalgorithm = "P-256"', 'slot = "9D"\nalgorithm = "P-384"'), "9D"),
    ],
)
async def test_what_a_card_in_use_cannot_be_given_is_refused(
    lab: Lab, change: tuple[str, str], why: str
) -> None:
    await active_card(lab, ProfileName.YUBIKEY_5_4)
    await lab.apply(EMPLOYEE.replace(*change, 1), 2)
    async with nothing_changes(lab):
        outcome = await lab.perform(OperationKind.REISSUE, Holder(current_pins=[PIN]))
    assert why in said(outcome, "template-impossible")


@pytest.mark.parametrize("operation", [OperationKind.RENEW, OperationKind.REISSUE])
async def test_a_key_that_does_not_sign(lab: Lab, operation: OperationKind) -> None:
    """An agreement with the holder's PIN open would open the holder's mail: the card's own word counts."""
    slots = (certificate(A, Algorithm.ED25519), certificate(D, Algorithm.X25519))
    await lab.apply(template(*slots))
    card = await active_card(lab, name="breadth")
    before = keys(card.memory)
    outcome = await lab.perform(operation, Holder(current_pins=[PIN]))
    assert outcome.error is None
    slots_after = (A, D) if operation is OperationKind.RENEW else (A, D, Slot.RETIRED_1)
    after = keys(await judge(lab, slots_after))
    assert (before[D] == after[D]) is (operation is OperationKind.RENEW)
    alone = await lab.perform(operation, Holder(current_pins=[PIN]), slots=["9D"])
    assert alone.error is None


# --- the PIN --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("operation", [OperationKind.RENEW, OperationKind.REISSUE])
async def test_a_wrong_pin_is_asked_again_and_costs_one_try(lab: Lab, operation: OperationKind) -> None:
    card = await active_card(lab)
    holder = Holder(current_pins=[WRONG_PIN])
    async with nothing_changes_but_tries(lab, card):
        outcome = await lab.perform(operation, holder)
    assert outcome.error is not None
    assert outcome.error.code == "cancelled"
    assert card.memory.pin.left == card.memory.pin.tries - 1
    assert [problem.code if problem else "" for problem in holder.problems] == ["", "pin-rejected"]
    outcome = await lab.perform(operation, Holder(current_pins=[WRONG_PIN, PIN]))
    assert outcome.error is None
    assert card.memory.pin.left == card.memory.pin.tries


@pytest.mark.parametrize("operation", [OperationKind.RENEW, OperationKind.REISSUE])
async def test_the_last_try_is_the_holders_to_spend(lab: Lab, operation: OperationKind) -> None:
    card = await active_card(lab)
    card.alter(replace(card.memory, pin=replace(card.memory.pin, left=1)))
    outcome = await lab.perform(operation, Holder(current_pins=[PIN], confirm=False))
    assert outcome.error is not None
    assert outcome.error.code == "cancelled"
    assert card.memory.pin.left == 1
    card.alter(replace(card.memory, pin=replace(card.memory.pin, left=0)))
    assert "blocked" in said(await lab.perform(operation, Holder(current_pins=[PIN])), "pin-blocked")


class nothing_changes_but_tries:  # noqa: N801  # reads as the function of that name
    """Fail where anything but the PIN's tries is different after the block."""

    def __init__(self, lab: Lab, card: WatchedCard) -> None:
        self._lab, self._card = lab, card

    async def __aenter__(self) -> None:
        self._memory, self._record = self._card.memory, await record_of(self._lab)

    async def __aexit__(self, *_: object) -> None:
        assert replace(self._card.memory, pin=self._memory.pin) == self._memory
        assert await record_of(self._lab) == self._record


# --- refused before anything is touched -----------------------------------------------------------------


async def test_a_person_who_was_disabled_gets_nothing_new(lab: Lab) -> None:
    await active_card(lab)
    give(lab, replace(BOB, enabled=False))
    async with nothing_changes(lab):
        outcome = await lab.perform(OperationKind.RENEW, Holder(current_pins=[PIN]))
    said(outcome, "holder-disabled")


async def test_no_key_is_destroyed_while_the_authority_does_not_answer(lab: Lab) -> None:
    card = await active_card(lab)

    async def silent(*_: object) -> None:
        raise errors.ConnectorUnreachable(connection="built-in", reason="no route")

    lab.ca.find = silent  # type: ignore[method-assign,assignment]
    async with nothing_changes(lab):
        outcome = await lab.perform(OperationKind.REISSUE, Holder(current_pins=[PIN]))
    said(outcome, "connector-unreachable")
    assert card.writes == []


async def test_a_stranger_with_a_copied_number_changes_nothing(lab: Lab) -> None:
    card = await active_card(lab)
    copy = card.memory
    foreign = replace(copy.management, value=Secret(bytes(len(copy.management.value.reveal()))))
    card.alter(replace(copy, management=foreign))
    before = await record_of(lab)
    outcome = await lab.perform(OperationKind.REISSUE, Holder(current_pins=[PIN]))
    assert outcome.error is not None
    assert outcome.error.code == "management-key-rejected"
    assert await record_of(lab) == before
    assert card.writes == []


# --- cut ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("operation", [OperationKind.RENEW, OperationKind.REISSUE])
async def test_a_cut_is_gone_on_with_and_narrowed_as_it_was_begun(lab: Lab, operation: OperationKind) -> None:
    card = await active_card(lab)
    before = certificates(card.memory)
    lab.readers.arm("card", Fault(kind=FaultKind.RESPONSE_LOST, ins=Ins.PUT_DATA))
    outcome = await lab.perform(operation, Holder(current_pins=[PIN]), slots=["9A"])
    assert outcome.error is not None
    assert outcome.next_action == "insert-again"
    await lab.readers.insert("Reader 1", "card")
    await lab.settle()
    view = (await lab.station.refresh("Reader 1")).record
    assert view is not None
    assert view.interrupted is operation
    assert (await lab.perform(operation, Holder(current_pins=[PIN]))).error is None
    after = certificates(await judge(lab))
    assert {slot for slot in before if before[slot] != after[slot]} == {A}


async def test_a_card_that_refuses_to_generate_is_gone_on_with(lab: Lab) -> None:
    card = await active_card(lab, ProfileName.UNKNOWN)
    fault = Fault(kind=FaultKind.STATUS, ins=Ins.GENERATE_ASYMMETRIC, at=2, sw=SW.MEMORY_FAILURE)
    lab.readers.arm("card", fault)
    assert (await lab.perform(OperationKind.REISSUE, Holder(current_pins=[PIN]))).error is not None
    assert card.memory.pin.left == card.memory.pin.tries
    assert (await lab.perform(OperationKind.REISSUE, Holder(current_pins=[PIN]))).error is None
    await judge(lab)


async def test_a_holder_who_forgot_the_pin_meanwhile_unblocks_and_begins_again(lab: Lab) -> None:
    card = await active_card(lab)
    lab.readers.arm("card", Fault(kind=FaultKind.RESPONSE_LOST, ins=Ins.GENERATE_ASYMMETRIC))
    outcome = await lab.perform(OperationKind.REISSUE, Holder(current_pins=[PIN]), slots=["9A"])
    assert outcome.error is not None
    await lab.readers.insert("Reader 1", "card")
    card.alter(replace(card.memory, pin=replace(card.memory.pin, left=0)))
    await lab.settle()
    view = await lab.station.refresh("Reader 1")
    assert offered(view) == (OperationKind.UNBLOCK,)
    assert (await lab.perform(OperationKind.UNBLOCK, Holder(new_pins=[NEXT_PIN]))).error is None
    renewing = await lab.perform(OperationKind.RENEW, Holder(current_pins=[NEXT_PIN]))
    assert "9A" in said(renewing, "invalid-request"), "there is no key to renew for"
    again = await lab.perform(OperationKind.REISSUE, Holder(current_pins=[NEXT_PIN]), slots=["9A"])
    assert again.error is None
    await judge(lab)


@pytest.mark.parametrize("written", [False, True])
async def test_what_an_operation_that_gave_way_would_have_brought_is_revoked(
    lab: Lab, *, written: bool
) -> None:
    """Not what is on the card already: its holder uses it."""
    card = await active_card(lab)
    before = certificates(card.memory)
    ins, at = (
        (Ins.VERIFY, 10) if written else (Ins.PUT_DATA, 1)
    )  # when it is read back, or before it is written
    lab.readers.arm("card", Fault(kind=FaultKind.COMMAND_LOST, ins=ins, at=at))
    assert (await lab.perform(OperationKind.RENEW, Holder(current_pins=[PIN]))).error is not None
    assert (certificates(card.memory) != before) is written
    await lab.readers.insert("Reader 1", "card")
    card.alter(replace(card.memory, pin=replace(card.memory.pin, left=0)))
    await lab.settle()
    assert (await lab.perform(OperationKind.UNBLOCK, Holder(new_pins=[NEXT_PIN]))).error is None
    record = await record_of(lab)
    left = [each for each in record.certificates if each.state is CertificateState.ISSUED]
    assert len(left) == 4
    assert record.revoking == (set() if written else {each.request_id for each in left})
    assert await attempt(lab.services, record.tasks) == 0
    assert (await lab.perform(OperationKind.RENEW, Holder(current_pins=[NEXT_PIN]))).error is None
    await judge(lab)
