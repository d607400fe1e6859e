"""Decisions about a credential: suspend, resume, revoke, delete, and what a retirement means for its certificates.

A decision is one commit. From then on the record says it, whatever becomes of card, line and certificate authorities:
what an authority has to do is a task that is kept until it is done, what the card has to learn is carried to it when it
next appears. So a stolen card is worth nothing although nobody has it.

Source: card-rules, "Certificate authorities"; [FIPS 201-3] 2.9.4 (18 hours).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from types import MappingProxyType
from typing import Final

from server.authority.access import Caller
from server.authority.operator_cards import check_not_owners
from server.operations.journal import Journal
from server.operations.services import Services
from server.operations.tasks import HEAD_START
from server.ports.store import (
    AuditKind,
    AuditRecord,
    CertificateTaskAsked,
    Change,
    CodeEnded,
    CredentialChanged,
    SessionEnd,
    StateChanged,
)
from shared import errors
from shared.credential.lifecycle import OperationKind, target
from shared.credential.model import (
    CardRecord,
    CertificateAction,
    CertificateRecord,
    CertificateState,
    CertificateTask,
    RecordId,
    RequestId,
    State,
)
from shared.credential.reasons import (
    Cause,
    Consequence,
    Consequences,
    Reason,
    consequence,
    read_cause,
)
from shared.credential.template import Template
from shared.credential.template_reading import parse_template
from shared.piv.ids import Slot

EVENTS: Final = {
    OperationKind.SUSPEND: "suspended",
    OperationKind.RESUME: "resumed",
    OperationKind.REVOKE: "revoked",
    OperationKind.RETIRE: "retired",
    OperationKind.DELETE: "deleted",
}
"""How evidence calls a decision."""

Facts = Mapping[str, errors.Fact]
NOTHING_MORE: Final[Facts] = MappingProxyType({})

FOR_GOOD: Final = frozenset({OperationKind.REVOKE, OperationKind.RETIRE, OperationKind.DELETE})

UNCONFIRMED: Final = frozenset({CertificateState.REQUESTED, CertificateState.ISSUED})
"""Certificates that an operation was about to put on the card; one that is superseded never will."""

VALID: Final = frozenset({CertificateState.CONFIRMED, CertificateState.HELD})

LOST: Final = Consequence(CertificateAction.REVOKE, Reason.SUPERSEDED)
RELEASED: Final = Consequence(CertificateAction.RELEASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Decision:
    """What is decided: the record as it is from then on, the changes that make it so, and tasks for authorities."""

    operation: OperationKind
    record: CardRecord
    changes: tuple[Change, ...]
    tasks: tuple[CertificateTask, ...]
    cause: Cause | None = None


async def decision(services: Services, record: CardRecord, operation: OperationKind, reason: str) -> Decision:
    """Return what `operation` means for a card and its credential. `reason` is what a person said.

    Raises:
        TransitionForbidden: not in this state.
        UnknownCard: it needs a credential, and the card has none.
        OperationInterrupted: its keys are being deleted, so that nobody will use it again.
        OwnersCode: it is the System Owner's.
        Invalid: no reason was given where one is needed, or an unknown one.
    """
    target(operation, record.state)
    await check_not_owners(services.store.operators, record)
    if operation not in FOR_GOOD and is_being_retired(record):
        raise errors.OperationInterrupted(operation=OperationKind.RETIRE.value)
    cause = None if operation is OperationKind.RESUME else read_cause(reason)
    return await decided_about(services, record, operation, cause)


def is_being_retired(record: CardRecord) -> bool:
    """Whether the retirement of a card was cut, and may have left it without keys."""
    return record.open_operation is not None and record.open_operation.kind == OperationKind.RETIRE


async def decided_about(
    services: Services, record: CardRecord, operation: OperationKind, cause: Cause | None
) -> Decision:
    """Return what `operation` means for a card and its credential, for a cause that is one; raises as `decision`."""
    state = target(operation, record.state)
    if record.credential is None and operation is not OperationKind.DELETE:
        raise errors.UnknownCard
    now = services.clock.now()
    tasks = await tasks_for(services, record, operation, cause)
    changes: list[Change] = [CertificateTaskAsked(task=task) for task in tasks]
    decided = replace(record, state=state, tasks=merged(record.tasks, tasks))
    if record.credential is not None:
        credential = replace(record.credential, state=state, reason=cause.value if cause else "", since=now)
        changes += [
            CredentialChanged(credential=credential),
            CodeEnded(credential_id=credential.credential_id),
        ]
        decided = replace(decided, credential=credential)
    changes.append(StateChanged(state=state))
    return Decision(operation=operation, record=decided, changes=tuple(changes), tasks=tasks, cause=cause)


async def tasks_for(
    services: Services, record: CardRecord, operation: OperationKind, cause: Cause | None
) -> tuple[CertificateTask, ...]:
    """Return what certificate authorities have to do when a credential is taken out of use, or back into it."""
    template = await _template(services, record)
    now = services.clock.now()
    tasks = []
    for certificate in record.certificates:
        meant = _meant(services, template, certificate, operation, cause)
        if meant is None or meant.action is None or _is_so(record, certificate, meant.action):
            continue
        tasks.append(
            CertificateTask(
                request_id=certificate.request_id,
                record_id=record.record_id,
                connection=certificate.connection,
                action=meant.action,
                reason=meant.reason.value,
                asked_at=now,
                next_at=now + HEAD_START,
            )
        )
    return tuple(tasks)


def revocation(
    record_id: RecordId, certificate: CertificateRecord, reason: Reason, now: datetime
) -> CertificateTask:
    """Return the task to revoke one certificate."""
    return CertificateTask(
        request_id=certificate.request_id,
        record_id=record_id,
        connection=certificate.connection,
        action=CertificateAction.REVOKE,
        reason=reason.value,
        asked_at=now,
        next_at=now + HEAD_START,
    )


def _meant(
    services: Services,
    template: Template | None,
    certificate: CertificateRecord,
    operation: OperationKind,
    cause: Cause | None,
) -> Consequence | None:
    """Return what is to be done with one certificate; None for nothing."""
    if certificate.state in UNCONFIRMED:
        return None if operation is OperationKind.RESUME else LOST
    if certificate.state not in VALID:
        return None
    if cause is None:
        return RELEASED
    of_template, of_slot = _tables(template, certificate.slot)
    found = consequence(cause, of_template, of_slot, for_good=operation in FOR_GOOD)
    if found.action is CertificateAction.HOLD:
        authority = services.authorities.get(certificate.connection)
        if authority is None or not authority.abilities.hold:
            return None  # it stays as it is: said when the template is checked
    return found


def _tables(template: Template | None, slot: Slot) -> tuple[Consequences, Consequences]:
    if template is None:
        return {}, {}
    of_slot: Mapping[Cause, Consequence] = next(
        (spec.reasons for spec in template.certificates if spec.slot is slot), {}
    )
    return template.reasons, of_slot


def _is_so(record: CardRecord, certificate: CertificateRecord, action: CertificateAction) -> bool:
    """Whether a certificate is already as it should be, or about to be."""
    waiting = next((task for task in record.tasks if task.request_id == certificate.request_id), None)
    if waiting is not None:
        # what is on its way to be revoked stays so
        return waiting.action in {action, CertificateAction.REVOKE}
    return {
        CertificateAction.HOLD: certificate.state is CertificateState.HELD,
        CertificateAction.RELEASE: certificate.state is not CertificateState.HELD,
        CertificateAction.REVOKE: certificate.state is CertificateState.REVOKED,
    }[action]


def merged(
    before: Sequence[CertificateTask], asked: Sequence[CertificateTask]
) -> tuple[CertificateTask, ...]:
    """Return what authorities have to do for a card: what was asked `before`, and what is `asked` now in its place."""
    by_request: dict[RequestId, CertificateTask] = {task.request_id: task for task in (*before, *asked)}
    return tuple(by_request.values())


async def _template(services: Services, record: CardRecord) -> Template | None:
    """Return the template of the card's credential, or of the operation that was making one."""
    ref = record.credential.template if record.credential else None
    if ref is None and record.open_operation is not None:
        ref = record.open_operation.template
    stored = await services.store.templates.version(ref) if ref is not None else None
    return parse_template(stored.text) if stored is not None else None


