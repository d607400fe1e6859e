"""The judge: what is on the card, and what the certificate authority signed. Never the journal.

From the card's record only the versions of its secrets are used, to derive what the card's memory must hold, and what
people are shown: the state.
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import uuid4

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from server.authority.access import Caller
from server.authority.policy import unrestricted
from server.operations.journal import Journal
from server.operations.secrets import CardSecrets
from server.ports.keystore import KeyStore
from server.ports.store import LedgerEntry
from server.store.memory import MemoryStore
from server.store.rules import ON_HOLD
from shared import errors
from shared.clock import SystemClock
from shared.credential.drift import Against, drift
from shared.credential.lifecycle import reachable
from shared.credential.model import (
    FACTORY,
    CardRecord,
    CertificateAction,
    RecordId,
    SecretRecord,
    SecretVersion,
    State,
    StationId,
)
from shared.credential.pins import pad
from shared.credential.sight import sight_of
from shared.piv.certificate import CertificateContainer
from shared.piv.chuid import Chuid
from shared.piv.ids import Algorithm, ManagementAlgorithm, ObjectId, Origin, PinPolicyId, Slot, TouchPolicyId
from shared.piv.inspect import inspect
from shared.virtual.card import VirtualCard
from shared.virtual.memory import Memory, Reference
from tests.cuts.world import Books
from tests.shared.piv.terminal import Terminal


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What must be equal to an uncut run: all but keys, serials, signatures, times and secrets."""

    state: State
    settled: bool
    objects: frozenset[int]
    keys: Mapping[Slot, tuple[Algorithm, Origin, PinPolicyId, TouchPolicyId]]
    certified: frozenset[Slot]
    management: ManagementAlgorithm
    pin: tuple[int, int]
    puk: tuple[int, int]
    live: int
    """Certificates that are not revoked."""
    held: int
    """Those of them that are on hold."""

    def differs(self, other: "Shape") -> list[str]:
        """Say in what `other` is not the same."""
        return [
            f"{name}: {getattr(self, name)!r}, uncut {getattr(other, name)!r}"
            for name in Shape.__slots__
            if getattr(self, name) != getattr(other, name)
        ]


def record_of(memory: Memory, books: Books) -> CardRecord | None:
    """Return the record that the card names in its CHUID."""
    try:
        guid = Chuid.from_bytes(memory.objects.get(ObjectId.CHUID, b"")).guid
    except errors.CardMalformed:
        return None
    return next((record for record in books.records if record.record_id == guid), None)


def drift_of(memory: Memory, books: Books) -> frozenset[str]:
    """Return the keys of what a station would see different from the record; nothing newer is asked for."""
    record = record_of(memory, books)
    if record is None:
        return frozenset()
    terminal = Terminal(memory.profile)
    terminal.card = VirtualCard(memory, random=os.urandom)
    terminal.card.power_on()
    facts = terminal.drive(inspect())
    against = Against(now=SystemClock().now(), ways=reachable(record.state))
    guid = facts.chuid.guid if facts.chuid is not None else None
    return frozenset(each.key for each in drift(record, guid=guid, sight=sight_of(facts), against=against))


def shape(memory: Memory, books: Books) -> Shape:
    """Look at a card."""
    record = record_of(memory, books)
    on_card = certificates(memory)
    return Shape(
        state=record.state if record else State.UNREGISTERED,
        settled=record is None
        or (
            record.open_operation is None
            and record.management_key.pending is None
            and record.puk.pending is None
        ),
        objects=frozenset(memory.objects),
        keys={slot: (key.algorithm, key.origin, key.pin, key.touch) for slot, key in memory.keys.items()},
        certified=frozenset(slot for slot in on_card if _is_certified(memory, slot, on_card[slot])),
        management=memory.management.algorithm,
        pin=_counter(memory.pin),
        puk=_counter(memory.puk),
        live=sum(1 for entry in books.ledger if _standing(entry, books) is not CertificateAction.REVOKE),
        held=sum(1 for entry in books.ledger if _standing(entry, books) is CertificateAction.HOLD),
    )


