"""The list of keys."""

from collections.abc import Sequence
from typing import ClassVar, Final

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widgets import Static

from kiosk.tui.dialog import Dialog
from kiosk.tui.labels import DONE, OPERATION_BUTTONS, OPERATION_KEYS, PRESENT, RUNNING, WAITING

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
            operations = [(key, OPERATION_BUTTONS[operation]) for operation, key in OPERATION_KEYS.items()]
            lab = [("v", "insert or pull a virtual card")] if self._virtual else []
            yield Static(_table([*operations, *lab, *GENERAL]), classes="facts")
            yield Static(_table(LEGEND), classes="facts")


def _table(rows: Sequence[tuple[str, str]]) -> Content:
    return Content("\n").join(
        Content.assemble((key.ljust(12), "bold $primary"), words) for key, words in rows
    )
