"""The watch for readers and cards: a thread that waits in SCardGetStatusChange.

Besides the readers it waits on the pseudo reader of pcsc-lite that changes when a reader is attached or detached.
A pcscd that ends is reported once; then the watch tries new contexts until it is back.

Source: pcsc-lite's API documentation, SCardGetStatusChange (the event counter is in the upper half of a state).
"""

import asyncio
import threading
from collections.abc import AsyncGenerator, Callable
from typing import Final

from kiosk.devices.pcsc_library import Library, Rc, establish, list_readers
from kiosk.ports import (
    CardAbsent,
    CardPresent,
    ReaderAttached,
    ReaderDetached,
    ReaderEvent,
    ReaderInfo,
    ReadersFailed,
)
from shared import errors

PLUG_AND_PLAY: Final = "\\\\?PnP?\\Notification"
WAIT_MS: Final = 2000
RETRY_S: Final = 1.0

_UNAWARE: Final = 0
_CHANGED: Final = 0x0002
_PRESENT: Final = 0x0020
_COUNTER: Final = 0xFFFF0000


async def watching(library: Library) -> AsyncGenerator[ReaderEvent, None]:
    """Report what is there, then every change, until the iterator is closed."""
    loop = asyncio.get_running_loop()
    news: asyncio.Queue[ReaderEvent] = asyncio.Queue()

    def report(event: ReaderEvent) -> None:
        if not loop.is_closed():
            loop.call_soon_threadsafe(news.put_nowait, event)

    watch = _Watch(library, report)
    watch.start()
    try:
        while True:
            yield await news.get()
    finally:
        watch.stop()


class _Watch:
    """The thread's work."""

    def __init__(self, library: Library, report: Callable[[ReaderEvent], None]) -> None:
        self._library = library
        self._report = report
        self._stopping = threading.Event()
        self._context: int | None = None
        self._states: dict[str, int] = {}
        self._failing = False

    def start(self) -> None:
        """Watch in a thread of our own, which does not keep the program from ending."""
        threading.Thread(target=self._run, name="pcsc watch", daemon=True).start()

    def stop(self) -> None:
        """End the watch; the thread leaves its wait at once."""
        self._stopping.set()
        context = self._context
        if context is not None:
            self._library.call("SCardCancel", context)

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._watch()
            except errors.PcscUnavailable as failed:
                self._forget(failed)
                self._stopping.wait(RETRY_S)

    def _forget(self, failed: errors.PcscUnavailable) -> None:
        """Detach all readers, and say once that the service is gone."""
        for name in list(self._states):
            self._detach(name)
        if not self._failing:
            self._failing = True
            self._report(ReadersFailed(reason=str(failed.facts["reason"])))

    def _watch(self) -> None:
        """Watch over one context until it fails or the watch is stopped."""
        context = establish(self._library)
        self._context = context
        self._failing = False
        plug_and_play = _UNAWARE
        try:
            while not self._stopping.is_set():
                names = list_readers(self._library, context)
                self._compare(names)
                asked = [(name, self._states[name]) for name in names] + [(PLUG_AND_PLAY, plug_and_play)]
                code, values = self._library.call("SCardGetStatusChange", context, WAIT_MS, asked)
                if code == Rc.OK:
                    for name, state, atr in values[0]:
                        if name == PLUG_AND_PLAY:
                            plug_and_play = state & ~_CHANGED
                        else:
                            self._note(name, state, bytes(atr))
                elif code not in {Rc.TIMEOUT, Rc.CANCELLED, Rc.UNKNOWN_READER, Rc.READER_UNAVAILABLE}:
                    raise errors.PcscUnavailable(reason=f"pcscd has gone ({code:08X})")
        finally:
            self._context = None
            self._library.call("SCardReleaseContext", context)

    def _compare(self, names: tuple[str, ...]) -> None:
        for name in list(self._states):
            if name not in names:
                self._detach(name)
        for name in names:
            if name not in self._states:
                self._states[name] = _UNAWARE
                self._report(ReaderAttached(reader=ReaderInfo(name=name)))

    def _detach(self, name: str) -> None:
        del self._states[name]
        self._report(ReaderDetached(reader=ReaderInfo(name=name)))

    def _note(self, name: str, state: int, atr: bytes) -> None:
        """Report what a new state means: the counter tells a swap that looked like no change at all."""
        before, self._states[name] = self._states[name], state & ~_CHANGED
        reader = ReaderInfo(name=name)
        was, now = bool(before & _PRESENT), bool(state & _PRESENT)
        if was and now and before & _COUNTER == state & _COUNTER:
            return
        if not now:
            if was or before == _UNAWARE:
                self._report(CardAbsent(reader=reader))
            return
        if was:
            self._report(CardAbsent(reader=reader))
        self._report(CardPresent(reader=reader, atr=atr))
