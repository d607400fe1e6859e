"""The engine: one operation from the station's `Begin` to `Done` or `Failed`."""

import asyncio
import logging
import secrets
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from server.authority.access import Caller
from server.authority.acting import require_proof
from server.authority.holder_rights import own_request
from server.authority.policy import Needs, authorise_call
from server.authority.throttle import Limit, Throttle
from server.operations.change_pin import change_pin
from server.operations.issue import issue
from server.operations.link import StationLink
from server.operations.operation import Again, Ended, Operation
from server.operations.register import register
from server.operations.renew import reissue, renew
from server.operations.services import Services
from server.operations.set_pin import activate, resume, unblock
from server.operations.talk import Talk
from server.operations.unregister import unregister
from server.operations.update import update
from server.operations.withdraw import delete, retire, revoke, suspend
from server.operations.write_back import tell
from server.ports.store import AuditKind, AuditRecord, OperationClosed
from shared import errors
from shared.credential.lifecycle import CONTINUED, OperationKind
from shared.credential.model import State, StationId
from shared.relay import Begin, Done, Failed

log = logging.getLogger(__name__)

OPERATIONS: Final[Mapping[OperationKind, Callable[[Operation], Awaitable[Ended]]]] = {
    OperationKind.REGISTER: register,
    OperationKind.ISSUE: issue,
    OperationKind.ACTIVATE: activate,
    OperationKind.CHANGE_PIN: change_pin,
    OperationKind.UNBLOCK: unblock,
    OperationKind.REVOKE: revoke,
    OperationKind.RETIRE: retire,
    OperationKind.UPDATE: update,
    OperationKind.RENEW: renew,
    OperationKind.REISSUE: reissue,
    OperationKind.SUSPEND: suspend,
    OperationKind.RESUME: resume,
    OperationKind.DELETE: delete,
    OperationKind.UNREGISTER: unregister,
}


RUN: Final = "/kiosk.v1.Operations/Run"
UNKNOWN: Final = "unknown"

AT_ONCE: Final = 64
"""Operations of one station at the same time, far more than it has readers."""

FIRST_WORD_S: Final = 30.0
"""How long a stream may be open before its operation begins."""

REFUSALS: Final = Limit(burst=100, seconds=1)
REFUSALS_OVERALL: Final = Limit(burst=1000, seconds=0.1)
"""Refusals that become evidence; the log has them all."""


