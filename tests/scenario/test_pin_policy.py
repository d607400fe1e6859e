"""A PIN that is not taken from its holder's data, and one that has to be changed: from the template to the card."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import timedelta

import pytest

from kiosk.station.offers import offered
from server.connectors.keystore.memory import MemoryKeyStore
from shared import errors
from shared.console import CardView
from shared.credential.model import HolderId, Person, State
from shared.credential.pins import pad
from shared.credential.reasons import Cause
from shared.piv.ids import ProfileName
from shared.relay import OperationKind
from shared.secret import Secret
from tests.conftest import FixedClock
from tests.scenario.judging import WatchedCard, evidence, give, issue, nothing_changes, put, said
from tests.scenario.lab import BOB, Holder, Lab
from tests.scenario.templates import EMPLOYEE

PIN, NEXT_PIN, BORN = "739154", "482615", "070384"
STRICT = f'{EMPLOYEE}\n[pin]\nnot-from = ["user.birth-date", "user.employee-id?"]\nchange-after-days = 90\n'
CARL = replace(BOB, attributes={**BOB.attributes, "birth-date": "1984-03-07", "employee-id": "482610"})
ACTIVATE, CHANGE_PIN, UNBLOCK = OperationKind.ACTIVATE, OperationKind.CHANGE_PIN, OperationKind.UNBLOCK


@pytest.fixture
async def lab(clock: FixedClock) -> AsyncIterator[Lab]:
    made = await Lab.start(clock=clock, template=STRICT)
    give(made, CARL)
    yield made
    await made.close()


def without(*names: str) -> Person:
    """Return the holder as a directory with less knows them."""
    return replace(
        CARL, attributes={name: value for name, value in CARL.attributes.items() if name not in names}
    )


async def issued_card(lab: Lab) -> WatchedCard:
    card = await put(lab, WatchedCard.fresh())
    assert (await issue(lab)).error is None
    return card


async def active_card(lab: Lab, *, temporary_pin: bool = False) -> WatchedCard:
    card = await issued_card(lab)
    done = await lab.perform(ACTIVATE, Holder(new_pins=[PIN]), temporary_pin=temporary_pin)
    assert done.error is None
    return card


async def desk(lab: Lab) -> CardView:
    view = (await lab.station.refresh("Reader 1")).record
    assert view is not None
    return view


def rules(holder: Holder) -> list[object]:
    return [problem.facts.get("rule") for problem in holder.problems if problem]


# --- the holder's own data ------------------------------------------------------------------------------


async def test_no_pin_is_taken_from_the_holders_data(lab: Lab) -> None:
    card = await issued_card(lab)
    holder = Holder(new_pins=[BORN, "48261099", "198403", PIN])
    assert (await lab.perform(ACTIVATE, holder)).error is None
    assert rules(holder) == ["personal", "personal", "personal"]
    assert card.memory.pin.value == Secret(pad(PIN.encode()))
    holder = Holder(current_pins=[PIN], new_pins=["030784", PIN, NEXT_PIN])
    assert (await lab.perform(CHANGE_PIN, holder)).error is None
    assert rules(holder) == ["personal", "same"]
    assert card.memory.pin.value == Secret(pad(NEXT_PIN.encode()))
    holder = Holder(new_pins=["840307", NEXT_PIN])
    assert (await lab.perform(UNBLOCK, holder)).error is None
    assert rules(holder) == ["personal"], "the present PIN is not known when it is unblocked"


async def test_what_is_missing_is_missed_at_issue(lab: Lab) -> None:
    give(lab, without("birth-date"))
    await put(lab, WatchedCard.fresh())
    async with nothing_changes(lab):
        words = said(await issue(lab), "variable-missing")
    assert "no user.birth-date for this person" in words
    give(lab, without("employee-id"))
    assert (await issue(lab)).error is None


@pytest.mark.parametrize("gone", [(without("birth-date"),), ()], ids=["the date", "the person"])
async def test_nobody_chooses_a_pin_while_the_rule_cannot_hold(lab: Lab, gone: Sequence[Person]) -> None:
    await issued_card(lab)
    give(lab, *gone)
    holder = Holder(new_pins=[PIN])
    async with nothing_changes(lab):
        outcome = await lab.perform(ACTIVATE, holder)
    said(outcome, "variable-missing" if gone else "unknown-holder")
    assert outcome.state == State.ISSUED
    assert holder.new_pins == [PIN], "nobody was asked"
    give(lab, CARL)
    assert (await lab.perform(ACTIVATE, holder)).error is None


async def test_a_date_in_a_form_that_nobody_reads(lab: Lab) -> None:
    give(lab, replace(CARL, attributes={**CARL.attributes, "birth-date": "7 March"}))
    await put(lab, WatchedCard.fresh())
    async with nothing_changes(lab):
        words = said(await issue(lab), "invalid-request")
    assert "user.birth-date" in words
    assert "Call an administrator." in words
    assert "7 March" not in words


class SilentDirectory:
    """A directory that is down."""

    async def search(self, text: str, limit: int) -> Sequence[Person]:
        raise errors.ConnectorUnreachable(connection="people", reason="down")

    async def get(self, holder: HolderId) -> Person | None:
        raise errors.ConnectorUnreachable(connection="people", reason="down")


@pytest.mark.parametrize("operation", [ACTIVATE, CHANGE_PIN, UNBLOCK])
async def test_a_silent_directory_stops_the_choice_and_nothing_else(
    lab: Lab, operation: OperationKind
) -> None:
    """Fails closed, before anything is asked or changed; when it answers again, the operation is just done."""
    card = await (issued_card(lab) if operation is ACTIVATE else active_card(lab))
    lab.services.directories["people"] = SilentDirectory()  # type: ignore[index]  # a dict, really
    holder = Holder(current_pins=[PIN], new_pins=[NEXT_PIN])
    async with nothing_changes(lab):
        words = said(await lab.perform(operation, holder), "connector-unreachable")
    assert words == "The connection “people” does not answer: down. Try again."
    assert holder.new_pins == [NEXT_PIN], "nobody was asked"
    assert (await desk(lab)).interrupted is None
    give(lab, CARL)
    assert (await lab.perform(operation, holder)).error is None
    assert card.memory.pin.value == Secret(pad(NEXT_PIN.encode()))


async def test_a_template_without_such_a_rule_asks_no_directory(clock: FixedClock) -> None:
    lab = await Lab.start(clock=clock, template=EMPLOYEE)
    try:
        await issued_card(lab)
        lab.services.directories["people"] = SilentDirectory()  # type: ignore[index]  # a dict, really
        assert (await lab.perform(ACTIVATE, Holder(new_pins=[BORN]))).error is None
    finally:
        await lab.close()


async def test_stations_are_told_of_people_what_they_show(lab: Lab) -> None:
    await active_card(lab)
    holder = (await desk(lab)).holder
    assert holder is not None
    assert holder.attributes == without("birth-date").attributes
    (found,) = (await lab.station.find_people("bob")).people
    assert (found.directory, replace(found, directory="")) == ("people", holder)
    (template,) = await lab.station.templates()
    assert "user.birth-date" in template.needs
    assert "user.employee-id" not in template.needs


async def test_letters_that_an_update_allowed_stay_off_a_card_for_digits(clock: FixedClock) -> None:
    """The holder is told what the card takes, not refused by it."""
    lab = await Lab.start(clock=clock, template=EMPLOYEE)
    try:
        card = await put(lab, WatchedCard.fresh(ProfileName.UNKNOWN))
        assert (await issue(lab)).error is None
        await lab.apply(f'{EMPLOYEE}\n[pin]\ncharacters = "any"\n', version=2)
        assert (await lab.perform(OperationKind.UPDATE)).error is None
        assert (await desk(lab)).template_version == 2
        holder = Holder(new_pins=["abc739", PIN])
        assert (await lab.perform(ACTIVATE, holder)).error is None
        assert rules(holder) == ["characters"]
        assert card.memory.pin.value == Secret(pad(PIN.encode()))
    finally:
        await lab.close()


# --- a change that is due -------------------------------------------------------------------------------


async def due(lab: Lab) -> bool:
    """Whether the desk says that the PIN is to be changed, and offers it first."""
    view = await desk(lab)
    first = view.reachable[0] is CHANGE_PIN
    assert first == ("pin-change-due" in view.notices)
    return first


async def test_an_old_pin_is_due_to_be_changed(lab: Lab, clock: FixedClock) -> None:
    await active_card(lab)
    lasts = timedelta(days=90)
    clock.move(lasts - timedelta(seconds=1))
    view = await desk(lab)
    assert "pin-change-due" not in view.notices
    clock.move(timedelta(seconds=1))
    assert await due(lab)
    clock.move(timedelta(days=400))
    assert await due(lab)
    assert (await lab.perform(CHANGE_PIN, Holder(current_pins=[PIN]))).error is not None
    assert await due(lab), "the holder gave up"
    assert (await lab.perform(CHANGE_PIN, Holder([NEXT_PIN], [PIN]))).error is None
    assert "pin-change-due" not in (await desk(lab)).notices
    clock.move(lasts)
    assert await due(lab)
    assert (await lab.perform(UNBLOCK, Holder(new_pins=[PIN]))).error is None
    assert "pin-change-due" not in (await desk(lab)).notices


@pytest.mark.parametrize("operation", [ACTIVATE, UNBLOCK, OperationKind.RESUME])
async def test_a_pin_that_somebody_else_chose_is_due_at_once(lab: Lab, operation: OperationKind) -> None:
    await active_card(lab, temporary_pin=operation is ACTIVATE)
    if operation is OperationKind.RESUME:
        suspended = await lab.perform(OperationKind.SUSPEND, reason=Cause.FORGOTTEN)
        assert suspended.error is None
    if operation is not ACTIVATE:
        assert "pin-change-due" not in (await desk(lab)).notices
        done = await lab.perform(operation, Holder(new_pins=[PIN]), temporary_pin=True)
        assert (done.error, done.facts["pin"]) == (None, "temporary")
    assert "temporary" in {record.facts.get("pin") for record in evidence(lab)[-9:]}
    assert await due(lab)
    holder = Holder(current_pins=[PIN], new_pins=[PIN, NEXT_PIN])
    assert (await lab.perform(CHANGE_PIN, holder)).error is None
    assert rules(holder) == ["same"], "the temporary PIN is not kept"
    assert "pin-change-due" not in (await desk(lab)).notices
    assert "pin" not in evidence(lab)[-1].facts


async def test_a_pin_that_the_holder_chose_instead_is_not_due(lab: Lab) -> None:
    await active_card(lab, temporary_pin=True)
    assert (await lab.perform(UNBLOCK, Holder(new_pins=[NEXT_PIN]))).error is None
    assert "pin-change-due" not in (await desk(lab)).notices


async def test_the_change_comes_before_an_update(lab: Lab) -> None:
    await active_card(lab, temporary_pin=True)
    keys = lab.services.keystore
    assert isinstance(keys, MemoryKeyStore)
    await keys.add_generation()
    view = await desk(lab)
    assert view.reachable[:2] == (CHANGE_PIN, OperationKind.UPDATE)
    assert (await lab.perform(CHANGE_PIN, Holder([NEXT_PIN], [PIN]))).error is None
    assert (await desk(lab)).reachable[0] is OperationKind.UPDATE


async def test_a_blocked_pin_is_unblocked_and_not_changed(lab: Lab) -> None:
    card = await active_card(lab, temporary_pin=True)
    card.alter(replace(card.memory, pin=replace(card.memory.pin, left=0)))
    view = await desk(lab)
    assert set(view.notices) == {"pin-blocked", "pin-change-due"}
    assert offered(await lab.station.refresh("Reader 1"))[0] is UNBLOCK
