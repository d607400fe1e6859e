"""Give a card back: as from the factory, new to everybody, and its record closed. The card's memory judges."""

from collections.abc import AsyncIterator
from dataclasses import replace
from uuid import UUID, uuid4

import pytest

from kiosk.station.faces import Outcome
from server.ports.store import CertificateChanged, Opening, OperationClosed
from shared.credential.model import (
    CardRecord,
    CertificateState,
    OperationId,
    RecordId,
    State,
    StationId,
)
from shared.credential.reasons import Cause
from shared.piv.chuid import Chuid
from shared.piv.ids import Ins, ObjectId, ProfileName, Slot
from shared.relay import OperationKind
from shared.virtual.factory import blank
from shared.virtual.faults import Fault, FaultKind
from shared.virtual.memory import Memory
from shared.virtual.profiles import PROFILES as MADE
from tests.scenario.cards import ListeningCard, listening
from tests.scenario.judging import evidence, nothing_changes, said
from tests.scenario.lab import BOB, Holder, Lab
from tests.scenario.promises import keeps_promises, proves_before_secrets
from tests.scenario.templates import EMPLOYEE

OWNABLE = [
    ProfileName.YUBIKEY_4,
    ProfileName.YUBIKEY_5_0,
    ProfileName.YUBIKEY_5_3,
    ProfileName.YUBIKEY_5_4,
    ProfileName.YUBIKEY_5_7,
    ProfileName.UNKNOWN,
]
WITH_RESET = [name for name in OWNABLE if name is not ProfileName.UNKNOWN]
PIN = "739154"


@pytest.fixture
async def lab() -> AsyncIterator[Lab]:
    made = await Lab.start()
    yield made
    await made.close()


def card(lab: Lab) -> ListeningCard:
    found = lab.readers.card("card")
    assert isinstance(found, ListeningCard)
    return found


def guid(lab: Lab) -> UUID:
    return Chuid.from_bytes(card(lab).memory.objects[ObjectId.CHUID]).guid


async def record(lab: Lab, guid: UUID) -> CardRecord:
    found = await lab.store.cards.card(RecordId(guid))
    assert found is not None
    return found


async def registered(lab: Lab, profile: ProfileName) -> UUID:
    """Put a registered card into the reader; return its record id."""
    await lab.insert(profile, make=listening)
    await lab.settle()
    assert (await lab.perform(OperationKind.REGISTER)).error is None
    return guid(lab)


async def active(lab: Lab, profile: ProfileName) -> UUID:
    """Put an active card into the reader; return its record id."""
    await lab.insert(profile, make=listening)
    await lab.settle()
    assert (await issue(lab)).error is None
    assert (await lab.perform(OperationKind.ACTIVATE, Holder(new_pins=[PIN]))).error is None
    return guid(lab)


async def retired(lab: Lab, profile: ProfileName) -> UUID:
    """Put a retired card into the reader; return its record id."""
    record_id = await active(lab, profile)
    assert (await lab.perform(OperationKind.RETIRE, reason=Cause.LEFT.value)).error is None
    return record_id


async def deleted(lab: Lab, profile: ProfileName) -> UUID:
    """Put a card with everything on it into the reader, whose record was deleted; return its record id."""
    record_id = await active(lab, profile)
    assert (await lab.perform(OperationKind.DELETE, reason=Cause.LOST.value)).error is None
    return record_id


ARRANGED = {State.REGISTERED: registered, State.RETIRED: retired, State.DELETED: deleted}


async def issue(lab: Lab) -> Outcome:
    return await lab.perform(OperationKind.ISSUE, subject=BOB.holder, template="employee")


async def unregister(lab: Lab) -> Outcome:
    return await lab.perform(OperationKind.UNREGISTER)


def alter(lab: Lab, memory: Memory) -> None:
    """Change the card behind everybody's back."""
    card(lab)._applet.memory = memory


def fresh(memory: Memory) -> Memory:
    """Return what a new card of this kind holds; one of unknown make comes with identifying objects of its own."""
    made = blank(MADE[memory.profile], serial=memory.serial, random=lambda n: b"\1" * n, before=memory)
    return replace(
        made,
        objects={tag: made.objects[tag] for tag in made.objects if tag == ObjectId.ATTESTATION_CERTIFICATE},
    )


