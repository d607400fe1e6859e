"""`kiosk log-on --agent`: a session that hangs on one agent, against a server that knows the operator, over TLS."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from kiosk.backend.identity import store_identity
from kiosk.commands import Result, opened
from kiosk.credentials import credentials
from kiosk.devices.ssh_agent import SOCKET_VARIABLE
from kiosk.log_on import log_off, log_on_by_agent
from kiosk.session_file import FILE
from shared import errors
from shared.ssh.wire import LENGTH, string
from tests.kiosk.devices.test_ssh_agent import Double
from tests.server.authority.logons import Clerk, Person
from tests.server.rpc.world import World, running
from tests.server.store.examples import with_template
from tests.shared.ssh.keyring import ED25519, RSA

SETTINGS = """\
[station]
state-folder = "{folder}/station"

[station.readers]
kind = "virtual"
virtual-count = 1
"""
SOON_S = 10.0


class Forwarded:
    """An agent's socket, as sshd makes one: it goes with its line."""

    def __init__(self, path: Path, double: Double) -> None:
        self.path = path
        self.double = double
        self._lines: set[asyncio.StreamWriter] = set()
        self._server: asyncio.Server | None = None

    async def listen(self) -> None:
        self._server = await asyncio.start_unix_server(self._serve, self.path)

    async def hang_up(self) -> None:
        """Let the line drop."""
        if self._server is not None:
            self._server.close()
            self.path.unlink(missing_ok=True)
            for line in self._lines:
                line.transport.abort()
        self._server = None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._lines.add(writer)
        try:
            while head := await reader.read(LENGTH):
                request = await reader.readexactly(int.from_bytes(head, "big"))
                writer.write(string(self.double.reply(request)))
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            self._lines.discard(writer)
            writer.close()


@dataclass
class Afar:
    """An account on a machine that has joined, and the agent that is forwarded to it."""

    world: World
    config: Path
    folder: Path
    agent: Forwarded
    clerk: Clerk

    @property
    def session(self) -> Path:
        return self.folder / FILE

    async def log_on(self, key: str = "", *, socket: Path | None = None) -> Result:
        return await log_on_by_agent(self.config, key, {SOCKET_VARIABLE: str(socket or self.agent.path)})

    async def find(self) -> Result:
        """Do something that takes an operator."""
        return await credentials(self.config, "b")

    async def why_ended(self) -> list[object]:
        entries = await self.world.store.audit.page(0, 1000)
        return [each.record.facts["why"] for each in entries if each.record.event == "ended"]

    async def over(self) -> None:
        """The session is gone, here and there, because its line is."""
        assert not self.session.exists()
        assert await self.world.store.sessions.live() == ()
        assert await self.why_ended() == ["detached"]


@pytest.fixture
async def afar(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Afar]:
    async with running() as world:
        await with_template(world.store)
        anna = Person(until=datetime.now(UTC) + timedelta(days=1))
        clerk = await Clerk.hired(world.store, anna, "normal")
        folder = tmp_path / "station"
        folder.mkdir(mode=0o700)
        store_identity(folder, await world.lab_station())
        config = tmp_path / "kiosk.toml"
        config.write_text(SETTINGS.format(folder=tmp_path))
        agent = Forwarded(tmp_path_factory.mktemp("s") / "agent", Double(keys=(anna.key,)))
        await agent.listen()
        yield Afar(world, config, folder, agent, clerk)
        await agent.hang_up()


async def test_a_session_serves_the_commands_that_follow(afar: Afar) -> None:
    said = await afar.log_on()
    assert (said.document["operator"], said.document["method"]) == ("Anna Berg", "agent")
    assert (said.document["possession_only"], said.document["idle_s"]) == (True, 300)
    assert "possession only" in said.lines[1]
    assert (await afar.find()).exit_code == 0
    assert (await log_off(afar.config)).document == {"ok": True, "ended": True}
    assert await afar.why_ended() == ["logged-off"]
    with pytest.raises(errors.LogonNeeded):
        await afar.find()


async def test_it_is_over_when_the_agent_is_gone(afar: Afar) -> None:
    await afar.log_on()
    await afar.agent.hang_up()
    with pytest.raises(errors.SessionEnded):
        await afar.find()
    await afar.over()


async def test_it_is_over_when_the_agent_lets_go_of_the_key(afar: Afar) -> None:
    await afar.log_on()
    afar.agent.double.keys = (RSA,)
    with pytest.raises(errors.SessionEnded):
        await afar.find()
    await afar.over()


async def test_another_line_is_another_log_on(afar: Afar) -> None:
    """The same key, behind the same path: who was logged on there has left."""
    await afar.log_on()
    await afar.agent.hang_up()
    held = (afar.agent.path.parent / "held").open(
        "wb"
    )  # so that the number of the old socket is not given again
    await afar.agent.listen()
    with pytest.raises(errors.SessionEnded):
        await afar.find()
    held.close()
    await afar.over()
    await afar.log_on()
    assert (await afar.find()).exit_code == 0


async def test_what_the_environment_says_makes_nobody_anybody(
    afar: Afar, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file names the agent; a variable neither lends a session nor keeps one."""
    monkeypatch.setenv(SOCKET_VARIABLE, str(afar.agent.path))
    with pytest.raises(errors.LogonNeeded):
        await afar.find()
    await afar.log_on()
    monkeypatch.setenv(SOCKET_VARIABLE, "/nonexistent")
    assert (await afar.find()).exit_code == 0


@asynccontextmanager
async def at_work(afar: Afar) -> AsyncIterator[None]:
    async with opened(afar.config) as parts:
        await parts.core.find_credentials("b", 5)
        yield
        async with asyncio.timeout(SOON_S):
            while afar.session.exists() or await afar.world.store.sessions.live():  # noqa: ASYNC110  # a file tells nobody that it is gone
                await asyncio.sleep(0.01)
        with pytest.raises(errors.PolicyError):
            await parts.core.find_credentials("b", 5)


async def test_a_line_that_drops_while_something_runs_ends_it(afar: Afar) -> None:
    await afar.log_on()
    async with at_work(afar):
        await afar.agent.hang_up()
    await afar.over()


async def test_a_terminal_that_hangs_up_ends_it(afar: Afar) -> None:
    await afar.log_on()
    async with at_work(afar):
        os.kill(os.getpid(), signal.SIGHUP)
    await afar.over()


async def test_a_command_that_ends_leaves_the_session(afar: Afar) -> None:
    await afar.log_on()
    with pytest.raises(errors.NoReader):
        async with opened(afar.config):
            raise errors.NoReader
    assert (await afar.find()).exit_code == 0


async def test_a_key_is_named_where_several_may_be_meant(afar: Afar) -> None:
    anna = afar.agent.double.keys[0]
    afar.agent.double.keys = (RSA, anna, ED25519)
    with pytest.raises(errors.Invalid, match="SHA256:") as refused:
        await afar.log_on()
    named = [word for word in str(refused.value).replace("=", " ").split() if word.startswith("SHA256:")]
    assert len(named) == 3
    with pytest.raises(errors.LogonRefused):
        await afar.log_on(named[0])
    assert (await afar.log_on(named[1])).document["operator"] == "Anna Berg"
    with pytest.raises(errors.AgentKeyMissing):
        await afar.log_on("SHA256:nothing")
    assert not afar.session.exists(), "a log-on that is tried ends the one before"


async def test_without_an_agent_nobody_logs_on(afar: Afar) -> None:
    with pytest.raises(errors.NoAgent):
        await log_on_by_agent(afar.config, "", {})
    with pytest.raises(errors.NoAgent):
        await afar.log_on(socket=afar.folder / "none")