def _standing(entry: LedgerEntry, books: Books) -> CertificateAction:
    """Return what was done with a certificate last, or is in the queue to be done.

    One that nothing was done with is as one that was released; what is no holder's is not looked at, as if revoked.
    """
    if entry.request_id is None:
        return CertificateAction.REVOKE
    if entry.revoked_at is not None and entry.reason != ON_HOLD:
        return CertificateAction.REVOKE
    done = CertificateAction.HOLD if entry.revoked_at is not None else CertificateAction.RELEASE
    return books.queue.get(entry.request_id, done)


def certificates(memory: Memory) -> dict[Slot, bytes]:
    """Return the certificates on the card (DER) by slot; what is none is left out."""
    found = {}
    for slot in Slot:
        raw = memory.objects.get(slot.certificate_object, b"") if slot is not Slot.ATTESTATION else b""
        if raw:
            found[slot] = CertificateContainer.from_bytes(raw).certificate
    return found


def public_keys(memory: Memory) -> set[bytes]:
    """Return the public keys (DER) of all keys on the card."""
    return {_spki(key.private.public_key()) for key in memory.keys.values()}


def orphans(memory: Memory, books: Books) -> list[LedgerEntry]:
    """Return certificates for holders that are not on the card, and neither revoked nor in the queue to be revoked.

    Whether or not their key exists: a key that is gone makes no certificate harmless by itself, because a list of
    what is valid would be wrong. One on hold is not revoked.
    """
    on_card = set(certificates(memory).values())
    return [
        entry
        for entry in books.ledger
        if entry.certificate not in on_card and _standing(entry, books) is not CertificateAction.REVOKE
    ]


async def unknown_secrets(memory: Memory, books: Books) -> list[str]:
    """Name the secrets on the card that are neither the proven nor the pending value of its record."""
    record = record_of(memory, books)
    key, puk = (
        (record.management_key, record.puk)
        if record is not None
        else (SecretRecord(proven=FACTORY), SecretRecord(proven=FACTORY))
    )
    secrets = _secrets(books.keystore, record.record_id if record else RecordId(uuid4()))
    keys = [
        await secrets.management_key(memory.management.algorithm, version) for version in _candidates(key)
    ]
    problems = []
    if memory.management.value not in [key.value for key in keys]:
        problems.append("the management key on the card is not in the record")
    puks = [await secrets.puk(version) for version in _candidates(puk)]
    if memory.puk.value.reveal() not in puks:
        problems.append("the PUK on the card is not in the record")
    return problems


def wrong_pin(memory: Memory, pins: Sequence[str]) -> list[str]:
    """Say whether the PIN on the card is none of `pins`."""
    known = memory.pin.value.reveal() in [pad(pin.encode()) for pin in pins]
    return [] if known else ["the PIN on the card is not the holder's"]


def _secrets(keystore: KeyStore, record_id: RecordId) -> CardSecrets:
    """Derive beside the product's records: the evidence goes nowhere."""
    nobody = Caller(
        station_id=StationId(uuid4()), name="judge", lab=True, fingerprint=b"", principal=unrestricted("test")
    )
    return CardSecrets(keystore, record_id, Journal(MemoryStore(SystemClock()).cards, nobody))


def _candidates(secret: SecretRecord) -> list[SecretVersion]:
    return [version for version in (secret.proven, secret.pending) if version is not None]


def _is_certified(memory: Memory, slot: Slot, certificate: bytes) -> bool:
    key = memory.keys.get(slot)
    public = x509.load_der_x509_certificate(certificate).public_key()
    return key is not None and _spki(key.private.public_key()) == _spki(public)


def _spki(key: object) -> bytes:
    encoded: bytes = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)  # type: ignore[attr-defined]
    return encoded


def _counter(reference: Reference) -> tuple[int, int]:
    return reference.tries, reference.left
