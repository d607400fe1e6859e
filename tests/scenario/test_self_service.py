"""What holders do on their own: what the template allows, with the proof that it takes, to what is theirs."""

from collections.abc import AsyncIterator

import pytest

from server.ports.store import AuditKind
from shared import errors
from shared.credential.lifecycle import OperationKind
from shared.credential.model import State
from shared.credential.reasons import Cause
from shared.credential.self_service import PROOFS
from shared.piv.ids import ProfileName
from shared.virtual.faults import Fault, FaultKind
from tests.scenario.holders import ALICE, BOBS_PIN, Kiosk
from tests.scenario.lab import BOB, Holder
from tests.server.rpc.world import MovableClock

NEW = "482615"


@pytest.fixture
def clock() -> MovableClock:
    return MovableClock()


@pytest.fixture
async def kiosk(clock: MovableClock) -> AsyncIterator[Kiosk]:
    made = await Kiosk.start(clock=clock)
    await made.lab.insert(ProfileName.YUBIKEY_5_7)
    yield made
    await made.close()


async def issue(kiosk: Kiosk, subject: str = "") -> errors.KioskError | None:
    return (await kiosk.lab.perform(OperationKind.ISSUE, subject=subject, template="employee")).error


async def issued(kiosk: Kiosk, subject: str = BOB.holder) -> None:
    """Give somebody a card, by an operator."""
    await kiosk.as_operator()
    assert await issue(kiosk, subject) is None


async def active(kiosk: Kiosk, subject: str = BOB.holder) -> None:
    await issued(kiosk, subject)
    assert (await kiosk.lab.perform(OperationKind.ACTIVATE, Holder(new_pins=[BOBS_PIN]))).error is None
    await kiosk.lab.settle()


async def block(kiosk: Kiosk) -> None:
    memory = kiosk.lab.readers.card("card").memory
    for _ in range(memory.pin.left):
        await kiosk.lab.perform(OperationKind.CHANGE_PIN, Holder(current_pins=["000000"], confirm=True))
    assert kiosk.lab.readers.card("card").memory.pin.left == 0


# --- from an empty card to the end ----------------------------------------------------------------------


async def test_a_holder_makes_uses_and_ends_a_card_alone(kiosk: Kiosk) -> None:
    await kiosk.act(await kiosk.by_password())
    assert await issue(kiosk) is None
    assert (await kiosk.the_card()).state is State.ISSUED
    assert (await kiosk.lab.perform(OperationKind.ACTIVATE, Holder(new_pins=[BOBS_PIN]))).error is None
    changed = await kiosk.lab.perform(
        OperationKind.CHANGE_PIN, Holder(current_pins=[BOBS_PIN], new_pins=[NEW])
    )
    assert changed.error is None
    await kiosk.act(await kiosk.by_card(NEW))
    assert (await kiosk.lab.perform(OperationKind.REISSUE, Holder(current_pins=[NEW]))).error is None
    retired = await kiosk.lab.perform(OperationKind.RETIRE, reason=Cause.LEFT)
    assert retired.error is None
    acted = [entry.record for entry in await kiosk.lab.store.audit.page(0, 500)]
    began = [each for each in acted if each.kind is AuditKind.OPERATION and each.event == "began"]
    assert {each.actor for each in began} == {f"holder {BOB.holder}"}


async def test_a_blocked_card_is_unblocked_by_password(kiosk: Kiosk) -> None:
    await active(kiosk)
    await block(kiosk)
    await kiosk.act(await kiosk.by_password())
    assert (await kiosk.lab.perform(OperationKind.UNBLOCK, Holder(new_pins=[NEW]))).error is None


async def test_a_code_activates_a_card_and_later_unblocks_it(kiosk: Kiosk) -> None:
    await issued(kiosk)
    card = await kiosk.the_card()
    first = await kiosk.lab.station.make_unblock_code(card.record_id)
    await kiosk.act(await kiosk.by_code(first.code))
    assert (await kiosk.lab.perform(OperationKind.ACTIVATE, Holder(new_pins=[BOBS_PIN]))).error is None
    await kiosk.as_operator()
    second = await kiosk.lab.station.make_unblock_code(card.record_id)
    with pytest.raises(errors.HolderLogonRefused):
        await kiosk.by_code(first.code)
    token = await kiosk.by_code(second.code)
    with pytest.raises(errors.HolderLogonRefused):
        await kiosk.by_code(second.code)
    await kiosk.act(token)
    assert (await kiosk.lab.perform(OperationKind.UNBLOCK, Holder(new_pins=[NEW]))).error is None


