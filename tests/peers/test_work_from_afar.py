"""An operator works from afar: nothing between the operator's card and the record of the server is replaced.

The operator's card, issued by the server, is in a reader of the real pcscd; OpenSC and OpenSSH's agent use it; sshd forwards the
agent; the commands run on a terminal behind sshd. Then the line drops while a card is written.
"""

import asyncio
import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from kiosk.backend.client import GrpcBackend
from kiosk.devices.pcsc import PcscReaders
from kiosk.session_file import FILE
from kiosk.station.core import StationCore
from kiosk.station.faces import Job
from shared.clock import SystemClock
from shared.piv.ids import ProfileName, Slot
from shared.relay import OperationKind
from shared.virtual.card import VirtualCard
from tests.peers.judges.opensc import module
from tests.peers.judges.yubico import read_certificate
from tests.peers.pcscd import SOCKET_VARIABLE, PcscReader, pcsc_service
from tests.peers.plugged import plugged
from tests.peers.programs import REPOSITORY, STOP_TIMEOUT_S, need, wait_until
from tests.peers.ssh_agent import RealAgent, real_agent
from tests.peers.sshd import SshServer, ssh_server
from tests.scenario.installation import HOLDER, Installation
from tests.scenario.judging import WRITES, WatchedCard
from tests.scenario.lab import Holder, Notes
from tests.scenario.templates import EMPLOYEE

PIN: Final = "428713"
OPERATOR: Final = EMPLOYEE.replace('name = "employee"', 'name = "operator"\noperator = true')
SETTINGS: Final = '[station]\nstate-folder = "{folder}"\n'
WAIT_S: Final = 60.0


class SlowCard(WatchedCard):
    """A card that waits in the middle of its second write until the test goes on."""

    @classmethod
    def waiting(cls) -> "SlowCard":
        card = cls.new(ProfileName.YUBIKEY_5_7, serial=20_114_778, random=os.urandom)
        card.writes = []
        card.reached, card.go_on = threading.Event(), threading.Event()
        return card

    reached: threading.Event
    go_on: threading.Event

    def transmit(self, apdu: bytes) -> bytes:
        answer = super().transmit(apdu)
        if apdu[1] in WRITES and len(self.writes) == 2:
            self.reached.set()
            self.go_on.wait(WAIT_S)
        return answer


