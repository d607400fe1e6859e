"""Activate, unblock, resume: the holder sets a PIN without knowing the present one, through the PUK.

The PUK crosses the station, so it is rotated in the same batch. The person is asked before the transaction begins; the
card proves its management key in the same power session before the PUK crosses the station.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final

from server.operations.approval import Doing, doing_with
from server.operations.decide import (
    UNCONFIRMED,
    decision,
    merged,
    note_evidence,
    revocation,
    tasks_for,
)
from server.operations.disclose import check_code
from server.operations.operation import Ended, Operation
from server.operations.operator_card import check_carried, register_operator
from server.operations.pin_policy import policy_for
from server.operations.puk import next_puk, settle_puk, use_puk
from server.operations.succession import Succession
from server.operations.system_owner import ask_code, check_turn, known_to_owner, set_owners_pin
from server.operations.tasks import attempt
from server.ports.store import (
    AuditKind,
    CertificateTaskAsked,
    CodeEnded,
    CredentialChanged,
    OperationClosed,
    PinChanged,
    PukDisclosed,
    SecretChanged,
    SecretsCarried,
    StateChanged,
)
from shared import errors
from shared.credential.approval import Way
from shared.credential.lifecycle import ASKING_PIN, OperationKind, target
from shared.credential.model import (
    CardRecord,
    CertificateState,
    CertificateTask,
    CredentialRecord,
    PinState,
    SecretKind,
    SecretRecord,
    State,
)
from shared.credential.reasons import Reason
from shared.iso7816.apdu import Hole
from shared.iso7816.conversation import together
from shared.piv.inspect import CardFacts
from shared.piv.pin import change_puk, reset_pin, verify_pin
from shared.piv.select import fresh
from shared.relay import Purpose, Question, StepChange, StepLine

ON_CARD: Final = frozenset({CertificateState.CONFIRMED, CertificateState.HELD})

NEW_PIN: Final = Hole(name="new-pin")

STEPS: Final = (StepLine(key="pin"), StepLine(key="puk"), StepLine(key="verify"))


async def activate(op: Operation) -> Ended:
    """Let the holder set the first PIN of an issued card; raises as `_set_pin`."""
    facts, _ = await op.inspect()
    return await _set_pin(op, facts, OperationKind.ACTIVATE, Purpose.ACTIVATE, "activated")


async def unblock(op: Operation) -> Ended:
    """Let the holder of an active card set a new PIN, blocked or forgotten; raises as `_set_pin`."""
    facts, _ = await op.inspect()
    return await _set_pin(op, facts, OperationKind.UNBLOCK, Purpose.UNBLOCK, "unblocked")


async def resume(op: Operation) -> Ended:
    """Take a suspended credential into use again; its holder sets a new PIN, and then its certificates are released.

    Where the suspension never reached the card, its holder's PIN is still in force, and nothing is done to the card.
    Raises as `_set_pin`.
    """
    facts, _ = await op.inspect()
    record = op.record
    if record is None or record.pin is not PinState.HOLDER:
        return await _set_pin(op, facts, OperationKind.RESUME, Purpose.UNBLOCK, "resumed")
    await check_carried(op)
    await op.clear(await doing_with(op.services, Way.RESUME, record))
    decided = await decision(op.services, record, OperationKind.RESUME, "")
    await Succession(op.services).make_way(op.caller, record)
    op.journal.note(*decided.changes, OperationClosed(code="done"))
    told = note_evidence(op.journal, decided)
    await op.open(record.record_id, template=record.credential.template if record.credential else None)
    return Ended(facts={**told, "waiting": await attempt(op.services, decided.record.tasks)})


async def _set_pin(
    op: Operation, facts: CardFacts, operation: OperationKind, purpose: Purpose, event: str
) -> Ended:
    """Set the holder's PIN and rotate the PUK.

    The present PIN is not known here, so the new one may be the same. One that somebody else chose is due to be changed.

    Raises:
        UnknownCard: the card is not in the record.
        TransitionForbidden: not in this state.
        Cancelled: the holder gave no PIN; nothing was changed.
        ConnectorUnreachable, ConnectorRefused, UnknownHolder, VariableMissing, Invalid: see `policy_for`; nothing was
            changed.
        CardChanged, ManagementKeyRejected: it is another card than the one that was asked about, or somebody has
            changed its key; nothing was written.
        PinNotAccepted: the card wants another form of PIN; nothing was changed.
    """
    record = op.record
    if record is None:
        raise errors.UnknownCard
    state = target(operation, record.state)
    credential = record.credential
    if credential is None:
        raise errors.UnknownCard
    await check_carried(op)
    await op.clear(await _doing(op, record))
    await _check_code(op, credential)
    _, template = await op.template(credential.template)
    owners = template.system_owner or known_to_owner(record)
    if operation is OperationKind.ACTIVATE:
        await check_turn(op, template)
    policy = await policy_for(op, template, record, facts, credential.holder)
    await op.talk.ask_pin(Question.NEW_PIN, purpose, hole=NEW_PIN.name, uses=2, policy=policy)
    if owners:
        await ask_code(op, record, purpose)
    op.journal.note(SecretsCarried(station=op.caller.station_id))
    cut = record.open_operation
    gives_way = operation is OperationKind.UNBLOCK and cut is not None and cut.kind in ASKING_PIN
    await op.open(record.record_id, template=credential.template, supersede=gives_way)
    await op.talk.show(STEPS)
    await op.talk.progress(*(StepChange(index=index, done=False) for index in range(len(STEPS))))
    op.untouched = record.open_operation is None  # another card in its place leaves nothing to continue
    await op.prove(record, facts)
    op.untouched = False
    if operation is OperationKind.RESUME:
        await Succession(op.services).make_way(op.caller, record)
    op.journal.note(*(CertificateTaskAsked(task=task) for task in _left_behind(op, record, facts)))
    await (set_owners_pin(op, record, facts, NEW_PIN) if owners else _set_through_puk(op, record, facts))
    now = op.services.clock.now()
    used = replace(
        _in_use(credential, state, credential.activated_at or now),
        pin_set_at=now,
        pin_change_due=op.begin.temporary_pin,
    )
    resumed = operation is OperationKind.RESUME
    tasks = await tasks_for(op.services, record, operation, None) if resumed else ()
    op.journal.note(
        *(CertificateTaskAsked(task=task) for task in tasks),
        PukDisclosed(disclosed=False),
        PinChanged(pin=PinState.HOLDER),
        CredentialChanged(credential=used),
        CodeEnded(credential_id=used.credential_id),
        StateChanged(state=state),
    )
    logs_on = operation is OperationKind.ACTIVATE and register_operator(
        op, used, [each for each in record.certificates if each.state in ON_CARD]
    )
    told: dict[str, errors.Fact] = {"pin": "temporary"} if op.begin.temporary_pin else {}
    op.journal.evidence(AuditKind.TRANSITION, event, record.record_id, **told)
    await op.journal.commit(OperationClosed(code="done"))
    await op.talk.progress(*(StepChange(index=index, done=True) for index in range(len(STEPS))))
    told |= {"holder": credential.holder_name}
    if resumed:
        told["waiting"] = await attempt(op.services, merged(record.tasks, tasks))
    elif operation is OperationKind.ACTIVATE:
        followed = await Succession(op.services).follow(op.caller, credential.holder)
        told |= {**followed.facts, **({"waiting": followed.waiting} if followed.done else {})}
    if logs_on:
        told["followed"] = f"{told.get('followed', '')} operator".strip()
    return Ended(facts=told)


async def _doing(op: Operation, record: CardRecord) -> Doing | None:
    """Return what an approval has to cover. With the code that its owner alone knows a card is unblocked anywhere."""
    if op.begin.operation is OperationKind.UNBLOCK and known_to_owner(record):
        return None
    doing = await doing_with(op.services, Way(op.begin.operation.value), record)
    return replace(doing, code=op.begin.code is not None)


async def _set_through_puk(op: Operation, record: CardRecord, facts: CardFacts) -> None:
    """Set the PIN and rotate the PUK; what came of it is noted for the next commit."""
    puk = await settle_puk(op, record, facts)
    pending = next_puk(op, record)
    op.journal.note(
        SecretChanged(kind=SecretKind.PUK, value=SecretRecord(proven=puk, pending=pending)),
        PinChanged(pin=PinState.UNKNOWN),
    )
    await op.journal.commit()
    secrets = op.secrets(record.record_id)
    old, new = await secrets.puk(puk), await secrets.puk(pending)
    change = together(
        reset_pin(old, NEW_PIN), change_puk(old, new), fresh(verify_pin(NEW_PIN), chuid=facts.chuid_raw)
    )
    await use_puk(op, change, pending)
    op.journal.note(SecretChanged(kind=SecretKind.PUK, value=SecretRecord(proven=pending)))


def _left_behind(op: Operation, record: CardRecord, facts: CardFacts) -> Sequence[CertificateTask]:
    """Return what is to be revoked of an operation that gave way to unblocking: nobody brings it to the card any more.

    What the card shows is left alone: its holder uses it.
    """
    if op.begin.operation is not OperationKind.UNBLOCK:
        return ()
    now = op.services.clock.now()
    return [
        revocation(record.record_id, each, Reason.SUPERSEDED, now)
        for each in record.certificates
        if each.state in UNCONFIRMED and each.request_id not in record.revoking
        if each.slot in facts.slots and facts.slots[each.slot].certificate != each.certificate
    ]


async def _check_code(op: Operation, credential: CredentialRecord) -> None:
    """Judge the unblock code that came with the request, before anybody is asked for a PIN; it ends once that is set.

    Raises:
        CodeRejected: it is not the right one; nothing was changed.
    """
    if op.begin.code is not None:
        await check_code(op.services, credential, op.begin.code)


def _in_use(credential: CredentialRecord, state: State, activated_at: datetime) -> CredentialRecord:
    """Return a credential that its holder uses from now on; nothing is left of a suspension."""
    if credential.state is state:
        return credential
    reason = credential.reason if credential.state is State.ISSUED else ""
    return replace(credential, state=state, activated_at=activated_at, reason=reason, since=None)
