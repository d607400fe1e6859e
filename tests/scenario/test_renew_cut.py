"""A card is reissued by a newer version of its template, with slots that come, change and go: cut, and healed.

`python -m tests.cuts` cuts a reissue by the same version at every command, message and commit; this is a sample.
"""

from typing import Final

import pytest

from shared.piv.ids import ProfileName, Slot
from shared.relay import OperationKind
from shared.virtual.faults import Fault, FaultKind
from tests.scenario.lab import Holder, Lab
from tests.scenario.replacing import PIN, A, C, D, E, active_card, certificates, judge, keys, record_of
from tests.scenario.templates import EMPLOYEE

ACCEPTING: Final = EMPLOYEE.replace('slot = "9D"', 'slot = "9D"\naccept-loss = true')
OTHER_SLOTS: Final = (
    EMPLOYEE.replace('"P-256"', '"P-384"', 1)
    .replace('slot = "9E"', 'slot = "83"')
    .replace('profile = "card-authentication"', 'profile = "key-management"')
)
"""Another key in 9A; 9E goes, 83 comes."""
FEWER_SLOTS: Final = ACCEPTING[: ACCEPTING.index('[[certificate]]\nslot = "9E"')].replace("P-256", "P-384")
"""Other keys everywhere, also in 9D, whose loss is accepted; 9E goes."""
INSERTIONS: Final = 3


async def reissue_cut(profile: ProfileName, old: str, new: str, fault: Fault) -> Lab:
    """Reissue a card by a newer version, cut it, and insert it until it is done."""
    lab = await Lab.start(template=old)
    await active_card(lab, profile)
    await lab.apply(new, 2)
    lab.readers.arm("card", fault)
    outcome = await lab.perform(OperationKind.REISSUE, Holder(current_pins=[PIN]))
    assert outcome.error is not None, "cut"
    for _ in range(INSERTIONS):
        await lab.readers.insert("Reader 1", "card")
        await lab.settle()
        if (await lab.perform(OperationKind.REISSUE, Holder(current_pins=[PIN]))).error is None:
            break
    record = await record_of(lab)
    assert record.credential is not None
    assert record.credential.template.version == 2
    return lab


@pytest.mark.parametrize("at", range(30, 180, 24))
@pytest.mark.parametrize("kind", [FaultKind.COMMAND_LOST, FaultKind.RESPONSE_LOST])
async def test_slots_that_change_come_and_go(kind: FaultKind, at: int) -> None:
    lab = await reissue_cut(ProfileName.YUBIKEY_5_7, EMPLOYEE, OTHER_SLOTS, Fault(kind=kind, at=at))
    await judge(lab, (A, C, D, Slot.RETIRED_1, Slot.RETIRED_2))
    await lab.close()


@pytest.mark.parametrize("at", range(24, 148, 24))
@pytest.mark.parametrize("kind", [FaultKind.COMMAND_LOST, FaultKind.RESPONSE_LOST])
async def test_a_loss_that_is_accepted_and_a_slot_that_cannot_be_deleted(kind: FaultKind, at: int) -> None:
    lab = await reissue_cut(ProfileName.YUBIKEY_4, ACCEPTING, FEWER_SLOTS, Fault(kind=kind, at=at))
    memory = lab.readers.card("card").memory
    held = certificates(memory)
    assert set(held) == {A, C, D}
    assert E in keys(memory), "overwritten by a key that nobody certified"
    valid = [
        entry.serial
        for entry in lab.store._book.state.ledger.values()
        if entry.request_id is not None and entry.revoked_at is None
    ]
    assert sorted(valid) == sorted(each.serial_number for each in held.values())
    await lab.close()


async def test_a_card_none_of_whose_keys_is_known_any_more_is_gone_on_with() -> None:
    """All of them were about to be made; what the card has now nobody knows."""
    fault = Fault(kind=FaultKind.RESPONSE_LOST, at=99)
    lab = await reissue_cut(ProfileName.YUBIKEY_4, ACCEPTING, FEWER_SLOTS, fault)
    assert set(certificates(lab.readers.card("card").memory)) == {A, C, D}
    await lab.close()