class OperationEngine:
    """Run operations for stations."""

    def __init__(self, services: Services, again: Again | None = None) -> None:
        """Work with `services`; `again` judges who asked, at every border between two steps."""
        self._services = services
        self._again = again
        self._running: Counter[StationId] = Counter()
        self._evidence = Throttle(per_peer=REFUSALS, overall=REFUSALS_OVERALL, clock=services.clock)

    async def run(self, caller: Caller, station: StationLink) -> None:
        """Run one operation. What was begun is recorded, whatever happens to the line."""
        self._running[caller.station_id] += 1
        try:
            await self._run(caller, station)
        finally:
            self._running[caller.station_id] -= 1
            if not self._running[caller.station_id]:
                del self._running[caller.station_id]

    async def _run(self, caller: Caller, station: StationLink) -> None:
        try:
            async with asyncio.timeout(FIRST_WORD_S):
                begin = await station.receive()
        except TimeoutError as cause:
            raise errors.ConnectionLost from cause
        if not isinstance(begin, Begin):
            raise errors.Garbled(why="an operation begins with Begin")
        talk = Talk(station)
        op = Operation(self._services, caller, begin, talk, self._again)
        try:
            await self._admit(op)
            ended = await OPERATIONS[begin.operation](op)
        except errors.KioskError as error:
            await self._failed(op, station, error)
        except Exception as fault:  # the engine: a fault must not leave an operation unrecorded
            incident = secrets.token_hex(4)
            log.exception("operation fault %s: %s", incident, type(fault).__name__)
            await self._failed(op, station, errors.ServerFault(incident=incident))
        else:
            if op.journal.lease is not None:
                await tell(self._services, op.journal.lease.record_id)
            state = await self._state(op)
            facts = {**ended.facts, "round_trips": talk.round_trips, "commands": talk.commands}
            await station.send(Done(state=state, facts=facts))

    async def _admit(self, op: Operation) -> None:
        """Refuse what needs no look at the card to be refused.

        Raises:
            TooManyAttempts: the station runs too many operations at the same time.
            VirtualCardRefused: a virtual card, and this server or station is not for that.
            LogonNeeded, NotAllowed: nobody is logged on who may do this, whatever card it is.
            NotYours: a holder asks for somebody else.
            StepUpNeeded: the operator's PIN has to be asked for again first.
        """
        needs = authorise_call(op.caller.principal, RUN, op.begin.operation)
        assert isinstance(needs, Needs)  # of a call whose operation is named
        if op.caller.principal is not None and op.caller.principal.holding is not None:
            op.begin = own_request(op.caller.principal.holding, op.begin)
        if op.begin.operation is OperationKind.ISSUE and op.begin.template:
            await op.permit()
        require_proof(op.caller, needs)
        if self._running[op.caller.station_id] > AT_ONCE:
            raise errors.TooManyAttempts(seconds=1)
        if op.begin.virtual and not (self._services.allow_virtual and op.caller.lab):
            raise errors.VirtualCardRefused

    async def _failed(self, op: Operation, station: StationLink, error: errors.KioskError) -> None:
        """Record the end, let the card go, and tell the station; a line that is cut hears nothing."""
        changed = await self._close(op, error)
        state = await self._state(op)
        failed = Failed(
            error=error,
            state=state,
            next_action=_next_action(error, cut=changed or op.decided),
            facts={"operation": op.begin.operation.value},
        )
        try:
            await station.send(failed)
        except errors.ConnectionLost:
            log.info("the station of an operation that failed is gone: %s", error.code)

    async def _close(self, op: Operation, error: errors.KioskError) -> bool:
        """Write what is known; return whether the operation stays open, to be continued."""
        journal = op.journal
        if journal.lease is None:
            try:
                self._evidence.attempt(str(op.caller.station_id))
            except errors.TooManyAttempts:  # whoever is refused for ever must not fill the record
                log.warning("refused station %s: %s", op.caller.station_id, error.code)
                return False
            await self._services.store.audit.append(
                [
                    *journal.unwritten_evidence(),
                    AuditRecord(
                        kind=AuditKind.REFUSED,
                        event=error.code,
                        actor=op.caller.actor,
                        subject=str(op.record.record_id) if op.record else "",
                        facts={
                            "operation": op.begin.operation.value,
                            "station": str(op.caller.station_id),
                        },
                    ),
                ]
            )
            return False
        abandon = op.untouched or op.begin.operation not in CONTINUED
        try:
            return await journal.give_up(OperationClosed(code=error.code, abandon=abandon))
        except errors.LeaseLost:
            log.info("another station took the card over; nothing more to record")
        return not abandon

    async def _state(self, op: Operation) -> str:
        """Return what the record says now; `unknown` where it was never seen which card it is."""
        lease = op.journal.lease
        record_id = lease.record_id if lease else (op.record.record_id if op.record else None)
        record = await self._services.store.cards.card(record_id) if record_id else None
        if record is None:
            return State.UNREGISTERED if op.seen else UNKNOWN
        return record.state


_ACTIONS: Final[Mapping[type[errors.KioskError], str]] = {
    errors.PinBlocked: "unblock",
    errors.NotPivCard: "use-another-card",
    errors.NotSupportedByCard: "use-another-card",
    errors.ManagementKeyRejected: "use-another-card",
    errors.CardNotGenuine: "use-another-card",
    errors.SecretUnresolved: "call-administrator",
    errors.TemplateImpossible: "ask-administrator-template",
    errors.VariableMissing: "ask-administrator-template",
    errors.UnknownHolder: "choose-again",
    errors.HolderDisabled: "choose-again",
    errors.UnknownTemplate: "choose-again",
    errors.OperationInterrupted: "continue-first",
    errors.ApprovalNeeded: "ask-for-approval",
    errors.PinNotAccepted: "try-again",
    errors.Invalid: "call-administrator",
    errors.ConnectorUnreachable: "try-again",
    errors.ConnectorRefused: "call-administrator",
    errors.CertificateRejected: "call-administrator",
    errors.CertificatePending: "insert-later",
    errors.KeyUnconfirmed: "reissue",
}


def _next_action(error: errors.KioskError, *, cut: bool) -> str:
    """Return the key of what the person should do next."""
    for kind, action in _ACTIONS.items():
        if isinstance(error, kind):
            return action
    if cut:
        return "insert-again"
    return "try-again" if error.retryable else "none"
