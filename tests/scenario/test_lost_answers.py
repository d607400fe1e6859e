"""Keys in use, and certificate authorities that cannot be searched: after a lost answer a key is never sent again."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

import pytest

from server.operations.tasks import UNCONFIRMED, attempt
from server.ports.ca import Outcome, Reason, SignRequest, Unanswered
from server.ports.store import AuditKind, AuditRecord
from shared import errors
from shared.credential.model import CertificateState
from shared.piv.ids import ProfileName, Slot
from shared.relay import OperationKind
from tests.scenario.judging import nothing_changes, said
from tests.scenario.lab import Holder, Lab
from tests.scenario.replacing import PIN, A, C, D, E, active_card, certificates, judge, keys, record_of
from tests.scenario.test_slow_authorities import Outside, connect


@pytest.fixture
async def lab() -> AsyncIterator[Lab]:
    made = await Lab.start()
    yield made
    await made.close()


@dataclass
class Deaf(Outside):
    """It signs, cannot be searched, and answers are lost: those of some profiles, or all of a call."""

    finds: bool = False
    lost: frozenset[str] = frozenset()
    hangs_up: bool = False
    down: bool = False
    sent: list[bytes] = field(default_factory=list)

    async def issue(self, requests: Sequence[SignRequest]) -> Sequence[Outcome]:
        self.sent += [request.public_key for request in requests]
        outcomes = await super().issue(requests)
        if self.hangs_up:
            raise errors.ConnectorUnreachable(connection="built-in", reason="the line went dead")
        return [
            Unanswered("no answer in time") if request.profile in self.lost else outcome
            for request, outcome in zip(requests, outcomes, strict=True)
        ]

    async def greet(self) -> None:
        if self.down:
            raise errors.ConnectorUnreachable(connection="built-in", reason="no route")


def deaf(lab: Lab, *lost: str) -> Deaf:
    return connect(lab, Deaf(lab.ca, lost=frozenset(lost)))


async def lost_requests(lab: Lab) -> list[Slot]:
    """Return the slots whose lost requests an administrator is told to look for."""
    record = await record_of(lab)
    await attempt(lab.services, record.tasks)
    record = await record_of(lab)
    assert {task.failure for task in record.tasks} <= {UNCONFIRMED}
    asked = {task.request_id for task in record.tasks}
    assert asked == {
        each.request_id for each in record.certificates if each.state is CertificateState.REQUESTED
    }
    return sorted(each.slot for each in record.certificates if each.request_id in asked)


async def test_the_certificate_before_stays_and_the_others_are_renewed(lab: Lab) -> None:
    card = await active_card(lab)
    before, made = certificates(card.memory), keys(card.memory)
    authority = deaf(lab, "signature")
    outcome = await lab.perform(OperationKind.RENEW, Holder(current_pins=[PIN]))
    sentence = said(outcome, "key-unconfirmed")
    assert "“built-in” may have signed for the key in 9C" in sentence
    assert sentence.endswith("Reissue it: new keys and certificates.")
    after = certificates(card.memory)
    assert {slot for slot in before if before[slot] == after[slot]} == {C}
    assert keys(card.memory) == made
    assert len(authority.sent) == len(set(authority.sent)) == 4
    assert await lost_requests(lab) == [C]
    assert (await record_of(lab)).open_operation is None


async def test_such_a_key_is_not_renewed_but_made_anew(lab: Lab) -> None:
    card = await active_card(lab)
    authority = deaf(lab, "signature")
    said(await lab.perform(OperationKind.RENEW, Holder(current_pins=[PIN]), slots=["9C"]), "key-unconfirmed")
    authority.lost, key = frozenset(), keys(card.memory)[C]
    for slots in ([], ["9C"], ["9A", "9C"]):
        async with nothing_changes(lab):
            outcome = await lab.perform(OperationKind.RENEW, Holder(current_pins=[PIN]), slots=slots)
        assert "9C" in said(outcome, "key-unconfirmed")
    outcome = await lab.perform(OperationKind.RENEW, Holder(current_pins=[PIN]), slots=["9A"])
    assert outcome.error is None, "the others may be renewed"
    (task,) = (await record_of(lab)).tasks
    dropped = AuditRecord(kind=AuditKind.SERVER, event="task-given-up", actor="admin")
    assert await lab.store.tasks.give_up(task, "looked for, nothing there", dropped)
    said(await lab.perform(OperationKind.RENEW, Holder(current_pins=[PIN]), slots=["9C"]), "key-unconfirmed")
    outcome = await lab.perform(OperationKind.REISSUE, Holder(current_pins=[PIN]), slots=["9C"])
    assert outcome.error is None
    assert keys(card.memory)[C] != key
    assert (await lab.perform(OperationKind.RENEW, Holder(current_pins=[PIN]))).error is None
    assert authority.sent.count(key) == 1


async def test_a_line_that_went_dead_ends_the_renewal_at_the_next_contact(lab: Lab) -> None:
    """What is known after a cut is that the requests were stored: any of them may have arrived."""
    card = await active_card(lab)
    before = card.memory.objects
    authority = deaf(lab)
    authority.hangs_up = True
    outcome = await lab.perform(OperationKind.RENEW, Holder(current_pins=[PIN]), slots=["9A", "9C"])
    said(outcome, "connector-unreachable")
    authority.hangs_up = False
    outcome = await lab.perform(OperationKind.RENEW, Holder(current_pins=[PIN]))
    assert "9A, 9C" in said(outcome, "key-unconfirmed")
    assert card.memory.objects == before
    assert len(authority.sent) == 2
    assert await lost_requests(lab) == [A, C]
    assert (await record_of(lab)).open_operation is None
    outcome = await lab.perform(OperationKind.REISSUE, Holder(current_pins=[PIN]))
    assert outcome.error is None
    assert len(set(authority.sent)) == len(authority.sent)


async def test_keys_that_were_made_in_vain_are_made_once_more(lab: Lab) -> None:
    card = await active_card(lab)
    old = card.memory.keys[D]
    authority = deaf(lab, "signature", "key-management")
    said(await lab.perform(OperationKind.REISSUE, Holder(current_pins=[PIN])), "connector-unreachable")
    first, authority.lost = keys(card.memory), frozenset()
    assert (await lab.perform(OperationKind.REISSUE, Holder(current_pins=[PIN]))).error is None
    after = keys(card.memory)
    assert {slot for slot in first if first[slot] != after[slot]} == {C, D}
    assert card.memory.keys[Slot.RETIRED_1] == old, "what was in use is moved, once"
    assert len(set(authority.sent)) == len(authority.sent)
    assert await lost_requests(lab) == [C, D]
    await judge_but_lost(lab)


async def judge_but_lost(lab: Lab) -> None:
    """Judge the card once an administrator has revoked there what nobody had heard of."""
    asked = {task.request_id for task in (await record_of(lab)).tasks}
    for entry in lab.store._book.state.ledger.values():
        if entry.request_id in asked:
            await lab.ca.revoke(entry.certificate, Reason.SUPERSEDED)
    await judge(lab, (A, C, D, E, Slot.RETIRED_1))


async def test_a_key_that_decrypts_and_has_no_other_place_stays_with_its_certificate(lab: Lab) -> None:
    """This card moves no keys: the reissue renews 9D, whose answer is lost. What was encrypted stays readable."""
    card = await active_card(lab, ProfileName.YUBIKEY_4)
    before, made = certificates(card.memory), keys(card.memory)
    authority = deaf(lab, "key-management")
    assert "9D" in said(
        await lab.perform(OperationKind.REISSUE, Holder(current_pins=[PIN])), "key-unconfirmed"
    )
    after = certificates(card.memory)
    assert {slot for slot in before if before[slot] == after[slot]} == {D}
    assert keys(card.memory)[D] == made[D]
    authority.lost = frozenset()
    async with nothing_changes(lab):
        outcome = await lab.perform(OperationKind.REISSUE, Holder(current_pins=[PIN]))
    assert "accept-loss" in said(outcome, "template-impossible")
    outcome = await lab.perform(OperationKind.REISSUE, Holder(current_pins=[PIN]), slots=["9A", "9C", "9E"])
    assert outcome.error is None
    assert authority.sent.count(made[D]) == 1


async def test_no_key_in_use_is_sent_before_the_authority_was_seen_to_answer(lab: Lab) -> None:
    await active_card(lab)
    authority = deaf(lab)
    authority.down = True
    async with nothing_changes(lab):
        outcome = await lab.perform(OperationKind.RENEW, Holder(current_pins=[PIN]))
    said(outcome, "connector-unreachable")
    assert authority.sent == []
    authority.down = False
    assert (await lab.perform(OperationKind.RENEW, Holder(current_pins=[PIN]))).error is None
