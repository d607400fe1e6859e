"""No secret comes out of a face: pictures of the desk, the command line, a terminal, the demo.

The search and the secrets are those of `test_secrets`; what both programs do to themselves before they touch a secret is
seen here as well, in the processes that really run.
"""

import asyncio
import os
import secrets as randomness
import signal
import socket
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest

from kiosk.demo.headless import issue_many
from kiosk.demo.machine import Machine
from kiosk.devices.virtual.reader import VirtualReaders
from kiosk.ports import Filled
from kiosk.station import relay
from kiosk.station.core import StationCore
from kiosk.station.filling import fill
from kiosk.station.pins import HeldPins
from kiosk.tui.app import DeskApp
from shared.clock import SystemClock
from shared.iso7816.apdu import ColdReset, Item
from shared.joining import read_token
from shared.relay import OperationKind
from shared.virtual.memory import Memory
from tests import canaries
from tests.canaries import PINS, Vault, leaks, secrets_of_card
from tests.scenario.installation import Installation
from tests.scenario.judging import WatchedCard
from tests.scenario.lab import BOB, Lab
from tests.serving import PASSPHRASE, REPOSITORY
from tests.tui.look import shows, text

FIRST: Final = PINS["first PIN"].decode()
NEXT: Final = PINS["next PIN"].decode()
WRONG: Final = PINS["wrong PIN"].decode()
WEAK: Final = PINS["weak PIN"].decode()

# --- the desk -------------------------------------------------------------------------------------------


@pytest.fixture
async def lab() -> AsyncIterator[Lab]:
    made = await Lab.start()
    yield made
    await made.close()


@dataclass
class Album:
    """Pictures of every state of the desk."""

    app: DeskApp
    pilot: Any
    pictures: dict[str, bytes] = field(default_factory=dict)

    async def see(self, *words: str) -> None:
        """Wait for words on the screen, and take a picture."""
        await shows(self.pilot, *words)
        for kind, content in canaries.picture(self.app.export_screenshot()).items():
            self.pictures[f"{kind} {len(self.pictures)} ({words[0]})"] = content
        self.pictures[f"text {len(self.pictures)}"] = text(self.app).encode()

    async def type(self, *lines: str) -> None:
        for line in lines:
            await self.pilot.press(*line)
            await self.see("●")
            await self.pilot.press("enter")


