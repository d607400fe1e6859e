"""PIN entry: what it accepts, what it says, and that nothing of the PIN stays anywhere."""

import asyncio
import gc

import pytest
from textual import events
from textual.app import App, ComposeResult

from kiosk.tui.current_pin import CurrentPin
from kiosk.tui.failure import Failure
from kiosk.tui.new_pin import NewPin
from kiosk.tui.widgets.pin import PinField
from shared import errors
from shared.credential.lifecycle import OperationKind, reachable
from shared.credential.model import State
from shared.credential.pins import PinPolicy
from shared.secret import Secret
from tests.tui.conftest import Desk
from tests.tui.look import shows, text, until
from tests.tui.scripted import PEOPLE, ScriptedStation, reader, record

CANARY = "80361749"


class FieldApp(App[None]):
    def compose(self) -> ComposeResult:
        yield PinField(submit=lambda: None, id="pin")


async def test_a_field_takes_eight_characters_and_wipes_itself() -> None:
    app = FieldApp()
    async with app.run_test(size=(80, 24)) as pilot:
        field = app.query_one(PinField)
        field.focus()
        await pilot.press(*CANARY, "9", "é", "tab")
        assert field.length == 8
        await pilot.press("backspace")
        assert field.length == 7
        assert field._typed[7] == 0
        assert CANARY[:6] not in repr(field) + str(vars(field).get("_reactive_", ""))
        secret = field.take()
        assert secret.reveal() == CANARY[:7].encode()
        assert field.length == 0
        assert not any(field._typed)
        await pilot.press(*CANARY)
        typed = field._typed
        assert any(typed)
        await field.remove()
        assert not any(typed)


async def test_wrong_forms_are_refused_with_a_reason(desk: Desk, station: ScriptedStation) -> None:
    await station.put(reader(1, State.ISSUED, PEOPLE[0]))
    app = desk()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("a")
        await shows(pilot, "Choose a new PIN", "· 6 to 8 characters", "· digits only", "· typed twice")
        await pilot.press(*"735", "enter")
        await shows(pilot, "✗ The PIN is too short or too long.")
        await pilot.press(*"172")
        await shows(pilot, "✓ 6 to 8 characters", "✓ digits only")
        await pilot.press("backspace", "x", "enter")
        await shows(pilot, "✗ The PIN has characters that are not allowed.", "· digits only")
        await pilot.press(*["backspace"] * 8, *"345678", "enter")
        await shows(pilot, "✗ The digits must not simply count up or down.")
        assert app.screen.query_one("#first", PinField).length == 0
        await pilot.press(*"111111", "enter")
        await shows(pilot, "✗ The PIN must not be one digit repeated.")
        await pilot.press(*"735172", "enter", *"735173", "enter")
        await shows(pilot, "✗ The two are not the same.")
        assert station.pins == []
        await pilot.press(*"735172", "enter")
        await shows(pilot, "✓ The PIN is set")
        assert station.pins == [b"735172"]


async def test_the_rules_say_what_is_asked_and_nothing_of_the_holder(
    desk: Desk, station: ScriptedStation
) -> None:
    """In the smallest window, with the longest of everything."""
    station.policy = PinPolicy(personal=("07031984", "070384"), present=Secret(b"739154"))
    station.problem = errors.PinPolicyViolated(rule="personal")
    await station.put(reader(1, State.ISSUED, PEOPLE[0]))
    app = desk()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("a")
        await shows(
            pilot,
            "· no rows such as 1234 or 1111, nothing well-known",
            "· not the present PIN, no birth date or number of yours",
            "✗ The PIN must not be taken from the holder's own data",
        )
        box = app.screen.query_one(".dialog")
        assert app.screen.region.contains_region(box.region)
        assert box.max_scroll_y == 0, "something in the box is cut"
        for pin, words in (("070384", "the holder's own data"), ("739154", "must not be the present one")):
            await pilot.press(*pin)
            await shows(pilot, "✓ 6 to 8 characters")
            assert pin not in "".join(filter(str.isdigit, text(app)))
            await pilot.press("enter")
            await shows(pilot, words)
            assert app.screen.query_one("#first", PinField).length == 0
        picture = app.export_screenshot()
        assert not any(text in picture for text in ("070384", "07031984", "739154"))
        await pilot.press(*"735172", "enter", *"735172", "enter")
        await shows(pilot, "✓ The PIN is set")
        assert station.pins == [b"735172"]
    station.policy = PinPolicy()


