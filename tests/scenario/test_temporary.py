"""Temporary credentials: they stand in for another one for a time, and there are never two to be used."""

from datetime import timedelta

import pytest
from cryptography import x509

from server.operations.away import Decisions
from server.operations.succession import Succession
from server.ports.ca import Reason
from server.ports.store import Opening
from shared import errors
from shared.console import CardHints
from shared.credential.lifecycle import OperationKind
from shared.credential.model import OperationId, State, StationId
from shared.credential.reasons import Cause
from shared.credential.succession import REPLACEMENT_ISSUED, TEMPORARY, TEMPORARY_OUT
from shared.virtual.faults import Fault, FaultKind
from tests.conftest import FixedClock
from tests.scenario.cabinet import PIN, Cabinet, cabinet
from tests.scenario.lab import BOB, Holder
from tests.scenario.templates import EMPLOYEE

NAMED = EMPLOYEE.replace('name = "employee"', 'name = "day-badge"').replace(
    "Employee badge", "Badge for a day"
)
TEMPORARY_BADGE = NAMED.replace("[[certificate]]", "[temporary]\nhours = 12\n\n[[certificate]]", 1)
BOTH = TEMPORARY_BADGE.replace("hours = 12", "hours = 12\nsuspend-primary = false")


async def forgotten(bench: Cabinet, **more: str) -> None:
    """Issue a badge that is active, and a temporary one in its place."""
    primary = await bench.active("primary")
    await bench.active("day", primary=str(primary.credential_id), **more)


async def notices(bench: Cabinet, name: str) -> tuple[str, ...]:
    record = bench.record(name)
    hints = CardHints(profile=record.profile, serial=record.serial, guid=record.record_id)
    return (await bench.lab.backend.look_up(hints)).notices


async def test_the_primary_one_is_out_of_use_when_the_temporary_one_is_active() -> None:
    async with cabinet(EMPLOYEE, TEMPORARY_BADGE) as bench:
        primary = await bench.active("primary")
        issued = await bench.issue("day", primary=str(primary.credential_id))
        assert issued.error is None
        assert bench.credential("primary").state is State.ACTIVE, "its holder has no other yet"
        activated = await bench.activate("day")
        assert activated.facts["followed"] == "suspend"
        found = bench.credential("primary")
        assert (found.state, found.reason) == (State.SUSPENDED, Cause.FORGOTTEN)
        assert bench.revoked("primary") == {Reason.CERTIFICATE_HOLD: 4}
        day = bench.credential("day")
        assert (day.primary, day.holder, day.template.name) == (
            primary.credential_id,
            BOB.holder,
            "day-badge",
        )
        assert TEMPORARY_OUT in await notices(bench, "primary")
        assert TEMPORARY in await notices(bench, "day")


async def test_nothing_that_is_certified_outlives_it() -> None:
    clock = FixedClock()
    clock.move(timedelta(seconds=0.25))
    async with cabinet(EMPLOYEE, TEMPORARY_BADGE, clock=clock) as bench:
        await forgotten(bench)
        ends_at = bench.credential("day").ends_at
        assert ends_at == clock.now() + timedelta(hours=12)
        for each in bench.record("day").certificates:
            end = x509.load_der_x509_certificate(each.certificate).not_valid_after_utc
            assert end == ends_at.replace(microsecond=0)
        renewed = await bench.lab.perform(OperationKind.RENEW, Holder(current_pins=[PIN]))
        assert renewed.error is None
        for each in bench.record("day").certificates:
            assert x509.load_der_x509_certificate(each.certificate).not_valid_after_utc <= ends_at
        assert "renewal-due" not in await notices(bench, "day")


async def test_when_its_time_is_over_the_primary_one_waits_to_be_resumed() -> None:
    clock = FixedClock()
    async with cabinet(EMPLOYEE, TEMPORARY_BADGE, clock=clock) as bench:
        await forgotten(bench)
        clock.move(timedelta(hours=12))
        (ending,) = await bench.lab.store.credentials.ending(clock.now())
        await Decisions(bench.lab.services).end(ending)
        assert bench.credential("day").state is State.REVOKED
        assert await Succession(bench.lab.services).follow_all() == 0
        assert bench.credential("primary").state is State.SUSPENDED
        assert TEMPORARY_OUT not in await notices(bench, "primary")
        await bench.put("primary")
        resumed = await bench.lab.perform(OperationKind.RESUME, Holder(new_pins=["482615"]))
        assert resumed.error is None
        assert bench.revoked("primary") == {"": 4}


