"""Virtual readers: cards in memory behind the same port as PC/SC.

Like a PC/SC reader, a virtual one has one thread of its own and one lock, tells of insertion and removal, lets
a card be pulled in the middle of a batch, and resets the card when a session ends.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TypeVar

from kiosk.devices.channel import perform
from kiosk.ports import (
    CardAbsent,
    CardPresent,
    CardSession,
    Filled,
    ReaderAttached,
    ReaderDetached,
    ReaderEvent,
    ReaderInfo,
    Spoken,
)
from shared import errors
from shared.iso7816.apdu import ColdReset
from shared.virtual.card import VirtualCard
from shared.virtual.faults import Fault
from shared.virtual.memory import Memory

T = TypeVar("T")

Save = Callable[[Memory], None]
"""Keep a card's memory beyond this process; called in the reader's thread when it changed."""


@dataclass(slots=True, eq=False)
class _Held:
    """A card and where its memory is kept; `saved` is what was kept last."""

    name: str
    card: VirtualCard
    save: Save | None
    saved: Memory

    def keep(self) -> None:
        """Save the memory if a command changed it."""
        if self.save is not None and self.card.memory is not self.saved:
            self.save(self.card.memory)
            self.saved = self.card.memory


@dataclass(slots=True, eq=False)
class _Slot:
    """One reader. `visit` counts insertions and removals: what began in another visit talks to nobody."""

    info: ReaderInfo
    held: _Held | None = None
    visit: int = 0
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    thread: ThreadPoolExecutor = field(init=False)

    def __post_init__(self) -> None:
        """Give the reader its thread; it starts with the first job."""
        self.thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix=f"reader {self.info.name}")

    async def run(self, job: Callable[[], T]) -> T:
        """Do a job in the reader's thread; it is finished even if the caller no longer waits."""
        return await asyncio.get_running_loop().run_in_executor(self.thread, job)


class _Contact:
    """The wire to one card during one visit to a reader."""

    def __init__(self, slot: _Slot, held: _Held) -> None:
        """Remember the visit."""
        self._slot = slot
        self._held = held
        self.visit = slot.visit
        self.open = True

    def there(self) -> bool:
        """Whether the session is open and the card that it began with still in the reader."""
        return self.open and self._slot.visit == self.visit

    def transmit(self, apdu: bytes, /) -> bytes:
        """Send one command; nothing comes back once the card was pulled."""
        if not self.there():
            return b""
        answer = self._held.card.transmit(apdu)
        return answer if self.there() else b""

    def reset(self) -> bytes:
        """Power the card off and on and return its ATR."""
        return self._held.card.power_on() if self.there() else b""

    def leave(self) -> None:
        """End the session: no security status outlives it."""
        self.reset()
        self.open = False

    def pulled(self) -> bool:
        """Whether a fault pulled the card that ought to be there."""
        return self.there() and not self._held.card.present

    def batch(self, items: Sequence[Filled | ColdReset]) -> Spoken:
        """Send a batch, and keep the memory before anybody hears the answers."""
        try:
            return perform(items, self, self.reset)
        finally:
            self._held.keep()


class _Session:
    """One transaction with the card in a virtual reader."""

    def __init__(self, slot: _Slot, contact: _Contact, vanished: Callable[[_Slot, int], None]) -> None:
        """Speak to the card of this visit; `vanished` is told in the event loop when a fault pulled it."""
        self._slot = slot
        self._contact = contact
        self._vanished = vanished

    async def exchange(self, items: Sequence[Filled | ColdReset]) -> Spoken:
        """Send items in order as one job of the reader's thread."""
        loop, contact = asyncio.get_running_loop(), self._contact
        if not contact.there():
            return Spoken(responses=(), lost=True)

        def job() -> Spoken:
            spoken = contact.batch(items)
            if contact.pulled():
                loop.call_soon_threadsafe(self._vanished, self._slot, contact.visit)
            return spoken

        return await self._slot.run(job)


