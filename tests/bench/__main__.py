"""`python -m tests.bench NAME [--json]`: run one benchmark and print its figures."""

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
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


BENCHMARKS: Final[Mapping[str, Callable[[int], Awaitable[Report]]]] = {"floor": _floor, "issue": _issue}


@click.command()
@click.argument("name", type=click.Choice(sorted(BENCHMARKS)))
@click.option("--cards", type=click.IntRange(1), default=200, show_default=True, help="Cards in one run.")
@click.option("--json", "as_json", is_flag=True, help="One object on one line.")
def main(name: str, cards: int, *, as_json: bool) -> None:
    """Measure NAME on this machine."""
    report = asyncio.run(_run(name, cards))
    click.echo(json.dumps(report, indent=None if as_json else 2))


async def _run(name: str, cards: int) -> Report:
    return await BENCHMARKS[name](cards)


if __name__ == "__main__":
    main()
