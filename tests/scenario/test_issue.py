"""Issue, activate, change PIN: the whole way, with real operations and a card in memory."""

from collections.abc import AsyncIterator

import pytest

from shared.credential.model import State
from shared.piv.ids import ProfileName
from shared.relay import OperationKind
from tests.scenario.lab import BOB, Holder, Lab


@pytest.fixture
async def lab() -> AsyncIterator[Lab]:
    made = await Lab.start()
    yield made
    await made.close()


PROFILES = [ProfileName.YUBIKEY_4, ProfileName.YUBIKEY_5_4, ProfileName.YUBIKEY_5_7, ProfileName.UNKNOWN]


@pytest.mark.parametrize("profile", PROFILES)
async def test_a_card_is_issued_activated_and_its_pin_changed(lab: Lab, profile: ProfileName) -> None:
    await lab.insert(profile)
    before = lab.store.commits
    outcome = await lab.perform(OperationKind.ISSUE, subject=BOB.holder, template="employee")
    assert outcome.error is None
    assert outcome.state == State.ISSUED
    assert outcome.round_trips <= 8
    assert lab.store.commits - before <= 8

    outcome = await lab.perform(OperationKind.ACTIVATE, Holder(new_pins=["739154"]))
    assert outcome.error is None
    assert outcome.state == State.ACTIVE

    holder = Holder(current_pins=["111119", "739154"], new_pins=["482615"])
    outcome = await lab.perform(OperationKind.CHANGE_PIN, holder)
    assert outcome.error is None
    assert outcome.state == State.ACTIVE
    assert [problem.code if problem else None for problem in holder.problems] == [None, "pin-rejected", None]
    assert holder.tries_seen == [3, 2]


@pytest.mark.parametrize("profile", PROFILES)
async def test_a_blocked_pin_is_replaced_and_the_unblocking_code_with_it(
    lab: Lab, profile: ProfileName
) -> None:
    await lab.insert(profile)
    assert (await lab.perform(OperationKind.ISSUE, subject=BOB.holder, template="employee")).error is None
    assert (await lab.perform(OperationKind.ACTIVATE, Holder(new_pins=["739154"]))).error is None
    wrong = Holder(current_pins=["111118", "111119", "111117"], new_pins=[])
    blocked = await lab.perform(OperationKind.CHANGE_PIN, wrong)
    assert blocked.error is not None
    assert (blocked.error.code, blocked.next_action) == ("pin-blocked", "unblock")
    before = lab.readers.card("card").memory
    assert before.pin.blocked
    before_commits = lab.store.commits
    outcome = await lab.perform(OperationKind.UNBLOCK, Holder(new_pins=["482615"]))
    assert outcome.error is None
    assert outcome.state == State.ACTIVE
    assert outcome.round_trips <= 5
    assert lab.store.commits - before_commits <= 3
    memory = lab.readers.card("card").memory
    assert memory.pin.value.reveal() == b"482615\xff\xff"
    assert memory.pin.left == memory.pin.tries
    assert memory.puk.value != before.puk.value
    assert memory.puk.left == memory.puk.tries


async def test_only_an_active_card_is_unblocked(lab: Lab) -> None:
    await lab.insert(ProfileName.YUBIKEY_5_7)
    outcome = await lab.perform(OperationKind.UNBLOCK, Holder(new_pins=["482615"]))
    assert outcome.error is not None
    assert outcome.error.code == "unknown-card"
    await lab.perform(OperationKind.ISSUE, subject=BOB.holder, template="employee")
    outcome = await lab.perform(OperationKind.UNBLOCK, Holder(new_pins=["482615"]))
    assert outcome.error is not None
    assert outcome.error.code == "transition-forbidden"
