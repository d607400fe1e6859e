"""The desk as an application: a table of keys, the operations that run, and who is asked what.

Operations belong to the app: a screen may come and go while one runs. What the app remembers of an operation is for
the eye only; the server's journal is what counts.
"""

import asyncio
from collections.abc import Awaitable, Sequence
from dataclasses import replace
from typing import ClassVar, Final

from textual import on
from textual.app import App
from textual.binding import Binding, BindingType
from textual.filter import LineFilter
from textual.reactive import reactive
from textual.theme import Theme
from textual.worker import Worker, WorkerState

from kiosk.station import wording
from kiosk.station.faces import Job, Outcome, ReaderView, Station, StationView, VirtualDesk
from kiosk.tui.confirm import Confirm
from kiosk.tui.desk import Desk
from kiosk.tui.failure import Failure
from kiosk.tui.find import FindPerson
from kiosk.tui.help import Help
from kiosk.tui.labels import ENDINGS, NO_TEMPLATE
from kiosk.tui.messages import OutcomeSeen, Reread, Search, StopWanted, VirtualWanted, Wanted
from kiosk.tui.orders import NoOrders
from kiosk.tui.questions import Questions
from kiosk.tui.reason import ChooseReason
from kiosk.tui.run import Run
from kiosk.tui.template import ChooseTemplate
from kiosk.tui.virtual import VirtualCards
from kiosk.tui.widgets.card import DEPARTMENT, MAIL
from kiosk.tui.widgets.readers import card_name
from shared.clock import Clock, SystemClock
from shared.console import CardView, TemplateView
from shared.credential.lifecycle import OperationKind
from shared.credential.model import Person
from shared.errors import Cancelled, CardChanged, KioskError, StationFault, UnknownFailure

DEBOUNCE_S: Final = 0.2
"""How long a search waits for the next letter."""

PEOPLE_LIMIT: Final = 50
SEARCH_MAX: Final = 100
"""Characters of a search that count; nobody's name is longer, but something else may be pasted."""

PROGRAM_FAULT: Final = "program-fault"
"""The code shown for an exception that is not a `KioskError`."""

