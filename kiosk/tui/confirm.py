"""A question with yes and no."""

import textwrap
from collections.abc import Sequence
from typing import ClassVar, Final

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widgets import Static

from kiosk.tui.dialog import Dialog

LABEL_WIDTH: Final = 12
FACT_WIDTH: Final = 46
"""What is left of the box beside the labels."""


class Confirm(Dialog[bool]):
    """Show what is about to happen and ask. Enter says yes only where yes is harmless; `y` always does."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "agree_quickly", "Yes", key_display="Enter"),
        Binding("y", "agree", "Yes"),
        Binding("n", "refuse", "No"),
    ]

    def __init__(
        self, heading: str, text: str, *, yes: str, facts: Sequence[tuple[str, str]] = (), risky: bool = False
    ) -> None:
        """Ask `text`; `yes` says what happens then; `facts` are shown as a table above it."""
        super().__init__(heading)
        self._text, self._yes, self._facts, self._risky = text, yes, facts, risky

    def compose(self) -> ComposeResult:
        """Compose the facts, the question, and the two ways out."""
        with self.box():
            if self._facts:
                yield Static(Content("\n").join(fact_rows(self._facts)), classes="facts")
            yield Static(
                Content.styled(self._text, "bold $text-warning" if self._risky else "bold"),
                classes="question",
            )
            key = "y" if self._risky else "Enter"
            yield Static(
                Content.assemble(
                    (f" {key} ", "bold reverse"),
                    f"  {self._yes}      ",
                    (" n ", "bold reverse"),
                    "  No, go back",
                ),
                classes="choices",
            )

    def on_mount(self) -> None:
        """Mark a question that should make one stop."""
        self.set_class(self._risky, "-risky")

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002  # Textual's
        """Keep Enter away from a risky question."""
        return not (action == "agree_quickly" and self._risky) and not (action == "agree" and not self._risky)

    def action_agree_quickly(self) -> None:
        """Say yes."""
        self.dismiss(result=True)

    def action_agree(self) -> None:
        """Say yes."""
        self.dismiss(result=True)

    def action_refuse(self) -> None:
        """Say no."""
        self.dismiss(result=False)


def fact_rows(facts: Sequence[tuple[str, str]], width: int = FACT_WIDTH) -> list[Content]:
    """Return labels and values as a table; what does not fit into `width` beside its label goes on below."""
    return [row for name, value in facts for row in _fact(name, value, width)]


def _fact(name: str, value: str, width: int) -> list[Content]:
    first, *more = textwrap.wrap(value, width) or [""]
    return [
        Content.assemble((name.ljust(LABEL_WIDTH), "$text-dim"), first),
        *(Content(" " * LABEL_WIDTH + part) for part in more),
    ]
