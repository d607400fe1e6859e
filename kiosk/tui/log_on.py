"""The screen of a desk at which nobody is logged on: which card, or which ssh-agent, logs its operator on, and what became of it.

Nothing about cards and their holders is on it: only what stands in which reader.
"""

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.reactive import reactive
from textual.screen import Screen
from textual.widgets import Static

from kiosk.station import wording
from kiosk.station.faces import ReaderView, StationView
from kiosk.station.relay import next_action_for
from kiosk.tui.labels import (
    ABSENT,
    AGENT_ASKED,
    AGENT_PROVES,
    FAILED,
    LOG_ON_BUTTON,
    LOG_ON_BY_AGENT,
    LOG_ON_FIRST,
    ONE_READER,
    PRESENT,
    RUNNING,
)
from kiosk.tui.messages import AgentLogOnWanted, LogOnWanted, VirtualWanted
from kiosk.tui.widgets.keybar import KeyBar
from kiosk.tui.widgets.readers import CHOSEN, card_name
from kiosk.tui.widgets.text import stack
from kiosk.tui.widgets.top import LabBanner, TopBar
from shared.clock import Clock
from shared.errors import KioskError


class LogOn(Screen[None]):
    """Asks for an operator's card. A card that is put in is chosen; the app does the rest."""

    AUTO_FOCUS = None
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "log_on", "Log on", key_display="Enter"),
        Binding("down,j", "choose(1)", "Reader", key_display="↑↓ 1-9"),
        Binding("up,k", "choose(-1)", "Reader", show=False),
        *(Binding(str(number), f"choose_number({number})", show=False) for number in range(1, 10)),
        Binding("a", "agent", "ssh-agent"),
        Binding("v", "virtual", "Virtual cards"),
    ]

    view: reactive[StationView | None] = reactive(None)
    chosen: reactive[str] = reactive("")
    working: reactive[bool] = reactive(default=False)
    """Whether a card, or the agent, is being asked."""

    def __init__(
        self, clock: Clock, *, title: str, virtual: bool, words: str, agent: bool, usual: str = ""
    ) -> None:
        """Say `words` about the session before, if there was one; `agent`: an ssh-agent was forwarded to this log-in.

        `usual` is the reader in which operators' cards are here.
        """
        super().__init__()
        self._usual = usual
        self._virtual = virtual
        self._agent = agent
        self._asks_agent = False
        self._top = TopBar(clock)
        self._top.title = title
        self._before = Static(Content(words), classes="facts")
        self._before.display = bool(words)
        self._rows = Static(classes="facts")
        self._said = Static(id="logon-state")
        self._problem: KioskError | None = None
        self._withdrawn = False

    def compose(self) -> ComposeResult:
        """Compose the readers, and what there is to say."""
        yield LabBanner()
        yield self._top
        with Vertical(id="place"):
            box = Vertical(classes="dialog")
            box.border_title = Content("Log on")
            with box:
                yield self._before
                yield Static(Content.styled(LOG_ON_FIRST, "bold"), classes="question")
                yield self._rows
                yield self._said
        yield KeyBar()

    def on_mount(self) -> None:
        """Draw what is known already."""
        self._draw()

    @property
    def reader(self) -> ReaderView | None:
        """The reader whose card is asked."""
        return next((each for each in self._readers if each.name == self.chosen), None)

    @property
    def _readers(self) -> tuple[ReaderView, ...]:
        return self.view.readers if self.view else ()

    def watch_view(self, before: StationView | None, view: StationView | None) -> None:
        """Choose a card that was put in, or the only one; what was said of another card is no news any more."""
        had = {each.name for each in before.readers if each.present} if before else set()
        has = [each.name for each in view.readers if each.present] if view else []
        came = [name for name in has if name not in had]
        if not self.working and (came or self.chosen not in has):
            names = came or has or [each.name for each in self._readers] or [""]
            self.chosen = self._usual if self._usual in names else names[0]
        if came and before is not None:
            self._problem = None
        self._draw()

    def watch_chosen(self) -> None:
        """Draw the mark elsewhere."""
        self._draw()

    def watch_working(self) -> None:
        """Take the keys away while a card is asked."""
        self._draw()

    def failed(self, error: KioskError | None) -> None:
        """Say why nobody was logged on; None where the operator stopped."""
        self._problem = error
        self._draw()

    def withdraw(self) -> None:
        """Go: somebody is logged on."""
        self._withdrawn = True
        if self.app.screen is self:
            self.dismiss(None)

    def on_screen_resume(self) -> None:
        """Go, if somebody logged on while something else lay on top."""
        if self._withdrawn:
            self.dismiss(None)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:  # noqa: ARG002  # Textual's
        """Allow what makes sense now."""
        ready = self.reader is not None and self.reader.present
        allowed = {
            "log_on": ready and not self.working,
            "choose": len(self._readers) > 1 and not self.working,
            "choose_number": not self.working,
            "agent": self._agent and not self.working,
            "virtual": self._virtual and not self.working,
        }
        return allowed.get(action, True)

    def action_log_on(self) -> None:
        """Ask for the log-on with the card in the chosen reader."""
        self._asks_agent, self._problem, self.working = False, None, True
        self.post_message(LogOnWanted(self.chosen))

    def action_agent(self) -> None:
        """Ask for the log-on through the ssh-agent."""
        self._asks_agent, self._problem, self.working = True, None, True
        self.post_message(AgentLogOnWanted())

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

    def _draw(self) -> None:
        if not self._said.is_attached:  # not composed yet, or going
            return
        self._top.view = self.view
        rows = [
            _row(number, each, chosen=each.name == self.chosen)
            for number, each in enumerate(self._readers, 1)
        ]
        if len(rows) == 1:
            rows += [Content(""), Content.styled(ONE_READER, "$text-dim")]
        nothing = Content("Attach a card reader; it appears here by itself.")
        self._rows.update(stack(rows or [nothing]))
        self._said.update(self._state())
        self.refresh_bindings()

    def _state(self) -> Content:
        if self.working and self._asks_agent:
            return Content.styled(f"{RUNNING} {AGENT_ASKED}", "bold $accent")
        if self.working:
            return Content.styled(f"{RUNNING} Leave the card in the reader.", "bold $accent")
        lines: list[Content] = []
        if self._problem is not None:
            words = wording.failure(self._problem)
            lines.append(Content.styled(f"{FAILED} {words}", "bold $text-error"))
            after = wording.next_action(next_action_for(self._problem))
            lines += [Content(after)] if after else []
        elif self.view is not None and not self.view.connected:
            lines.append(
                Content.styled(f"{ABSENT} The server does not answer; wait until it is back.", "bold")
            )
        if self.reader is not None and self.reader.present:
            lines.append(Content.assemble((" Enter ", "bold reverse"), f"  {LOG_ON_BUTTON}"))
        if self._agent:
            lines.append(Content.assemble((" a ", "bold reverse"), f"  {LOG_ON_BY_AGENT}"))
            lines.append(Content.styled(AGENT_PROVES, "$text-dim"))
        return stack(lines)


def _row(number: int, reader: ReaderView, *, chosen: bool) -> Content:
    mark = CHOSEN if chosen else " "
    name = Content.styled(f"{mark}{number} {reader.name}", "bold" if chosen else "")
    if not reader.present:
        return Content.assemble(name, (f"   {ABSENT} empty", "$text-dim"))
    if reader.reading:
        return Content.assemble(name, (f"   {RUNNING} reading", "$accent"))
    return Content.assemble(name, f"   {PRESENT} {card_name(reader.card) if reader.card else 'a card'}")
