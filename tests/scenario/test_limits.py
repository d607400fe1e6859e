"""Checks before issue: as many as the template allows, on the cards that it allows, to people who may have it."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import pytest

from server.connectors.directory.memory import MemoryDirectory
from server.operations.operation import Operation
from server.operations.services import Services
from shared import errors
from shared.credential.lifecycle import OperationKind
from shared.credential.model import Person, State, StationId
from shared.credential.reasons import Cause
from shared.piv.ids import ProfileName
from shared.virtual.faults import Fault, FaultKind
from tests.scenario.cabinet import cabinet
from tests.scenario.lab import ALICE, BOB
from tests.scenario.templates import EMPLOYEE
from tests.server.store.examples import a_card, an_opening

ONE = f"limit = 1\n{EMPLOYEE}"
OTHER = EMPLOYEE.replace('name = "employee"', 'name = "other"')


async def test_a_person_has_as_many_as_they_like_where_the_template_says_nothing() -> None:
    async with cabinet() as bench:
        for name in ("one", "two", "three"):
            assert (await bench.issue(name)).error is None


async def test_a_person_has_no_more_than_the_template_allows() -> None:
    async with cabinet(ONE, OTHER) as bench:
        first = await bench.active("first")
        refused = await bench.issue("second")
        assert isinstance(refused.error, errors.LimitReached)
        assert refused.error.facts == {
            "limit": 1, "template": "employee", "credentials": str(first.credential_id),
        }  # fmt: skip
        assert bench.blank("second")
        assert bench.lab.store._book.state.cards.keys() == {bench.record("first").record_id}
        assert (await bench.issue("second", subject=BOB.holder, template="other")).error is None


@pytest.mark.parametrize("state", [State.ISSUED, State.ACTIVE, State.SUSPENDED, State.REVOKED])
async def test_what_counts_is_what_may_be_used_again(state: State) -> None:
    async with cabinet(ONE) as bench:
        assert (await bench.issue("first")).error is None
        if state is not State.ISSUED:
            assert (await bench.activate("first")).error is None
        record_id = bench.record("first").record_id
        for operation, wanted in (
            (OperationKind.SUSPEND, State.SUSPENDED),
            (OperationKind.REVOKE, State.REVOKED),
        ):
            if state is wanted:
                await bench.lab.station.decide(record_id, operation, Cause.LOST)
        refused = (await bench.issue("second")).error
        assert isinstance(refused, errors.LimitReached) is (state is not State.REVOKED)


async def test_one_that_is_being_made_counts_and_can_be_given_up() -> None:
    async with cabinet(ONE) as bench:
        await bench.put("first")
        bench.lab.readers.arm("first", Fault(kind=FaultKind.COMMAND_LOST, at=60))
        asked = {"subject": BOB.holder, "template": "employee"}
        assert (await bench.lab.perform(OperationKind.ISSUE, **asked)).error is not None  # type: ignore[arg-type]
        refused = (await bench.issue("second")).error
        assert isinstance(refused, errors.LimitReached)
        record_id = bench.record("first").record_id
        assert refused.facts["credentials"] == str(record_id)
        await bench.put("first")
        assert (await bench.lab.perform(OperationKind.ISSUE)).error is None, "the one that was begun goes on"
        await bench.lab.station.decide(record_id, OperationKind.DELETE, Cause.DAMAGED)
        assert (await bench.issue("second")).error is None


@pytest.mark.parametrize("cause", [Cause.LOST, Cause.DAMAGED])
async def test_what_is_replaced_does_not_count(cause: Cause) -> None:
    async with cabinet(ONE) as bench:
        old = await bench.active("old")
        new = await bench.active("new", replaces=str(old.credential_id), reason=cause)
        assert new.replaces == old.credential_id
        assert isinstance((await bench.issue("third")).error, errors.LimitReached)


async def test_other_people_have_theirs() -> None:
    def adapt(services: Services) -> Services:
        return replace(services, directories={"people": MemoryDirectory([BOB, ALICE])})

    async with cabinet(ONE, adapt=adapt) as bench:
        assert (await bench.issue("first")).error is None
        assert (await bench.issue("second", subject=ALICE.holder, template="employee")).error is None


@pytest.mark.parametrize("stock", [False, True])
async def test_of_two_stations_at_the_same_time_one_stops(
    monkeypatch: pytest.MonkeyPatch, *, stock: bool
) -> None:
    """Another desk begins after the limit was checked here, and before anything is written down here."""
    opened = Operation.open

    async with cabinet(ONE) as bench:
        await bench.put("here")
        if stock:
            assert (await bench.lab.perform(OperationKind.REGISTER)).error is None
        ref = (await bench.lab.store.templates.all_latest())[0].ref

        async def elsewhere(op: Operation, *words: Any, **more: Any) -> None:
            monkeypatch.undo()
            other = replace(a_card(), profile="yubikey-5.4")
            await bench.lab.store.cards.open(
                replace(an_opening(other, StationId(uuid4())), holder=BOB.holder, template=ref)
            )
            await opened(op, *words, **more)

        monkeypatch.setattr(Operation, "open", elsewhere)
        refused = await bench.issue("here")
        assert isinstance(refused.error, errors.LimitReached)
        assert refused.state == (State.REGISTERED if stock else State.UNREGISTERED)
        assert bench.record("here").open_operation is None
        assert bench.blank("here") is not stock
        await bench.lab.store.cards.release_all()
        (other,) = await bench.lab.store.credentials.of_holder(BOB.holder)
        await bench.lab.station.decide(other.record_id, OperationKind.DELETE, Cause.DAMAGED)
        assert (await bench.issue("here")).error is None


# --- cards and people -----------------------------------------------------------------------------------


async def test_only_the_cards_that_the_template_allows() -> None:
    async with cabinet(f'cards = ["yubikey-5.4", "yubikey-5.7"]\n{EMPLOYEE}') as bench:
        await bench.put("four", ProfileName.YUBIKEY_4)
        refused = (await bench.issue("four")).error
        assert isinstance(refused, errors.TemplateImpossible)
        assert "YubiKey 5.7" in str(refused.facts["why"])
        assert bench.blank("four")
        assert (await bench.issue("five")).error is None


@pytest.mark.parametrize(
    ("person", "error"),
    [
        (replace(BOB, enabled=False), errors.HolderDisabled),
        (replace(BOB, valid_until=datetime(2020, 1, 1, tzinfo=UTC)), errors.HolderDisabled),
        (replace(BOB, attributes={"mail": "bsmith@example.test"}), errors.VariableMissing),
        (ALICE, errors.UnknownHolder),
    ],
)
async def test_who_may_not_have_it_gets_nothing_and_loses_nothing(
    person: Person, error: type[errors.KioskError]
) -> None:
    people: list[Person] = [BOB]

    def adapt(services: Services) -> Services:
        class Changing(MemoryDirectory):
            async def get(self, holder: object) -> Person | None:
                return next((each for each in people if each.holder == holder), None)

        return replace(services, directories={"people": Changing(people)})

    async with cabinet(adapt=adapt) as bench:
        old = await bench.active("old")
        people[:] = [person]
        outcome = await bench.issue("new", replaces=str(old.credential_id), reason="lost")
        assert isinstance(outcome.error, error)
        assert bench.blank("new")
        assert bench.credential("old").state is State.ACTIVE
