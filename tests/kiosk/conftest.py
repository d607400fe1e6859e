"""A server, a machine that has joined it, and a virtual card in its reader."""

import asyncio
from collections.abc import Iterator

import pytest

from kiosk.demo.machine import Machine
from shared.clock import SystemClock
from tests.kiosk.bench import STATION, Bench


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    """A running server that this machine has joined, and settings for one virtual reader."""
    machine = Machine(SystemClock(), people=20, seed=7)
    loop = asyncio.new_event_loop()
    try:
        loop.run_until_complete(machine.start())
        assert machine.folder is not None
        config = tmp_path_factory.mktemp("station") / "kiosk.toml"
        config.write_text(STATION.format(folder=machine.folder, count=1))
        person = machine.people[0]
        yield Bench(folder=machine.folder, config=config, holder=person["id"], name=person["name"])
    finally:
        loop.run_until_complete(machine.close())
        loop.close()


@pytest.fixture
def fresh_card(bench: Bench) -> Bench:
    """A new virtual card in the reader."""
    for image in (bench.folder / "station" / "virtual-cards").glob("*"):
        image.unlink()
    return bench
