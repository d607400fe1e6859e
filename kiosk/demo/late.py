"""A line to a server that is still starting: the desk paints first, the server comes when it comes."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Final
from uuid import UUID

from kiosk.ports import Backend, LinkState
from shared import errors
from shared.console import CardHints, CardView, Comparison, Found, ServerView, TemplateView
from shared.credential.lifecycle import OperationKind
from shared.credentials import CodeView, DecisionView, FoundCredentials
from shared.relay import ServerTurn, StationTurn

NAME: Final = "demo"


class LateBackend:
    """Stand in for a backend until it is there, then pass everything on to it."""

    def __init__(self) -> None:
        """There is no server yet."""
        self._arrived = asyncio.Event()
        self._backend: Backend | None = None
        self._failure: errors.KioskError | None = None

    def arrive(self, backend: Backend) -> None:
        """The server is there."""
        self._backend = backend
        self._arrived.set()

    def fail(self, failure: errors.KioskError) -> None:
        """The server will not come."""
        self._failure = failure
        self._arrived.set()

    def _now(self) -> Backend:
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

    async def find_people(self, text: str, limit: int) -> Found:
        """See `Backend.find_people`."""
        return await self._now().find_people(text, limit)

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
