"""Update: bring a card to the newest master key, and its credential to the newest version of its template.

The holder is not asked for anything, and the PIN stays, except where the credential was taken out of use while the card
was away: then nobody knows it any longer. The card proves its present management key, is given the
new one, proves that too, and has its PUK rotated into the new generation. Nothing else may have changed then:
what was read before is read again after a cold reset.

Source: card-rules, "Two candidates, not more" and "Proof before secrets".
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from server.operations.approval import Doing, doing_with
from server.operations.build import with_new_key
from server.operations.operation import Ended, Operation
from server.operations.puk import next_puk, settle_puk, use_puk
from server.operations.withdraw import take_pin
from server.ports.store import (
    AuditKind,
    CredentialChanged,
    KeyDisclosed,
    OperationClosed,
    PukDisclosed,
    SecretChanged,
    SecretsCarried,
    TemplateStore,
)
from shared import errors
from shared.credential.approval import Way
from shared.credential.effects import effects_of
from shared.credential.lifecycle import OperationKind, target
from shared.credential.model import (
    FACTORY,
    CardRecord,
    CredentialRecord,
    SecretKind,
    SecretRecord,
    SecretVersion,
)
from shared.credential.plan import RotatePuk
from shared.credential.template_reading import parse_template
from shared.credential.update import (
    Newer,
    Rekey,
    TakePin,
    TakeTemplate,
    UpdateStep,
    compare,
    next_key,
    plan_update,
)
from shared.iso7816.conversation import Conversation, nothing, together
from shared.piv.data import object_name, read_object
from shared.piv.inspect import CardFacts
from shared.piv.management import ManagementKey, authenticated, set_management_key
from shared.piv.pin import change_puk, pin_tries
from shared.piv.select import fresh
from shared.piv.vendor import slot_metadata
from shared.relay import StepChange

BLOCKED: Final = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Update:
    """Everything that is settled before the card is touched."""

    facts: CardFacts
    record: CardRecord
    credential: CredentialRecord | None
    steps: Sequence[UpdateStep]

    def has(self, kind: type[UpdateStep]) -> bool:
        """Whether there is a step of this kind to be done."""
        return any(isinstance(step, kind) for step in self.steps)


async def newer_template(templates: TemplateStore, record: CardRecord) -> Newer:
    """Return what the newest version of its template means for a card's credential."""
    credential = record.credential
    if credential is None:
        return Newer()
    present = await templates.version(credential.template)
    newest = await templates.latest(credential.template.name)
    if present is None or newest is None:
        return Newer()
    return compare(
        (present.ref, parse_template(present.text)),
        (newest.ref, parse_template(newest.text)),
        record.management_algorithm,
    )


async def update(op: Operation) -> Ended:
    """Bring a card up to date; one that is so already is left alone.

    Raises:
        UnknownCard: the card is not in the record.
        TransitionForbidden: not in this state.
        OperationInterrupted: something else was cut, and has to be gone on with first.
        ManagementKeyRejected, CardNotGenuine: it is another card, or somebody has changed its key.
        SecretUnresolved: somebody else has changed the PUK.
        ReadBackFailed: something changed that should not have.
    """
    job = await _prepare(op)
    facts: dict[str, errors.Fact] = {
        "holder": job.credential.holder_name if job.credential else "",
        "generation": op.services.keystore.generation,
    }
    if not job.steps and job.record.open_operation is None:
        return Ended(facts=facts)
    await op.clear(await _doing(op, job))
    op.journal.note(SecretsCarried(station=op.caller.station_id))
    await op.open(job.record.record_id, template=job.credential.template if job.credential else None)
    await op.talk.show([step.line for step in job.steps])
    await op.talk.progress(*(StepChange(index=index, done=False) for index in range(len(job.steps))))
    op.untouched = job.record.open_operation is None  # another card in its place leaves nothing to continue
    present = await op.prove(job.record, job.facts)
    op.talk.stop_if_cancelled()
    op.untouched = False
    if present == FACTORY:
        # it was cut on its way back to the factory: whoever shows this key gets no secret of ours (`unregister` ends it)
        await op.journal.commit(OperationClosed(code="done"))
        return Ended(facts=facts)
    key = await _rekey(op, job, present)
    await _rotate_and_read_back(op, job, key)
    await _confirm(op, job)
    await op.talk.progress(*(StepChange(index=index, done=True) for index in range(len(job.steps))))
    return Ended(facts=facts)


async def _doing(op: Operation, job: Update) -> Doing | None:
    """Return what an approval has to cover: the newest version of the template is what the credential may become of."""
    if job.credential is None:
        return None
    latest = await op.services.store.templates.latest(job.credential.template.name)
    doing = await doing_with(op.services, Way.UPDATE, job.record, latest.ref if latest else None)
    return replace(doing, effects=effects_of(job.steps))


