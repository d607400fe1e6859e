"""What running things has taught: keys that must do nothing, bursts, words for everything."""

import asyncio
from dataclasses import replace

import pytest
from textual.events import Key
from textual.screen import Screen
from textual.widget import Widget

from kiosk.station import wording
from kiosk.station.faces import Job, Outcome
from kiosk.tui import labels
from kiosk.tui.find_credential import FindCredential
from kiosk.tui.menu import Menu
from kiosk.tui.picture import picture
from kiosk.tui.reason import ChooseReason
from kiosk.tui.run import Mark, Run
from shared import errors
from shared.credential.lifecycle import ENDING, WITHOUT_CARD, OperationKind
from shared.credential.model import State
from shared.credential.pins import Characters
from shared.credential.reasons import OFFERED
from shared.relay import StepLine
from tests.tui.conftest import Desk, StillClock
from tests.tui.look import lines, shows, text, until
from tests.tui.scripted import PEOPLE, TEMPLATES, ScriptedStation, reader


@pytest.mark.parametrize("key", ["ctrl+q", "ctrl+p", "ctrl+c", "ctrl+z", "ctrl+backslash", "f1"])
async def test_the_framework_has_no_keys_of_its_own(desk: Desk, key: str) -> None:
    app = desk()
    async with app.run_test(size=(80, 24)) as pilot:
        await shows(pilot, "● ACTIVE")
        for keys in ((), ("question_mark",), ("escape", "2", "i"), ("escape", "1", "p")):
            await pilot.press(*keys)
            await pilot.pause()
            before, stack = text(app), list(app.screen_stack)
            await pilot.press(key)
            await pilot.pause()
            assert app.is_running
            assert not app._exit
            assert list(app.screen_stack) == stack
            assert text(app).split("searching")[0][:400] == before.split("searching")[0][:400]


async def test_a_burst_of_progress_paints_few_frames(desk: Desk, station: ScriptedStation) -> None:
    gate = station.gate = asyncio.Event()
    await station.put(reader(1, State.ISSUED, PEOPLE[0]))
    app = desk()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("a")
        await shows(pilot, "Choose a new PIN")
        await pilot.press(*"735172", "enter", *"735172", "enter")
        await shows(pilot, "◐ Prove")
        run = app._runs["Virtual reader 1"]
        pane = app._desk.query_one("StepsPane")
        painted = 0
        render = pane.render

        def counted() -> object:
            nonlocal painted
            painted += 1
            return render()

        pane.render = counted  # type: ignore[method-assign,assignment]  # counts, then paints
        lines_of = tuple(StepLine(key="key", facts={"slot": f"{slot:02X}"}) for slot in range(200))
        run.steps(lines_of)
        for _ in range(20):
            for index in range(200):
                run.step(index, done=False, expected_ms=1)
                run.step(index, done=True, expected_ms=0)
        await shows(pilot, "200 of 200")
        assert painted < 20
        gate.set()
        await shows(pilot, "✓ The PIN is set")


async def test_views_in_a_burst_end_at_the_last(desk: Desk, station: ScriptedStation) -> None:
    app = desk()
    async with app.run_test(size=(80, 24)) as pilot:
        await shows(pilot, "● ACTIVE")
        for number in range(300):
            await station.put(reader(1, State.ISSUED if number % 2 else State.ACTIVE, PEOPLE[number % 6]))
        await shows(pilot, "● ISSUED", PEOPLE[299 % 6].name)


async def test_more_steps_than_lines_keep_the_running_one_in_sight(
    desk: Desk, station: ScriptedStation
) -> None:
    station.gate = asyncio.Event()
    await station.put(reader(1, State.ISSUED, PEOPLE[0]))
    app = desk()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("a")
        await shows(pilot, "Choose a new PIN")
        await pilot.press(*"735172", "enter", *"735172", "enter")
        await shows(pilot, "◐ Prove")
        run = app._runs["Virtual reader 1"]
        run.steps([StepLine(key="key", facts={"slot": f"{slot:02X}"}) for slot in range(60)])
        for index in range(40):
            run.step(index, done=True, expected_ms=0)
        run.step(40, done=False, expected_ms=3000)
        await shows(pilot, "◐ Key 28", "✓ Key 27", "· Key 29", "0.0/3 s", "40 of 60")
        station.gate.set()


@pytest.mark.parametrize(
    ("keys", "opens"), [("fso", FindCredential), ("sp", ChooseReason), ("mu", Menu), ("du", ChooseReason)]
)
async def test_what_is_typed_before_the_question_is_there_begins_nothing(
    desk: Desk, station: ScriptedStation, keys: str, opens: type[Screen[object]]
) -> None:
    app = desk()
    async with app.run_test(size=(80, 24)) as pilot:
        await shows(pilot, "● ACTIVE")
        for key in (*keys, "enter"):
            app.post_message(Key(key, key if len(key) == 1 else None))
        await until(pilot, lambda: isinstance(app.screen, opens))
        await pilot.pause(0.2)
        assert not any(isinstance(asked, Job) for asked in station.asked)
        await pilot.press("escape")
        await until(pilot, lambda: not app.screen.is_modal)
        await pilot.press("p")
        await shows(pilot, "Change PIN · Present PIN")


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
async def test_every_question_fits(desk: Desk, size: tuple[int, int]) -> None:
    app = desk()
    async with app.run_test(size=size) as pilot:
        await shows(pilot, "● ACTIVE")
        for keys, words in (
            (("question_mark",), "running, still to come"),
            (("escape", "v"), "Plain PIV card"),
            (("escape", "2", "i"), "6 people"),
            (("enter",), "9E  P-256"),
            (("enter",), "No, go back"),
            (("escape", "1", "m"), "closes the record"),
            (("d",), "Delete the record: why?"),
            (("enter",), "This cannot be undone."),
            (("escape", "p"), "Tries"),
            ((*"123456", "enter"), "no rows such as"),
        ):
            for key in keys:
                await pilot.press(key)
                await pilot.pause()
            await shows(pilot, words)
            box = app.screen.query_one(".dialog")
            assert app.screen.region.contains_region(box.region)
            assert box.max_scroll_y == 0, "something in the box is cut"
            for child in box.walk_children(Widget):
                assert not child.display or box.region.contains_region(child.region), child
            shown = "\n".join(lines(app))
            assert all(corner in shown for corner in "╔╗╚╝")


