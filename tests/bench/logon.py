"""`logon`: an operator logs on with a card, from the key that begins it to the session, split by who is waited for.

Real parts throughout, as in `unblock`: the operator's card is issued and activated by the server that it then logs on
to, which runs in a process of its own. The PIN is there at once. The parts are those of `unblock`: `card`, `network`
(two rounds of the same size on a bare stream), `server` and `station`; `ours` is everything but the card. The floor is that
stream with a commit in each round: one for the challenge, one for the session. Where its p95 is far from its median, the
machine is busy with something else.

`authorise` is what the server's policy takes to judge one call of an operator with every preset role, at a station
that is limited to some templates.

A server takes few log-ons a second from one station, so several stations log on in turn. What it sends away all the same is
tried again later, and not counted.
"""

import asyncio
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from statistics import median
from typing import Any, Final
from uuid import uuid4

from kiosk.backend.client import GrpcBackend
from kiosk.backend.identity import StationIdentity, load_identity
from kiosk.backend.joining import join
from kiosk.demo.cards import reader_name
from kiosk.demo.machine import STATION, Machine
from kiosk.demo.nobody import Nobody
from kiosk.devices.virtual.reader import VirtualReaders
from kiosk.station.core import StationCore
from kiosk.station.faces import Job
from kiosk.station.logon import Logon
from server.authority.places import at_station
from server.authority.policy import (
    CALL_RULES,
    OPERATION_RULES,
    Principal,
    Standing,
    authorise,
    authorise_call,
    principal_of,
)
from server.authority.services import TemplateText
from server.ports.operators import OperatorId, OperatorKind, OperatorRecord
from server.rpc.admin import AdminClient
from shared import errors
from shared.clock import SystemClock
from shared.errors import KioskError
from shared.logon import LogonPurpose
from shared.piv.ids import ProfileName
from shared.proto import sessions_pb2
from shared.proto.convert_sessions import encode_logged_on, encode_proof, encode_question
from shared.relay import OperationKind
from shared.roles import PRESETS, SYSTEM_ADMINISTRATOR
from shared.secret import Secret
from shared.sessions import LogonReply, Proof, SessionView
from shared.station_profile import StationProfile
from shared.virtual.card import VirtualCard
from tests.bench.figures import Figures, percentile
from tests.bench.floor import floor
from tests.bench.server import cpu_seconds
from tests.bench.unblock import Prompt
from tests.bench.work import Round, Work

REPEATS: Final = 3
STATIONS: Final = 5
WARM_UPS: Final = 8
JUDGEMENTS: Final = 20
"""How often every rule is judged in one run."""
READER: Final = reader_name(1)
CARD: Final = "operator"
SERIAL: Final = 10_000_000
PIN: Final = "739154"
TEMPLATE: Final = "operator"
TEMPLATE_TEXT: Final = """\
name = "operator"
title = "Operator"
directory = "people"
operator = true

[[certificate]]
slot = "9A"
algorithm = "P-256"
ca = "built-in"
profile = "smart-card-logon"
subject = "CN=${user.name},O=Example"
upn = "${user.upn}"
"""


async def logon(times: int) -> Mapping[str, Any]:
    """Measure network and product in turn, three times; return the medians of what each run found."""
    bench = Bench()
    try:
        await bench.start()
        await bench.run(WARM_UPS)
        runs = []
        for _ in range(REPEATS):
            cpu = bench.server_cpu
            visits = await bench.run(times)
            server_cpu = bench.server_cpu - cpu
            network = await floor(1, times, bench.work(commits=0))
            bare = await floor(1, times, bench.work(commits=1))
            found = figures(visits, network, authorise_us())
            runs.append(
                {
                    **found,
                    "server_cpu_ms": server_cpu * 1000 / times,
                    "floor_ms_p50": bare.p50_ms,
                    "floor_ms_p95": bare.p95_ms,
                    "ratio_to_floor": found["ours_ms_p50"] / bare.p50_ms,
                }
            )
    finally:
        await bench.close()
    return {key: round(median(run[key] for run in runs), 3) for key in runs[0]}