async def test_while_typing_nothing_is_said_of_the_value(desk: Desk, station: ScriptedStation) -> None:
    await station.put(reader(1, State.ISSUED, PEOPLE[0]))
    seen = []
    for pin in ("123456", "111111", "735172"):
        app = desk()
        async with app.run_test(size=(80, 24)) as pilot:
            await pilot.press("a")
            await shows(pilot, "Choose a new PIN")
            await pilot.press(*pin)
            await shows(pilot, "✓ 6 to 8 characters")
            seen.append(text(app))
            await pilot.press("escape")
            await shows(pilot, "stopped")
    assert seen[0] == seen[1] == seen[2]


async def test_change_pin_shows_tries_and_the_last_problem(desk: Desk, station: ScriptedStation) -> None:
    station.tries_left, station.problem = 2, errors.PinRejected(tries_left=2)
    app = desk()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("p")
        await shows(pilot, "Present PIN", "● ● ○  2 left", "✗ The PIN is wrong: 2 tries left.")
        await pilot.press("enter")
        assert isinstance(app.screen, CurrentPin)
        await pilot.press(*"123456", "enter")
        await shows(pilot, "Choose a new PIN")
        await pilot.press(*"735172", "tab", *"735172", "enter")
        await shows(pilot, "✓ The PIN is changed.")
        assert station.pins == [b"123456", b"735172"]


async def test_a_change_that_is_due_is_said_and_is_the_obvious_next_thing(
    desk: Desk, station: ScriptedStation
) -> None:
    rest = [way for way in reachable(State.ACTIVE) if way is not OperationKind.CHANGE_PIN]
    due = record(
        State.ACTIVE,
        PEOPLE[0],
        notices=("update-needed", "pin-change-due"),
        reachable=(OperationKind.CHANGE_PIN, *rest),
    )
    await station.put(reader(1, State.ACTIVE, PEOPLE[0], record=due))
    app = desk()
    async with app.run_test(size=(80, 24)) as pilot:
        await shows(pilot, "! The PIN is due to be changed by its holder.", " p   Change the PIN")
        await pilot.press("enter")
        await shows(pilot, "Present PIN")
        await pilot.press(*"739154", "enter", *"735172", "enter", *"735172", "enter")
        await shows(pilot, "✓ The PIN is changed.")
        await until(pilot, lambda: "is due to be changed" not in text(app))


async def test_few_tries_are_confirmed(desk: Desk, station: ScriptedStation) -> None:
    station.few_tries = 1
    app = desk()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("p")
        await shows(pilot, "Few tries left", "only one try left")
        await pilot.press("enter")
        await shows(pilot, "Few tries left")
        await pilot.press("n")
        await shows(pilot, "Change PIN stopped", "It was cancelled.")
        await pilot.press("p")
        await shows(pilot, "Few tries left")
        await pilot.press("y")
        await shows(pilot, "Present PIN")


async def test_the_question_goes_when_nobody_waits_for_the_answer(
    desk: Desk, station: ScriptedStation
) -> None:
    await station.put(reader(1, State.ISSUED, PEOPLE[0]))
    app = desk()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("a")
        await shows(pilot, "Choose a new PIN")
        await pilot.press(*CANARY)
        field = app.screen.query_one("#first", PinField)
        typed = field._typed
        app._jobs._workers["Virtual reader 1"].cancel()
        await until(pilot, lambda: not app.screen.is_modal)
        assert not any(typed)


def secrets_alive() -> int:
    """Count the secrets that are not wiped; other tests of this process may have left some."""
    gc.collect()
    return sum(1 for thing in gc.get_objects() if isinstance(thing, Secret) and not thing.wiped)


