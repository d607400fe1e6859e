"""Judge the keys that a card says it made, before anybody certifies them.

Source: card-rules, "Attestation"; design, "a lying station must gain nothing".
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace

from server.operations import enrol
from server.operations.attest import check_attestations
from server.operations.operation import Operation
from server.ports.store import KeyChanged
from shared import errors
from shared.credential.model import KeyRecord, KeyState, RecordId
from shared.credential.template import CertificateSpec, Template
from shared.piv.ids import Slot, TouchPolicyId
from shared.piv.inspect import CardFacts


def key_record(spec: CertificateSpec, state: KeyState, public_key: bytes = b"") -> KeyRecord:
    """Return what the record says of the key in a slot; `public_key` is DER, empty while only intended."""
    return KeyRecord(slot=spec.slot, algorithm=spec.algorithm, state=state, public_key=public_key)


async def judge_keys(
    op: Operation,
    record_id: RecordId,
    template: Template,
    facts: CardFacts,
    signed: Sequence[enrol.Wanted],
    stated: Mapping[Slot, bytes] | errors.CardError,
) -> None:
    """Check that the card holds the keys that it said it made; keys that do not hold are made again next time.

    Raises:
        CardNotGenuine: it does not, another card has shown them before, or its vendor does not vouch for them.
    """
    problems: list[errors.CardNotGenuine] = []
    for item in signed:
        state = KeyState.PROVEN
        try:
            enrol.check_request(item)
        except errors.CardNotGenuine as problem:
            problems.append(problem)
            state = KeyState.INTENDED
        public_key = item.public_key if state is KeyState.PROVEN else b""
        op.journal.note(KeyChanged(key=key_record(item.spec, state, public_key)))
    if problems:
        raise problems[0]
    try:
        keys = {item.spec.slot: item.public_key for item in signed}
        await _check_unseen(op, record_id, keys.values())
        touch = check_attestations(op, template, facts, keys, stated)
    except errors.CardNotGenuine:
        doubt_keys(op, signed)
        raise
    held = [key_record(item.spec, KeyState.PROVEN, item.public_key) for item in signed]
    note_touch(op, held, touch)


def note_touch(op: Operation, keys: Iterable[KeyRecord], touch: Mapping[Slot, TouchPolicyId]) -> None:
    """Note the touch policies that the vendor vouched for; of the other keys it stays what it was."""
    vouched = [replace(key, touch=touch[key.slot]) for key in keys if key.slot in touch]
    op.journal.note(*(KeyChanged(key=key) for key in vouched))


async def _check_unseen(op: Operation, record_id: RecordId, public_keys: Collection[bytes]) -> None:
    """Refuse a key that another card has shown before: it was not made on this one, whoever vouches for it.

    An attestation has no nonce: without this, one card's key would serve as many credentials as a station likes.

    Raises:
        CardNotGenuine: there is such a key.
    """
    if await op.services.store.cards.keys_elsewhere(record_id, public_keys):
        raise errors.CardNotGenuine(why="another card has shown one of its keys before")


def doubt_keys(op: Operation, wanted: Sequence[enrol.Wanted]) -> None:
    """Note that it is not known what is in the slots: the next insertion makes the keys anew."""
    op.journal.note(*(KeyChanged(key=key_record(item.spec, KeyState.INTENDED)) for item in wanted))