@pytest.mark.parametrize("here", [True, False])
async def test_resuming_the_primary_one_ends_the_temporary_one_first(*, here: bool) -> None:
    async with cabinet(EMPLOYEE, TEMPORARY_BADGE) as bench:
        await forgotten(bench)
        record = bench.record("primary")
        if here:
            await bench.put("primary")
            resumed = await bench.lab.perform(OperationKind.RESUME, Holder(new_pins=["482615"]))
            assert resumed.error is None
        else:
            decided = await bench.lab.station.decide(record.record_id, OperationKind.RESUME, "")
            assert decided.state is State.ACTIVE
        assert bench.credential("primary").state is State.ACTIVE
        assert (bench.credential("day").state, bench.credential("day").reason) == (State.REVOKED, Cause.ENDED)
        assert bench.revoked("primary") == {"": 4}
        assert "" not in bench.revoked("day")


async def test_a_suspension_that_reached_the_card_is_resumed_with_it_and_ends_the_temporary_one() -> None:
    async with cabinet(EMPLOYEE, TEMPORARY_BADGE) as bench:
        await forgotten(bench)
        await bench.put("primary")
        assert (await bench.lab.perform(OperationKind.UPDATE)).error is None
        stopped = await bench.lab.perform(OperationKind.RESUME, Holder())
        assert stopped.error is not None
        assert bench.credential("day").state is State.ACTIVE, "nothing was resumed"
        resumed = await bench.lab.perform(OperationKind.RESUME, Holder(new_pins=["482615"]))
        assert resumed.error is None
        assert bench.credential("day").state is State.REVOKED


async def test_the_primary_one_is_not_resumed_while_somebody_works_on_the_temporary_card() -> None:
    async with cabinet(EMPLOYEE, TEMPORARY_BADGE) as bench:
        await forgotten(bench)
        day = bench.record("day")
        await bench.lab.store.cards.open(
            Opening(
                operation_id=OperationId(day.record_id),
                kind="update",
                record_id=day.record_id,
                station=StationId(day.record_id),
                seen=day,
                firm=True,
            )
        )
        with pytest.raises(errors.CardLeased):
            await bench.lab.station.decide(bench.record("primary").record_id, OperationKind.RESUME, "")
        assert bench.credential("primary").state is State.SUSPENDED
        assert bench.credential("day").state is State.ACTIVE


@pytest.mark.parametrize("operation", [OperationKind.REVOKE, OperationKind.DELETE, OperationKind.RETIRE])
async def test_without_its_primary_one_it_ends(operation: OperationKind) -> None:
    async with cabinet(EMPLOYEE, TEMPORARY_BADGE) as bench:
        await forgotten(bench)
        record = bench.record("primary")
        if operation is OperationKind.RETIRE:
            await bench.put("primary")
            outcome = await bench.lab.perform(operation, reason=Cause.LEFT)
            assert outcome.error is None
            assert outcome.facts["followed"] == "temporary"
        else:
            decided = await bench.lab.station.decide(record.record_id, operation, Cause.STOLEN)
            assert decided.facts["followed"] == "temporary"
        assert bench.credential("day").state is State.REVOKED
        assert bench.revoked("day") == {Reason.CESSATION_OF_OPERATION: 4}


async def test_it_lasts_until_the_replacement_of_its_primary_one_works() -> None:
    """A card that is lost for good: its holder has the temporary one until the new one is active."""
    async with cabinet(EMPLOYEE, TEMPORARY_BADGE) as bench:
        await forgotten(bench, reason="lost")
        primary = bench.credential("primary")
        assert (primary.state, primary.reason) == (State.SUSPENDED, Cause.LOST)
        issued = await bench.issue("new", replaces=str(primary.credential_id), reason="lost")
        assert issued.facts["followed"] == "revoke"
        assert bench.revoked("primary") == {Reason.KEY_COMPROMISE: 4}
        assert bench.credential("day").state is State.ACTIVE
        assert await Succession(bench.lab.services).follow_all() == 0
        activated = await bench.activate("new")
        assert activated.facts["followed"] == "temporary"
        assert bench.credential("day").state is State.REVOKED
        assert bench.revoked("new") == {"": 4}


