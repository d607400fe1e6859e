"""A card whose issue was cut does not come back for a long time, or never: its certificates are revoked.

When it comes back after all, it is finished all the same, and what is then valid is what is on it.
"""

from collections.abc import AsyncIterator
from datetime import timedelta

import pytest

from server.ports.ca import Reason
from server.ports.store import Opening
from shared import errors
from shared.credential.model import CertificateState, State, StationId
from shared.piv.ids import ProfileName
from shared.relay import OperationKind
from shared.virtual.faults import Fault, FaultKind
from tests.conftest import FixedClock
from tests.scenario.lab import BOB, Holder
from tests.scenario.replacing import PIN, active_card, judge, keys, record_of
from tests.scenario.working import ORPHANED_AFTER, Mood, Working

PROFILES = [ProfileName.YUBIKEY_5_7, ProfileName.UNKNOWN]
HOUR = timedelta(hours=1)


@pytest.fixture
async def working(clock: FixedClock) -> AsyncIterator[Working]:
    made = await Working.start(clock)
    yield made
    await made.close()


async def cut(working: Working, profile: ProfileName = PROFILES[0], *, answered: bool = True) -> None:
    """Issue a card and cut it between the authority and the card; what was issued was `answered`, or never seen."""
    lab, authority = working.lab, working.authority
    await lab.insert(profile)
    await lab.settle()
    await cut_again(working, answered=answered)
    state = CertificateState.ISSUED if answered else CertificateState.REQUESTED
    assert [each.state for each in (await record_of(lab)).certificates] == [state] * 4
    assert authority.forgets_to_answer is False


async def cut_again(working: Working, *, answered: bool = True) -> None:
    lab, authority = working.lab, working.authority
    authority.forgets_to_answer = not answered
    authority.once_issued = lambda: lab.readers.arm("card", Fault(kind=FaultKind.COMMAND_LOST, at=1))
    outcome = await lab.perform(OperationKind.ISSUE, subject=BOB.holder, template="employee")
    assert outcome.error is not None
    authority.forgets_to_answer, authority.once_issued = False, lambda: None


async def come_back(working: Working) -> None:
    """Insert the card again, finish its issue, and have its holder activate it."""
    lab = working.lab
    lab.readers.arm("card")
    await lab.readers.pull("Reader 1")
    await lab.readers.insert("Reader 1", "card")
    await lab.settle()
    view = (await lab.station.refresh("Reader 1")).record
    assert view is not None
    assert view.interrupted is OperationKind.ISSUE
    issued = await lab.perform(OperationKind.ISSUE)
    assert issued.error is None, issued
    activated = await lab.perform(OperationKind.ACTIVATE, Holder(new_pins=[PIN]))
    assert activated.error is None, activated


# --- when the card comes back ---------------------------------------------------------------------------


@pytest.mark.parametrize("answered", [True, False])
@pytest.mark.parametrize("profile", PROFILES)
async def test_a_card_that_comes_back_in_time_gets_what_was_issued(
    working: Working,
    profile: ProfileName,
    answered: bool,  # noqa: FBT001  # a case
) -> None:
    await cut(working, profile, answered=answered)
    await working.pass_time(ORPHANED_AFTER - HOUR, step=HOUR)
    assert (await record_of(working.lab)).tasks == ()
    await come_back(working)
    await judge(working.lab)
    assert len(working.ledger()) == 4
    await working.pass_time(2 * ORPHANED_AFTER, step=HOUR)
    await judge(working.lab)
    assert await working.evidence("certificates-orphaned") == []


@pytest.mark.parametrize("by_key", [False, True])
@pytest.mark.parametrize("answered", [True, False])
@pytest.mark.parametrize("profile", PROFILES)
async def test_a_card_that_comes_back_while_they_are_being_revoked_gets_others(
    working: Working,
    profile: ProfileName,
    answered: bool,  # noqa: FBT001  # a case
    by_key: bool,  # noqa: FBT001  # a case
) -> None:
    """Its keys are made again, so that an authority that looks by key for the old ones does not find the new ones."""
    await cut(working, profile, answered=answered)
    old = {each.serial for each in working.ledger()}
    before = keys(working.lab.readers.card("card").memory)
    working.authority.mood, working.authority.by_key = Mood.ASLEEP, by_key
    await working.pass_time(ORPHANED_AFTER + 2 * HOUR, step=HOUR)
    assert [task.reason for task in (await record_of(working.lab)).tasks] == [Reason.SUPERSEDED] * 4
    assert working.reasons() == [""] * 4
    await come_back(working)
    memory = working.lab.readers.card("card").memory
    assert all(key != before[slot] for slot, key in keys(memory).items())
    record = await record_of(working.lab)
    assert (record.state, len(record.tasks)) == (State.ACTIVE, 4)
    assert len(working.ledger()) == 8
    working.authority.mood = Mood.AWAKE
    await working.pass_time(2 * HOUR)
    assert {each.serial for each in working.ledger() if each.revoked_at} == old
    await judge(working.lab)


