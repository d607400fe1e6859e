"""Operations that run, one in each reader: begun, watched, stopped, and what is kept of how they ended.

They belong to the app: a screen may come and go while one runs. What is kept here is for the eye only; the server's
journal is what counts.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Final

from textual.app import App
from textual.worker import Worker

from kiosk.station import wording
from kiosk.station.faces import Job, Outcome, ReaderView, Station
from kiosk.tui.desk import Desk
from kiosk.tui.questions import Questions
from kiosk.tui.run import Run
from kiosk.tui.widgets.readers import card_name
from shared.clock import Clock
from shared.credential.update import CARRY_DUE
from shared.errors import ApprovalNeeded, Cancelled, KioskError, StepUpNeeded, UnknownFailure
from shared.roles import Level

PROGRAM_FAULT: Final = "program-fault"
"""The code shown for an exception that is not a `KioskError`."""


class Jobs:
    """Begin operations and remember their runs. `runs` (by reader) is what the desk draws."""

    def __init__(
        self,
        app: App[None],
        station: Station,
        desk: Desk,
        runs: dict[str, Run],
        *,
        turn: asyncio.Lock,
        clock: Clock,
        step_up: Callable[[], Awaitable[None]] | None = None,
        unapproved: Callable[[Job, ApprovalNeeded, str], None] | None = None,
    ) -> None:
        """Work for `app`; `turn` is held while somebody is asked something, `step_up` asks for the operator's PIN again.

        `unapproved` is told of what was refused because a second person has to approve it.
        """
        self._step_up, self._unapproved = step_up, unapproved
        self._app, self._station, self._desk, self._turn, self._clock = app, station, desk, turn, clock
        self._runs = runs
        self._workers: dict[str, Worker[None]] = {}
        self._idle = asyncio.Event()
        self._carried: set[str] = set()
        """Readers in which what was due to a card was begun, and is not known to have reached it."""

    @property
    def running(self) -> Sequence[str]:
        """Names of the operations that run."""
        return [wording.operation(self._runs[reader].job.operation) for reader in self._workers]

    def runs_in(self, reader: str) -> bool:
        """Whether an operation runs in this reader."""
        run = self._runs.get(reader)
        return run is not None and run.running

    def begin(self, job: Job, subject: str) -> None:
        """Begin an operation and show it; `subject` says for whom."""
        self._begin(job, subject)
        self._desk.chosen = job.reader

    def see(self, reader: ReaderView, before: ReaderView | None) -> None:
        """Follow what happens in a reader: outcomes become history, and what is due to a card is carried to it."""
        self._forget(reader, before)
        self._carry(reader)

    def stop(self, reader: str) -> None:
        """Let the operation in this reader stop at its next border between two steps."""
        run, worker = self._runs.get(reader), self._workers.get(reader)
        if run is not None and worker is not None and not run.stopping:
            run.stopping = True
            worker.cancel()
            self._desk.redraw()

    async def stop_all(self) -> None:
        """Stop whatever runs, and wait until it has stopped."""
        self._idle.clear()
        for reader in list(self._workers):
            self.stop(reader)
        if self._workers:
            await self._idle.wait()

    def put_away(self, reader: str) -> None:
        """Forget how the last operation in this reader ended."""
        run = self._runs.get(reader)
        if run is not None and not run.running:
            del self._runs[reader]
            self._desk.redraw()

    def _forget(self, reader: ReaderView, before: ReaderView | None) -> None:
        """Put an outcome away when it is history: a success with its card, a failure when a card comes."""
        run = self._runs.get(reader.name)
        if run is None or run.outcome is None or before is None:
            return
        left, came = before.present and not reader.present, reader.present and not before.present
        if came or (left and run.outcome.error is None):
            del self._runs[reader.name]

    def _carry(self, reader: ReaderView) -> None:
        """Begin what is done to a card as soon as it is seen; once, so that a failure waits for the operator."""
        if not reader.present:
            self._carried.discard(reader.name)
        record = reader.record
        if record is None or reader.busy or reader.reading or self.runs_in(reader.name):
            return
        if record.at_sight is None or reader.allows(record.at_sight) is not Level.EXECUTE:
            self._carried.discard(reader.name)
        elif reader.name not in self._carried:
            self._carried.add(reader.name)
            job = Job(operation=record.at_sight, reader=reader.name)
            self._begin(job, record.holder.name if record.holder else "", wording.notice(CARRY_DUE))

    def _begin(self, job: Job, subject: str, why: str = "") -> None:
        run = Run(job, subject, self._clock, lambda: self._desk.run_changed(job.reader), why=why)
        self._runs[job.reader] = run
        self._workers[job.reader] = self._app.run_worker(
            self._perform(run), group="operation", exit_on_error=False
        )
        self._desk.redraw()

    async def _perform(self, run: Run) -> None:
        """Do one operation to its end; whatever happens, the run gets an outcome."""
        job = run.job
        person = Questions(
            self._app, self._turn, self._subject(job.reader), heading=wording.operation(job.operation)
        )
        fault = UnknownFailure(reported=PROGRAM_FAULT)
        outcome = Outcome(operation=job.operation, state="unknown", error=fault, next_action="insert-again")
        try:
            outcome = await self._station.perform(job, person, run)
            if isinstance(outcome.error, StepUpNeeded) and self._step_up is not None:
                outcome = await self._proven(self._step_up, run, person, outcome)
        except asyncio.CancelledError:
            outcome = replace(outcome, error=Cancelled(question="stop"))
            raise
        finally:
            run.end(outcome)
            self._workers.pop(job.reader, None)
            if not self._workers:
                self._idle.set()
            self._desk.redraw()
        if isinstance(outcome.error, ApprovalNeeded) and self._unapproved is not None:
            self._unapproved(job, outcome.error, run.subject or self._subject(job.reader))

    async def _proven(
        self, step_up: Callable[[], Awaitable[None]], run: Run, person: Questions, refused: Outcome
    ) -> Outcome:
        """Ask for the operator's PIN and begin once more; nothing was done before."""
        try:
            async with self._turn:
                await step_up()
        except KioskError as error:
            return replace(refused, error=error, next_action="try-again")
        return await self._station.perform(run.job, person, run)

    def _subject(self, name: str) -> str:
        """Say which card a question is about."""
        reader = self._desk.named(name)
        parts = [
            reader.record.holder.name if reader and reader.record and reader.record.holder else "",
            card_name(reader.card) if reader and reader.card else "",
            name,
        ]
        return " · ".join(part for part in parts if part)
