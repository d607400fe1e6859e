"""Show a code that somebody reads out: big, in groups, and gone when the question is.

It is on the screen and nowhere else: no title, log or picture has it. Wiping is best effort: what was drawn was text.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import ClassVar, Final

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.reactive import reactive
from textual.screen import Screen
from textual.widget import Widget
from textual.widgets import Static

from kiosk.tui.dialog import Dialog
from shared.secret import Secret

CONCEALED: Final = "●"
HIGH: Final = 3
"""Lines of the field that the code is written in."""


class CodeText(Widget):
    """Draws a code, a group to a field. Wipes it when it leaves the screen."""

    conceals: reactive[bool] = reactive(default=False)

    def __init__(self, code: Secret) -> None:
        """Take over `code`."""
        super().__init__(id="code")
        self._code = code

    @classmethod
    @contextmanager
    def concealed(cls, screen: Screen[object]) -> Iterator[None]:
        """Draw dots in place of every code on `screen`, for as long as a picture is taken."""
        shown = list(screen.query(cls))
        for one in shown:
            one.conceals = True
        try:
            yield
        finally:
            for one in shown:
                one.conceals = False

    def render(self) -> Content:
        """Draw the groups with room between their characters."""
        blank = Content("   ")
        groups = self._code.reveal().decode().split()
        fields = [
            Content.styled(
                f"  {' '.join(CONCEALED * len(group) if self.conceals else group)}  ", "bold reverse"
            )
            for group in groups
        ]
        edges = [Content.styled(" " * field.cell_length, "reverse") for field in fields]
        return Content("\n").join(blank.join(row) for row in (edges, fields, edges))

    def on_unmount(self) -> None:
        """Leave nothing behind, whichever way the screen went."""
        self._code.wipe()


class ShowCode(Dialog[None]):
    """Shows a code until it is put away; no key that is pressed by the way does that."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "leave", "Hide it", key_display="Esc"),
    ]

    def __init__(self, heading: str, subject: str, code: Secret, words: str) -> None:
        """Take over `code`; `subject` says whose it is, `words` what becomes of it."""
        super().__init__(heading)
        self._subject, self._code, self._words = subject, code, words

    def compose(self) -> ComposeResult:
        """Compose whose it is, the code, and what becomes of it."""
        with self.box():
            yield Static(Content.styled(self._subject, "$text-dim"), classes="subject")
            yield CodeText(self._code)
            yield Static(Content.styled(self._words, "bold"), classes="question")
            yield Static(Content.assemble((" Esc ", "bold reverse"), "  Hide it"), classes="choices")