@dataclass
class Shell:
    """A shell on a terminal at the far end of a log-in by SSH, with the agent forwarded."""

    process: subprocess.Popen[str]
    kiosk: str
    seen: list[str] = field(default_factory=list)

    def begin(self, words: str) -> None:
        """Begin a command of `kiosk`."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{self.kiosk} --json {words}; echo END-$?\n")
        self.process.stdin.flush()

    def do(self, words: str) -> tuple[int, dict[str, Any]]:
        """Run a command of `kiosk` and return its exit status, and what it printed for programs."""
        self.begin(words)
        return self.end()

    def end(self) -> tuple[int, dict[str, Any]]:
        """Wait for the end of the command."""
        assert self.process.stdout is not None
        document: dict[str, Any] = {}
        for line in self.process.stdout:
            self.seen.append(line)
            if line.startswith("{"):
                document = json.loads(line)
            if ended := re.search(r"END-(\d+)", line):
                return int(ended[1]), document
        pytest.fail("".join(self.seen))


@contextmanager
def shell(server: SshServer, agent: RealAgent, kiosk: str) -> Iterator[Shell]:
    """Log in with the card's key; at the end the line drops, as if a cable was pulled."""
    options = [f"UserKnownHostsFile={server.known_hosts}", "StrictHostKeyChecking=yes", "BatchMode=yes"]
    options += [f"IdentityAgent={agent.socket}", f"ForwardAgent={agent.socket}", "IdentityFile=none"]
    flags = [word for option in options for word in ("-o", option)]
    argv = [need("ssh", "openssh-client"), "-F", "none", "-tt", "-p", str(server.port), *flags]
    process = subprocess.Popen(
        [*argv, f"{server.user}@127.0.0.1"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={**agent.environment, "TERM": "dumb"},
    )
    try:
        yield Shell(process=process, kiosk=kiosk)
    finally:
        process.kill()
        process.wait(STOP_TIMEOUT_S)
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.close()
        process.stdout.close()


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A server with one operator, and the state folder of the account in which the operator works."""

    installation: Installation
    far: Path

    async def sessions(self) -> list[dict[str, Any]]:
        """Return what the server's own command lists of sessions, the operator's."""
        said = json.loads(await self.installation.ask("operators", "list"))
        (operator,) = said["operators"]
        found: list[dict[str, Any]] = operator["sessions"]
        return found


@asynccontextmanager
async def place(folder: Path, reader: str) -> AsyncIterator[Place]:
    """Make the server, and the first operator with the card in `reader`."""
    installation = Installation(folder)
    installation.make(template=OPERATOR)
    installation.start()
    try:
        backend = GrpcBackend(await installation.joined("counter"), SystemClock())
        await installation.joined("from-afar")
        async with StationCore(PcscReaders(), backend) as counter:
            roles = ("system-administrator", "normal")
            job = Job(
                operation=OperationKind.ISSUE, reader=reader, holder=HOLDER, template="operator", roles=roles
            )
            outcome = await counter.perform(job, Holder(), Notes())
            assert outcome.error is None, outcome.error
            job = Job(operation=OperationKind.ACTIVATE, reader=reader)
            outcome = await counter.perform(job, Holder(new_pins=[PIN]), Notes())
            assert outcome.error is None, outcome.error
        yield Place(installation=installation, far=folder / "from-afar")
    finally:
        installation.stop()


@pytest.mark.needs_pcscd
@pytest.mark.needs_opensc
@pytest.mark.needs_sshd
async def test_an_operator_works_from_afar_until_the_line_drops(
    pcsc_reader: PcscReader, short_folder: Path, tmp_path: Path
) -> None:
    mine, there = pcsc_reader, short_folder / "pcscd"
    card = VirtualCard.new(ProfileName.YUBIKEY_5_7, serial=20_114_777, random=os.urandom)
    with (
        plugged(card, mine),
        real_agent(short_folder) as agent,
        pcsc_service(tmp_path / "there", there) as station,
    ):
        stock = station.readers[0]
        async with place(tmp_path, mine.name) as here:
            config = tmp_path / "far.toml"
            config.write_text(SETTINGS.format(folder=here.far))
            key = read_certificate(mine.name, Slot.AUTHENTICATION).public_key()
            line = key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
            agent.answer(PIN)
            agent.add("-c", "-s", module())
            agent.answer("yes")
            far = f"cd {REPOSITORY} && stty -echo && exec env {SOCKET_VARIABLE}={there} PS1= sh"
            kiosk = f"{sys.executable} -m kiosk.cli --config {config}"
            with ssh_server(
                tmp_path, line, options=f'restrict,pty,agent-forwarding,command="{far}"'
            ) as server:
                slow = SlowCard.waiting()
                with shell(server, agent, kiosk) as afar:
                    await asyncio.to_thread(_allowed_and_refused, afar)
                    (session,) = await here.sessions()
                    assert (session["method"], session["station"]) == ("agent", "from-afar")
                    with plugged(slow, stock):
                        await asyncio.to_thread(afar.begin, f"do register --reader '{stock.name}'")
                        assert await asyncio.to_thread(slow.reached.wait, WAIT_S), afar.seen
                        afar.process.kill()  # the cable is pulled
                        try:
                            await asyncio.to_thread(
                                wait_until, lambda: not (here.far / FILE).exists(), "ended"
                            )
                        finally:
                            slow.go_on.set()
                        await _until_no_session(here)
                    assert slow.writes
                with plugged(slow, stock), shell(server, agent, kiosk) as again:
                    await asyncio.to_thread(_goes_on, again, stock.name)


def _allowed_and_refused(afar: Shell) -> None:
    status, said = afar.do("credentials anna")
    assert (status, said["error"]) == (3, "logon-needed"), "a log-in by SSH is none here"
    status, said = afar.do("log-on --agent")
    assert (status, said.get("method"), said.get("possession_only")) == (0, "agent", True), afar.seen
    assert said["operator"] == "Anna Berg"
    status, said = afar.do("credentials anna")
    assert (status, len(said["credentials"])) == (0, 1), afar.seen
    status, said = afar.do("do revoke --credential anna --reason stolen")
    assert (status, said["error"]) == (3, "presence-needed"), afar.seen


def _goes_on(again: Shell, reader: str) -> None:
    status, said = again.do("credentials anna")
    assert (status, said["error"]) == (3, "logon-needed"), "another line, another log-on"
    status, _ = again.do("log-on --agent")
    assert status == 0, again.seen
    status, said = again.do(f"card --reader '{reader}'")
    assert said["readers"][0]["record"]["interrupted"] == "register", again.seen
    status, said = again.do(f"do register --reader '{reader}'")
    assert (status, said["state"]) == (0, "registered"), again.seen


async def _until_no_session(here: Place) -> None:
    async with asyncio.timeout(WAIT_S):
        while await here.sessions():
            pass  # the command takes its time
