"""`kiosk log-on --holder`: the commands themselves, over TLS, and what a holder's session is good for."""

import json
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from click.testing import CliRunner

from kiosk.approvals import request, show, waiting, withdraw
from kiosk.backend.identity import store_identity
from kiosk.cli import cli
from kiosk.commands import Result
from kiosk.credentials import credentials, decide
from kiosk.holder import ByPassword, log_on_by_password
from kiosk.log_on import log_off
from kiosk.session_file import FILE
from shared import errors
from shared.approvals import ApprovalWish
from shared.credential.approval import Way
from shared.credential.lifecycle import OperationKind
from tests.server.rpc.holders import ANNA, OWN, PASSWORD
from tests.server.rpc.world import World, running

SETTINGS = """\
[station]
state-folder = "{folder}/station"

[station.readers]
kind = "virtual"
virtual-count = 1
"""


@dataclass
class Machine:
    """A machine that has joined, where holders come."""

    world: World
    config: Path
    folder: Path

    @property
    def session(self) -> Path:
        return self.folder / FILE

    async def log_on(self, password: str = PASSWORD, name: str = "aberg") -> Result:
        reading, writing = os.pipe()
        os.write(writing, f"{password}\n".encode())
        os.close(writing)
        return await log_on_by_password(self.config, ByPassword(name=name, password_fd=reading))


@pytest.fixture
async def machine(tmp_path: Path) -> AsyncIterator[Machine]:
    async with running() as world:
        folder = tmp_path / "station"
        folder.mkdir(mode=0o700)
        store_identity(folder, await world.lab_station())
        config = tmp_path / "kiosk.toml"
        config.write_text(SETTINGS.format(folder=tmp_path))
        yield Machine(world, config, folder)


async def test_a_holders_session_serves_the_commands_that_follow(machine: Machine) -> None:
    said = await machine.log_on()
    document: dict[str, Any] = json.loads(json.dumps(said.document))
    assert (document["holder"], document["name"], document["proof"]) == (ANNA.holder, ANNA.name, "password")
    assert machine.session.stat().st_mode & 0o777 == 0o600
    found = await credentials(machine.config, "")
    assert [each["card"] for each in found.document["credentials"]] == [str(OWN)]
    decided = await decide(machine.config, OperationKind.SUSPEND, "", "lost")
    assert decided.document["state"] == "suspended"
    assert (await log_off(machine.config)).document == {"ok": True, "ended": True}
    assert not machine.session.exists()
    await machine.log_on()
    token = machine.session.read_bytes()
    await machine.log_on()
    assert machine.session.read_bytes() != token


@pytest.mark.parametrize(("password", "name"), [("wrong", "aberg"), (PASSWORD, "nobody"), (PASSWORD, "aber")])
async def test_who_is_not_known_gets_no_session(machine: Machine, password: str, name: str) -> None:
    with pytest.raises(errors.HolderLogonRefused):
        await machine.log_on(password, name)
    assert not machine.session.exists()


async def test_a_session_that_ended_is_forgotten(machine: Machine) -> None:
    await machine.log_on()
    machine.world.clock.later += machine.world.holders.limits.idle
    with pytest.raises(errors.SessionEnded):
        await credentials(machine.config, "")
    assert not machine.session.exists()


async def test_the_password_is_nowhere_afterwards(machine: Machine, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(0)
    with pytest.raises(errors.HolderLogonRefused) as refused:
        await machine.log_on("another secret")
    said = await machine.log_on()
    seen = [repr(entry) for entry in await machine.world.store.audit.page(0, 100)]
    seen += [repr(refused.value), repr(said), caplog.text, repr(machine.session.read_bytes())]
    assert not [each for each in seen if PASSWORD in each or "another secret" in each]


@pytest.mark.parametrize(
    "line",
    [
        "--user anna",
        "--code",
        "--holder --agent",
        "--holder --user anna --code",
        "--holder --user anna --reader R",
        "--holder --user anna --pin-fd 3",
        "--holder --code --pin-fd 3",
        "--holder --password-fd 3",
        "--holder --key x",
    ],
)
def test_options_that_do_not_go_together_are_refused(line: str) -> None:
    said = CliRunner().invoke(cli, ["log-on", *line.split()])
    assert said.exit_code == 2
    assert "Usage" in said.output


async def test_what_a_holder_asked_a_second_person_for_is_asked_of_their_own_service(
    machine: Machine,
) -> None:
    """The service of operators refuses a holder, whatever they ask."""
    await machine.log_on()
    assert (await waiting(machine.config)).document == {"ok": True, "approvals": []}
    with pytest.raises(errors.NotYours):
        await request(machine.config, ApprovalWish(way=Way.ISSUE, template="badge"))
    with pytest.raises(errors.NotYours):
        await withdraw(machine.config, UUID(int=1))
    with pytest.raises(errors.NotAllowed):
        await show(machine.config, UUID(int=1))
