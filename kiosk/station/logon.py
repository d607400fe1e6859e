"""Who is logged on at this station: from the card, or the ssh-agent, that proves it to the end of the session.

A session ends here, before anybody asks the server, when its card is pulled or its agent is gone, when nothing was done for as
long as the server lets it be idle, and when somebody logs off. The server judges for itself each time; what ends there, or changes,
is known here a few seconds later. Nothing is kept: a program that ends takes its session along.
"""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import aclosing, suppress
from typing import Any, Final

from kiosk.ports import (
    Agent,
    AgentKey,
    CardAbsent,
    ReaderDetached,
    ReaderEvent,
    Readers,
    ReadersFailed,
    SessionLine,
)
from kiosk.station.faces import Ended, Person
from kiosk.station.latest import Latest
from kiosk.station.operator_agent import choose_key, detached, digest_of, prove_by_agent
from kiosk.station.operator_card import OperatorCard, prove_operator, read_operator_card
from shared import errors
from shared.clock import Clock
from shared.errors import KioskError
from shared.logon import LogonPurpose, LogonText, check_logon_text
from shared.sessions import Leaving, Proof, SessionView

TELL_S: Final = 2.0
"""How long the end of a session waits for the server to hear of it."""

LOOK_EVERY_S: Final = 3.0
"""How often the server is asked whether the session still counts, where nothing else is asked."""

