"""Change PIN: the holder knows the present one. No secret of the issuer is involved."""

from typing import Final

from server.operations.operation import Ended, Operation
from server.ports.store import AuditKind, OperationClosed
from shared import errors
from shared.credential.lifecycle import OperationKind, target
from shared.iso7816.apdu import Hole
from shared.iso7816.conversation import together
from shared.piv.pin import change_pin as change
from shared.piv.pin import verify_pin
from shared.piv.select import fresh
from shared.relay import Purpose, Question, StepLine

PIN: Final = Hole(name="pin")
NEW_PIN: Final = Hole(name="new-pin")

STEPS: Final = (StepLine(key="change-pin"), StepLine(key="verify"))


async def change_pin(op: Operation) -> Ended:
    """Let the holder change the PIN; a wrong present PIN is asked again while tries are left.

    A cut leaves either the old PIN or the new one in force, and the holder knows both.

    Raises:
        UnknownCard: the card is not in the record.
        TransitionForbidden: the card is not active.
        PinBlocked: no tries are left.
        Cancelled: the holder gave up.
    """
    facts, _ = await op.inspect()
    record = op.record
    if record is None or record.credential is None:
        raise errors.UnknownCard
    target(OperationKind.CHANGE_PIN, record.state)
    if facts.pin.tries_left == 0:
        raise errors.PinBlocked
    _, template = await op.template(record.credential.template)
    await op.open(record.record_id, template=record.credential.template)
    await op.talk.show(STEPS)
    tries_left = facts.pin.tries_left
    problem: errors.KioskError | None = None
    while True:
        await op.talk.ask_pin(
            Question.CURRENT_PIN,
            Purpose.CHANGE_PIN,
            hole=PIN.name,
            uses=1,
            tries_left=tries_left,
            problem=problem if isinstance(problem, errors.PinRejected) else None,
        )
        await op.talk.ask_pin(
            Question.NEW_PIN,
            Purpose.CHANGE_PIN,
            hole=NEW_PIN.name,
            uses=2,
            policy=template.pin.policy,
            problem=problem if isinstance(problem, errors.PinNotAccepted) else None,
        )
        try:
            await op.talk.converse(
                fresh(together(change(PIN, NEW_PIN), fresh(verify_pin(NEW_PIN))), chuid=facts.chuid_raw),
                release=True,
            )
        except errors.PinRejected as rejected:
            problem, tries_left = rejected, int(rejected.facts["tries_left"])
        except errors.PinNotAccepted as refused:
            problem = refused
        else:
            break
    op.journal.evidence(AuditKind.OPERATION, "PIN changed", record.record_id)
    await op.journal.commit(OperationClosed(code="done"))
    for index in range(len(STEPS)):
        await op.talk.progress(index, done=True)
    return Ended(facts={"holder": record.credential.holder_name})
