"""The home screen: readers, the life of the chosen card, the one obvious next action, live steps."""

from collections.abc import Mapping
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container
from textual.content import Content
from textual.message import Message
from textual.reactive import reactive
from textual.screen import Screen
from textual.widgets import Static

from kiosk.station import wording
from kiosk.station.faces import ReaderView, StationView
from kiosk.station.offers import offered, viewed
from kiosk.tui.labels import APPROVALS_KEY, FIND_KEY, LOG_OFF_KEY, MORE_KEY, OPERATION_KEYS, OPERATORS_KEY
from kiosk.tui.messages import (
    ApprovalsWanted,
    FindWanted,
    LogOffWanted,
    MoreWanted,
    OperatorsWanted,
    OutcomeSeen,
    Reread,
    StopWanted,
    VirtualWanted,
    Wanted,
)
from kiosk.tui.offers import goal, ways
from kiosk.tui.run import Run
from kiosk.tui.widgets.card import CardPane
from kiosk.tui.widgets.detail import CardDetail
from kiosk.tui.widgets.keybar import KeyBar
from kiosk.tui.widgets.life import LifePicture
from kiosk.tui.widgets.readers import ReaderBar
from kiosk.tui.widgets.steps import StepsPane
from kiosk.tui.widgets.top import LabBanner, TopBar
from shared.clock import Clock
from shared.credential.lifecycle import OperationKind
from shared.credential.update import CARRY_DUE
from shared.roles import Act, Area, Level


