"""Readers by PC/SC, through pyscard's bare `scard` calls.

Every session has a context and a handle of its own, so that a pcscd that was restarted is met by new ones. A
session is one transaction: it begins with a reset (whatever another program left open is closed) and ends with
one. Each reader has a thread; the watch for insertions has another, with its own context, because calls on one
context wait for each other.

Without pyscard, or without the service, there is `PcscUnavailable`.

Sources: [PC/SC] part 5; pcsc-lite's API documentation (winscard.h); behaviour found by running Debian 12's pcscd.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

from kiosk.devices.channel import perform
from kiosk.devices.pcsc_library import Library, Rc, error_for, establish, list_readers, load_library
from kiosk.devices.pcsc_thread import DeviceThread
from kiosk.devices.pcsc_watch import watching
from kiosk.ports import CardSession, Filled, ReaderEvent, ReaderInfo, Spoken
from shared import errors
from shared.iso7816.apdu import ColdReset

BUSY_LIMIT_S: Final = 8.0
"""How long to wait for another program's transaction."""

_T0: Final = 1
_T1: Final = 2
_SHARED: Final = 2
_LEAVE: Final = 0
_RESET: Final = 1
_UNPOWER: Final = 2
_BEGIN_TRIES: Final = 3


class _Contact:
    """The connection to one card, used in the reader's thread only."""

    def __init__(self, library: Library, reader: str) -> None:
        self._library = library
        self._reader = reader
        self._context: int | None = None
        self._card: int | None = None
        self._protocol = _T1
        self.abandoned = False

    def open(self) -> None:
        """Connect, begin a transaction (this may block), and reset the card."""
        if self.abandoned:
            return
        self._context = establish(self._library)
        try:
            code, values = self._library.call("SCardConnect", self._context, self._reader, _SHARED, _T0 | _T1)
            if code != Rc.OK:
                raise error_for(code, self._reader)
            self._card, self._protocol = values
            self._begin()
        except errors.KioskError:
            self.leave()
            raise

    def _begin(self) -> None:
        """Begin the transaction; a reset by the program before us is acknowledged first."""
        code: int = Rc.RESET_CARD
        for _ in range(_BEGIN_TRIES):
            code, _values = self._library.call("SCardBeginTransaction", self._card)
            if code == Rc.OK:
                # what another program selected or verified is closed before ours begins
                code = self._reconnect(_RESET)
            elif code == Rc.RESET_CARD:
                self._reconnect(_LEAVE)
                continue
            break
        if code != Rc.OK:
            raise error_for(code, self._reader)

    def _reconnect(self, initialization: int) -> int:
        code, values = self._library.call("SCardReconnect", self._card, _SHARED, _T0 | _T1, initialization)
        if code == Rc.OK:
            self._protocol = values[0]
        return code

    def reset(self) -> bytes:
        """Power the card off and on; return its ATR, nothing if it is gone."""
        if self._card is None or self._reconnect(_UNPOWER) != Rc.OK:
            return b""
        code, values = self._library.call("SCardStatus", self._card)
        return bytes(values[-1]) if code == Rc.OK else b""

    def transmit(self, apdu: bytes, /) -> bytes:
        """Send one command; nothing comes back from a card that left or that another program has reset."""
        if self._card is None:
            return b""
        if self._protocol == _T0 and len(apdu) > 5 and len(apdu) == 6 + apdu[4]:
            # T=0 knows no command with data and Le: the card says 61xx ([ISO 7816-3] 12.2)
            apdu = apdu[:-1]
        code, values = self._library.call("SCardTransmit", self._card, self._protocol, list(apdu))
        return bytes(values[0]) if code == Rc.OK else b""

    def batch(self, items: Sequence[Filled | ColdReset]) -> Spoken:
        """Send a batch; a card that was lost once is never spoken to again in this session."""
        spoken = perform(items, self, self.reset, extended=self._protocol == _T1)
        if spoken.lost:
            self.leave()
        return spoken

    def leave(self) -> None:
        """Reset the card, end the transaction, let go; does nothing the second time."""
        card, self._card = self._card, None
        if card is not None:
            code, _ = self._library.call("SCardEndTransaction", card, _RESET)
            self._library.call("SCardDisconnect", card, _LEAVE if code == Rc.OK else _RESET)
        context, self._context = self._context, None
        if context is not None:
            self._library.call("SCardReleaseContext", context)


