"""Renew and reissue: new certificates, or new keys, for a credential in use; its holder's PIN stays.

The holder types the PIN, and it is right before anything is changed. What is then done wants the PIN or the management
key, never both in one power session: keys are made with the key, certificate requests signed with the PIN, certificates
written with the key, everything read back with the PIN. Cut anywhere, it is gone on with at any station, where the holder
types the PIN again; meanwhile the credential stays in use with what is on the card.

What is replaced is revoked as superseded, last, by tasks that wait for the certificate authorities.

Source: card-rules, "Order of writes" and "Certificate authorities"; [RFC 5280] 5.3.1.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from server.operations import enrol
from server.operations.approval import doing_with
from server.operations.attest import attestations, check_attestations
from server.operations.decide import revocation
from server.operations.judge import doubt_keys, judge_keys, note_touch
from server.operations.objects import credential_objects
from server.operations.obtain import obtain
from server.operations.operation import Ended, Operation
from server.operations.operator_card import check_carried, register_operator
from server.operations.present_pin import PIN, present_pin
from server.operations.proof import wants_pin
from server.operations.read_back import key_shown, nothing_left, probes, read_back
from server.operations.replacement import BUILDING, ENDING, Replacement, lost_in, prepare
from server.operations.tasks import attempt
from server.operations.write_back import publications
from server.ports.store import (
    AuditKind,
    CertificateChanged,
    CertificateTaskAsked,
    CredentialChanged,
    KeyChanged,
    OperationClosed,
)
from shared import errors
from shared.credential import plan
from shared.credential.approval import Way
from shared.credential.effects import effects_of
from shared.credential.intention import in_use
from shared.credential.model import CardRecord, CertificateRecord, CertificateState, KeyState
from shared.credential.reasons import Reason
from shared.credential.replacement import PENDING, moving, removed, standing, superseded
from shared.credential.template import CertificateSpec
from shared.iso7816.conversation import Conversation, together
from shared.piv.data import delete_object, write_object
from shared.piv.ids import ObjectId, Slot
from shared.piv.key_history import KeyHistory
from shared.piv.keys import delete_key, generate_key, move_key
from shared.piv.management import ManagementKey, authenticated
from shared.piv.select import fresh
from shared.relay import Purpose

ASKING: Final = (plan.Request,)
WRITING: Final = (
    plan.WriteChuid,
    plan.WriteCcc,
    plan.WriteCertificate,
    plan.WriteSecurityObject,
    plan.ReadBack,
)
"""Steps that share their round trips; `BUILDING` comes before them, `ENDING` after."""


async def renew(op: Operation) -> Ended:
    """Get new certificates for the present keys of a card, all or those of the slots that were named. See `_replace`."""
    return await _replace(op, "renewed")


async def reissue(op: Operation) -> Ended:
    """Make new keys on a card and get certificates for them, by the newest version of the template.

    Where slots are named, only their keys are made anew, by the version that the credential has. See `_replace`.
    """
    return await _replace(op, "reissued")


async def _replace(op: Operation, event: str) -> Ended:
    """Replace certificates.

    Raises:
        UnknownCard, TransitionForbidden, OperationInterrupted, UnknownHolder, HolderDisabled, VariableMissing, Invalid,
            TemplateImpossible, ConnectorUnreachable: refused, the card was not touched.
        PinBlocked, Cancelled: the holder has no PIN to give; nothing was changed.
        ManagementKeyRejected, CardNotGenuine: another card, or one whose keys are not those of the record.
        ConnectorRefused, CertificateRejected: a certificate authority will not; the next insertion continues.
        CertificatePending: it wants time, or a person; the next insertion continues.
        KeyUnconfirmed: an answer was lost that nobody can look for. Everything else is done; the certificate before stays.
        CardLost: cut; the next insertion continues.
    """
    job = await prepare(op)
    await check_carried(op)
    doing = await doing_with(op.services, Way(op.begin.operation.value), job.before, job.ref)
    await op.clear(replace(doing, effects=effects_of(job.steps)))
    await op.show(job.steps)
    job, issued = await _on_card(op, job) if job.changes_card else await _nothing_on_card(op, job)
    waiting = await _confirm(op, job, issued, event)
    return Ended(
        facts={
            "holder": job.person.name,
            "template": job.template.title,
            "version": job.ref.version,
            "slots": " ".join(spec.slot.text for spec in job.specs),
            "waiting": waiting,
        }
    )


# --- the card -------------------------------------------------------------------------------------------


async def _nothing_on_card(
    op: Operation, job: Replacement
) -> tuple[Replacement, Sequence[CertificateRecord]]:
    """Go on with what certificate authorities have yet to do: the card is as it should be."""
    await op.open(job.record.record_id, template=job.ref)
    return job, ()


async def _on_card(op: Operation, job: Replacement) -> tuple[Replacement, Sequence[CertificateRecord]]:
    """Bring the card to where it should be; return what came of the job, and the certificates that the card has got.

    Present keys sign with the PIN that was just typed: so it is known that it is right, and that this is the card,
    before anything is stored or changed. Where none of them signs, the card proves its management key.
    """
    uses = 1 + 2 * sum(1 for spec in job.specs if spec.algorithm.can_sign and wants_pin(spec))
    present = _wanted(job, [spec for spec in job.specs if spec not in job.made])
    answers = await present_pin(
        op, job.facts, Purpose.PROVE, uses=uses, then=lambda: _proofs(op, job, present)
    )
    signed = _judge_present(op, job, present, *answers)
    op.talk.stop_if_cancelled()
    if job.builds or not any(item.request for item in signed):
        await op.prove(job.before, job.facts)
    op.journal.note(*(enrol.intent(item) for item in signed if item.known is None))
    await _open(op, job)
    await op.advance(begun=BUILDING)
    if job.builds:
        signed = (*signed, *await _new_keys(op, job))
    await op.advance(done=BUILDING, begun=ASKING)
    op.talk.stop_if_cancelled()
    try:
        found = await obtain(op, signed, job.facts.profile.object_max)
    except (errors.ConnectorRefused, errors.CertificateRejected):
        await op.journal.commit()
        await _give_up(op, job)
        raise
    finally:
        await op.journal.commit()
    if lost := {item.spec.slot for item in signed} - found.keys():
        record = await op.journal.record(job.record.record_id)
        job = job.without(lost, record.tasks if record else ())
    if found or job.builds:
        await _write(op, job, found)
    return job, tuple(found.values())


async def _give_up(op: Operation, job: Replacement) -> None:
    """Leave nothing to continue where an authority will not issue, and the card is as it was.

    Not where keys were made, or a request waits for an approval: that is gone on with.
    """
    record = await op.journal.record(job.record.record_id)
    pending = [each for each in record.certificates if each.state in PENDING] if record else []
    waits = any(each.state is CertificateState.REQUESTED for each in pending)
    if job.builds or waits or job.before.open_operation is not None:
        return
    await _revoke(op, job, pending)
    op.untouched = True


async def _revoke(op: Operation, job: Replacement, certificates: Sequence[CertificateRecord]) -> int:
    """Have certificates revoked as superseded, in one commit with everything noted; return how many wait for it.

    What was asked before is not asked again: that it takes so long must stay to be seen.
    """
    now, record = op.services.clock.now(), job.record
    lost = {each.request_id for each in certificates}
    before = [
        task for task in record.tasks if task.request_id in lost & record.revoking and not task.given_up
    ]
    tasks = [
        revocation(record.record_id, each, Reason.SUPERSEDED, now)
        for each in certificates
        if each.request_id not in record.revoking
    ]
    await op.journal.commit(*(CertificateTaskAsked(task=task) for task in tasks))
    return await attempt(op.services, (*before, *tasks))


async def _open(op: Operation, job: Replacement) -> None:
    """Take the lease, and store what is about to be done to keys and certificates."""
    op.journal.note(*(KeyChanged(key=key) for key in job.keys))
    op.journal.note(*(CertificateChanged(certificate=each) for each in job.certificates))
    await op.open(job.record.record_id, template=job.ref)


# --- keys -----------------------------------------------------------------------------------------------


def _wanted(
    job: Replacement, specs: Sequence[CertificateSpec], made: Mapping[Slot, bytes] | None = None
) -> tuple[enrol.Wanted, ...]:
    """Return the certificates that are to be had for these slots; `made` are public keys (DER) that are new."""
    requests = [request for request in job.requests if request.spec in specs]
    keys = {slot: key.public_key for slot, key in job.before.keys.items()}
    wanted = enrol.wanted_for(requests, job.before, job.names, {**keys, **(made or {})})
    return tuple(replace(item, stays=in_use(job.before, item.public_key)) for item in wanted)


def _proofs(op: Operation, job: Replacement, wanted: Sequence[enrol.Wanted]) -> Conversation[tuple[Any, ...]]:
    """Have keys prove themselves, and the card attest them where the template asks for it."""
    attested = replace(job.template, certificates=tuple(item.spec for item in wanted))
    return together(
        enrol.sign_requests(wanted, PIN, op.services.keystore.random, agreement=False), attestations(attested)
    )


def _judge_present(
    op: Operation,
    job: Replacement,
    wanted: Sequence[enrol.Wanted],
    requests: Sequence[bytes],
    stated: Mapping[Slot, bytes] | errors.CardError,
) -> tuple[enrol.Wanted, ...]:
    """Check that the keys of the record are on the card; return their requests.

    Raises:
        CardNotGenuine: they are not.
    """
    signed = _with_requests(wanted, requests)
    for item in signed:
        enrol.check_request(item)
    template = replace(job.template, certificates=tuple(item.spec for item in signed))
    keys = {item.spec.slot: item.public_key for item in signed}
    touch = check_attestations(op, template, job.facts, keys, stated)
    note_touch(op, job.before.keys.values(), touch)
    return signed


def _with_requests(wanted: Sequence[enrol.Wanted], requests: Sequence[bytes]) -> tuple[enrol.Wanted, ...]:
    return tuple(replace(item, request=request) for item, request in zip(wanted, requests, strict=True))


async def _new_keys(op: Operation, job: Replacement) -> Sequence[enrol.Wanted]:
    """Make room and keys, and have these prove themselves; from then on the record knows what is asked for them.

    The card has just proven its management key, which is open.

    Raises:
        CardNotGenuine: the keys are not what the card said; the next insertion makes them anew.
    """
    moves = [move_key(step.source, step.destination) for step in job.steps if isinstance(step, plan.Move)]
    removes = [_remove(job, step.slot) for step in job.steps if isinstance(step, plan.Remove)]
    makes = [generate_key(spec.slot, spec.algorithm, spec.pin_policy, spec.touch_policy) for spec in job.made]
    values = await op.talk.converse(together(*moves, *removes, *makes))
    made = values[len(moves) + len(removes) :]
    public = {spec.slot: plan.der(key) for spec, key in zip(job.made, made, strict=True)}
    wanted = _wanted(job, job.made, public)
    try:
        requests, stated = await op.talk.converse(fresh(_proofs(op, job, wanted), chuid=job.facts.chuid_raw))
    except errors.CardNotGenuine:
        doubt_keys(op, wanted)
        raise
    signed = _with_requests(wanted, requests)
    template = replace(job.template, certificates=job.made)
    await judge_keys(op, job.record.record_id, template, job.facts, signed, stated)
    op.journal.note(*(enrol.intent(item) for item in signed))
    await op.journal.commit()
    return signed


def _remove(job: Replacement, slot: Slot) -> Conversation[Any]:
    """Delete a slot's certificate and key; where the card cannot delete keys, nobody certifies the one that is made."""
    held = job.before.keys[slot]
    key: Conversation[Any] = (
        delete_key(slot, missing_ok=True)
        if job.facts.profile.features.delete_key
        else generate_key(slot, held.algorithm)
    )
    return together(delete_object(slot.certificate_object), key)


