"""What bad input must leave as it was, and what a person must be told: the judge of these scenarios."""

import os
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from kiosk.station import wording
from kiosk.station.faces import Outcome
from server.connectors.directory.memory import MemoryDirectory
from server.ports.store import AuditRecord
from shared.credential.model import CardRecord, Person
from shared.piv.certificate import CertificateContainer
from shared.piv.ids import Ins, ObjectId, ProfileName, Slot
from shared.relay import OperationKind
from shared.virtual.card import VirtualCard
from shared.virtual.memory import Memory
from tests.scenario.lab import BOB, Holder, Lab

WRITES: Final = frozenset(
    {
        Ins.PUT_DATA,
        Ins.GENERATE_ASYMMETRIC,
        Ins.SET_MANAGEMENT_KEY,
        Ins.CHANGE_REFERENCE_DATA,
        Ins.RESET_RETRY_COUNTER,
        Ins.SET_PIN_RETRIES,
        Ins.IMPORT_KEY,
        Ins.MOVE_KEY,
        Ins.RESET,
    }
)
"""Commands that change a card where it takes them."""

PIN: Final = "739154"

SLOTS: Final = (Slot.AUTHENTICATION, Slot.SIGNATURE, Slot.KEY_MANAGEMENT, Slot.CARD_AUTHENTICATION)
"""The slots of the template `employee`."""

OK: Final = b"\x90\x00"


class WatchedCard(VirtualCard):
    """A card that remembers what it was told to write, and did."""

    writes: list[str]

    @classmethod
    def fresh(cls, profile: ProfileName = ProfileName.YUBIKEY_5_7, serial: int = 1001) -> "WatchedCard":
        card = cls.new(profile, serial=serial, random=os.urandom)
        card.writes = []
        return card

    def transmit(self, apdu: bytes) -> bytes:
        answer = super().transmit(apdu)
        if apdu[1] in WRITES and answer[-2:] == OK:
            self.writes.append(Ins(apdu[1]).name)
        return answer

    def alter(self, memory: Memory) -> None:
        """Change it behind everybody's back."""
        self._applet.memory = memory


async def put(lab: Lab, card: WatchedCard, name: str = "card") -> WatchedCard:
    """Put a card into the reader and let the station read it."""
    lab.readers.add_card(name, card)
    await lab.readers.insert("Reader 1", name)
    await lab.settle()
    return card


@dataclass(frozen=True, slots=True)
class Kept:
    """What bad input must not change: cards, their records, the book of the certificate authority."""

    cards: Mapping[str, Memory] = field(repr=False)
    records: Sequence[CardRecord | None] = field(repr=False)
    ledger: Mapping[int, Any] = field(repr=False)
    templates: Mapping[Any, Any] = field(repr=False)
    stations: Mapping[Any, Any] = field(repr=False)


async def kept(lab: Lab) -> Kept:
    """Return what is there now."""
    state = lab.store._book.state
    return Kept(
        cards={name: lab.readers.card(name).memory for name in lab.readers.cards()},
        records=[await lab.store.cards.card(record_id) for record_id in state.cards],
        ledger=dict(state.ledger),
        templates=dict(state.templates),
        stations=dict(state.stations),
    )


@asynccontextmanager
async def nothing_changes(lab: Lab) -> AsyncIterator[None]:
    """Fail where anything is different after the block."""
    before = await kept(lab)
    yield
    after = await kept(lab)
    changed = [name for name in Kept.__slots__ if getattr(before, name) != getattr(after, name)]
    assert changed == [], f"changed: {changed}"


def said(outcome: Outcome, code: str) -> str:
    """Check that an operation failed with `code`; return what the person reads: the failure and what to do next.

    Every fact that the sentence names must be there, and the next action must be one that is worded.
    """
    assert outcome.error is not None, "it did not fail"
    assert outcome.error.code == code, outcome
    sentence = wording.failure(outcome.error)
    assert "…" not in sentence
    assert outcome.next_action in wording._NEXT_ACTIONS, outcome
    return f"{sentence} {wording.next_action(outcome.next_action)}"


def evidence(lab: Lab) -> list[AuditRecord]:
    """Return every audit record so far."""
    return [entry.record for entry in lab.store._book.state.audit]


async def issue(lab: Lab, *, subject: str = BOB.holder, template: str = "employee") -> Outcome:
    return await lab.perform(OperationKind.ISSUE, subject=subject, template=template)


async def judge(lab: Lab) -> None:
    """Check that the card holds what an uncut run leaves, and that no certificate was left behind.

    Looks into the card's memory and the certificate authority's book, never the journal.
    """
    memory = lab.readers.card("card").memory
    on_card = set()
    for slot in SLOTS:
        content = CertificateContainer.from_bytes(memory.objects[slot.certificate_object])
        certificate = x509.load_der_x509_certificate(content.certificate)
        key = memory.keys[slot].private.public_key()
        form = (Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        assert certificate.public_key().public_bytes(*form) == key.public_bytes(*form)
        on_card.add(certificate.serial_number)
    for wanted in (ObjectId.CHUID, ObjectId.CCC, ObjectId.SECURITY):
        assert memory.objects[wanted]
    for entry in lab.store._book.state.ledger.values():
        if entry.request_id is not None and entry.revoked_at is None:
            assert entry.serial in on_card, "a certificate that is neither on its card nor revoked"


async def active_card(lab: Lab) -> WatchedCard:
    """Put a card into the reader whose holder has set the PIN."""
    card = await put(lab, WatchedCard.fresh())
    assert (await issue(lab)).error is None
    assert (await lab.perform(OperationKind.ACTIVATE, Holder(new_pins=[PIN]))).error is None
    await lab.station.refresh("Reader 1")
    return card


def give(lab: Lab, *people: Person) -> None:
    """Replace everybody in the directory."""
    lab.services.directories["people"] = MemoryDirectory(people)  # type: ignore[index]  # a dict, really
