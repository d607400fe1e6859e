"""Empty a card that is given back: every key and every object, whoever put it there, and proof that nothing is left.

Source: card-rules, "Deleting keys".
"""

from dataclasses import replace
from typing import Any, Final

from server.operations.operation import Operation
from server.ports.store import KeyChanged
from shared import errors
from shared.credential.model import CardRecord, KeyState, SecretVersion, State
from shared.iso7816.conversation import Conversation, together
from shared.piv.data import delete_object, object_name, still_there
from shared.piv.ids import Algorithm, ObjectId
from shared.piv.inspect import CardFacts
from shared.piv.keys import delete_key, generate_key
from shared.piv.management import authenticated
from shared.piv.profiles import Profile
from shared.piv.select import fresh
from shared.piv.vendor import slot_metadata

IDENTIFYING: Final = (ObjectId.CCC, ObjectId.CHUID)
"""What says which card it is; deleted last, the CHUID as the very last."""

BEHIND_PIN: Final = (
    ObjectId.FINGERPRINTS,
    ObjectId.FACIAL_IMAGE,
    ObjectId.PRINTED_INFORMATION,
    ObjectId.IRIS,
    ObjectId.PAIRING_CODE_REFERENCE,
)
"""What only the holder may read ([SP 800-73-5] part 1, table 3); whether it is gone shows when the PIN is the factory's."""

_NOT_OURS: Final = frozenset(
    {ObjectId.DISCOVERY, ObjectId.BIOMETRIC_GROUP_TEMPLATE, ObjectId.ATTESTATION_CERTIFICATE}
)
"""What the card itself answers, or its vendor wrote."""

READABLE: Final = tuple(
    object_id for object_id in ObjectId if object_id not in {*IDENTIFYING, *BEHIND_PIN, *_NOT_OURS}
)


async def empty(op: Operation, record: CardRecord, facts: CardFacts, version: SecretVersion) -> None:
    """Delete everything but what identifies the card, and prove it after a cold reset.

    The card must have proven its management key, `version`, in this power session; it has when this ends well, too.

    Raises:
        ReadBackFailed: something is still there.
    """
    op.journal.note(
        *(
            KeyChanged(key=replace(key, state=KeyState.INTENDED, public_key=b"", touch=None))
            for key in record.keys.values()
        )
    )
    await op.journal.commit()
    deletes: list[Conversation[Any]] = [*_delete_keys(record, facts.profile)]
    deletes += [delete_object(object_id, missing_ok=True) for object_id in (*READABLE, *BEHIND_PIN)]
    await op.talk.converse(together(*deletes))
    key = await op.secrets(record.record_id).management_key(record.management_algorithm, version)
    proof = authenticated(key, _nothing_left(facts.profile), op.services.keystore.random)
    await op.talk.converse(fresh(proof, chuid=facts.chuid_raw))


def _delete_keys(record: CardRecord, profile: Profile) -> list[Conversation[Any]]:
    """Return what deletes every key, or overwrites ours where no command deletes; a retired card's are that already."""
    if profile.features.delete_key:
        return [delete_key(slot, missing_ok=True) for slot in profile.slots]
    if record.state is State.RETIRED:
        return []
    quick = Algorithm.P256 if Algorithm.P256 in profile.algorithms else None
    return [generate_key(slot, quick or key.algorithm) for slot, key in record.keys.items()]


def _nothing_left(profile: Profile) -> Conversation[None]:
    """Check that there is no object, and no key where the card tells and has a command that deletes.

    Raises:
        ReadBackFailed: `what` is still there.
    """
    slots = profile.slots if profile.features.delete_key and profile.features.metadata else ()
    reads: list[Conversation[Any]] = [still_there(object_id) for object_id in READABLE]
    found = yield from together(*reads, *(slot_metadata(slot) for slot in slots))
    names = [*map(object_name, READABLE), *(f"key-{slot.text}" for slot in slots)]
    for name, left in zip(names, found, strict=True):
        if left:
            raise errors.ReadBackFailed(what=name)
