"""A station with an operator: who is logged on, what that lets faces offer, and a desk that is locked without.

Wraps a `StationCore` and a `Logon` for faces that stay open. What is left out here is left out for the eye: the server
judges every call by itself. Until the server asks for a log-on, nothing is left out and nobody has to log on.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Coroutine, Sequence
from dataclasses import replace
from typing import Any, TypeVar
from uuid import UUID

from kiosk.station.core import StationCore
from kiosk.station.faces import Job, Outcome, Person, ReaderView, StationView, Watcher
from kiosk.station.latest import Latest
from kiosk.station.logon import Logon
from shared import errors
from shared.console import Comparison, Found, TemplateView
from shared.credentials import CodeView, DecisionView, FoundCredentials
from shared.errors import KioskError
from shared.relay import OperationKind, StepLine
from shared.roles import Level, Permissions, Role, union
from shared.sessions import SessionView

T = TypeVar("T")


class MannedStation:
    """Implements `kiosk.station.faces.Station` and `Logons`. `start` it, and `close` it."""

    def __init__(self, core: StationCore, logon: Logon) -> None:
        """Take over both; nothing runs before `start`."""
        self._core, self._logon = core, logon
        self._seen = StationView(server=None, connected=False, connecting=True)
        self._views = Latest(self._seen)
        self._locked = False
        """Whether the server wanted somebody to log on, and nobody has since."""
        self._permissions: Permissions | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Watch readers, line and session from now on."""
        await self._core.start()
        self._spawn(self._follow_core())
        self._spawn(self._follow_logon())

    async def close(self) -> None:
        """End the session, and let go of readers and line."""
        await self._logon.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._views.close()
        await self._core.close()

    # --- who is logged on -------------------------------------------------------------------------------

    async def log_on(self, reader: str, person: Person) -> SessionView:
        """See `Logon.log_on`."""
        return await self._logon.log_on(reader, person)

    @property
    def agent_there(self) -> bool:
        """Whether an ssh-agent was forwarded to this log-in."""
        return self._logon.agent_there

    async def log_on_by_agent(self) -> SessionView:
        """See `Logon.log_on_by_agent`."""
        return await self._logon.log_on_by_agent()

    async def step_up(self, person: Person) -> SessionView:
        """See `Logon.step_up`."""
        return await self._logon.step_up(person)

    async def log_off(self) -> None:
        """End the session."""
        await self._logon.log_off()

    def touch(self) -> None:
        """Note that somebody is there."""
        self._logon.touch()

    # --- what faces call --------------------------------------------------------------------------------

    def views(self) -> AsyncIterator[StationView]:
        """Yield the present view at once, then the newest after every change."""
        return self._views.watch()

    async def find_people(self, text: str, limit: int = 50, directory: str = "") -> Found:
        """Search one directory, or all of them where none is named."""
        return await self._heard(self._core.find_people(text, limit, directory))

    async def templates(self) -> Sequence[TemplateView]:
        """Return the templates that this station, and who is logged on, may issue."""
        known = await self._heard(self._core.templates())
        return [each for each in known if self._may(OperationKind.ISSUE, each.name)]

    async def find_credentials(self, text: str, limit: int = 50) -> FoundCredentials:
        """Search credentials by their holders; what may be done with them is what roles allow."""
        found = await self._heard(self._core.find_credentials(text, limit))
        allowed = tuple(
            replace(
                view,
                reachable=tuple(each for each in view.reachable if self._may(each, view.template or None)),
            )
            for view in found.credentials
        )
        return replace(found, credentials=allowed)

    async def decide(self, record_id: UUID, operation: OperationKind, reason: str) -> DecisionView:
        """Suspend, resume, revoke or delete a credential whose card is not here."""
        return await self._heard(self._core.decide(record_id, operation, reason))

    async def read_out(self, record_id: UUID) -> CodeView:
        """Tell the code that unblocks a card far away, which is disclosed from then on."""
        return await self._heard(self._core.read_out(record_id))

    async def make_unblock_code(self, record_id: UUID) -> CodeView:
        """Make a code with which a holder unblocks the card at a station, once."""
        return await self._heard(self._core.make_unblock_code(record_id))

    async def perform(self, job: Job, person: Person, watcher: Watcher) -> Outcome:
        """Do one operation; somebody is there as long as it goes on."""
        outcome = await self._core.perform(job, person, _Touching(watcher, self._logon))
        self._note(outcome.error)
        return outcome

    async def refresh(self, reader: str) -> ReaderView:
        """Read the card in `reader` again and look it up."""
        return replace(await self._heard(self._core.refresh(reader)), permissions=self._permissions)

    async def compare(self, reader: str, template: str) -> Comparison:
        """Compare the card in `reader` with a template."""
        return await self._heard(self._core.compare(reader, template))

    # --- what is noticed --------------------------------------------------------------------------------

    async def _follow_core(self) -> None:
        async for view in self._core.views():
            came = view.connected and not self._seen.connected
            self._seen = view
            for reader in view.readers:
                self._note(reader.error)
            self._publish()
            if came and self._logon.session is None:
                self._spawn(self._ask())

    async def _follow_logon(self) -> None:
        before: SessionView | None = None
        async for session in self._logon.views():
            self._permissions = None if session is None else _permissions(session)
            self._locked = session is None and (self._locked or before is not None)
            self._publish()
            if session is not None and (before is None or before.grants != session.grants):
                await self._core.look_up_again()
            before = session

    async def _ask(self) -> None:
        """Find out whether somebody has to log on, where no card is here whose look-up would tell.

        Whoever has no session and needs none is told: no operator is in the record.
        """
        try:
            await self._core.find_credentials("", 1)
        except errors.LogonNeeded as error:
            self._note(error)
            self._publish()
        except KioskError:
            return  # it shows where somebody asks for something
        else:
            self._locked = False
            self._publish()

    async def _heard(self, call: Awaitable[T]) -> T:
        try:
            return await call
        except KioskError as error:
            self._note(error)
            self._publish()
            raise

    def _note(self, error: KioskError | None) -> None:
        if isinstance(error, errors.LogonNeeded) and self._logon.session is None:
            self._locked = True

    def _may(self, operation: OperationKind, template: str | None) -> bool:
        permissions = self._permissions
        return permissions is None or permissions.allowed(operation, template) is Level.EXECUTE

    def _publish(self) -> None:
        """Show the core's view with who is logged on; a locked desk knows nobody's card."""
        changes: dict[str, Any] = {"permissions": self._permissions}
        if self._locked:
            changes["record"] = None
        self._views.put(
            replace(
                self._seen,
                readers=tuple(replace(reader, **changes) for reader in self._seen.readers),
                operator=self._logon.session,
                permissions=self._permissions,
                locked=self._locked,
                ended=self._logon.ended,
            )
        )

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _permissions(session: SessionView) -> Permissions:
    """Return what the grants of a session allow; the role is one for this purpose."""
    return union([Role(name="session", title=session.name, grants=session.grants)])


class _Touching:
    """A watcher that notes with each step that somebody is there."""

    def __init__(self, watcher: Watcher, logon: Logon) -> None:
        self._watcher, self._logon = watcher, logon

    def steps(self, steps: Sequence[StepLine]) -> None:
        self._logon.touch()
        self._watcher.steps(steps)

    def step(self, index: int, *, done: bool, expected_ms: int) -> None:
        self._logon.touch()
        self._watcher.step(index, done=done, expected_ms=expected_ms)
