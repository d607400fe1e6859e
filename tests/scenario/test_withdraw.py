"""Revoke, retire, issue again: the card's memory and the certificate authority's book judge."""

from collections.abc import AsyncIterator

import pytest

from server.ports.ca import Reason
from shared.credential.model import State
from shared.credential.reasons import Cause
from shared.piv.ids import ObjectId, ProfileName
from shared.relay import OperationKind
from shared.virtual.faults import Fault, FaultKind
from tests.scenario.lab import BOB, Holder, Lab

PROFILES = [ProfileName.YUBIKEY_5_7, ProfileName.YUBIKEY_4, ProfileName.UNKNOWN]
CERTIFICATES = (
    ObjectId.AUTHENTICATION_CERTIFICATE,
    ObjectId.SIGNATURE_CERTIFICATE,
    ObjectId.KEY_MANAGEMENT_CERTIFICATE,
    ObjectId.CARD_AUTHENTICATION_CERTIFICATE,
    ObjectId.SECURITY,
)


@pytest.fixture
async def lab() -> AsyncIterator[Lab]:
    made = await Lab.start()
    yield made
    await made.close()


async def active(lab: Lab, profile: ProfileName) -> None:
    await lab.insert(profile)
    issued = await lab.perform(OperationKind.ISSUE, subject=BOB.holder, template="employee")
    assert issued.error is None
    assert (await lab.perform(OperationKind.ACTIVATE, Holder(new_pins=["739154"]))).error is None
    await lab.settle()


def revoked(lab: Lab) -> list[str]:
    """Return why each holder's certificate was revoked, in the book of the certificate authority."""
    entries = [entry for entry in lab.store._book.state.ledger.values() if entry.request_id is not None]
    return [entry.reason for entry in entries]


@pytest.mark.parametrize("profile", PROFILES)
async def test_a_revoked_credential_is_worth_nothing(lab: Lab, profile: ProfileName) -> None:
    await active(lab, profile)
    before = lab.readers.card("card").memory
    outcome = await lab.perform(OperationKind.REVOKE, reason=Cause.STOLEN.value)
    assert outcome.error is None
    assert outcome.state == State.REVOKED
    assert revoked(lab) == [Reason.KEY_COMPROMISE] * 4
    memory = lab.readers.card("card").memory
    assert memory.pin.value.reveal() != before.pin.value.reveal()
    assert memory.puk.value != before.puk.value
    assert memory.keys.keys() == before.keys.keys()
    for operation in (OperationKind.ACTIVATE, OperationKind.UNBLOCK, OperationKind.ISSUE):
        refused = await lab.perform(operation, Holder(new_pins=["482615"]), subject=BOB.holder)
        assert refused.error is not None
        assert refused.error.code == "transition-forbidden"


@pytest.mark.parametrize("first", [None, OperationKind.REVOKE])
@pytest.mark.parametrize("profile", PROFILES)
async def test_a_retired_card_is_empty_and_is_issued_again(
    lab: Lab, profile: ProfileName, first: OperationKind | None
) -> None:
    await active(lab, profile)
    before = lab.readers.card("card").memory
    if first is not None:
        assert (await lab.perform(first, reason=Cause.LEFT.value)).error is None
    outcome = await lab.perform(OperationKind.RETIRE, reason=Cause.LEFT.value)
    assert outcome.error is None
    assert outcome.state == State.RETIRED
    assert revoked(lab) == [Reason.CESSATION_OF_OPERATION] * 4
    memory = lab.readers.card("card").memory
    assert not any(memory.objects.get(object_id) for object_id in CERTIFICATES)
    for slot, key in before.keys.items():
        assert slot not in memory.keys or memory.keys[slot].private is not key.private or slot.text == "F9"
    again = await lab.perform(OperationKind.ISSUE, subject=BOB.holder, template="employee")
    assert again.error is None
    assert again.state == State.ISSUED
    assert revoked(lab).count("") == 4
    assert (await lab.perform(OperationKind.ACTIVATE, Holder(new_pins=["482615"]))).error is None


@pytest.mark.parametrize("reason", ["", "boredom"])
async def test_a_reason_is_needed(lab: Lab, reason: str) -> None:
    await active(lab, ProfileName.YUBIKEY_5_7)
    before = lab.readers.card("card").memory
    outcome = await lab.perform(OperationKind.RETIRE, reason=reason)
    assert outcome.error is not None
    assert outcome.error.code == "invalid-request"
    assert outcome.state == State.ACTIVE
    assert lab.readers.card("card").memory == before
    assert revoked(lab) == [""] * 4


async def cut(profile: ProfileName, operation: OperationKind, kind: FaultKind, at: int) -> None:
    lab = await Lab.start()
    try:
        await active(lab, profile)
        lab.readers.arm("card", Fault(kind=kind, at=at))
        outcome = await lab.perform(operation, reason=Cause.DAMAGED.value)
        assert outcome.error is not None
        assert outcome.error.code == "card-lost"
        await lab.readers.insert("Reader 1", "card")
        await lab.settle()
        # a retirement goes on, for the reason that was given; a revocation that was decided is carried to the card
        decided = outcome.state == State.REVOKED
        way = OperationKind.UPDATE if decided else operation
        kept = decided or outcome.next_action == "insert-again"
        again = await lab.perform(way, reason="" if kept else Cause.DAMAGED.value)
        assert again.error is None
        assert revoked(lab) == [Reason.SUPERSEDED] * 4
        memory = lab.readers.card("card").memory
        assert memory.pin.value.reveal() != b"739154\xff\xff"
        assert memory.puk.left == memory.puk.tries
        if operation is OperationKind.RETIRE:
            assert not any(memory.objects.get(object_id) for object_id in CERTIFICATES)
            issued = await lab.perform(OperationKind.ISSUE, subject=BOB.holder, template="employee")
            assert issued.error is None
    finally:
        await lab.close()


@pytest.mark.parametrize("kind", [FaultKind.COMMAND_LOST, FaultKind.RESPONSE_LOST])
@pytest.mark.parametrize("operation", [OperationKind.REVOKE, OperationKind.RETIRE])
@pytest.mark.parametrize("profile", [ProfileName.YUBIKEY_5_7, ProfileName.UNKNOWN])
async def test_an_ending_cut_at_any_command_is_continued(
    profile: ProfileName, operation: OperationKind, kind: FaultKind
) -> None:
    lab = await Lab.start()
    await active(lab, profile)
    before = lab.readers.card("card").commands
    assert (await lab.perform(operation, reason=Cause.DAMAGED.value)).error is None
    count = lab.readers.card("card").commands - before
    await lab.close()
    failures = []
    for at in range(1, count + 1):
        try:
            await cut(profile, operation, kind, at)
        except AssertionError as failure:
            failures.append(f"{at}: {str(failure).splitlines()[0]}")
    assert not failures
