"""The list of requests for approval, and one of them in full. Both follow what becomes of them while they are open."""

from collections.abc import Callable, Sequence
from enum import Enum, auto, unique
from typing import ClassVar, Final

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.widgets import DataTable, Static

from kiosk.tui.confirm import fact_rows
from kiosk.tui.dialog import Dialog
from kiosk.tui.labels import APPROVE_BUTTON, APPROVE_HERE_BUTTON, NOTHING_WAITS
from shared import approval_words
from shared.approvals import ApprovalState, ApprovalView

FACT_WIDTH: Final = 56
COLUMNS: Final = (("What", 32), ("For", 25), ("Asked by", 23), ("Until, UTC", 20))
"""Names of columns, and each one's share of the width in hundredths; the last one takes what is left."""
CELL_PADDING: Final = 2
LEAST_WIDTH: Final = 40

Latest = Callable[[], Sequence[ApprovalView]]
"""Tells what waits now: it may have changed since the screen was thought of."""


@unique
class Answer(Enum):
    """What is done with a request."""

    APPROVE = auto()
    DECLINE = auto()
    WITHDRAW = auto()
    GONE = auto()
    """Nobody here answered: it does not wait any more."""


def to_approve(views: Sequence[ApprovalView]) -> Sequence[ApprovalView]:
    """Return the requests that wait for who is logged on."""
    return [view for view in views if view.open_to_me and not view.mine and view.left]


def approved(views: Sequence[ApprovalView]) -> Sequence[ApprovalView]:
    """Return those that who is logged on asked for, and that may be done now."""
    return [view for view in views if view.mine and view.state is ApprovalState.OPEN and not view.left]


def whom(view: ApprovalView) -> str:
    """Name whoever it is for."""
    intent = view.intent
    return intent.holder_name or intent.holder or "the server"


def asker(view: ApprovalView) -> str:
    """Name who asked."""
    return "you" if view.mine else view.intent.requester_name or view.intent.requester


