"""The screen of the first start: how far it is, which card is meant, and what comes next."""

from dataclasses import dataclass
from typing import ClassVar, Final

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message
from textual.reactive import reactive
from textual.screen import Screen
from textual.widgets import Static

from kiosk.station import wording
from kiosk.station.faces import ReaderView, StationView
from kiosk.station.relay import next_action_for
from kiosk.tui.labels import ABSENT, DONE, FAILED, PRESENT, RUNNING, WAITING
from kiosk.tui.messages import VirtualWanted
from kiosk.tui.widgets.keybar import KeyBar
from kiosk.tui.widgets.readers import CHOSEN, card_name
from kiosk.tui.widgets.text import stack
from kiosk.tui.widgets.top import LabBanner, TopBar
from shared.clock import Clock
from shared.credential.model import State
from shared.errors import KioskError

PASSCODE, OWNER, OPERATOR, OVER = range(4)
"""The steps, in their order."""

STEPS: Final = (
    "The passcode that kiosk-server init was given",
    "The System Owner's card: the way back in, for a safe",
    "The first operator's card, with all roles",
)
NEXT: Final = {
    PASSCODE: "Enter the passcode",
    OWNER: "Make this card the System Owner's",
    OPERATOR: "Make this card the first operator's",
    OVER: "Go on to the log-on",
}
NO_CARD: Final = {OWNER: "Put a new card into a reader.", OPERATOR: "Put another new card into a reader."}


MAKEABLE: Final = frozenset({State.UNREGISTERED, State.REGISTERED, State.ISSUED, State.RETIRED})
"""What a card may be that is made somebody's: new, in stock, or issued here and not activated yet."""


@dataclass
class StepWanted(Message):
    """Go on with the present step, with the card in this reader."""

    reader: str


@dataclass
class AsideWanted(Message):
    """Leave the first start for now."""


