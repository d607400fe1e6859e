"""Find one of many, as you type: a line to type in, a table, a line that says how it goes."""

import asyncio
from abc import abstractmethod
from collections.abc import Awaitable, Callable, Sequence
from typing import ClassVar, Final, Generic, TypeVar

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

One = TypeVar("One")

LIMIT: Final = 50
"""How many are asked for; whoever wants more types more letters."""
DEBOUNCE_S: Final = 0.2
"""How long a search waits for the next letter."""

SEARCH_MAX: Final = 100
"""Characters of a search that count; nobody's name is longer, but something else may be pasted."""

CELL_PADDING: Final = 2
LEAST_WIDTH: Final = 40


class Find(Dialog[One], Generic[One]):
    """Posts `Search` for every change; the app answers by calling `search` when the typing has come to rest.

    A kind of list says what its columns are, what one of many fills them with, and who is asked.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "pick", "This one", key_display="Enter", priority=True),
        Binding("down", "move(1)", "Choose", key_display="↑↓", priority=True),
        Binding("up", "move(-1)", "Choose", show=False, priority=True),
        Binding("pagedown", "move(10)", "Choose", show=False, priority=True),
        Binding("pageup", "move(-10)", "Choose", show=False, priority=True),
    ]

    COLUMNS: ClassVar[Sequence[tuple[str, int]]]
    """Names of columns, and each one's share of the width in hundredths; the last one takes what is left."""
    PLACEHOLDER: ClassVar[str]
    NONE: ClassVar[str]
    """What is said when nothing is found."""
    KIND: ClassVar[tuple[str, str]]
    """What is counted: one, many."""

    def __init__(self, heading: str, text: str = "") -> None:
        """`text` is what is looked for at first."""
        super().__init__(heading)
        self._text = text
        self._found: Sequence[One] = ()
        self._shares: Sequence[int] = ()

    @abstractmethod
    async def ask(self, text: str) -> tuple[Sequence[One], bool]:
        """Return what is found, and whether there is more.

        Raises:
            KioskError: nobody answers.
        """

    @abstractmethod
    def cells(self, one: One) -> Sequence[Content]:
        """Return what the columns say of one."""

    def about(self, one: One) -> Content:  # noqa: ARG002  # what a list with enough columns needs
        """Return what there is to say of the one under the cursor beside its columns."""
        return Content("")

    def compose(self) -> ComposeResult:
        """Compose the line to type in, the table, and a line that says how it goes."""
        with self.box():
            yield Input(self._text, placeholder=self.PLACEHOLDER, id="text", select_on_focus=False)
            table: DataTable[Content] = DataTable(cursor_type="row", zebra_stripes=False, id="people")
            table.can_focus = False
            yield table
            yield Static(id="about")
            yield Static(id="state")

    def on_mount(self) -> None:
        """Show some at once."""
        self._columns()
        self._ask(self._text)

    def on_resize(self) -> None:
        """Fit the columns to the new width."""
        self._columns()
        self._fill()

    @on(DataTable.RowHighlighted)
    def _tell(self) -> None:
        words = self.about(self._found[self._at]) if self._found else Content("")
        about = self.query_one("#about", Static)
        about.display = bool(words)
        about.update(words)

    @on(Input.Changed)
    def _typed(self, event: Input.Changed) -> None:
        self._ask(event.value)

    def _ask(self, text: str) -> None:
        self._text = text
        self.query_one("#state", Static).update(Content.styled(f"{RUNNING} searching …", "$accent"))
        self.post_message(Search(text))

    async def search(self, text: str) -> None:
        """Wait for the next letter, then ask, and show the answer or why there is none; typing tries again.

        The app cancels this wherever it is when there is a newer search.
        """
        await asyncio.sleep(DEBOUNCE_S if text else 0)
        try:
            found, more = await self.ask(text.strip()[:SEARCH_MAX])
        except KioskError as error:
            words = Content.assemble((f"{FAILED} ", "bold $text-error"), wording.failure(error))
            self.show((), words)
        else:
            self.show(found, Content.styled(self._count(len(found), more=more), "$text-dim"))

    def show(self, found: Sequence[One], words: Content) -> None:
        """Show what was found; an answer that comes after the screen has gone is dropped."""
        if not self.is_mounted or not self.is_active:
            return
        self._found = found
        self._fill()
        self._tell()
        self.query_one("#state", Static).update(words)
        self.refresh_bindings()

    def _count(self, count: int, *, more: bool) -> str:
        one, many = self.KIND
        if not count:
            return self.NONE
        if more:
            return f"The first {count} {many}. Type more letters to see fewer."
        return f"1 {one}" if count == 1 else f"{count} {many}"

    def _columns(self) -> None:
        table: DataTable[Content] = self.query_one(DataTable)
        room = max(LEAST_WIDTH, table.size.width or 70) - CELL_PADDING * len(self.COLUMNS)
        table.clear(columns=True)
        shares = [room * share // 100 for _, share in self.COLUMNS[:-1]]
        self._shares = (*shares, room - sum(shares))
        for (name, _), share in zip(self.COLUMNS, self._shares, strict=True):
            table.add_column(name, width=share, key=name)

    def _fill(self) -> None:
        table: DataTable[Content] = self.query_one(DataTable)
        table.clear()
        for one in self._found:
            table.add_row(
                *(
                    cell.truncate(width, ellipsis=True)
                    for cell, width in zip(self.cells(one), self._shares, strict=True)
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
        """Answer with the one under the cursor."""
        if self._found:
            self.dismiss(self._found[self._at])

    @property
    def _at(self) -> int:
        table: DataTable[Content] = self.query_one(DataTable)
        return max(0, min(table.cursor_row, len(self._found) - 1))


class FindPerson(Find[Person]):
    """Asks who gets the card."""

    COLUMNS = (("Name", 36), ("Department", 28), ("Mail", 36))
    PLACEHOLDER = "name, mail or number"
    NONE = "Nobody found. Try fewer letters, or another part of the name."
    KIND = ("person", "people")
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("tab", "directory", "Directory", key_display="Tab", priority=True),
    ]

    def __init__(self, subject: str, people: Callable[[str, int, str], Awaitable[Found]]) -> None:
        """`subject` says for which card, `people` is who knows them."""
        super().__init__(f"Who gets this card?  {subject}")
        self._people = people
        self._directories: tuple[str, ...] = ()
        self._directory = ""
        """The one that is searched; empty for all of them."""

    async def ask(self, text: str) -> tuple[Sequence[Person], bool]:
        """Ask the directory that was chosen, or all of them."""
        found = await self._people(text, LIMIT, self._directory)
        self._directories = found.directories
        return found.people, found.more

    def about(self, one: Person) -> Content:
        """Return where the person is known, where there is a choice."""
        if len(self._directories) < 2 or not one.directory:
            return Content("")
        return Content.assemble(("Known in ", "$text-dim"), one.directory)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Offer another directory only where there is one."""
        if action == "directory":
            return len(self._directories) > 1
        return super().check_action(action, parameters)

    def action_directory(self) -> None:
        """Search the next directory alone; after the last one, all of them again."""
        names = ("", *self._directories)
        at = names.index(self._directory) if self._directory in names else 0
        self._directory = names[(at + 1) % len(names)]
        self._ask(self._text)

    def _count(self, count: int, *, more: bool) -> str:
        words = super()._count(count, more=more)
        if len(self._directories) < 2:
            return words
        return f"{words}  ·  {self._directory or f'all {len(self._directories)} directories'}"

    def cells(self, one: Person) -> Sequence[Content]:
        """Return name, department and mail."""
        name = Content(one.name)
        if not one.enabled:
            name = Content.assemble(one.name, (" ! disabled", "dim"))
        return (name, *(Content(one.attributes.get(key, "")) for key in (DEPARTMENT, MAIL)))
