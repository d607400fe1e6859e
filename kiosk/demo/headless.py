"""The demo without a screen: an operator logs on, issues a number of cards in several readers, and says what it took."""

import asyncio
import os
import random
import time
from dataclasses import dataclass, field
from typing import Any, Protocol

from kiosk.demo.cards import OPERATORS_READER, reader_name
from kiosk.demo.machine import Machine
from kiosk.demo.nobody import Nobody
from kiosk.demo.operators import PinHolder, draw_passcode, draw_pin, first_start
from kiosk.devices.virtual.reader import VirtualReaders
from kiosk.station.core import StationCore
from kiosk.station.faces import Job, Outcome, Person, Watcher
from kiosk.station.logon import Logon
from kiosk.station.manned import MannedStation
from shared.clock import Clock
from shared.piv.ids import ProfileName
from shared.relay import OperationKind
from shared.virtual.card import VirtualCard

TEMPLATE = "employee-badge"
OPERATOR = "operator"


class Bench(Protocol):
    """A station that does operations."""

    async def perform(self, job: Job, person: Person, watcher: Watcher) -> Outcome:
        """Do one operation."""
        ...


@dataclass(slots=True)
class Tally:
    """What came of it."""

    outcomes: list[Outcome] = field(default_factory=list)
    card_seconds: float = 0.0

    def summary(self, seconds: float) -> dict[str, Any]:
        """Return the result as one flat object."""
        good = [outcome for outcome in self.outcomes if outcome.error is None]
        failed = [outcome for outcome in self.outcomes if outcome.error is not None]
        count = len(good) or 1
        return {
            "issued": len(good),
            "failed": len(failed),
            "errors": sorted({outcome.error.code for outcome in failed if outcome.error}),
            "seconds": round(seconds, 3),
            "cards_per_second": round(len(good) / seconds, 2) if seconds else 0.0,
            "round_trips_per_card": round(sum(outcome.round_trips for outcome in good) / count, 2),
            "commands_per_card": round(sum(outcome.commands for outcome in good) / count, 2),
            "card_ms_per_card": round(1000 * self.card_seconds / count, 2),
        }


async def issue_many(
    machine: Machine, station: Bench, readers: VirtualReaders, *, cards: int, count: int, seed: int
) -> Tally:
    """Issue `cards` new cards to the machine's people, in `count` readers at a time."""
    draw = random.Random(seed)  # noqa: S311  # serial numbers, no secret
    work = [(f"card {number}", draw.randrange(10_000_000, 30_000_000)) for number in range(cards)]
    people = [person["id"] for person in machine.people]
    tally = Tally()
    waiting = list(enumerate(work))
    whole = asyncio.current_task()
    assert whole is not None

    async def one_reader(reader: str) -> None:
        while waiting and not whole.cancelling():  # an operation ends with an outcome when it is cancelled
            number, (name, serial) = waiting.pop()
            card = VirtualCard.new(ProfileName.YUBIKEY_5_7, serial=serial, random=os.urandom)
            readers.add_card(name, card)
            await readers.insert(reader, name)
            job = Job(
                operation=OperationKind.ISSUE,
                reader=reader,
                holder=people[number % len(people)],
                template=TEMPLATE,
            )
            tally.outcomes.append(await station.perform(job, Nobody(), Nobody()))
            tally.card_seconds += card.busy_seconds
            await readers.pull(reader)

    await asyncio.gather(*(one_reader(reader_name(number)) for number in range(1, count + 1)))
    return tally


async def run(clock: Clock, *, cards: int, count: int, seed: int) -> dict[str, Any]:
    """Do everything from an empty folder to a summary."""
    passcode, pin = draw_passcode(), draw_pin()
    machine = Machine(
        clock, people=max(20, min(cards, 500)), seed=seed, log_level="warning", passcode=passcode
    )
    readers = VirtualReaders([*(reader_name(number) for number in range(1, count + 1)), OPERATORS_READER])
    try:
        line = await machine.start()
        assert machine.identity is not None
        operator = machine.people[0]["id"]
        crew = await first_start(machine.identity, clock, passcode=passcode, pin=pin, holder=operator)
        readers.add_card(OPERATOR, crew.operator)
        await readers.insert(OPERATORS_READER, OPERATOR)
        station = MannedStation(StationCore(readers, line, clock), Logon(readers, line, clock))
        await station.start()
        try:
            await station.log_on(OPERATORS_READER, PinHolder(pin))
            began = time.monotonic()
            tally = await issue_many(machine, station, readers, cards=cards, count=count, seed=seed)
            return tally.summary(time.monotonic() - began)
        finally:
            await station.close()
    finally:
        await readers.close()
        await machine.close()
