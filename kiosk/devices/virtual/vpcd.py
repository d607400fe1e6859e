"""The card's side of vpcd: a virtual card in a reader of a real pcscd.

Messages are two bytes of length, big-endian, and as many bytes. A message of one byte is control: power off,
power on, reset, "send the ATR" (the only one that is answered); every other is a command APDU.

The driver writes length and body in two segments and waits for the acknowledgement in between, so delayed
acknowledgements cost 44 ms a command. TCP_QUICKACK cures it, but the kernel clears it as it likes: it is set
again before every read.

Source: vsmartcard's documentation of vpcd, "Creating a Virtual Smart Card Reader".
"""

import asyncio
import socket
from collections.abc import Callable
from enum import IntEnum, unique
from typing import Final

from shared import errors
from shared.virtual.card import VirtualCard
from shared.virtual.memory import Memory

RECONNECT_S: Final = 0.5
"""How long to wait for a driver that is not there; also longer than its presence poll of 400 ms."""


@unique
class Control(IntEnum):
    """Messages of one byte."""

    OFF = 0
    ON = 1
    RESET = 2
    ATR = 4


async def serve_vpcd(
    card: VirtualCard,
    *,
    host: str,
    port: int,
    save: Callable[[Memory], None] | None = None,
    connected: Callable[[], None] | None = None,
    waiting: Callable[[], None] | None = None,
    reconnect: bool = True,
) -> None:
    """Keep a card in the vpcd reader at `host`:`port` until cancelled, or until a fault pulls it.

    `save` is called after every command that changed the card's memory, before it is answered. `connected`
    is called each time the card goes into the reader, `waiting` each time nobody listens there. Where the driver
    does not listen, or ends, the card waits for it, unless `reconnect` is False.

    Raises:
        NoReader: `reconnect` is False, and nobody listens there.
    """
    loop = asyncio.get_running_loop()
    while card.present:
        try:
            with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as line:
                line.settimeout(0)
                await loop.sock_connect(line, (host, port))
                line.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                if connected is not None:
                    connected()
                await _attend(card, _Line(line), save)
        except OSError as failed:
            if not reconnect:
                raise errors.NoReader(reader=f"{host}:{port}") from failed
            if waiting is not None:
                waiting()
        finally:
            card.power_off()
        if not reconnect:
            return
        await asyncio.sleep(RECONNECT_S)


class _Line:
    """The connection to the driver, message by message."""

    def __init__(self, line: socket.socket) -> None:
        """Read and write `line`, which does not block."""
        self._line = line
        self._loop = asyncio.get_running_loop()

    async def receive(self) -> bytes | None:
        """Return the next message, or None when the driver has gone."""
        head = await self._exactly(2)
        return None if head is None else await self._exactly(int.from_bytes(head, "big"))

    async def send(self, message: bytes) -> None:
        """Write one message in one segment."""
        await self._loop.sock_sendall(self._line, len(message).to_bytes(2, "big") + message)

    async def _exactly(self, count: int) -> bytes | None:
        """Read so many bytes."""
        got = bytearray()
        while len(got) < count:
            self._line.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)
            part = await self._loop.sock_recv(self._line, count - len(got))
            if not part:
                return None
            got += part
        return bytes(got)


async def _attend(card: VirtualCard, line: _Line, save: Callable[[Memory], None] | None) -> None:
    """Answer the driver until it goes away, or a fault pulls the card."""
    saved = card.memory
    while (message := await line.receive()) is not None:
        if len(message) > 1:
            answer = card.transmit(message)
            if save is not None and card.memory is not saved:
                save(card.memory)
                saved = card.memory
            if not card.present:
                return
            await line.send(answer)
        elif message[:1] == bytes((Control.ATR,)):
            await line.send(card.atr)
        elif message[:1] == bytes((Control.OFF,)):
            card.power_off()
        elif message:  # power on and reset; the protocol has no others
            card.power_on()