def given_back(lab: Lab, *, overwritten: bool = False) -> None:
    """Check that the card is as from the factory; `overwritten` are keys of cards that cannot delete them."""
    memory = card(lab).memory
    if overwritten and MADE[memory.profile].name is not ProfileName.YUBIKEY_5_7:
        memory = replace(
            memory, keys={slot: key for slot, key in memory.keys.items() if slot is Slot.ATTESTATION}
        )
    assert memory == fresh(memory)


# --- from wherever it may be ----------------------------------------------------------------------------


@pytest.mark.parametrize("state", ARRANGED)
@pytest.mark.parametrize("profile", OWNABLE)
async def test_a_card_is_given_back_as_from_the_factory(lab: Lab, profile: ProfileName, state: State) -> None:
    record_id = await ARRANGED[state](lab, profile)
    before = card(lab).memory
    outcome = await unregister(lab)
    assert outcome.error is None
    assert outcome.state == State.UNREGISTERED
    given_back(lab, overwritten=state is not State.REGISTERED)
    assert (
        not {key.private for slot, key in before.keys.items() if slot is not Slot.ATTESTATION}
        & {key.private for key in card(lab).memory.keys.values()}
        or state is State.RETIRED
    )
    closed = await record(lab, record_id)
    assert (closed.state, closed.open_operation) == (State.UNREGISTERED, None)
    assert (closed.management_key.pending, closed.puk.pending) == (None, None)
    assert all(entry.revoked_at for entry in lab.store._book.state.ledger.values() if entry.request_id)
    for heard in card(lab).log:
        proves_before_secrets(heard)


@pytest.mark.parametrize("profile", OWNABLE)
async def test_a_card_that_was_given_back_is_new(lab: Lab, profile: ProfileName) -> None:
    record_id = await retired(lab, profile)
    assert (await unregister(lab)).error is None
    await lab.readers.insert("Reader 1", "card")
    await lab.settle()
    view = await lab.station.refresh("Reader 1")
    assert view.record is not None
    assert (view.record.state, view.record.notices, view.record.interrupted) == (State.UNREGISTERED, (), None)
    card(lab).log.clear()
    assert (await issue(lab)).error is None
    assert guid(lab) != record_id
    assert (await record(lab, record_id)).state is State.UNREGISTERED
    assert [each for each in evidence(lab) if each.event == "known card in factory state"] == []
    keeps_promises(card(lab))


async def test_the_counters_are_the_factorys_again() -> None:
    lab = await Lab.start(template=EMPLOYEE.replace("[[cert", "[pin]\ntries = 5\npuk-tries = 4\n\n[[cert", 1))
    try:
        await lab.insert(ProfileName.YUBIKEY_5_7, make=listening)
        await lab.settle()
        assert (await lab.perform(OperationKind.REGISTER, template="employee")).error is None
        assert (card(lab).memory.pin.tries, card(lab).memory.puk.tries) == (5, 4)
        assert (await unregister(lab)).error is None
        given_back(lab)
    finally:
        await lab.close()


async def test_whatever_is_on_the_card_goes(lab: Lab) -> None:
    """Also what was put there by others, and what only the holder may read."""
    await registered(lab, ProfileName.YUBIKEY_5_7)
    memory = card(lab).memory
    key = memory.keys[Slot.ATTESTATION]
    memory = memory.with_key(Slot.RETIRED_7, key).with_key(Slot.SIGNATURE, key)
    for object_id in (ObjectId.FACIAL_IMAGE, ObjectId.PRINTED_INFORMATION, Slot.RETIRED_7.certificate_object):
        memory = memory.with_object(object_id, b"something of a person")
    alter(lab, memory)
    assert (await unregister(lab)).error is None
    given_back(lab)


# --- refused --------------------------------------------------------------------------------------------


async def test_a_card_in_use_is_not_given_back(lab: Lab) -> None:
    await active(lab, ProfileName.YUBIKEY_5_7)
    async with nothing_changes(lab):
        said(await unregister(lab), "transition-forbidden")


async def test_a_card_that_is_not_ours_is_not_given_back(lab: Lab) -> None:
    await lab.insert(ProfileName.YUBIKEY_5_7, make=listening)
    await lab.settle()
    async with nothing_changes(lab):
        outcome = await unregister(lab)
        said(outcome, "transition-forbidden")
    assert outcome.error is not None
    assert outcome.error.facts["state"] == State.UNREGISTERED


