"""Each transition of the life cycle, once, on one card in a real PC/SC reader; programs of others judge what is left.

What the desk says of an operation is not asked. OpenSC, ykman, yubico-piv-tool and openssl say what they find.
One more operation is one more row.
"""

import os
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pytest

from server.operations.engine import OPERATIONS
from shared.credential.model import State
from shared.credential.reasons import Cause
from shared.piv.ids import FACTORY_MANAGEMENT_KEY, FACTORY_PIN, ProfileName
from shared.relay import OperationKind
from shared.virtual.card import VirtualCard
from tests.peers.judges.opensc import certificates_with_opensc, judge_with_opensc
from tests.peers.judges.yubico import (
    block_pin,
    judge_with_ykman,
    judge_with_yubico_piv_tool,
    management_key_opens,
    pin_opens,
    slots_with_certificates,
)
from tests.peers.life import SLOTS, Life, life
from tests.peers.pcscd import PcscReader

pytestmark = [pytest.mark.needs_pcscd, pytest.mark.needs_opensc]

FACTORY_ALGORITHM: Final = "AES192"
FIRST_PIN, CHANGED_PIN, UNBLOCKED_PIN, RESUMED_PIN = "739154", "482615", "195537", "830274"
WRONG_PIN: Final = "000000"

Act = Callable[[Life], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One transition: what is done before it, what its people say, and who judges the card after it."""

    operation: OperationKind
    state: State
    judge: Act
    before: Act | None = None
    new_pin: str = ""
    reason: str = ""


# --- judges ---------------------------------------------------------------------------------------------


async def _issued(card: Life) -> None:
    """Certificates are there, nothing of the factory is left."""
    card.read_certificates()
    judge_with_yubico_piv_tool(card.subject)
    judge_with_ykman(card.subject)
    assert slots_with_certificates(card.reader) == {slot.text for slot in SLOTS}
    assert certificates_with_opensc(card.reader) == len(SLOTS)
    assert not pin_opens(card.reader, FACTORY_PIN.decode())
    assert not management_key_opens(card.reader, FACTORY_MANAGEMENT_KEY, FACTORY_ALGORITHM)


async def _usable(card: Life) -> None:
    """The holder's PIN opens the card, and every key signs and agrees as its certificate says."""
    assert pin_opens(card.reader, card.pin)
    judge_with_opensc(card.subject)


async def _new_pin_only(card: Life) -> None:
    """The new PIN opens the card, the old one does not."""
    assert not pin_opens(card.reader, card.old_pin)
    await _usable(card)


async def _block(card: Life) -> None:
    """The holder forgets the PIN and tries others with a program of his own."""
    block_pin(card.reader, WRONG_PIN)
    assert not pin_opens(card.reader, card.pin)


async def _renew_master_key(card: Life) -> None:
    """The present management key opens the card; the server gets a newer master key."""
    card.old_management = card.management
    assert management_key_opens(card.reader, *card.management)
    await card.ask_server("keys", "new", "--why", "a year has passed")


async def _rekeyed(card: Life) -> None:
    """The old management key is worth nothing, the new one opens the card, which signs with the same PIN."""
    assert card.old_management is not None
    assert not management_key_opens(card.reader, *card.old_management)
    assert management_key_opens(card.reader, *card.management)
    await _usable(card)


async def _out_of_use(card: Life, reason: str) -> None:
    """Everything is still on the card, nobody has a PIN for it, and the authority's list says why."""
    judge_with_yubico_piv_tool(card.subject)
    assert certificates_with_opensc(card.reader) == len(SLOTS)
    for pin in (card.pin, FACTORY_PIN.decode()):
        assert not pin_opens(card.reader, pin)
    assert await card.revocations() == [reason] * len(SLOTS)


async def _on_hold(card: Life) -> None:
    """The card is out of use until somebody resumes it."""
    await _out_of_use(card, "Certificate Hold")


async def _in_use_again(card: Life) -> None:
    """The new PIN opens the card, and the authority has nothing against the certificates."""
    await _new_pin_only(card)
    assert await card.revocations() == [""] * len(SLOTS)


async def _stolen(card: Life) -> None:
    """The card is out of use for good."""
    await _out_of_use(card, "Key Compromise")


async def _deleted(card: Life) -> None:
    """The record is closed; the card is out of use."""
    await _out_of_use(card, "Cessation Of Operation")


async def _empty(card: Life) -> None:
    """No program finds a certificate, nobody has a PIN, and the card is still ours."""
    assert slots_with_certificates(card.reader) == set()
    assert certificates_with_opensc(card.reader) == 0
    assert not pin_opens(card.reader, card.pin)
    assert management_key_opens(card.reader, *card.management)


LIFE: Final = (
    Stage(operation=OperationKind.ISSUE, state=State.ISSUED, judge=_issued),
    Stage(operation=OperationKind.ACTIVATE, state=State.ACTIVE, new_pin=FIRST_PIN, judge=_usable),
    Stage(operation=OperationKind.CHANGE_PIN, state=State.ACTIVE, new_pin=CHANGED_PIN, judge=_new_pin_only),
    Stage(
        operation=OperationKind.UNBLOCK,
        state=State.ACTIVE,
        before=_block,
        new_pin=UNBLOCKED_PIN,
        judge=_new_pin_only,
    ),
    Stage(operation=OperationKind.UPDATE, state=State.ACTIVE, before=_renew_master_key, judge=_rekeyed),
    Stage(
        operation=OperationKind.SUSPEND,
        state=State.SUSPENDED,
        reason=Cause.FORGOTTEN.value,
        judge=_on_hold,
    ),
    Stage(operation=OperationKind.RESUME, state=State.ACTIVE, new_pin=RESUMED_PIN, judge=_in_use_again),
    Stage(operation=OperationKind.REVOKE, state=State.REVOKED, reason=Cause.STOLEN.value, judge=_stolen),
    Stage(operation=OperationKind.RETIRE, state=State.RETIRED, reason=Cause.LEFT.value, judge=_empty),
    Stage(operation=OperationKind.ISSUE, state=State.ISSUED, judge=_issued),
    Stage(operation=OperationKind.ACTIVATE, state=State.ACTIVE, new_pin=FIRST_PIN, judge=_usable),
    Stage(operation=OperationKind.DELETE, state=State.DELETED, reason=Cause.LEFT.value, judge=_deleted),
)


def test_every_operation_is_judged() -> None:
    assert {stage.operation for stage in LIFE} == set(OPERATIONS)


async def test_others_find_what_every_transition_promises(pcsc_reader: PcscReader, tmp_path: Path) -> None:
    made = VirtualCard.new(ProfileName.YUBIKEY_5_7, serial=20114321, random=os.urandom)
    async with life(tmp_path, made, pcsc_reader) as card:
        for stage in LIFE:
            try:
                await _live(card, stage)
            except AssertionError as failure:
                failure.add_note(f"the transition: {stage.operation}")
                raise


async def _live(card: Life, stage: Stage) -> None:
    """Do one transition and have it judged."""
    if stage.before is not None:
        await stage.before(card)
    outcome = await card.perform(stage.operation, new_pin=stage.new_pin, reason=stage.reason)
    assert (outcome.error, outcome.state) == (None, stage.state)
    await stage.judge(card)