class Desk(Screen[None]):
    """Draws the station's view; keys become messages to the app, which owns the operations."""

    AUTO_FOCUS = None
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (120, "-wide")]  # noqa: RUF012  # so declared by the framework
    VERTICAL_BREAKPOINTS = [(0, "-low"), (32, "-high")]  # noqa: RUF012  # so declared by the framework

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "next", "Next", show=False),
        *(
            Binding(key, f"operate('{operation.value}')", show=False)
            for operation, key in OPERATION_KEYS.items()
        ),
        Binding("x", "stop", "Stop"),
        Binding("escape", "seen", "Back to the card", key_display="Esc"),
        Binding(MORE_KEY, "more", "More"),
        Binding(FIND_KEY, "find", "Find"),
        Binding(APPROVALS_KEY, "approvals", "Approvals"),
        Binding(LOG_OFF_KEY, "log_off", "Log off"),
        Binding(OPERATORS_KEY, "operators", "Operators"),
        Binding("down,j", "choose(1)", "Reader", key_display="↑↓ 1-9"),
        Binding("up,k", "choose(-1)", "Reader", show=False),
        *(Binding(str(number), f"choose_number({number})", show=False) for number in range(1, 10)),
        Binding("v", "virtual", "Virtual cards"),
        Binding("r", "reread", "Read again"),
    ]

    view: reactive[StationView | None] = reactive(None)
    chosen: reactive[str] = reactive("")

    def __init__(
        self,
        runs: Mapping[str, Run],
        *,
        clock: Clock,
        title: str,
        virtual: bool,
        inbox: bool = False,
        colleagues: bool = False,
    ) -> None:
        """Look at the app's `runs` (by reader); `virtual`: there are virtual cards to insert.

        `inbox`: there are requests for approval; `colleagues`: operators are looked after here.
        """
        super().__init__()
        self._runs = runs
        self._clock = clock
        self._title = title
        self._virtual = virtual
        self._inbox = inbox
        self._colleagues = colleagues
        self._waits = False
        """Whether something was asked of the app that it has not taken up yet."""

    @property
    def reader(self) -> ReaderView | None:
        """The chosen reader."""
        return self.named(self.chosen)

    @property
    def run(self) -> Run | None:
        """The chosen reader's operation, running or not yet put away."""
        return self._runs.get(self.chosen)

    def named(self, name: str) -> ReaderView | None:
        """Return a reader as it was last seen."""
        readers = self.view.readers if self.view else ()
        return next((reader for reader in readers if reader.name == name), None)

    @property
    def _drawn(self) -> bool:
        """Whether there are panes: not before the screen is composed, and not while the app ends."""
        return bool(self.query(KeyBar))

    def compose(self) -> ComposeResult:
        """Compose the panes; the style sheet folds them."""
        yield LabBanner()
        yield TopBar(self._clock)
        yield Static(id="alert")
        with Container(id="body"):
            yield ReaderBar()
            yield LifePicture()
            yield CardDetail()
            yield StepsPane()
            yield CardPane()
        yield KeyBar()

    def on_mount(self) -> None:
        """Give the parts what does not change."""
        self.query_one(TopBar).title = self._title
        self.query_one(CardPane).virtual = self._virtual
        self.query_one("#alert").display = False

    def watch_view(self, before: StationView | None, view: StationView | None) -> None:
        """Draw a new view; a card that was just put in draws the eye to its reader."""
        if view is None or not self._drawn:
            return
        names = [reader.name for reader in view.readers]
        had = {reader.name for reader in before.readers if reader.present} if before else set()
        came = [reader.name for reader in view.readers if reader.present and reader.name not in had]
        if self.chosen not in names:
            self.chosen = (came or names or [""])[0]
        elif came and before is not None and not (self.run and self.run.running):
            self.chosen = came[0]
        self.query_one(TopBar).view = view
        self._alert(view)
        self.redraw()

    def watch_chosen(self) -> None:
        """Draw another reader's card."""
        self.redraw()

    def redraw(self) -> None:
        """Give every pane what it shows."""
        if not self._drawn:
            return
        reader, run = self.reader, self.run
        bar = self.query_one(ReaderBar)
        bar.readers, bar.chosen = self.view.readers if self.view else (), self.chosen
        life = self.query_one(LifePicture)
        life.state = reader.record.state if reader and reader.record else None
        running = run is not None and run.running
        life.ways = {} if running else ways(reader)
        life.goal = goal(run) if run and running else None
        self.query_one(CardDetail).reader = reader
        steps = self.query_one(StepsPane)
        steps.run = run
        steps.changed()
        self.set_class(run is not None, "-run")
        card = self.query_one(CardPane)
        card.running = running
        card.besides = frozenset({CARRY_DUE}) if run is not None and run.why else frozenset()
        card.reader = reader
        self.refresh_bindings()

    def turn_from(self, name: str) -> None:
        """Look at another reader than this one, at one with a card if there is any."""
        others = [reader for reader in (self.view.readers if self.view else ()) if reader.name != name]
        if self.chosen == name and others:
            self.chosen = next((each for each in others if each.present), others[0]).name

    def run_changed(self, reader: str) -> None:
        """Paint the steps again if they are the chosen reader's."""
        if reader == self.chosen and self._drawn:
            self.query_one(StepsPane).changed()

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Allow what makes sense now; the rest has no key on the screen."""
        reader, run = self.reader, self.run
        running = run is not None and run.running
        permissions = self.view.permissions if self.view else None
        if action == "operate":
            return not running and OperationKind(str(parameters[0])) in offered(reader)
        allowed = {
            "next": not running,
            "more": not running and len(offered(reader)) + 2 * len(viewed(reader)) > 1,
            "stop": running and run is not None and not run.stopping,
            "seen": run is not None and not running,
            "virtual": self._virtual,
            "find": permissions is None or permissions.anywhere(Act.FIND_CREDENTIALS) >= Level.VIEW,
            "approvals": self._inbox and self.view is not None and self.view.operator is not None,
            "operators": self._colleagues
            and permissions is not None
            and permissions.allowed(Area.OPERATORS, None) >= Level.VIEW,
            "log_off": self.view is not None and self.view.operator is not None,
            "reread": reader is not None and reader.present and not running,
            "choose": self.view is not None and len(self.view.readers) > 1,
        }
        return allowed.get(action, True)

    def _want(self, message: Message) -> None:
        """Ask for something that may need a question first.

        What a fast typist means for that question, and is typed before it is there, must not begin anything else.
        """
        if not self._waits:
            self._waits = True
            self.post_message(message)

    def answered(self) -> None:
        """Take keys again: what was asked for has begun, or was asked about, or is not possible."""
        self._waits = False

    def action_operate(self, operation: str) -> None:
        """Ask for an operation on the chosen card."""
        self._want(Wanted(OperationKind(operation), self.chosen))

    def action_next(self) -> None:
        """Do the one obvious thing."""
        reader = self.reader
        possible = offered(reader)
        if possible:
            self._want(Wanted(possible[0], self.chosen))
        elif reader is not None and not reader.present and self._virtual:
            self.post_message(VirtualWanted(self.chosen))
        elif reader is not None and reader.present and reader.error is not None:
            self.post_message(Reread(self.chosen))

    def action_more(self) -> None:
        """Ask for the list of everything that may be done to this card."""
        self._want(MoreWanted(self.chosen))

    def action_find(self) -> None:
        """Ask for a credential whose card need not be here."""
        self._want(FindWanted())

    def action_approvals(self) -> None:
        """Ask for what waits for an approval."""
        self._want(ApprovalsWanted())

    def action_operators(self) -> None:
        """Ask for the operators."""
        self._want(OperatorsWanted())

    def action_log_off(self) -> None:
        """Ask to end the session."""
        self.post_message(LogOffWanted())

    def action_stop(self) -> None:
        """Ask to stop what runs in the chosen reader."""
        self.post_message(StopWanted(self.chosen))

    def action_seen(self) -> None:
        """Put the outcome away."""
        self.post_message(OutcomeSeen(self.chosen))

    def action_choose(self, by: int) -> None:
        """Choose the next or the previous reader, round and round."""
        names = [reader.name for reader in self.view.readers] if self.view else []
        if names:
            at = names.index(self.chosen) if self.chosen in names else 0
            self.chosen = names[(at + by) % len(names)]

    def action_choose_number(self, number: int) -> None:
        """Choose a reader by its number."""
        readers = self.view.readers if self.view else ()
        if number <= len(readers):
            self.chosen = readers[number - 1].name

    def action_virtual(self) -> None:
        """Ask for the menu of virtual cards."""
        self.post_message(VirtualWanted(self.chosen))

    def action_reread(self) -> None:
        """Ask to read the card again."""
        self.post_message(Reread(self.chosen))

    def _alert(self, view: StationView) -> None:
        alert = self.query_one("#alert", Static)
        words = []
        if view.problem is not None:
            words.append(wording.failure(view.problem))
        if not view.connected and not view.connecting:
            words.append("No connection to the server. The desk goes on by itself when it is back.")
        alert.display = bool(words)
        alert.update(Content(" ! " + "  ! ".join(words)))
