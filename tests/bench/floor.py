"""The floor: the least that one card's round trips with real TLS, cryptography and commits can cost.

For `issue` it is of fixed size (`tests.bench.work`), so that the ratio of the product's time to it is a figure about
the product. Station and server are processes of their own, as in the product; the station's does the card's work.
"""

import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path
from statistics import median
from typing import Any, Final, cast

import grpc
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from tests.bench.figures import Figures, percentile
from tests.bench.floor_server import SERVICE
from tests.bench.identity import STATION, Identity, make_identities
from tests.bench.work import ISSUE, Round, Work

WARM_UP_CARDS: Final = 8
ALGORITHM: Final = ec.ECDSA(hashes.SHA256())
ROOT: Final = Path(__file__).parents[2]


async def floor(concurrency: int, cards: int, work: Work = ISSUE) -> Figures:
    """Measure `cards` cards, `concurrency` at a time, each on a stream of its own over one connection."""
    with tempfile.TemporaryDirectory(prefix="floor-") as name:
        folder = Path(name)
        make_identities(folder)
        (folder / "work.json").write_text(json.dumps(asdict(work)))
        async with _server(folder) as port, _line(folder, port) as line:
            await _issue(line, concurrency, WARM_UP_CARDS, work.rounds)
            return await _measure(line, concurrency, cards, work.rounds)


async def _measure(
    line: grpc.aio.Channel, concurrency: int, cards: int, rounds: tuple[Round, ...]
) -> Figures:
    """Run the cards and read both processes' clocks before and after."""
    before = await _server_figures(line)
    cpu, begun = time.process_time(), time.perf_counter()
    times, card_seconds = await _issue(line, concurrency, cards, rounds)
    seconds, cpu = time.perf_counter() - begun, time.process_time() - cpu
    after = await _server_figures(line)
    commits = cast("list[float]", after["commits"])
    return Figures(
        concurrency=concurrency,
        cards=cards,
        seconds=seconds,
        cards_per_second=cards / seconds,
        p50_ms=percentile(times, 50) * 1000,
        p95_ms=percentile(times, 95) * 1000,
        p99_ms=percentile(times, 99) * 1000,
        round_trips_per_card=len(rounds),
        commands_per_card=0.0,
        commits_per_card=len(commits) / cards,
        commit_ms=median(commits) * 1000 if commits else 0.0,
        server_cpu_ms_per_card=(after["cpu"] - before["cpu"]) * 1000 / cards,
        station_cpu_ms_per_card=cpu * 1000 / cards,
        card_ms_per_card=card_seconds * 1000 / cards,
    )


async def _issue(
    line: grpc.aio.Channel, concurrency: int, cards: int, rounds: tuple[Round, ...]
) -> tuple[list[float], float]:
    """Issue `cards` cards; return the seconds of each, and the card's own processor time in all."""
    left = iter(range(cards))
    times: list[float] = []
    card_seconds = 0.0

    async def reader() -> None:
        nonlocal card_seconds
        for _ in left:
            begun = time.perf_counter()
            busy = await _card(line, rounds)
            card_seconds += busy
            times.append(time.perf_counter() - begun)

    async with asyncio.TaskGroup() as readers:
        for _ in range(concurrency):
            readers.create_task(reader())
    return times, card_seconds


async def _card(line: grpc.aio.Channel, rounds: tuple[Round, ...]) -> float:
    """Answer the server's messages for one card; return the processor time of the card's own work."""
    stream: grpc.aio.StreamStreamCall[bytes, bytes] = line.stream_stream(f"/{SERVICE}/Card")()
    await stream.write(b"begin")
    busy = 0.0
    key: ec.EllipticCurvePrivateKey | None = None
    for each in rounds:
        for _ in range(each.messages):
            await stream.read()
        begun = time.thread_time()
        for _ in range(each.card_generates):
            key = ec.generate_private_key(ec.SECP256R1())
        answer = bytes(each.up)
        if each.card_signs:
            assert key is not None
            answer = _signed(key, each)
        busy += time.thread_time() - begun
        await stream.write(answer)
    assert await stream.read() == b"done"
    await stream.done_writing()
    await stream.code()
    return busy


def _signed(key: ec.EllipticCurvePrivateKey, each: Round) -> bytes:
    """Sign as often as the round says; the answer carries key, length, one signature and what was signed."""
    point = key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    message = os.urandom(max(32, each.up - len(point) - 72))
    for _ in range(each.card_signs):
        signature = key.sign(message, ALGORITHM)
    return point + bytes((len(signature),)) + signature + message


async def _server_figures(line: grpc.aio.Channel) -> dict[str, Any]:
    ask: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = line.unary_unary(f"/{SERVICE}/Figures")
    return cast("dict[str, Any]", json.loads(await ask(b"")))


@asynccontextmanager
async def _server(folder: Path) -> AsyncIterator[int]:
    """Run the server's process; it ends when its standard input closes."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.bench.floor_server", str(folder)),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        cwd=ROOT,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield int(await process.stdout.readline())
    finally:
        process.stdin.close()
        await process.wait()


@asynccontextmanager
async def _line(folder: Path, port: int) -> AsyncIterator[grpc.aio.Channel]:
    credentials = Identity.load(folder, STATION).channel_credentials()
    async with grpc.aio.secure_channel(f"localhost:{port}", credentials) as line:
        yield line
