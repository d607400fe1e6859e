"""Cards whose certificates or keys are replaced: how they come to be, and their judge.

The judge reads the card's memory and the certificate authority's book; the journal is asked only what it promises.
"""

from collections.abc import Sequence
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from shared.credential.model import CardRecord, CertificateState, KeyState, State
from shared.piv.certificate import CertificateContainer
from shared.piv.ids import ProfileName, Slot
from shared.relay import OperationKind
from shared.virtual.memory import Memory
from tests.scenario.judging import WatchedCard, put
from tests.scenario.lab import BOB, Holder, Lab

PIN: Final = "739154"
A, C, D, E = Slot.AUTHENTICATION, Slot.SIGNATURE, Slot.KEY_MANAGEMENT, Slot.CARD_AUTHENTICATION


async def active_card(
    lab: Lab, profile: ProfileName = ProfileName.YUBIKEY_5_7, name: str = "employee"
) -> WatchedCard:
    """Put a card into the reader whose holder has set the PIN."""
    card = await put(lab, WatchedCard.fresh(profile))
    issued = await lab.perform(OperationKind.ISSUE, subject=BOB.holder, template=name)
    assert issued.error is None, issued
    assert (await lab.perform(OperationKind.ACTIVATE, Holder(new_pins=[PIN]))).error is None
    await lab.station.refresh("Reader 1")
    card.writes.clear()
    return card


async def record_of(lab: Lab) -> CardRecord:
    (record_id,) = lab.store._book.state.cards
    record = await lab.store.cards.card(record_id)
    assert record is not None
    return record


def spki(key: object) -> bytes:
    encoded: bytes = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)  # type: ignore[attr-defined]
    return encoded


def keys(memory: Memory) -> dict[Slot, bytes]:
    """Return the public keys on a card."""
    return {
        slot: spki(key.private.public_key())
        for slot, key in memory.keys.items()
        if slot is not Slot.ATTESTATION
    }


def certificates(memory: Memory) -> dict[Slot, x509.Certificate]:
    """Return the certificates on a card."""
    found: dict[Slot, x509.Certificate] = {}
    for slot in Slot:
        raw = memory.objects.get(slot.certificate_object, b"")
        if raw and slot is not Slot.ATTESTATION:
            found[slot] = x509.load_der_x509_certificate(CertificateContainer.from_bytes(raw).certificate)
    return found


async def judge(lab: Lab, slots: Sequence[Slot] = (A, C, D, E)) -> Memory:
    """Check that every key has its certificate, and that the valid certificates are those on the card."""
    memory, record = lab.readers.card("card").memory, await record_of(lab)
    held = certificates(memory)
    assert set(held) == set(keys(memory)) == set(slots)
    assert {slot: spki(each.public_key()) for slot, each in held.items()} == keys(memory)
    valid = [
        entry.serial
        for entry in lab.store._book.state.ledger.values()
        if entry.request_id is not None and entry.revoked_at is None
    ]
    assert sorted(valid) == sorted(each.serial_number for each in held.values())
    assert record.open_operation is None
    assert record.state is State.ACTIVE
    for slot, key in keys(memory).items():
        assert (record.keys[slot].state, record.keys[slot].public_key) == (KeyState.PROVEN, key)
    confirmed = {
        each.slot: each.public_key for each in record.certificates if each.state is CertificateState.CONFIRMED
    }
    assert confirmed == keys(memory)
    assert memory.pin.left == memory.pin.tries
    return memory
