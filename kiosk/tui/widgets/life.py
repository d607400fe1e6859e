"""The life of a card as a picture: where it is, and where it may go from here.

Nothing is told by colour alone: the present state is filled, in capitals and marked with a dot; a reachable one
carries its key on its frame. Only characters of the oldest terminal fonts are used.
"""

import itertools
import operator
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from textual.content import Content
from textual.geometry import clamp
from textual.reactive import reactive
from textual.widget import Widget

from kiosk.station import wording
from kiosk.tui.labels import PRESENT, RUNNING, STATE_NAMES
from kiosk.tui.widgets.text import stack
from shared.credential.model import State

PLAIN: Final = "$text-dim"
BRIGHT: Final = "bold $accent"
FILLED: Final = "bold $present-foreground on $present"
KEY: Final = "bold reverse $accent"


@dataclass(frozen=True, slots=True)
class Place:
    """Where a state is drawn: its column (0 to 3), upper or lower row."""

    column: int
    lower: bool


PLACES: Final = {
    State.UNREGISTERED: Place(0, lower=False),
    State.REGISTERED: Place(1, lower=False),
    State.ISSUED: Place(2, lower=False),
    State.ACTIVE: Place(3, lower=False),
    State.SUSPENDED: Place(3, lower=True),
    State.REVOKED: Place(2, lower=True),
    State.RETIRED: Place(1, lower=True),
    State.DELETED: Place(0, lower=True),
}

NEIGHBOURS: Final = {
    State.UNREGISTERED: (State.REGISTERED,),
    State.REGISTERED: (State.UNREGISTERED, State.ISSUED),
    State.ISSUED: (State.ACTIVE,),
    State.ACTIVE: (State.SUSPENDED,),
    State.SUSPENDED: (State.ACTIVE, State.REVOKED),
    State.REVOKED: (State.RETIRED,),
    State.RETIRED: (State.REGISTERED, State.DELETED),
    State.DELETED: (State.UNREGISTERED,),
}
"""The arrows: every way that the table has is drawn as steps between neighbours, however much is left out of it on the
way. An empty card of ours is as good as one in stock. A record may be closed from anywhere; that has its key."""

WIDTHS: Final = (11, 14, 11, 13)
LOW_BOX: Final = 3
HIGH_BOX: Final = 5
LEAST_RISE: Final = 2
LEAST_GAP: Final = 2
LEGEND: Final = f"{PRESENT} the card is here     ┌ a ┐ in reach, with its key"


class Canvas:
    """A grid of cells with a style each, drawn into and then turned into content."""

    def __init__(self, width: int, height: int) -> None:
        """Make an empty grid."""
        self._cells = [[(" ", "")] * width for _ in range(height)]
        self._width, self._height = width, height

    def put(self, x: int, y: int, text: str, style: str) -> None:
        """Write `text` from (x, y) to the right; what falls outside is left out."""
        for offset, character in enumerate(text):
            if 0 <= x + offset < self._width and 0 <= y < self._height:
                self._cells[y][x + offset] = (character, style)

    def content(self) -> Content:
        """Return what was drawn."""
        return Content("\n").join(
            Content.assemble(
                *(
                    ("".join(character for character, _ in run), style)
                    for style, run in itertools.groupby(row, key=operator.itemgetter(1))
                )
            )
            for row in self._cells
        )


