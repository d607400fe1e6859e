"""The System Owner's unblock code on the screen: copied or printed at the second press, and typed again in any case."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from textual.pilot import Pilot

from kiosk.station.faces import Printer
from kiosk.tui.app import DeskApp
from kiosk.tui.owners_code import KeepCode
from shared.secret import Secret
from tests.tui.conftest import Desk
from tests.tui.look import shows, text, until

CODE = "12345678"
SIZE = (80, 24)


class Shelf:
    """A printer that keeps what it is given."""

    def __init__(self, printer: Printer) -> None:
        self.printer = printer
        self.pages: list[bytes] = []

    async def look(self) -> Printer:
        return self.printer

    async def put(self, printer: str, text: Secret) -> str:
        assert printer == self.printer.name
        self.pages.append(text.reveal())
        return ""


class Asked:
    """A desk that shows the question; its answer, and what was copied."""

    def __init__(self, app: DeskApp, monkeypatch: pytest.MonkeyPatch, paper: Shelf | None = None) -> None:
        self.app, self.paper = app, paper
        self.answers: list[bool | None] = []
        self.copied: list[str] = []
        copy = app.copy_to_clipboard

        def noted(words: str) -> None:
            self.copied.append(words)
            copy(words)

        monkeypatch.setattr(app, "copy_to_clipboard", noted)

    @asynccontextmanager
    async def shown(self) -> AsyncIterator[Pilot[None]]:
        async with self.app.run_test(size=SIZE) as pilot:
            dialog = KeepCode(Secret.from_text(CODE), "System Owner · card", self.paper)
            await self.app.push_screen(dialog, self.answers.append)
            yield pilot


async def test_it_is_copied_at_the_second_press_and_not_kept_here(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = Asked(desk(), monkeypatch)
    async with app.shown() as pilot:
        await pilot.press("c")
        await shows(pilot, "stays in the clipboard")
        assert app.copied == []
        await pilot.press("c")
        await shows(pilot, "if your terminal takes it")
        assert app.copied == [CODE]
        assert app.app.clipboard == ""
        await pilot.press("enter", *CODE, "enter")
        await until(pilot, lambda: app.answers == [True])


async def test_it_is_printed_at_the_second_press(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    shelf = Shelf(Printer(name="office"))
    app = Asked(desk(), monkeypatch, shelf)
    async with app.shown() as pilot:
        await pilot.press("p")
        await shows(pilot, "Press p again to print")
        assert shelf.pages == []
        await pilot.press("p")
        await shows(pilot, "It is with the printer office")
        (page,) = shelf.pages
        assert b"1234 5678" in page


@pytest.mark.parametrize(
    ("paper", "why"), [(Shelf(Printer(why="no default printer")), "no default printer"), (None, "no printer")]
)
async def test_it_says_why_it_cannot_be_printed(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, paper: Shelf | None, why: str
) -> None:
    app = Asked(desk(), monkeypatch, paper)
    async with app.shown() as pilot:
        await pilot.press("p", "p")
        await shows(pilot, "It cannot be printed", why)


async def test_a_code_that_is_away_is_neither_copied_nor_printed(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf = Shelf(Printer(name="office"))
    app = Asked(desk(), monkeypatch, shelf)
    async with app.shown() as pilot:
        await pilot.press("enter", "c", "c", "p", "p")
        assert (app.copied, shelf.pages) == ([], [])
        await pilot.press(*"12345670", "enter")
        await shows(pilot, "This is not the code")
        assert "1 2 3 4" in text(app.app)
