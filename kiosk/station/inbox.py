"""Requests for approval as a face that stays open shows them: what waits for who is logged on, looked at again and again.

What somebody decides elsewhere is gone here a few seconds later. Who is logged off sees nothing, at once.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from typing import Final
from uuid import UUID

from kiosk.ports import Readers
from kiosk.station.approving import ApprovalLine, approve
from kiosk.station.faces import Person
from kiosk.station.latest import Latest
from kiosk.station.logon import Logon
from shared import errors
from shared.approvals import ApprovalView, ApprovalWish
from shared.clock import Clock
from shared.errors import KioskError

LOOK_EVERY_S: Final = 5.0


class ApprovalInbox:
    """Implements `kiosk.station.faces.Inbox`. `start` it, and `close` it before its line."""

    def __init__(
        self,
        readers: Readers,
        line: ApprovalLine,
        logon: Logon,
        clock: Clock,
        *,
        every_s: float = LOOK_EVERY_S,
    ) -> None:
        """Look for whoever is logged on by `logon`; nothing is asked before `start`."""
        self._readers, self._line, self._logon, self._clock = readers, line, logon, clock
        self._every_s = every_s
        self._views: Latest[Sequence[ApprovalView]] = Latest(())
        self._again = asyncio.Event()
        self._tasks: tuple[asyncio.Task[None], ...] = ()

    async def start(self) -> None:
        """Look from now on, while somebody is logged on."""
        self._tasks = (asyncio.create_task(self._follow()), asyncio.create_task(self._look_again()))

    async def close(self) -> None:
        """Look no more."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._views.close()

    def views(self) -> AsyncIterator[Sequence[ApprovalView]]:
        """Yield what waits at once, then again after every change."""
        return self._views.watch()

    async def show(self, request_id: UUID) -> ApprovalView:
        """Return one request, whatever became of it."""
        return await self._line.approval(request_id)

    async def ask(self, wish: ApprovalWish) -> ApprovalView:
        """Ask for approvals of what one may do oneself."""
        return self._acted(await self._line.request_approval(wish))

    async def approve(self, seen: ApprovalView, reader: str, person: Person) -> ApprovalView:
        """Have the card in `reader` approve what was `seen`; raises as `kiosk.station.approving.approve`."""
        return self._acted(await approve(self._readers, self._line, seen, reader, person, self._clock))

    async def decline(self, request_id: UUID, why: str) -> ApprovalView:
        """Decline a request for good."""
        return self._acted(await self._line.decline(request_id, why))

    async def withdraw(self, request_id: UUID) -> ApprovalView:
        """Take back one's own request."""
        return self._acted(await self._line.withdraw(request_id))

    def _acted(self, view: ApprovalView) -> ApprovalView:
        self._again.set()
        return view

    async def _follow(self) -> None:
        """Forget what the last operator saw, and look for the next one."""
        async for session in self._logon.views():
            if session is None:
                self._views.put(())
            self._again.set()

    async def _look_again(self) -> None:
        while True:
            self._again.clear()
            await self._look()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._again.wait(), self._every_s)

    async def _look(self) -> None:
        """See what waits now. A server that does not answer changes nothing; what it refuses, nobody sees here."""
        session = self._logon.session
        if session is None:
            return
        found: Sequence[ApprovalView] = ()
        try:
            found = tuple(await self._line.approvals())
        except errors.ServerUnreachable:
            return
        except KioskError:
            pass  # who may not see requests has none
        present = self._logon.session
        if present is not None and present.operator_id == session.operator_id:
            self._views.put(found)
