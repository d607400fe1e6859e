"""A scripted station at which an operator has to log on: who is there, what they may do, and when the PIN is asked again."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from uuid import UUID

from kiosk.station.faces import Ended, Job, Outcome, Person, ReaderView, Watcher
from shared import errors
from shared.credential.lifecycle import OperationKind
from shared.credentials import CodeView
from shared.roles import PRESETS, SENSITIVE, Grant, Role, union
from shared.sessions import LogonMethod, RoleName, SessionView
from tests.tui.scripted import ScriptedStation

PIN = "604817"
READER = "Virtual reader 3"


def session(*roles: str, **fields: object) -> SessionView:
    """Return Anna's session with these presets."""
    grants: Iterable[Grant] = [grant for name in roles for grant in PRESETS[name].grants]
    view = SessionView(
        operator_id=UUID(int=7),
        name="Anna Berg",
        began_at=datetime(2026, 11, 20, 14, 2, tzinfo=UTC),
        ends_at=datetime(2026, 11, 21, 2, 2, tzinfo=UTC),
        idle=timedelta(minutes=10),
        roles=tuple(RoleName(name=name, title=PRESETS[name].title) for name in roles),
        grants=tuple(grants),
    )
    return replace(view, **fields)  # type: ignore[arg-type]  # the caller's fields


class GuardedStation(ScriptedStation):
    """Takes one PIN. What is sensitive wants it again after `forget_proof`."""

    def __init__(self, *readers: ReaderView, roles: Sequence[str] = ("normal",)) -> None:
        super().__init__(*readers)
        self.answer = session(*roles)
        self.refusal: errors.KioskError | None = None
        self.proven = True
        self.touched = 0
        self.agent_there = False
        self.key_takes_a_touch = False
        self.view = replace(self.view, locked=True)

    async def log_on(self, reader: str, person: Person) -> SessionView:
        self.asked.append(("log on", reader))
        await self._prove(person)
        if self.refusal is not None:
            raise self.refusal
        self.proven = True
        role = Role(name="session", title="Session", grants=self.answer.grants)
        await self._become(self.answer, role)
        return self.answer

    async def log_on_by_agent(self) -> SessionView:
        self.asked.append("log on by agent")
        if self.refusal is not None:
            raise self.refusal
        self.proven = False
        role = Role(name="session", title="Session", grants=self.answer.grants)
        session = replace(self.answer, method=LogonMethod.AGENT, possession_only=not self.key_takes_a_touch)
        await self._become(session, role)
        return session

    async def step_up(self, person: Person) -> SessionView:
        self.asked.append("step up")
        if self.view.operator is None:
            raise errors.LogonNeeded
        if self.view.operator.possession_only:
            raise errors.PresenceNeeded
        await self._prove(person)
        self.proven = True
        return self.view.operator

    async def log_off(self) -> None:
        self.asked.append("log off")
        await self.end(Ended.LOGGED_OFF)

    async def end(self, how: Ended = Ended.CARD_REMOVED) -> None:
        """End the session, as a pulled card or the server does."""
        self.view = replace(self.view, ended=how)
        await self._become(None, None)

    def touch(self) -> None:
        self.touched += 1

    async def perform(self, job: Job, person: Person, watcher: Watcher) -> Outcome:
        if job.operation in SENSITIVE and not self.proven:
            self.asked.append(("refused", job.operation))
            error: errors.KioskError = errors.StepUpNeeded(what=job.operation.value)
            if self.view.operator is not None and self.view.operator.possession_only:
                error = errors.PresenceNeeded(what=job.operation.value)
            return Outcome(operation=job.operation, state="active", error=error, next_action="try-again")
        return await super().perform(job, person, watcher)

    async def read_out(self, record_id: UUID) -> CodeView:
        if not self.proven:
            raise errors.StepUpNeeded(what="read-out")
        return await super().read_out(record_id)

    async def _prove(self, person: Person) -> None:
        problem: errors.KioskError | None = None
        while True:
            if self.few_tries is not None and not await person.confirm_few_tries(self.few_tries):
                raise errors.Cancelled(question="confirm")
            self.few_tries = None
            pin = await person.current_pin(self.tries_left, problem)
            if pin is None:
                raise errors.Cancelled(question="current-pin")
            right = pin.reveal() == PIN.encode()
            pin.wipe()
            if right:
                return
            problem = errors.PinRejected(tries_left=2)

    async def _become(self, operator: SessionView | None, role: Role | None) -> None:
        permissions = None if role is None else union([role])
        readers = tuple(replace(each, permissions=permissions) for each in self.view.readers)
        await self.show(
            replace(
                self.view,
                operator=operator,
                permissions=permissions,
                locked=operator is None,
                readers=readers,
            )
        )


def began(station: GuardedStation) -> list[OperationKind]:
    """Return the operations that were begun."""
    return [each.operation for each in station.asked if isinstance(each, Job)]
