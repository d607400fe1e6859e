"""`python -m kiosk.demo.picture FILE`: the picture of the desk in the README, made from the real screen.

A whole demo is started, its operator logs on and issues a card, and the screen is drawn as it stands.
"""

import asyncio
import sys
from pathlib import Path
from typing import Final

from kiosk.demo.cards import OPERATORS_READER, desk_readers, reader_name
from kiosk.demo.machine import Machine
from kiosk.demo.operators import draw_passcode, draw_pin, first_start, hand_out
from kiosk.station import wording
from kiosk.station.core import StationCore
from kiosk.station.logon import Logon
from kiosk.station.manned import MannedStation
from kiosk.tui.app import DeskApp
from kiosk.tui.labels import DONE
from kiosk.tui.picture import picture
from shared.clock import SystemClock
from shared.relay import OperationKind

SIZE: Final = (120, 40)
LOG_ON: Final = ("enter",)
"""With the card in the operator's reader; the PIN is typed after it."""
KEYS: Final = ("enter", "i", "enter", "enter", "enter")
"""Take the PIN, then issue the card in the first reader to the first person, by the first template."""

READERS: Final = 3
SEED: Final = 1
PEOPLE: Final = 40


async def desk_picture() -> str:
    """Return the desk with a card just issued, as SVG."""
    clock = SystemClock()
    passcode, pin = draw_passcode(), draw_pin()
    machine = Machine(clock, people=PEOPLE, seed=SEED, passcode=passcode)
    readers = desk_readers(READERS, SEED)
    try:
        line = await machine.start()
        assert machine.identity is not None
        operator = machine.people[0]
        crew = await first_start(machine.identity, clock, passcode=passcode, pin=pin, holder=operator["id"])
        for number, card in zip(range(1, READERS), readers.cards(), strict=False):
            await readers.insert(reader_name(number), card)
        await hand_out(readers, crew, operator["name"])
        station = MannedStation(StationCore(readers, line, clock), Logon(readers, line, clock))
        await station.start()
        app = DeskApp(
            station=station,
            logons=station,
            virtual=readers,
            banner="nothing is kept",
            title="Demo desk",
            operators_reader=OPERATORS_READER,
        )
        drawn = await picture(app, SIZE, (*LOG_ON, *pin, *KEYS))
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
