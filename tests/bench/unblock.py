"""`unblock`: from the insertion of a card whose PIN is blocked to its holder's new PIN, split by who is waited for.

Real parts throughout, as in `issue`. The clock starts when the card is put into the reader: it is read and looked
up, the operator starts `unblock` as soon as the desk may offer it, and the holder's new PIN is there at once.

* `card`: the card's own processor time in its commands. A real card takes longer; nothing of ours can change that.
* `network`: what as many messages of the same size cost on a bare gRPC stream between two processes, with the same
  TLS, measured right beside.
* `server`: what the station waited for the server beyond that.
* `station`: all the rest.

`ours` is everything but the card. The floor is that bare stream with as many durable commits as the server made.
"""

import os
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from statistics import median
from typing import Any, Final

from kiosk.backend.client import GrpcBackend
from kiosk.backend.identity import StationIdentity, load_identity
from kiosk.demo.cards import reader_name
from kiosk.demo.headless import TEMPLATE
from kiosk.demo.machine import Machine
from kiosk.demo.nobody import Nobody
from kiosk.devices.virtual.reader import VirtualReaders
from kiosk.station.core import StationCore
from kiosk.station.faces import Job
from shared.clock import SystemClock
from shared.console import CardHints, CardView
from shared.credential.pins import PinPolicy
from shared.errors import KioskError
from shared.piv.ids import PIV_AID, ProfileName
from shared.proto.convert_console import encode_card, encode_hints
from shared.proto.convert_turns import encode_server_turn, encode_station_turn
from shared.relay import Begin, OperationKind, ServerTurn, StationTurn
from shared.secret import Secret
from shared.virtual.card import VirtualCard
from tests.bench.figures import Figures, percentile
from tests.bench.floor import floor
from tests.bench.server import commits, cpu_seconds
from tests.bench.work import Round, Work

REPEATS: Final = 3
STOCK: Final = 8
WARM_UPS: Final = 16
FIRST_SERIAL: Final = 10_000_000
READER: Final = reader_name(1)
PINS: Final = ("739154", "482615")

SELECT: Final = bytes((0x00, 0xA4, 0x04, 0x00, len(PIV_AID))) + PIV_AID
WRONG_PIN: Final = bytes((0x00, 0x20, 0x00, 0x80, 8)) + b"00000000"


async def unblock(cards: int) -> Mapping[str, Any]:
    """Measure floor and product in turn, three times; return the medians of what each run found."""
    bench = Bench()
    try:
        await bench.start()
        await bench.run(WARM_UPS)
        runs = []
        for _ in range(REPEATS):
            run = await bench.run(cards)
            network = await floor(1, cards, run.work(commits=False))
            runs.append(run.figures(network, await floor(1, cards, run.work(commits=True))))
    finally:
        await bench.close()
    return {key: round(median(run[key] for run in runs), 3) for key in runs[0]}


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """One card from insertion to unblocked: seconds, and how much was said."""

    seconds: float
    card: float
    waited: float
    round_trips: int
    commands: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """All visits of one run; `rounds` are the messages of the last one, the look-up being the first round."""

    visits: Sequence[Visit]
    rounds: Sequence[Round]
    commits: int
    server_cpu: float

    def work(self, *, commits: bool) -> Work:
        """Return the same messages as a floor's work, with or without as many commits."""
        each, more = divmod(round(self.commits / len(self.visits)) if commits else 0, len(self.rounds))
        return Work(
            rounds=tuple(
                replace(each_round, commits=each + (index < more))
                for index, each_round in enumerate(self.rounds)
            )
        )

    def figures(self, network: Figures, bare: Figures) -> dict[str, float]:
        """Return the figures of the run; the network's median is taken from what the station waited."""
        split = {
            "ours": [visit.seconds - visit.card for visit in self.visits],
            "total": [visit.seconds for visit in self.visits],
            "card": [visit.card for visit in self.visits],
            "server": [visit.waited - network.p50_ms / 1000 for visit in self.visits],
            "station": [visit.seconds - visit.card - visit.waited for visit in self.visits],
        }
        count = len(self.visits)
        found = {
            f"{name}_ms_p{percent}": percentile(values, percent) * 1000
            for name, values in split.items()
            for percent in (50, 95)
        }
        return {
            **found,
            "network_ms_p50": network.p50_ms,
            "network_ms_p95": network.p95_ms,
            "server_cpu_ms": self.server_cpu * 1000 / count,
            "round_trips": sum(visit.round_trips for visit in self.visits) / count,
            "commands": sum(visit.commands for visit in self.visits) / count,
            "commits": self.commits / count,
            "cards": count,
            "floor_ms_p50": bare.p50_ms,
            "ratio_to_floor": found["ours_ms_p50"] / bare.p50_ms,
        }