_ENDED: Final = {
    Leaving.LOGGED_OFF: Ended.LOGGED_OFF,
    Leaving.CARD_REMOVED: Ended.CARD_REMOVED,
    Leaving.DETACHED: Ended.DETACHED,
}


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

    def __init__(self, readers: Readers, line: SessionLine, clock: Clock, agent: Agent | None = None) -> None:
        """Begin with nobody; `agent` is the ssh-agent that was forwarded to this log-in."""
        self._agent = agent
        self._readers = readers
        self._line = line
        self._clock = clock
        self._by: OperatorCard | AgentKey | None = None
        """What logged on."""
        self._watches: tuple[asyncio.Task[None], ...] = ()
        self._ending: set[asyncio.Task[None]] = set()
        self._active_at = 0.0
        self._ended: Ended | None = None
        self._views: Latest[SessionView | None] = Latest(None)
        line.when_ended(self._forget)

    @property
    def session(self) -> SessionView | None:
        """Who is logged on, as the server said last."""
        return self._views.value

    @property
    def ended(self) -> Ended | None:
        """How the last session ended; None where there was none."""
        return self._ended

    def views(self) -> AsyncIterator[SessionView | None]:
        """Yield who is logged on, at once and after every change."""
        return self._views.watch()

    @property
    def agent_there(self) -> bool:
        """Whether an ssh-agent was forwarded to this log-in."""
        return self._agent is not None and self._agent.named

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
        return self._begin(card, await self._line.log_on(proof), self._watch_card(card.reader))

    async def log_on_by_agent(self, key: str = "") -> SessionView:
        """Log on with a key of the forwarded ssh-agent; who was logged on before is logged off.

        Raises:
            NoAgent: none was forwarded, or it does not answer.
            AgentKeyMissing, AgentRefused, Garbled: it does not sign.
            Invalid: several keys may be meant by `key`.
            LogonRefused, ChallengeRefused, TooManyAttempts, ConnectorError: as `log_on`.
            NotAllowed: no log-on through an ssh-agent is taken here.
        """
        agent = self._agent
        if agent is None:
            raise errors.NoAgent(reason="none is forwarded")
        await self.log_off()
        chosen = await choose_key(agent, key)
        proof = await prove_by_agent(agent, chosen, lambda: self._challenge(LogonPurpose.LOG_ON))
        return self._begin(chosen, await self._line.log_on(proof), self._watch_agent(agent, chosen))

    async def step_up(self, person: Person) -> SessionView:
        """Prove the operator's card and PIN again; the card is where it was. An ssh-agent is asked where the server asks it.

        Raises:
            LogonNeeded: nobody is logged on.
            CardChanged: another card is there now.
            PresenceNeeded: the agent proves possession only.
            KioskError: as `log_on`.
        """
        before = self._by
        if before is None:
            raise errors.LogonNeeded
        view = await self._line.step_up(await self._proof_again(before, person))
        if self._by is before:  # pulled meanwhile, it does not come back
            self.touch()
            self._views.put(view)
        return view

    async def log_off(self, why: Leaving = Leaving.LOGGED_OFF, how: Ended | None = None) -> None:
        """End the session here and at the server; a server that does not answer ends it on its own."""
        if self._by is None:
            return
        self._forget(how or _ENDED[why])
        with suppress(KioskError, TimeoutError):
            async with asyncio.timeout(TELL_S):
                await self._line.log_off(why)

    async def close(self) -> None:
        """End the session, and every watch."""
        await self.log_off()
        await asyncio.gather(*self._ending, return_exceptions=True)
        self._views.close()

    # --- proving ----------------------------------------------------------------------------------------

    async def _challenge(self, purpose: LogonPurpose) -> LogonText:
        return await challenge_from(self._line, purpose, self._clock)

    async def _proof_again(self, by: OperatorCard | AgentKey, person: Person) -> Proof:
        if isinstance(by, AgentKey):
            assert self._agent is not None
            return await prove_by_agent(self._agent, by, lambda: self._challenge(LogonPurpose.STEP_UP))
        card = await read_operator_card(self._readers, by.reader)
        if card != by:
            raise errors.CardChanged
        return await prove_operator(
            self._readers, card, person, lambda: self._challenge(LogonPurpose.STEP_UP)
        )

    def _begin(
        self, by: OperatorCard | AgentKey, view: SessionView, leaving: Coroutine[Any, Any, None]
    ) -> SessionView:
        self._by = by
        self.touch()
        self._views.put(view)
        self._watches = (asyncio.create_task(leaving), asyncio.create_task(self._watch_idle()))
        self._watches += (asyncio.create_task(self._watch_server()),)
        return view

    # --- how it ends on its own -------------------------------------------------------------------------

    def _forget(self, how: Ended = Ended.BY_SERVER) -> None:
        """Nobody is logged on any more."""
        if self._by is not None:
            self._ended = how
        self._by = None
        watches, self._watches = self._watches, ()
        present = asyncio.current_task()
        for watch in watches:
            if watch is not present:
                watch.cancel()
        self._views.put(None)

    def _end(self, why: Leaving, how: Ended | None = None) -> None:
        """End the session in a task of its own, because the watch that noticed ends with it."""
        task = asyncio.create_task(self.log_off(why, how))
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
        self._end(Leaving.CARD_REMOVED)

    async def _watch_agent(self, agent: Agent, key: AgentKey) -> None:
        """End the session when its agent is gone, or does not hold the key any more."""
        await detached(agent, digest_of(key.public_key))
        self._end(Leaving.DETACHED)

    async def _watch_idle(self) -> None:
        """End the session when nobody does anything."""
        while (session := self.session) is not None:
            left = session.idle.total_seconds() - (self._clock.monotonic() - self._active_at)
            if left <= 0:
                self._end(Leaving.LOGGED_OFF, Ended.IDLE)
                return
            await asyncio.sleep(left)

    async def _watch_server(self) -> None:
        """Learn soon that the session has ended there, or allows something else; a server that is away decides nothing."""
        while (before := self._by) is not None:
            await asyncio.sleep(LOOK_EVERY_S)
            with suppress(KioskError):  # that it has ended is told by the line
                view = await self._line.who_is()
                if self._by is before:
                    self._views.put(view)


def _leaves(event: ReaderEvent, reader: str, *, virtual: bool) -> bool:
    match event:
        case CardAbsent(reader=info) | ReaderDetached(reader=info):
            return info.name == reader
        case ReadersFailed():
            return not virtual
        case _:
            return False
