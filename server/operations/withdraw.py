"""Suspend, revoke, delete, retire: a credential is taken out of use, for a reason, its card being here.

What is decided is one commit (`decide`), and the certificate authorities are told at once, so that a card that is pulled now
is worth nothing any more. Then the card: nobody knows its PIN any longer and, when it is retired, its keys and
certificates are gone. Whatever does not reach the card now is carried to it when it next appears (`update`). The card
proves its management key in the same power session before the PUK crosses the station.

Source: card-rules, "Deleting keys".
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from server.operations.decide import Decision, decision, end_sessions, merged, note_evidence, tasks_for
from server.operations.operation import Ended, Operation
from server.operations.puk import next_puk, settle_puk, use_puk
from server.operations.read_back import nothing_left
from server.operations.succession import Followed, Succession, holder_of
from server.operations.tasks import attempt
from server.ports.store import (
    CertificateTaskAsked,
    KeyChanged,
    OperationClosed,
    PinChanged,
    PukDisclosed,
    SecretChanged,
    SecretsCarried,
)
from shared import errors
from shared.credential.lifecycle import OperationKind, target
from shared.credential.model import (
    FACTORY,
    CardRecord,
    CertificateAction,
    CertificateTask,
    KeyState,
    PinState,
    SecretKind,
    SecretRecord,
    SecretVersion,
)
from shared.credential.reasons import read_cause
from shared.credential.update import takes_pin
from shared.iso7816.apdu import Hole
from shared.iso7816.conversation import Conversation, together
from shared.piv.data import delete_object
from shared.piv.ids import ObjectId, Slot
from shared.piv.inspect import CardFacts
from shared.piv.keys import delete_key, generate_key
from shared.piv.management import authenticated
from shared.piv.pin import change_puk, reset_pin
from shared.piv.select import fresh
from shared.relay import StepChange, StepLine

NOBODYS: Final = Hole(name="transport")

TAKING: Final = (StepLine(key="pin"), StepLine(key="puk"), StepLine(key="read-back"))


async def suspend(op: Operation) -> Ended:
    """Take a credential out of use until somebody resumes it. See `_withdraw`."""
    return await _withdraw(op, OperationKind.SUSPEND)


async def revoke(op: Operation) -> Ended:
    """Revoke a credential whose card is here; the card stays as it is, but nobody knows its PIN. See `_withdraw`."""
    return await _withdraw(op, OperationKind.REVOKE)


async def delete(op: Operation) -> Ended:
    """Close the record of a card that is here; nobody knows its PIN then. See `_withdraw`."""
    return await _withdraw(op, OperationKind.DELETE)


async def _withdraw(op: Operation, operation: OperationKind) -> Ended:
    """Decide, tell the authorities, then take the PIN; an operation that was cut gives way.

    Raises:
        UnknownCard: the card is not in the record.
        TransitionForbidden: not in this state.
        Invalid: no reason was given, or an unknown one.
        CardLost, ManagementKeyRejected, CardNotGenuine, SecretUnresolved: it is decided and the authorities know; what
            it means for the card is carried to it when it next appears.
    """
    facts, _ = await op.inspect()
    record = op.record
    if record is None:
        raise errors.UnknownCard
    decided = await decision(op.services, record, operation, op.begin.reason)
    carried = takes_pin(decided.record)
    if carried:
        op.journal.note(SecretsCarried(station=op.caller.station_id))
    op.journal.note(*decided.changes)
    told = note_evidence(op.journal, decided)
    template = record.credential.template if record.credential else None
    await op.open(record.record_id, template=template, supersede=True)
    op.decided = True
    await end_sessions(op.services, op.caller, decided)
    steps = (*_task_lines(record, decided.tasks), *(TAKING if carried else ()))
    await op.talk.show(steps)
    await op.talk.progress(*(StepChange(index=index, done=False) for index in range(len(steps))))
    waiting = await attempt(op.services, decided.record.tasks)
    if carried and await op.prove(decided.record, facts) != FACTORY:
        # one that was cut on its way back to the factory has nothing of a holder, and gets no secret of ours
        await take_pin(op, decided.record, facts)
    await op.journal.commit(OperationClosed(code="done"))
    await op.talk.progress(*(StepChange(index=index, done=True) for index in range(len(steps))))
    return Ended(facts=await _followed(op, record, told, waiting))


async def retire(op: Operation) -> Ended:
    """Take a card back: revoke what is on it and delete it, so that the card can be issued again.

    Raises:
        UnknownCard: the card is not in the record.
        TransitionForbidden: not in this state.
        OperationInterrupted: something else was cut, and has to be gone on with first.
        Invalid: no reason was given, or an unknown one.
        ManagementKeyRejected, CardNotGenuine: another card, or somebody has changed its key.
        ReadBackFailed: something is still on the card.
    """
    facts, _ = await op.inspect()
    record = op.record
    if record is None:
        raise errors.UnknownCard
    target(OperationKind.RETIRE, record.state)
    cut = record.open_operation
    cause = read_cause(op.begin.reason or (cut.reason if cut and cut.kind == op.begin.operation else ""))
    tasks = await tasks_for(op.services, record, OperationKind.RETIRE, cause)
    op.journal.note(
        SecretsCarried(station=op.caller.station_id), *(CertificateTaskAsked(task=task) for task in tasks)
    )
    await op.open(record.record_id, template=record.credential.template if record.credential else None)
    steps = (
        *_task_lines(record, tasks),
        *(StepLine(key="delete", facts={"slot": slot.text}) for slot in record.keys),
        *TAKING,
    )
    await op.talk.show(steps)
    await op.talk.progress(*(StepChange(index=index, done=False) for index in range(len(steps))))
    waiting = await attempt(op.services, merged(record.tasks, tasks))
    version = await op.prove(record, facts)
    await _empty(op, record, facts, version)
    await take_pin(op, record, facts, gone=_written(record))
    decided: Decision = await decision(op.services, record, OperationKind.RETIRE, cause.value)
    op.journal.note(*(each for each in decided.changes if not isinstance(each, CertificateTaskAsked)))
    told = note_evidence(op.journal, decided)
    await op.journal.commit(OperationClosed(code="done"))
    await op.talk.progress(*(StepChange(index=index, done=True) for index in range(len(steps))))
    return Ended(facts=await _followed(op, record, told, waiting))


async def _followed(
    op: Operation, record: CardRecord, told: dict[str, errors.Fact], waiting: int
) -> dict[str, errors.Fact]:
    """Carry out what follows for the holder's other credentials; return what faces are told of everything."""
    holder = holder_of(record)
    followed = await Succession(op.services).follow(op.caller, holder) if holder else Followed()
    return {**told, **followed.facts, "waiting": waiting + followed.waiting}


