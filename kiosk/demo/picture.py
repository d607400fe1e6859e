"""`python -m kiosk.demo.picture FILE`: the picture of the desk in the README, made from the real screen.

A whole demo is started, a card is issued in it, and the screen is drawn as it stands.
"""

import asyncio
import sys
from pathlib import Path
from typing import Final

from kiosk.demo.cards import desk_readers, reader_name
from kiosk.demo.machine import Machine
from kiosk.station import wording
from kiosk.station.core import StationCore
from kiosk.tui.app import DeskApp
from kiosk.tui.labels import DONE
from kiosk.tui.picture import picture
from shared.clock import SystemClock
from shared.relay import OperationKind

SIZE: Final = (120, 40)
KEYS: Final = ("i", "enter", "enter", "enter")
"""Issue the card in the first reader to the first person, by the first template."""

READERS: Final = 3
SEED: Final = 1
PEOPLE: Final = 40


async def desk_picture() -> str:
    """Return the desk with a card just issued, as SVG."""
    clock = SystemClock()
    machine = Machine(clock, people=PEOPLE, seed=SEED)
    readers = desk_readers(READERS, SEED)
    try:
        station = StationCore(readers, await machine.start(), clock)
        for number, card in zip(range(1, READERS), readers.cards(), strict=False):
            await readers.insert(reader_name(number), card)
        await station.start()
        app = DeskApp(station=station, virtual=readers, banner="nothing is kept", title="Demo desk")
        drawn = await picture(app, SIZE, KEYS)
        await station.close()
        if f"{DONE}&#160;{wording.done(OperationKind.ISSUE)}".replace(" ", "&#160;") not in drawn:
            message = "no card was issued: the keys no longer choose what they did"
            raise RuntimeError(message)
        return drawn
    finally:
        await readers.close()
        await machine.close()


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(asyncio.run(desk_picture()), encoding="utf-8")