# --- what is written of it ------------------------------------------------------------------------------


async def end_sessions(services: Services, caller: Caller, decided: Decision) -> None:
    """End what an operator began with this credential: it counts for nothing already, and does not come back with it."""
    credential = decided.record.credential
    if credential is None or credential.state is State.ACTIVE:
        return
    audit = AuditRecord(
        kind=AuditKind.SESSION,
        event="ended",
        actor=caller.actor,
        subject=str(credential.credential_id),
        facts={"why": SessionEnd.CREDENTIAL.value},
    )
    sessions = services.store.sessions
    await sessions.end_of_credential(credential.credential_id, services.clock.now(), audit)


def note_evidence(
    journal: Journal, decided: Decision, because: Facts = NOTHING_MORE
) -> dict[str, errors.Fact]:
    """Note the evidence of a decision; return what faces are told of it."""
    record = decided.record
    facts: dict[str, errors.Fact] = {"holder": record.credential.holder_name if record.credential else ""}
    if decided.cause is not None:
        facts["reason"] = decided.cause.value
    tombstone: dict[str, errors.Fact] = {}
    if decided.operation is OperationKind.DELETE:
        tombstone = {
            "holder": record.credential.holder if record.credential else "",
            "serial": record.serial or 0,
            "template": record.credential.template.name if record.credential else "",
        }
    journal.evidence(
        AuditKind.TRANSITION,
        EVENTS[decided.operation],
        record.record_id,
        **({"reason": decided.cause.value} if decided.cause else {}),
        **because,
        **tombstone,
    )
    return facts