def test_every_operation_state_and_kind_of_character_has_words() -> None:
    assert set(labels.OPERATION_KEYS) == set(OperationKind)
    assert len(set(labels.OPERATION_KEYS.values())) == len(OperationKind)
    assert not set(labels.OPERATION_KEYS.values()) & set("qvrxjkmfhty?")
    assert set(labels.OPERATION_BUTTONS) == set(labels.CONTINUE_BUTTONS) == set(OperationKind)
    assert set(labels.OPERATION_CUT) == set(OperationKind)
    assert set(labels.STATE_NAMES) == set(State)
    assert all(wording.characters(kind) for kind in Characters)
    assert set(labels.OPERATION_WORDS) == set(OperationKind)
    assert set(labels.OPERATION_WORDS_AWAY) == WITHOUT_CARD
    grouped = [operation for group in labels.GROUPS.values() for operation in group]
    assert sorted(grouped) == sorted(OperationKind)
    assert set(labels.CAUSES_OF) == set(labels.ENDINGS) == set(labels.PIN_TAKEN) == ENDING
    assert set().union(*labels.CAUSES_OF.values()) == set(OFFERED)


def test_y_agrees_and_begins_nothing() -> None:
    """Whoever agrees twice has agreed once: the second key must not start what is in reach after the first."""
    assert "y" not in labels.OPERATION_KEYS.values()


def test_a_changed_plan_keeps_the_marks_of_what_is_the_same() -> None:
    changes: list[None] = []
    job = Job(operation=OperationKind.ISSUE, reader="r")
    run = Run(job, "", StillClock(), lambda: changes.append(None))
    first, second, third = (StepLine(key=key) for key in ("chuid", "ccc", "puk"))
    run.steps([first, second])
    run.step(0, done=True, expected_ms=0)
    run.step(1, done=False, expected_ms=900)
    run.step(7, done=True, expected_ms=0)
    run.steps([first, third])
    assert [state.mark for state in run.states] == [Mark.DONE, Mark.WAITING]
    run.step(1, done=False, expected_ms=0)
    run.end(Outcome(operation=OperationKind.ISSUE, state="issued"))
    assert [state.mark for state in run.states] == [Mark.DONE, Mark.DONE]
    assert not run.running
    assert len(changes) == 6


async def test_a_picture_is_whole_in_itself(desk: Desk) -> None:
    svg = await picture(desk(), (120, 40), ["2"])
    assert svg.startswith("<svg")
    assert "NEW" in svg
    assert "@font-face" not in svg
    assert "http" not in svg.replace("http://www.w3.org/2000/svg", "").replace(
        "https://www.textualize.io", ""
    )


async def test_nothing_is_painted_while_a_question_waits(desk: Desk, station: ScriptedStation) -> None:
    await station.put(reader(1, State.ISSUED, PEOPLE[0]))
    app = desk()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("a")
        await shows(pilot, "Choose a new PIN")
        pane = app._desk.query_one("StepsPane")
        await pilot.pause(0.3)
        painted: list[None] = []
        render = pane.render

        def counted() -> object:
            painted.append(None)
            return render()

        pane.render = counted  # type: ignore[method-assign,assignment]  # counts, then paints
        await pilot.pause(1.0)
        assert not painted


@pytest.mark.parametrize("size", [(79, 23), (60, 18), (20, 5), (1, 1)])
async def test_a_window_may_shrink_to_nothing_and_grow_again(
    desk: Desk, station: ScriptedStation, size: tuple[int, int]
) -> None:
    station.ends = lambda _job: errors.CardLost()
    app = desk()
    async with app.run_test(size=(120, 40)) as pilot:
        await shows(pilot, "● ACTIVE")
        for keys in ((), ("question_mark",), ("escape", "v"), ("escape", "2", "i"), ("escape", "1", "p")):
            await pilot.press(*keys)
            for narrow in (size, (120, 40)):
                await pilot.resize_terminal(*narrow)
                await pilot.pause()
        await shows(pilot, "Present PIN")
        await pilot.press(*"123456", "enter")
        await shows(pilot, "Choose a new PIN")
        await pilot.press(*"482915", "enter", *"482915", "enter")
        await shows(pilot, "The card left the reader")
        await pilot.resize_terminal(*size)
        await pilot.pause()
        assert app._exception is None


@pytest.mark.parametrize("steps", [1, 2])
async def test_enter_does_not_overtake_the_cursor(desk: Desk, station: ScriptedStation, steps: int) -> None:
    """A fast typist's keys, or those that a slow line brings together, count in their order."""
    station.template_list = [replace(TEMPLATES[0], name=str(at), title=f"Kind {at}") for at in range(3)]
    app = desk()
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("2", "i")
        await shows(pilot, "6 people")
        await pilot.press("enter")
        await shows(pilot, "Kind 2")
        for key in (*["down"] * steps, "enter"):
            app.post_message(Key(key, None))
        await shows(pilot, "Write this card now?", f"Kind {steps}")
