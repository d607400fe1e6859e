"""Where a card differs from its record, as a short diff with the way to mend it."""

from collections.abc import Sequence
from typing import Final

from textual.content import Content

from kiosk.station.drift_words import MEND, Line, drift_lines
from kiosk.tui.widgets.text import cut, wrapped
from shared.console import CardView

MORE: Final = "…"
SIGN_WIDTH: Final = 2
_STYLES: Final = {
    "-": "$text-error",
    "+": "$text-warning",
    "~": "$text-warning",
    MEND: "bold",
    MORE: "$text-dim",
}


def drift_rows(
    record: CardView, width: int, room: int, *, low: bool, besides: frozenset[str] = frozenset()
) -> list[Content]:
    """Return a card's drift, in at most `room` lines; `besides` is said elsewhere.

    What does not fit is counted; the way to mend what is shown always is shown. On a `low` screen a long line is cut to
    `width`, on others it goes on below.
    """
    rows: list[Content] = []
    for line in fitted(drift_lines(record, besides=besides), room):
        style = _STYLES.get(line.sign, "")
        signs = [line.sign]
        words, measure = Content(line.text), width - SIGN_WIDTH
        for part in [cut(words, measure)] if low else wrapped(words, measure):
            sign = signs.pop() if signs else ""
            rows.append(Content.assemble((sign.ljust(SIGN_WIDTH), f"bold {style}"), (part.plain, style)))
    return rows


def fitted(lines: Sequence[Line], room: int) -> Sequence[Line]:
    """Return at most `room` lines (of three or more): whole groups, each with its mend, and how much is missing."""
    if len(lines) <= room:
        return lines
    kept: list[Line] = []
    group: list[Line] = []
    for line in lines:
        if line.sign != MEND:
            group.append(line)
            continue
        part = group[: max(0, room - len(kept) - 2)]  # one line for the mend, one for what is missing
        if part:
            kept += [*part, line]
        if len(part) < len(group):
            break
        group = []
    missing = sum(line.sign != MEND for line in lines) - sum(line.sign != MEND for line in kept)
    return [*kept, Line(sign=MORE, text=f"{missing} more; the command “kiosk card” lists all.")]
