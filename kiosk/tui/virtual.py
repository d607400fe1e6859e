"""Insert and pull virtual cards: the hand of whoever tries the desk out."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from kiosk.station.faces import ReaderView
from kiosk.tui.dialog import Listing
from kiosk.tui.widgets.readers import card_name, holder_name


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """Put `card` into `reader`, or pull what is in it where `card` is empty."""

    reader: str
    card: str = ""


class VirtualCards(Listing[Move]):
    """Asks which virtual card goes into which virtual reader; left and right change the reader."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "pick", "Do it", key_display="Enter", priority=True),
        Binding("left", "reader(-1)", "Reader", key_display="←→", priority=True),
        Binding("right,tab", "reader(1)", "Reader", show=False, priority=True),
    ]

    def __init__(self, readers: Sequence[ReaderView], cards: Sequence[str], chosen: str) -> None:
        """Offer `cards` for the virtual ones among `readers`, beginning with the `chosen` one."""
        super().__init__("Virtual cards")
        self._readers = [reader for reader in readers if reader.virtual]
        self._cards = cards
        names = [reader.name for reader in self._readers]
        self._at = names.index(chosen) if chosen in names else 0

    def compose(self) -> ComposeResult:
        """Compose the reader's line and the list of what can be done."""
        with self.box():
            yield Static(id="reader", classes="subject")
            yield OptionList(id="cards")

    def on_mount(self) -> None:
        """Offer what the first reader can take."""
        self._fill()

    def _fill(self) -> None:
        reader = self._readers[self._at]
        inside = "empty"
        if reader.present:
            inside = " · ".join(
                part
                for part in (card_name(reader.card) if reader.card else "a card", holder_name(reader))
                if part
            )
        self.query_one("#reader", Static).update(
            Content.assemble(
                ("◄ ", "$text-dim"), (reader.name, "bold $primary"), (" ► ", "$text-dim"), f"  {inside}"
            )
        )
        options = self.query_one(OptionList)
        options.clear_options()
        if reader.present:
            words = "Pull the card out"
            options.add_option(
                Option(f"▲ {words} — while it is being written" if reader.busy else f"▲ {words}")
            )
        options.add_options([Option(f"▼ Insert {card}") for card in self._cards])
        options.highlighted = 0 if options.option_count else None

    def action_reader(self, by: int) -> None:
        """Look at another reader."""
        self._at = (self._at + by) % len(self._readers)
        self._fill()

    def action_pick(self) -> None:
        """Answer with what is under the cursor."""
        reader, at = self._readers[self._at], self.query_one(OptionList).highlighted
        if at is None:
            return
        pulls = 1 if reader.present else 0
        self.dismiss(Move(reader=reader.name, card="" if at < pulls else self._cards[at - pulls]))
