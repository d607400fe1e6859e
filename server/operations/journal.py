"""The journal of one operation: store, then write, then confirm.

Changes gather and are committed together: what the card just did, and what is about to be done to it, in one
durable write. Every commit is conditional on the lease.
"""

from dataclasses import replace
from typing import Final

from server.authority.access import Caller
from server.ports.store import (
    AuditKind,
    AuditRecord,
    CardStore,
    Change,
    Lease,
    Opening,
    OperationClosed,
)
from shared.credential.model import CardRecord, OpenOperation, RecordId
from shared.errors import Fact

ALL_THE_SAME: Final = frozenset({AuditKind.KEY_USED, AuditKind.REFUSED})
"""What is evidence whatever becomes of the operation in whose course it happened."""


class Journal:
    """Write one card's record under a lease."""

    def __init__(self, cards: CardStore, caller: Caller) -> None:
        """Write to `cards`, in the name of `caller`."""
        self._cards = cards
        self._caller = caller
        self._waiting: list[Change] = []
        self._proven = False
        self.lease: Lease | None = None

    @property
    def waits(self) -> bool:
        """Whether anything is noted for the next commit."""
        return bool(self._waiting)

    def note(self, *changes: Change) -> None:
        """Keep changes for the next commit."""
        self._waiting += changes

    def evidence(self, kind: AuditKind, event: str, subject: RecordId, **facts: Fact) -> None:
        """Keep an audit record for the next commit."""
        self.note(
            AuditRecord(kind=kind, event=event, actor=self._caller.actor, subject=str(subject), facts=facts)
        )

    async def open(self, opening: Opening, *, firm: bool = False) -> Lease:
        """Take the lease, and commit what was noted so far with it; a `firm` one also where another station only claims it.

        Raises:
            CardLeased: another station works on the card.
            StoreConflict: something was done to the card since its record was read.
        """
        whole = replace(opening, changes=(*opening.changes, *self._waiting), firm=opening.firm or firm)
        self.lease = await self._cards.open(whole)
        self._waiting.clear()
        return self.lease

    async def abandon(self, record: CardRecord, cut: OpenOperation, *, firm: bool = False) -> CardRecord:
        """Close an operation that was cut and left nothing to continue, so that another one may begin.

        Returns:
            The record without it.

        Raises:
            CardLeased: another station works on the card.
            StoreConflict: something was done to the card since its record was read.
        """
        await self._cards.open(
            Opening(
                operation_id=cut.operation_id,
                kind=cut.kind,
                record_id=record.record_id,
                station=self._caller.station_id,
                seen=record,
                firm=firm,
                changes=(OperationClosed(code="superseded", abandon=True),),
            )
        )
        return replace(record, open_operation=None)

    def proved(self) -> None:
        """Note that the card has proven its management key: from the next write on the lease gives way to nobody."""
        self._proven = True

    async def commit(self, *changes: Change) -> None:
        """Write everything noted, and `changes`, in one durable commit; what cannot be written stays noted.

        Raises:
            LeaseLost: another station took the card over; nothing was written.
        """
        assert self.lease is not None
        self.note(*changes)
        await self._cards.apply(self.lease, self._waiting, proven=self._proven)
        self._waiting.clear()

    async def keep_alive(self) -> None:
        """Extend the lease while the card is busy."""
        if self.lease is not None:
            await self._cards.extend(self.lease, proven=self._proven)

    async def give_up(self, closed: OperationClosed) -> bool:
        """Close after a failure: write what is known, and let another station go on at once.

        An operation that had ended well, and whose last commit failed, ends well all the same: the card is done.

        Returns:
            Whether the operation stays open, to be continued.
        """
        assert self.lease is not None
        ended = any(isinstance(change, OperationClosed) for change in self._waiting)
        await self.commit(*(() if ended else (closed,)))
        await self._cards.release(self.lease)
        return not (ended or closed.abandon)

    def unwritten_evidence(self) -> tuple[AuditRecord, ...]:
        """Return the evidence of an operation that never had a lease: what happened all the same, and nothing that did not.

        A key was used, an alarm was raised; but no card changed its state.
        """
        noted = (change for change in self._waiting if isinstance(change, AuditRecord))
        return tuple(each for each in noted if each.kind in ALL_THE_SAME)

    async def record(self, record_id: RecordId) -> CardRecord | None:
        """Read the card's record."""
        return await self._cards.card(record_id)
