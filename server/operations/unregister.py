"""Unregister: give a card back as it came from the factory, and close its record.

Empty it, prove that it is empty; then PIN and PUK, and the management key last of the secrets, with the factory's as
pending: until then only this server can go on with a card that was cut. The CHUID goes last of all, because a card without
a serial number is found by it. The next to insert the card sees a new one, which gets a new record id.

Source: card-rules, "Deleting keys"; design, section 6.
"""

from collections.abc import Sequence
from typing import Final

from server.operations.decide import UNCONFIRMED, VALID, revocation
from server.operations.empty import IDENTIFYING, empty
from server.operations.factory import give_factory_secrets, proven_factory
from server.operations.operation import Ended, Operation
from server.operations.tasks import attempt
from server.ports.store import (
    AuditKind,
    CertificateTaskAsked,
    KeyDisclosed,
    ManagementAlgorithmChanged,
    OperationClosed,
    PinChanged,
    PukDisclosed,
    SecretChanged,
    SecretsCarried,
    StateChanged,
)
from shared import errors
from shared.credential.lifecycle import OperationKind, target
from shared.credential.model import (
    FACTORY,
    CardRecord,
    CertificateAction,
    CertificateTask,
    PinState,
    SecretKind,
    SecretRecord,
    State,
)
from shared.credential.reasons import Reason
from shared.iso7816.conversation import Conversation, together
from shared.piv.data import delete_object, object_name, still_there
from shared.piv.inspect import CardFacts
from shared.piv.management import authenticated_singly, factory_key
from shared.piv.profiles import Profile
from shared.piv.select import fresh
from shared.relay import StepChange, StepLine

GIVING_BACK: Final = (
    StepLine(key="empty"),
    StepLine(key="factory"),
    StepLine(key="read-back"),
    StepLine(key="forget"),
)


async def unregister(op: Operation) -> Ended:
    """Bring a card of ours back to its factory state.

    Raises:
        TransitionForbidden: not in this state, or the card is not ours.
        OperationInterrupted: something else was cut, and has to be gone on with first.
        ManagementKeyRejected, CardNotGenuine: it is another card, or somebody has changed its key.
        SecretUnresolved: nobody knows the PUK, and the card has no RESET; it is empty already.
        ReadBackFailed: something is still on the card, or not the factory's.
        CardLost: cut; the next insertion continues.
    """
    facts, _ = await op.inspect()
    record = _known(op)
    tasks = _revocations(op, record)
    op.journal.note(
        SecretsCarried(station=op.caller.station_id), *(CertificateTaskAsked(task=task) for task in tasks)
    )
    await op.open(record.record_id)
    await _show(op, record, tasks)
    waiting = await attempt(op.services, tasks)
    op.untouched = record.open_operation is None  # another card in its place leaves nothing to continue
    present = await op.prove(record, facts)
    op.talk.stop_if_cancelled()
    op.untouched = False
    chuid = facts.chuid_raw
    if present != FACTORY:
        await empty(op, record, facts, present)
        await _reached(op, tasks, 1)
        chuid = await give_factory_secrets(op, record, facts, present)
    await _reached(op, tasks, 2)
    await op.talk.converse(fresh(proven_factory(facts.profile), chuid=chuid))
    await _confirm(op, facts.profile)
    await _reached(op, tasks, 3)
    await _forget(op, facts, chuid)
    op.journal.evidence(AuditKind.TRANSITION, "unregistered", record.record_id, serial=facts.serial or 0)
    await op.journal.commit(OperationClosed(code="done"))
    await _reached(op, tasks, 4)
    return Ended(facts={"serial": facts.serial or 0, "waiting": waiting})


def _known(op: Operation) -> CardRecord:
    """Return the card's record, if it is in a state to be given back or on the way there.

    Raises:
        TransitionForbidden: it is not, or the card has none.
    """
    record = op.record
    if (
        record is None
        or record.open_operation is None
        or record.open_operation.kind != OperationKind.UNREGISTER
    ):
        target(OperationKind.UNREGISTER, record.state if record else State.UNREGISTERED)
    assert record is not None  # the table has no way for a card without a record
    return record


def _revocations(op: Operation, record: CardRecord) -> list[CertificateTask]:
    """Return what certificate authorities have to revoke: what never reached the card, although nothing should be left.

    When the credential ended, its certificates had their due; those that its template then left as they are stay so.
    """
    asked = {task.request_id for task in record.tasks if task.action is CertificateAction.REVOKE}
    lost = UNCONFIRMED | VALID if record.state is State.REGISTERED else UNCONFIRMED
    return [
        revocation(record.record_id, certificate, Reason.CESSATION_OF_OPERATION, op.services.clock.now())
        for certificate in record.certificates
        if certificate.state in lost and certificate.request_id not in asked
    ]


async def _show(op: Operation, record: CardRecord, tasks: Sequence[CertificateTask]) -> None:
    slots = {each.request_id: each.slot.text for each in record.certificates}
    revoked = [StepLine(key="revoke", facts={"slot": slots[task.request_id]}) for task in tasks]
    await op.talk.show([*revoked, *GIVING_BACK])
    await op.talk.progress(*(StepChange(index=index, done=False) for index in range(len(tasks) + 1)))


async def _reached(op: Operation, tasks: Sequence[CertificateTask], count: int) -> None:
    """Mark the revocations and the first `count` steps as done, and the next one as begun."""
    at = len(tasks) + count
    begun = [StepChange(index=at, done=False)] if count < len(GIVING_BACK) else []
    await op.talk.progress(*(StepChange(index=index, done=True) for index in range(at)), *begun)


async def _confirm(op: Operation, profile: Profile) -> None:
    """Store that the card has its factory state but for what identifies it: it is not ours any more."""
    factory = SecretRecord(proven=FACTORY)
    op.journal.note(
        SecretChanged(kind=SecretKind.MANAGEMENT_KEY, value=factory),
        ManagementAlgorithmChanged(algorithm=profile.factory_management),
        SecretChanged(kind=SecretKind.PUK, value=factory),
        PukDisclosed(disclosed=False),
        KeyDisclosed(disclosed=False),
        PinChanged(pin=PinState.FACTORY),
        StateChanged(state=State.UNREGISTERED),
    )
    await op.journal.commit()


async def _forget(op: Operation, facts: CardFacts, chuid: bytes | None) -> None:
    """Delete what identifies the card, and see after a cold reset that it is gone."""
    key = factory_key(facts.profile.factory_management)
    deletes = together(*(delete_object(object_id, missing_ok=True) for object_id in IDENTIFYING))
    await op.talk.converse(fresh(authenticated_singly(key, deletes), chuid=chuid))
    await op.talk.converse(fresh(_forgotten()), release=True)


def _forgotten() -> Conversation[None]:
    """Check that nothing identifies the card.

    Raises:
        ReadBackFailed: something does.
    """
    found = yield from together(*(still_there(object_id) for object_id in IDENTIFYING))
    for object_id, there in zip(IDENTIFYING, found, strict=True):
        if there:
            raise errors.ReadBackFailed(what=object_name(object_id))