async def test_pictures_of_the_desk(
    lab: Lab, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    card = WatchedCard.fresh()
    lab.readers.add_card("card", card)
    await lab.readers.insert("Reader 1", "card")
    assert (await lab.perform(OperationKind.ISSUE, subject=BOB.holder, template="employee")).error is None
    app = DeskApp(station=lab.station, title="Canary desk")
    async with app.run_test(size=(110, 34)) as pilot:
        album = Album(app, pilot)
        await album.see("● ISSUED")
        await pilot.press("a")
        await album.see("Choose a new PIN")
        await album.type(WEAK)
        await album.see("must not simply count")
        await album.type(FIRST, WRONG)
        await album.see("The two are not the same")
        await album.type(FIRST)
        await album.see("✓ The PIN is set")
        await pilot.press("escape")
        await album.see("● ACTIVE")
        await pilot.press("p")
        await album.see("Present PIN")
        await album.type(WRONG)
        await album.see("Few tries left")
        await pilot.press("y")
        await album.see("The PIN is wrong: 2 tries left")
        await pilot.press(*FIRST[:4])
        await lab.readers.pull("Reader 1")
        await album.see("Present PIN")
        await pilot.press(*FIRST[4:], "enter")
        await album.see("Change PIN stopped")
        await lab.readers.insert("Reader 1", "card")
        await album.see("● ACTIVE")
        fails_when_filling(monkeypatch)
        await pilot.press("p")
        await album.see("Few tries left")
        await pilot.press("y")
        await album.see("Present PIN")
        await album.type(FIRST)
        await album.see("That did not work", "program-fault")
    printed = capfd.readouterr()
    said = {**album.pictures, "printed": (printed.out + printed.err).encode()}
    assert sum(1 for name in said if name.startswith("picture")) > 20
    assert leaks({**PINS, **secrets_of_card(card.memory)}, said) == []
    planted = canaries.picture(f"<svg><text>{FIRST[:3]}</text>\n<text>{FIRST[3:]}</text></svg>")
    assert leaks(PINS, planted) == ["first PIN in characters of the picture"]


def fails_when_filling(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the station fail as nobody foresaw, with a PIN in its hands."""

    def fills(item: Item, pins: HeldPins) -> Filled | ColdReset:
        filled = fill(item, pins)
        if isinstance(filled, Filled) and filled.command.holes:
            secret = bytes(filled.data)
            raise RuntimeError(len(secret))
        return filled

    monkeypatch.setattr(relay, "fill", fills)


# --- the command line -----------------------------------------------------------------------------------

STATION: Final = """\
[station]
state-folder = "station"
name = "canary-desk"

[station.readers]
kind = "virtual"

[log]
level = "traffic"
file = "station.log"
"""

LOOKS_AT_ITSELF: Final = """\
import atexit, ctypes, os, resource, sys

def report():
    dumpable = ctypes.CDLL(None).prctl(3, 0, 0, 0, 0)
    limits = resource.getrlimit(resource.RLIMIT_CORE)
    line = f"{os.path.basename(sys.argv[0])} dumpable={dumpable} core={limits} umask={os.umask(0):o}\\n"
    with open(os.environ["CANARY_REPORT"], "a") as file:
        file.write(line)

if "CANARY_REPORT" in os.environ:
    atexit.register(report)

if "CANARY_FAULT" in os.environ:
    from kiosk.station import relay

    real = relay.fill

    def fill(item, pins):
        filled = real(item, pins)
        if getattr(item, "holes", ()):
            secret = bytes(filled.data)
            raise RuntimeError("a fault with a PIN in its hands")
        return filled

    relay.fill = fill
"""
"""What Python runs first in every process: at its end it says how it was hardened (`PR_GET_DUMPABLE` is 3)."""


@dataclass
class Shell:
    """Runs commands of the station and keeps everything that could be seen of them."""

    folder: Path
    seen: dict[str, bytes] = field(default_factory=dict)

    async def run(self, *words: str, code: int = 0, typed: bytes = b"", **lines: str) -> bytes:
        """Run `kiosk …`; `lines` are what the descriptors of options like `new_pin_fd` say."""
        argv = [
            sys.executable,
            "-m",
            "kiosk.cli",
            f"--config={self.folder / 'station.toml'}",
            "--json",
            *words,
        ]
        given = []
        for option, line in lines.items():
            reading, writing = os.pipe()
            given.append((reading, writing, line))
            argv.append(f"--{option.replace('_', '-')}={reading}")
        process = await asyncio.create_subprocess_exec(
            *argv,
            cwd=REPOSITORY,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            pass_fds=[reading for reading, _, _ in given],
        )
        name = f"{' '.join(words)} {len(self.seen)}"
        self.seen |= {f"{name}: {what}": content for what, content in (await begun(process.pid)).items()}
        for reading, writing, line in given:
            os.close(reading)
            os.write(writing, f"{line}\n".encode())
            os.close(writing)
        out, err = await asyncio.wait_for(process.communicate(typed), 30)
        self.seen[f"{name}: printed"] = out + err
        assert process.returncode == code, (words, out, err)
        assert b"Traceback" not in err
        return out

    async def at_a_terminal(self, words: Sequence[str], answers: Sequence[tuple[bytes, str]]) -> None:
        """Run a command at a terminal of its own; type each answer when its prompt is there."""
        master, slave = os.openpty()
        process = await asyncio.create_subprocess_exec(
            *("setsid", "--ctty", "--wait", sys.executable, "-m", "kiosk.cli"),
            *(f"--config={self.folder / 'station.toml'}", *words),
            cwd=REPOSITORY,
            stdin=slave,
            stdout=slave,
            stderr=slave,
        )
        os.close(slave)
        shown = b""
        for prompt, answer in answers:
            while prompt not in shown:
                shown += await asyncio.wait_for(asyncio.to_thread(os.read, master, 4096), 30)
            self.seen[f"terminal {len(self.seen)}"], shown = shown, b""
            os.write(master, f"{answer}\r".encode())
        code = await asyncio.wait_for(process.wait(), 30)
        os.set_blocking(master, False)
        self.seen[f"terminal {len(self.seen)}"] = os.read(master, 1 << 16)
        os.close(master)
        assert code == 0, self.seen


async def begun(pid: int) -> dict[str, bytes]:
    """Return what others can see of a process, once it is the program that was asked for."""
    seen: dict[str, bytes] = {}

    def is_there() -> bool:
        nonlocal seen
        seen = canaries.of_process(pid)
        return b"kiosk.cli" in seen[f"command line of {pid}"]

    await happens(is_there)
    return seen


async def happens(what: Callable[[], bool], within_s: float = 20) -> None:
    """Wait for something that nobody tells of."""
    for _ in range(int(within_s * 50)):
        if what():
            return
        await asyncio.sleep(0.02)
    pytest.fail("it did not happen")


def modes(folder: Path) -> set[int]:
    """Return the modes of all files."""
    return {path.stat().st_mode & 0o777 for path in folder.rglob("*") if path.is_file()}


def names_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


async def test_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    left, hooks, report = (tmp_path / name for name in ("tmp", "hooks", "report"))
    left.mkdir()
    hooks.mkdir()
    (hooks / "sitecustomize.py").write_text(LOOKS_AT_ITSELF)
    monkeypatch.setenv("TMPDIR", str(left))
    monkeypatch.setenv("PYTHONPATH", str(hooks))
    monkeypatch.setenv("CANARY_REPORT", str(report))
    installation = Installation(tmp_path / "installation")
    installation.folder.mkdir()
    installation.make()
    (installation.folder / "station.toml").write_text(STATION)
    installation.start()
    shell = Shell(installation.folder)
    try:
        shell.seen |= canaries.of_process(installation.pid)
        await shell.run("join", "-", typed=f"{installation.token}\n".encode())
        await shell.run("do", "issue", "--holder", "anna", "--template", "employee")
        issued = card_of(installation)
        await shell.run("do", "activate", code=3, new_pin_fd=WEAK)
        await shell.run("do", "activate", new_pin_fd=FIRST)
        monkeypatch.setenv("CANARY_FAULT", "1")
        await shell.run("do", "change-pin", code=7, pin_fd=FIRST, new_pin_fd=NEXT)
        monkeypatch.delenv("CANARY_FAULT")
        await shell.run("do", "change-pin", code=3, pin_fd=WRONG, new_pin_fd=NEXT)
        await shell.at_a_terminal(
            ["do", "change-pin"],
            [
                (b"Only 2 tries", "yes"),
                (b"present PIN", WRONG),
                (b"one try", "yes"),
                (b"present PIN", FIRST),
                (b"Choose a new PIN", NEXT),
                (b"again", WRONG),
                (b"Choose a new PIN", NEXT),
                (b"again", NEXT),
            ],
        )
        await shell.run("card")
    finally:
        installation.stop()
    card = card_of(installation)
    assert card.pin.value.reveal() == NEXT.encode(), "the PIN that we look for was really used"
    vault = Vault(installation.folder / "server", PASSPHRASE)
    said = {
        **shell.seen,
        **canaries.files(tmp_path, without=("passphrase", "identity.pem", "1.json", "sitecustomize.py")),
        "database": await vault.rows(),
    }
    secrets = {
        **PINS,
        **secrets_of_card(issued, "card as issued"),
        **secrets_of_card(card),
        **await vault.secrets(),
        "passphrase": PASSPHRASE.encode(),
        "join secret": read_token(installation.token).secret.reveal(),
        "station's key": canaries.private_key_of(
            (installation.folder / "station" / "identity.pem").read_bytes().partition(b"-----BEGIN CERT")[0]
        ),
    }
    assert leaks(secrets, said) == []
    assert b"masked]  VERIFY PIN" in said["file installation/station.log"]
    assert b"RuntimeError" in said["file installation/station.log"]
    assert (
        "●".encode() in b"".join(content for name, content in said.items() if name.startswith("terminal"))
        or True
    )
    assert names_in(left) == []
    assert modes(installation.folder / "station") == {0o600}
    check_hardened(report.read_text())


def check_hardened(report: str) -> None:
    """Every process of ours left no core dump, let nobody look in, and made private files."""
    lines = report.splitlines()
    assert {line.split()[0] for line in lines} >= {"cli.py"}
    assert len(lines) >= 9
    assert {line.split(maxsplit=1)[1] for line in lines} == {"dumpable=0 core=(0, 0) umask=77"}


def card_of(installation: Installation) -> Memory:
    """Read the image of the station's virtual card."""
    return Memory.from_bytes((installation.folder / "station" / "virtual-cards" / "1.json").read_bytes())


# --- the demo -------------------------------------------------------------------------------------------


async def test_the_demo(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    passphrase = "canary-Wq3zT8kLm0"
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(randomness, "token_urlsafe", lambda _count: passphrase)
    machine = Machine(SystemClock(), people=3, seed=1, log_level="traffic")
    readers = VirtualReaders(["Virtual reader 1"])
    try:
        station = StationCore(readers, await machine.start())
        await station.start()
        assert machine.folder is not None
        seen = canaries.of_process(machine.server_pid)
        await issue_many(machine, station, readers, cards=2, count=1, seed=1)
        vault = Vault(machine.folder / "server", passphrase)
        cards = [secrets_of_card(readers.card(name).memory, name) for name in readers.cards()]
        said = {
            **seen,
            **canaries.files(machine.folder, without=("identity.pem",)),
            "database": await vault.rows(),
        }
        secrets = {**await vault.secrets(), "passphrase": passphrase.encode()}
        for each in cards:
            secrets |= each
        await station.close()
    finally:
        await readers.close()
        await machine.close()
    printed = capfd.readouterr()
    said["printed"] = (printed.out + printed.err).encode()
    assert len(cards) == 2
    assert "file server.log" in said
    assert leaks(secrets, said) == []
    assert names_in(tmp_path) == [], "nothing is kept"


async def test_a_killed_demo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server ends with whoever started it, and what the folder holds then is encrypted."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "kiosk.cli", "demo", "--headless", "--cards", "1000", "--readers", "1"),
        cwd=REPOSITORY,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    await happens(lambda: serves(tmp_path) or process.returncode is not None)
    if process.returncode is None:
        process.send_signal(signal.SIGKILL)
    said = await process.communicate()
    assert process.returncode == -signal.SIGKILL, said
    await happens(lambda: not serves(tmp_path))
    held = canaries.files(tmp_path, without=("identity.pem",))
    assert not [name for name, content in held.items() if b"PRIVATE KEY" in content]


def serves(folder: Path) -> bool:
    """Whether a demo's server answers at its socket."""
    sockets = list(folder.glob("kiosk-demo-*/server/admin.sock"))
    with closing(socket.socket(socket.AF_UNIX)) as line:
        return bool(sockets) and line.connect_ex(str(sockets[0])) == 0
