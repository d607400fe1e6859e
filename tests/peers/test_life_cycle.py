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
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from server.operations.engine import OPERATIONS
from shared.credential.model import State
from shared.credential.reasons import Cause
from shared.piv.ids import FACTORY_MANAGEMENT_KEY, FACTORY_PIN, ProfileName, Slot
from shared.relay import OperationKind
from shared.virtual.card import VirtualCard
from tests.peers.judges.opensc import certificates_with_opensc, judge_with_opensc
from tests.peers.judges.yubico import (
    block_pin,
    judge_with_ykman,
    judge_with_yubico_piv_tool,
    management_key_opens,
    pin_opens,
    read_certificate,
    slots_with_certificates,
    ykman,
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
    assert certificates_with_opensc(card.reader) == len(card.certificates)
    for pin in (card.pin, FACTORY_PIN.decode()):
        assert not pin_opens(card.reader, pin)
    assert await card.revocations(card.certificates.values()) == [reason] * len(card.certificates)


async def _on_hold(card: Life) -> None:
    """The card is out of use until somebody resumes it."""
    await _out_of_use(card, "Certificate Hold")


async def _in_use_again(card: Life) -> None:
    """The new PIN opens the card, and the authority has nothing against the certificates."""
    await _new_pin_only(card)
    assert await card.revocations(card.certificates.values()) == [""] * len(SLOTS)


def _keys(certificates: dict[Slot, x509.Certificate]) -> dict[Slot, bytes]:
    """Return the public keys of certificates."""
    form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return {slot: each.public_key().public_bytes(*form) for slot, each in certificates.items()}


async def _replaced(card: Life, *, kept: frozenset[Slot] = frozenset()) -> None:
    """Every certificate is another one, and the authority has revoked the old ones but those that are `kept`."""
    for slot, certificate in card.certificates.items():
        assert certificate.serial_number != card.old_certificates[slot].serial_number
    old, new = card.old_certificates, card.certificates
    expected = ["" if slot in kept else "Superseded" for slot in old] + [""] * len(new)
    assert await card.revocations([*old.values(), *new.values()]) == expected


async def _renewed(card: Life) -> None:
    """New certificates for the same keys; the same PIN uses them."""
    card.read_certificates()
    judge_with_ykman(card.subject)
    await _usable(card)
    assert _keys(card.certificates) == _keys(card.old_certificates)
    await _replaced(card)


async def _reissued(card: Life) -> None:
    """New keys, which the same PIN uses; the old one for mail is kept in a retired slot, and still agrees on secrets."""
    card.read_certificates()
    old = _keys(card.old_certificates)
    assert all(key != old[slot] for slot, key in _keys(card.certificates).items())
    kept = read_certificate(card.reader, Slot.RETIRED_1)
    assert kept == card.old_certificates[Slot.KEY_MANAGEMENT]
    await _replaced(card, kept=frozenset({Slot.KEY_MANAGEMENT}))
    card.certificates |= {Slot.RETIRED_1: kept}
    judge_with_ykman(card.subject)
    await _usable(card)


async def _stolen(card: Life) -> None:
    """The card is out of use for good."""
    await _out_of_use(card, "Key Compromise")


async def _from_the_factory(card: Life) -> None:
    """Every secret is the factory's, and nothing of ours is left."""
    said = ykman(card.reader, "info")
    for secret in ("PIN", "PUK", "Management key"):
        assert f"WARNING: Using default {secret}!" in said, said
    assert slots_with_certificates(card.reader) == set()
    assert pin_opens(card.reader, FACTORY_PIN.decode())
    assert management_key_opens(card.reader, FACTORY_MANAGEMENT_KEY, FACTORY_ALGORITHM)


async def _in_stock(card: Life) -> None:
    """The card is empty, and no secret is the factory's."""
    assert "WARNING" not in ykman(card.reader, "info")
    assert slots_with_certificates(card.reader) == set()
    assert not pin_opens(card.reader, FACTORY_PIN.decode())
    assert not management_key_opens(card.reader, FACTORY_MANAGEMENT_KEY, FACTORY_ALGORITHM)


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
    Stage(operation=OperationKind.REGISTER, state=State.REGISTERED, judge=_in_stock),
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
    Stage(operation=OperationKind.RENEW, state=State.ACTIVE, judge=_renewed),
    Stage(operation=OperationKind.REISSUE, state=State.ACTIVE, judge=_reissued),
    Stage(operation=OperationKind.REVOKE, state=State.REVOKED, reason=Cause.STOLEN.value, judge=_stolen),
    Stage(operation=OperationKind.RETIRE, state=State.RETIRED, reason=Cause.LEFT.value, judge=_empty),
    Stage(operation=OperationKind.ISSUE, state=State.ISSUED, judge=_issued),
    Stage(operation=OperationKind.ACTIVATE, state=State.ACTIVE, new_pin=FIRST_PIN, judge=_usable),
    Stage(operation=OperationKind.DELETE, state=State.DELETED, reason=Cause.LEFT.value, judge=_deleted),
    Stage(operation=OperationKind.UNREGISTER, state=State.UNREGISTERED, judge=_from_the_factory),
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
