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
from kiosk.tui.labels import (
    APPROVALS_KEY,
    DONE,
    FIND_KEY,
    GROUPS,
    LOG_OFF_KEY,
    MORE_KEY,
    OPERATION_KEYS,
    OPERATORS_KEY,
    PRESENT,
    RUNNING,
    WAITING,
)

KEY_WIDTH: Final = 6
COLUMN_WIDTH: Final = 36

GENERAL: Final = (
    ("Enter", "the obvious next step"),
    (MORE_KEY, "all that may be done now"),
    (FIND_KEY, "find, without the card"),
    (APPROVALS_KEY, "approvals, yours and others'"),
    (OPERATORS_KEY, "operators and their roles"),
    ("1-9", "choose a reader, or ↑ ↓"),
    ("r", "read the card again"),
    ("x", "stop after this step"),
    ("Esc", "leave; put an outcome away"),
    (LOG_OFF_KEY, "log off"),
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
            operations = [
                (OPERATION_KEYS[what], wording.operation(what)) for group in GROUPS.values() for what in group
            ]
            lab = [("v", "insert, pull a virtual card")] if self._virtual else []
            yield Static(_columns(operations), classes="facts")
            yield Static(_columns([*GENERAL, *lab]), classes="facts")
            yield Static(Content("\n").join(_entry(*entry) for entry in LEGEND), classes="facts")


def _columns(entries: Sequence[tuple[str, str]]) -> Content:
    """Draw entries in two columns, so that a small screen has room for all."""
    half = (len(entries) + 1) // 2
    return Content("\n").join(
        Content.assemble(_entry(*left).truncate(COLUMN_WIDTH, pad=True), _entry(*right))
        for left, right in zip_longest(entries[:half], entries[half:], fillvalue=("", ""))
    )


def _entry(key: str, words: str) -> Content:
    return Content.assemble((key.ljust(KEY_WIDTH), "bold $primary"), words)
