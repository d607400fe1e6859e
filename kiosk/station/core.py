"""The station's core: what is in which reader, who it belongs to, and operations on it.

Every face calls a `StationCore`. It watches readers and the line to the server, reads each card that is put in,
looks it up, and offers the result as one frozen `StationView`. One card is worked on by one task at a time.
"""

import asyncio
import secrets
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from types import TracebackType
from typing import Any, Final, Self
from uuid import UUID

from kiosk.ports import (
    Backend,
    CardAbsent,
    CardPresent,
    LinkState,
    ReaderAttached,
    ReaderDetached,
    ReaderEvent,
    ReaderInfo,
    Readers,
    ReadersFailed,
)
from kiosk.station.cards import card_seen, hints_for
from kiosk.station.converse import converse
from kiosk.station.faces import Job, Outcome, Person, ReaderView, StationView, Watcher
from kiosk.station.latest import Latest
from kiosk.station.relay import Relay, RelayParts
from shared import errors
from shared.clock import Clock, SystemClock
from shared.console import Comparison, Found, ServerView, TemplateView
from shared.credentials import CodeView, DecisionView, FoundCredentials
from shared.errors import KioskError
from shared.piv.inspect import CardFacts, inspect
from shared.relay import OperationKind

GREET_EVERY_S: Final = 60.0
"""How often the server is asked who we are while the line stands."""
READ_AGAIN_AFTER_S: Final = 0.3
"""A card that was busy or slow to come up is read once more after this time."""


@dataclass(slots=True)
class _Reader:
    """What the core remembers of one reader. `lock` is held by whoever works on its card."""

    info: ReaderInfo
    view: ReaderView
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    reading: asyncio.Task[None] | None = None
    facts: CardFacts | None = None


