"""`issue`: four P-256 certificates per card, beside the floor, interleaved in the same run.

Real parts throughout: the product's server as a process of its own (SQLCipher, WAL, synchronous FULL), the
product's station in this process, mutual TLS between them. Cards are in memory and made before the clock starts;
their own processor time is in both figures and told apart as `card_ms_per_card`.
"""

import asyncio
import os
import time
from collections.abc import Mapping
from statistics import median
from typing import Any, Final

from kiosk.demo.cards import reader_name
from kiosk.demo.headless import TEMPLATE
from kiosk.demo.machine import Machine
from kiosk.demo.nobody import Nobody
from kiosk.devices.virtual.reader import VirtualReaders
from kiosk.station.core import StationCore
from kiosk.station.faces import Job
from shared.clock import SystemClock
from shared.piv.ids import ProfileName
from shared.relay import OperationKind
from shared.virtual.card import VirtualCard
from tests.bench.figures import Figures, percentile
from tests.bench.floor import floor
from tests.bench.server import commits as commits_of
from tests.bench.server import cpu_seconds
from tests.bench.work import ISSUE, check

READERS: Final = (1, 8)
REPEATS: Final = 3
WARM_UP_CARDS: Final = 8
PEOPLE: Final = 200
FIRST_SERIAL: Final = 10_000_000


async def issue(cards: int) -> Mapping[str, Any]:
    """Measure floor and product in turn, three times at each number of readers; return medians and ratios."""
    check(ISSUE)
    runs: dict[int, list[tuple[Figures, Figures]]] = {readers: [] for readers in READERS}
    bench = Bench()
    try:
        await bench.start(max(READERS))
        for readers in READERS:
            await bench.run(readers, WARM_UP_CARDS)
        for _ in range(REPEATS):
            for readers in READERS:
                runs[readers].append((await floor(readers, cards), await bench.run(readers, cards)))
    finally:
        await bench.close()
    return _report(runs)


class Bench:
    """A server, a station and its readers, kept over all runs."""

    def __init__(self) -> None:
        """Nothing is started yet."""
        self._machine = Machine(SystemClock(), people=PEOPLE, seed=1, log_level="warning")
        self._serial = FIRST_SERIAL

    async def start(self, readers: int) -> None:
        """Start the server and the station."""
        self._readers = VirtualReaders([reader_name(number) for number in range(1, readers + 1)])
        self._station = StationCore(self._readers, await self._machine.start())
        await self._station.start()

    async def close(self) -> None:
        """End everything."""
        await self._station.close()
        await self._readers.close()
        await self._machine.close()

    async def run(self, readers: int, cards: int) -> Figures:
        """Issue `cards` cards, one at a time in each of `readers` readers."""
        waiting = []
        for _ in range(cards):
            self._serial += 1
            card = VirtualCard.new(ProfileName.YUBIKEY_5_7, serial=self._serial, random=os.urandom)
            self._readers.add_card(str(self._serial), card)
            waiting.append((str(self._serial), card))
        made = [card for _, card in waiting]
        times: list[float] = []
        trips: list[int] = []
        commands: list[int] = []

        async def one_reader(reader: str) -> None:
            while waiting:
                name, _ = waiting.pop()
                await self._readers.insert(reader, name)
                person = self._machine.people[len(times) % PEOPLE]["id"]
                job = Job(operation=OperationKind.ISSUE, reader=reader, holder=person, template=TEMPLATE)
                begun = time.perf_counter()
                outcome = await self._station.perform(job, Nobody(), Nobody())
                times.append(time.perf_counter() - begun)
                assert outcome.error is None, outcome
                trips.append(outcome.round_trips)
                commands.append(outcome.commands)
                await self._readers.pull(reader)

        commits, server = await commits_of(self._machine), cpu_seconds(self._machine)
        cpu, begun = time.process_time(), time.perf_counter()
        await asyncio.gather(*(one_reader(reader_name(number)) for number in range(1, readers + 1)))
        seconds, cpu = time.perf_counter() - begun, time.process_time() - cpu
        server = cpu_seconds(self._machine) - server
        return Figures(
            concurrency=readers,
            cards=cards,
            seconds=seconds,
            cards_per_second=cards / seconds,
            p50_ms=percentile(times, 50) * 1000,
            p95_ms=percentile(times, 95) * 1000,
            p99_ms=percentile(times, 99) * 1000,
            round_trips_per_card=sum(trips) / cards,
            commands_per_card=sum(commands) / cards,
            commits_per_card=(await commits_of(self._machine) - commits) / cards,
            commit_ms=0.0,
            server_cpu_ms_per_card=server * 1000 / cards,
            station_cpu_ms_per_card=cpu * 1000 / cards,
            card_ms_per_card=sum(card.busy_seconds for card in made) * 1000 / cards,
        )


def _report(runs: Mapping[int, list[tuple[Figures, Figures]]]) -> dict[str, Any]:
    """Return medians over the runs: the product's at 8 readers on top, everything by number of readers below."""
    by_readers = {}
    for readers, pairs in runs.items():
        product = _medians([made for _, made in pairs])
        bare = _medians([bare for bare, _ in pairs])
        product["commit_ms"] = bare["commit_ms"]
        product["ratio_to_floor"] = median(made.seconds / bare.seconds for bare, made in pairs)
        by_readers[readers] = {"product": product, "floor": bare}
    top = by_readers[max(by_readers)]["product"]
    return {
        **{key: round(value, 3) for key, value in top.items()},
        "p50_ms_one_reader": round(by_readers[min(by_readers)]["product"]["p50_ms"], 3),
        "runs": {
            f"readers_{readers}": {
                name: {key: round(value, 3) for key, value in figures.items()}
                for name, figures in both.items()
            }
            for readers, both in by_readers.items()
        },
    }


def _medians(runs: list[Figures]) -> dict[str, float]:
    figures = [run.as_json() for run in runs]
    return {key: median(run[key] for run in figures) for key in figures[0]}