@pytest.mark.parametrize("leave", ["escape", "enter", "exit"])
async def test_no_trace_of_a_pin_is_left(
    desk: Desk, station: ScriptedStation, leave: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = secrets_alive()
    await station.put(reader(1, State.ISSUED, PEOPLE[0]))
    app = desk()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("a")
        await shows(pilot, "Choose a new PIN")
        screen = app.screen
        assert isinstance(screen, NewPin)
        await pilot.press(*CANARY)
        first = screen.query_one("#first", PinField)
        typed = first._typed
        picture = app.export_screenshot()
        assert "●" in picture
        assert CANARY not in picture
        assert CANARY not in "".join(character for character in text(app) if character.isdigit())
        assert all(CANARY not in repr(node) for node in screen.walk_children())
        if leave == "escape":
            await pilot.press("escape")
            await shows(pilot, "stopped")
        elif leave == "enter":
            await pilot.press("enter", *CANARY, "enter")
            await shows(pilot, "✓ The PIN is set")
        else:
            app.exit()
            await until(pilot, lambda: app._exit)
    assert not any(typed)
    station.pins.clear()
    gc.collect()
    assert secrets_alive() == before
    shown = capsys.readouterr()
    assert CANARY not in shown.out + shown.err


async def test_what_explodes_shows_a_code_and_no_locals(
    desk: Desk, station: ScriptedStation, capsys: pytest.CaptureFixture[str]
) -> None:
    station.explodes = RuntimeError(f"with {CANARY} inside")
    app = desk()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("p")
        await shows(pilot, "That did not work", "Something unexpected happened", "code program-fault")
        assert CANARY not in app.export_screenshot()
        await pilot.press("enter")
        await shows(pilot, "✗ Change PIN stopped", "Insert the card again")
        assert CANARY not in app.export_screenshot()
        await pilot.press("escape")
        await shows(pilot, "● ACTIVE")
    shown = capsys.readouterr()
    assert CANARY not in shown.out + shown.err


async def test_a_fault_in_the_screen_itself_prints_no_locals(
    desk: Desk, capsys: pytest.CaptureFixture[str]
) -> None:
    app = desk()

    def explode() -> None:
        pin = CANARY
        raise RuntimeError(pin[:0] + "boom")

    async def run() -> None:
        async with app.run_test(size=(80, 24)) as pilot:
            await shows(pilot, "● ACTIVE")
            app.call_later(explode)
            await asyncio.sleep(0.1)

    with pytest.raises(RuntimeError, match="boom"):
        await run()
    assert app.return_code == errors.StationFault.exit_code
    shown = capsys.readouterr()
    assert "ended unexpectedly (program-fault, RuntimeError)" in shown.out + shown.err
    assert CANARY not in shown.out + shown.err
    assert "Traceback" not in shown.out + shown.err


async def test_a_question_taken_back_under_another_screen_goes_when_that_one_does(
    desk: Desk, station: ScriptedStation
) -> None:
    await station.put(reader(1, State.ISSUED, PEOPLE[0]))
    app = desk()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("a")
        await shows(pilot, "Choose a new PIN")
        await pilot.press(*CANARY)
        typed = app.screen.query_one("#first", PinField)._typed
        await app.push_screen(Failure(errors.ServerUnreachable(server="s", reason="r")))
        app._jobs._workers["Virtual reader 1"].cancel()
        await until(pilot, lambda: not app._jobs._workers)
        await shows(pilot, "The server s does not answer (r).")
        await pilot.press("enter")
        await until(pilot, lambda: not app.screen.is_modal)
        assert not any(typed)


async def test_a_fast_typist_is_followed_to_the_second_field(desk: Desk, station: ScriptedStation) -> None:
    await station.put(reader(1, State.ISSUED, PEOPLE[0]))
    app = desk()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("a")
        await shows(pilot, "Choose a new PIN")
        for key in (*CANARY, "enter", *CANARY, "enter"):
            app.post_message(events.Key(key, key if len(key) == 1 else None))
        await shows(pilot, "✓ The PIN is set")
