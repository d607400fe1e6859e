"""New certificates, or new keys, for a credential in use: what is missing to get to what is intended.

*Renew* keeps the keys, *reissue* makes new ones. What is intended (see `intention`) stands in the record; that and the card
say what is missing (`plan_replacement`), and a card that was cut anywhere gets just the rest.

A certificate that will not be on the card any more is revoked, whether its key was replaced or only renewed: its key
may still exist, and it would be valid without anybody looking after it. That happens last, so that the holder has a
certificate at every moment that the card allows.

Source: card-rules, "Order of writes", GENERATE over a live key.
"""

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from typing import Final

from shared import errors
from shared.credential.intention import ON_CARD, Intent, shown
from shared.credential.model import (
    CardRecord,
    CertificateRecord,
    CertificateState,
    KeyRecord,
    KeyState,
)
from shared.credential.plan import (
    Generate,
    Keep,
    Move,
    ReadBack,
    Remove,
    Request,
    Revoke,
    Step,
    WriteCcc,
    WriteCertificate,
    WriteChuid,
    WriteSecurityObject,
)
from shared.credential.template import CertificateSpec, Template
from shared.piv.ids import Slot
from shared.piv.inspect import CardFacts

PENDING: Final = frozenset({CertificateState.REQUESTED, CertificateState.ISSUED})
"""States of a certificate that is on its way to the card."""

AT_AUTHORITY: Final = PENDING | ON_CARD
"""States in which there is a certificate that is valid, or may be one."""


def plan_replacement(
    *,
    template: Template,
    present: Template,
    facts: CardFacts,
    record: CardRecord,
    intent: Intent | None = None,
    unconfirmed: AbstractSet[bytes] = frozenset(),
) -> tuple[Step, ...]:
    """Return the steps from what is to what was intended, in their order; `record` has the intent in it.

    After a cut nobody knows the `intent` itself any more: every slot that is not as it should be is put right. For keys
    that are `unconfirmed` (see `intend_renewal`) no certificate is asked for: what they have stays.

    Raises:
        CardNotGenuine: the card shows another key than the one that is to get a new certificate.
    """
    slots = {spec.slot for spec in template.certificates}
    moves = moving(record, slots)
    build: list[Step] = []
    if facts.chuid is None or facts.chuid.guid != record.record_id:
        build.append(WriteChuid())
    if facts.ccc is None:
        build.append(WriteCcc())
    build += [move for move in moves if shown(facts, move.source) in {None, _moved_key(record, move)}]
    build += [Remove(slot=slot) for slot in sorted(removed(template, present, record))]
    build += [Keep(slot=slot) for slot in intent.keep] if intent else []
    requests: list[Request] = []
    for spec in template.certificates if intent is None else (*intent.make, *intent.renew):
        generate, request = _for_slot(spec, facts, record, unconfirmed)
        build += [Generate(spec=spec)] if generate else []
        requests += [request] if request is not None else []
    changed = (*requests, *build, *moves)
    writes: list[Step] = [WriteCertificate(slot=request.spec.slot) for request in requests]
    if changed:
        writes += [WriteSecurityObject(), ReadBack()]
    revocations = [Revoke(certificate=each) for each in superseded(record, requests, slots)]
    return (*build, *requests, *writes, *revocations)


def moving(record: CardRecord, slots: AbstractSet[Slot]) -> tuple[Move, ...]:
    """Return the moves that are not confirmed; `slots` are the template's."""
    return tuple(
        Move(source=certificate.slot, destination=slot)
        for slot, key in sorted(record.keys.items())
        if slot not in slots and slot.retired and key.state is KeyState.UNPROVEN
        for certificate in _of_key(record, key)[-1:]
    )


def removed(template: Template, present: Template, record: CardRecord) -> frozenset[Slot]:
    """Return the slots that the credential had and the template does not have any more."""
    gone = {spec.slot for spec in present.certificates} - {spec.slot for spec in template.certificates}
    return frozenset(slot for slot in gone if slot in record.keys)


def standing(
    record: CardRecord, requests: Sequence[Request], slots: AbstractSet[Slot]
) -> dict[Slot, CertificateRecord]:
    """Return the certificates that stay on the card as they are, by the slots that they are to be in.

    Besides those of the template's `slots` that are not asked for anew, these are certificates of retired keys.
    """
    asked = {request.spec.slot for request in requests}
    found: dict[Slot, CertificateRecord] = {}
    for slot, key in record.keys.items():
        if slot in asked or (slot not in slots and not slot.retired) or key.state is KeyState.INTENDED:
            continue
        confirmed = [
            each
            for each in _of_key(record, key)
            if each.state in ON_CARD and each.request_id not in record.revoking
        ]
        if confirmed:
            found[slot] = confirmed[-1]
    return found


def superseded(
    record: CardRecord, requests: Sequence[Request], slots: AbstractSet[Slot]
) -> tuple[CertificateRecord, ...]:
    """Return every certificate that will not be on the card, or request without an answer that is not gone on with."""
    kept = {request.reuse for request in requests}
    kept |= {certificate.request_id for certificate in standing(record, requests, slots).values()}
    return tuple(
        each for each in record.certificates if each.state in AT_AUTHORITY and each.request_id not in kept
    )


def _for_slot(
    spec: CertificateSpec, facts: CardFacts, record: CardRecord, unconfirmed: AbstractSet[bytes]
) -> tuple[bool, Request | None]:
    """Return whether a key is to be made, and the certificate to be asked for."""
    key = record.keys.get(spec.slot)
    if key is None or key.state is not KeyState.PROVEN:
        return True, Request(spec=spec)
    if key.public_key in unconfirmed:
        return False, None
    asked = [
        each for each in record.certificates if each.public_key == key.public_key and each.slot is spec.slot
    ]
    certificates = [
        each
        for each in asked
        if each.state in AT_AUTHORITY
        and each.connection == spec.ca
        and each.profile == spec.profile
        and each.request_id not in record.revoking
    ]
    pending = [each for each in certificates if each.state in PENDING]
    refused = bool(asked) and asked[-1].state is CertificateState.REFUSED
    if certificates and not pending and not refused:
        return False, None
    if shown(facts, spec.slot) not in {None, key.public_key}:
        raise errors.CardNotGenuine(why=f"the key in slot {spec.slot.text} is another one")
    return False, Request(spec=spec, reuse=pending[-1].request_id if pending else None)


def _of_key(record: CardRecord, key: KeyRecord) -> list[CertificateRecord]:
    """Return the certificates (and requests) of a key, the newest last."""
    return [
        each
        for each in record.certificates
        if key.public_key and each.public_key == key.public_key and each.state in AT_AUTHORITY
        if each.request_id not in record.revoking
    ]


def _moved_key(record: CardRecord, move: Move) -> bytes:
    return record.keys[move.destination].public_key
