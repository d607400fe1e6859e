"""The common shape of a typed question: a framed box over the desk, the keys that work now below."""

from typing import ClassVar, Generic, TypeVar

from textual import events
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import OptionList

from kiosk.tui.widgets.keybar import KeyBar
from kiosk.tui.widgets.top import LabBanner

Reply = TypeVar("Reply")


class Dialog(ModalScreen[Reply | None], Generic[Reply]):
    """A question whose answer is a value; None means that there was none.

    Its app's keys do not reach through it, so that a typed text never starts an operation.
    """

    VERTICAL_BREAKPOINTS = [(0, "-low"), (32, "-high")]  # noqa: RUF012  # so declared by the framework
    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "leave", "Back", key_display="Esc")]

    def __init__(self, heading: str) -> None:
        """Take what the frame says."""
        super().__init__()
        self._heading = heading
        self._withdrawn = False

    def box(self) -> Vertical:
        """Return the frame, for the question's parts to be composed in."""
        box = Vertical(classes="dialog")
        box.border_title = Content(self._heading)  # a text alone would be read as markup, and names are in it
        return box

    def on_mount(self) -> None:
        """Put the banner above and the keys below."""
        self.mount(LabBanner(), before=0)
        self.mount(KeyBar())

    def withdraw(self) -> None:
        """Take the question back: nobody waits for the answer any more."""
        self._withdrawn = True
        if self.app.screen is self:
            self.dismiss(None)

    def on_screen_resume(self, _event: events.ScreenResume) -> None:
        """Go, if the question was taken back while something else lay on top."""
        if self._withdrawn:
            self.dismiss(None)

    def action_leave(self) -> None:
        """Give no answer."""
        self.dismiss(None)


class Listing(Dialog[Reply], Generic[Reply]):
    """A question that is answered from a list.

    Its keys reach the cursor before the list sees them: Enter does, and would otherwise overtake a step that was typed before it.
    """

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("down", "step(1)", show=False, priority=True),
        Binding("up", "step(-1)", show=False, priority=True),
    ]

    def action_step(self, by: int) -> None:
        """Move the cursor to the next entry, or the one before."""
        options = self.query_one(OptionList)
        if by > 0:
            options.action_cursor_down()
        else:
            options.action_cursor_up()