class StationCore:
    """Implements `kiosk.station.faces.Station`. Open it with `async with`, or `start` and `close`."""

    def __init__(
        self,
        readers: Readers,
        backend: Backend,
        clock: Clock | None = None,
        chores: Sequence[Callable[[], Coroutine[Any, Any, None]]] = (),
    ) -> None:
        """Take over readers and line; nothing runs before `start`. `chores` run beside it until `close`."""
        self._chores = chores
        self._readers = readers
        self._backend = backend
        self._parts = RelayParts(
            readers=readers, backend=backend, clock=clock or SystemClock(), random_below=secrets.randbelow
        )
        self._known: dict[str, _Reader] = {}
        self._server: ServerView | None = None
        self._line = LinkState.CONNECTING
        self._problem: KioskError | None = None
        self._views = Latest(StationView(server=None, connected=False, connecting=True))
        self._tasks: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        """Start watching."""
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Let go of readers and line."""
        await self.close()

    async def start(self) -> None:
        """Watch readers and line from now on."""
        self._spawn(self._watch_readers())
        self._spawn(self._watch_link())
        self._spawn(self._keep_in_touch())
        for chore in self._chores:
            self._spawn(chore())

    async def close(self) -> None:
        """Let go of readers and line."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._views.close()
        await self._readers.close()
        await self._backend.close()

    def count_readers(self) -> int:
        """Return how many readers are attached."""
        return len(self._known)

    # --- what faces call --------------------------------------------------------------------------------

    def views(self) -> AsyncIterator[StationView]:
        """Yield the present view at once, then the newest after every change."""
        return self._views.watch()

    async def find_people(self, text: str, limit: int = 50, directory: str = "") -> Found:
        """Search one directory, or all of them where none is named."""
        return await self._backend.find_people(text, limit, directory)

    async def templates(self) -> Sequence[TemplateView]:
        """Return the templates that this station may issue."""
        return await self._backend.templates()

    async def find_credentials(self, text: str, limit: int = 50) -> FoundCredentials:
        """Search credentials by their holders, whether or not their cards are here."""
        return await self._backend.find_credentials(text, limit)

    async def decide(self, record_id: UUID, operation: OperationKind, reason: str) -> DecisionView:
        """Suspend, resume, revoke or delete a credential whose card is not here; cards that are here are looked up again."""
        decided = await self._backend.decide(record_id, operation, reason)
        await self.look_up_again()
        return decided

    async def look_up_again(self) -> None:
        """Ask the server about every card that is here: what is known of it, or who asks, has changed."""
        for entry in list(self._known.values()):
            if entry.facts is not None and not entry.view.busy:
                await self._look_up(entry)

    async def read_out(self, record_id: UUID) -> CodeView:
        """Tell the code that unblocks a card far away, which is disclosed from then on."""
        return await self._backend.read_out(record_id)

    async def make_unblock_code(self, record_id: UUID) -> CodeView:
        """Make a code with which a holder unblocks the card at a station, once."""
        return await self._backend.make_unblock_code(record_id)

    async def refresh(self, reader: str) -> ReaderView:
        """Read the card in `reader` again and look it up."""
        entry = await self._entry(reader)
        if entry is None:
            raise errors.NoReader(reader=reader)
        async with entry.lock:
            await self._read(entry)
        return entry.view

    async def compare(self, reader: str, template: str) -> Comparison:
        """Compare the card in `reader`, as it was read last, with a template: its own where none is named.

        Raises:
            CardMissing: no card was read there.
            UnknownTemplate: there is no template of this name.
        """
        entry = self._known.get(reader)
        if entry is None or entry.facts is None:
            raise errors.CardMissing(reader=reader)
        return await self._backend.compare(hints_for(entry.facts, virtual=entry.info.virtual), template)

    async def perform(self, job: Job, person: Person, watcher: Watcher) -> Outcome:
        """Do one operation on the card in one reader.

        When the task is cancelled, the operation stops at the next border between two steps and its outcome is
        returned; a second cancellation ends it at once.
        """
        entry = await self._entry(job.reader)
        if entry is None:
            return _not_begun(job, errors.NoReader(reader=job.reader))
        async with entry.lock:
            self._show(entry, busy=True)
            begin = job.begin(virtual=entry.info.virtual)
            try:
                return await _stoppable(Relay(self._parts, begin, person, watcher))
            finally:
                self._show(entry, busy=False)
                self._read_soon(entry)

    async def _entry(self, reader: str) -> _Reader | None:
        """Return a reader that was seen, or that is attached and was not reported yet."""
        if reader not in self._known:
            for info in await self._readers.all():
                if info.name == reader:
                    self._attach(info)
        return self._known.get(reader)

    # --- readers ----------------------------------------------------------------------------------------

    async def _watch_readers(self) -> None:
        try:
            async for event in self._readers.watch():
                self._take(event)
        except errors.DeviceError as error:
            self._problem = error
            self._publish()

    def _take(self, event: ReaderEvent) -> None:
        match event:
            case ReadersFailed(reason=reason):
                self._problem = errors.PcscUnavailable(reason=reason)
                for name in [name for name, entry in self._known.items() if not entry.info.virtual]:
                    self._detach(name)
                self._publish()
            case ReaderAttached(reader=info):
                if not info.virtual:
                    self._problem = None
                self._attach(info)
                self._publish()
            case ReaderDetached(reader=info):
                self._detach(info.name)
                self._publish()
            case CardPresent(reader=info):
                entry = self._attach(info)
                self._show(entry, present=True)
                self._read_soon(entry)
            case CardAbsent(reader=info):
                entry = self._attach(info)
                if entry.reading is not None:
                    entry.reading.cancel()
                entry.facts = None
                entry.view = replace(_empty(info), busy=entry.view.busy)
                self._publish()

    def _attach(self, info: ReaderInfo) -> _Reader:
        return self._known.setdefault(info.name, _Reader(info, _empty(info)))

    def _detach(self, name: str) -> None:
        entry = self._known.pop(name, None)
        if entry is not None and entry.reading is not None:
            entry.reading.cancel()

    def _read_soon(self, entry: _Reader) -> None:
        """Read the card as soon as nobody else works on it."""
        if entry.reading is not None:
            entry.reading.cancel()

        async def read() -> None:
            async with entry.lock:
                await self._read(entry, patient=True)

        entry.reading = self._spawn(read())

    async def _read(self, entry: _Reader, *, patient: bool = False) -> None:
        """Read the card and look it up; failures become part of the view."""
        self._show(entry, reading=True)
        try:
            facts = await self._inspect(entry)
        except errors.CardMissing:
            entry.facts = None
            entry.view = _empty(entry.info)
            self._publish()
            return
        except KioskError as error:
            entry.facts = None
            self._show(entry, reading=False, card=None, record=None, error=error)
            return
        finally:
            if entry.view.reading:
                entry.view = replace(entry.view, reading=False)
        entry.facts = facts
        self._show(entry, present=True, card=card_seen(facts), error=None)
        await self._look_up(entry, patient=patient)

    async def _inspect(self, entry: _Reader) -> CardFacts:
        try:
            return await self._inspect_once(entry.info.name)
        except (errors.CardMissing, errors.CardLost, errors.ReaderBusy):
            await asyncio.sleep(READ_AGAIN_AFTER_S)
            return await self._inspect_once(entry.info.name)

    async def _inspect_once(self, reader: str) -> CardFacts:
        async with self._readers.session(reader) as session:
            return await converse(inspect(), session)

    async def _look_up(self, entry: _Reader, *, patient: bool = False) -> None:
        """Ask the server about a card; `patient` waits where the line is only being opened."""
        facts = entry.facts
        if facts is None:
            return
        try:
            record = await self._backend.look_up(hints_for(facts, virtual=entry.info.virtual))
        except KioskError as error:
            waits = self._line is LinkState.CONNECTING and isinstance(error, errors.ServerUnreachable)
            self._show(entry, record=None, error=None if waits and patient else error)
        else:
            self._show(entry, record=record, error=None)

    # --- the line ---------------------------------------------------------------------------------------

    async def _watch_link(self) -> None:
        async for state in self._backend.link():
            self._line = state
            self._publish()
            if state is LinkState.CONNECTED:
                await self._greet()
            elif state is LinkState.LOST:
                await self._look_up_waiting()  # fails at once, and says why

    async def _keep_in_touch(self) -> None:
        """Ask now and then who we are: so the server sees that we are here, and we what may be done here."""
        while True:
            await asyncio.sleep(GREET_EVERY_S)
            if self._line is LinkState.CONNECTED:
                await self._greet()

    async def _greet(self) -> None:
        """The server is there (again): learn who it is and look up every card that waits for it."""
        try:
            self._server = await self._backend.who_am_i()
        except KioskError as error:
            if isinstance(error, errors.ServerUnreachable):
                self._line = LinkState.LOST
            else:
                self._problem = error
            self._publish()
        else:
            if isinstance(self._problem, errors.PolicyError):
                self._problem = None
            self._publish()
        await self._look_up_waiting()

    async def _look_up_waiting(self) -> None:
        """Look up every card that the server has said nothing about yet."""
        for entry in list(self._known.values()):
            if entry.facts is not None and entry.view.record is None and not entry.view.busy:
                await self._look_up(entry)

    # --- views ------------------------------------------------------------------------------------------

    def _show(self, entry: _Reader, **changes: Any) -> None:
        entry.view = replace(entry.view, **changes)
        self._publish()

    def _publish(self) -> None:
        self._views.put(
            StationView(
                server=self._server,
                connected=self._line is LinkState.CONNECTED,
                connecting=self._line is LinkState.CONNECTING,
                readers=tuple(self._known[name].view for name in sorted(self._known)),
                problem=self._problem,
            )
        )

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task


async def _stoppable(relay: Relay) -> Outcome:
    """Run a relay; the first cancellation asks the server to stop, the second stops here."""
    running = asyncio.create_task(relay.run())
    try:
        return await asyncio.shield(running)
    except asyncio.CancelledError:
        if running.cancelled():
            raise
        relay.cancel()
    try:
        outcome = await running
    finally:
        if not running.done():
            running.cancel()
            with suppress(asyncio.CancelledError):
                await running
    task = asyncio.current_task()
    assert task is not None
    task.uncancel()
    return outcome


def _empty(info: ReaderInfo) -> ReaderView:
    return ReaderView(name=info.name, virtual=info.virtual)


def _not_begun(job: Job, error: KioskError) -> Outcome:
    return Outcome(operation=job.operation, state="unknown", error=error, next_action="try-again")