async def test_a_lost_card_is_reported_without_it(kiosk: Kiosk) -> None:
    await active(kiosk)
    await kiosk.act(await kiosk.by_password())
    (mine,) = (await kiosk.lab.backend.find_credentials("", 10)).credentials
    assert OperationKind.SUSPEND in mine.reachable
    assert OperationKind.RESUME not in mine.reachable
    decided = await kiosk.lab.backend.decide(mine.record_id, OperationKind.SUSPEND, Cause.LOST)
    assert decided.state is State.SUSPENDED
    with pytest.raises(errors.NotAllowed):
        await kiosk.lab.backend.decide(mine.record_id, OperationKind.RESUME, "")


async def test_what_was_cut_is_gone_on_with(kiosk: Kiosk) -> None:
    await kiosk.act(await kiosk.by_password())
    kiosk.lab.readers.arm("card", Fault(kind=FaultKind.COMMAND_LOST, at=30))
    assert isinstance(await issue(kiosk), errors.CardLost)
    await kiosk.lab.readers.insert("Reader 1", "card")
    await kiosk.lab.settle()
    assert (await kiosk.lab.perform(OperationKind.ISSUE)).error is None


# --- with which proof -----------------------------------------------------------------------------------


async def test_a_card_does_not_unblock_itself(kiosk: Kiosk) -> None:
    await active(kiosk)
    token = await kiosk.by_card()
    await block(kiosk)
    await kiosk.act(token)
    refused = await kiosk.lab.perform(OperationKind.UNBLOCK, Holder(new_pins=[NEW]))
    assert isinstance(refused.error, errors.OtherProofNeeded)
    assert refused.error.facts == {"operation": "unblock", "proofs": "card code password"}
    assert kiosk.lab.readers.card("card").memory.pin.left == 0


async def test_a_proof_that_the_template_does_not_take_is_refused(kiosk: Kiosk) -> None:
    await active(kiosk)
    await kiosk.act(await kiosk.by_password())
    refused = await kiosk.lab.perform(OperationKind.RETIRE, reason=Cause.ENDED)
    assert isinstance(refused.error, errors.OtherProofNeeded)
    with pytest.raises(errors.OtherProofNeeded):
        await kiosk.lab.backend.decide((await kiosk.the_card()).record_id, OperationKind.REVOKE, Cause.LOST)


@pytest.mark.parametrize("operation", sorted(set(OperationKind) - PROOFS.keys()))
async def test_what_is_for_operators_is_refused(kiosk: Kiosk, operation: OperationKind) -> None:
    await active(kiosk)
    await kiosk.act(await kiosk.by_password())
    refused = await kiosk.lab.perform(operation, reason=Cause.ENDED)
    assert isinstance(refused.error, errors.NotAllowed)


# --- of somebody else -----------------------------------------------------------------------------------


async def test_a_card_of_somebody_else_is_not_theirs(kiosk: Kiosk) -> None:
    await active(kiosk, ALICE.holder)
    hers = await kiosk.the_card(ALICE)
    await kiosk.act(await kiosk.by_password())
    view = await kiosk.lab.station.refresh("Reader 1")
    assert view.record is None
    for operation in PROOFS:
        refused = await kiosk.lab.perform(operation, Holder(new_pins=[NEW]), reason=Cause.LOST, template="")
        assert isinstance(refused.error, errors.NotYours), operation
    for operation in PROOFS:
        with pytest.raises(errors.NotYours):
            await kiosk.lab.backend.decide(hers.record_id, operation, Cause.LOST)
    assert (await kiosk.lab.backend.find_credentials("", 10)).credentials == ()
    assert await kiosk.the_card(ALICE) == hers


async def test_a_card_is_made_for_nobody_else(kiosk: Kiosk) -> None:
    await kiosk.act(await kiosk.by_password())
    assert isinstance(await issue(kiosk, ALICE.holder), errors.NotYours)
    assert await kiosk.lab.store.credentials.of_holder(ALICE.holder) == ()