class Bench:
    """A server, a station, its reader, and active cards that are unblocked in turn."""

    def __init__(self) -> None:
        """Nothing is started yet."""
        self._machine = Machine(SystemClock(), people=STOCK, seed=1, log_level="warning")
        self._visits = 0

    async def start(self) -> None:
        """Start the server and the station, and make the cards."""
        self._readers = VirtualReaders([READER])
        await self._machine.start()
        assert self._machine.folder is not None
        self._line = TimedLine(load_identity(self._machine.folder / "station", SystemClock()))
        self._station = StationCore(self._readers, self._line)
        await self._station.start()
        for number in range(STOCK):
            await self._make(number)

    async def close(self) -> None:
        """End everything."""
        await self._station.close()
        await self._readers.close()
        await self._machine.close()

    async def run(self, cards: int) -> Run:
        """Unblock `cards` times, one card after the other."""
        made, cpu = await commits(self._machine), cpu_seconds(self._machine)
        visits = [await self._visit() for _ in range(cards)]
        return Run(
            visits=visits,
            rounds=self._line.rounds(),
            commits=await commits(self._machine) - made,
            server_cpu=cpu_seconds(self._machine) - cpu,
        )

    async def _make(self, number: int) -> None:
        """Make an active card."""
        card = VirtualCard.new(ProfileName.YUBIKEY_5_7, serial=FIRST_SERIAL + number, random=os.urandom)
        self._readers.add_card(str(number), card)
        await self._readers.insert(READER, str(number))
        holder = self._machine.people[number]["id"]
        job = Job(operation=OperationKind.ISSUE, reader=READER, holder=holder, template=TEMPLATE)
        issued = await self._station.perform(job, Nobody(), Nobody())
        assert issued.error is None, issued
        activate = Job(operation=OperationKind.ACTIVATE, reader=READER)
        active = await self._station.perform(activate, Prompt(PINS[0]), Nobody())
        assert active.error is None, active
        await self._take_out()

    async def _visit(self) -> Visit:
        """Unblock one card from its insertion on."""
        name = str(self._visits % STOCK)
        self._visits += 1
        card = self._readers.card(name)
        _block(card)
        busy, told = card.busy_seconds, card.commands
        self._line.forget()
        begun = time.perf_counter()
        await self._readers.insert(READER, name)
        await self._offered()
        holder = Prompt(PINS[self._visits // STOCK % len(PINS)])
        outcome = await self._station.perform(
            Job(operation=OperationKind.UNBLOCK, reader=READER), holder, Nobody()
        )
        seconds = time.perf_counter() - begun
        visit = Visit(
            seconds=seconds,
            card=card.busy_seconds - busy,
            waited=self._line.waited,
            round_trips=outcome.round_trips,
            commands=card.commands - told,
        )
        assert outcome.error is None, outcome
        await self._take_out()
        return visit

    async def _offered(self) -> None:
        """Wait until the desk may offer to unblock the card."""
        async for view in self._station.views():
            for reader in view.readers:
                if reader.record is not None and not reader.reading and not reader.busy:
                    assert OperationKind.UNBLOCK in reader.record.reachable, reader
                    return

    async def _take_out(self) -> None:
        """Take the card out and wait until the desk has seen it, so that nothing of it is in the next figures."""
        await self._readers.pull(READER)
        async for view in self._station.views():
            if all(not reader.present and not reader.busy for reader in view.readers):
                return


class Prompt(Nobody):
    """A holder who has typed the new PIN before it is asked for."""

    def __init__(self, pin: str) -> None:
        """Know the PIN."""
        self._pin = pin

    async def new_pin(self, policy: PinPolicy, problem: KioskError | None) -> Secret | None:
        """Give it once; a PIN that is refused stops the operation."""
        return Secret.from_text(self._pin) if problem is None else None


class TimedLine(GrpcBackend):
    """The line to the server; it notes how long the station waited for it, and what was said."""

    def __init__(self, identity: StationIdentity) -> None:
        """Speak as `identity`."""
        super().__init__(identity, SystemClock())
        self.forget()

    def forget(self) -> None:
        """Begin anew."""
        self.waited = 0.0
        self._looked_up: tuple[CardHints, CardView] | None = None
        self._said: list[StationTurn | ServerTurn] = []

    def rounds(self) -> Sequence[Round]:
        """Return what was said as rounds of a floor.

        Its stream begins and is done, too: a `Begin` and the last of the server's messages are no round.
        """
        assert self._looked_up is not None
        hints, view = self._looked_up
        rounds = [Round(name="look up", down=encode_card(view).ByteSize(), up=encode_hints(hints).ByteSize())]
        messages = down = 0
        for turn in self._said:
            if isinstance(turn, Begin):
                continue
            if isinstance(turn, StationTurn):
                up = encode_station_turn(turn).ByteSize()
                rounds.append(Round(name=type(turn).__name__, down=down, up=up, messages=messages))
                messages = down = 0
            else:
                messages, down = messages + 1, down + encode_server_turn(turn).ByteSize()
        last = rounds[-1]
        rounds[-1] = replace(last, messages=last.messages + messages - 1, down=last.down + down)
        return rounds

    async def operation(self, turns: AsyncIterator[StationTurn]) -> AsyncGenerator[ServerTurn, None]:
        """Note every turn, and wait for the server's."""

        async def speech() -> AsyncIterator[StationTurn]:
            async for turn in turns:
                self._said.append(turn)
                yield turn

        heard = super().operation(speech())
        try:
            while True:
                with self._waiting():
                    turn = await anext(heard, None)
                if turn is None:
                    return
                self._said.append(turn)
                yield turn
        finally:
            with self._waiting():
                await heard.aclose()

    async def look_up(self, hints: CardHints) -> CardView:
        """Wait for the answer, and note it."""
        with self._waiting():
            view = await super().look_up(hints)
        self._looked_up = hints, view
        return view

    @contextmanager
    def _waiting(self) -> Iterator[None]:
        begun = time.perf_counter()
        try:
            yield
        finally:
            self.waited += time.perf_counter() - begun


def _block(card: VirtualCard) -> None:
    """Enter a wrong PIN until the card takes no more."""
    card.insert()
    card.power_on()
    card.transmit(SELECT)
    for _ in range(card.memory.pin.tries):
        card.transmit(WRONG_PIN)
    assert card.memory.pin.left == 0
    card.pull()
