"""pyscard's bare calls, with the return code looked at before anything else.

Source: pcsc-lite's pcsclite.h for the codes.
"""

import importlib
from enum import IntEnum, unique
from typing import Any

from shared import errors


@unique
class Rc(IntEnum):
    """Return codes that have a meaning here (pcsclite.h)."""

    OK = 0
    CANCELLED = 0x80100002
    UNKNOWN_READER = 0x80100009
    TIMEOUT = 0x8010000A
    SHARING_VIOLATION = 0x8010000B
    NO_SMARTCARD = 0x8010000C
    READER_UNAVAILABLE = 0x80100017
    NO_SERVICE = 0x8010001D
    SERVICE_STOPPED = 0x8010001E
    NO_READERS_AVAILABLE = 0x8010002E
    UNRESPONSIVE_CARD = 0x80100066
    UNPOWERED_CARD = 0x80100067
    RESET_CARD = 0x80100068
    REMOVED_CARD = 0x80100069
    BROKEN = 0xFFFFFFFF
    """Not one of PC/SC: the call ended in an exception of the library instead of a code."""


class Library:
    """pyscard's module, with every result taken apart: the code first, and data only of a call that succeeded."""

    def __init__(self, module: Any) -> None:
        """Wrap `smartcard.scard`."""
        self._module = module

    def call(self, name: str, *arguments: object) -> tuple[int, tuple[Any, ...]]:
        """Call a function by its name; return the code, and the other results if the code is 0.

        A failed call may hand back memory that nobody has initialised: that is dropped here.
        """
        try:
            result = getattr(self._module, name)(*arguments)
        except SystemError:
            # seen with a daemon that had gone: no code, "returned NULL without setting an exception"
            return Rc.BROKEN, ()
        if isinstance(result, int):
            return result & 0xFFFFFFFF, ()
        code, *values = result
        return code & 0xFFFFFFFF, (tuple(values) if code == Rc.OK else ())


def load_library() -> Library:
    """Import pyscard.

    Raises:
        PcscUnavailable: the extra `pcsc` is not installed, or does not fit this Python.
    """
    try:
        return Library(importlib.import_module("smartcard.scard"))
    except ImportError as missing:
        raise errors.PcscUnavailable(reason="pyscard is not installed (extra pcsc)") from missing


def error_for(code: int, reader: str) -> errors.KioskError:
    """Return what a failed connection means."""
    match code:
        case Rc.NO_SMARTCARD | Rc.REMOVED_CARD:
            return errors.CardMissing(reader=reader)
        case Rc.UNKNOWN_READER | Rc.READER_UNAVAILABLE | Rc.NO_READERS_AVAILABLE:
            return errors.NoReader(reader=reader)
        case Rc.SHARING_VIOLATION:
            return errors.ReaderBusy(reader=reader)
        case Rc.NO_SERVICE | Rc.SERVICE_STOPPED | Rc.BROKEN:
            return errors.PcscUnavailable(reason="pcscd does not run")
        case Rc.UNRESPONSIVE_CARD | Rc.UNPOWERED_CARD:
            return errors.ReaderFailed(reader=reader, reason="the card does not answer")
        case _:
            return errors.ReaderFailed(reader=reader, reason=f"PC/SC code {code:08X}")


def establish(library: Library) -> int:
    """Return a new context.

    Raises:
        PcscUnavailable: pcscd does not run.
    """
    code, values = library.call("SCardEstablishContext", 2)
    if code != Rc.OK:
        raise errors.PcscUnavailable(reason="pcscd does not run")
    return int(values[0])


def list_readers(library: Library, context: int) -> tuple[str, ...]:
    """Return the names of the readers attached now.

    Raises:
        PcscUnavailable: pcscd has gone.
    """
    code, values = library.call("SCardListReaders", context, [])
    if code in {Rc.NO_READERS_AVAILABLE, Rc.READER_UNAVAILABLE}:
        return ()
    if code != Rc.OK:
        raise errors.PcscUnavailable(reason=f"pcscd does not list its readers ({code:08X})")
    return tuple(values[0])
