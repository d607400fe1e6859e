"""A card pulled at any command heals at its next insertion.

The judge reads the card's memory and the certificate authority's book, never the journal.
"""

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from kiosk.station.faces import Outcome
from shared.credential.model import State
from shared.piv.ids import ObjectId, ProfileName, Slot
from shared.relay import OperationKind
from shared.virtual.faults import Fault, FaultKind
from tests.scenario.lab import BOB, Holder, Lab

INSERTIONS = 4
SLOTS = (Slot.AUTHENTICATION, Slot.SIGNATURE, Slot.KEY_MANAGEMENT, Slot.CARD_AUTHENTICATION)


async def commands_of_an_issue(profile: ProfileName) -> int:
    """Count the physical commands of an uncut run."""
    lab = await Lab.start()
    try:
        await lab.insert(profile)
        await lab.settle()
        card = lab.readers.card("card")
        before = card.commands
        assert (await issue(lab)).error is None
        return card.commands - before
    finally:
        await lab.close()


async def issue(lab: Lab) -> Outcome:
    return await lab.perform(OperationKind.ISSUE, subject=BOB.holder, template="employee")


async def heal(lab: Lab) -> int:
    """Insert and issue again until it is done; return how many insertions it took."""
    for attempt in range(1, INSERTIONS + 1):
        await lab.readers.insert("Reader 1", "card")
        await lab.settle()
        outcome = await issue(lab)
        if outcome.error is None:
            return attempt
        assert outcome.error.code == "card-lost", outcome
    pytest.fail("the card did not heal")


async def judge(lab: Lab) -> None:
    """Check that the card holds what an uncut run leaves, and that no certificate was left behind."""
    memory = lab.readers.card("card").memory
    on_card = {}
    for slot in SLOTS:
        content = memory.objects[slot.certificate_object]
        start = content.index(b"\x30\x82")
        length = int.from_bytes(content[start + 2 : start + 4], "big") + 4
        certificate = x509.load_der_x509_certificate(content[start : start + length])
        key = memory.keys[slot].private.public_key()
        form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        assert certificate.public_key().public_bytes(*form) == key.public_bytes(*form)
        on_card[certificate.serial_number] = certificate
    for wanted in (ObjectId.CHUID, ObjectId.CCC, ObjectId.SECURITY):
        assert memory.objects[wanted]
    entries = lab.store._book.state.ledger.values()
    for entry in entries:
        if entry.request_id is not None and entry.revoked_at is None:
            assert entry.serial in on_card, "a certificate that is neither on its card nor revoked"


async def cut(profile: ProfileName, kind: FaultKind, at: int) -> None:
    lab = await Lab.start()
    try:
        await lab.insert(profile)
        await lab.settle()
        lab.readers.arm("card", Fault(kind=kind, at=at))
        outcome = await issue(lab)
        assert outcome.error is not None
        assert outcome.error.code == "card-lost"
        await heal(lab)
        await judge(lab)
        activated = await lab.perform(OperationKind.ACTIVATE, Holder(new_pins=["739154"]))
        assert activated.error is None
        assert activated.state == State.ACTIVE
    finally:
        await lab.close()


@pytest.mark.parametrize("kind", [FaultKind.COMMAND_LOST, FaultKind.RESPONSE_LOST])
@pytest.mark.parametrize("profile", [ProfileName.YUBIKEY_5_7, ProfileName.YUBIKEY_4, ProfileName.UNKNOWN])
async def test_an_issue_cut_at_any_command_is_continued(profile: ProfileName, kind: FaultKind) -> None:
    failures = []
    for at in range(1, await commands_of_an_issue(profile) + 1):
        try:
            await cut(profile, kind, at)
        except AssertionError as failure:
            failures.append(f"{at}: {str(failure).splitlines()[0]}")
    assert not failures


async def waiting_for_a_pin(lab: Lab, profile: ProfileName, operation: OperationKind) -> None:
    """Bring a card to where `operation` sets its PIN."""
    await lab.insert(profile)
    assert (await issue(lab)).error is None
    if operation is OperationKind.UNBLOCK:
        assert (await lab.perform(OperationKind.ACTIVATE, Holder(new_pins=["135246"]))).error is None
    await lab.settle()


async def cut_pin(profile: ProfileName, operation: OperationKind, kind: FaultKind, at: int) -> None:
    lab = await Lab.start()
    try:
        await waiting_for_a_pin(lab, profile, operation)
        lab.readers.arm("card", Fault(kind=kind, at=at))
        outcome = await lab.perform(operation, Holder(new_pins=["739154"]))
        assert outcome.error is not None
        assert outcome.error.code == "card-lost"
        await lab.readers.insert("Reader 1", "card")
        await lab.settle()
        again = await lab.perform(operation, Holder(new_pins=["482615"]))
        assert again.error is None
        memory = lab.readers.card("card").memory
        assert memory.pin.value.reveal() == b"482615\xff\xff"
        assert memory.pin.left == memory.pin.tries
        assert memory.puk.left == memory.puk.tries
        changed = await lab.perform(
            OperationKind.CHANGE_PIN, Holder(current_pins=["482615"], new_pins=["739154"])
        )
        assert changed.error is None
    finally:
        await lab.close()


async def commands_of_a_pin(profile: ProfileName, operation: OperationKind) -> int:
    """Count the physical commands of an uncut run."""
    lab = await Lab.start()
    try:
        await waiting_for_a_pin(lab, profile, operation)
        before = lab.readers.card("card").commands
        assert (await lab.perform(operation, Holder(new_pins=["739154"]))).error is None
        return lab.readers.card("card").commands - before
    finally:
        await lab.close()


@pytest.mark.parametrize("kind", [FaultKind.COMMAND_LOST, FaultKind.RESPONSE_LOST])
@pytest.mark.parametrize("operation", [OperationKind.ACTIVATE, OperationKind.UNBLOCK])
@pytest.mark.parametrize("profile", [ProfileName.YUBIKEY_5_7, ProfileName.UNKNOWN])
async def test_a_new_pin_cut_at_any_command_is_continued(
    profile: ProfileName, operation: OperationKind, kind: FaultKind
) -> None:
    failures = []
    for at in range(1, await commands_of_a_pin(profile, operation) + 1):
        try:
            await cut_pin(profile, operation, kind, at)
        except AssertionError as failure:
            failures.append(f"{at}: {str(failure).splitlines()[0]}")
    assert not failures
