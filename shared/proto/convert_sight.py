"""What was seen of a card, and where it differs from its record or a template: message ↔ value."""

from collections.abc import Sequence
from typing import Final, TypeVar

from shared import errors
from shared.console import Comparison
from shared.credential.difference import Difference
from shared.credential.drift_kinds import Drift
from shared.credential.sight import DIGEST_LENGTH, KeySight, Sight, SlotSight
from shared.piv.ids import Algorithm, ManagementAlgorithm, ObjectId, PinPolicyId, Slot, TouchPolicyId
from shared.piv.inspect import ManagementFacts, ReferenceFacts
from shared.proto import console_pb2 as pb
from shared.proto.convert_facts import member

T = TypeVar("T")

_SLOTS: Final = {slot.value: slot for slot in Slot}
_OBJECTS: Final = {object_id.value: object_id for object_id in ObjectId}
_ALGORITHMS: Final = {algorithm.value: algorithm for algorithm in Algorithm}
_MANAGEMENT: Final = {algorithm.value: algorithm for algorithm in ManagementAlgorithm}
_PIN_POLICIES: Final = {policy.value: policy for policy in PinPolicyId}
_TOUCH_POLICIES: Final = {policy.value: policy for policy in TouchPolicyId}


def encode_sight(sight: Sight) -> pb.CardSight:
    """Turn what was seen of a card into a message."""
    return pb.CardSight(
        metadata=sight.metadata,
        slots=[_encode_slot(slot, seen) for slot, seen in sight.slots.items()],
        objects=[pb.ObjectSight(tag=tag, digest=digest) for tag, digest in sight.objects.items()],
        unvouched=sorted(sight.unvouched),
        management_algorithm=sight.management.algorithm,
        management_default=sight.management.default,
        pin=_encode_reference(sight.pin),
        puk=_encode_reference(sight.puk),
    )


def decode_sight(message: pb.CardSight) -> Sight:
    """Read what was seen of a card.

    Raises:
        Garbled: a number that no standard has, something twice, or what is no digest.
    """
    slots = {
        member(_SLOTS, seen.slot, "slot"): _decode_slot(seen) for seen in _limited(message.slots, len(Slot))
    }
    objects = {
        member(_OBJECTS, seen.tag, "object"): _digest(seen.digest)
        for seen in _limited(message.objects, len(ObjectId))
    }
    if len(slots) != len(message.slots) or len(objects) != len(message.objects) or b"" in objects.values():
        raise errors.Garbled(why="a slot or an object twice, or an object without digest")
    unvouched = _limited(message.unvouched, len(ObjectId))
    return Sight(
        metadata=message.metadata,
        slots=slots,
        objects=objects,
        unvouched=frozenset(member(_OBJECTS, tag, "object") for tag in unvouched),
        management=ManagementFacts(
            algorithm=(
                member(_MANAGEMENT, message.management_algorithm, "algorithm")
                if message.HasField("management_algorithm")
                else None
            ),
            default=message.management_default if message.HasField("management_default") else None,
        ),
        pin=_decode_reference(message.pin),
        puk=_decode_reference(message.puk),
    )


def _encode_slot(slot: Slot, seen: SlotSight) -> pb.SlotSight:
    key = seen.key
    return pb.SlotSight(
        slot=slot,
        certificate=seen.certificate,
        algorithm=seen.algorithm,
        key=pb.KeySight(
            algorithm=key.algorithm,
            public_key=key.public_key,
            pin_policy=key.pin_policy,
            touch_policy=key.touch_policy,
        )
        if key is not None
        else None,
    )


def _decode_slot(message: pb.SlotSight) -> SlotSight:
    return SlotSight(
        certificate=_digest(message.certificate),
        algorithm=_algorithm(message),
        key=_decode_key(message.key) if message.HasField("key") else None,
    )


def _decode_key(message: pb.KeySight) -> KeySight:
    return KeySight(
        algorithm=_algorithm(message),
        public_key=_digest(message.public_key),
        pin_policy=member(_PIN_POLICIES, message.pin_policy, "PIN policy"),
        touch_policy=member(_TOUCH_POLICIES, message.touch_policy, "touch policy"),
    )


def _algorithm(message: pb.SlotSight | pb.KeySight) -> Algorithm | None:
    if not message.HasField("algorithm"):
        return None
    return member(_ALGORITHMS, message.algorithm, "algorithm")


def _digest(raw: bytes) -> bytes:
    if len(raw) not in {0, DIGEST_LENGTH}:
        raise errors.Garbled(why="not a SHA-256")
    return raw


def _encode_reference(facts: ReferenceFacts) -> pb.ReferenceSight:
    return pb.ReferenceSight(
        tries_left=facts.tries_left, tries_total=facts.tries_total, default=facts.default
    )


def _decode_reference(message: pb.ReferenceSight) -> ReferenceFacts:
    has = message.HasField
    return ReferenceFacts(
        tries_left=message.tries_left if has("tries_left") else None,
        tries_total=message.tries_total if has("tries_total") else None,
        default=message.default if has("default") else None,
    )


def encode_drift(drift: Drift) -> pb.Drift:
    """Turn one difference from the record into a message."""
    return pb.Drift(
        key=drift.key,
        subject=drift.subject,
        expected=drift.expected,
        found=drift.found,
        mend=drift.mend,
    )


def decode_drift(message: pb.Drift) -> Drift:
    """Read one difference from the record; a key of a newer server stays as it is."""
    return Drift(
        key=message.key,
        subject=message.subject,
        expected=message.expected,
        found=message.found,
        mend=message.mend,
    )


def encode_comparison(comparison: Comparison) -> pb.CompareCardReply:
    """Turn a card beside a template into a message."""
    return pb.CompareCardReply(
        template=comparison.template,
        title=comparison.title,
        version=comparison.version,
        differences=[
            pb.Difference(
                aspect=each.aspect,
                subject=each.subject,
                expected=each.expected,
                found=each.found,
                told=each.told,
            )
            for each in comparison.differences
        ],
    )


def decode_comparison(message: pb.CompareCardReply) -> Comparison:
    """Read a card beside a template; an aspect of a newer server stays as it is."""
    return Comparison(
        template=message.template,
        title=message.title,
        version=message.version,
        differences=tuple(
            Difference(
                aspect=each.aspect,
                subject=each.subject,
                expected=each.expected,
                found=each.found,
                told=each.told,
            )
            for each in message.differences
        ),
    )


def _limited(messages: Sequence[T], limit: int) -> Sequence[T]:
    """Return a list that is not longer than anything that it may list."""
    if len(messages) > limit:
        raise errors.Garbled(why=f"more than {limit} of a kind")
    return messages
