"""The list of keys."""

from collections.abc import Sequence
from itertools import zip_longest
from typing import ClassVar, Final

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widgets import Static

from kiosk.station import wording
from kiosk.tui.dialog import Dialog
from kiosk.tui.labels import DONE, OPERATION_KEYS, PRESENT, RUNNING, WAITING

GENERAL: Final = (
    ("Enter", "do what the button says: the obvious next step"),
    ("1 … 9  ↑ ↓", "choose a reader"),
    ("r", "read the card again"),
    ("x", "stop an operation after the step it is in"),
    ("Esc", "put an outcome away, leave a question"),
    ("q", "quit"),
)
LEGEND: Final = (
    (PRESENT, "where the card is in its life"),
    ("┌ a ┐", "a state in reach, and the key that takes the card there"),
    (f"{DONE} {RUNNING} {WAITING}", "a step that is done, running, still to come"),
)


class Help(Dialog[None]):
    """Shows every key of the desk and what the marks mean."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("enter,question_mark,q", "leave", "Close", show=False)]

    def __init__(self, *, virtual: bool) -> None:
        """Add the key for virtual cards where there are any."""
        super().__init__("Keys")
        self._virtual = virtual

    def compose(self) -> ComposeResult:
        """Compose keys and legend."""
        with self.box():
            operations = _pairs([(key, wording.operation(what)) for what, key in OPERATION_KEYS.items()])
            lab = [("v", "insert or pull a virtual card")] if self._virtual else []
            yield Static(_table([*operations, *lab, *GENERAL]), classes="facts")
            yield Static(_table(LEGEND), classes="facts")


def _pairs(entries: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Put two operations into one row, so that a small screen has room for all."""
    rows = []
    for first, second in zip_longest(entries[::2], entries[1::2], fillvalue=("", "")):
        rows.append((first[0], f"{first[1]:<24}{second[0]:<4}{second[1]}".rstrip()))
    return rows


def _table(rows: Sequence[tuple[str, str]]) -> Content:
    return Content("\n").join(
        Content.assemble((key.ljust(12), "bold $primary"), words) for key, words in rows
    )
