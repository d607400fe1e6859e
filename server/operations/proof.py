"""Proof that the private key of a slot is on the card: a signature, or an agreement where keys do not sign.

An agreement opens what others encrypted for the key, so a station lets a server have one only while a card is issued and
its key is new. Later the card's own word counts, which it gives in a session in which it proved its management key.

Source: card-rules, "Keys that can't sign" and "GENERATE over a live key"; [SP 800-73-5] part 2, appendices A.3 and A.5.
"""

from collections.abc import Callable
from typing import TypeVar

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey

from server.operations.operation import needs_pin
from shared.credential.template import CertificateSpec, Template
from shared.iso7816.apdu import Hole
from shared.iso7816.conversation import Conversation, together
from shared.piv.ids import PinPolicyId, Slot
from shared.piv.keys import agree
from shared.piv.pin import verify_pin
from shared.piv.publickey import PublicKey
from shared.piv.vendor import slot_metadata

T = TypeVar("T")

SCALAR_LENGTH = 32


def wants_pin(spec: CertificateSpec) -> bool:
    """Whether using this slot's key needs VERIFY first."""
    if spec.pin_policy is PinPolicyId.DEFAULT:
        return needs_pin(spec.slot)
    return spec.pin_policy is not PinPolicyId.NEVER


def pin_uses(template: Template) -> int:
    """Return how many keys of a template are used behind the PIN, each time that all are used once."""
    return sum(1 for spec in template.certificates if wants_pin(spec))


def behind_pin(spec: CertificateSpec, hole: Hole, use: Conversation[T]) -> Conversation[T]:
    """Use a key, with VERIFY as the command right before it where the slot wants that."""
    if not wants_pin(spec):
        return (yield from use)
    _, result = yield from together(verify_pin(hole), use)
    return result  # type: ignore[no-any-return]  # together's values are as typed as its arguments


def agrees(
    spec: CertificateSpec, public_key: X25519PublicKey, hole: Hole, random: Callable[[int], bytes]
) -> Conversation[bool]:
    """Return whether the slot's key agrees on the same secret with a fresh key of ours as `public_key` does."""
    ours = X25519PrivateKey.from_private_bytes(random(SCALAR_LENGTH))
    secret = yield from behind_pin(spec, hole, agree(spec.slot, spec.algorithm, ours.public_key()))
    return secret == ours.exchange(public_key)


def shows(slot: Slot, public_key: PublicKey) -> Conversation[bool]:
    """Return whether the card says that the key in a slot is this one."""
    metadata = yield from slot_metadata(slot)
    return metadata is not None and metadata.public_key == public_key
