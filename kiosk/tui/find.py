"""Find a person in the directory, as you type."""

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.content import Content
from textual.widgets import DataTable, Input, Static

from kiosk.station import wording
from kiosk.tui.dialog import Dialog
from kiosk.tui.labels import FAILED, RUNNING
from kiosk.tui.messages import Search
from kiosk.tui.widgets.card import DEPARTMENT, MAIL
from shared.console import Found
from shared.credential.model import Person
from shared.errors import KioskError

COLUMNS = ("Name", "Department", "Mail")


class FindPerson(Dialog[Person]):
    """Asks who gets the card. Posts `Search` for every change; the app answers with `show` or `fail`."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "pick", "This person", key_display="Enter", priority=True),
        Binding("down", "move(1)", "Choose", key_display="↑↓", priority=True),
        Binding("up", "move(-1)", "Choose", show=False, priority=True),
        Binding("pagedown", "move(10)", "Choose", show=False, priority=True),
        Binding("pageup", "move(-10)", "Choose", show=False, priority=True),
    ]

    def __init__(self, subject: str) -> None:
        """`subject` says for which card."""
        super().__init__(f"Who gets this card?  {subject}")
        self._found: tuple[Person, ...] = ()
        self._shares = (0, 0, 0)

    def compose(self) -> ComposeResult:
        """Compose the line to type in, the table, and a line that says how it goes."""
        with self.box():
            yield Input(placeholder="name, mail or number", id="text", select_on_focus=False)
            table: DataTable[Content] = DataTable(cursor_type="row", zebra_stripes=False, id="people")
            table.can_focus = False
            yield table
            yield Static(id="state")

    def on_mount(self) -> None:
        """Show some people at once."""
        self._columns()
        self._ask("")

    def on_resize(self) -> None:
        """Fit the columns to the new width."""
        self._columns()
        self._fill()

    @on(Input.Changed)
    def _typed(self, event: Input.Changed) -> None:
        self._ask(event.value)

    def _ask(self, text: str) -> None:
        self.query_one("#state", Static).update(Content.styled(f"{RUNNING} searching …", "$accent"))
        self.post_message(Search(text))

    def show(self, found: Found) -> None:
        """Show whom the directory found; an answer that comes after the screen has gone is dropped."""
        if not self.is_mounted or not self.is_active:
            return
        self._found = found.people
        self._fill()
        count = len(found.people)
        if not count:
            words = "Nobody found. Try fewer letters, or another part of the name."
        elif found.more:
            words = f"The first {count} people. Type more letters to see fewer."
        else:
            words = "1 person" if count == 1 else f"{count} people"
        self.query_one("#state", Static).update(Content.styled(words, "$text-dim"))
        self.refresh_bindings()

    def fail(self, error: KioskError) -> None:
        """Show why there is no answer; typing tries again."""
        if not self.is_mounted or not self.is_active:
            return
        self._found = ()
        self._fill()
        words = Content.assemble((f"{FAILED} ", "bold $text-error"), wording.failure(error))
        self.query_one("#state", Static).update(words)
        self.refresh_bindings()

    def _columns(self) -> None:
        table: DataTable[Content] = self.query_one(DataTable)
        width = max(40, table.size.width or 70) - 6
        table.clear(columns=True)
        first, second = width * 36 // 100, width * 28 // 100
        self._shares = (first, second, width - first - second)
        for name, share in zip(COLUMNS, self._shares, strict=True):
            table.add_column(name, width=share, key=name)

    def _fill(self) -> None:
        table: DataTable[Content] = self.query_one(DataTable)
        table.clear()
        for person in self._found:
            name = (
                Content(person.name)
                if person.enabled
                else Content.assemble(person.name, (" ! disabled", "dim"))
            )
            cells = (name, *(Content(person.attributes.get(key, "")) for key in (DEPARTMENT, MAIL)))
            table.add_row(
                *(
                    cell.truncate(width, ellipsis=True)
                    for cell, width in zip(cells, self._shares, strict=True)
                )
            )

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002  # Textual's
        """Offer to choose only where there is a choice."""
        return bool(self._found) if action in ("pick", "move") else True

    def action_move(self, by: int) -> None:
        """Move the cursor by rows."""
        table: DataTable[Content] = self.query_one(DataTable)
        table.move_cursor(row=max(0, min(len(self._found) - 1, table.cursor_row + by)))

    def action_pick(self) -> None:
        """Answer with the person under the cursor."""
        table: DataTable[Content] = self.query_one(DataTable)
        if self._found:
            self.dismiss(self._found[max(0, min(table.cursor_row, len(self._found) - 1))])
