"""Decisions about credentials whose cards are not here: written down now, and carried to the card when it next appears."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from uuid import uuid4

from server.authority.access import ITSELF, Caller
from server.operations.approval import Cleared, cleared, doing_with, spent_evidence
from server.operations.decide import (
    NOTHING_MORE,
    Decision,
    Facts,
    decided_about,
    decision,
    end_sessions,
    note_evidence,
)
from server.operations.journal import Journal
from server.operations.services import Services
from server.operations.tasks import attempt
from server.operations.write_back import tell
from server.ports.store import (
    ApprovalSpent,
    Opening,
    OperationClosed,
)
from shared import errors
from shared.credential.approval import WAY_OF
from shared.credential.lifecycle import WITHOUT_CARD, OperationKind
from shared.credential.model import (
    CardRecord,
    OperationId,
    PinState,
    RecordId,
    State,
)
from shared.credential.reasons import (
    Cause,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Decided:
    """How a decision without the card ended. `waiting` counts what certificate authorities have yet to do."""

    state: State
    facts: dict[str, errors.Fact]
    waiting: int


class Decisions:
    """Decide about credentials whose cards are not here."""

    def __init__(self, services: Services) -> None:
        """Work with `services`."""
        self._services = services

    async def decide(
        self,
        caller: Caller,
        record_id: RecordId,
        operation: OperationKind,
        reason: str,
        *,
        before: Callable[[CardRecord], Awaitable[None]],
    ) -> Decided:
        """Take a decision, and have the certificate authorities carry it out as far as they answer.

        An operation that was cut gives way: what it left is revoked, and the card is healed when it is seen again.
        `before` is done to the record when the decision may be taken, and before it is.

        Raises:
            UnknownCard: there is no such card.
            TransitionForbidden: not in this state.
            OperationInterrupted: its retirement was cut, which ends it for good.
            Invalid: an operation that needs the card, or no reason, or an unknown one.
            CardNeeded: the suspension has reached the card, whose holder has to choose a PIN.
            CardLeased: a station is working on the card.
            ApprovalNeeded: a second person has to approve it first.
        """
        if operation not in WITHOUT_CARD:
            raise errors.CardNeeded(operation=operation.value)
        cards = self._services.store.cards
        record = await cards.card(record_id)
        if record is None:
            raise errors.UnknownCard
        decided = await decision(self._services, record, operation, reason)
        if operation is OperationKind.RESUME and record.pin is not PinState.HOLDER:
            raise errors.CardNeeded(operation=operation.value)
        way = WAY_OF[operation]
        clear = None
        if way is not None:
            clear = await cleared(self._services, caller, await doing_with(self._services, way, record))
        await before(record)
        return await self._carry_out(caller, record, decided, clear=clear)

    async def follow(
        self, caller: Caller, record: CardRecord, operation: OperationKind, cause: Cause, because: Facts
    ) -> Decided:
        """Take a decision that another credential makes necessary; `because` goes into its evidence.

        Raises:
            CardLeased: a station is working on the card.
            StoreConflict: something was done to it since its record was read.
        """
        decided = await decided_about(self._services, record, operation, cause)
        return await self._carry_out(caller, record, decided, because)

    async def _carry_out(
        self,
        caller: Caller,
        record: CardRecord,
        decided: Decision,
        because: Facts = NOTHING_MORE,
        clear: Cleared | None = None,
    ) -> Decided:
        facts = await self._take(caller, record, decided, because, clear)
        waiting = await attempt(self._services, decided.record.tasks)
        await tell(self._services, record.record_id)
        return Decided(state=decided.record.state, facts={**facts, "waiting": waiting}, waiting=waiting)

    async def end(self, record: CardRecord) -> None:
        """Revoke a credential whose time is over; what authorities have to do is left for later.

        Raises:
            CardLeased: a station is working on the card.
            StoreConflict: something was done to it since its record was read.
        """
        decided = await decided_about(self._services, record, OperationKind.REVOKE, Cause.ENDED)
        await self._take(ITSELF, record, decided)

    async def _take(
        self,
        caller: Caller,
        record: CardRecord,
        decided: Decision,
        because: Facts = NOTHING_MORE,
        clear: Cleared | None = None,
    ) -> dict[str, errors.Fact]:
        """Write a decision down, in one commit, which spends what it was approved by; return what faces are told of it."""
        journal, operation_id = Journal(self._services.store.cards, caller), OperationId(uuid4())
        if (way := WAY_OF[decided.operation]) is not None and clear is None:
            raise errors.ApprovalNeeded(operation=way.value, why="nobody asked whether it takes one")
        if clear is not None and clear.spends is not None:
            evidence = spent_evidence(clear.spends, caller, operation_id, self._services.clock.now())
            journal.note(ApprovalSpent(request_id=clear.spends), evidence)
        journal.note(*decided.changes)
        facts = note_evidence(journal, decided, because)
        journal.note(OperationClosed(code="done"))
        cut = record.open_operation
        await journal.open(
            Opening(
                operation_id=operation_id,
                kind=decided.operation.value,
                record_id=record.record_id,
                station=caller.station_id,
                holder=record.credential.holder if record.credential else "",
                template=record.credential.template if record.credential else None,
                seen=record,
                firm=True,
                supersedes=cut.operation_id if cut else None,
                reason=decided.cause.value if decided.cause else "",
            )
        )
        await end_sessions(self._services, caller, decided)
        return facts