@dataclass(slots=True, eq=False)
class _Slot:
    """One reader: its thread, and the lock of whoever has its card."""

    thread: DeviceThread
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)


class _Session:
    """One transaction with the card in a reader."""

    def __init__(self, thread: DeviceThread, contact: _Contact) -> None:
        self._thread = thread
        self._contact = contact

    async def exchange(self, items: Sequence[Filled | ColdReset]) -> Spoken:
        """Send items in order as one job of the reader's thread."""
        return await self._thread.run(lambda: self._contact.batch(items))


class PcscReaders:
    """The readers of this machine's pcscd: a `Readers` port."""

    def __init__(
        self, load: Callable[[], Library] = load_library, *, busy_limit_s: float = BUSY_LIMIT_S
    ) -> None:
        """Begin with nothing; the library is loaded when it is first needed."""
        self._load = load
        self._busy_limit_s = busy_limit_s
        self._slots: dict[str, _Slot] = {}
        self._asking: DeviceThread | None = None

    async def all(self) -> Sequence[ReaderInfo]:
        """Return the readers attached now.

        Raises:
            PcscUnavailable: no pyscard, or pcscd does not run.
        """
        library = self._load()
        if self._asking is None:
            self._asking = DeviceThread("pcsc list")

        def job() -> tuple[str, ...]:
            context = establish(library)
            try:
                return list_readers(library, context)
            finally:
                library.call("SCardReleaseContext", context)

        return tuple(ReaderInfo(name=name) for name in await self._asking.run(job))

    async def watch(self) -> AsyncIterator[ReaderEvent]:
        """Report readers and cards; a pcscd that ends is reported and waited for.

        Raises:
            PcscUnavailable: no pyscard.
        """
        async with aclosing(watching(self._load())) as events:
            async for event in events:
                yield event

    @asynccontextmanager
    async def session(self, reader: str) -> AsyncIterator[CardSession]:
        """Begin a transaction with the card in `reader`; on leaving, reset the card and end it.

        Raises:
            NoReader, CardMissing: there is none.
            ReaderBusy: another program has the card, and kept it for `busy_limit_s`.
            ReaderFailed, PcscUnavailable: driver or service failed.
        """
        library = self._load()
        slot = self._slots.get(reader)
        if slot is None:
            slot = self._slots[reader] = _Slot(DeviceThread(f"reader {reader}"))
        async with slot.lock:
            contact = _Contact(library, reader)
            await self._open(slot, contact, reader)
            try:
                yield _Session(slot.thread, contact)
            finally:
                await asyncio.shield(slot.thread.run(contact.leave))

    async def _open(self, slot: _Slot, contact: _Contact, reader: str) -> None:
        """Open in the reader's thread; where that takes too long, it is undone when it ends."""
        opening = asyncio.ensure_future(slot.thread.run(contact.open))
        try:
            async with asyncio.timeout(self._busy_limit_s):
                await asyncio.shield(opening)
        except (TimeoutError, asyncio.CancelledError) as ended:
            contact.abandoned = True
            opening.cancel()
            slot.thread.post(contact.leave)
            if isinstance(ended, TimeoutError):
                raise errors.ReaderBusy(reader=reader) from ended
            raise

    async def close(self) -> None:
        """End the threads that are not stuck in the library."""
        for slot in self._slots.values():
            slot.thread.stop()
        self._slots.clear()
        if self._asking is not None:
            self._asking.stop()
            self._asking = None
