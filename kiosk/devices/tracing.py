"""The traffic log: every command and response of a card, masked by whoever writes it.

Shown are only the data of instructions that are known to carry no secret. What a command marks as sensitive, what
was filled into a hole, and the data of every instruction that is not known here are counted, not shown.
"""

import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Final

from kiosk.ports import CardSession, Filled, ReaderEvent, ReaderInfo, Readers, Spoken
from shared.iso7816.apdu import ColdReset, Hole, Response, ToBeSigned
from shared.logs import TRAFFIC
from shared.piv.ids import Ins, KeyRef

_log: Final = logging.getLogger(__name__)

_OPEN: Final = frozenset(
    {
        Ins.SELECT,
        Ins.GET_DATA,
        Ins.PUT_DATA,
        Ins.GENERATE_ASYMMETRIC,
        Ins.GET_METADATA,
        Ins.GET_SERIAL,
        Ins.GET_VERSION,
        Ins.ATTEST,
        Ins.MOVE_KEY,
    }
)
"""Instructions whose data and response may be seen, unless the command says otherwise."""

_SHOWN_MAX: Final = 64
"""Bytes of data shown; the rest is counted."""


class TracedReaders:
    """A `Readers` port that logs what its sessions say. Costs nothing while the level is off."""

    def __init__(self, readers: Readers) -> None:
        """Trace `readers`."""
        self._readers = readers

    async def all(self) -> Sequence[ReaderInfo]:
        """See `Readers.all`."""
        return await self._readers.all()

    def watch(self) -> AsyncIterator[ReaderEvent]:
        """See `Readers.watch`."""
        return self._readers.watch()

    @asynccontextmanager
    async def session(self, reader: str) -> AsyncIterator[CardSession]:
        """See `Readers.session`."""
        async with self._readers.session(reader) as session:
            if not _log.isEnabledFor(TRAFFIC):
                yield session
                return
            _log.log(TRAFFIC, "%s: session begins", reader)
            try:
                yield _TracedSession(session, reader)
            finally:
                _log.log(TRAFFIC, "%s: session ends", reader)

    async def close(self) -> None:
        """See `Readers.close`."""
        await self._readers.close()


class _TracedSession:
    def __init__(self, session: CardSession, reader: str) -> None:
        self._session = session
        self._reader = reader

    async def exchange(self, items: Sequence[Filled | ColdReset]) -> Spoken:
        """Send items, then log them beside what came of them: their order is what it was."""
        sent = [_command_line(item) for item in items]
        spoken = await self._session.exchange(items)
        for line, item, response in zip(sent, items, spoken.responses, strict=False):
            _log.log(TRAFFIC, "%s: %s", self._reader, line)
            _log.log(TRAFFIC, "%s: %s", self._reader, _response_line(item, response))
        if spoken.lost:
            if len(spoken.responses) < len(sent):
                _log.log(TRAFFIC, "%s: %s", self._reader, sent[len(spoken.responses)])
            _log.log(TRAFFIC, "%s: card lost", self._reader)
        return spoken


def _command_line(item: Filled | ColdReset) -> str:
    if isinstance(item, ColdReset):
        return f"> {item.label}"
    command = item.command
    header = bytes((command.cla, command.ins, command.p1, command.p2)).hex().upper()
    le = "" if command.le is None else f" le {command.le}"
    return f"> {header}{_data(item.masked, command.length, shown=_may_show_data(item))}{le}  {command.label}"


def _response_line(item: Filled | ColdReset, response: Response) -> str:
    shown = isinstance(item, ColdReset) or _may_show_response(item)
    return f"< {response.sw:04X}{_data(response.data, len(response.data), shown=shown)}"


def _may_show_data(item: Filled) -> bool:
    command = item.command
    if command.sensitive or command.cla or any(isinstance(part, Hole) for part in command.parts):
        return False
    # a challenge or a text to sign is nobody's secret
    return command.ins in _OPEN or _signs(item) or _authenticates(item)


def _may_show_response(item: Filled) -> bool:
    command = item.command
    return not command.sensitive and not command.cla and (command.ins in _OPEN or _signs(item))


def _signs(item: Filled) -> bool:
    return item.command.ins == Ins.GENERAL_AUTHENTICATE and any(
        isinstance(part, ToBeSigned) for part in item.command.parts
    )


def _authenticates(item: Filled) -> bool:
    return item.command.ins == Ins.GENERAL_AUTHENTICATE and item.command.p2 == KeyRef.MANAGEMENT


def _data(data: bytes, length: int, *, shown: bool) -> str:
    if not length:
        return ""
    if not shown:
        return f" [{length} bytes masked]"
    more = f"… [{length} bytes]" if length > _SHOWN_MAX else ""
    return f" {data[:_SHOWN_MAX].hex().upper()}{more}"
