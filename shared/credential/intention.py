"""What is intended with the slots of a credential in use, by *renew* or *reissue*, before its card is touched.

It is written into the record first: a key that is about to be replaced is *intended*, a certificate that is about to be
asked for *requested*. From then on record and card say what is missing (see `replacement`).

A key that decrypts is never lost on the way: it is moved to a slot for retired keys, or it stays and is renewed, unless the
template accepts the loss. A key about which an answer was lost where nobody can search is never sent again: it keeps the
certificate that it has until it is made anew.

Source: card-rules, "Order of writes", GENERATE over a live key, and "Certificate authorities".
"""

from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from typing import Final

from shared import errors
from shared.credential import lint
from shared.credential.model import (
    CardRecord,
    CertificateRecord,
    CertificateState,
    KeyRecord,
    KeyState,
    RequestId,
)
from shared.credential.plan import Move, der
from shared.credential.template import CertificateSpec, Template
from shared.piv.ids import ManagementAlgorithm, Slot
from shared.piv.inspect import CardFacts

ON_CARD: Final = frozenset({CertificateState.CONFIRMED, CertificateState.HELD})
"""States of a certificate that is on the card. One on hold waits to be released: the card is in use again."""

TO_HISTORY: Final = Slot.KEY_MANAGEMENT
"""The slot whose keys have slots for retired ones ([SP 800-73-5] part 1, section 3.3.3)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Intent:
    """What an operation is about to do to the slots of a credential.

    `make`: new keys; `renew`: new certificates for present keys; `keep`: those of `renew` that were to get new keys, and
    cannot; `move`: keys that give way; `remove`: slots that the template does not have any more.
    """

    make: tuple[CertificateSpec, ...] = ()
    renew: tuple[CertificateSpec, ...] = ()
    keep: tuple[Slot, ...] = ()
    move: tuple[Move, ...] = ()
    remove: tuple[Slot, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Room:
    """Where keys that give way can go: whether the card moves keys, and its empty slots for retired keys."""

    moves: bool = False
    free: tuple[Slot, ...] = field(default_factory=tuple)


# --- what is intended -----------------------------------------------------------------------------------


def chosen(template: Template, slots: Sequence[str]) -> tuple[CertificateSpec, ...]:
    """Return what the template says of the slots that were named; all of it where none is.

    Raises:
        Invalid: a slot that the template does not have.
    """
    by_text = {spec.slot.text: spec for spec in template.certificates}
    for text in slots:
        if text.upper() not in by_text:
            raise errors.Invalid(field="slot", why=f"the card has {', '.join(by_text)}")
    wanted = {text.upper() for text in slots} or by_text.keys()
    return tuple(spec for text, spec in by_text.items() if text in wanted)


def intend_renewal(
    template: Template,
    record: CardRecord,
    slots: Sequence[str],
    unconfirmed: AbstractSet[bytes] = frozenset(),
) -> Intent:
    """Return what it takes to renew the certificates of a credential, or of the slots that were named.

    `unconfirmed` are public keys (DER) that are never sent again: there may be a certificate that nobody can look for.

    Raises:
        Invalid: a slot that the template does not have, or whose key was never proven.
        KeyUnconfirmed: a key that is never sent again.
    """
    specs = chosen(template, slots)
    for spec in specs:
        if not _has_key(record, spec.slot):
            raise errors.Invalid(field="slot", why=f"there is no key in {spec.slot.text} to renew for")
        if record.keys[spec.slot].public_key in unconfirmed:
            raise errors.KeyUnconfirmed(connection=spec.ca, slot=spec.slot.text)
    return Intent(renew=specs)


def intend_reissue(
    template: Template,
    present: Template,
    facts: CardFacts,
    record: CardRecord,
    room: Room,
    slots: Sequence[str],
    unconfirmed: AbstractSet[bytes] = frozenset(),
) -> Intent:
    """Return what it takes to give a credential new keys, all or those of the slots that were named.

    `present` is the version of the template that the credential has now; `template` the one that it is to have. A key
    that somebody else has deleted or replaced is lost already, and is made anew. One of the `unconfirmed` keys (see
    `intend_renewal`) that can be put nowhere else cannot be renewed instead.

    Raises:
        Invalid: a slot that the template does not have.
        TemplateImpossible: the template wants what a card in use cannot be given, or a key that decrypts would be lost.
    """
    _check_card(template, present, record.management_algorithm)
    intent, free = Intent(), list(room.free) if room.moves else []
    before = {spec.slot: spec for spec in present.certificates}
    for spec in chosen(template, slots):
        if spec.accept_loss or not spec.decrypts or not _holds(facts, record, spec.slot):
            intent = replace(intent, make=(*intent.make, spec))
        elif free and spec.slot is TO_HISTORY:
            step = Move(source=spec.slot, destination=free.pop(0))
            intent = replace(intent, make=(*intent.make, spec), move=(*intent.move, step))
        elif (
            not slots
            and _same_key(spec, before.get(spec.slot))
            and record.keys[spec.slot].public_key not in unconfirmed
        ):
            intent = replace(intent, renew=(*intent.renew, spec), keep=(*intent.keep, spec.slot))
        else:
            raise _would_be_lost(template, spec.slot)
    for slot in before.keys() - {spec.slot for spec in template.certificates}:
        if before[slot].decrypts and not before[slot].accept_loss and _holds(facts, record, slot):
            if not (free and slot is TO_HISTORY):
                raise _would_be_lost(template, slot)
            intent = replace(intent, move=(*intent.move, Move(source=slot, destination=free.pop(0))))
        intent = replace(intent, remove=(*intent.remove, slot))
    return replace(intent, remove=tuple(sorted(intent.remove)))


def needs_room(
    template: Template, present: Template, facts: CardFacts, record: CardRecord, slots: Sequence[str]
) -> bool:
    """Whether a reissue would move a key, so that it must be known which slots are empty."""
    specs = {spec.slot: spec for spec in (*present.certificates, *chosen(template, slots))}
    asked = not slots or any(text.upper() == TO_HISTORY.text for text in slots)
    spec = specs.get(TO_HISTORY)
    return asked and spec is not None and not spec.accept_loss and _holds(facts, record, TO_HISTORY)


def _check_card(template: Template, present: Template, algorithm: ManagementAlgorithm) -> None:
    """Refuse what only a card without a holder can be given."""
    lint.require_key_kept(template, algorithm)
    if (template.pin.tries, template.pin.puk_tries) != (present.pin.tries, present.pin.puk_tries):
        why = "tries are set before a card has a holder: retire it and issue it again"
        raise errors.TemplateImpossible(template=template.name, why=why)


def _has_key(record: CardRecord, slot: Slot) -> bool:
    key = record.keys.get(slot)
    return key is not None and key.state is KeyState.PROVEN


def _holds(facts: CardFacts, record: CardRecord, slot: Slot) -> bool:
    """Whether the recorded key is in a slot, as far as the card tells."""
    return _has_key(record, slot) and shown(facts, slot) in {None, record.keys[slot].public_key}


def _same_key(spec: CertificateSpec, before: CertificateSpec | None) -> bool:
    """Whether the key that was made by `before` is what `spec` asks for."""
    return before is not None and (spec.algorithm, spec.pin_policy, spec.touch_policy) == (
        before.algorithm,
        before.pin_policy,
        before.touch_policy,
    )


def _would_be_lost(template: Template, slot: Slot) -> errors.TemplateImpossible:
    why = f"what was encrypted for the key in {slot.text} would be lost (accept-loss)"
    return errors.TemplateImpossible(template=template.name, why=why)


# --- what the record says of it -------------------------------------------------------------------------


def intended_keys(intent: Intent, record: CardRecord) -> tuple[KeyRecord, ...]:
    """Return what the record is to say of the keys before the card is touched.

    A key that moves stands at its new place already, unproven until it was seen there.
    """
    moved = [
        replace(record.keys[move.source], slot=move.destination, state=KeyState.UNPROVEN)
        for move in intent.move
    ]
    made = [
        KeyRecord(slot=spec.slot, algorithm=spec.algorithm, state=KeyState.INTENDED) for spec in intent.make
    ]
    removed = [
        replace(record.keys[slot], state=KeyState.INTENDED, public_key=b"")
        for slot in intent.remove
        if slot in record.keys
    ]
    return (*moved, *made, *removed)


def intended_certificates(
    intent: Intent, record: CardRecord, new_id: Callable[[], RequestId]
) -> tuple[CertificateRecord, ...]:
    """Return the requests for certificates of present keys, as they are stored before the card is touched."""
    return tuple(
        CertificateRecord(
            request_id=new_id(),
            slot=spec.slot,
            connection=spec.ca,
            profile=spec.profile,
            public_key=record.keys[spec.slot].public_key,
            state=CertificateState.REQUESTED,
        )
        for spec in intent.renew
    )


def with_intent(
    record: CardRecord, keys: Sequence[KeyRecord], certificates: Sequence[CertificateRecord]
) -> CardRecord:
    """Return the record as it is once the intent is stored."""
    return replace(
        record,
        keys={**record.keys, **{key.slot: key for key in keys}},
        certificates=(*record.certificates, *certificates),
    )


def made_in_vain(
    template: Template, record: CardRecord, unconfirmed: AbstractSet[bytes]
) -> tuple[KeyRecord, ...]:
    """Return, as intended, the keys that a reissue made and that never got a certificate: they are made once more.

    They are never sent again (`unconfirmed`), and nobody has used one.
    """
    return tuple(
        KeyRecord(slot=spec.slot, algorithm=spec.algorithm, state=KeyState.INTENDED)
        for spec in template.certificates
        if _has_key(record, spec.slot)
        and record.keys[spec.slot].public_key in unconfirmed
        and not in_use(record, record.keys[spec.slot].public_key)
    )


def in_use(record: CardRecord, public_key: bytes) -> bool:
    """Whether a key has a certificate that is on the card."""
    return any(each.public_key == public_key and each.state in ON_CARD for each in record.certificates)


def shown(facts: CardFacts, slot: Slot) -> bytes | None:
    """Return the public key (DER) that the card shows in a slot; empty for none, None where it does not say."""
    if not facts.answers.metadata or slot not in facts.slots:
        return None
    metadata = facts.slots[slot].metadata
    if metadata is None:
        return b""
    return None if metadata.public_key is None else der(metadata.public_key)
