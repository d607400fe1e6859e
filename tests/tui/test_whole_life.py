"""The desk over a whole installation: real operations, record and virtual cards; what is pressed is what happens."""

import contextlib
import re
from collections.abc import AsyncIterator, Callable

import pytest
from textual.pilot import Pilot

from kiosk.station import wording
from kiosk.tui.app import DeskApp
from server.ports.ca import Reason
from shared import errors
from shared.credential.model import CardRecord, CertificateState, PinState, State
from shared.credential.read_out import take_read_out_code
from shared.piv.ids import ProfileName
from shared.relay import OperationKind
from tests.scenario.lab import BOB, Holder, Lab
from tests.tui.look import shows, text, until

FIRST = "739154"
SECOND = "820463"


@pytest.fixture
async def lab() -> AsyncIterator[Lab]:
    """An installation with an active card in the reader."""
    made = await Lab.start()
    await made.insert(ProfileName.YUBIKEY_5_7)
    assert (await made.perform(OperationKind.ISSUE, subject=BOB.holder, template="employee")).error is None
    assert (await made.perform(OperationKind.ACTIVATE, Holder(new_pins=[FIRST]))).error is None
    await made.settle()
    yield made
    await made.close()


@contextlib.asynccontextmanager
async def desk(lab: Lab) -> AsyncIterator[Pilot[None]]:
    app = DeskApp(station=lab.station, title="Desk")
    async with app.run_test(size=(100, 36)) as pilot:
        yield pilot


async def record(lab: Lab) -> CardRecord:
    (found,) = await lab.store.credentials.of_holder(BOB.holder)
    return found


def pin(lab: Lab) -> bytes:
    return lab.readers.card("card").memory.pin.value.reveal()


async def wait(pilot: Pilot[None], true: Callable[[], bool]) -> None:
    """Wait for real work: longer than for a picture."""
    for _ in range(5):
        await pilot.pause()
        if true():
            return
        with contextlib.suppress(pytest.fail.Exception):
            await until(pilot, true)
    assert true(), text(pilot.app)


async def said(pilot: Pilot[None], *words: str) -> None:
    await wait(pilot, lambda: all(word in text(pilot.app) for word in words))


async def test_suspended_and_resumed_with_the_card(lab: Lab) -> None:
    async with desk(lab) as pilot:
        await said(pilot, "● ACTIVE", "Bob Smith")
        await pilot.press("s")
        await shows(pilot, "Suspend: why?  Bob Smith")
        await pilot.press("enter")
        await said(pilot, f"✓ {wording.done(OperationKind.SUSPEND)}")
        held = await record(lab)
        assert held.state is State.SUSPENDED
        assert {each.state for each in held.certificates} == {CertificateState.HELD}
        assert held.pin is PinState.TRANSPORT
        assert FIRST.encode() not in pin(lab), "nobody knows it"
        await pilot.press("escape")
        await said(pilot, "● SUSPENDED", "Resume: use it again")
        await pilot.press("enter")
        await shows(pilot, "Resume · Choose a new PIN")
        await pilot.press(*SECOND, "enter", *SECOND, "enter")
        await said(pilot, f"✓ {wording.done(OperationKind.RESUME)}")
        await pilot.press("escape")
        await said(pilot, "● ACTIVE")
    again = await record(lab)
    assert again.state is State.ACTIVE
    assert {each.state for each in again.certificates} == {CertificateState.CONFIRMED}
    assert SECOND.encode() in pin(lab)


async def test_revoked_while_the_card_is_away_then_carried_to_it_at_sight(lab: Lab) -> None:
    await lab.readers.pull("Reader 1")
    async with desk(lab) as pilot:
        await said(pilot, "○ empty")
        await pilot.press("f", *"bob")
        await said(pilot, "1 credential", "Bob Smith", "Active")
        await pilot.press("enter")
        await shows(pilot, "Without the card")
        await pilot.press("o")
        await shows(pilot, "Revoke: why?  Bob Smith")
        await pilot.press("down", "enter")
        await shows(pilot, "It was stolen", "This cannot be undone.")
        await pilot.press("y")
        await said(pilot, f"✓ {wording.done(OperationKind.REVOKE)}")
        away = await record(lab)
        assert away.state is State.REVOKED
        assert away.credential is not None
        assert away.credential.reason == "stolen"
        assert away.pin is PinState.HOLDER
        assert FIRST.encode() in pin(lab), "the card has not learned of it"
        await pilot.press("enter")
        await said(pilot, "Revoked !", "has not reached it yet")
        await pilot.press("escape")
        await until(pilot, lambda: not pilot.app.screen.is_modal)
        await lab.readers.insert("Reader 1", "card")
        await said(pilot, "✓ The card is up to date.", "! What was decided about this card", "● revoked")
        carried = await record(lab)
        assert carried.pin is not PinState.HOLDER
        assert FIRST.encode() not in pin(lab)
        await pilot.press("escape")
        await said(pilot, "● REVOKED")
        assert "has not reached it yet" not in text(pilot.app)
    ledger = lab.store._book.state.ledger.values()
    assert {entry.reason for entry in ledger if entry.request_id is not None} == {Reason.KEY_COMPROMISE}


async def test_a_code_that_is_read_out_is_the_card_s_and_is_replaced_at_the_next_sight(lab: Lab) -> None:
    await lab.readers.pull("Reader 1")
    puk = lab.readers.card("card").memory.puk.value.reveal()
    known = await record(lab)
    async with desk(lab) as pilot:
        await said(pilot, "○ empty")
        await pilot.press("f", *"bob")
        await said(pilot, "1 credential")
        await pilot.press("enter", "h")
        await shows(pilot, "Are you sure who is on the telephone?")
        await pilot.press("y")
        await said(pilot, "Code to read out")
        digits = "".join(character for character in field_of(text(pilot.app)) if character.isdigit())
        taken = take_read_out_code(digits, serial=known.serial, guid=known.record_id)
        assert taken.reveal() == puk.rstrip(b"\xff")
        with pytest.raises(errors.Invalid):
            take_read_out_code(f"{int(digits[0]) ^ 1}{digits[1:]}", serial=known.serial, guid=known.record_id)
        assert (await record(lab)).puk_disclosed
        await pilot.press("escape")
        await said(pilot, "1 credential")
        await pilot.press("escape")
        await lab.readers.insert("Reader 1", "card")
        await said(pilot, "✓ The card is up to date.", "● active")
    assert not (await record(lab)).puk_disclosed
    assert lab.readers.card("card").memory.puk.value.reveal() != puk
    assert FIRST.encode() in pin(lab), "its holder's PIN stays"


def field_of(screen: str) -> str:
    """Return the line of the screen that has the code: twelve digits with room between them."""
    inside = [line.split("║")[1] for line in screen.splitlines() if line.count("║") == 2]
    return next(line for line in inside if re.fullmatch(r"[\d ]+", line) and line.strip())


async def test_a_decision_about_the_card_in_the_reader_reaches_it_at_once(lab: Lab) -> None:
    async with desk(lab) as pilot:
        await said(pilot, "● ACTIVE", "Bob Smith")
        await pilot.press("f", *"bob")
        await said(pilot, "1 credential")
        await pilot.press("enter", "s")
        await shows(pilot, "Suspend: why?  Bob Smith")
        await pilot.press("enter")
        await said(pilot, f"✓ {wording.done(OperationKind.SUSPEND)}")
        await pilot.press("enter")
        await said(pilot, "1 credential")
        await pilot.press("escape")
        await said(pilot, "✓ The card is up to date.", "● suspended")
    assert FIRST.encode() not in pin(lab)
