"""The operations beside the obvious one: as many as there is room for, the rest is in a menu."""

from collections.abc import Sequence
from typing import Final

from textual.content import Content
from textual.reactive import reactive
from textual.widget import Widget

from kiosk.station import wording
from kiosk.tui.labels import MORE_KEY, OPERATION_KEYS, SELDOM
from kiosk.tui.widgets.text import cut
from shared.relay import OperationKind

GAP: Final = "   "
ENTER: Final = Content.styled("or Enter", "$text-dim")


class Others(Widget):
    """Draws `possible` without its first one, which is on the button; what is seldom wanted is left to the menu."""

    possible: reactive[Sequence[OperationKind]] = reactive(())

    def render(self) -> Content:
        """Draw what fits, and the key of the menu where something is only there."""
        width = self.size.width
        if not self.possible:
            return Content("")
        rest = self.possible[1:]
        often = [operation for operation in rest if operation not in SELDOM]
        parts = [_labelled(OPERATION_KEYS[operation], wording.operation(operation)) for operation in often]
        more = [_labelled(MORE_KEY, "More")]
        while parts and _joined(parts + (more if len(parts) < len(rest) else [])).cell_length > width:
            parts.pop()
        row = parts + (more if len(parts) < len(rest) else [])
        with_enter = _joined([ENTER, *row])
        return cut(with_enter if with_enter.cell_length <= width else _joined(row), width)


def _joined(parts: Sequence[Content]) -> Content:
    return Content(GAP).join(parts)


def _labelled(key: str, words: str) -> Content:
    return Content.assemble((f" {key} ", "bold reverse"), f" {words}")
