"""The System Owner's unblock code: shown once and typed again, so that it was kept; or typed, where it is needed."""

from typing import ClassVar, Final

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widgets import Static

from kiosk.station import wording
from kiosk.tui.dialog import Dialog
from kiosk.tui.labels import FAILED
from kiosk.tui.show_code import CodeText
from kiosk.tui.widgets.pin import PinField
from shared.relay import Question
from shared.secret import Secret

GROUP: Final = 4


class KeepCode(Dialog[bool]):
    """Shows the code until Enter, then has it typed; whoever cannot sees it again."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "hide", "I have written it down", key_display="Enter"),
        Binding("escape", "leave", "Stop: nothing is written", key_display="Esc"),
    ]

    def __init__(self, code: Secret, subject: str) -> None:
        """Show `code`, which stays whose it is."""
        super().__init__("The System Owner's unblock code")
        self._code, self._subject = code, subject

    def compose(self) -> ComposeResult:
        """Compose the code with what it means; the field comes in its place."""
        with self.box():
            yield Static(Content.styled(self._subject, "$text-dim"), classes="subject")
            yield CodeText(_grouped(self._code))
            yield Static(Content.styled("\n".join(wording.CODE_SHOWN), "bold"), classes="question")
            yield Static(wording.CODE_AGAIN, classes="label", id="again")
            yield PinField(submit=self._typed, id="code-again")
            yield Static(id="problem")

    def on_mount(self) -> None:
        """Begin with the code."""
        self._show(shown=True)

    def action_hide(self) -> None:
        """Take the code away, and have it typed."""
        self._show(shown=False)

    def _show(self, *, shown: bool) -> None:
        self.query_one(CodeText).display = shown
        self.query_one(".question").display = shown
        field = self.query_one(PinField)
        field.display = self.query_one("#again").display = not shown
        self.set_focus(None if shown else field)

    def _typed(self) -> None:
        field = self.query_one(PinField)
        if not field.length:
            self.app.bell()
            return
        typed = field.take()
        right = typed == self._code
        typed.wipe()
        if right:
            self.dismiss(result=True)
            return
        words = f"{FAILED} This is not the code. Here it is again."
        self.query_one("#problem", Static).update(Content.styled(words, "bold $text-error"))
        self._show(shown=True)


class PresentCode(Dialog[Secret]):
    """Whoever has the code types it; the answer is a `Secret`."""

    def __init__(self, subject: str, heading: str) -> None:
        """`subject` says which card, `heading` what for."""
        super().__init__(f"{heading} · Unblock code")
        self._subject = subject

    def compose(self) -> ComposeResult:
        """Compose the field."""
        with self.box():
            yield Static(Content.styled(self._subject, "$text-dim"), classes="subject")
            yield Static(wording.question(Question.PRESENT_CODE), classes="label")
            yield PinField(submit=self._typed, id="present-code")

    def on_mount(self) -> None:
        """Begin to type at once."""
        self.query_one(PinField).focus()

    def _typed(self) -> None:
        field = self.query_one(PinField)
        if field.length:
            self.dismiss(field.take())
        else:
            self.app.bell()


def _grouped(code: Secret) -> Secret:
    """Return the code in groups, as it is read; wiped by whoever shows it."""
    digits = code.reveal()
    return Secret(b" ".join(digits[at : at + GROUP] for at in range(0, len(digits), GROUP)))
