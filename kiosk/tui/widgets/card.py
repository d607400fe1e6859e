"""The card in the chosen reader: whose it is, by which template, and the one obvious thing to do next."""

from collections.abc import Sequence
from typing import Final

from textual.app import ComposeResult
from textual.containers import Horizontal, Vertical
from textual.content import Content
from textual.reactive import reactive
from textual.widget import Widget
from textual.widgets import Static

from kiosk.station import drift_words, wording
from kiosk.station.faces import ReaderView
from kiosk.station.offers import offered, pin_blocked, viewed
from kiosk.station.relay import next_action_for
from kiosk.tui.labels import (
    CONTINUE_BUTTONS,
    FAILED,
    NOTHING_YOURS,
    OPERATION_BUTTONS,
    OPERATION_CUT,
    OPERATION_KEYS,
    RUNNING,
)
from kiosk.tui.widgets.drift import drift_rows
from kiosk.tui.widgets.others import Others
from kiosk.tui.widgets.readers import card_name
from kiosk.tui.widgets.text import cut, line, stack, wrapped
from shared.credential.drift_kinds import Kind
from shared.credential.model import Person

MAIL: Final = "mail"
DEPARTMENT: Final = "department"
DIM: Final = "$text-dim"
LOW: Final = 32
"""A screen of fewer lines is low."""
DRIFT_LOW, DRIFT_HIGH = 4, 7
"""Lines for where card and record differ, on a low screen and on a high one."""


def person_lines(person: Person, width: int) -> list[Content]:
    """Return department and mail, as far as the directory has them: in one line where they fit."""
    known = [part for part in (person.attributes.get(name, "") for name in (DEPARTMENT, MAIL)) if part]
    together = " · ".join(known)
    return [Content.styled(part, DIM) for part in ([together] if len(together) <= width else known)]


class CardFacts(Widget):
    """Who, which template, and everything that needs to be said about the card."""

    reader: reactive[ReaderView | None] = reactive(None, layout=True)
    running: reactive[bool] = reactive(default=False, layout=True)
    besides: reactive[frozenset[str]] = reactive(frozenset(), layout=True)
    """Notices that are said elsewhere on the screen."""

    def render(self) -> Content:
        """Draw one of: no reader, empty, being read, an error, the card."""
        width = self.size.width
        return stack(cut(text, width) for text in self._lines(width))

    def get_content_height(self, container: object, viewport: object, width: int) -> int:  # noqa: ARG002
        """Be as tall as the text."""
        return len(self._lines(width))

    def _lines(self, width: int) -> Sequence[Content]:
        reader = self.reader
        if reader is None:
            return wrapped(Content("Attach a card reader; it appears here by itself."), width)
        if reader.reading:
            return [Content.styled(f"{RUNNING} Reading the card …", "$accent")]
        if reader.error is not None:
            head = Content.assemble(
                (f"{FAILED} ", "bold $text-error"), (wording.failure(reader.error), "bold")
            )
            after = Content(wording.next_action(next_action_for(reader.error)))
            return [*wrapped(head, width), *wrapped(after, width)]
        if not reader.present:
            words = f"Put a card into {reader.name}."
            return [Content.styled(words, "bold")]
        if reader.record is None:
            name = Content.styled(card_name(reader.card) if reader.card else "Card", "bold")
            return [name, Content.styled(f"{RUNNING} Waiting for the server …", "$accent")]
        return self._record(reader, width)

    def _record(self, reader: ReaderView, width: int) -> Sequence[Content]:
        record = reader.record
        assert record is not None
        lines: list[Content] = []
        if record.holder is not None:
            template = f"{record.template_title or record.template}"
            version = f"  v{record.template_version}" if record.template_version else ""
            since = Content.styled(f"since {record.issued_at[:10]}" if record.issued_at else "", DIM)
            places = person_lines(record.holder, width - since.cell_length - 1) or [Content("")]
            lines += [
                line(
                    Content.styled(record.holder.name, "bold"),
                    Content.assemble(template, (version, DIM)),
                    width,
                ),
                line(places[0], since, width),
                *places[1:],
            ]
            if not record.holder.enabled:
                lines.append(
                    Content.styled("! This person is disabled in the directory.", "bold $text-warning")
                )
        else:
            name = card_name(reader.card) if reader.card else reader.name
            lines.append(line(Content.styled(name, "bold"), Content.styled("no holder yet", DIM), width))
        if self.running:
            lines.append(Content.styled(f"{RUNNING} Leave the card in the reader.", "bold $accent"))
        elif record.interrupted is not None:
            lines += wrapped(
                Content.styled(f"! {OPERATION_CUT[record.interrupted]}", "bold $text-warning"), width
            )
        said = drift_words.notices(record)
        for notice in said:
            if notice in self.besides:
                continue
            lines += wrapped(Content.styled(f"! {wording.notice(notice)}", "$text-warning"), width)
        blocked = pin_blocked(reader)
        if blocked:
            words = wording.next_action("unblock")
            if "pin-blocked" not in said:
                words = f"{wording.notice('pin-blocked')} {words}"
            lines += wrapped(Content.styled(f"! {words}", "bold $text-warning"), width)
        if not self.running:
            only_seen = viewed(reader) and not offered(reader)
            lines += wrapped(Content.styled(NOTHING_YOURS, "$text-warning"), width) if only_seen else ()
            low = self.app.size.height < LOW
            besides = frozenset({Kind.PIN_BLOCKED.value}) if blocked else frozenset()
            lines += drift_rows(record, width, DRIFT_LOW if low else DRIFT_HIGH, low=low, besides=besides)
        return lines


class CardPane(Vertical):
    """Facts about the card, and the buttons below them."""

    reader: reactive[ReaderView | None] = reactive(None)
    virtual: reactive[bool] = reactive(default=False)
    running: reactive[bool] = reactive(default=False)
    besides: reactive[frozenset[str]] = reactive(frozenset())

    BORDER_TITLE = "This card"

    def compose(self) -> ComposeResult:
        """Compose facts, and a row for buttons."""
        yield CardFacts()
        with Horizontal(id="actions"):
            yield Static(id="next", classes="button")
            yield Others(id="others")

    def watch_reader(self) -> None:
        """Show another card."""
        self.query_one(CardFacts).reader = self.reader
        self._buttons()

    def watch_virtual(self) -> None:
        """Offer virtual cards, or not."""
        self._buttons()

    def watch_running(self) -> None:
        """Take the buttons away while something runs."""
        self.query_one(CardFacts).running = self.running
        self._buttons()

    def watch_besides(self) -> None:
        """Say nothing twice."""
        self.query_one(CardFacts).besides = self.besides

    def _buttons(self) -> None:
        obvious, others = self.query_one("#next", Static), self.query_one(Others)
        label = None if self.running else self._obvious()
        obvious.display = label is not None
        if label is not None:
            key, words = label
            obvious.update(Content.assemble((f" {key} ", "bold reverse"), f"  {words}"))
        others.possible = () if self.running else offered(self.reader)

    def _obvious(self) -> tuple[str, str] | None:
        reader = self.reader
        if reader is None or reader.reading or reader.busy:
            return None
        if reader.error is not None:
            return ("r", "Read again") if reader.present else None
        if not reader.present:
            return ("v", "Insert a virtual card") if self.virtual and reader.virtual else None
        operation = next(iter(offered(reader)), None)
        if operation is None:
            return None
        cut = reader.record is not None and reader.record.interrupted is operation
        return OPERATION_KEYS[operation], (CONTINUE_BUTTONS if cut else OPERATION_BUTTONS)[operation]
