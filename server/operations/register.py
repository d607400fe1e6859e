"""Register: make a blank card ours for stock, with nothing on it but what identifies it.

Inspect (1 round trip), own (3), PIN and PUK and read-back (2). A registered card is issued like a new one, at any time;
until then nobody knows its PIN, and only this server its management key. Cut anywhere, it is planned again at the next
insertion.

Source: card-rules, "Own a card".
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from server.operations.objects import identity_objects, only_ours
from server.operations.operation import Ended, Operation
from server.operations.own import (
    TRANSPORT,
    Owning,
    build_card,
    check_blank,
    check_factory_pin,
    new_record,
    note_impostor,
    take,
)
from server.operations.puk import next_puk, settle_puk, use_puk
from server.ports.store import AuditKind, OperationClosed, PinChanged, SecretChanged, StateChanged
from shared import errors
from shared.credential import lint, plan
from shared.credential.lifecycle import OperationKind, target
from shared.credential.model import (
    CardRecord,
    OpenOperation,
    PinState,
    SecretKind,
    SecretRecord,
    State,
    TemplateRef,
)
from shared.credential.template import Template
from shared.iso7816.conversation import Conversation, together
from shared.piv.chuid import NO_EXPIRY
from shared.piv.data import object_name, read_object
from shared.piv.ids import ObjectId
from shared.piv.management import authenticated
from shared.piv.pin import change_puk, reset_pin
from shared.piv.profiles import Profile, why_not_management
from shared.piv.select import fresh

OWNING: Final = (plan.Own, plan.SetRetries, plan.WriteChuid, plan.WriteCcc)
LOCKING: Final = (plan.SetTransportPin, plan.RotatePuk, plan.ReadBack)
"""Steps that share their round trips, in the order of the plan."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Register(Owning):
    """Everything that is settled before the card is touched. A template only says how the card is to be owned."""

    ref: TemplateRef | None


async def register(op: Operation) -> Ended:
    """Register a blank card; a template may say which management key and how many tries it gets.

    Raises:
        TransitionForbidden, OperationInterrupted, UnknownTemplate, TemplateImpossible, NotSupportedByCard,
            SecretUnresolved: refused, the card was not touched.
        ManagementKeyRejected: the card belongs to somebody else; nothing was written to it.
        CardLost: cut; the next insertion continues.
    """
    job = await _prepare(op)
    record = await take(op, job, job.ref)
    await op.advance(begun=OWNING)
    await build_card(op, job, record)
    await _lock(op, job, record)
    op.journal.note(StateChanged(state=State.REGISTERED))
    op.journal.evidence(AuditKind.TRANSITION, "registered", record.record_id, serial=job.facts.serial or 0)
    await op.journal.commit(OperationClosed(code="done"))
    await op.advance(done=LOCKING)
    return Ended(facts={"generation": op.services.keystore.generation})


async def _prepare(op: Operation) -> Register:
    facts, found = await op.inspect()
    record = found.record
    cut = record.open_operation if record else None
    if cut is None or cut.kind != OperationKind.REGISTER:
        target(OperationKind.REGISTER, record.state if record else State.UNREGISTERED)
        cut = None
    check_blank(facts, record)
    ref, template = await _template(op, cut)
    _check_able(template, facts.profile)
    trusted = facts if record is None else only_ours(op, record.record_id, facts)
    steps = plan.plan_register(
        template=template, generation=op.services.keystore.generation, facts=trusted, record=record
    )
    check_factory_pin(facts, record, steps)
    note_impostor(op, facts, found)
    new = record is None
    record = record or new_record(op, facts, lint.management_algorithm(template, facts.profile))
    return Register(
        facts=facts,
        record=record,
        identity=await identity_objects(op, record.record_id, steps, trusted, NO_EXPIRY),
        steps=steps,
        new=new,
        ref=ref,
    )


async def _template(
    op: Operation, cut: OpenOperation | None
) -> tuple[TemplateRef, Template] | tuple[None, None]:
    """Return the template that was named, or that of the operation that was cut; there need not be any.

    Raises:
        OperationInterrupted: what was cut was begun with another one, or with none.
        UnknownTemplate: there is none of this name.
    """
    if cut is not None and op.begin.template not in {"", cut.template.name if cut.template else ""}:
        raise errors.OperationInterrupted(operation=cut.kind)
    ref = cut.template if cut is not None else None
    if ref is None and not op.begin.template:
        return None, None
    return await op.template(ref, op.begin.template)


def _check_able(template: Template | None, profile: Profile) -> None:
    """Refuse a card that cannot be owned, or that the template is not for.

    Raises:
        TemplateImpossible: the first thing that the template asks for and the card cannot do.
        NotSupportedByCard: its management key cannot be changed.
    """
    if template is not None:
        for problem in lint.check_card(template, profile):
            raise problem
    why = why_not_management(profile, lint.management_algorithm(template, profile))
    if why is not None:
        raise errors.NotSupportedByCard(what=why)


async def _lock(op: Operation, job: Register, record: CardRecord) -> None:
    """Replace PIN and PUK, then read the card back cold: it proves its management key once more."""
    puk = await settle_puk(op, record, job.facts)
    pending = next_puk(op, record)
    op.journal.note(
        SecretChanged(kind=SecretKind.PUK, value=SecretRecord(proven=puk, pending=pending)),
        PinChanged(pin=PinState.UNKNOWN),
    )
    await op.journal.commit()
    op.talk.stop_if_cancelled()
    await op.advance(done=OWNING, begun=LOCKING)
    await op.talk.draw(TRANSPORT.name, 1)
    secrets = op.secrets(record.record_id)
    old, new = await secrets.puk(puk), await secrets.puk(pending)
    version = record.management_key.pending or record.management_key.proven
    assert version is not None  # `take` has made one pending
    key = await secrets.management_key(record.management_algorithm, version)
    expected = {ObjectId.CHUID: job.identity.chuid, ObjectId.CCC: job.identity.ccc}
    back = fresh(authenticated(key, _holds(expected), op.services.keystore.random), chuid=job.identity.chuid)
    change = together(reset_pin(old, TRANSPORT), change_puk(old, new), back)
    await use_puk(op, change, pending, release=False)
    op.journal.note(
        SecretChanged(kind=SecretKind.PUK, value=SecretRecord(proven=pending)),
        PinChanged(pin=PinState.TRANSPORT),
    )


def _holds(expected: Mapping[ObjectId, bytes]) -> Conversation[None]:
    """Check that the card holds these objects.

    Raises:
        ReadBackFailed: one is another one.
    """
    found = yield from together(*(read_object(object_id) for object_id in expected))
    for object_id, content in zip(expected, found, strict=True):
        if content != expected[object_id]:
            raise errors.ReadBackFailed(what=object_name(object_id))
