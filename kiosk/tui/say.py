"""One line of text from whoever is at the desk: a reason, a note."""

from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widgets import Input, Static

from kiosk.tui.confirm import fact_rows
from kiosk.tui.dialog import Dialog


class Say(Dialog[str]):
    """Asks for a line; None means that nothing is to begin."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "say", "Go on", key_display="Enter", priority=True),
    ]

    def __init__(
        self,
        heading: str,
        label: str,
        *,
        yes: str,
        longest: int,
        facts: Sequence[tuple[str, str]] = (),
        text: str = "",
        needed: bool = True,
    ) -> None:
        """Ask for what `label` names, under `facts` and `text`; `yes` says what Enter does. Empty is no answer where it is `needed`."""
        super().__init__(heading)
        self._label, self._yes, self._longest = label, yes, longest
        self._facts, self._text, self._needed = facts, text, needed

    def compose(self) -> ComposeResult:
        """Compose what it is about, the line, and the ways out."""
        with self.box():
            if self._facts:
                yield Static(Content("\n").join(fact_rows(self._facts)), classes="facts")
            if self._text:
                yield Static(Content.styled(self._text, "bold"), classes="question")
            yield Static(Content(self._label), classes="label")
            yield Input(max_length=self._longest, id="text", select_on_focus=False)
            yield Static(
                Content.assemble(
                    (" Enter ", "bold reverse"),
                    f"  {self._yes}      ",
                    (" Esc ", "bold reverse"),
                    "  No, go back",
                ),
                classes="choices",
            )

    def action_say(self) -> None:
        """Answer with what was typed."""
        said = " ".join(self.query_one(Input).value.split())
        if said or not self._needed:
            self.dismiss(said)
        else:
            self.app.bell()
