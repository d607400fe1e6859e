"""The last thing before the terminal: what is drawn holds no order to it, whoever the text came from."""

import re

from rich.cells import cell_len
from rich.segment import Segment
from textual.color import Color
from textual.filter import LineFilter

from shared.display import ORDERS

REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


class NoOrders(LineFilter):
    """Take characters that a terminal acts upon out of every line of every widget; a line keeps its width."""

    def apply(self, segments: list[Segment], background: Color) -> list[Segment]:  # noqa: ARG002  # its form
        """Return the segments as they may be written; the framework's own orders travel elsewhere."""
        return [
            Segment(ORDERS.sub(_stand_in, segment.text), segment.style)
            if segment.control is None and ORDERS.search(segment.text)
            else segment
            for segment in segments
        ]


def _stand_in(found: re.Match[str]) -> str:
    return REPLACEMENT * cell_len(found[0])
