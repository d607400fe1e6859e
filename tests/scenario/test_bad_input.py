"""Wrong readers, cards and PINs: a clear error each, and nothing changed or lost."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from kiosk.station import wording
from kiosk.station.faces import Job
from shared.credential.model import State
from shared.credential.pins import PinPolicy, pad
from shared.errors import KioskError
from shared.piv.ids import Ins, ProfileName
from shared.relay import OperationKind
from shared.secret import Secret
from shared.virtual.faults import Fault, FaultKind
from tests.scenario.judging import (
    PIN,
    WatchedCard,
    active_card,
    give,
    issue,
    kept,
    nothing_changes,
    put,
    said,
)
from tests.scenario.lab import ALICE, BOB, Holder, Lab, Notes
from tests.scenario.templates import EMPLOYEE

NEXT_PIN = "482615"
WRONG_PIN = "604182"


@pytest.fixture
async def lab() -> AsyncIterator[Lab]:
    made = await Lab.start()
    yield made
    await made.close()


async def test_no_reader(lab: Lab) -> None:
    async with nothing_changes(lab):
        job = Job(operation=OperationKind.ISSUE, reader="Reader 9", holder=BOB.holder, template="employee")
        outcome = await lab.station.perform(job, Holder(), Notes())
    assert said(outcome, "no-reader") == "There is no reader of the name “Reader 9”. Try again."
    with pytest.raises(KioskError, match="no-reader"):
        await lab.station.refresh("Reader 9")


async def test_an_empty_reader(lab: Lab) -> None:
    async with nothing_changes(lab):
        assert said(await issue(lab), "card-missing") == "There is no card in the reader Reader 1. Try again."
    assert not (await lab.station.refresh("Reader 1")).present


async def test_a_card_without_piv(lab: Lab) -> None:
    card = await put(lab, WatchedCard.fresh())
    card.faults.arm(Fault(kind=FaultKind.STATUS, ins=Ins.SELECT, sw=0x6A82, every=True))
    async with nothing_changes(lab):
        outcome = await issue(lab)
        seen = await lab.station.refresh("Reader 1")
    assert said(outcome, "not-piv-card") == "This card has no PIV application. Use another card."
    assert seen.error is not None
    assert seen.error.code == "not-piv-card"
    assert seen.card is None


FOREIGN = "The card does not accept our management key; it belongs to somebody else. Use another card."


def foreign(profile: ProfileName, serial: int = 1001) -> WatchedCard:
    """Return a card that somebody else owns."""
    card = WatchedCard.fresh(profile, serial)
    theirs = Secret(bytes(range(100, 124)))
    card.alter(replace(card.memory, management=replace(card.memory.management, value=theirs)))
    return card


async def test_a_card_of_somebody_else_that_tells(lab: Lab) -> None:
    card = await put(lab, foreign(ProfileName.YUBIKEY_5_7))
    async with nothing_changes(lab):
        for _ in range(2):
            assert said(await issue(lab), "management-key-rejected") == FOREIGN
    seen = await lab.station.refresh("Reader 1")
    assert seen.record is not None
    assert (seen.record.reachable, seen.record.notices) == ((), ("foreign-management-key",))
    assert wording.notice("foreign-management-key") == "The management key of this card is not ours."
    assert card.writes == []


@pytest.mark.parametrize("profile", [ProfileName.YUBIKEY_4, ProfileName.YUBIKEY_5_0, ProfileName.UNKNOWN])
async def test_a_card_of_somebody_else_that_has_to_be_tried(lab: Lab, profile: ProfileName) -> None:
    card = await put(lab, foreign(profile))
    before = card.memory
    for _ in range(2):
        assert said(await issue(lab), "management-key-rejected") == FOREIGN
        seen = await lab.station.refresh("Reader 1")
        assert seen.record is not None
        assert (seen.record.state, seen.record.interrupted) == (State.UNREGISTERED, None)
    after = await kept(lab)
    # the try is on record, as one that is over; nobody's card is left behind
    assert {record.state for record in after.records if record} == {State.UNREGISTERED}
    assert all(record.open_operation is None for record in after.records if record)
    assert card.memory == before
    assert card.writes == []

    # its owner resets it and hands it over to us, for another person
    card.alter(WatchedCard.fresh(profile).memory)
    give(lab, BOB, ALICE)
    assert (await issue(lab, subject=ALICE.holder)).error is None


async def test_our_own_card_that_somebody_else_took(lab: Lab) -> None:
    card = await put(lab, WatchedCard.fresh())
    assert (await issue(lab)).error is None
    card.alter(replace(card.memory, management=foreign(ProfileName.YUBIKEY_5_7).memory.management))
    async with nothing_changes(lab):
        outcome = await lab.perform(OperationKind.ACTIVATE, Holder(new_pins=[PIN]))
    assert said(outcome, "management-key-rejected") == FOREIGN


async def test_another_card_while_the_operator_thinks(lab: Lab) -> None:
    """Both cards are ours and wait for their first PIN; they are swapped while the PIN is typed."""
    for number in (1, 2):
        await put(lab, WatchedCard.fresh(serial=number), f"card {number}")
        assert (await issue(lab)).error is None

    class Swaps(Holder):
        async def new_pin(self, policy: PinPolicy, problem: KioskError | None) -> Secret | None:
            await lab.readers.insert("Reader 1", "card 1")
            return await super().new_pin(policy, problem)

    async with nothing_changes(lab):
        outcome = await lab.perform(OperationKind.ACTIVATE, Swaps(new_pins=[PIN]))
    assert said(outcome, "card-changed").startswith("Another card answered than before; nothing was written")


async def test_another_card_while_the_present_pin_is_typed(lab: Lab) -> None:
    """The other card must not lose a try to a PIN that was meant for the first."""
    first = await active_card(lab)
    lab.readers.add_card("first", first)
    other = await put(lab, WatchedCard.fresh(serial=2), "other")
    assert (await issue(lab)).error is None
    assert (await lab.perform(OperationKind.ACTIVATE, Holder(new_pins=[NEXT_PIN]))).error is None
    await lab.readers.insert("Reader 1", "first")
    await lab.station.refresh("Reader 1")

    class Swaps(Holder):
        async def current_pin(self, tries_left: int | None, problem: KioskError | None) -> Secret | None:
            await lab.readers.insert("Reader 1", "other")
            return await super().current_pin(tries_left, problem)

    async with nothing_changes(lab):
        outcome = await lab.perform(OperationKind.CHANGE_PIN, Swaps(current_pins=[PIN], new_pins=["592604"]))
    said(outcome, "card-changed")
    assert other.memory.pin.left == other.memory.pin.tries


async def test_another_card_between_two_commands(lab: Lab) -> None:
    """Pulled in the middle of the issue, and another one put in: that one is left alone, the first one heals."""
    card = await put(lab, WatchedCard.fresh())
    other = WatchedCard.fresh(serial=2)
    lab.readers.add_card("other", other)
    untouched = other.memory
    card.faults.arm(Fault(kind=FaultKind.RESPONSE_LOST, ins=Ins.GENERATE_ASYMMETRIC))
    said(await issue(lab), "card-lost")
    await lab.readers.insert("Reader 1", "other")
    assert other.memory == untouched
    await lab.readers.insert("Reader 1", "card")
    assert (await issue(lab)).state == State.ISSUED


async def test_a_pulled_card_is_continued(lab: Lab) -> None:
    card = await put(lab, WatchedCard.fresh())
    card.faults.arm(Fault(kind=FaultKind.COMMAND_LOST, ins=Ins.PUT_DATA, at=3))
    assert said(await issue(lab), "card-lost") == (
        "The card left the reader, or another program reset it, before it had answered. "
        "Insert the card again; the work is continued where it stopped."
    )
    await lab.readers.insert("Reader 1", "card")
    seen = await lab.station.refresh("Reader 1")
    assert seen.record is not None
    assert seen.record.interrupted is OperationKind.ISSUE
    assert seen.record.holder == BOB
    # whoever stands there now need not know for whom it was begun
    assert (await issue(lab, subject="", template="")).state == State.ISSUED


# --- PINs -----------------------------------------------------------------------------------------------


async def test_a_wrong_pin_says_how_many_tries_are_left(lab: Lab) -> None:
    card = await active_card(lab)
    before = await kept(lab)
    holder = Holder(current_pins=[WRONG_PIN])
    outcome = await lab.perform(OperationKind.CHANGE_PIN, holder)
    assert [wording.failure(each) if each else "" for each in holder.problems] == [
        "",
        "The PIN is wrong: 2 tries left.",
    ]
    assert said(outcome, "cancelled").startswith("It was cancelled.")
    after = await kept(lab)
    assert card.memory == replace(before.cards["card"], pin=card.memory.pin)
    assert (card.memory.pin.left, card.memory.pin.value) == (2, Secret(pad(PIN.encode())))
    assert (after.records, after.ledger) == (before.records, before.ledger)


async def test_with_few_tries_left_the_person_says_no(lab: Lab) -> None:
    card = await active_card(lab)
    card.alter(replace(card.memory, pin=replace(card.memory.pin, left=2)))
    holder = Holder(current_pins=[PIN], confirm=False)
    async with nothing_changes(lab):
        said(await lab.perform(OperationKind.CHANGE_PIN, holder), "cancelled")
    assert holder.current_pins == [PIN], "nobody was asked to type it"


async def test_a_blocked_pin_is_not_asked_for(lab: Lab) -> None:
    card = await active_card(lab)
    card.alter(replace(card.memory, pin=replace(card.memory.pin, left=0)))
    holder = Holder(current_pins=[PIN])
    async with nothing_changes(lab):
        outcome = await lab.perform(OperationKind.CHANGE_PIN, holder)
    assert said(outcome, "pin-blocked") == (
        "The PIN is blocked: it was entered wrongly too often. Unblock it: the holder chooses a new PIN."
    )
    assert holder.problems == []
    seen = await lab.station.refresh("Reader 1")
    assert seen.record is not None
    assert seen.record.notices == ("pin-blocked",)


@pytest.mark.parametrize(
    ("pin", "sentence"),
    [
        ("12345", "The PIN is too short or too long."),
        ("1234567890", "The PIN is too short or too long."),
        ("73915x", "The PIN has characters that are not allowed."),
        ("٧٣٩١٥٤", "The PIN is too short or too long."),
        ("345678", "The digits must not simply count up or down."),
        ("777777", "The PIN must not be one digit repeated."),
        ("123456", "This is the PIN that new cards come with."),
        ("12345678", "This PIN is among the first that anybody would try."),
    ],
)
async def test_a_pin_against_the_rules_never_reaches_the_card(lab: Lab, pin: str, sentence: str) -> None:
    card = await put(lab, WatchedCard.fresh())
    assert (await issue(lab)).error is None
    holder = Holder(new_pins=[pin])
    async with nothing_changes(lab):
        said(await lab.perform(OperationKind.ACTIVATE, holder), "cancelled")
    assert [wording.failure(each) for each in holder.problems if each] == [sentence]
    assert (await lab.perform(OperationKind.ACTIVATE, Holder(new_pins=[pin, PIN]))).error is None
    assert card.memory.pin.value == Secret(pad(PIN.encode()))


LETTERS = f'{EMPLOYEE}\n[pin]\ncharacters = "any"\n'


async def test_a_pin_that_the_card_refuses() -> None:
    """The template allows letters, and so does the make; this card was set up to be stricter than its make."""
    lab = await Lab.start(template=LETTERS)
    try:
        card = await put(lab, WatchedCard.fresh())
        card._applet.profile = replace(card.profile, pin_digits_only=True)
        assert (await issue(lab)).error is None
        before = card.memory
        outcome = await lab.perform(OperationKind.ACTIVATE, Holder(new_pins=["abc739"]))
        assert said(outcome, "pin-not-accepted") == (
            "The card did not take the new PIN because of its length or its characters. Try again."
        )
        assert card.memory == before
        assert outcome.state == State.ISSUED
        await lab.station.refresh("Reader 1")
        assert (await lab.perform(OperationKind.ACTIVATE, Holder(new_pins=[PIN]))).error is None
        holder = Holder(current_pins=[PIN], new_pins=["abc739", NEXT_PIN])
        assert (await lab.perform(OperationKind.CHANGE_PIN, holder)).error is None
        assert [each.code for each in holder.problems if each] == ["pin-not-accepted"]
        assert card.memory.puk.left == card.memory.puk.tries
    finally:
        await lab.close()


async def test_a_template_for_letters_and_a_card_for_digits() -> None:
    lab = await Lab.start(template=LETTERS)
    try:
        await put(lab, WatchedCard.fresh(ProfileName.UNKNOWN))
        async with nothing_changes(lab):
            words = said(await issue(lab), "template-impossible")
        assert "PIV card of unknown make takes PINs of digits only" in words
    finally:
        await lab.close()


@pytest.mark.parametrize(
    "answers", [Holder(), Holder(current_pins=[PIN])], ids=["at the first", "at the second"]
)
async def test_the_holder_stops_a_change_of_the_pin(lab: Lab, answers: Holder) -> None:
    await active_card(lab)
    async with nothing_changes(lab):
        outcome = await lab.perform(OperationKind.CHANGE_PIN, replace(answers, problems=[]))
    said(outcome, "cancelled")
    seen = await lab.station.refresh("Reader 1")
    assert seen.record is not None
    assert seen.record.interrupted is None


async def test_the_holder_stops_the_activation(lab: Lab) -> None:
    await put(lab, WatchedCard.fresh())
    assert (await issue(lab)).error is None
    async with nothing_changes(lab):
        said(await lab.perform(OperationKind.ACTIVATE), "cancelled")


async def test_the_operator_stops_in_the_middle_and_goes_on(lab: Lab) -> None:
    """Stopping takes effect at a border between two steps; the card and the record agree, and it goes on."""
    card = await put(lab, WatchedCard.fresh())

    class Stops(Notes):
        def step(self, index: int, *, done: bool, expected_ms: int) -> None:
            work.cancel()  # as soon as something has begun

    job = Job(operation=OperationKind.ISSUE, reader="Reader 1", holder=BOB.holder, template="employee")
    work = asyncio.create_task(lab.station.perform(job, Holder(), Stops()))
    outcome = await work
    said(outcome, "cancelled")
    assert "RESET_RETRY_COUNTER" not in card.writes
    seen = await lab.station.refresh("Reader 1")
    assert seen.record is not None
    assert seen.record.interrupted is OperationKind.ISSUE
    assert (await issue(lab, subject="", template="")).state == State.ISSUED
