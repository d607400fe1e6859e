"""Who is logged on at this station: from the card that proves it to the end of the session.

A session ends here, before anybody asks the server, when its card is pulled, when nothing was done for as long as the
server lets it be idle, and when somebody logs off. The server judges for itself each time; what ends there ends here with
the next call. Nothing is kept: a program that ends takes its session along.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing, suppress
from typing import Final

from kiosk.ports import CardAbsent, ReaderDetached, ReaderEvent, Readers, ReadersFailed, SessionLine
from kiosk.station.faces import Person
from kiosk.station.latest import Latest
from kiosk.station.operator_card import OperatorCard, prove_operator, read_operator_card
from shared import errors
from shared.clock import Clock
from shared.errors import KioskError
from shared.logon import LogonPurpose, LogonText, check_logon_text
from shared.sessions import SessionView

TELL_S: Final = 2.0
"""How long the end of a session waits for the server to hear of it."""


async def challenge_from(line: SessionLine, purpose: LogonPurpose, clock: Clock) -> LogonText:
    """Ask for a text to sign, and compare all that this station knows.

    Raises:
        ChallengeRefused: it is for something else.
    """
    content = await line.challenge(purpose)
    ends = line.ends
    return check_logon_text(
        content, server=ends.server, station=ends.station, purpose=purpose, now=clock.now()
    )


class Logon:
    """One session at a time, or none."""

    def __init__(self, readers: Readers, line: SessionLine, clock: Clock) -> None:
        """Begin with nobody."""
        self._readers = readers
        self._line = line
        self._clock = clock
        self._card: OperatorCard | None = None
        self._watches: tuple[asyncio.Task[None], ...] = ()
        self._ending: set[asyncio.Task[None]] = set()
        self._active_at = 0.0
        self._views: Latest[SessionView | None] = Latest(None)
        line.when_ended(self._forget)

    @property
    def session(self) -> SessionView | None:
        """Who is logged on, as the server said last."""
        return self._views.value

    def views(self) -> AsyncIterator[SessionView | None]:
        """Yield who is logged on, at once and after every change."""
        return self._views.watch()

    def touch(self) -> None:
        """Note that somebody is there: a key was pressed, an operation goes on."""
        self._active_at = self._clock.monotonic()

    async def log_on(self, reader: str, person: Person) -> SessionView:
        """Log on with the card in `reader`, whose PIN `person` gives; who was logged on before is logged off.

        Raises:
            LogonRefused: this card logs nobody on here.
            ChallengeRefused: the server wanted something else signed; nothing was.
            Cancelled: the operator stopped.
            TooManyAttempts: log-ons failed before; a while has to pass.
            CardError, DeviceError, ConnectorError: card, reader, server.
        """
        await self.log_off()
        card = await read_operator_card(self._readers, reader)
        proof = await prove_operator(
            self._readers, card, person, lambda: self._challenge(LogonPurpose.LOG_ON)
        )
        view = await self._line.log_on(proof)
        self._card = card
        self.touch()
        self._views.put(view)
        self._watches = (
            asyncio.create_task(self._watch_card(card.reader)),
            asyncio.create_task(self._watch_idle()),
        )
        return view

    async def step_up(self, person: Person) -> SessionView:
        """Prove the operator's card and PIN again; the card is where it was.

        Raises:
            LogonNeeded: nobody is logged on.
            CardChanged: another card is there now.
            KioskError: as `log_on`.
        """
        before = self._card
        if before is None:
            raise errors.LogonNeeded
        card = await read_operator_card(self._readers, before.reader)
        if card != before:
            raise errors.CardChanged
        proof = await prove_operator(
            self._readers, card, person, lambda: self._challenge(LogonPurpose.STEP_UP)
        )
        view = await self._line.step_up(proof)
        if self._card is before:  # pulled meanwhile, it does not come back
            self.touch()
            self._views.put(view)
        return view

    async def log_off(self, *, card_removed: bool = False) -> None:
        """End the session here and at the server; a server that does not answer ends it on its own."""
        if self._card is None:
            return
        self._forget()
        with suppress(KioskError, TimeoutError):
            async with asyncio.timeout(TELL_S):
                await self._line.log_off(card_removed=card_removed)

    async def close(self) -> None:
        """End the session, and every watch."""
        await self.log_off()
        await asyncio.gather(*self._ending, return_exceptions=True)
        self._views.close()

    # --- how it ends on its own -------------------------------------------------------------------------

    async def _challenge(self, purpose: LogonPurpose) -> LogonText:
        return await challenge_from(self._line, purpose, self._clock)

    def _forget(self) -> None:
        """Nobody is logged on any more."""
        self._card = None
        watches, self._watches = self._watches, ()
        present = asyncio.current_task()
        for watch in watches:
            if watch is not present:
                watch.cancel()
        self._views.put(None)

    def _end(self, *, card_removed: bool) -> None:
        """End the session in a task of its own, because the watch that noticed ends with it."""
        task = asyncio.create_task(self.log_off(card_removed=card_removed))
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)

    async def _watch_card(self, reader: str) -> None:
        """End the session when its card leaves, or cannot be watched any more."""
        with suppress(errors.DeviceError):
            virtual = any(info.virtual for info in await self._readers.all() if info.name == reader)
            async with aclosing(self._readers.watch()) as events:  # type: ignore[type-var]  # every watch is a generator
                async for event in events:
                    if _leaves(event, reader, virtual=virtual):
                        break
        self._end(card_removed=True)

    async def _watch_idle(self) -> None:
        """End the session when nobody does anything."""
        while (session := self.session) is not None:
            left = session.idle.total_seconds() - (self._clock.monotonic() - self._active_at)
            if left <= 0:
                self._end(card_removed=False)
                return
            await asyncio.sleep(left)


def _leaves(event: ReaderEvent, reader: str, *, virtual: bool) -> bool:
    match event:
        case CardAbsent(reader=info) | ReaderDetached(reader=info):
            return info.name == reader
        case ReadersFailed():
            return not virtual
        case _:
            return False
