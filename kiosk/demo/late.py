"""A line to a server that is still starting: the desk paints first, the server comes when it comes."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Final, TypeVar
from uuid import UUID

import grpc.aio

from kiosk.backend.client import GrpcBackend
from kiosk.ports import LineEnds, LinkState
from shared import errors
from shared.console import CardHints, CardView, Comparison, Found, ServerView, TemplateView
from shared.credential.lifecycle import OperationKind
from shared.credentials import CodeView, DecisionView, FoundCredentials
from shared.logon import LogonPurpose
from shared.relay import ServerTurn, StationTurn
from shared.sessions import Leaving, Proof, SessionView

NAME: Final = "demo"

R = TypeVar("R")


class LateBackend:
    """Stand in for a backend until it is there, then pass everything on to it."""

    def __init__(self) -> None:
        """There is no server yet."""
        self._arrived = asyncio.Event()
        self._backend: GrpcBackend | None = None
        self._failure: errors.KioskError | None = None
        self._told: Callable[[], None] | None = None

    def arrive(self, backend: GrpcBackend) -> None:
        """The server is there."""
        self._backend = backend
        if self._told is not None:
            backend.when_ended(self._told)
        self._arrived.set()

    def fail(self, failure: errors.KioskError) -> None:
        """The server will not come."""
        self._failure = failure
        self._arrived.set()

    def _now(self) -> GrpcBackend:
        if self._failure is not None:
            raise self._failure
        if self._backend is None:
            raise errors.ServerUnreachable(server=NAME, reason="it is starting")
        return self._backend

    async def operation(self, turns: AsyncIterator[StationTurn]) -> AsyncIterator[ServerTurn]:
        """See `Backend.operation`."""
        async for turn in self._now().operation(turns):
            yield turn

    async def who_am_i(self) -> ServerView:
        """See `Backend.who_am_i`."""
        return await self._now().who_am_i()

    async def look_up(self, hints: CardHints) -> CardView:
        """See `Backend.look_up`."""
        return await self._now().look_up(hints)

    async def compare(self, hints: CardHints, template: str) -> Comparison:
        """See `Backend.compare`."""
        return await self._now().compare(hints, template)

    async def find_people(self, text: str, limit: int, directory: str = "") -> Found:
        """See `Backend.find_people`."""
        return await self._now().find_people(text, limit, directory)

    async def templates(self) -> Sequence[TemplateView]:
        """See `Backend.templates`."""
        return await self._now().templates()

    async def find_credentials(self, text: str, limit: int) -> FoundCredentials:
        """See `Backend.find_credentials`."""
        return await self._now().find_credentials(text, limit)

    async def decide(self, record_id: UUID, operation: OperationKind, reason: str) -> DecisionView:
        """See `Backend.decide`."""
        return await self._now().decide(record_id, operation, reason)

    async def read_out(self, record_id: UUID) -> CodeView:
        """See `Backend.read_out`."""
        return await self._now().read_out(record_id)

    async def make_unblock_code(self, record_id: UUID) -> CodeView:
        """See `Backend.make_unblock_code`."""
        return await self._now().make_unblock_code(record_id)

    # --- who is logged on -------------------------------------------------------------------------------

    @property
    def ends(self) -> LineEnds:
        """See `SessionLine.ends`."""
        return self._now().ends

    async def challenge(self, purpose: LogonPurpose) -> bytes:
        """See `SessionLine.challenge`."""
        return await self._now().challenge(purpose)

    async def log_on(self, proof: Proof) -> SessionView:
        """See `SessionLine.log_on`."""
        return await self._now().log_on(proof)

    async def step_up(self, proof: Proof) -> SessionView:
        """See `SessionLine.step_up`."""
        return await self._now().step_up(proof)

    async def log_off(self, why: Leaving = Leaving.LOGGED_OFF) -> None:
        """See `SessionLine.log_off`."""
        await self._now().log_off(why)

    async def who_is(self) -> SessionView:
        """See `SessionLine.who_is`."""
        return await self._now().who_is()

    def when_ended(self, told: Callable[[], None]) -> None:
        """See `SessionLine.when_ended`."""
        self._told = told
        if self._backend is not None:
            self._backend.when_ended(told)

    @property
    def of_holder(self) -> bool:
        """See `Asking.of_holder`."""
        return self._now().of_holder

    async def ask(
        self, question: Callable[[grpc.aio.Channel, float, Sequence[tuple[str, str | bytes]]], Awaitable[R]]
    ) -> R:
        """See `Asking.ask`."""
        return await self._now().ask(question)

    # --- the line ---------------------------------------------------------------------------------------

    async def link(self) -> AsyncIterator[LinkState]:
        """Report `CONNECTING` until the server is there, then its own line; `LOST` where it never comes."""
        yield LinkState.CONNECTING
        await self._arrived.wait()
        if self._backend is None:
            yield LinkState.LOST
            return
        async for state in self._backend.link():
            yield state

    async def close(self) -> None:
        """Close the line, if there is one."""
        if self._backend is not None:
            await self._backend.close()