class VirtualReaders:
    """Readers and cards that exist in memory only: a `Readers` port, and the desk's `VirtualDesk`."""

    def __init__(self, names: Iterable[str] = ()) -> None:
        """Attach empty readers of these names."""
        self._slots: dict[str, _Slot] = {}
        self._cards: dict[str, _Held] = {}
        self._watchers: set[asyncio.Queue[ReaderEvent | None]] = set()
        for name in names:
            self.attach(name)

    # --- readers and cards --------------------------------------------------------------------------------

    def attach(self, name: str) -> None:
        """Plug in an empty reader."""
        slot = _Slot(info=ReaderInfo(name=name, virtual=True))
        self._slots[name] = slot
        self._tell(ReaderAttached(reader=slot.info), CardAbsent(reader=slot.info))

    async def detach(self, name: str) -> None:
        """Unplug a reader; a card in it loses its power.

        Raises:
            NoReader: no reader of this name.
        """
        await self.pull(name)
        slot = self._slots.pop(name)
        self._tell(ReaderDetached(reader=slot.info))
        await asyncio.to_thread(slot.thread.shutdown)

    def add_card(self, name: str, card: VirtualCard, save: Save | None = None) -> None:
        """Put a card on the table; `save` is called whenever a batch has changed its memory."""
        self._cards[name] = _Held(name=name, card=card, save=save, saved=card.memory)

    def card(self, name: str) -> VirtualCard:
        """Return a card by its name, for faults and for looking inside.

        Raises:
            Invalid: no card of this name.
        """
        return self._held(name).card

    def card_in(self, reader: str) -> VirtualCard | None:
        """Return the card in a reader.

        Raises:
            NoReader: no reader of this name.
        """
        held = self._slot(reader).held
        return None if held is None else held.card

    def arm(self, card: str, *faults: Fault) -> None:
        """Arm faults on a card; they count its physical commands from now."""
        self.card(card).faults.arm(*faults)

    @property
    def busy_seconds(self) -> float:
        """Processor time that all cards have spent in their commands."""
        return sum(held.card.busy_seconds for held in self._cards.values())

    def cards(self) -> Sequence[str]:
        """Return the names of all cards, in a reader or on the table."""
        return tuple(self._cards)

    async def insert(self, reader: str, card: str) -> None:
        """Put a card into a reader; a card in it, and this card elsewhere, are taken out first.

        Raises:
            NoReader: no reader of this name.
            Invalid: no card of this name.
        """
        slot, held = self._slot(reader), self._held(card)
        for other in [slot, *(each for each in self._slots.values() if each.held is held)]:
            await self._take_out(other)
        held.card.insert()
        atr = held.card.power_on()
        slot.held = held
        slot.visit += 1
        self._tell(CardPresent(reader=slot.info, atr=atr))

    async def pull(self, reader: str) -> None:
        """Take the card out, whatever it is doing; nothing happens if there is none.

        Raises:
            NoReader: no reader of this name.
        """
        await self._take_out(self._slot(reader))

    # --- the port -----------------------------------------------------------------------------------------

    async def all(self) -> Sequence[ReaderInfo]:
        """Return the readers attached now."""
        return tuple(slot.info for slot in self._slots.values())

    async def watch(self) -> AsyncIterator[ReaderEvent]:
        """Report what is there, then every change, until the iterator or the readers are closed."""
        news: asyncio.Queue[ReaderEvent | None] = asyncio.Queue()
        self._watchers.add(news)
        try:
            for event in self._now():
                yield event
            while (change := await news.get()) is not None:
                yield change
        finally:
            self._watchers.discard(news)

    @asynccontextmanager
    async def session(self, reader: str) -> AsyncIterator[CardSession]:
        """Have the card in `reader` for oneself; on leaving it is reset.

        Raises:
            NoReader: no reader of this name.
            CardMissing: the reader is empty.
        """
        slot = self._slot(reader)
        async with slot.lock:
            if slot.held is None:
                raise errors.CardMissing(reader=reader)
            contact = _Contact(slot, slot.held)
            try:
                yield _Session(slot, contact, self._vanished)
            finally:
                if contact.there():
                    # queued behind a batch that may still run; shielded, because a cancelled
                    # session must not leave the PIN verified either
                    await asyncio.shield(slot.run(contact.leave))

    async def close(self) -> None:
        """Take all cards out and end the threads."""
        for name in list(self._slots):
            await self.detach(name)
        for news in self._watchers:
            news.put_nowait(None)

    # --- inside -------------------------------------------------------------------------------------------

    def _slot(self, reader: str) -> _Slot:
        """Return the reader of this name, or raise `NoReader`."""
        try:
            return self._slots[reader]
        except KeyError as unknown:
            raise errors.NoReader(reader=reader) from unknown

    def _held(self, card: str) -> _Held:
        """Return the card of this name, or raise `Invalid`."""
        try:
            return self._cards[card]
        except KeyError as unknown:
            raise errors.Invalid(field="card", why="no virtual card of this name") from unknown

    def _now(self) -> list[ReaderEvent]:
        """Return the present state as events."""
        events: list[ReaderEvent] = []
        for slot in self._slots.values():
            events.append(ReaderAttached(reader=slot.info))
            if slot.held is None:
                events.append(CardAbsent(reader=slot.info))
            else:
                events.append(CardPresent(reader=slot.info, atr=slot.held.card.atr))
        return events

    def _tell(self, *events: ReaderEvent) -> None:
        """Tell all watchers."""
        for news in self._watchers:
            for event in events:
                news.put_nowait(event)

    def _vanished(self, slot: _Slot, visit: int) -> None:
        """Note that a fault pulled the card of this visit."""
        if slot.visit == visit:
            self._empty(slot)

    def _empty(self, slot: _Slot) -> None:
        """Mark the reader empty, and say so."""
        slot.held = None
        slot.visit += 1
        self._tell(CardAbsent(reader=slot.info))

    async def _take_out(self, slot: _Slot) -> None:
        """Empty a reader; a batch that runs there ends with its next command, and is waited for."""
        held = slot.held
        if held is None:
            return
        self._empty(slot)
        await slot.run(held.card.pull)
