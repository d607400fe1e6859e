"""The one screen for what nobody foresaw, and for what stops a question from being asked."""

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widgets import Static

from kiosk.station import wording
from kiosk.tui.dialog import Dialog
from kiosk.tui.labels import FAILED
from shared.errors import KioskError


class Failure(Dialog[None]):
    """Shows a sentence and a stable code, never a traceback: a traceback's locals could hold a PIN."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("enter", "leave", "Go on", key_display="Enter")]

    def __init__(self, error: KioskError | None, code: str = "") -> None:
        """Show `error`, or `code` where there is no error of ours."""
        super().__init__("That did not work")
        self._error, self._code = error, error.code if error else code

    def compose(self) -> ComposeResult:
        """Compose the sentence, and the code for whoever is asked for help."""
        with self.box():
            words = (
                wording.failure(self._error)
                if self._error
                else "Something unexpected happened in this program. Take the card out and insert it again; "
                "what was begun is continued."
            )
            yield Static(
                Content.assemble((f"{FAILED} ", "bold $text-error"), (words, "bold")), classes="question"
            )
            yield Static(Content.styled(f"code {self._code}", "$text-dim"), classes="facts")
