"""Change PIN: the holder knows the present one. No secret of the issuer is involved."""

from dataclasses import replace
from typing import Final

from server.operations.operation import Ended, Operation
from server.operations.pin_policy import policy_for
from server.operations.present_pin import PIN, present_pin
from server.ports.store import AuditKind, CodeEnded, CredentialChanged, OperationClosed
from shared import errors
from shared.credential.lifecycle import OperationKind, target
from shared.iso7816.apdu import Hole
from shared.iso7816.conversation import together
from shared.piv.pin import change_pin as change
from shared.piv.pin import verify_pin
from shared.piv.select import fresh
from shared.relay import Purpose, Question, StepChange, StepLine

NEW_PIN: Final = Hole(name="new-pin")

USES: Final = 6
"""Fillings of the present PIN: once to see that it is right, then once for every new PIN that the card is offered."""

STEPS: Final = (StepLine(key="change-pin"), StepLine(key="verify"))


async def change_pin(op: Operation) -> Ended:
    """Let the holder change the PIN; a wrong present PIN is asked again while tries are left.

    A cut leaves either the old PIN or the new one in force, and the holder knows both; a change that was due stays so
    until one came to its end. That the new PIN is not the present one is seen to by the station, which has both.

    Raises:
        UnknownCard: the card is not in the record.
        TransitionForbidden: the card is not active.
        PinBlocked: no tries are left.
        Cancelled: the holder gave up.
        ConnectorUnreachable, ConnectorRefused, UnknownHolder, VariableMissing, Invalid: see `policy_for`.
    """
    facts, _ = await op.inspect()
    record = op.record
    if record is None:
        raise errors.UnknownCard
    target(OperationKind.CHANGE_PIN, record.state)
    credential = record.credential
    if credential is None:
        raise errors.UnknownCard
    if facts.pin.tries_left == 0:
        raise errors.PinBlocked
    _, template = await op.template(credential.template)
    policy = await policy_for(op, template, record, facts, credential.holder)
    await op.open(record.record_id, template=credential.template)
    await op.talk.show(STEPS)
    await op.talk.progress(StepChange(index=0, done=False))
    chuid = facts.chuid_raw
    await present_pin(op, facts, Purpose.CHANGE_PIN, uses=USES)
    problem: errors.PinNotAccepted | None = None
    while True:
        await op.talk.ask_pin(
            Question.NEW_PIN,
            Purpose.CHANGE_PIN,
            hole=NEW_PIN.name,
            uses=2,
            policy=policy,
            problem=problem,
        )
        try:
            change_it = together(change(PIN, NEW_PIN), fresh(verify_pin(NEW_PIN), chuid=chuid))
            await op.talk.converse(fresh(change_it, chuid=chuid), release=True)
        except errors.PinNotAccepted as refused:
            problem = refused
        else:
            break
    chosen = replace(credential, pin_set_at=op.services.clock.now(), pin_change_due=False)
    op.journal.note(CredentialChanged(credential=chosen), CodeEnded(credential_id=chosen.credential_id))
    op.journal.evidence(AuditKind.OPERATION, "PIN changed", record.record_id)
    await op.journal.commit(OperationClosed(code="done"))
    await op.talk.progress(*(StepChange(index=index, done=True) for index in range(len(STEPS))))
    return Ended(facts={"holder": credential.holder_name})
