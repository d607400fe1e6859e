"""Desk and command line say the same of the same end: every operation, every error, in the words of one module."""

import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from types import SimpleNamespace
from typing import Any, Final

import pytest
from textual.app import App, ComposeResult

import shared.wording
from kiosk import credentials, operate, options
from kiosk.reachable import said_of
from kiosk.station import wording
from kiosk.station.faces import Job, Outcome
from kiosk.tui.failure import Failure
from kiosk.tui.run import Run
from kiosk.tui.told import Told
from kiosk.tui.widgets.card import CardFacts
from kiosk.tui.widgets.steps import StepsPane
from shared import errors
from shared.credential.lifecycle import WITHOUT_CARD
from shared.credential.model import State
from shared.credentials import DecisionView
from shared.relay import OperationKind
from tests.tui.conftest import StillClock
from tests.tui.look import text
from tests.tui.scripted import ScriptedStation, credential, reader

WIDE: Final = (400, 30)
"""No sentence is broken here."""

MARK: Final = re.compile("«[^»]*»")
READER: Final = "Virtual reader 1"
SPOKEN: Final = ("failure", "state", "next_action", "done", "waiting")
"""What says how an operation ended."""

FAILURES: Final = [errors.from_code(code, {}) for code in sorted(errors.BY_CODE)]
ENDS: Final = [
    *(
        Outcome(operation=kind, state=State.ACTIVE, next_action=action)
        for kind in OperationKind
        for action in ("activate", "none")
    ),
    Outcome(operation=OperationKind.REVOKE, state=State.REVOKED, next_action="none", facts={"waiting": 2}),
    *(
        Outcome(
            operation=list(OperationKind)[number % len(OperationKind)],
            state=list(State)[number % len(State)],
            error=error,
            next_action="insert-again",
        )
        for number, error in enumerate(FAILURES)
    ),
]


class Panes(App[None]):
    """What the desk draws of an operation that ended, and of a card that cannot be used."""

    CSS = "StepsPane, CardFacts { height: 1fr } KeyBar { dock: bottom; height: 1 }"

    def compose(self) -> ComposeResult:
        yield StepsPane()
        yield CardFacts()


@pytest.fixture
def marked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let every word of the one module carry a mark that nobody else can have."""

    def mark(name: str) -> Any:
        return lambda said: f"«{name}:{said.code if isinstance(said, errors.KioskError) else said}»"

    for name in SPOKEN:
        monkeypatch.setattr(wording, name, mark(name))


def marks(said: str) -> set[str]:
    return set(MARK.findall(said))


def on_the_command_line(outcome: Outcome) -> list[str]:
    job = Job(operation=outcome.operation, reader=READER)
    result = operate._result(job, outcome)
    assert result.document["message"] == result.lines[0]
    return list(result.lines)


@asynccontextmanager
async def panes() -> AsyncIterator[tuple[Panes, Callable[[], Awaitable[str]]]]:
    """Yield the desk's panes, and a way to read them."""
    app = Panes()
    async with app.run_test(size=WIDE) as pilot:

        async def read() -> str:
            await pilot.pause()
            return text(app)

        yield app, read


def end(app: Panes, outcome: Outcome) -> None:
    """Let the desk see how an operation ended."""
    pane = app.query_one(StepsPane)
    job = Job(operation=outcome.operation, reader=READER)
    pane.run = Run(job, "", StillClock(), pane.changed)
    pane.run.end(outcome)


def test_both_programs_have_one_table_of_failures() -> None:
    assert wording.failure is shared.wording.failure


async def test_every_end_has_the_same_sentences_on_both_faces() -> None:
    async with panes() as (app, read):
        for outcome in ENDS:
            end(app, outcome)
            drawn = await read()
            for sentence in on_the_command_line(outcome):
                assert sentence in drawn, (outcome, drawn)


@pytest.mark.usefixtures("marked")
async def test_no_face_has_words_of_its_own_for_an_end() -> None:
    async with panes() as (app, read):
        for outcome in ENDS:
            typed = on_the_command_line(outcome)
            assert all(MARK.fullmatch(line) for line in typed), typed
            end(app, outcome)
            assert marks(await read()) == marks("".join(typed)), outcome


@pytest.mark.usefixtures("marked")
async def test_no_face_has_words_of_its_own_for_a_card_that_cannot_be_used() -> None:
    async with panes() as (app, read):
        for error in FAILURES:
            view = reader(1, error=error)
            app.query_one(CardFacts).reader = view
            _, *typed = said_of([view], None, {}).lines
            assert all(MARK.fullmatch(line.strip()) for line in typed), typed
            assert marks(await read()) == marks("".join(typed)), error


@pytest.mark.usefixtures("marked")
async def test_no_face_has_words_of_its_own_for_what_did_not_begin(
    capsys: pytest.CaptureFixture[str],
) -> None:
    typed = []
    for error in FAILURES:
        with pytest.raises(SystemExit):
            options.fail(error, as_json=False)
        typed.append(capsys.readouterr().err.strip())
    assert all(MARK.fullmatch(line) for line in typed), typed
    async with panes() as (app, read):
        for error, line in zip(FAILURES, typed, strict=True):
            await app.push_screen(Failure(error))
            assert marks(await read()) == {line}
            app.pop_screen()


@pytest.mark.usefixtures("marked")
async def test_no_face_has_words_of_its_own_for_a_decision_without_the_card(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async with panes() as (app, read):
        for operation in sorted(WITHOUT_CARD):
            for waiting in (0, 2):
                station = ScriptedStation()
                station.waiting = waiting
                state = State.SUSPENDED if operation is OperationKind.RESUME else State.ACTIVE
                station.credentials = [credential(0, state)]

                @asynccontextmanager
                async def opened(_config: object, of: ScriptedStation = station) -> AsyncIterator[object]:
                    yield SimpleNamespace(core=of)

                monkeypatch.setattr(credentials, "opened", opened)
                typed = await credentials.decide(None, operation, "p0", "lost")
                assert all(MARK.fullmatch(line) for line in typed.lines), typed
                decided = DecisionView(state=State.ACTIVE, facts=dict(typed.document["facts"]))
                await app.push_screen(Told(operation, "Anna Berg", decided))
                drawn = await read()
                assert marks(drawn) == marks("".join(typed.lines)), drawn
                app.pop_screen()