async def test_a_copy_of_a_number_is_sent_no_secret(lab: Lab) -> None:
    """A stranger shows the number of a retired card and holds another management key."""
    record_id = await retired(lab, ProfileName.YUBIKEY_5_7)
    ours = card(lab).memory
    card(lab).log.clear()
    value = ours.management.value.reveal()
    stranger = replace(ours.management, value=type(ours.management.value)(bytes(len(value))))
    alter(lab, replace(ours, management=stranger))
    said(await unregister(lab), "management-key-rejected")
    for heard in card(lab).log:
        assert heard.ins not in {Ins.RESET_RETRY_COUNTER, Ins.SET_MANAGEMENT_KEY, Ins.RESET, Ins.PUT_DATA}
    known = await record(lab, record_id)
    assert (known.state, known.open_operation) == (State.RETIRED, None), "nothing to be gone on with"
    alter(lab, ours)
    assert (await unregister(lab)).error is None


# --- nobody knows the PUK -------------------------------------------------------------------------------


def change_puk(lab: Lab) -> None:
    """Have somebody change the PUK, so that the record does not know it."""
    alter(lab, replace(card(lab).memory, puk=card(lab).memory.puk.set_to(b"24681357")))


@pytest.mark.parametrize("profile", WITH_RESET)
async def test_a_card_whose_puk_nobody_knows_is_reset(lab: Lab, profile: ProfileName) -> None:
    await retired(lab, profile)
    change_puk(lab)
    outcome = await unregister(lab)
    assert outcome.error is None
    assert outcome.state == State.UNREGISTERED
    given_back(lab)
    assert Ins.RESET in {heard.ins for heard in card(lab).log}
    assert [each.facts["serial"] for each in evidence(lab) if each.event == "reset"]
    assert (await issue(lab)).error is None


@pytest.mark.parametrize("profile", WITH_RESET)
async def test_a_card_whose_puk_is_blocked_is_reset(lab: Lab, profile: ProfileName) -> None:
    await registered(lab, profile)
    memory = card(lab).memory
    alter(lab, replace(memory, puk=replace(memory.puk, left=0)))
    assert (await unregister(lab)).error is None
    given_back(lab)


@pytest.mark.parametrize("what", ["pin", "puk"])
async def test_a_value_that_turns_out_to_be_the_factorys_needs_no_reset(lab: Lab, what: str) -> None:
    await registered(lab, ProfileName.YUBIKEY_4)
    memory = card(lab).memory
    made = fresh(memory)
    memory = replace(memory, puk=memory.puk.set_to(b"24681357"))
    alter(lab, replace(memory, **{what: getattr(made, what)}))
    assert (await unregister(lab)).error is None
    given_back(lab)
    assert Ins.RESET not in {heard.ins for heard in card(lab).log}


async def test_without_reset_it_is_said_what_is_missing(lab: Lab) -> None:
    record_id = await retired(lab, ProfileName.UNKNOWN)
    change_puk(lab)
    outcome = await unregister(lab)
    assert "puk" in said(outcome, "secret-unresolved")
    assert outcome.next_action == "call-administrator"
    memory = card(lab).memory
    assert memory.puk.left == memory.puk.tries - 1, "tried once"
    assert (await record(lab, record_id)).state is State.RETIRED


# --- cuts -----------------------------------------------------------------------------------------------


STRIDE = 4
"""Of the commands of a reset every so many-th is a cut; `tests.cuts` cuts what needs no reset everywhere."""


async def cut(lab: Lab, profile: ProfileName, fault: Fault) -> bool:
    """Cut once while a card is reset, and go on; return whether the cut happened."""
    record_id = await registered(lab, profile)
    change_puk(lab)
    lab.readers.arm("card", fault)
    if (await unregister(lab)).error is None:
        return False
    await lab.readers.insert("Reader 1", "card")
    await lab.settle()
    assert (await unregister(lab)).error is None
    given_back(lab)
    closed = await record(lab, record_id)
    assert (closed.state, closed.open_operation) == (State.UNREGISTERED, None)
    assert (await issue(lab)).error is None, "it is new"
    return True


