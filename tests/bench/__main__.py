"""`python -m tests.bench NAME [--json]`: run one benchmark and print its figures."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import click

Report = Mapping[str, Any]
READERS: Final = (1, 8)


async def _floor(cards: int) -> Report:
    """Measure the fixed floor of `issue` alone."""
    from tests.bench.floor import floor

    return {f"readers_{readers}": (await floor(readers, cards)).as_json() for readers in READERS}


async def _issue(cards: int) -> Report:
    """Measure issuing beside its floor."""
    from tests.bench.issue import issue

    return await issue(cards)


async def _unblock(cards: int) -> Report:
    """Measure unblocking from the insertion of the card on."""
    from tests.bench.unblock import unblock

    return await unblock(cards)


async def _logon(times: int) -> Report:
    """Measure the log-on of an operator with a card, and the policy's judgement."""
    from tests.bench.logon import logon

    return await logon(times)


async def _first_paint(starts: int) -> Report:
    """Measure the demo from its start to the first painted desk."""
    from tests.bench.first_paint import first_paint

    return await asyncio.to_thread(first_paint, starts)


async def _connectors(times: int) -> Report:
    """Measure our clients of outside systems beside bare requests, and issuing through a slow authority."""
    from tests.bench.connectors import connectors

    return await connectors(times)


@dataclass(frozen=True, slots=True, kw_only=True)
class Benchmark:
    """What is measured, and how often unless told otherwise."""

    run: Callable[[int], Awaitable[Report]]
    times: int


BENCHMARKS: Final[Mapping[str, Benchmark]] = {
    "floor": Benchmark(run=_floor, times=200),
    "issue": Benchmark(run=_issue, times=200),
    "unblock": Benchmark(run=_unblock, times=200),
    "logon": Benchmark(run=_logon, times=20),
    "connectors": Benchmark(run=_connectors, times=200),
    "first-paint": Benchmark(run=_first_paint, times=15),
}


@click.command()
@click.argument("name", type=click.Choice(sorted(BENCHMARKS)))
@click.option(
    "--cards",
    "--times",
    "times",
    type=click.IntRange(1),
    help="Cards (or log-ons, or starts of the demo) in one run.",
)
@click.option("--json", "as_json", is_flag=True, help="One object on one line.")
def main(name: str, times: int | None, *, as_json: bool) -> None:
    """Measure NAME on this machine."""
    report = asyncio.run(_run(BENCHMARKS[name], times))
    click.echo(json.dumps(report, indent=None if as_json else 2))


async def _run(benchmark: Benchmark, times: int | None) -> Report:
    return await benchmark.run(times or benchmark.times)


if __name__ == "__main__":
    main()
