"""What came of a decision: the sentences that the command line says too."""

from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widgets import Static

from kiosk.station import wording
from kiosk.tui.dialog import Dialog
from kiosk.tui.labels import DONE
from shared.credential.lifecycle import OperationKind
from shared.credentials import DecisionView


class Told(Dialog[None]):
    """Says that something is decided, and what is left to do."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "leave", "Go on", key_display="Enter"),
        Binding("escape", "leave", show=False),
    ]

    def __init__(self, operation: OperationKind, subject: str, decided: DecisionView) -> None:
        """Tell of `operation`; `subject` says whom it is about."""
        super().__init__(wording.operation(operation))
        self._operation, self._subject = operation, subject
        left = int(decided.facts.get("waiting", 0))
        waits = (wording.waiting(left),) if left else ()
        self._after: Sequence[str] = (*wording.followed(decided.facts), *waits)

    def compose(self) -> ComposeResult:
        """Compose whom it is about, what is decided, and what is left."""
        with self.box():
            yield Static(Content.styled(self._subject, "$text-dim"), classes="subject")
            done = Content.assemble(
                (f"{DONE} ", "bold $text-success"), (wording.done(self._operation), "bold")
            )
            yield Static(done, classes="question")
            for words in self._after:
                yield Static(Content(words), classes="facts")
