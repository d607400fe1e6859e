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