async def _prepare(op: Operation) -> Update:
    facts, _ = await op.inspect()
    record = op.record
    if record is None:
        raise errors.UnknownCard
    target(OperationKind.UPDATE, record.state)
    steps = plan_update(
        record,
        generation=op.services.keystore.generation,
        newer=await newer_template(op.services.store.templates, record),
        puk_blocked=facts.puk.tries_left == BLOCKED,
    )
    return Update(facts=facts, record=record, credential=record.credential, steps=steps)


# --- the management key ---------------------------------------------------------------------------------


async def _rekey(op: Operation, job: Update, present: SecretVersion) -> ManagementKey:
    """Give the card the newest management key, where it has an older one; return the key that it has then.

    The new value is stored as pending only now that the card has proven the present one: a stranger with a
    copied number changes nothing in the record.
    """
    secrets, algorithm = op.secrets(job.record.record_id), job.record.management_algorithm
    wanted = next_key(job.record, op.services.keystore.generation)
    if not job.has(Rekey) or present >= wanted:
        _note_key(op, SecretRecord(proven=present))
        return await secrets.management_key(algorithm, present)
    _note_key(op, SecretRecord(proven=present, pending=wanted))
    await op.journal.commit()
    key = await secrets.management_key(algorithm, wanted)
    random = op.services.keystore.random
    await op.talk.converse(together(set_management_key(key), with_new_key(key, nothing(), random)))
    _note_key(op, SecretRecord(proven=wanted))
    op.journal.note(KeyDisclosed(disclosed=False))
    return key


def _note_key(op: Operation, value: SecretRecord) -> None:
    op.journal.note(SecretChanged(kind=SecretKind.MANAGEMENT_KEY, value=value))


# --- the PUK, and the card as a whole -------------------------------------------------------------------


async def _rotate_and_read_back(op: Operation, job: Update, key: ManagementKey) -> None:
    """Rotate the PUK into the newest generation, with the PIN where that is taken, then read the card back."""
    random = op.services.keystore.random
    if job.has(TakePin):
        await take_pin(op, job.record, job.facts)
        await op.talk.converse(
            fresh(authenticated(key, _unchanged(job.facts, but_pin=True), random), chuid=job.facts.chuid_raw)
        )
        return
    back = fresh(authenticated(key, _unchanged(job.facts), random), chuid=job.facts.chuid_raw)
    if not job.has(RotatePuk):
        await op.talk.converse(back)
        return
    puk = await settle_puk(op, job.record, job.facts)
    pending = next_puk(op, job.record)
    op.journal.note(SecretChanged(kind=SecretKind.PUK, value=SecretRecord(proven=puk, pending=pending)))
    await op.journal.commit()
    secrets = op.secrets(job.record.record_id)
    old, new = await secrets.puk(puk), await secrets.puk(pending)
    await use_puk(op, together(change_puk(old, new), back), pending, release=False)
    op.journal.note(
        SecretChanged(kind=SecretKind.PUK, value=SecretRecord(proven=pending)), PukDisclosed(disclosed=False)
    )


def _unchanged(facts: CardFacts, *, but_pin: bool = False) -> Conversation[None]:
    """Check that objects, keys and the tries of the PIN are those of before.

    Raises:
        ReadBackFailed: `what` is another one.
    """
    held = {slot: each.metadata for slot, each in facts.slots.items() if each.metadata is not None}
    reads: list[Conversation[Any]] = [read_object(object_id) for object_id in facts.objects]
    reads += [slot_metadata(slot) for slot in held]
    *found, tries = yield from together(*reads, pin_tries())
    names = [*map(object_name, facts.objects), *(f"key-{slot.text}" for slot in held)]
    before = [*facts.objects.values(), *held.values()]
    for name, was, now in zip(names, before, found, strict=True):
        if was != now:
            raise errors.ReadBackFailed(what=name)
    if not but_pin and facts.pin.tries_left is not None and tries != facts.pin.tries_left:
        raise errors.ReadBackFailed(what="pin")


async def _confirm(op: Operation, job: Update) -> None:
    """Say in the record that the card is up to date: the last commit."""
    credential = job.credential
    for step in job.steps:
        match step:
            case TakeTemplate(ref=ref) if credential is not None:
                credential = replace(credential, template=ref)
                op.journal.note(CredentialChanged(credential=credential))
            case _:
                pass
    op.journal.evidence(
        AuditKind.TRANSITION,
        "updated",
        job.record.record_id,
        generation=op.services.keystore.generation,
        template=credential.template.name if credential else "",
        version=credential.template.version if credential else 0,
    )
    await op.journal.commit(OperationClosed(code="done"))