THEME: Final = Theme(
    name="desk",
    dark=True,
    primary="#4fc3d9",
    secondary="#7aa2f7",
    accent="#f2c14e",
    warning="#f2c14e",
    error="#f7768e",
    success="#5fe07a",
    foreground="#d8dee9",
    background="#0f141b",
    surface="#151c25",
    panel="#1d2733",
    variables={
        "text-dim": "#8592a3",
        "text-success": "#5fe07a",
        "text-warning": "#f2c14e",
        "text-error": "#f7768e",
        "frame": "#3b4a5c",
        "present": "#4fc3d9",
        "present-foreground": "#0b1016",
        "done": "#5fe07a",
        "done-foreground": "#0b1016",
        "failed": "#f7768e",
        "failed-foreground": "#0b1016",
    },
)
"""Colours that stay apart when a terminal rounds them to its sixteen."""


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

    def __init__(
        self,
        *,
        station: Station,
        virtual: VirtualDesk | None = None,
        banner: str = "",
        title: str = "",
        clock: Clock | None = None,
    ) -> None:
        """Show `station`. `virtual` adds keys for virtual cards; `banner` is added to the lab banner."""
        super().__init__()
        self.register_theme(THEME)
        self.theme = THEME.name
        self.title = title or "Desk"
        self._station, self._virtual, self._banner = station, virtual, banner
        self._clock: Clock = clock or SystemClock()
        self._runs: dict[str, Run] = {}
        self._operations: dict[str, Worker[None]] = {}
        self._turn = asyncio.Lock()
        """Held while somebody is asked something: people read one question at a time."""
        self._idle = asyncio.Event()
        self._desk = Desk(self._runs, clock=self._clock, title=title, virtual=virtual is not None)

    def get_line_filters(self) -> Sequence[LineFilter]:
        """Return the framework's filters, and one that keeps orders to the terminal out of names and sentences."""
        return (*super().get_line_filters(), NO_ORDERS)

    # --- what is shown ----------------------------------------------------------------------------------

    async def on_mount(self) -> None:
        """Open the desk and follow the station."""
        await self.push_screen(self._desk)
        self._start(self._follow(), "view")

    async def _follow(self) -> None:
        async for view in self._station.views():
            self._see(view)

    def _see(self, view: StationView) -> None:
        self.lab = self._banner if any(reader.virtual for reader in view.readers) else None
        for reader in view.readers:
            self._forget(reader, self._reader(reader.name))
        self._desk.view = view

    def _forget(self, reader: ReaderView, before: ReaderView | None) -> None:
        """Put an outcome away when it is history: a success with its card, a failure when a card comes."""
        run = self._runs.get(reader.name)
        if run is None or run.outcome is None or before is None:
            return
        left, came = before.present and not reader.present, reader.present and not before.present
        if came or (left and run.outcome.error is None):
            del self._runs[reader.name]

    def _reader(self, name: str) -> ReaderView | None:
        readers = self._desk.view.readers if self._desk.view else ()
        return next((reader for reader in readers if reader.name == name), None)

    # --- work -------------------------------------------------------------------------------------------

    def _start(self, work: Awaitable[None], group: str, *, exclusive: bool = False) -> Worker[None]:
        """Run `work` beside the screens; what it raises is caught in `on_worker_state_changed`."""
        return self.run_worker(work, group=group, exclusive=exclusive, exit_on_error=False)

    def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        """Show what a worker could not handle: its code only, the error itself is dropped here."""
        if event.state is WorkerState.ERROR:
            error = event.worker.error
            self.push_screen(Failure(error if isinstance(error, KioskError) else None, PROGRAM_FAULT))

    @on(Wanted)
    def _wanted(self, wanted: Wanted) -> None:
        run, reader = self._runs.get(wanted.reader), self._reader(wanted.reader)
        if (run is not None and run.running) or reader is None or reader.record is None:
            return
        if wanted.operation is OperationKind.ISSUE:
            self._start(self._prepare_issue(reader, reader.record), "questions", exclusive=True)
        elif wanted.operation in ENDINGS:
            self._start(self._prepare_end(reader, wanted.operation), "questions", exclusive=True)
        else:
            holder = reader.record.holder
            self._begin(Job(operation=wanted.operation, reader=wanted.reader), holder.name if holder else "")

    async def _prepare_issue(self, reader: ReaderView, record: CardView) -> None:
        """Ask for person and template (unless an issue goes on), then begin."""
        if record.interrupted is OperationKind.ISSUE:
            holder = record.holder
            job = Job(
                operation=OperationKind.ISSUE,
                reader=reader.name,
                holder=holder.holder if holder else "",
                template=record.template,
            )
            self._begin(job, holder.name if holder else "")
            return
        async with self._turn:
            asked = await self._ask_for_issue(reader)
        if asked is None:
            return
        now = self._reader(reader.name)
        if now is None or not now.present or now.card != reader.card:
            self.push_screen(Failure(CardChanged()))
            return
        person, template = asked
        job = Job(
            operation=OperationKind.ISSUE, reader=reader.name, holder=person.holder, template=template.name
        )
        self._begin(job, f"{person.name} · {template.title}")

    async def _prepare_end(self, reader: ReaderView, operation: OperationKind) -> None:
        """Ask why the credential ends, then begin."""
        holder = reader.record.holder if reader.record else None
        name = holder.name if holder else reader.name
        heading = f"{wording.operation(operation)}: why?  {name}"
        async with self._turn:
            cause = await self.push_screen_wait(ChooseReason(heading, ENDINGS[operation]))
        if cause is None:
            return
        now = self._reader(reader.name)
        if now is None or not now.present or now.card != reader.card:
            self.push_screen(Failure(CardChanged()))
            return
        self._begin(Job(operation=operation, reader=reader.name, reason=cause.value), name)

    async def _ask_for_issue(self, reader: ReaderView) -> tuple[Person, TemplateView] | None:
        """Ask who gets the card, which template, and whether all is right; None means "no"."""
        card = card_name(reader.card) if reader.card else reader.name
        person = await self.push_screen_wait(FindPerson(card))
        if person is None:
            return None
        templates = await self._station.templates()
        if not templates:
            self.push_screen(Failure(None, "no-template", NO_TEMPLATE))
            return None
        template: TemplateView | None = templates[0]
        if len(templates) > 1:
            template = await self.push_screen_wait(ChooseTemplate(templates, person.name))
        if template is None or not await self.push_screen_wait(_summary(reader, card, person, template)):
            return None
        return person, template

    def _begin(self, job: Job, subject: str) -> None:
        run = Run(job, subject, self._clock, lambda: self._desk.run_changed(job.reader))
        self._runs[job.reader] = run
        self._operations[job.reader] = self._start(self._perform(run), "operation")
        self._desk.chosen = job.reader
        self._desk.redraw()

    async def _perform(self, run: Run) -> None:
        """Do one operation to its end; whatever happens, the run gets an outcome."""
        person = Questions(self, self._turn, self._subject(run.job.reader))
        fault = UnknownFailure(reported=PROGRAM_FAULT)
        outcome = Outcome(
            operation=run.job.operation, state="unknown", error=fault, next_action="insert-again"
        )
        try:
            outcome = await self._station.perform(run.job, person, run)
        except asyncio.CancelledError:
            outcome = replace(outcome, error=Cancelled(question="stop"))
            raise
        finally:
            run.end(outcome)
            self._operations.pop(run.job.reader, None)
            if not self._operations:
                self._idle.set()
            self._desk.redraw()

    def _subject(self, name: str) -> str:
        reader = self._reader(name)
        parts = [
            reader.record.holder.name if reader and reader.record and reader.record.holder else "",
            card_name(reader.card) if reader and reader.card else "",
            name,
        ]
        return " · ".join(part for part in parts if part)

    @on(StopWanted)
    def _stop(self, wanted: StopWanted) -> None:
        run, worker = self._runs.get(wanted.reader), self._operations.get(wanted.reader)
        if run is not None and worker is not None and not run.stopping:
            run.stopping = True
            worker.cancel()
            self._desk.redraw()

    @on(OutcomeSeen)
    def _seen(self, seen: OutcomeSeen) -> None:
        run = self._runs.get(seen.reader)
        if run is not None and not run.running:
            del self._runs[seen.reader]
            self._desk.redraw()

    @on(Reread)
    def _reread(self, wanted: Reread) -> None:
        self._start(self._refresh(wanted.reader), "refresh")

    async def _refresh(self, reader: str) -> None:
        await self._station.refresh(reader)

    @on(Search)
    def _search(self, search: Search) -> None:
        if isinstance(self.screen, FindPerson):
            self._start(self._find(self.screen, search.text), "search", exclusive=True)

    async def _find(self, screen: FindPerson, text: str) -> None:
        """Wait for the next letter, then ask; a newer search cancels this one wherever it is."""
        await asyncio.sleep(DEBOUNCE_S if text else 0)
        try:
            found = await self._station.find_people(text.strip()[:SEARCH_MAX], PEOPLE_LIMIT)
        except KioskError as error:
            screen.fail(error)
        else:
            screen.show(found)

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
        reader = self._reader(move.reader)
        if reader is not None and reader.present:
            await virtual.pull(move.reader)
        await virtual.insert(move.reader, move.card)

    # --- keys -------------------------------------------------------------------------------------------

    def action_help(self) -> None:
        """List the keys."""
        self.push_screen(Help(virtual=self._virtual is not None))

    def action_leave(self) -> None:
        """Quit; ask first while an operation runs."""
        if self._operations:
            self._start(self._leave(), "leave", exclusive=True)
        else:
            self.exit()

    async def _leave(self) -> None:
        """Let running operations stop at their next border between two steps, then quit."""
        names = ", ".join(wording.operation(self._runs[reader].job.operation) for reader in self._operations)
        dialog = Confirm(
            "Quit?",
            "An operation is running. It stops after the step it is in and is continued at the next insertion.",
            yes="Stop and quit",
            facts=(("Running", names),),
            risky=True,
        )
        if not await self.push_screen_wait(dialog):
            return
        self._idle.clear()
        for reader in list(self._operations):
            self._stop(StopWanted(reader))
        if not self._operations:
            self._idle.set()
        await self._idle.wait()
        self.exit()

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


def _summary(reader: ReaderView, card: str, person: Person, template: TemplateView) -> Confirm:
    """Return the last question before a card is written."""
    slots = [("Slots" if index == 0 else "", slot) for index, slot in enumerate(template.slots)]
    place = " · ".join(filter(None, (person.attributes.get(name, "") for name in (DEPARTMENT, MAIL))))
    return Confirm(
        "Issue this card?",
        "Write this card now?",
        yes="Issue",
        facts=(
            ("Person", person.name),
            *([("", place)] if place else []),
            ("Template", f"{template.title}  v{template.version}"),
            *slots,
            ("Card", card),
            ("Reader", reader.name),
        ),
    )
