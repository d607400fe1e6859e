"""The one screen for what nobody foresaw, and for what stops a question from being asked."""

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widgets import Static

from kiosk.station import wording
from kiosk.tui.dialog import Dialog
from kiosk.tui.labels import FAILED, UNFORESEEN
from shared.errors import KioskError


class Failure(Dialog[None]):
    """Shows a sentence and a stable code, never a traceback: a traceback's locals could hold a PIN."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "leave", "Go on", key_display="Enter"),
        Binding("escape", "leave", show=False),
    ]

    def __init__(self, error: KioskError | None, code: str = "", words: str = UNFORESEEN) -> None:
        """Show `error`, or `words` and `code` where there is no error of ours."""
        super().__init__("That did not work")
        self._words = wording.failure(error) if error else words
        self._code = error.code if error else code

    def compose(self) -> ComposeResult:
        """Compose the sentence, and the code for whoever is asked for help."""
        with self.box():
            yield Static(
                Content.assemble((f"{FAILED} ", "bold $text-error"), (self._words, "bold")),
                classes="question",
            )
            yield Static(Content.styled(f"code {self._code}", "$text-dim"), classes="facts")