_TASK_KEYS: Final = {
    CertificateAction.REVOKE: "revoke",
    CertificateAction.HOLD: "hold",
    CertificateAction.RELEASE: "release",
}


def _task_lines(record: CardRecord, tasks: Sequence[CertificateTask]) -> tuple[StepLine, ...]:
    slots = {each.request_id: each.slot.text for each in record.certificates}
    return tuple(
        StepLine(key=_TASK_KEYS[task.action], facts={"slot": slots[task.request_id]}) for task in tasks
    )


# --- the card -------------------------------------------------------------------------------------------


async def _empty(op: Operation, record: CardRecord, facts: CardFacts, version: SecretVersion) -> None:
    """Delete certificates and keys; what is in a slot is unknown from before the first command on."""
    op.journal.note(
        *(
            KeyChanged(key=replace(key, state=KeyState.INTENDED, public_key=b"", touch=None))
            for key in record.keys.values()
        )
    )
    await op.journal.commit()
    key = await op.secrets(record.record_id).management_key(record.management_algorithm, version)
    deletes: list[Conversation[Any]] = [
        delete_object(object_id) for object_id in _written(record) if object_id in _present(facts)
    ]
    for slot, held in record.keys.items():
        if facts.profile.features.delete_key:
            deletes.append(delete_key(slot, missing_ok=True))
        else:
            # overwritten by a key that nobody certifies: the card has no command that deletes one
            deletes.append(generate_key(slot, held.algorithm))
    await op.talk.converse(authenticated(key, together(*deletes), op.services.keystore.random))


def _written(record: CardRecord) -> list[ObjectId]:
    """Return the objects that belong to the credential, not to the card."""
    certificates = [slot.certificate_object for slot in record.keys]
    history = [ObjectId.KEY_HISTORY] if any(slot.retired for slot in record.keys) else []
    return [*certificates, *history, ObjectId.SECURITY]


def _present(facts: CardFacts) -> frozenset[ObjectId]:
    """Return what was seen, and what inspection does not look at (certificates of retired slots)."""
    unseen = {slot.certificate_object for slot in Slot if slot.retired}
    return frozenset(facts.objects) | unseen


async def take_pin(
    op: Operation, record: CardRecord, facts: CardFacts, *, gone: Sequence[ObjectId] = ()
) -> None:
    """Replace the PIN by one that nobody knows, rotate the PUK, and see that the card is as it should be.

    The card must have proven its management key in this power session. What came of it is noted for the next commit.
    """
    puk = await settle_puk(op, record, facts)
    pending = next_puk(op, record)
    op.journal.note(
        SecretChanged(kind=SecretKind.PUK, value=SecretRecord(proven=puk, pending=pending)),
        PinChanged(pin=PinState.UNKNOWN),
    )
    await op.journal.commit()
    await op.talk.draw(NOBODYS.name, 1)
    secrets = op.secrets(record.record_id)
    old, new = await secrets.puk(puk), await secrets.puk(pending)
    read_back = fresh(nothing_left(gone), chuid=facts.chuid_raw)
    await use_puk(op, together(reset_pin(old, NOBODYS), change_puk(old, new), read_back), pending)
    op.journal.note(
        SecretChanged(kind=SecretKind.PUK, value=SecretRecord(proven=pending)),
        PinChanged(pin=PinState.TRANSPORT),
        PukDisclosed(disclosed=False),
    )