# --- write, read back, confirm --------------------------------------------------------------------------


async def _write(op: Operation, job: Replacement, issued: Mapping[Slot, CertificateRecord]) -> None:
    """Write what is new, then read the card back cold."""
    await op.advance(done=ASKING, begun=WRITING)
    staying = standing(job.record, job.requests, job.slots)
    certificates = {slot: each.certificate for slot, each in {**staying, **issued}.items()}
    retired = [slot for slot in certificates if slot.retired and slot not in job.slots]
    objects = await credential_objects(
        op,
        job.record.record_id,
        job.identity,
        certificates,
        job.facts.profile.object_max,
        history=KeyHistory(on_card=len(retired)) if retired else None,
    )
    expected = {ObjectId.CHUID: job.identity.chuid, ObjectId.CCC: job.identity.ccc, **objects}
    writes = [
        write_object(object_id, content)
        for object_id, content in expected.items()
        if job.facts.objects.get(object_id) != content
    ]
    random = op.services.keystore.random
    proofs = probes(job.specs, {slot: each.certificate for slot, each in issued.items()}, random)
    gone = [slot.certificate_object for slot in removed(job.template, job.present, job.record)]
    back = together(
        read_back(expected, proofs, PIN, random, agreement=False),
        nothing_left(gone),
        *(
            key_shown(move.destination, job.record.keys[move.destination].public_key)
            for move in moving(job.record, job.slots)
        ),
    )
    written = together(*writes, fresh(back, chuid=job.identity.chuid))
    key = await _management_key(op, job)
    await op.talk.converse(fresh(authenticated(key, written, random), chuid=job.facts.chuid_raw))


