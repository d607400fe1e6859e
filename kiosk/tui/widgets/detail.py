"""What is on the card, as the station read it: shown where the screen is wide enough."""

from typing import Final

from textual.content import Content
from textual.reactive import reactive
from textual.widget import Widget

from kiosk.station.faces import ReaderView
from kiosk.tui.labels import ABSENT, PRESENT
from kiosk.tui.widgets.text import cut, stack

DIM: Final = "$text-dim"
USUAL_TRIES: Final = 3
LABEL_WIDTH: Final = 12


def tries(left: int | None) -> Content:
    """Draw tries left as dots and as a number; nobody reads colour here."""
    if left is None:
        return Content.styled("not told", DIM)
    style = "$text-success" if left >= USUAL_TRIES else "bold $text-warning" if left else "bold $text-error"
    dots = " ".join([PRESENT] * left + [ABSENT] * max(0, USUAL_TRIES - left)) if left <= 8 else ""
    return Content.assemble((dots, style), f"  {left} left" if left else "  blocked")


class CardDetail(Widget):
    """Product, serial, tries, certificates of the chosen reader's card."""

    reader: reactive[ReaderView | None] = reactive(None)

    BORDER_TITLE = "On the card"

    def render(self) -> Content:
        """Draw a small table and the list of certificates."""
        reader, width = self.reader, self.size.width
        if reader is None or reader.card is None:
            return Content.styled("Nothing to show.", DIM)
        card = reader.card
        rows = [
            ("Card", Content(card.product)),
            ("Serial", Content(str(card.serial)) if card.serial is not None else Content.styled("none", DIM)),
            ("Reader", Content(reader.name)),
            ("PIN tries", tries(card.pin_tries_left)),
            ("PUK tries", tries(card.puk_tries_left)),
        ]
        if reader.record is not None and reader.record.key_generation:
            rows.append(("Keys", Content(f"generation {reader.record.key_generation}")))
        lines = [cut(Content.assemble((name.ljust(LABEL_WIDTH), DIM), value), width) for name, value in rows]
        lines += [Content(""), Content.styled("Certificates", "bold")]
        if not card.certificates:
            lines.append(Content.styled("none", DIM))
        for certificate in card.certificates:
            slot, _, rest = certificate.partition(" ")
            head, until, date = rest.rpartition(" until ")
            lines.append(cut(Content.assemble((f"{slot} ", "bold $primary"), head or rest), width))
            if until:
                lines.append(Content.styled(f"   until {date}", DIM))
        return stack(lines)
