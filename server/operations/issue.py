"""Issue: bring a card from wherever it is to an issued credential.

On a new card: inspect (1 round trip), own and make keys (3), secrets and certificate requests (1), ask the
certificate authorities, write and read back (2). Cut anywhere, it is planned again at the next insertion.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final
from uuid import uuid4

from server.operations import enrol, naming
from server.operations.approval import Doing
from server.operations.attest import attestations, trust_for
from server.operations.entitle import Place, check_entitled, check_limits, place_for, take_place
from server.operations.judge import doubt_keys, judge_keys
from server.operations.lost import revoke_lost, without_unconfirmed
from server.operations.objects import FASCN, credential_objects, identity_objects, only_ours
from server.operations.obtain import obtain
from server.operations.operation import Ended, Operation
from server.operations.operator_card import settle_roles
from server.operations.own import (
    TRANSPORT,
    Owning,
    build_card,
    change_retries,
    check_blank,
    check_factory_pin,
    new_record,
    note_impostor,
    take,
)
from server.operations.proof import pin_uses
from server.operations.puk import next_puk, settle_puk, use_puk
from server.operations.read_back import probes, write_and_read_back
from server.operations.write_back import publications, writable
from server.ports.ca import Names
from server.ports.store import (
    AuditKind,
    CertificateChanged,
    CredentialChanged,
    OperationClosed,
    PinChanged,
    SecretChanged,
    StateChanged,
)
from shared import errors
from shared.credential import lint, plan
from shared.credential.approval import Way
from shared.credential.effects import effects_of
from shared.credential.lifecycle import OperationKind, target
from shared.credential.model import (
    FACTORY,
    CardRecord,
    CertificateRecord,
    CertificateState,
    CredentialId,
    CredentialRecord,
    Person,
    PinState,
    SecretKind,
    SecretRecord,
    State,
    TemplateRef,
)
from shared.credential.personal import personal_texts
from shared.credential.template import Template
from shared.iso7816.conversation import together
from shared.piv.ids import ObjectId, Slot
from shared.piv.pin import change_puk, reset_pin
from shared.piv.select import fresh

BUILDING: Final = (plan.Own, plan.SetRetries, plan.WriteChuid, plan.WriteCcc, plan.Generate)
SECRETS: Final = (plan.ChangeRetries, plan.SetTransportPin, plan.RotatePuk)
ASKING: Final = (plan.Request, plan.Revoke)
WRITING: Final = (plan.WriteCertificate, plan.WriteSecurityObject, plan.ReadBack)
"""Steps that share their round trips, in the order of the plan."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Issue(Owning):
    """Everything that is settled before the card is touched."""

    person: Person
    place: Place
    ref: TemplateRef
    template: Template
    names: Mapping[Slot, Names]


async def issue(op: Operation) -> Ended:
    """Issue a credential to a holder by a template.

    Raises:
        UnknownHolder, HolderDisabled, UnknownTemplate, VariableMissing, TemplateImpossible, TransitionForbidden,
            OperationInterrupted, PlaceRefused, LimitReached: refused, the card was not touched.
        ManagementKeyRejected: the card belongs to somebody else; nothing was written to it.
        CardLost: cut; the next insertion continues.
    """
    job = await _prepare(op)
    record = await take(op, job, job.ref)
    await _count_again(op, job)
    followed = await take_place(op, job.place)
    public_keys = await _build(op, job, record)
    unsigned = enrol.wanted_for(job.steps, record, job.names, public_keys)
    wanted = await _secrets_and_requests(op, job, record, unsigned)
    await revoke_lost(op, record, job.steps)
    issued = await _certificates(op, wanted, job.facts.profile.object_max)
    await _write(op, job, record, {slot: each.certificate for slot, each in issued.items()})
    await _confirm(op, job, tuple(issued.values()))
    return Ended(facts={"holder": job.person.name, "template": job.template.title, **followed})


# --- before the card is touched -------------------------------------------------------------------------


