"""Own the card and make its keys: everything that the management key opens before there is a PIN.

On a new card this takes three round trips: the factory key's challenge; record id, new key and the new key's
challenge; the new key's proof with all keys generated behind it.

Source: card-rules, "Own a card"; [SP 800-73-5] part 2, sections 3.2.4, 3.3.1, 3.3.2.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, cast

from server.operations.operation import Operation
from shared import errors
from shared.credential import plan
from shared.iso7816.conversation import Conversation, together
from shared.piv.data import write_object
from shared.piv.ids import FACTORY_PIN, ObjectId, Slot
from shared.piv.keys import generate_key
from shared.piv.management import ManagementKey, authenticated, authenticated_singly, set_management_key
from shared.piv.pin import set_pin_retries, verify_pin

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Material:
    """What goes on the card in this phase. `new_key` only where the card is to be owned."""

    current_key: ManagementKey
    current_is_factory: bool
    new_key: ManagementKey | None
    chuid: bytes
    ccc: bytes


def build(steps: Sequence[plan.Step], material: Material, op: Operation) -> Conversation[dict[Slot, bytes]]:
    """Carry out the steps that the management key opens; return new public keys (DER) by slot.

    When it ends well, the card has proven its management key by mutual authentication in this power session.
    """
    random = op.services.keystore.random
    retries = [_set_retries(step) for step in steps if isinstance(step, plan.SetRetries)]
    chuid = [write_object(ObjectId.CHUID, material.chuid) for s in steps if isinstance(s, plan.WriteChuid)]
    rest = _after_owning(steps, material)
    if material.new_key is None:
        *_, keys = yield from authenticated(material.current_key, together(*retries, *chuid, rest), random)
        return cast("dict[Slot, bytes]", keys)
    own = together(
        *retries,
        *chuid,
        set_management_key(material.new_key),
        with_new_key(material.new_key, rest, random),
    )
    # a card that proves a public key proves nothing: the factory's key opens the card, and no more is asked of it
    opened = (
        authenticated_singly(material.current_key, own)
        if material.current_is_factory
        else authenticated(material.current_key, own, random)
    )
    *_, keys = yield from opened
    return cast("dict[Slot, bytes]", keys)


def with_new_key(
    key: ManagementKey, then: Conversation[T], random: Callable[[int], bytes]
) -> Conversation[T]:
    """Authenticate with the key that the card was just given; see `authenticated`.

    Raises:
        CardNotGenuine: the card does not take it. A key that is *rejected* was never on the card; this one was.
    """
    try:
        return (yield from authenticated(key, then, random))
    except errors.ManagementKeyRejected as cause:
        raise errors.CardNotGenuine(why="it refuses the management key that it was just given") from cause


def _after_owning(steps: Sequence[plan.Step], material: Material) -> Conversation[dict[Slot, bytes]]:
    writes: list[Conversation[Any]] = [
        write_object(ObjectId.CCC, material.ccc) for step in steps if isinstance(step, plan.WriteCcc)
    ]
    specs = [step.spec for step in steps if isinstance(step, plan.Generate)]
    makes = [generate_key(spec.slot, spec.algorithm, spec.pin_policy, spec.touch_policy) for spec in specs]
    values = yield from together(*writes, *makes)
    made = values[len(writes) :]
    return {spec.slot: plan.der(key) for spec, key in zip(specs, made, strict=True)}


def _set_retries(step: plan.SetRetries) -> Conversation[None]:
    """Set the retry counters: needs the management key and the (factory) PIN, and makes both factory again."""
    yield from together(verify_pin(FACTORY_PIN), set_pin_retries(step.pin_tries, step.puk_tries))
