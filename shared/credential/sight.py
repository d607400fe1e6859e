"""What was seen of a card, small enough to travel: digests instead of contents.

A station makes it of what it read and the server compares it with the record (`drift`) and with templates
(`difference`). It is a claim and not proof: what a card or a station says is shown to people, and nothing is done
because of it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm

from shared import errors
from shared.piv.ids import PRIMARY_SLOTS, Algorithm, ObjectId, PinPolicyId, Slot, TouchPolicyId
from shared.piv.inspect import OBJECTS, CardFacts, ManagementFacts, ReferenceFacts
from shared.piv.publickey import (
    PublicKey,
    algorithm_of,
    subject_public_key_info,
)
from shared.piv.security_object import SecurityObject, digests_differ
from shared.piv.vendor import SlotMetadata

DIGEST_LENGTH: Final = 32
"""Bytes of a SHA-256 digest."""

COVERED: Final = (ObjectId.CHUID, ObjectId.CCC, *(slot.certificate_object for slot in PRIMARY_SLOTS))
"""What a Security Object of ours covers where it is on the card."""


@dataclass(frozen=True, slots=True, kw_only=True)
class KeySight:
    """What a card says of the key in a slot.

    `public_key` is the digest of its DER SubjectPublicKeyInfo, empty for a kind that is not known here; its
    `algorithm` is None then.
    """

    algorithm: Algorithm | None = None
    public_key: bytes = b""
    pin_policy: PinPolicyId = PinPolicyId.DEFAULT
    touch_policy: TouchPolicyId = TouchPolicyId.DEFAULT


@dataclass(frozen=True, slots=True, kw_only=True)
class SlotSight:
    """What was seen of a slot.

    `certificate` is the digest of the DER certificate, empty where there is none that can be read; `algorithm` that
    of its key. `key` is None where the slot is empty, or the card does not tell.
    """

    certificate: bytes = b""
    algorithm: Algorithm | None = None
    key: KeySight | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Sight:
    """A card as it was seen once.

    `slots` has every slot that was looked at, `objects` the digest of every object that was found. `unvouched` are the
    objects that the card's Security Object does not cover, or not as they are. `metadata` says that the card tells
    which slots have a key.
    """

    metadata: bool = False
    slots: Mapping[Slot, SlotSight] = field(default_factory=dict)
    objects: Mapping[ObjectId, bytes] = field(default_factory=dict)
    unvouched: frozenset[ObjectId] = frozenset()
    management: ManagementFacts = field(default_factory=ManagementFacts)
    pin: ReferenceFacts = field(default_factory=ReferenceFacts)
    puk: ReferenceFacts = field(default_factory=ReferenceFacts)


def sight_of(facts: CardFacts) -> Sight:
    """Return what is to be told of a card that was read."""
    return Sight(
        metadata=facts.answers.metadata,
        slots={slot: _slot(facts, slot) for slot in PRIMARY_SLOTS},
        objects={object_id: digest(content) for object_id, content in facts.objects.items()},
        unvouched=frozenset(_unvouched(facts.objects)),
        management=facts.management,
        pin=facts.pin,
        puk=facts.puk,
    )


def digest(raw: bytes) -> bytes:
    """Return the SHA-256 by which things are compared."""
    return sha256(raw).digest()


def _slot(facts: CardFacts, slot: Slot) -> SlotSight:
    seen = facts.slots.get(slot)
    if seen is None:
        return SlotSight()
    certificate = seen.certificate
    return SlotSight(
        certificate=digest(certificate) if certificate is not None else b"",
        algorithm=_algorithm_in(certificate) if certificate is not None else None,
        key=_key(seen.metadata) if seen.metadata is not None else None,
    )


def _key(metadata: SlotMetadata) -> KeySight:
    key = metadata.public_key
    return KeySight(
        algorithm=metadata.algorithm,
        public_key=digest(subject_public_key_info(key)) if key is not None else b"",
        pin_policy=metadata.pin_policy,
        touch_policy=metadata.touch_policy,
    )


def _algorithm_in(certificate: bytes) -> Algorithm | None:
    """Return the kind of key that a DER certificate is for; None where no slot has such keys."""
    try:
        key = x509.load_der_x509_certificate(certificate).public_key()
        return algorithm_of(key) if isinstance(key, PublicKey) else None
    except (ValueError, UnsupportedAlgorithm, errors.NotSupportedByCard):
        return None


def _unvouched(objects: Mapping[ObjectId, bytes]) -> Iterator[ObjectId]:
    """Name what the Security Object does not cover as it is; the signature over it is not looked at."""
    raw = objects.get(ObjectId.SECURITY)
    if raw is None:
        return
    present = [object_id for object_id in COVERED if object_id in objects]
    try:
        security = SecurityObject.from_bytes(raw)
        differing = digests_differ(security, objects)
    except errors.CardMalformed:
        yield from present
        return
    named = set(security.groups.values())
    for object_id in OBJECTS:
        uncovered = object_id in present and object_id not in named
        if uncovered or object_id in differing:
            yield object_id
