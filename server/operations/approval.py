"""Before anything is written that makes a card usable: was it approved, where it has to be.

What is about to be done is put into the form of an intent, and an approved one has to cover all of it: way, holder, card,
template and its digest, state, roles and effects. One that does is spent in the commit that opens the operation. What was cut
goes on with the approval that it spent, which is judged again, but for its expiry.

A row of the record that says more than the evidence does is not believed: what the evidence calls spent is not open.

Source: card-rules section 7 (approvals).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from server.authority.access import Caller
from server.authority.approved import ApprovalPolicy, Approver, approvers, intent_in, person_of
from server.authority.operator_cards import carried
from server.operations.services import Services
from server.ports.approvals import ApprovalRecord
from server.ports.store import AuditKind, AuditRecord
from shared import errors
from shared.approval import NONCE_LENGTH, Intent, differences
from shared.credential.approval import WITH_ROLES, ApprovalRule, Way, rule_for
from shared.credential.effects import PERMITTED, Effect, desired_state
from shared.credential.model import (
    CardRecord,
    CredentialId,
    HolderId,
    OperationId,
    State,
    TemplateRef,
)
from shared.credential.succession import stands_in
from shared.credential.template import Template
from shared.credential.template_reading import parse_template

CODE_COUNTS: Final = timedelta(hours=24)
"""How long an approval to make an unblock code covers using it: as long as a code lives."""

SPENT: Final = "approval-spent"
_OVER: Final = frozenset({SPENT, "approval-declined", "approval-withdrawn", "approval-expired"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Doing:
    """What is about to be done. `effects` None: whatever its way may do; `code`: an unblock code came with it."""

    way: Way
    ref: TemplateRef
    template: Template
    holder: HolderId
    holder_name: str = ""
    record: CardRecord | None = None
    roles: tuple[str, ...] = ()
    replaces: CredentialId | None = None
    primary: CredentialId | None = None
    effects: frozenset[Effect] | None = None
    code: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Cleared:
    """It may be done. `spends` is the approval that is spent by it; None: it takes none, or spent one when it began."""

    spends: UUID | None = None


FREE: Final = Cleared()


async def doing_with(
    services: Services, way: Way, record: CardRecord, ref: TemplateRef | None = None
) -> Doing:
    """Return what a way does to a credential that there is; `ref` is the template that it has then, where it is another.

    Raises:
        UnknownCard: the card has no credential.
        UnknownTemplate: its template is not there.
    """
    credential = record.credential
    if credential is None:
        raise errors.UnknownCard
    ref = ref or credential.template
    stored = await services.store.templates.version(ref)
    if stored is None:
        raise errors.UnknownTemplate(template=ref.name)
    roles: tuple[str, ...] = ()
    if credential.roles:
        roles = tuple(sorted(role.name for role in await carried(services.store, credential)))
    return Doing(
        way=way,
        ref=ref,
        template=parse_template(stored.text),
        holder=credential.holder,
        holder_name=credential.holder_name,
        record=record,
        roles=roles or credential.roles,
        replaces=credential.replaces,
        primary=credential.primary,
    )


async def rule_of(services: Services, doing: Doing) -> ApprovalRule | None:
    """Return what this takes: by its own version of the template, and by the newest one. None: no approval."""
    rules = doing.template.approvals
    latest = await services.store.templates.latest(doing.ref.name)
    if latest is not None and latest.ref != doing.ref:
        rules = (*parse_template(latest.text).approvals, *rules)
    return rule_for(rules, doing.way, roles=bool(doing.roles))


async def intent_of(services: Services, doing: Doing, rule: ApprovalRule) -> Intent:
    """Return the intent that covers exactly what is about to be done. Who asks, when and the nonce are left open."""
    record = doing.record
    credential = record.credential if record is not None and doing.way is not Way.ISSUE else None
    effects = PERMITTED[doing.way] if doing.effects is None else doing.effects
    if await _ends_others(services, doing):
        effects |= {Effect.END_OTHERS}
    now = services.clock.now().replace(microsecond=0)
    return Intent(
        way=doing.way,
        request_id=UUID(int=0),
        requester="nobody",
        requester_name="",
        station=UUID(int=0),
        directory=doing.template.directory,
        holder=doing.holder,
        holder_name=doing.holder_name,
        template=doing.ref.name,
        template_digest=doing.ref.digest,
        state=desired_state(doing.way, record.state if record is not None else State.UNREGISTERED),
        effects=effects,
        by=rule.by,
        count=rule.count,
        created_at=now,
        expires_at=now + rule.valid_for,
        nonce=bytes(NONCE_LENGTH),
        card=record.record_id if record is not None else None,
        credential=credential.credential_id if credential is not None else None,
        replaces=doing.replaces,
        primary=doing.primary,
        roles=doing.roles,
    )


async def _ends_others(services: Services, doing: Doing) -> bool:
    """Whether another credential of the holder ends with it, or is suspended."""
    if doing.way in {Way.ISSUE, Way.ACTIVATE} and (doing.replaces or doing.primary):
        return True
    credential = doing.record.credential if doing.record is not None else None
    if doing.way is not Way.RESUME or credential is None:
        return False
    cards = await services.store.credentials.of_holder(credential.holder)
    return bool(stands_in(cards, credential.credential_id))


# --- judging --------------------------------------------------------------------------------------------


async def cleared(services: Services, caller: Caller, doing: Doing) -> Cleared:
    """Return that this may be done, and what is spent by it.

    Raises:
        ApprovalNeeded: it takes approvals, and nothing that was approved covers it.
    """
    rule = await rule_of(services, doing) if services.approvals is not None else None
    if rule is None or (caller.principal is not None and caller.principal.first_start):
        return FREE
    if doing.way in WITH_ROLES and doing.roles and not await services.store.operators.exist():
        plain = replace(doing, roles=())
        if await rule_of(services, plain) is None:
            return FREE  # whoever makes the first operator is alone
    wanted = await intent_of(services, doing, rule)
    spent = await _spent(services, caller, doing, wanted)
    return spent or Cleared(spends=await _open(services, caller, wanted))


async def _spent(services: Services, caller: Caller, doing: Doing, wanted: Intent) -> Cleared | None:
    """Return that an approval was spent on this already: by the operation that was cut, or by the unblock code."""
    approvals, record = services.store.approvals, doing.record
    if record is None:
        return None
    cut = record.open_operation
    if cut is not None and cut.kind == doing.way.value:
        kept = await approvals.spent_by(cut.operation_id)
        if kept is None:
            return None  # it took none when it was begun
        if await _counts(services, caller, kept, wanted, by=cut.operation_id):
            return FREE
        raise needed(wanted, "what this was begun with does not cover how it would go on")
    if doing.code and doing.way is Way.UNBLOCK:
        made = replace(wanted, way=Way.UNBLOCK_CODE, effects=PERMITTED[Way.UNBLOCK_CODE])
        since = services.clock.now() - CODE_COUNTS
        for kept in await approvals.spent_on(record.record_id):
            recent = kept.spent_at is not None and kept.spent_at > since
            if recent and await _counts(services, caller, kept, made, by=kept.spent_by):
                return FREE
    return None


async def _counts(
    services: Services, caller: Caller, kept: ApprovalRecord, wanted: Intent, *, by: OperationId | None
) -> bool:
    """Whether this spent approval covers what is wanted, and the evidence says that it was spent by this operation."""
    intent = intent_in(kept)
    if intent is None or differences(intent, wanted):
        return False
    entries = await services.store.audit.about(str(kept.request_id))
    said = [each.record.facts for each in entries if each.record.event == SPENT]
    if [facts.get("by") for facts in said] != [str(by)]:
        return False
    found = await approvers(services.store, kept, intent, services.clock.now(), standing=False)
    return len(_counted(services, caller, intent, found)) >= intent.count


async def _open(services: Services, caller: Caller, wanted: Intent) -> UUID:
    """Return an approval that covers what is wanted and was not spent yet.

    Raises:
        ApprovalNeeded: there is none; `why` says what comes nearest.
    """
    now = services.clock.now()
    await services.store.approvals.expire(now)
    why = "nobody was asked yet"
    for kept in await services.store.approvals.waiting(now):
        intent = intent_in(kept)
        if intent is None or (intent.way, intent.holder) != (wanted.way, wanted.holder):
            continue
        missing = differences(intent, wanted)
        if missing:
            why = f"what was asked for is another {', '.join(missing).replace('_', ' ')}"
            continue
        if intent.expires_at <= now or await _is_over(services, kept.request_id):
            continue
        found = await approvers(services.store, kept, intent, now)
        if len(counted := _counted(services, caller, intent, found)) >= intent.count:
            return kept.request_id
        why = _waits(intent, found, counted)
    raise needed(wanted, why)


def _waits(intent: Intent, found: Sequence[Approver], counted: Sequence[Approver]) -> str:
    if len(found) >= intent.count > len(counted):
        return "who approved it may not carry it out, or not at this station"
    return f"it was asked for; {len(found)} of {intent.count} have approved it"


def _counted(
    services: Services, caller: Caller, intent: Intent, found: Sequence[Approver]
) -> Sequence[Approver]:
    """Return the approvers that count for this caller at this station, by the server's policy."""
    policy = services.approvals or ApprovalPolicy()
    operator = caller.session.operator if caller.session is not None else None
    present = person_of(operator) if operator is not None else caller.actor
    counted = [each for each in found if policy.approver_executes or each.person != present]
    if policy.same_station:
        return counted
    return [
        each
        for each in counted
        if each.station not in {caller.station_id, intent.station} and each.fingerprint != caller.fingerprint
    ]


async def _is_over(services: Services, request_id: UUID) -> bool:
    """Whether the evidence says that a request was spent, declined, withdrawn or has expired."""
    entries = await services.store.audit.about(str(request_id))
    return any(each.record.event in _OVER for each in entries)


def needed(wanted: Intent, why: str) -> errors.ApprovalNeeded:
    """Return the refusal; its facts are all that asking takes, but for the holder's id."""
    return errors.ApprovalNeeded(
        operation=wanted.way.value,
        why=why,
        template=wanted.template,
        card=str(wanted.card or ""),
        count=wanted.count,
        by=wanted.by.value,
    )


def spent_evidence(request_id: UUID, caller: Caller, by: OperationId | None, at: datetime) -> AuditRecord:
    """Return the evidence that an approval was spent."""
    return AuditRecord(
        kind=AuditKind.OPERATION,
        event=SPENT,
        actor=caller.actor,
        subject=str(request_id),
        facts={"by": str(by), "station": str(caller.station_id), "at": at.isoformat()},
    )