async def _prepare(op: Operation) -> Issue:
    facts, found = await op.inspect()
    record = found.record
    cut = record.open_operation if record else None
    if cut is not None and op.begin.holder and cut.holder and op.begin.holder != cut.holder:
        raise errors.OperationInterrupted(operation=cut.kind)
    if cut is not None and cut.template and op.begin.template not in {"", cut.template.name}:
        raise errors.OperationInterrupted(operation=cut.kind)
    target(OperationKind.ISSUE, record.state if record else State.UNREGISTERED)
    place = await place_for(op)
    check_blank(facts, record)
    ref, template = await op.template(cut.template if cut else None, op.begin.template)
    abilities = {name: authority.abilities for name, authority in op.services.authorities.items()}
    directories = op.services.directories
    lint.require(template, facts.profile, abilities, directories.keys(), writable(directories))
    if record is not None and record.management_key.proven not in {None, FACTORY}:
        lint.require_key_kept(template, record.management_algorithm)
    if template.attestation.required:
        trust_for(op, template)
    person = await check_entitled(op, template, place)
    await settle_roles(op, template, person)
    generation = op.services.keystore.generation
    trusted = facts if record is None else only_ours(op, record.record_id, facts)
    known = without_unconfirmed(op, record) if record else None
    steps = plan.plan_issue(template=template, generation=generation, facts=trusted, record=known)
    check_factory_pin(facts, record, steps)
    await op.clear(
        Doing(
            way=Way.ISSUE,
            ref=ref,
            template=template,
            holder=person.holder,
            holder_name=person.name,
            record=record,
            roles=op.roles,
            replaces=place.replaces,
            primary=place.primary,
            effects=effects_of(steps),
        )
    )
    note_impostor(op, facts, found)
    new = record is None
    record = record or new_record(op, facts, lint.management_algorithm(template, facts.profile))
    values = naming.values_for(
        person, record.record_id, facts.serial, template=ref, now=op.services.clock.now()
    )
    personal_texts(template.pin.not_from, values)  # what is missing is missed now, not when the holder comes
    names = {
        spec.slot: naming.names_for(spec, values, record.record_id, bytes(FASCN), abilities[spec.ca].names)
        for spec in template.certificates
    }
    op.ends_at = op.services.clock.now() + template.temporary.lasts if template.temporary else None
    expires = (op.services.clock.now() + timedelta(days=template.expires_after_days)).date()
    return Issue(
        facts=facts,
        record=record,
        person=person,
        place=place,
        ref=ref,
        template=template,
        names=names,
        identity=await identity_objects(op, record.record_id, steps, facts, expires),
        steps=steps,
        new=new,
    )


async def _count_again(op: Operation, job: Issue) -> None:
    """Count once more, now that others see this one: of two stations that issue at the same time, the later one stops.

    Raises:
        LimitReached: another station was faster, or just as fast; nothing was written to the card.
    """
    if job.record.open_operation is not None:
        return  # it was counted when it began
    try:
        await check_limits(op, job.template, job.person, job.place, here=job.record.record_id)
    except errors.LimitReached:
        op.untouched = True
        if job.new:
            op.journal.note(StateChanged(state=State.UNREGISTERED))
        raise


# --- own the card, make keys ----------------------------------------------------------------------------


async def _build(op: Operation, job: Issue, record: CardRecord) -> dict[Slot, bytes]:
    """Own the card and make its keys; return the public key of every slot of the template."""
    await op.advance(begun=BUILDING)
    made = await build_card(op, job, record)
    held = {slot: key.public_key for slot, key in record.keys.items()}
    return {spec.slot: {**held, **made}[spec.slot] for spec in job.template.certificates}


# --- PUK, PIN, certificate requests ---------------------------------------------------------------------


