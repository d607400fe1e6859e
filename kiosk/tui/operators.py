"""Who is logged on at the desk: the screen that waits for an operator, the PIN that is asked for again, the way out."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from textual.app import App

from kiosk.station import wording
from kiosk.station.faces import Logons, StationView
from kiosk.tui.desk import Desk
from kiosk.tui.labels import ENDED_WORDS, LOGGED_OFF_RUNNING
from kiosk.tui.log_on import LogOn
from kiosk.tui.notice import Notice
from kiosk.tui.questions import QUESTIONS, Questions
from kiosk.tui.widgets.readers import card_name
from shared.clock import Clock
from shared.errors import Cancelled, KioskError, StepUpNeeded
from shared.roles import Level, Permissions, Subject
from shared.sessions import SessionView

T = TypeVar("T")

LOG_ON: Final = "Log on"
STEP_UP: Final = "Operator's PIN again"


class Operators:
    """Opens the log-on screen when nobody is logged on who has to be, and closes it when somebody is."""

    def __init__(self, app: App[None], logons: Logons, desk: Desk, clock: Clock, *, reader: str = "") -> None:
        """Work for `app`; `logons` has the session. Operators' cards are usually in `reader`, until one logs on elsewhere."""
        self._app, self._logons, self._desk, self._clock = app, logons, desk, clock
        self._turn = asyncio.Lock()
        """Of its own: an operation that asks something must not keep an operator from logging on."""
        self._screen: LogOn | None = None
        self._permissions: Permissions | None = None
        self._name = ""
        """Who was logged on, for the words after it."""
        self._usual = reader
        self._operator_reader = ""

    def see(self, view: StationView, *, title: str, virtual: bool, running: bool) -> None:
        """Follow the station: lock the desk, keep the lock's picture up to date, or open it."""
        self._permissions = view.permissions
        if view.operator is not None:
            self._name = view.operator.name
        if view.locked and view.operator is None:
            if self._screen is None:
                self._lock(view, title=title, virtual=virtual, running=running)
            assert self._screen is not None
            self._screen.view = view
        elif self._screen is not None:
            screen, self._screen = self._screen, None
            screen.withdraw()

    @property
    def reader(self) -> str:
        """The reader with the operator's card; empty where none logged on."""
        return self._operator_reader

    @property
    def permissions(self) -> Permissions | None:
        """What who is logged on may do; None where nobody has to be."""
        return self._permissions

    def touch(self) -> None:
        """Note that somebody is there."""
        self._logons.touch()

    def may(self, subject: Subject, template: str | None) -> bool:
        """Whether who is logged on may do something for a template; the server has the last word."""
        return self._permissions is None or self._permissions.allowed(subject, template) is Level.EXECUTE

    async def log_on(self, reader: str) -> None:
        """Log on with the card in `reader`; what goes wrong is said on the screen."""
        person = Questions(self._app, self._turn, self._card(reader), heading=LOG_ON)
        if await self._log_on(self._logons.log_on(reader, person)):
            self._operator_reader = self._usual = reader
            self._desk.turn_from(reader)

    async def log_on_by_agent(self) -> None:
        """Log on through the forwarded ssh-agent; what goes wrong is said on the screen."""
        if await self._log_on(self._logons.log_on_by_agent()):
            self._operator_reader = ""

    async def _log_on(self, trying: Awaitable[SessionView]) -> bool:
        """Say what became of a log-on, and return whether somebody is logged on by it."""
        screen, problem = self._screen, None
        try:
            session = await trying
        except Cancelled:
            session = None
        except KioskError as error:
            session, problem = None, error
        finally:
            if screen is not None:
                screen.working = False
        if screen is not None:
            screen.failed(problem)
        if session is not None and session.failed_logons:
            self._app.push_screen(Notice(f"Log-ons of {session.name}", wording.logged_on(session)))
        return session is not None

    async def log_off(self) -> None:
        """End the session."""
        await self._logons.log_off()

    async def step_up(self) -> None:
        """Ask for the operator's PIN again.

        Raises:
            KioskError: it was not proven; `Cancelled` where the operator stopped.
        """
        subject = " · ".join(filter(None, (self._name, self._card(self._operator_reader))))
        await self._logons.step_up(Questions(self._app, self._turn, subject, heading=STEP_UP))

    async def proven(self, work: Callable[[], Awaitable[T]]) -> T:
        """Do something; where the operator's PIN is needed again for it, ask for that and do it once more.

        Raises:
            KioskError: whatever `work` raises, or the PIN was not given.
        """
        try:
            return await work()
        except StepUpNeeded:
            await self.step_up()
            return await work()

    def _lock(self, view: StationView, *, title: str, virtual: bool, running: bool) -> None:
        """Take every question back and cover the desk: what one operator began to answer is not the next one's."""
        while len(self._app.screen_stack) > 1 and self._app.screen is not self._desk:
            self._app.screen.dismiss(None)
        self._app.workers.cancel_group(
            self._app, QUESTIONS
        )  # after that: a question that is cancelled takes no answer
        words = ""
        if self._name:
            why = ENDED_WORDS[view.ended] if view.ended is not None else ""
            now = f"{wording.LOGGED_OFF} {LOGGED_OFF_RUNNING}" if running else wording.LOGGED_OFF
            words = f"{now}\n{self._name}: {why}" if why else now
        self._screen = LogOn(
            self._clock,
            title=title,
            virtual=virtual,
            words=words,
            agent=self._logons.agent_there,
            usual=self._usual,
        )
        self._app.push_screen(self._screen)

    def _card(self, name: str) -> str:
        reader = self._desk.named(name)
        card = card_name(reader.card) if reader is not None and reader.card else ""
        return " · ".join(filter(None, (card, name)))
