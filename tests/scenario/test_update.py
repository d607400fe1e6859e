"""An issued card is brought to the newest master key without its holder, wherever it is cut.

The judge reads the card's memory and derives the keys itself; the journal is asked only what it promises.
"""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from server.connectors.keystore.memory import MemoryKeyStore
from server.operations.journal import Journal
from server.operations.secrets import CardSecrets
from server.ports.store import AuditKind
from shared.credential.model import CardRecord, CredentialRecord, SecretRecord, SecretVersion, State
from shared.credential.update import REISSUE_NEEDED, UPDATE_NEEDED
from shared.iso7816.status import SW
from shared.piv.ids import Ins, ProfileName
from shared.relay import OperationKind
from shared.secret import Secret
from shared.virtual.faults import Fault, FaultKind
from shared.virtual.memory import Memory
from tests.scenario.judging import WatchedCard, evidence, put
from tests.scenario.lab import BOB, Holder, Lab
from tests.scenario.templates import EMPLOYEE

PIN, NEXT_PIN = "739154", "482615"
PROFILES = (ProfileName.YUBIKEY_5_7, ProfileName.YUBIKEY_4, ProfileName.UNKNOWN)
LOST = (FaultKind.COMMAND_LOST, FaultKind.RESPONSE_LOST)
INSERTIONS = 3


@pytest.fixture
async def lab() -> AsyncIterator[Lab]:
    made = await Lab.start()
    yield made
    await made.close()


async def renew(lab: Lab) -> int:
    """Make the next generation of the master key."""
    keys = lab.services.keystore
    assert isinstance(keys, MemoryKeyStore)
    return await keys.add_generation()


async def active_card(lab: Lab, profile: ProfileName = ProfileName.YUBIKEY_5_7) -> WatchedCard:
    """Put a card into the reader whose holder has set the PIN."""
    card = await put(lab, WatchedCard.fresh(profile))
    issued = await lab.perform(OperationKind.ISSUE, subject=BOB.holder, template="employee")
    assert issued.error is None
    assert (await lab.perform(OperationKind.ACTIVATE, Holder(new_pins=[PIN]))).error is None
    await lab.station.refresh("Reader 1")
    card.writes.clear()
    return card


async def record_of(lab: Lab) -> CardRecord:
    (record_id,) = lab.store._book.state.cards
    record = await lab.store.cards.card(record_id)
    assert record is not None
    return record


async def seen(lab: Lab) -> tuple[tuple[str, ...], tuple[OperationKind, ...]]:
    """Return what the desk is told: notices, and operations."""
    view = (await lab.station.refresh("Reader 1")).record
    assert view is not None
    return view.notices, view.reachable


async def judge(lab: Lab, before: Memory, generation: int) -> None:
    """Check that the card holds the keys of `generation`, and all else as before."""
    record, memory = await record_of(lab), lab.readers.card("card").memory
    secrets = CardSecrets(
        lab.services.keystore, record.record_id, Journal(lab.store.cards, lab.backend._caller)
    )
    key = await secrets.management_key(record.management_algorithm, SecretVersion(generation))
    assert memory.management.value == key.value
    assert record.management_key == SecretRecord(proven=SecretVersion(generation))
    assert record.puk.pending is None
    assert record.puk.proven is not None
    assert record.puk.proven.generation == generation
    assert memory.puk.value == Secret(await secrets.puk(record.puk.proven))
    assert memory.puk.left == memory.puk.tries
    assert memory.pin == before.pin
    assert memory.objects == before.objects
    assert memory.keys == before.keys
    assert record.open_operation is None


@pytest.mark.parametrize("profile", PROFILES)
async def test_a_card_gets_the_newest_keys_and_keeps_its_pin(lab: Lab, profile: ProfileName) -> None:
    card = await active_card(lab, profile)
    assert UPDATE_NEEDED not in (await seen(lab))[0]
    await renew(lab)
    assert await renew(lab) == 3
    notices, reachable = await seen(lab)
    assert notices == (UPDATE_NEEDED,)
    assert reachable[0] is OperationKind.UPDATE
    before, commits = card.memory, lab.store.commits
    outcome = await lab.perform(OperationKind.UPDATE)
    assert outcome.error is None
    assert outcome.state == State.ACTIVE
    assert outcome.round_trips <= 8
    assert lab.store.commits - commits <= 4
    assert outcome.facts["generation"] == 3
    await judge(lab, before, 3)
    assert UPDATE_NEEDED not in (await seen(lab))[0]
    assert OperationKind.UPDATE not in (await seen(lab))[1]
    changed = await lab.perform(OperationKind.CHANGE_PIN, Holder(current_pins=[PIN], new_pins=[NEXT_PIN]))
    assert changed.error is None, "the holder's PIN is the one of before"
    assert (await lab.perform(OperationKind.UNBLOCK, Holder(new_pins=[PIN]))).error is None