class LifePicture(Widget):
    """The picture of the present `state`, and of the `ways` from it: reachable states with their keys.

    A way to the present state itself is an operation that leaves it as it is.
    """

    state: reactive[State | None] = reactive(None)
    ways: reactive[Mapping[State, str]] = reactive(dict)
    goal: reactive[State | None] = reactive(None)
    """Where an operation that runs now is taking the card."""

    BORDER_TITLE = "Life of this card"

    def render(self) -> Content:
        """Draw the picture into the middle of the space there is."""
        width, height = self.size
        if width < sum(WIDTHS) + 3 * LEAST_GAP or height < 2 * LOW_BOX + LEAST_RISE:
            return self._strip(width)
        gap = clamp((width - sum(WIDTHS)) // 3, LEAST_GAP, 7)
        box = HIGH_BOX if height >= 2 * HIGH_BOX + LEAST_RISE + 6 else LOW_BOX
        words = 5 if height >= 2 * box + LEAST_RISE + 5 else 0
        rise = clamp(height - 2 * box - words, LEAST_RISE, 4)
        left = max(0, (width - sum(WIDTHS) - 3 * gap) // 2)
        top = max(0, (height - 2 * box - rise - words) // 2)
        canvas = Canvas(width, height)
        if words:
            below = top + 2 * box + rise
            says = textwrap.wrap(wording.state(self.state), width - 4) if self.state else []
            for row, text in enumerate(says[:2]):
                canvas.put((width - len(text)) // 2, below + 1 + row, text, "bold")
            canvas.put(max(0, (width - len(LEGEND)) // 2), below + 4, LEGEND, PLAIN)
        return _Drawing(self, canvas, left, top, gap, rise, box).draw()

    def _strip(self, width: int) -> Content:
        """Say it in one line, where there is no room for a picture."""
        parts = []
        for state in PLACES:
            key, name = self.ways.get(state, ""), STATE_NAMES[state]
            if state is self.state:
                parts.append(Content.styled(f" {PRESENT} {name.upper()} ", FILLED))
            elif key:
                parts.append(Content.assemble((f" {key} ", KEY), (f" {name}", BRIGHT)))
            else:
                parts.append(Content.styled(name, PLAIN))
        arrow = Content.styled(" ► ", PLAIN)
        rows = [parts[0]]
        for part in parts[1:]:  # a line ends between two states, never between a key and its state
            longer = Content("").join((rows[-1], arrow, part))
            if longer.cell_length <= width:
                rows[-1] = longer
            else:
                rows.append(Content("").join((arrow, part)))
        return stack(rows)


class _Drawing:
    """One drawing of the picture: boxes at their places, arrows between them."""

    def __init__(
        self, picture: LifePicture, canvas: Canvas, left: int, top: int, gap: int, rise: int, box: int
    ) -> None:
        self._state, self._ways, self._goal, self._canvas = picture.state, picture.ways, picture.goal, canvas
        self._gap, self._rise, self._high = gap, rise, box
        self._lefts = [left + sum(WIDTHS[:column]) + column * gap for column in range(len(WIDTHS))]
        self._upper, self._lower = top, top + box + rise
        self._lit = self._lit_ways()

    def draw(self) -> Content:
        for state, place in PLACES.items():
            self._box(state, place)
        self._between(State.UNREGISTERED, State.REGISTERED)
        self._across(State.REGISTERED, State.ISSUED)
        self._across(State.ISSUED, State.ACTIVE)
        self._across(State.SUSPENDED, State.REVOKED)
        self._across(State.REVOKED, State.RETIRED)
        self._across(State.RETIRED, State.DELETED)
        self._up(State.DELETED, State.UNREGISTERED)
        self._up(State.RETIRED, State.REGISTERED)
        self._up_and_down()
        return self._canvas.content()

    def _lit_ways(self) -> set[tuple[State, State]]:
        """Return the arrows on the shortest way from the present state to each reachable one.

        The way to a closed record is lit by its last arrow only: it may be gone from anywhere, and its key says so.
        """
        lit: set[tuple[State, State]] = set()
        if self._state is None:
            return lit
        for goal in self._ways or ([self._goal] if self._goal else []):
            arrows = way(self._state, goal)
            lit.update(arrows if goal is not State.DELETED or len(arrows) == 1 else ())
        return lit

    def _style(self, source: State, goal: State) -> str:
        return BRIGHT if (source, goal) in self._lit else PLAIN

    def _box(self, state: State, place: Place) -> None:
        x, width = self._lefts[place.column], WIDTHS[place.column]
        y = self._lower if place.lower else self._upper
        present, key = state is self._state, self._ways.get(state, "")
        coming = state is self._goal and not present
        style = FILLED if present else BRIGHT if key or coming else PLAIN
        name = STATE_NAMES[state]
        label = f"{PRESENT} {name.upper()}" if present else f"{RUNNING} {name}" if coming else name
        self._canvas.put(x, y, "┌" + "─" * (width - 2) + "┐", style)
        last = self._high - 1
        for row in range(1, last):
            text = label[: width - 2] if row == last // 2 else ""
            self._canvas.put(x, y + row, "│" + text.center(width - 2) + "│", style)
        self._canvas.put(x, y + last, "└" + "─" * (width - 2) + "┘", style)
        if key:
            self._canvas.put(x + 2, y + (last if present else 0), f" {key} ", KEY)

    def _across(self, source: State, goal: State) -> None:
        """Draw the arrow between neighbours of a row, in its direction."""
        first, last = PLACES[source].column, PLACES[goal].column
        y = (self._lower if PLACES[source].lower else self._upper) + self._high // 2
        if first < last:
            x, arrow = self._lefts[last] - self._gap, "─" * (self._gap - 1) + "►"
        else:
            x, arrow = self._lefts[first] - self._gap, "◄" + "─" * (self._gap - 1)
        self._canvas.put(x, y, arrow, self._style(source, goal))

    def _between(self, source: State, goal: State) -> None:
        """Draw the arrow between two neighbours that lead to each other."""
        x = self._lefts[PLACES[goal].column] - self._gap
        y = self._upper + self._high // 2
        there, back = self._style(source, goal), self._style(goal, source)
        self._canvas.put(x, y, "◄", back)
        self._canvas.put(x + 1, y, "─" * (self._gap - 2), there if there == BRIGHT else back)
        self._canvas.put(x + self._gap - 1, y, "►", there)

    def _up(self, source: State, goal: State) -> None:
        """Draw the arrow from a box of the lower row to the one above it."""
        column = PLACES[source].column
        x, top = self._lefts[column] + WIDTHS[column] // 2, self._upper + self._high
        for row in range(self._rise):
            self._canvas.put(x, top + row, "│" if row else "▲", self._style(source, goal))

    def _up_and_down(self) -> None:
        """Draw suspension and its end, between the last column's boxes."""
        down, up = self._lefts[3] + 3, self._lefts[3] + WIDTHS[3] - 4
        top = self._upper + self._high
        for row in range(self._rise):
            last, first = row == self._rise - 1, row == 0
            self._canvas.put(
                down, top + row, "▼" if last else "│", self._style(State.ACTIVE, State.SUSPENDED)
            )
            self._canvas.put(up, top + row, "▲" if first else "│", self._style(State.SUSPENDED, State.ACTIVE))


def way(source: State, goal: State) -> Sequence[tuple[State, State]]:
    """Return the arrows from one state to another, as few as there are; none where it stays."""
    ways: dict[State, tuple[tuple[State, State], ...]] = {source: ()}
    for here in (found := [source]):
        for after in NEIGHBOURS[here]:
            if after not in ways:
                ways[after] = (*ways[here], (here, after))
                found.append(after)
    return ways.get(goal, ())
