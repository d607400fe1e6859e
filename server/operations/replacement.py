"""What is settled before certificates or keys of a credential are replaced: nothing of it touches the card.

Source: card-rules, "Order of writes", GENERATE over a live key.
"""

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final
from uuid import uuid4

from server.operations import naming
from server.operations.attest import trust_for
from server.operations.lost import unconfirmed_keys, without_unconfirmed
from server.operations.objects import FASCN, IdentityObjects, identity_objects, only_ours
from server.operations.operation import Operation
from server.operations.write_back import writable
from server.ports.ca import CanGreet, Names, SignRequest
from shared import errors
from shared.credential import lint, plan
from shared.credential.intention import (
    Intent,
    Room,
    intend_reissue,
    intend_renewal,
    intended_certificates,
    intended_keys,
    made_in_vain,
    needs_room,
    with_intent,
)
from shared.credential.lifecycle import CONTINUED, OperationKind, target
from shared.credential.model import (
    CardRecord,
    CertificateRecord,
    CertificateTask,
    CredentialRecord,
    KeyRecord,
    KeyState,
    Person,
    RequestId,
    TemplateRef,
)
from shared.credential.replacement import plan_replacement
from shared.credential.template import CertificateSpec, Template
from shared.iso7816.conversation import together
from shared.piv.ids import Slot
from shared.piv.inspect import CardFacts
from shared.piv.vendor import slot_metadata