async def test_nobody_is_asked_and_the_update_is_evidence(lab: Lab) -> None:
    await active_card(lab)
    await renew(lab)
    holder = Holder()
    assert (await lab.perform(OperationKind.UPDATE, holder)).error is None
    assert holder.problems == []
    (record,) = [each for each in evidence(lab) if each.event == "updated"]
    assert record.kind is AuditKind.TRANSITION
    assert record.facts["generation"] == 2


async def test_a_card_that_waits_for_its_holder_is_updated(lab: Lab) -> None:
    card = await put(lab, WatchedCard.fresh())
    issued = await lab.perform(OperationKind.ISSUE, subject=BOB.holder, template="employee")
    assert issued.error is None
    await renew(lab)
    _, reachable = await seen(lab)
    assert reachable[0] is OperationKind.ACTIVATE, "the holder waits"
    assert OperationKind.UPDATE in reachable
    before = card.memory
    outcome = await lab.perform(OperationKind.UPDATE)
    assert (outcome.error, outcome.state) == (None, State.ISSUED)
    await judge(lab, before, 2)
    assert (await lab.perform(OperationKind.ACTIVATE, Holder(new_pins=[PIN]))).error is None


async def test_a_card_that_is_up_to_date_is_left_alone(lab: Lab) -> None:
    card = await active_card(lab)
    before, commits = card.memory, lab.store.commits
    outcome = await lab.perform(OperationKind.UPDATE)
    assert outcome.error is None
    assert outcome.round_trips == 1
    assert card.memory == before
    assert card.writes == []
    assert lab.store.commits == commits


async def test_a_new_card_is_not_updated(lab: Lab) -> None:
    await put(lab, WatchedCard.fresh())
    outcome = await lab.perform(OperationKind.UPDATE)
    assert outcome.error is not None
    assert outcome.error.code == "unknown-card"


async def test_help_with_a_blocked_pin_comes_before_the_update(lab: Lab) -> None:
    await active_card(lab)
    wrong = Holder(current_pins=["111118", "111119", "111117"])
    assert (await lab.perform(OperationKind.CHANGE_PIN, wrong)).error is not None
    await renew(lab)
    notices, reachable = await seen(lab)
    assert notices == ("pin-blocked", UPDATE_NEEDED)
    assert reachable[0] is not OperationKind.UPDATE
    assert (await lab.perform(OperationKind.UPDATE)).error is None, "a blocked PIN does not stand in its way"
    assert lab.readers.card("card").memory.pin.blocked


# --- templates ------------------------------------------------------------------------------------------


def credential(record: CardRecord) -> CredentialRecord:
    assert record.credential is not None
    return record.credential


async def test_a_newer_version_that_asks_for_nothing_else_is_taken_over(lab: Lab) -> None:
    card = await active_card(lab)
    await lab.apply(EMPLOYEE.replace("Employee badge", "Staff badge") + "\n[pin]\nmin-length = 8\n", 2)
    notices, reachable = await seen(lab)
    assert notices == (UPDATE_NEEDED,)
    assert reachable[0] is OperationKind.UPDATE
    before = card.memory
    assert (await lab.perform(OperationKind.UPDATE)).error is None
    assert credential(await record_of(lab)).template.version == 2
    assert card.memory == before
    view = (await lab.station.refresh("Reader 1")).record
    assert view is not None
    assert (view.template_title, view.template_version, view.notices) == ("Staff badge", 2, ())


async def test_a_newer_version_that_wants_other_keys_is_said_and_not_pretended(lab: Lab) -> None:
    await active_card(lab)
    await lab.apply(EMPLOYEE.replace('"P-256"', '"P-384"', 1), 2)
    notices, reachable = await seen(lab)
    assert notices == (REISSUE_NEEDED,)
    assert OperationKind.UPDATE not in reachable
    await renew(lab)
    assert (await seen(lab))[0] == (UPDATE_NEEDED, REISSUE_NEEDED)
    assert (await lab.perform(OperationKind.UPDATE)).error is None
    assert credential(await record_of(lab)).template.version == 1
    assert (await seen(lab))[0] == (REISSUE_NEEDED,)


# --- others, and what went before -----------------------------------------------------------------------


async def test_a_stranger_with_a_copied_number_changes_nothing(lab: Lab) -> None:
    card = await active_card(lab)
    await renew(lab)
    copy = card.memory
    foreign = replace(copy.management, value=Secret(bytes(len(copy.management.value.reveal()))))
    card.alter(replace(copy, management=foreign))
    before = await record_of(lab)
    outcome = await lab.perform(OperationKind.UPDATE)
    assert outcome.error is not None
    assert outcome.error.code == "management-key-rejected"
    assert await record_of(lab) == before
    assert card.writes == []
    card.alter(copy)
    assert (await lab.perform(OperationKind.UPDATE)).error is None, "the real one goes on"


