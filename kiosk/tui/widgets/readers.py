"""The readers of this desk: what is in each, and which one is chosen."""

from typing import Final

from textual.content import Content
from textual.reactive import reactive
from textual.widget import Widget

from kiosk.station import wording
from kiosk.station.faces import CardSeen, ReaderView
from kiosk.tui.labels import ABSENT, FAILED, PRESENT, RUNNING, STATE_NAMES
from kiosk.tui.widgets.text import cut, line, stack

CHOSEN: Final = "►"
NARROW: Final = 60
"""From this width on a reader is one line of a table; below it, a block of lines."""

DIM: Final = "$text-dim"


def card_name(card: CardSeen) -> str:
    """Return product and serial: `YubiKey 5.7 · 20114`."""
    return card.product if card.serial is None else f"{card.product} · {card.serial}"


def holder_name(reader: ReaderView) -> str:
    """Return the holder's name, or nothing."""
    return reader.record.holder.name if reader.record and reader.record.holder else ""


def condition(reader: ReaderView) -> Content:
    """Say in one or two words how the reader is."""
    if reader.busy or reader.reading:
        return Content.styled(f"{RUNNING} {'working' if reader.busy else 'reading'}", "bold $accent")
    if reader.error is not None:
        return Content.styled(f"{FAILED} {wording.failure(reader.error)}", "bold $text-error")
    if not reader.present:
        return Content.styled(f"{ABSENT} empty", DIM)
    record = reader.record
    if record is None:
        return Content.styled(f"{RUNNING} waiting", "$accent")
    if record.interrupted is not None:
        return Content.styled("! interrupted", "bold $text-warning")
    return Content.styled(f"{PRESENT} {STATE_NAMES[record.state].lower()}", "bold $text-success")


class ReaderBar(Widget):
    """The list of readers; draws a table where it is wide and blocks where it is tall."""

    readers: reactive[tuple[ReaderView, ...]] = reactive(())
    chosen: reactive[str] = reactive("")

    BORDER_TITLE = "Readers"

    def render(self) -> Content:
        """Draw as many readers as there is room for, the chosen one among them."""
        if not self.readers:
            return Content.styled("no reader attached", DIM)
        width, height = self.size
        if width >= NARROW:
            return stack(self._row(number, width) for number in self._window(height))
        blocks = [self._block(number, width) for number in range(len(self.readers))]
        if sum(len(block) + 1 for block in blocks) - 1 > height:
            blocks = [self._short_block(number, width) for number in self._window(max(1, (height + 1) // 3))]
        return stack(row for block in blocks for row in [*block, Content("")])

    def _window(self, room: int) -> range:
        names = [reader.name for reader in self.readers]
        at = names.index(self.chosen) if self.chosen in names else 0
        first = max(0, min(at - room // 2, len(names) - room))
        return range(first, min(len(names), first + room))

    def _title(self, number: int, reader: ReaderView) -> Content:
        chosen = reader.name == self.chosen
        mark = CHOSEN if chosen else " "
        return Content.styled(f"{mark}{number + 1} {reader.name}", "bold $primary" if chosen else "")

    def _row(self, number: int, width: int) -> Content:
        reader = self.readers[number]
        name, card = min(24, width // 4), min(28, width // 3)
        state = 14
        holder = max(8, width - name - card - state - 3)
        known = card_name(reader.card) if reader.card else ""
        row = Content(" ").join(
            [
                cut(self._title(number, reader), name, pad=True),
                cut(Content(known), card, pad=True),
            ]
        )
        if reader.error is not None:
            return (
                line(row, Content(""), width - holder - state - 1)
                + " "
                + cut(condition(reader), holder + state)
            )
        return Content.assemble(
            row,
            " ",
            cut(Content(holder_name(reader)), holder, pad=True),
            " ",
            cut(condition(reader), state),
        )

    def _block(self, number: int, width: int) -> list[Content]:
        """Draw a reader in two to four lines."""
        reader = self.readers[number]
        lines = [
            Content(card_name(reader.card)) if reader.card else Content(""),
            Content(holder_name(reader)),
            condition(reader),
        ]
        shown = [Content("   ") + cut(text, width - 3) for text in lines if text]
        return [cut(self._title(number, reader), width), *shown]

    def _short_block(self, number: int, width: int) -> list[Content]:
        """Draw a reader in two lines, for a desk with many."""
        reader = self.readers[number]
        known = holder_name(reader) or (card_name(reader.card) if reader.card else "")
        return [
            cut(self._title(number, reader), width),
            line(Content(f"   {known}"), condition(reader), width),
        ]