async def _secrets_and_requests(
    op: Operation, job: Issue, record: CardRecord, wanted: Sequence[enrol.Wanted]
) -> Sequence[enrol.Wanted]:
    """Set PUK and transport PIN, and have the card sign its requests: one round trip on a new card."""
    puk = await change_retries(op, job, record, await settle_puk(op, record, job.facts))
    pending = next_puk(op, record)
    op.journal.note(
        SecretChanged(kind=SecretKind.PUK, value=SecretRecord(proven=puk, pending=pending)),
        PinChanged(pin=PinState.UNKNOWN),
    )
    await op.journal.commit()
    op.talk.stop_if_cancelled()
    await op.advance(done=BUILDING, begun=SECRETS)
    await op.talk.draw(TRANSPORT.name, 1 + 2 * pin_uses(job.template))
    secrets = op.secrets(record.record_id)
    old, new = await secrets.puk(puk), await secrets.puk(pending)
    random = op.services.keystore.random
    change = together(
        reset_pin(old, TRANSPORT),
        change_puk(old, new),
        fresh(enrol.sign_requests(wanted, TRANSPORT, random), chuid=job.identity.chuid),
        attestations(job.template),
    )
    try:
        *_, requests, stated = await use_puk(op, change, pending)
    except errors.CardNotGenuine:
        doubt_keys(op, wanted)
        raise
    op.journal.note(
        SecretChanged(kind=SecretKind.PUK, value=SecretRecord(proven=pending)),
        PinChanged(pin=PinState.TRANSPORT),
    )
    signed = tuple(replace(item, request=request) for item, request in zip(wanted, requests, strict=True))
    await judge_keys(op, job.record.record_id, job.template, job.facts, signed, stated)
    op.journal.note(*(enrol.intent(item) for item in signed if item.known is None))
    await op.journal.commit()
    await op.advance(done=SECRETS, begun=ASKING)
    op.talk.stop_if_cancelled()
    return signed


async def _certificates(
    op: Operation, wanted: Sequence[enrol.Wanted], object_max: int
) -> dict[Slot, CertificateRecord]:
    """Get the certificates; what came of each request is stored, also when one is refused."""
    try:
        return await obtain(op, wanted, object_max)
    finally:
        await op.journal.commit()


# --- write, read back, confirm --------------------------------------------------------------------------


async def _write(op: Operation, job: Issue, record: CardRecord, certificates: Mapping[Slot, bytes]) -> None:
    await op.advance(done=ASKING, begun=WRITING)
    version = record.management_key.pending or record.management_key.proven
    assert version is not None
    key = await op.secrets(record.record_id).management_key(record.management_algorithm, version)
    objects = await credential_objects(
        op, record.record_id, job.identity, certificates, job.facts.profile.object_max
    )
    expected = {ObjectId.CHUID: job.identity.chuid, ObjectId.CCC: job.identity.ccc, **objects}
    random = op.services.keystore.random
    await op.talk.converse(
        write_and_read_back(
            key,
            objects,
            expected,
            probes(job.template.certificates, certificates, random),
            TRANSPORT,
            job.identity.chuid,
            random,
        )
    )


async def _confirm(op: Operation, job: Issue, issued: Sequence[CertificateRecord]) -> None:
    """Say in the record that the credential is issued: the last commit."""
    now = op.services.clock.now()
    op.journal.note(
        *(CertificateChanged(certificate=replace(each, state=CertificateState.CONFIRMED)) for each in issued),
        *publications(op.services, job.template, job.record.record_id, job.person.holder, issued),
        CredentialChanged(
            credential=CredentialRecord(
                credential_id=CredentialId(uuid4()),
                holder=job.person.holder,
                holder_name=job.person.name,
                template=job.ref,
                state=State.ISSUED,
                issued_at=now,
                reason=job.place.cause.value if job.place.cause else "",
                ends_at=op.ends_at,
                primary=job.place.primary,
                replaces=job.place.replaces,
                roles=op.roles,
            )
        ),
        StateChanged(state=State.ISSUED),
    )
    places = {"replaces": job.place.replaces, "primary": job.place.primary, "reason": job.place.cause}
    op.journal.evidence(
        AuditKind.TRANSITION,
        "issued",
        job.record.record_id,
        template=job.ref.name,
        version=job.ref.version,
        **{name: str(value) for name, value in places.items() if value is not None},
    )
    await op.journal.commit(OperationClosed(code="done"))
    await op.advance(done=WRITING)
