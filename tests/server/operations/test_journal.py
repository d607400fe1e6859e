"""The journal: what gathers is written in one commit or kept; what was done is done."""

from uuid import uuid4

import pytest

from server.authority.access import Caller
from server.operations.journal import Journal
from server.ports.store import (
    AuditKind,
    AuditRecord,
    Change,
    Opening,
    OperationClosed,
    PinChanged,
    StateChanged,
)
from server.store.memory import MemoryStore
from shared import errors
from shared.clock import SystemClock
from shared.credential.model import (
    FACTORY,
    CardRecord,
    OperationId,
    PinState,
    RecordId,
    SecretRecord,
    State,
    StationId,
)
from shared.piv.ids import ManagementAlgorithm


def caller() -> Caller:
    return Caller(station_id=StationId(uuid4()), name="desk", lab=True, fingerprint=bytes(32))


class Desk:
    """A journal over a store in memory, whose writes may be made to fail."""

    def __init__(self) -> None:
        self.store = MemoryStore(SystemClock())
        self.caller = caller()
        self.journal = Journal(self.store.cards, self.caller)
        self.record_id = RecordId(uuid4())

    def opening(self, *, new: bool = True, kind: str = "issue", changes: tuple[Change, ...] = ()) -> Opening:
        card = CardRecord(
            record_id=self.record_id,
            state=State.REGISTERED,
            profile="yubikey-5.7",
            serial=1,
            virtual=True,
            management_algorithm=ManagementAlgorithm.AES256,
            management_key=SecretRecord(proven=FACTORY),
            puk=SecretRecord(proven=FACTORY),
            pin=PinState.FACTORY,
        )
        return Opening(
            operation_id=OperationId(uuid4()),
            kind=kind,
            record_id=self.record_id,
            station=self.caller.station_id,
            new_card=card if new else None,
            changes=changes,
        )

    async def record(self) -> CardRecord:
        found = await self.store.cards.card(self.record_id)
        assert found is not None
        return found

    def break_down(self) -> None:
        def refuse(*_: object) -> None:
            raise errors.StoreUnavailable(why="test")

        self.store._book.writing = refuse  # type: ignore[method-assign, assignment]  # the one way to write

    def mend(self) -> None:
        del self.store._book.writing

    def evidence(self) -> list[str]:
        return [entry.record.event for entry in self.store._book.state.audit]


@pytest.fixture
def desk() -> Desk:
    return Desk()


async def test_what_was_noted_before_goes_with_the_lease(desk: Desk) -> None:
    desk.journal.note(PinChanged(pin=PinState.TRANSPORT))
    desk.journal.evidence(AuditKind.OPERATION, "began", desk.record_id, reader="r")
    before = desk.store.commits
    lease = await desk.journal.open(desk.opening())
    assert desk.journal.lease == lease
    assert desk.store.commits == before + 1
    assert (await desk.record()).pin is PinState.TRANSPORT
    (entry,) = desk.store._book.state.audit
    assert entry.record == AuditRecord(
        kind=AuditKind.OPERATION,
        event="began",
        actor=str(desk.caller.station_id),
        subject=str(desk.record_id),
        facts={"reader": "r"},
    )
    await desk.journal.commit()
    assert desk.evidence() == ["began"], "nothing is written twice"


async def test_changes_are_written_in_order_and_once(desk: Desk) -> None:
    await desk.journal.open(desk.opening())
    desk.journal.note(PinChanged(pin=PinState.UNKNOWN))
    before = desk.store.commits
    await desk.journal.commit(PinChanged(pin=PinState.HOLDER), StateChanged(state=State.ACTIVE))
    assert desk.store.commits == before + 1
    found = await desk.record()
    assert (found.pin, found.state) == (PinState.HOLDER, State.ACTIVE)


async def test_what_cannot_be_written_stays_noted(desk: Desk) -> None:
    await desk.journal.open(desk.opening())
    desk.break_down()
    with pytest.raises(errors.StoreUnavailable):
        await desk.journal.commit(PinChanged(pin=PinState.HOLDER))
    desk.mend()
    assert await desk.journal.give_up(OperationClosed(code="store-unavailable"))
    found = await desk.record()
    assert found.pin is PinState.HOLDER
    assert found.open_operation is not None


async def test_an_end_that_could_not_be_written_is_an_end(desk: Desk) -> None:
    await desk.journal.open(desk.opening())
    desk.break_down()
    with pytest.raises(errors.StoreUnavailable):
        await desk.journal.commit(StateChanged(state=State.ISSUED), OperationClosed(code="done"))
    desk.mend()
    assert not await desk.journal.give_up(OperationClosed(code="store-unavailable"))
    found = await desk.record()
    assert found.state is State.ISSUED
    assert found.open_operation is None


@pytest.mark.parametrize("abandon", [False, True])
async def test_after_giving_up_another_station_may_begin_at_once(desk: Desk, *, abandon: bool) -> None:
    await desk.journal.open(desk.opening())
    open_still = await desk.journal.give_up(OperationClosed(code="card-lost", abandon=abandon))
    assert open_still is not abandon
    cut = (await desk.record()).open_operation
    assert (cut is not None) is open_still
    other = Journal(desk.store.cards, caller())
    again = desk.opening(new=False)
    if cut is not None:
        again = Opening(
            operation_id=cut.operation_id, kind="issue", record_id=desk.record_id, station=caller().station_id
        )
    await other.open(again)
    with pytest.raises(errors.LeaseLost):
        await desk.journal.commit(PinChanged(pin=PinState.HOLDER))


async def test_without_a_lease_evidence_is_kept_for_the_refusal(desk: Desk) -> None:
    desk.journal.note(PinChanged(pin=PinState.HOLDER))
    desk.journal.evidence(AuditKind.KEY_USED, "signed", desk.record_id)
    assert [each.event for each in desk.journal.unwritten_evidence()] == ["signed"]
    await desk.journal.keep_alive()
    assert desk.store.commits == 0


async def test_a_card_that_is_leased_writes_nothing(desk: Desk) -> None:
    await desk.journal.open(desk.opening())
    other = Journal(desk.store.cards, caller())
    other.note(PinChanged(pin=PinState.HOLDER))
    wanted = Opening(
        operation_id=OperationId(uuid4()),
        kind="issue",
        record_id=desk.record_id,
        station=caller().station_id,
    )
    with pytest.raises(errors.CardLeased):
        await other.open(wanted)
    assert other.lease is None
    assert (await desk.record()).pin is PinState.FACTORY


async def test_what_was_abandoned_lets_another_operation_begin(desk: Desk) -> None:
    await desk.journal.open(desk.opening(kind="change-pin"))
    record = await desk.record()
    cut = record.open_operation
    assert cut is not None
    again = Journal(desk.store.cards, desk.caller)
    with pytest.raises(errors.StoreConflict):
        await again.open(desk.opening(new=False, kind="unblock"))
    assert (await again.abandon(record, cut)).open_operation is None
    await again.open(desk.opening(new=False, kind="unblock"))
    found = (await desk.record()).open_operation
    assert found is not None
    assert found.kind == "unblock"
