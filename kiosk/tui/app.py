"""The desk as an application: a table of keys, what it shows, and who does what they ask for.

`Jobs` has the operations that run, `Before` asks what they need to know, `Away` looks after credentials whose cards are
not here.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import ClassVar, Final

from textual import events, on
from textual.app import App
from textual.binding import Binding, BindingType
from textual.filter import LineFilter
from textual.reactive import reactive
from textual.worker import Worker, WorkerState

from kiosk.station.faces import (
    Colleagues,
    Inbox,
    Job,
    Logons,
    Paper,
    ReaderView,
    Station,
    StationView,
    VirtualDesk,
)
from kiosk.station.first_start import FirstStart
from kiosk.station.offers import offered, viewed
from kiosk.tui.approvals import Approvals
from kiosk.tui.away import Away
from kiosk.tui.before import Before, Ready, at_once, ready
from kiosk.tui.colleagues import LookAfterOperators
from kiosk.tui.confirm import Confirm
from kiosk.tui.desk import Desk
from kiosk.tui.failure import Failure
from kiosk.tui.find import Find
from kiosk.tui.first_start import FirstStarts
from kiosk.tui.first_start_screen import AsideWanted, StepWanted
from kiosk.tui.help import Help
from kiosk.tui.jobs import PROGRAM_FAULT, Jobs
from kiosk.tui.messages import (
    AgentLogOnWanted,
    ApprovalsWanted,
    FindWanted,
    LogOffWanted,
    LogOnWanted,
    MoreWanted,
    OperatorsWanted,
    OutcomeSeen,
    Reread,
    Search,
    StopWanted,
    VirtualWanted,
    Wanted,
)
from kiosk.tui.offers import menu
from kiosk.tui.operators import Operators
from kiosk.tui.orders import NoOrders
from kiosk.tui.questions import QUESTIONS
from kiosk.tui.run import Run
from kiosk.tui.show_code import CodeText
from kiosk.tui.theme import THEME
from kiosk.tui.virtual import VirtualCards
from shared.clock import Clock, SystemClock
from shared.credential.lifecycle import OperationKind
from shared.errors import ApprovalNeeded, CardChanged, CardMissing, KioskError, StationFault

NO_ORDERS: Final = NoOrders()


class DeskApp(App[None], inherit_bindings=False):
    """The desk. Inherits no key of the framework, so that none quits it or opens a command palette."""

    CSS_PATH = "app.tcss"
    ENABLE_COMMAND_PALETTE = False
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("question_mark", "help", "Help", key_display="?"),
        Binding("q", "leave", "Quit"),
    ]

    lab: reactive[str | None] = reactive(None)
    """None where no reader is virtual, else what the banner adds."""
    waits: reactive[str] = reactive("")
    """What waits for the approval of who is logged on, in few words."""

    def __init__(
        self,
        *,
        station: Station,
        logons: Logons | None = None,
        first_start: FirstStart | None = None,
        inbox: Inbox | None = None,
        colleagues: Colleagues | None = None,
        virtual: VirtualDesk | None = None,
        banner: str = "",
        title: str = "",
        clock: Clock | None = None,
        operators_reader: str = "",
        paper: Paper | None = None,
    ) -> None:
        """Show `station`. `logons` lets operators log on, `first_start` makes the first of them, `inbox` has what a second person approves, `colleagues` are looked after; `virtual` adds keys for virtual cards; `banner` is added to the lab banner; `operators_reader` is where the operator's card is looked for first; `paper` prints the System Owner's code."""
        super().__init__()
        self.register_theme(THEME)
        self.theme = THEME.name
        self.title = title or "Desk"
        self._station, self._virtual, self._banner = station, virtual, banner
        self._clock: Clock = clock or SystemClock()
        self._turn = asyncio.Lock()
        """Held while somebody is asked something: people read one question at a time."""
        self._runs: dict[str, Run] = {}
        self._desk = Desk(
            self._runs,
            clock=self._clock,
            title=title,
            virtual=virtual is not None,
            inbox=inbox is not None,
            colleagues=colleagues is not None,
        )
        self._operators = (
            Operators(self, logons, self._desk, self._clock, reader=operators_reader)
            if logons is not None
            else None
        )
        self._first_starts = (
            FirstStarts(self, first_start, self._clock, paper=paper) if first_start is not None else None
        )
        self._jobs = Jobs(
            self,
            station,
            self._desk,
            self._runs,
            turn=self._turn,
            clock=self._clock,
            step_up=self._operators.step_up if self._operators else None,
            unapproved=self._unapproved if inbox is not None else None,
        )
        self._approvals = (
            Approvals(self, inbox, self._desk, lambda: self._operators.reader if self._operators else "")
            if inbox is not None
            else None
        )
        self._colleagues = (
            LookAfterOperators(self, colleagues, self._operators, self._approvals)
            if colleagues is not None and self._operators is not None
            else None
        )
        self._before = Before(self, station, self._colleagues.choose_for if self._colleagues else None)
        self._away = Away(self, station, self._before, self._operators, self._approvals)

    def get_line_filters(self) -> Sequence[LineFilter]:
        """Return the framework's filters, and one that keeps orders to the terminal out of names and sentences."""
        return (*super().get_line_filters(), NO_ORDERS)

    # --- what is shown ----------------------------------------------------------------------------------

    async def on_mount(self) -> None:
        """Open the desk and follow the station."""
        await self.push_screen(self._desk)
        self._start(self._follow(), "view")
        if self._approvals is not None:
            self._start(self._approvals.follow(partial(setattr, self, "waits")), "approvals")

    async def _follow(self) -> None:
        async for view in self._station.views():
            self._see(view)

    def _see(self, view: StationView) -> None:
        self.lab = self._banner if any(reader.virtual for reader in view.readers) else None
        for reader in view.readers:
            self._jobs.see(reader, self._desk.named(reader.name))
        self._desk.view = view
        if self._first_starts is not None and self._first_starts.see(
            view, title=self.title, virtual=self._virtual is not None
        ):
            return
        if self._operators is not None:
            virtual, running = self._virtual is not None, bool(self._jobs.running)
            self._operators.see(view, title=self.title, virtual=virtual, running=running)

    async def on_event(self, event: events.Event) -> None:
        """Whoever presses a key is there."""
        if isinstance(event, events.Key) and self._operators is not None:
            self._operators.touch()
        await super().on_event(event)

    # --- work -------------------------------------------------------------------------------------------

    def _start(self, work: Awaitable[None], group: str, *, exclusive: bool = False) -> Worker[None]:
        """Run `work` beside the screens; what it raises is caught in `on_worker_state_changed`."""
        return self.run_worker(work, group=group, exclusive=exclusive, exit_on_error=False)

    def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        """Show what a worker could not handle: its code only, the error itself is dropped here."""
        if event.worker.group == QUESTIONS and event.worker.is_finished:
            self._desk.answered()
        if event.state is WorkerState.ERROR:
            error = event.worker.error
            self.push_screen(Failure(error if isinstance(error, KioskError) else None, PROGRAM_FAULT))

    @on(Wanted)
    def _wanted(self, wanted: Wanted) -> None:
        reader = self._desk.named(wanted.reader)
        if reader is None or reader.record is None or wanted.operation not in offered(reader):
            self._desk.answered()
        elif at_once(wanted.operation, reader.record):
            self._begin(ready(wanted.operation, reader, reader.record))
            self._desk.answered()
        else:
            self._start(self._prepare(reader, wanted.operation), QUESTIONS, exclusive=True)

    def _begin(self, begin: Ready) -> None:
        """Begin what may begin, unless something runs in its reader by now."""
        if not self._jobs.runs_in(begin.job.reader):
            self._jobs.begin(begin.job, begin.subject)

    async def _prepare(self, reader: ReaderView, operation: OperationKind) -> None:
        """Ask what an operation needs to know, then begin it with the card that people were asked about."""
        assert reader.record is not None
        async with self._turn:
            asked = await self._before.ask(operation, reader, reader.record)
        if asked is not None and self._is_still_there(reader):
            self._begin(asked)

    def _is_still_there(self, reader: ReaderView) -> bool:
        """Whether the card that people were asked about is still in its reader; says so where it is not."""
        now = self._desk.named(reader.name)
        if now is not None and now.present and now.card == reader.card:
            return True
        gone = now is None or not now.present
        self.push_screen(Failure(CardMissing(reader=reader.name) if gone else CardChanged()))
        return False

    @on(MoreWanted)
    def _more_wanted(self, wanted: MoreWanted) -> None:
        reader = self._desk.named(wanted.reader)
        if reader is None or not (offered(reader) or viewed(reader)):
            self._desk.answered()
            return

        def chosen(operation: OperationKind | None) -> None:
            self._desk.answered()
            if operation is not None and self._is_still_there(reader):
                self.post_message(Wanted(operation, reader.name))

        self.push_screen(menu(reader), chosen)

    @on(FindWanted)
    def _find_wanted(self) -> None:
        self._start(self._in_turn(self._away.look_after), QUESTIONS, exclusive=True)

    async def _in_turn(self, ask: Callable[[], Awaitable[None]]) -> None:
        async with self._turn:
            await ask()

    @on(ApprovalsWanted)
    def _approvals_wanted(self) -> None:
        if self._approvals is not None:
            self._start(self._in_turn(self._approvals.look_after), QUESTIONS, exclusive=True)

    @on(OperatorsWanted)
    def _operators_wanted(self) -> None:
        if self._colleagues is not None:
            self._start(self._in_turn(self._colleagues.look_after), QUESTIONS, exclusive=True)

    def _unapproved(self, job: Job, error: ApprovalNeeded, subject: str) -> None:
        if self._approvals is not None:
            self._start(self._in_turn(partial(self._approvals.ask, job, error, subject)), QUESTIONS)

    @on(LogOnWanted)
    def _log_on_wanted(self, wanted: LogOnWanted) -> None:
        if self._operators is not None:
            self._start(self._operators.log_on(wanted.reader), "log-on", exclusive=True)

    @on(AgentLogOnWanted)
    def _agent_log_on_wanted(self) -> None:
        if self._operators is not None:
            self._start(self._operators.log_on_by_agent(), "log-on", exclusive=True)

    @on(StepWanted)
    def _step_wanted(self, wanted: StepWanted) -> None:
        self._start(self._go_on(wanted.reader), "first-start", exclusive=True)

    async def _go_on(self, reader: str) -> None:
        if self._first_starts is None:
            return
        again = await self._first_starts.go_on(reader)
        if again:
            await self._station.refresh(again)  # the server wants somebody to log on by now

    @on(AsideWanted)
    def _aside_wanted(self) -> None:
        if self._first_starts is not None:
            self._start(self._first_starts.leave(), "first-start", exclusive=True)

    @on(LogOffWanted)
    def _log_off_wanted(self) -> None:
        if self._operators is not None:
            self._start(self._operators.log_off(), "log-off", exclusive=True)

    @on(StopWanted)
    def _stop(self, wanted: StopWanted) -> None:
        self._jobs.stop(wanted.reader)

    @on(OutcomeSeen)
    def _seen(self, seen: OutcomeSeen) -> None:
        self._jobs.put_away(seen.reader)

    @on(Reread)
    def _reread(self, wanted: Reread) -> None:
        self._start(self._refresh(wanted.reader), "refresh")

    async def _refresh(self, reader: str) -> None:
        await self._station.refresh(reader)

    @on(Search)
    def _search(self, search: Search) -> None:
        if isinstance(self.screen, Find):
            self._start(self.screen.search(search.text), "search", exclusive=True)

    # --- virtual cards ----------------------------------------------------------------------------------

    @on(VirtualWanted)
    def _virtual_wanted(self, wanted: VirtualWanted) -> None:
        if self._virtual is not None:
            self._start(self._move(self._virtual, wanted.reader), "virtual", exclusive=True)

    async def _move(self, virtual: VirtualDesk, chosen: str) -> None:
        readers = self._desk.view.readers if self._desk.view else ()
        if not any(reader.virtual for reader in readers):
            return
        move = await self.push_screen_wait(VirtualCards(readers, virtual.cards(), chosen))
        if move is None:
            return
        if not move.card:
            await virtual.pull(move.reader)
            return
        self._desk.chosen = move.reader
        reader = self._desk.named(move.reader)
        if reader is not None and reader.present:
            await virtual.pull(move.reader)
        await virtual.insert(move.reader, move.card)

    # --- keys -------------------------------------------------------------------------------------------

    def action_help(self) -> None:
        """List the keys."""
        self.push_screen(Help(virtual=self._virtual is not None))

    def action_leave(self) -> None:
        """Quit; ask first while an operation runs."""
        if self._jobs.running:
            self._start(self._leave(), "leave", exclusive=True)
        else:
            self.exit()

    async def _leave(self) -> None:
        """Let running operations stop at their next border between two steps, then quit."""
        dialog = Confirm(
            "Quit?",
            "An operation is running. It stops after the step it is in and is continued at the next insertion.",
            yes="Stop and quit",
            facts=(("Running", ", ".join(self._jobs.running)),),
            risky=True,
        )
        if await self.push_screen_wait(dialog):
            await self._jobs.stop_all()
            self.exit()

    def export_screenshot(self, *, title: str | None = None, simplify: bool = False) -> str:
        """Return a picture of the screen; a code that is shown once is in no picture."""
        with CodeText.concealed(self.screen):
            return super().export_screenshot(title=title, simplify=simplify)

    def _handle_exception(self, error: Exception) -> None:
        """End without a traceback: the framework's own prints local variables, and a PIN could be one.

        The framework has no public hook for this; its version is pinned, and a test breaks if it changes.
        """
        self._return_code = StationFault.exit_code
        if self._exception is None:
            self._exception = error
            self._exception_event.set()
        code = error.code if isinstance(error, KioskError) else PROGRAM_FAULT
        self.exit(
            return_code=StationFault.exit_code,
            message=f"The desk ended unexpectedly ({code}, {type(error).__name__}).",
        )