@dataclass(frozen=True, slots=True, kw_only=True)
class Visit:
    """One log-on: seconds in all, of the card, and of waiting for the server."""

    seconds: float
    card: float
    waited: float
    commands: int


def figures(visits: Sequence[Visit], network: Figures, judged_us: Sequence[float]) -> dict[str, float]:
    """Return the figures of one run; the network's median is taken from what the station waited."""
    split = {
        "ours": [visit.seconds - visit.card for visit in visits],
        "total": [visit.seconds for visit in visits],
        "card": [visit.card for visit in visits],
        "server": [visit.waited - network.p50_ms / 1000 for visit in visits],
        "station": [visit.seconds - visit.card - visit.waited for visit in visits],
    }
    return {
        **{
            f"{name}_ms_p{percent}": percentile(values, percent) * 1000
            for name, values in split.items()
            for percent in (50, 95)
        },
        "network_ms_p50": network.p50_ms,
        "network_ms_p95": network.p95_ms,
        "authorise_us_p50": percentile(judged_us, 50),
        "authorise_us_p95": percentile(judged_us, 95),
        "commands": sum(visit.commands for visit in visits) / len(visits),
        "logons": len(visits),
    }


def authorise_us() -> list[float]:
    """Return how many microseconds each judgement took: roles put together, what the station leaves of them, the rule."""
    operator = OperatorRecord(
        operator_id=OperatorId(uuid4()),
        name="Operator",
        kind=OperatorKind.OPERATOR,
        registered_at=SystemClock().now(),
        roles=frozenset(PRESETS),
    )
    profile = StationProfile(operations=frozenset(OperationKind), templates=frozenset({TEMPLATE, "badge"}))
    judged: list[float] = []

    def principal() -> Principal:
        whole = principal_of(operator, PRESETS)
        return replace(whole, permissions=at_station(whole.permissions, profile))

    def judge(act: Callable[[], object]) -> None:
        begun = time.perf_counter_ns()
        act()
        judged.append((time.perf_counter_ns() - begun) / 1000)

    others = {Standing.FIRST_START, Standing.HOLDER}
    operators_calls = [method for method, rule in CALL_RULES.items() if rule not in others]
    for _ in range(JUDGEMENTS):
        for method in operators_calls:
            judge(lambda method=method: authorise_call(principal(), method))  # type: ignore[misc]
        for needs in OPERATION_RULES.values():
            judge(lambda needs=needs: authorise(principal(), needs, TEMPLATE))  # type: ignore[misc]
    return judged


