"""Ask for the PIN that the card has now."""

from textual.app import ComposeResult
from textual.content import Content
from textual.widgets import Static

from kiosk.station import wording
from kiosk.tui.dialog import Dialog
from kiosk.tui.labels import FAILED
from kiosk.tui.widgets.detail import tries
from kiosk.tui.widgets.pin import PinField
from shared.errors import KioskError
from shared.secret import Secret


class CurrentPin(Dialog[Secret]):
    """The holder proves to be there; the answer is a `Secret`."""

    def __init__(
        self, tries_left: int | None, problem: KioskError | None, subject: str, heading: str
    ) -> None:
        """`problem` is why the last one was refused; `subject` says whose card, `heading` what for."""
        super().__init__(f"{heading} · Present PIN")
        self._tries_left, self._problem, self._subject = tries_left, problem, subject

    def compose(self) -> ComposeResult:
        """Compose the field, and how many tries are left."""
        with self.box():
            yield Static(Content.styled(self._subject, "$text-dim"), classes="subject")
            yield Static("PIN", classes="label")
            yield PinField(submit=self._typed, id="pin")
            if self._tries_left is not None:
                yield Static(Content.assemble(("Tries  ", "$text-dim"), tries(self._tries_left)), id="tries")
            yield Static(id="problem")

    def on_mount(self) -> None:
        """Begin to type at once."""
        self.query_one(PinField).focus()
        if self._problem is not None:
            words = wording.failure(self._problem)
            self.query_one("#problem", Static).update(Content.styled(f"{FAILED} {words}", "bold $text-error"))

    def _typed(self) -> None:
        field = self.query_one(PinField)
        if field.length:
            self.dismiss(field.take())
        else:
            self.app.bell()