ENDING: Final = (plan.Revoke,)
BUILDING: Final = (plan.Move, plan.Remove, plan.Keep, plan.Generate)
"""Steps that need no card, and those that the management key opens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Replacement:
    """Everything that is settled before the card is touched.

    `before` is the record as it was found, `record` with the intent in it; `keys` and `certificates` are that intent.
    """

    facts: CardFacts
    before: CardRecord
    record: CardRecord
    keys: Sequence[KeyRecord]
    certificates: Sequence[CertificateRecord]
    credential: CredentialRecord
    person: Person
    ref: TemplateRef
    template: Template
    present: Template
    names: Mapping[Slot, Names]
    identity: IdentityObjects
    steps: Sequence[plan.Step]

    @property
    def requests(self) -> tuple[plan.Request, ...]:
        """The certificates that are asked for."""
        return tuple(step for step in self.steps if isinstance(step, plan.Request))

    @property
    def specs(self) -> tuple[CertificateSpec, ...]:
        """What the template says of them."""
        return tuple(request.spec for request in self.requests)

    @property
    def made(self) -> tuple[CertificateSpec, ...]:
        """What the template says of the keys that are made."""
        return tuple(step.spec for step in self.steps if isinstance(step, plan.Generate))

    @property
    def slots(self) -> frozenset[Slot]:
        """The slots of the template."""
        return frozenset(spec.slot for spec in self.template.certificates)

    @property
    def changes_card(self) -> bool:
        """Whether there is more to do than to revoke."""
        return any(not isinstance(step, ENDING) for step in self.steps)

    def without(self, slots: AbstractSet[Slot], tasks: Sequence[CertificateTask]) -> "Replacement":
        """Return what is left where these slots keep the certificates that they have; `tasks` look for the lost ones."""
        left = tuple(
            step
            for step in self.steps
            if not (isinstance(step, plan.Request) and step.spec.slot in slots)
            and not (isinstance(step, plan.WriteCertificate) and step.slot in slots)
        )
        return replace(self, steps=left, record=replace(self.record, tasks=tuple(tasks)))

    @property
    def builds(self) -> bool:
        """Whether keys are made, moved or deleted."""
        return any(isinstance(step, BUILDING) and not isinstance(step, plan.Keep) for step in self.steps)


async def prepare(op: Operation) -> Replacement:
    """Look at card, record, template, person and authorities, and plan.

    Raises:
        UnknownCard, TransitionForbidden, OperationInterrupted, UnknownHolder, HolderDisabled, VariableMissing, Invalid,
            TemplateImpossible, ConnectorUnreachable, ConnectorRefused, KeyUnconfirmed: refused.
        PinBlocked: the holder has no PIN to give.
        CardNotGenuine: the card shows another key than the one of the record.
    """
    facts, _ = await op.inspect()
    record = op.record
    if record is None:
        raise errors.UnknownCard
    target(op.begin.operation, record.state)
    credential, cut = record.credential, record.open_operation
    if credential is None:
        raise errors.UnknownCard
    if cut is not None and cut.kind != op.begin.operation.value:
        if OperationKind(cut.kind) in CONTINUED:
            raise errors.OperationInterrupted(operation=cut.kind)
        cut = None
    if facts.pin.tries_left == 0:
        raise errors.PinBlocked
    _, present = await op.template(credential.template)
    newest = op.begin.operation is OperationKind.REISSUE and not op.begin.slots
    known = cut.template if cut is not None else None if newest else credential.template
    ref, template = await op.template(known, credential.template.name)
    abilities = {name: authority.abilities for name, authority in op.services.authorities.items()}
    directories = op.services.directories
    lint.require(template, facts.profile, abilities, directories.keys(), writable(directories))
    if template.attestation.required:
        trust_for(op, template)
    person = await _person(op, template, credential)
    record = without_unconfirmed(op, record)
    unconfirmed = unconfirmed_keys(op.services, record)
    intent = None if cut is not None else await _intent(op, template, present, record, facts, unconfirmed)
    keys = intended_keys(intent, record) if intent else ()
    if cut is not None and op.begin.operation is OperationKind.REISSUE:
        keys = made_in_vain(template, record, unconfirmed)
    certificates = intended_certificates(intent, record, lambda: RequestId(uuid4())) if intent else ()
    trusted = only_ours(op, record.record_id, facts)
    intended = with_intent(record, keys, certificates)
    steps = plan_replacement(
        template=template,
        present=present,
        facts=trusted,
        record=intended,
        intent=intent,
        unconfirmed=unconfirmed,
    )
    values = naming.values_for(
        person, record.record_id, facts.serial, template=ref, now=op.services.clock.now()
    )
    expires = (op.services.clock.now() + timedelta(days=template.expires_after_days)).date()
    job = Replacement(
        facts=facts,
        before=record,
        record=intended,
        keys=keys,
        certificates=certificates,
        credential=credential,
        person=person,
        ref=ref,
        template=template,
        present=present,
        names={
            spec.slot: naming.names_for(
                spec, values, record.record_id, bytes(FASCN), abilities[spec.ca].names
            )
            for spec in template.certificates
        },
        identity=await identity_objects(op, record.record_id, steps, facts, expires),
        steps=steps,
    )
    await _check_authorities(op, job)
    return job


def lost_in(op: Operation, job: Replacement, record: CardRecord | None) -> tuple[CertificateRecord, ...]:
    """Return what this operation asked for, before a cut or now, and nobody can look for: of keys that are in use still."""
    if record is None:
        return ()
    cut = job.before.open_operation
    asked = {each.request_id for each in job.certificates}
    if cut is not None and cut.kind == op.begin.operation.value:
        asked |= {task.request_id for task in record.tasks if task.asked_at >= cut.began_at}
    unconfirmed = unconfirmed_keys(op.services, record)
    return tuple(
        each
        for each in record.certificates
        if each.request_id in asked & record.revoking
        and each.public_key in unconfirmed
        and each.slot in job.slots
        and each.public_key == job.record.keys[each.slot].public_key
    )


async def _person(op: Operation, template: Template, credential: CredentialRecord) -> Person:
    person = await op.services.directories[template.directory].get(credential.holder)
    if person is None:
        raise errors.UnknownHolder(holder=credential.holder)
    if not person.is_valid(op.services.clock.now()):
        raise errors.HolderDisabled(holder=credential.holder)
    return person


async def _intent(
    op: Operation,
    template: Template,
    present: Template,
    record: CardRecord,
    facts: CardFacts,
    unconfirmed: AbstractSet[bytes],
) -> Intent:
    slots = op.begin.slots
    if op.begin.operation is OperationKind.RENEW:
        return intend_renewal(template, record, slots, unconfirmed)
    room = Room()
    if facts.profile.features.move_key and needs_room(template, present, facts, record, slots):
        room = await _room(op, template, record, facts)
    return intend_reissue(template, present, facts, record, room, slots, unconfirmed)


async def _room(op: Operation, template: Template, record: CardRecord, facts: CardFacts) -> Room:
    """Ask the card which slots for retired keys are empty, beside those that record or template speak for."""
    taken = {spec.slot for spec in template.certificates}
    taken |= {slot for slot, key in record.keys.items() if key.state is not KeyState.INTENDED}
    slots = [slot for slot in facts.profile.retired_slots if slot not in taken]
    held = await op.talk.converse(together(*(slot_metadata(slot) for slot in slots)))
    empty = tuple(slot for slot, metadata in zip(slots, held, strict=True) if metadata is None)
    return Room(moves=True, free=empty)


async def _check_authorities(op: Operation, job: Replacement) -> None:
    """See that the authorities answer before a key is destroyed that they are to replace.

    Before a key in use is sent to one that cannot be searched, too: a lost answer would be its last.

    Raises:
        ConnectorUnreachable, ConnectorRefused: one does not.
    """
    once = [spec for spec in job.specs if not op.services.authorities[spec.ca].abilities.find]
    some_key = job.before.certificates[-1].public_key
    for spec in {spec.ca: spec for spec in (*once, *job.made)}.values():
        authority = op.services.authorities[spec.ca]
        if isinstance(authority, CanGreet):
            await authority.greet()
            continue
        if not authority.abilities.find:
            continue
        await authority.find(
            SignRequest(
                request_id=RequestId(uuid4()),
                profile=spec.profile,
                names=job.names[spec.slot],
                public_key=some_key,
            )
        )
