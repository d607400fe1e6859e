"""Choose one of several things to do, each with its key and with words that say what it means."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Final, Generic, TypeVar

from textual import events
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option

from kiosk.tui.confirm import fact_rows
from kiosk.tui.dialog import Listing

Choice = TypeVar("Choice")

GAP: Final = 2
FACT_WIDTH: Final = 60
"""What is left of the box, which is wider than others, beside the labels."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry(Generic[Choice]):
    """One thing to do. `group` is a heading that entries next to each other may share."""

    choice: Choice
    key: str
    name: str
    words: str = ""
    group: str = ""
    shown_only: bool = False
    """It stands there, and cannot be chosen."""


class Menu(Listing[Choice], Generic[Choice]):
    """Asks what to do. A key chooses at once; so it is the same key as without the menu."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "pick", "This one", key_display="Enter", priority=True),
    ]

    def __init__(
        self,
        heading: str,
        entries: Sequence[Entry[Choice]],
        *,
        facts: Sequence[tuple[str, str]] = (),
        text: str = "",
    ) -> None:
        """Offer `entries`; `facts` and `text` above them say what it is about."""
        super().__init__(heading)
        self._entries, self._facts, self._text = entries, facts, text
        self._rows: list[Entry[Choice] | None] = []

    def compose(self) -> ComposeResult:
        """Compose what it is about, and the entries under their headings."""
        with self.box():
            if self._facts:
                yield Static(Content("\n").join(fact_rows(self._facts, FACT_WIDTH)), classes="facts")
            if self._text:
                yield Static(Content(self._text), classes="facts")
            yield OptionList(*self._options(), id="entries")

    def _options(self) -> list[Option]:
        wide = max((len(entry.name) for entry in self._entries), default=0) + GAP
        options: list[Option] = []
        for group, entries in itertools.groupby(self._entries, key=lambda entry: entry.group):
            if group:
                self._rows.append(None)
                options.append(Option(Content.styled(group, "bold $primary"), disabled=True))
            for entry in entries:
                self._rows.append(entry)
                key = (f" {entry.key} ", "$text-dim" if entry.shown_only else "bold reverse")
                text = f"  {entry.name.ljust(wide)}{entry.words}"
                options.append(Option(Content.assemble(key, text), disabled=entry.shown_only))
        return options

    def on_mount(self) -> None:
        """Begin at the first entry, not at its heading."""
        options = self.query_one(OptionList)
        options.action_first()
        options.focus()

    def on_key(self, event: events.Key) -> None:
        """Choose by key."""
        entry = next((entry for entry in self._entries if entry.key == event.key), None)
        if entry is not None and entry.shown_only:
            event.stop()
            self.app.bell()
        elif entry is not None:
            event.stop()
            self.dismiss(entry.choice)

    def action_pick(self) -> None:
        """Answer with the entry under the cursor."""
        at = self.query_one(OptionList).highlighted
        entry = self._rows[at] if at is not None else None
        if entry is not None and not entry.shown_only:
            self.dismiss(entry.choice)
