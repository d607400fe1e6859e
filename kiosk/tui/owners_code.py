"""The System Owner's unblock code: shown once, copied or printed where somebody wants that, and typed again; or typed, where it is needed."""

from typing import ClassVar, Final

from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widgets import Static

from kiosk.station import wording
from kiosk.station.faces import Paper
from kiosk.tui.dialog import Dialog
from kiosk.tui.labels import FAILED
from kiosk.tui.show_code import CodeText
from kiosk.tui.widgets.pin import PinField
from shared.relay import Question
from shared.secret import Secret

GROUP: Final = 4
COPY: Final = "copy"
PRINT: Final = "print"


class KeepCode(Dialog[bool]):
    """Shows the code until Enter, then has it typed; whoever cannot sees it again.

    It may be copied to the terminal's clipboard, or printed, where a second press says that it is known what that leaves behind.
    """

    AUTO_FOCUS = ""
    """Not to the field, which is not there yet: None would be the app's choice."""
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "hide", "I have it", key_display="Enter"),
        Binding("c", "copy", "Copy"),
        Binding("p", "print", "Print"),
        Binding("escape", "leave", "Stop, write nothing", key_display="Esc"),
    ]

    def __init__(self, code: Secret, subject: str, paper: Paper | None = None) -> None:
        """Show `code`, which stays whose it is; without `paper` nothing is printed."""
        super().__init__("The System Owner's unblock code")
        self._code, self._subject, self._paper = code, subject, paper
        self._shown = True
        self._warned = ""
        """What a second press does: `copy`, or `print` and the printer's name."""

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

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002  # Textual's
        """Offer what can be done with a code only while it is shown."""
        return self._shown if action in ("hide", "copy", "print") else True

    def action_hide(self) -> None:
        """Take the code away, and have it typed."""
        self._say("")
        self._show(shown=False)

    def action_copy(self) -> None:
        """Say where a copy stays; at the second press, copy."""
        if self._warned != COPY:
            self._warned = COPY
            self._say(wording.CODE_COPY_STAYS)
            return
        self._warned = ""
        self.app.copy_to_clipboard(self._code.reveal().decode())
        self.app._clipboard = ""  # noqa: SLF001  # the framework keeps a copy of its own, and has no way to forget it
        self._say(wording.CODE_COPIED)

    @work(exit_on_error=False, exclusive=True, group=PRINT)
    async def action_print(self) -> None:
        """Say where a print stays, or why there is none; at the second press, print."""
        if self._paper is None:
            self._say(wording.CODE_NO_PRINT.format(why="there is no printer at this desk"))
            return
        if not self._warned.startswith(PRINT):
            printer = await self._paper.look()
            self._warned = f"{PRINT} {printer.name}" if printer.name else ""
            words = wording.CODE_PRINT_STAYS if printer.name else wording.CODE_NO_PRINT
            self._say(words.format(printer=printer.name, why=printer.why))
            return
        name, self._warned = self._warned.removeprefix(f"{PRINT} "), ""
        page = Secret(
            b"\n\n".join((wording.CODE_ON_PAPER.encode(), self._subject.encode(), _digits(self._code), b""))
        )
        try:
            why = await self._paper.put(name, page)
        finally:
            page.wipe()
        self._say(wording.CODE_NO_PRINT.format(why=why) if why else wording.CODE_PRINTED.format(printer=name))

    def _say(self, words: str) -> None:
        """Say something in the place of what the code means; nothing says that again."""
        said = words or "\n".join(wording.CODE_SHOWN)
        self.query_one(".question", Static).update(Content.styled(said, "bold"))

    def _show(self, *, shown: bool) -> None:
        self._shown = shown
        self.query_one(CodeText).display = shown
        self.query_one(".question").display = shown
        field = self.query_one(PinField)
        field.display = self.query_one("#again").display = not shown
        self.set_focus(None if shown else field)
        self.refresh_bindings()

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
    return Secret(_digits(code))


def _digits(code: Secret) -> bytes:
    digits = code.reveal()
    return b" ".join(digits[at : at + GROUP] for at in range(0, len(digits), GROUP))
