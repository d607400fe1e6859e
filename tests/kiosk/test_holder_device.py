"""`kiosk log-on --holder --device`, against a server over TLS and the strict double of Entra ID."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner

from kiosk.cli import cli
from kiosk.commands import Result
from kiosk.credentials import credentials
from kiosk.holder_device import log_on_by_device, picture
from server.connectors.directory.entra_kind import KIND
from shared import errors
from tests.contract.graph import Flow, Graph
from tests.kiosk.test_holder_log_on import Machine
from tests.kiosk.test_holder_log_on import machine as machine  # noqa: PLC0414  # a fixture
from tests.peers.slapd import people
from tests.server.connectors.directory.built import build

PEOPLE = people(2)
BOB = PEOPLE[0]


@pytest.fixture
async def graph(tmp_path: Path, machine: Machine) -> AsyncIterator[Graph]:
    double = Graph(tmp_path, PEOPLE)
    await double.start()
    directory = build(KIND, double.values() | {"device-log-on": True}, clock=machine.world.clock)
    machine.world.directories["entra"] = directory
    yield double
    await directory.close()
    await double.stop()


def the_flow(graph: Graph) -> Flow:
    (flow,) = graph.flows.values()
    return flow


async def log_on(machine: Machine, graph: Graph, *, after: int, who: str = BOB.entry_uuid) -> Result:
    """Wait as long as it takes, in no time; somebody types the code while the command waits for the `after`th time."""
    waited: list[float] = []

    async def sleep(seconds: float) -> None:
        waited.append(seconds)
        machine.world.clock.later += timedelta(seconds=seconds)
        if len(waited) == after:
            the_flow(graph).who = who

    return await log_on_by_device(machine.config, str(BOB.mail), sleep)


async def test_the_code_is_typed_elsewhere(
    machine: Machine, graph: Graph, capsys: pytest.CaptureFixture[str]
) -> None:
    said = await log_on(machine, graph, after=3)
    assert (said.document["holder"], said.document["proof"]) == (BOB.entry_uuid, "device")
    told = capsys.readouterr().err
    assert the_flow(graph).code in told
    assert "https://microsoft.com/devicelogin" in told
    assert "█" not in told, "nobody looks at a picture in a file"
    (handle,) = graph.flows
    assert handle not in told
    assert (await credentials(machine.config, "")).exit_code == 0


async def test_somebody_else_logs_nobody_on(machine: Machine, graph: Graph) -> None:
    with pytest.raises(errors.HolderLogonRefused):
        await log_on(machine, graph, after=1, who=PEOPLE[1].entry_uuid)
    assert not machine.session.exists()


async def test_nobody_types_it_in_time(machine: Machine, graph: Graph) -> None:
    with pytest.raises(errors.HolderLogonRefused):
        await log_on(machine, graph, after=0)
    assert not machine.session.exists()


@pytest.mark.usefixtures("graph")
async def test_whoever_stops_waiting_takes_it_back(machine: Machine) -> None:
    waits = asyncio.Event()

    async def sleep(_: float) -> None:
        waits.set()
        await asyncio.Event().wait()

    command = asyncio.create_task(log_on_by_device(machine.config, str(BOB.mail), sleep))
    await waits.wait()
    waiting = machine.world.holders._proofs._devices._waiting
    assert len(waiting) == 1
    command.cancel()
    with pytest.raises(asyncio.CancelledError):
        await command
    assert not waiting
    assert not machine.session.exists()


def test_a_picture_is_square_and_says_the_address() -> None:
    rows = picture("https://microsoft.com/devicelogin")
    assert len({len(row) for row in rows}) == 1
    assert abs(len(rows[0]) - 2 * len(rows)) <= 1, "two modules in a line"
    assert rows != picture("https://microsoft.com/devicelogon")


@pytest.mark.parametrize(
    "line",
    [
        "--device",
        "--holder --device",
        "--holder --user a --device --code",
        "--holder --user a --device --password-fd 3",
    ],
)
def test_options_that_do_not_go_together_are_refused(line: str) -> None:
    said = CliRunner().invoke(cli, ["log-on", *line.split()])
    assert said.exit_code == 2
    assert "Usage" in said.output