@pytest.mark.parametrize("kind", [FaultKind.COMMAND_LOST, FaultKind.RESPONSE_LOST])
@pytest.mark.parametrize("profile", [ProfileName.YUBIKEY_5_7, ProfileName.YUBIKEY_5_0])
async def test_a_reset_is_cut_anywhere_and_continued(profile: ProfileName, kind: FaultKind) -> None:
    """With the PIN or the PUK blocked, with both, and behind the reset: with metadata and without."""
    failures, at, happened = [], 1 if kind is FaultKind.COMMAND_LOST else 3, True
    while happened:
        lab = await Lab.start()
        try:
            happened = await cut(lab, profile, Fault(kind=kind, at=at))
        except AssertionError as failure:
            failures.append(f"{at}: {str(failure).splitlines()[0]}")
        finally:
            await lab.close()
        at += STRIDE
    assert not failures
    assert at > 100


async def test_only_giving_back_goes_on_with_a_card_that_was_cut(lab: Lab) -> None:
    await registered(lab, ProfileName.YUBIKEY_5_7)
    lab.readers.arm("card", Fault(kind=FaultKind.COMMAND_LOST, at=60))
    assert (await unregister(lab)).error is not None
    await lab.readers.insert("Reader 1", "card")
    await lab.settle()
    view = await lab.station.refresh("Reader 1")
    assert view.record is not None
    assert view.record.interrupted is OperationKind.UNREGISTER
    said(await issue(lab), "operation-interrupted")
    assert (await unregister(lab)).error is None


@pytest.mark.parametrize("profile", [ProfileName.YUBIKEY_5_7, ProfileName.YUBIKEY_5_0])
@pytest.mark.parametrize("here", [True, False])
async def test_one_that_was_cut_is_deleted_and_given_back_all_the_same(
    lab: Lab, profile: ProfileName, *, here: bool
) -> None:
    """Its management key is the factory's already: deleting it, and what follows, gives it no secret of ours again."""
    record_id = await retired(lab, profile)
    lab.readers.arm("card", Fault(kind=FaultKind.RESPONSE_LOST, ins=Ins.SET_MANAGEMENT_KEY))
    assert (await unregister(lab)).error is not None
    await lab.readers.insert("Reader 1", "card")
    await lab.settle()
    card(lab).log.clear()
    if here:
        assert (await lab.perform(OperationKind.DELETE, reason=Cause.LEFT.value)).error is None
    else:
        await lab.station.decide(record_id, OperationKind.DELETE, Cause.LEFT.value)
    assert (await lab.perform(OperationKind.UPDATE)).error is None
    used = {heard.ins for heard in card(lab).log}
    assert not used & {Ins.SET_MANAGEMENT_KEY, Ins.CHANGE_REFERENCE_DATA, Ins.RESET_RETRY_COUNTER}
    view = await lab.station.refresh("Reader 1")
    assert view.record is not None
    assert (view.record.state, view.record.at_sight) == (State.DELETED, None)
    assert (await unregister(lab)).error is None
    given_back(lab, overwritten=True)
    assert (await issue(lab)).error is None, "it is new"


# --- certificates ---------------------------------------------------------------------------------------


async def test_what_the_template_left_valid_stays_so_and_what_never_reached_the_card_is_revoked() -> None:
    lab = await Lab.start(template=EMPLOYEE.replace("[[cert", '[reasons]\nleft = "leave"\n\n[[cert', 1))
    try:
        record_id = await retired(lab, ProfileName.YUBIKEY_5_7)
        lost, *_ = (await record(lab, record_id)).certificates
        lease = await lab.store.cards.open(
            Opening(
                operation_id=OperationId(uuid4()),
                kind="update",
                record_id=RecordId(record_id),
                station=StationId(uuid4()),
            )
        )
        unconfirmed = CertificateChanged(certificate=replace(lost, state=CertificateState.ISSUED))
        await lab.store.cards.apply(lease, [unconfirmed, OperationClosed(code="done")])
        assert (await unregister(lab)).error is None
        given_back(lab)
        issued = [entry for entry in lab.store._book.state.ledger.values() if entry.request_id]
        assert {entry.request_id for entry in issued if entry.revoked_at} == {lost.request_id}
        assert len(issued) == 4
    finally:
        await lab.close()