async def test_a_foreign_puk_stays_and_the_management_key_is_new(lab: Lab) -> None:
    card = await active_card(lab)
    await renew(lab)
    card.alter(replace(card.memory, puk=replace(card.memory.puk, value=Secret(b"00000000"))))
    outcome = await lab.perform(OperationKind.UPDATE)
    assert outcome.error is not None
    assert outcome.error.code == "secret-unresolved"
    left = card.memory.puk.left
    assert (await lab.perform(OperationKind.UPDATE)).error is None
    record = await record_of(lab)
    assert record.management_key == SecretRecord(proven=SecretVersion(2))
    assert card.memory.puk.left == left, "no try is spent on a PUK that nobody knows"
    assert (await seen(lab))[0] == ()


async def test_what_was_cut_before_comes_first(lab: Lab) -> None:
    card = await active_card(lab)
    await renew(lab)
    lab.readers.arm("card", Fault(kind=FaultKind.RESPONSE_LOST, ins=Ins.RESET_RETRY_COUNTER))
    assert (await lab.perform(OperationKind.UNBLOCK, Holder(new_pins=[NEXT_PIN]))).error is not None
    await lab.readers.insert("Reader 1", "card")
    await lab.settle()
    before = card.memory
    outcome = await lab.perform(OperationKind.UPDATE)
    assert outcome.error is not None
    assert (outcome.error.code, outcome.next_action) == ("operation-interrupted", "continue-first")
    assert card.memory == before
    assert (await lab.perform(OperationKind.UNBLOCK, Holder(new_pins=[PIN]))).error is None
    before = card.memory
    assert (await lab.perform(OperationKind.UPDATE)).error is None
    await judge(lab, before, 2)


async def test_a_card_that_refuses_is_not_half_recorded(lab: Lab) -> None:
    card = await active_card(lab)
    await renew(lab)
    before = card.memory
    lab.readers.arm(
        "card", Fault(kind=FaultKind.STATUS, ins=Ins.SET_MANAGEMENT_KEY, sw=SW.CONDITIONS_NOT_SATISFIED)
    )
    assert (await lab.perform(OperationKind.UPDATE)).error is not None
    assert card.memory == before
    assert (await lab.perform(OperationKind.UPDATE)).error is None
    await judge(lab, before, 2)


# --- cuts -----------------------------------------------------------------------------------------------


async def commands_of_an_update(profile: ProfileName) -> int:
    """Count the physical commands of an uncut run."""
    lab = await Lab.start()
    try:
        card = await active_card(lab, profile)
        await renew(lab)
        await lab.settle()
        before = card.commands
        assert (await lab.perform(OperationKind.UPDATE)).error is None
        return card.commands - before
    finally:
        await lab.close()


async def cut(profile: ProfileName, kind: FaultKind, at: int, *, newer_meanwhile: bool) -> None:
    lab = await Lab.start()
    try:
        card = await active_card(lab, profile)
        generation = await renew(lab)
        await lab.settle()
        before = card.memory
        lab.readers.arm("card", Fault(kind=kind, at=at))
        outcome = await lab.perform(OperationKind.UPDATE)
        assert outcome.error is not None
        assert outcome.error.code == "card-lost"
        if newer_meanwhile:
            generation = await renew(lab)
        await lab.readers.insert("Reader 1", "card")
        await lab.settle()
        assert (await lab.perform(OperationKind.UPDATE)).error is None
        await judge(lab, before, generation)
        assert await seen(lab) is not None
        unblocked = await lab.perform(OperationKind.UNBLOCK, Holder(new_pins=[NEXT_PIN]))
        assert unblocked.error is None
    finally:
        await lab.close()


@pytest.mark.parametrize("kind", LOST)
@pytest.mark.parametrize(
    ("profile", "newer_meanwhile"),
    [*((profile, False) for profile in PROFILES), (ProfileName.UNKNOWN, True)],
)
async def test_an_update_cut_at_any_command_is_continued(
    profile: ProfileName, kind: FaultKind, *, newer_meanwhile: bool
) -> None:
    failures = []
    for at in range(1, await commands_of_an_update(profile) + 1):
        try:
            await cut(profile, kind, at, newer_meanwhile=newer_meanwhile)
        except AssertionError as failure:
            failures.append(f"{at}: {str(failure).splitlines()[0]}")
    assert not failures


async def test_a_rotation_that_was_cut_is_settled_without_losing_a_try(lab: Lab) -> None:
    card = await active_card(lab)
    await renew(lab)
    before = card.memory
    lab.readers.arm("card", Fault(kind=FaultKind.RESPONSE_LOST, ins=Ins.CHANGE_REFERENCE_DATA))
    assert (await lab.perform(OperationKind.UPDATE)).error is not None
    await lab.readers.insert("Reader 1", "card")
    await lab.settle()
    view = (await lab.station.refresh("Reader 1")).record
    assert view is not None
    assert view.interrupted is OperationKind.UPDATE
    assert (await lab.perform(OperationKind.UPDATE)).error is None
    await judge(lab, before, 2)
