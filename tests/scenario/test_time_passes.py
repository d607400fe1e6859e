"""Temporary credentials end when their time is over; certificates that end soon are noticed."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

import pytest

from server.jobs.renewal import due_now
from server.ports.ca import Reason
from server.ports.store import CredentialChanged, Opening, OperationClosed
from shared import errors
from shared.credential.expiry import RENEWAL_DUE
from shared.credential.model import CertificateState, OperationId, PinState, State
from shared.credential.reasons import OFFERED, USUAL, Cause
from shared.relay import OperationKind
from tests.conftest import FixedClock
from tests.scenario.lab import Holder
from tests.scenario.replacing import PIN, active_card, judge
from tests.scenario.templates import EMPLOYEE
from tests.scenario.working import Mood, Working

HOUR, DAY = timedelta(hours=1), timedelta(days=1)


@pytest.fixture
async def working(clock: FixedClock) -> AsyncIterator[Working]:
    made = await Working.start(clock)
    yield made
    await made.close()


async def lent_for(working: Working, time: timedelta) -> None:
    """Put a credential in use that ends after `time`."""
    await active_card(working.lab)
    record = await working.record()
    assert record.credential is not None
    ends = replace(record.credential, ends_at=working.clock.now() + time)
    await working.lab.store.cards.open(
        Opening(
            operation_id=OperationId(uuid4()),
            kind="update",
            record_id=record.record_id,
            station=working.lab.backend._caller.station_id,
            changes=(CredentialChanged(credential=ends), OperationClosed(code="done")),
        )
    )


# --- temporary credentials ------------------------------------------------------------------------------


async def test_a_temporary_credential_ends_in_its_time_wherever_its_card_is(working: Working) -> None:
    await lent_for(working, DAY)
    await working.lab.readers.pull("Reader 1")
    await working.pass_time(DAY - HOUR)
    assert (await working.record()).state is State.ACTIVE
    assert working.reasons() == [""] * 4
    await working.pass_time(HOUR + timedelta(minutes=10))
    ended = await working.record()
    assert ended.credential is not None
    assert (ended.state, ended.credential.reason) == (State.REVOKED, Cause.ENDED)
    assert working.reasons() == [Reason.CESSATION_OF_OPERATION] * 4
    (evidence,) = await working.evidence("revoked")
    assert (evidence.record.actor, evidence.record.facts["reason"]) == ("server", "ended")
    assert ended.pin is PinState.HOLDER
    await working.lab.readers.insert("Reader 1", "card")
    await working.lab.settle()
    view = (await working.lab.station.refresh("Reader 1")).record
    assert view is not None
    assert view.at_sight is OperationKind.UPDATE
    assert (await working.lab.perform(OperationKind.UPDATE)).error is None
    assert (await working.record()).pin is PinState.TRANSPORT


async def test_an_authority_that_sleeps_does_not_keep_it_alive(working: Working) -> None:
    await lent_for(working, DAY)
    working.authority.mood = Mood.ASLEEP
    await working.pass_time(DAY + HOUR)
    assert (await working.record()).state is State.REVOKED
    assert len((await working.record()).tasks) == 4
    working.authority.mood = Mood.AWAKE
    await working.pass_time(2 * HOUR)
    assert working.reasons() == [Reason.CESSATION_OF_OPERATION] * 4
    assert len(await working.evidence("revoked")) == 1


async def test_it_ends_after_the_station_has_let_its_card_go(working: Working) -> None:
    await lent_for(working, DAY)
    record = await working.record()
    working.clock.move(DAY)
    lease = await working.lab.store.cards.open(
        Opening(
            operation_id=OperationId(uuid4()),
            kind="update",
            record_id=record.record_id,
            station=working.lab.backend._caller.station_id,
            firm=True,
        )
    )
    await working.runner.run_due()
    assert (await working.notes())["temporary"] == "0 ended, 1 cards in use"
    assert (await working.record()).state is State.ACTIVE
    await working.lab.store.cards.apply(lease, [OperationClosed(code="done")])
    await working.pass_time(timedelta(minutes=10))
    assert (await working.record()).state is State.REVOKED


async def test_a_suspended_one_ends_too(working: Working) -> None:
    await lent_for(working, DAY)
    assert (await working.lab.perform(OperationKind.SUSPEND, reason=Cause.FORGOTTEN)).error is None
    await working.pass_time(DAY + HOUR)
    assert (await working.record()).state is State.REVOKED
    assert working.reasons() == [Reason.CESSATION_OF_OPERATION] * 4


async def test_nobody_says_that_its_time_is_over(working: Working) -> None:
    await active_card(working.lab)
    record = await working.record()
    with pytest.raises(errors.Invalid):
        await working.lab.station.decide(record.record_id, OperationKind.REVOKE, Cause.ENDED)
    refused = await working.lab.perform(OperationKind.REVOKE, reason=Cause.ENDED)
    assert refused.error is not None
    assert refused.error.code == "invalid-request"
    assert (await working.record()).state is State.ACTIVE
    assert set(OFFERED) == set(Cause) - {Cause.ENDED}
    assert set(USUAL) == set(Cause)


async def test_a_template_may_say_what_its_end_means(clock: FixedClock) -> None:
    table = '[reasons]\nended = "revoke superseded"\n\n[[certificate]]'
    working = await Working.start(clock, template=EMPLOYEE.replace("[[certificate]]", table, 1))
    try:
        await lent_for(working, DAY)
        await working.pass_time(DAY + HOUR)
        assert working.reasons() == [Reason.SUPERSEDED] * 4
    finally:
        await working.close()


# --- renewal --------------------------------------------------------------------------------------------

WINDOWS = EMPLOYEE.replace('slot = "9A"', 'slot = "9A"\ndays = 100\nrenew-before-days = 20').replace(
    'slot = "9C"', 'slot = "9C"\ndays = 100\nrenew-before-days = 10'
)


async def test_certificates_that_end_soon_are_noticed_once(clock: FixedClock) -> None:
    working = await Working.start(clock, template=WINDOWS)
    try:
        await active_card(working.lab)
        await working.lab.settle()
        before = working.lab.readers.card("card").commands
        store = working.lab.store
        await working.pass_time(79 * DAY, step=12 * HOUR)
        assert await working.evidence(RENEWAL_DUE) == []
        assert await due_now(store, clock.now()) == []
        await working.pass_time(2 * DAY, step=12 * HOUR)
        (first,) = await working.evidence(RENEWAL_DUE)
        assert first.record.facts["slot"] == "9A"
        await working.restart()
        await working.pass_time(12 * DAY, step=12 * HOUR)
        assert [entry.record.facts["slot"] for entry in await working.evidence(RENEWAL_DUE)] == ["9A", "9C"]
        assert (await working.notes())["renewal"] == "2 due, 0 new"
        (ending,) = await due_now(store, clock.now())
        assert [each.slot.text for each in ending.certificates] == ["9A", "9C"]
        assert working.lab.readers.card("card").commands == before
        renewed = await working.lab.perform(OperationKind.RENEW, Holder(current_pins=[PIN]))
        assert renewed.error is None
        await working.pass_time(DAY, step=12 * HOUR)
        assert await due_now(store, clock.now()) == []
        assert len(await working.evidence(RENEWAL_DUE)) == 2
        await judge(working.lab)
        await working.pass_time(81 * DAY, step=12 * HOUR)
        assert len(await working.evidence(RENEWAL_DUE)) == 3  # the certificate that came in its place
    finally:
        await working.close()


async def test_what_is_revoked_is_not_renewed(clock: FixedClock) -> None:
    working = await Working.start(clock, template=WINDOWS)
    try:
        await active_card(working.lab)
        await working.lab.station.decide((await working.record()).record_id, OperationKind.REVOKE, "lost")
        await working.pass_time(90 * DAY, step=DAY)
        assert await working.evidence(RENEWAL_DUE) == []
        states = {each.state for each in (await working.record()).certificates}
        assert states == {CertificateState.REVOKED}
    finally:
        await working.close()