async def _management_key(op: Operation, job: Replacement) -> ManagementKey:
    record = job.before
    secret = record.management_key
    version = secret.proven
    if version is None or secret.pending is not None:
        version = await op.prove(record, job.facts)
    return await op.secrets(record.record_id).management_key(record.management_algorithm, version)


async def _confirm(op: Operation, job: Replacement, issued: Sequence[CertificateRecord], event: str) -> int:
    """Say in the record what is on the card, and have revoked what is not any more; return what waits to be revoked.

    Raises:
        KeyUnconfirmed: a key got no new certificate, as the answer about it was lost; there is nothing to continue.
    """
    record = await op.journal.record(job.record.record_id)
    lost = lost_in(op, job, record)
    op.journal.note(
        *(CertificateChanged(certificate=replace(each, state=CertificateState.CONFIRMED)) for each in issued),
        *publications(op.services, job.template, job.record.record_id, job.person.holder, issued),
        *_moved(job, record),
    )
    await op.advance(done=WRITING, begun=ENDING)
    waiting = await _revoke(op, job, superseded(job.record, job.requests, job.slots))
    credential = replace(job.credential, template=job.ref, holder_name=job.person.name)
    op.journal.note(CredentialChanged(credential=credential))
    register_operator(op, credential, issued)
    slots = " ".join(spec.slot.text for spec in job.specs)
    if slots or not lost:
        op.journal.evidence(
            AuditKind.TRANSITION,
            event,
            job.record.record_id,
            template=job.ref.name,
            version=job.ref.version,
            slots=slots,
        )
    if lost:
        raise _unconfirmed(op, job, lost)
    await op.journal.commit(OperationClosed(code="done"))
    await op.advance(done=ENDING)
    return waiting


