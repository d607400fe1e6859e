"""Something that an operator should know, and nothing to decide."""

from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widgets import Static

from kiosk.tui.dialog import Dialog


class Notice(Dialog[None]):
    """Says it in sentences."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "leave", "Go on", key_display="Enter"),
        Binding("escape", "leave", show=False),
    ]

    def __init__(self, heading: str, lines: Sequence[str]) -> None:
        """Say `lines`."""
        super().__init__(heading)
        self._lines = lines

    def compose(self) -> ComposeResult:
        """Compose a paragraph for each line."""
        with self.box():
            for words in self._lines:
                yield Static(Content(words), classes="facts")