async def test_a_replacement_that_is_given_up_leaves_no_temporary_one_for_ever() -> None:
    async with cabinet(EMPLOYEE, TEMPORARY_BADGE) as bench:
        await forgotten(bench, reason="lost")
        primary = bench.credential("primary")
        assert (await bench.issue("new", replaces=str(primary.credential_id), reason="lost")).error is None
        assert REPLACEMENT_ISSUED in await notices(bench, "primary")
        deleted = await bench.lab.perform(OperationKind.DELETE, reason=Cause.DAMAGED)
        assert deleted.facts["followed"] == "temporary"
        assert bench.credential("day").state is State.REVOKED


async def test_both_may_be_in_use_where_the_template_says_so() -> None:
    async with cabinet(EMPLOYEE, BOTH) as bench:
        await forgotten(bench)
        assert bench.credential("primary").state is State.ACTIVE
        assert await Succession(bench.lab.services).follow_all() == 0
        await bench.lab.station.decide(bench.record("primary").record_id, OperationKind.REVOKE, Cause.LOST)
        assert bench.credential("day").state is State.REVOKED


# --- refused --------------------------------------------------------------------------------------------


async def test_what_cannot_be_stood_in_for() -> None:
    async with cabinet(EMPLOYEE, TEMPORARY_BADGE) as bench:
        assert (await bench.issue("primary")).error is None
        named = str(bench.credential("primary").credential_id)
        assert await refused(bench, primary=named) == "it is issued"
        assert (await bench.activate("primary")).error is None
        assert "no temporary" in await refused(bench, primary=named, template="employee")
        assert "which one" in await refused(bench, subject=BOB.holder, template="day-badge")
        assert "revoked or replaced" in await refused(bench, primary=named, reason="stolen")
        assert "forgotten, damaged, lost" in await refused(bench, primary=named, reason="left")
        assert "which one" in await refused(bench, replaces=named, reason="lost", template="day-badge")
        day = await bench.active("day", primary=named)
        assert "itself" in await refused(bench, primary=str(day.credential_id))
        assert "make another" in await refused(bench, replaces=str(day.credential_id), reason="lost")
        second = await bench.issue("other", primary=named)
        assert isinstance(second.error, errors.LimitReached)
        assert second.error.facts["credentials"] == str(day.credential_id)


async def refused(bench: Cabinet, **asked: str) -> str:
    outcome = await bench.issue("other", **asked)
    assert outcome.error is not None
    return str(outcome.error.facts["why"])


async def test_the_template_is_named_where_there_are_several_or_none() -> None:
    async with cabinet() as bench:
        named = str((await bench.active("primary")).credential_id)
        assert "there is none" in await refused(bench, primary=named)
        await bench.lab.apply(TEMPORARY_BADGE)
        await bench.lab.apply(
            TEMPORARY_BADGE.replace("day-badge", "week-badge").replace("hours = 12", "days = 7")
        )
        assert "day-badge, week-badge" in await refused(bench, primary=named)
        assert (await bench.issue("day", primary=named, template="week-badge")).error is None


# --- cuts -----------------------------------------------------------------------------------------------


async def test_a_temporary_one_that_was_cut_goes_on_with_its_place() -> None:
    async with cabinet(EMPLOYEE, TEMPORARY_BADGE) as bench:
        primary = await bench.active("primary")
        await bench.put("day")
        bench.lab.readers.arm("day", Fault(kind=FaultKind.RESPONSE_LOST, at=60))
        cut = await bench.lab.perform(
            OperationKind.ISSUE, primary=str(primary.credential_id), reason="damaged"
        )
        assert cut.error is not None
        assert bench.credential("primary").state is State.ACTIVE
        other = await bench.issue("other", primary=str(primary.credential_id))
        assert isinstance(other.error, errors.LimitReached), "one is being made already"
        await bench.put("day")
        assert (await bench.lab.perform(OperationKind.ISSUE)).error is None
        assert (await bench.activate("day")).error is None
        found = bench.credential("primary")
        assert (found.state, found.reason) == (State.SUSPENDED, Cause.DAMAGED)