class FirstStartScreen(Screen[None]):
    """Shows; the app asks and does."""

    AUTO_FOCUS = None
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "go_on", "Go on", key_display="Enter"),
        Binding("down,j", "choose(1)", "Reader", key_display="↑↓ 1-9"),
        Binding("up,k", "choose(-1)", "Reader", show=False),
        *(Binding(str(number), f"choose_number({number})", show=False) for number in range(1, 10)),
        Binding("escape", "aside", "Not now", key_display="Esc"),
        Binding("v", "virtual", "Virtual cards"),
    ]

    view: reactive[StationView | None] = reactive(None)
    chosen: reactive[str] = reactive("")
    step: reactive[int] = reactive(PASSCODE)
    working: reactive[str] = reactive("")
    """What is being done; empty where nothing is."""

    def __init__(self, clock: Clock, *, title: str, virtual: bool) -> None:
        """Begin with the passcode."""
        super().__init__()
        self._virtual = virtual
        self._top = TopBar(clock)
        self._top.title = title
        self._rows = Static(classes="facts")
        self._readers_shown = Static(classes="facts")
        self._said = Static(id="logon-state")
        self._problem: KioskError | None = None
        self._summary: tuple[str, ...] = ()
        self._withdrawn = False

    def compose(self) -> ComposeResult:
        """Compose the steps, the readers, and what there is to say."""
        yield LabBanner()
        yield self._top
        with Vertical(id="place"):
            box = Vertical(classes="dialog")
            box.border_title = Content("First start")
            with box:
                yield self._rows
                yield self._readers_shown
                yield self._said
        yield KeyBar()

    def on_mount(self) -> None:
        """Draw what is known already."""
        self._draw()

    @property
    def reader(self) -> ReaderView | None:
        """The reader whose card is meant."""
        return next((each for each in self._readers if each.name == self.chosen), None)

    @property
    def _readers(self) -> tuple[ReaderView, ...]:
        return self.view.readers if self.view else ()

    def watch_view(self, before: StationView | None, view: StationView | None) -> None:
        """Choose a card that was put in, or the only one."""
        had = {each.name for each in before.readers if each.present} if before else set()
        has = [each.name for each in view.readers if each.present] if view else []
        came = [name for name in has if name not in had]
        if not self.working and (came or self.chosen not in has):
            self.chosen = (came or has or [each.name for each in self._readers] or [""])[0]
        self._draw()

    def watch_chosen(self) -> None:
        """Draw the mark elsewhere."""
        self._draw()

    def watch_step(self) -> None:
        """Show the next step, and nothing of what went wrong in the one before."""
        self._problem = None
        self._draw()

    def watch_working(self) -> None:
        """Show what is being done, and take the keys away meanwhile."""
        self._draw()

    def failed(self, error: KioskError | None) -> None:
        """Say why a step was not done; None where somebody stopped."""
        self._problem = error
        self._draw()

    def over(self, summary: tuple[str, ...]) -> None:
        """Say what was done."""
        self._summary = summary
        self.step = OVER

    def withdraw(self) -> None:
        """Go."""
        self._withdrawn = True
        if self.app.screen is self:
            self.dismiss(None)

    def on_screen_resume(self) -> None:
        """Go, if that was wanted while something else lay on top."""
        if self._withdrawn:
            self.dismiss(None)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002  # Textual's
        """Allow what makes sense now."""
        takes_card = self.step in NO_CARD
        ready = not takes_card or _fits(self.reader)
        allowed = {
            "go_on": ready and not self.working,
            "choose": takes_card and len(self._readers) > 1 and not self.working,
            "choose_number": takes_card and not self.working,
            "aside": self.step != OVER and not self.working,
            "virtual": self._virtual and not self.working,
        }
        return allowed.get(action, True)

    def action_go_on(self) -> None:
        """Ask for the present step."""
        self._problem = None
        self.post_message(StepWanted(self.chosen))

    def action_aside(self) -> None:
        """Ask to leave it for now."""
        self.post_message(AsideWanted())

    def action_choose(self, by: int) -> None:
        """Choose the next or the previous reader, round and round."""
        names = [each.name for each in self._readers]
        at = names.index(self.chosen) if self.chosen in names else 0
        self.chosen = names[(at + by) % len(names)]

    def action_choose_number(self, number: int) -> None:
        """Choose a reader by its number."""
        if number <= len(self._readers):
            self.chosen = self._readers[number - 1].name

    def action_virtual(self) -> None:
        """Ask for the menu of virtual cards."""
        self.post_message(VirtualWanted(self.chosen))

    # --- drawing ----------------------------------------------------------------------------------------

    def _draw(self) -> None:
        if not self._said.is_attached:  # not composed yet, or going
            return
        self._top.view = self.view
        self._rows.update(stack([self._line(number, words) for number, words in enumerate(STEPS)]))
        self._readers_shown.display = self.step in NO_CARD
        self._readers_shown.update(stack([self._row(*each) for each in enumerate(self._readers, 1)]))
        self._said.update(self._state())
        self.refresh_bindings()

    def _line(self, number: int, words: str) -> Content:
        if number < self.step:
            return Content.styled(f"{DONE} {number + 1}  {words}", "$text-success")
        if number == self.step:
            return Content.styled(f"{RUNNING} {number + 1}  {words}", "bold")
        return Content.styled(f"{WAITING} {number + 1}  {words}", "$text-dim")

    def _row(self, number: int, reader: ReaderView) -> Content:
        chosen = reader.name == self.chosen
        name = Content.styled(f"{CHOSEN if chosen else ' '}{number} {reader.name}", "bold" if chosen else "")
        if not reader.present:
            return Content.assemble(name, (f"   {ABSENT} empty", "$text-dim"))
        if reader.reading:
            return Content.assemble(name, (f"   {RUNNING} reading", "$accent"))
        return Content.assemble(name, f"   {PRESENT} {card_name(reader.card) if reader.card else 'a card'}")

    def _state(self) -> Content:
        if self.working:
            return Content.styled(f"{RUNNING} {self.working}", "bold $accent")
        lines: list[Content] = [Content(words) for words in self._summary]
        if self._problem is not None:
            lines.append(Content.styled(f"{FAILED} {wording.failure(self._problem)}", "bold $text-error"))
            after = wording.next_action(next_action_for(self._problem))
            lines += [Content(after)] if after else []
        elif self.view is not None and not self.view.connected:
            lines.append(
                Content.styled(f"{ABSENT} The server does not answer; wait until it is back.", "bold")
            )
        if self.check_action("go_on", ()):
            lines.append(Content.assemble((" Enter ", "bold reverse"), f"  {NEXT[self.step]}"))
        elif self.step in NO_CARD:
            lines.append(Content.styled(NO_CARD[self.step], "bold"))
        return stack(lines)


def _fits(reader: ReaderView | None) -> bool:
    """Whether a card is there that nobody uses yet."""
    if reader is None or not reader.present or reader.reading:
        return False
    return reader.record is None or reader.record.state in MAKEABLE