@pytest.mark.parametrize("answered", [True, False])
@pytest.mark.parametrize("profile", PROFILES)
async def test_a_card_that_comes_back_after_they_were_revoked_gets_others(
    working: Working,
    profile: ProfileName,
    answered: bool,  # noqa: FBT001  # a case
) -> None:
    await cut(working, profile, answered=answered)
    await working.pass_time(ORPHANED_AFTER + HOUR, step=HOUR)
    await working.pass_time(timedelta(minutes=5), step=timedelta(minutes=1))
    assert working.reasons() == [Reason.SUPERSEDED] * 4
    lost = await record_of(working.lab)
    assert {each.state for each in lost.certificates} == {CertificateState.REVOKED}
    assert (lost.tasks, lost.open_operation is not None) == ((), True)
    (evidence,) = await working.evidence("certificates-orphaned")
    assert (evidence.record.actor, evidence.record.facts["slots"]) == ("server", "9A 9C 9D 9E")
    await come_back(working)
    assert len(working.ledger()) == 8
    await judge(working.lab)


async def test_a_request_that_was_never_answered_by_anybody_is_closed(working: Working) -> None:
    """The line went dead before the authority had it: there is nothing to revoke."""
    await cut(working, answered=False)
    ledger = working.lab.store._book.state.ledger
    for entry in working.ledger():
        del ledger[entry.serial]
    await working.pass_time(ORPHANED_AFTER + 2 * HOUR, step=HOUR)
    lost = await record_of(working.lab)
    assert {each.state for each in lost.certificates} == {CertificateState.REFUSED}
    assert lost.tasks == ()
    await come_back(working)
    await judge(working.lab)


# --- what counts as not coming back ---------------------------------------------------------------------


async def test_the_time_counts_from_the_last_try(working: Working) -> None:
    await cut(working)
    await working.pass_time(ORPHANED_AFTER - HOUR, step=HOUR)
    await working.lab.readers.insert("Reader 1", "card")
    await working.lab.settle()
    working.lab.readers.arm("card", Fault(kind=FaultKind.COMMAND_LOST, at=60))
    again = await working.lab.perform(OperationKind.ISSUE)
    assert again.error is not None
    began = [entry.record.event for entry in await working.lab.store.audit.page(0, 1000)]
    assert began.count("continued") == 1
    await working.pass_time(ORPHANED_AFTER - HOUR, step=HOUR)
    assert working.reasons() == [""] * 4
    await working.pass_time(3 * HOUR, step=HOUR)
    assert working.reasons() == [Reason.SUPERSEDED] * 4


async def test_a_card_at_a_station_is_left_alone(working: Working) -> None:
    """Its lease says so; when the station has let it go, it was just tried."""
    await cut(working)
    working.clock.move(ORPHANED_AFTER + HOUR)
    record = await record_of(working.lab)
    assert record.open_operation is not None
    lease = await working.lab.store.cards.open(
        Opening(
            operation_id=record.open_operation.operation_id,
            kind="issue",
            record_id=record.record_id,
            station=StationId(record.record_id),
            seen=record,
        )
    )
    await working.runner.run_due()
    assert (await working.notes())["orphans"] == "0 to be revoked, 1 cards in use"
    assert (await record_of(working.lab)).tasks == ()
    await working.lab.store.cards.release(lease)
    await working.pass_time(2 * HOUR, step=HOUR)
    assert working.reasons() == [Reason.SUPERSEDED] * 4


async def test_an_operation_that_goes_on_at_the_same_moment_begins_again(working: Working) -> None:
    """It was planned on a record in which the certificates were still good."""
    await cut(working)
    planned = await record_of(working.lab)
    await working.pass_time(ORPHANED_AFTER + HOUR, step=HOUR)
    assert planned.open_operation is not None
    with pytest.raises(errors.StoreConflict):
        await working.lab.store.cards.open(
            Opening(
                operation_id=planned.open_operation.operation_id,
                kind="issue",
                record_id=planned.record_id,
                station=StationId(planned.record_id),
                seen=planned,
            )
        )


async def test_a_certificate_on_its_way_to_a_card_in_use_is_left_alone(working: Working) -> None:
    """A renewal was cut: it may be on the card, and its holder works with it. Whoever revokes the credential revokes it."""
    await active_card(working.lab)
    working.authority.once_issued = lambda: working.lab.readers.arm(
        "card", Fault(kind=FaultKind.COMMAND_LOST, at=1)
    )
    assert (await working.lab.perform(OperationKind.RENEW, Holder(current_pins=[PIN]))).error is not None
    working.authority.once_issued = lambda: None
    assert len(working.ledger()) == 8
    await working.pass_time(2 * ORPHANED_AFTER, step=HOUR)
    assert working.reasons() == [""] * 8
    await working.lab.station.decide((await working.record()).record_id, OperationKind.REVOKE, "stolen")
    assert "" not in working.reasons()