class Bench:
    """A server, an operator with a card, and stations at which the operator logs on in turn."""

    def __init__(self) -> None:
        """Nothing is started yet."""
        self._machine = Machine(SystemClock(), people=1, seed=1, log_level="warning")
        self._card = VirtualCard.new(ProfileName.YUBIKEY_5_7, serial=SERIAL, random=os.urandom)
        self._readers = VirtualReaders([READER])
        self._lines: list[TimedLine] = []
        self._logons: list[Logon] = []
        self._done = 0

    async def start(self) -> None:
        """Start the server, let stations join it, and make an operator with a card."""
        await self._put_in()
        line = await self._machine.start()
        identities = await self._prepare()
        async with StationCore(self._readers, line, SystemClock()) as station:
            await self._make_card(station)
        self._readers = VirtualReaders([READER])  # a station that ends takes its readers along
        await self._put_in()
        for identity in identities:
            line = TimedLine(identity)
            self._lines.append(line)
            self._logons.append(Logon(self._readers, line, SystemClock()))

    async def close(self) -> None:
        """End everything."""
        for logon in self._logons:
            await logon.close()
        for line in self._lines:
            await line.close()
        await self._readers.close()
        await self._machine.close()

    @property
    def server_cpu(self) -> float:
        """The processor seconds that the server used."""
        return cpu_seconds(self._machine)

    def work(self, *, commits: int) -> Work:
        """Return the messages of the last log-on as a floor's work, with so many commits in each round."""
        return Work(rounds=self._lines[0].rounds(commits))

    async def run(self, times: int) -> Sequence[Visit]:
        """Log on `times` times."""
        visits: list[Visit] = []
        while len(visits) < times:
            try:
                visits.append(await self._visit())
            except errors.TooManyAttempts as refused:
                await asyncio.sleep(float(refused.facts["seconds"]))
        return visits

    async def _visit(self) -> Visit:
        """Log on once, and off again when the clock has stopped."""
        line, logon = self._lines[self._done % STATIONS], self._logons[self._done % STATIONS]
        self._done += 1
        card = self._card
        busy, told, line.waited = card.busy_seconds, card.commands, 0.0
        begun = time.perf_counter()
        session = await logon.log_on(READER, Operator())
        seconds = time.perf_counter() - begun
        visit = Visit(
            seconds=seconds,
            card=card.busy_seconds - busy,
            waited=line.waited,
            commands=card.commands - told,
        )
        assert session.roles, session
        await logon.log_off()
        return visit

    async def _put_in(self) -> None:
        self._readers.add_card(CARD, self._card)
        await self._readers.insert(READER, CARD)

    async def _prepare(self) -> Sequence[StationIdentity]:
        """Apply the template, and let more stations join; the machine's own is the first that is returned."""
        folder = self._machine.folder
        assert folder is not None
        made = [load_identity(folder / "station", SystemClock())]
        async with AdminClient(folder / "server" / "admin.sock") as client:
            await client.apply_templates([TemplateText(source="operator.toml", text=TEMPLATE_TEXT)])
            for number in range(1, STATIONS):
                name = f"{STATION}-{number}"
                token = await client.create_token(name, lab=True, valid_for=timedelta(minutes=5))
                made.append(await join(token, folder / name, name))
        return made

    async def _make_card(self, station: StationCore) -> None:
        """Issue and activate the card."""
        holder = self._machine.people[0]["id"]
        issue = Job(
            operation=OperationKind.ISSUE,
            reader=READER,
            holder=holder,
            template=TEMPLATE,
            roles=(SYSTEM_ADMINISTRATOR,),
        )
        issued = await station.perform(issue, Nobody(), Nobody())
        assert issued.error is None, issued
        active = await station.perform(
            Job(operation=OperationKind.ACTIVATE, reader=READER), Prompt(PIN), Nobody()
        )
        assert active.error is None, active


class Operator(Prompt):
    """An operator who has typed the PIN before it is asked for."""

    def __init__(self) -> None:
        """Know the PIN."""
        super().__init__(PIN)

    async def current_pin(self, tries_left: int | None, problem: KioskError | None) -> Secret | None:
        """Give it once; a PIN that is refused stops the log-on."""
        return Secret.from_text(PIN) if problem is None else None


class TimedLine(GrpcBackend):
    """The line to the server; it notes how long a log-on waited for it, and what was said."""

    def __init__(self, identity: StationIdentity) -> None:
        """Speak as `identity`."""
        super().__init__(identity, SystemClock())
        self.waited = 0.0
        self._said: tuple[Proof, LogonReply] | None = None

    async def challenge(self, purpose: LogonPurpose) -> bytes:
        """Wait for a text to sign."""
        with self._waiting():
            return await super().challenge(purpose)

    async def log_on(self, proof: Proof) -> SessionView:
        """Wait for the session."""
        with self._waiting():
            session = await super().log_on(proof)
        assert self.token.value is not None
        self._said = proof, LogonReply(token=Secret(self.token.value.reveal()), session=session)
        return session

    def rounds(self, commits: int) -> tuple[Round, Round]:
        """Return what was said at the last log-on as rounds of a floor."""
        assert self._said is not None
        proof, reply = self._said
        return (
            Round(
                name="challenge",
                up=encode_question(LogonPurpose.LOG_ON, self.ends.server).ByteSize(),
                down=sessions_pb2.ChallengeReply(text=proof.text).ByteSize(),
                commits=commits,
            ),
            Round(
                name="log on",
                up=sessions_pb2.LogOnRequest(proof=encode_proof(proof)).ByteSize(),
                down=encode_logged_on(reply).ByteSize(),
                commits=commits,
            ),
        )

    @contextmanager
    def _waiting(self) -> Iterator[None]:
        begun = time.perf_counter()
        try:
            yield
        finally:
            self.waited += time.perf_counter() - begun