class InboxList(Dialog[ApprovalView]):
    """Asks which request; those that wait for who looks stand first."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "pick", "Look at it", key_display="Enter", priority=True),
        Binding("down,j", "move(1)", "Choose", key_display="↑↓", priority=True),
        Binding("up,k", "move(-1)", "Choose", show=False, priority=True),
    ]

    def __init__(self, latest: Latest) -> None:
        """Show what `latest` says when the screen is there, and what `see` is told from then on."""
        super().__init__("Approvals")
        self._latest = latest
        self._views: Sequence[ApprovalView] = ()
        self._shares: Sequence[int] = ()

    def compose(self) -> ComposeResult:
        """Compose the table, and a place for more about the one under the cursor."""
        with self.box():
            table: DataTable[Content] = DataTable(cursor_type="row", zebra_stripes=False, id="people")
            table.can_focus = False
            yield table
            yield Static(id="about")

    def on_mount(self) -> None:
        """Fill the table."""
        self._views = _sorted(self._latest())
        self._columns()
        self._fill()

    def on_resize(self) -> None:
        """Fit the columns to the new width."""
        self._columns()
        self._fill()

    def see(self, views: Sequence[ApprovalView]) -> None:
        """Show what waits now; the cursor stays on its request."""
        if not self.is_mounted:
            return
        before = self._views[self._at].request_id if self._views else None
        self._views = _sorted(views)
        self._fill()
        ids = [view.request_id for view in self._views]
        if before in ids:
            self._table.move_cursor(row=ids.index(before))
        self.refresh_bindings()

    @property
    def _table(self) -> "DataTable[Content]":
        return self.query_one(DataTable)

    @property
    def _at(self) -> int:
        return max(0, min(self._table.cursor_row, len(self._views) - 1))

    def _columns(self) -> None:
        room = max(LEAST_WIDTH, self._table.size.width or 70) - CELL_PADDING * len(COLUMNS)
        self._table.clear(columns=True)
        shares = [room * share // 100 for _, share in COLUMNS[:-1]]
        self._shares = (*shares, room - sum(shares))
        for (name, _), share in zip(COLUMNS, self._shares, strict=True):
            self._table.add_column(name, width=share, key=name)

    def _fill(self) -> None:
        at = self._table.cursor_row
        self._table.clear()
        for view in self._views:
            cells = zip(_cells(view), self._shares, strict=True)
            self._table.add_row(*(cell.truncate(width, ellipsis=True) for cell, width in cells))
        self._table.move_cursor(row=max(0, min(at, len(self._views) - 1)))
        self._tell()

    @on(DataTable.RowHighlighted)
    def _tell(self) -> None:
        about = self.query_one("#about", Static)
        if not self._views:
            about.update(Content(NOTHING_WAITS))
            return
        view = self._views[self._at]
        intent = view.intent
        which = f"{intent.template} · {intent.card or 'any card'}" if intent.template else ""
        rows = (approval_words.title(intent), which, approval_words.state(view).capitalize(), intent.detail)
        about.update(Content("\n").join(Content(row).truncate(70, ellipsis=True) for row in rows if row))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002  # Textual's
        """Offer to choose only where there is a choice."""
        return bool(self._views) if action in ("pick", "move") else True

    def action_move(self, by: int) -> None:
        """Move the cursor by rows."""
        self._table.move_cursor(row=max(0, min(len(self._views) - 1, self._at + by)))

    def action_pick(self) -> None:
        """Answer with the one under the cursor."""
        if self._views:
            self.dismiss(self._views[self._at])


class Request(Dialog[Answer]):
    """Says all of one request, and asks what is to be done with it. No key that is pressed by the way approves."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("y", "answer('APPROVE')", "Approve"),
        Binding("d", "answer('DECLINE')", "Decline"),
        Binding("w", "answer('WITHDRAW')", "Withdraw"),
        Binding("down,j", "scroll(1)", "Read on", key_display="↑↓"),
        Binding("up,k", "scroll(-1)", "Read on", show=False),
        Binding("pagedown", "scroll(10)", "Read on", show=False),
        Binding("pageup", "scroll(-10)", "Read on", show=False),
    ]

    def __init__(self, view: ApprovalView, latest: Latest) -> None:
        """Show `view`, as `latest` says that it is."""
        super().__init__(approval_words.title(view.intent).partition(":")[0])
        self._view, self._latest = view, latest

    @property
    def view(self) -> ApprovalView:
        """What is on the screen, which is what is approved."""
        return self._view

    def compose(self) -> ComposeResult:
        """Compose every fact, and the ways on."""
        with self.box():
            with VerticalScroll(id="request", can_focus=False):
                yield Static(id="facts")
            yield Static(id="choices", classes="choices")

    def on_mount(self) -> None:
        """Show it."""
        self._draw()
        self.see(self._latest())

    def see(self, views: Sequence[ApprovalView]) -> None:
        """Follow what becomes of it; one that does not wait any more takes the screen away."""
        found = next((each for each in views if each.request_id == self._view.request_id), None)
        if found is None:
            if self.app.screen is self:
                self.dismiss(Answer.GONE)
        elif found != self._view:
            self._view = found
            if self.is_mounted:
                self._draw()

    def _draw(self) -> None:
        rows = fact_rows(approval_words.facts(self._view), FACT_WIDTH)
        self.query_one("#facts", Static).update(Content("\n").join(rows))
        parts: list[tuple[str, str] | str] = []
        for key, action, words in (
            ("y", "APPROVE", APPROVE_HERE_BUTTON if self._view.mine else APPROVE_BUTTON),
            ("d", "DECLINE", "Decline"),
            ("w", "WITHDRAW", "Withdraw it"),
        ):
            if self.check_action("answer", (action,)):
                parts += [(f" {key} ", "bold reverse"), f"  {words}    "]
        self.query_one("#choices", Static).update(Content.assemble(*parts))
        self.refresh_bindings()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Allow what may be done by who looks."""
        if action != "answer":
            return True
        view = self._view
        waits = view.state is ApprovalState.OPEN
        return {
            "APPROVE": waits and view.left > 0 and (view.mine or view.open_to_me),
            "DECLINE": waits and not view.mine,
            "WITHDRAW": waits and view.mine,
        }[str(parameters[0])]

    def action_answer(self, answer: str) -> None:
        """Answer."""
        self.dismiss(Answer[answer])

    def action_scroll(self, by: int) -> None:
        """Read on, or back."""
        self.query_one("#request").scroll_relative(y=by, animate=False)


def _sorted(views: Sequence[ApprovalView]) -> Sequence[ApprovalView]:
    """Put first what somebody can do something about now; the rest as they were asked."""
    first, ready = to_approve(views), approved(views)
    return [*first, *ready, *(view for view in views if view not in first and view not in ready)]


def _cells(view: ApprovalView) -> Sequence[Content]:
    intent = view.intent
    return (
        Content(approval_words.title(intent).partition(":")[0]),
        Content(whom(view)),
        Content(asker(view)),
        Content(f"{intent.expires_at:%m-%d %H:%M}"),
    )
