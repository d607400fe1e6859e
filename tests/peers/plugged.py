"""Put a virtual card into a reader of the real PC/SC service.

The card is attended in a thread of its own, because the tools that use it run while the test waits for them.
"""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from kiosk.devices.virtual.vpcd import serve_vpcd
from shared.virtual.card import VirtualCard
from tests.peers.pcscd import PcscReader
from tests.peers.programs import STOP_TIMEOUT_S, wait_until


@contextmanager
def plugged(card: VirtualCard, reader: PcscReader) -> Iterator[None]:
    """Keep `card` in `reader`: on entry until PC/SC clients see it, on leaving until they see it gone."""
    card.insert()
    loop = asyncio.new_event_loop()
    attending = loop.create_task(serve_vpcd(card, host="127.0.0.1", port=reader.port))
    thread = threading.Thread(target=_attend, args=(loop, attending), name=f"card in {reader.name}")
    thread.start()
    try:
        wait_until(reader.holds_card, f"card in {reader.name}")
        yield
    finally:
        loop.call_soon_threadsafe(attending.cancel)
        thread.join(STOP_TIMEOUT_S)
        loop.close()
        wait_until(lambda: not reader.holds_card(), f"{reader.name} empty")


def _attend(loop: asyncio.AbstractEventLoop, attending: asyncio.Task[None]) -> None:
    """Run until cancelled, or until a fault pulled the card."""
    asyncio.set_event_loop(loop)
    loop.run_until_complete(asyncio.wait([attending]))