def _unconfirmed(op: Operation, job: Replacement, lost: Sequence[CertificateRecord]) -> errors.KeyUnconfirmed:
    """Note that the operation is over, and of which keys nobody knows what was signed; return what people are told."""
    problem = errors.KeyUnconfirmed(
        connection=", ".join(sorted({each.connection for each in lost})),
        slot=", ".join(each.slot.text for each in lost),
    )
    op.journal.evidence(AuditKind.TRANSITION, "key-unconfirmed", job.record.record_id, **problem.facts)
    op.journal.note(OperationClosed(code=problem.code, abandon=True))
    return problem


def _moved(job: Replacement, now: CardRecord | None) -> list[KeyChanged | CertificateChanged]:
    """Return what the record is to say of keys that were moved, and of their certificates.

    A certificate is in the state that the record has it in `now`: its authority may have released it meanwhile.
    """
    states = {each.request_id: each.state for each in now.certificates} if now else {}
    moves = moving(job.record, job.slots)
    keys = [job.record.keys[move.destination] for move in moves]
    staying = standing(job.record, job.requests, job.slots)
    return [
        *(KeyChanged(key=replace(key, state=KeyState.PROVEN)) for key in keys),
        *(
            CertificateChanged(
                certificate=replace(each, slot=key.slot, state=states.get(each.request_id, each.state))
            )
            for key in keys
            if (each := staying.get(key.slot)) is not None
        ),
    ]
