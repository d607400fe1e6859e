"""The demo's server: a private folder and a child process that ends with us.

The server has no code for demos: it gets a `kiosk.toml`, people in a file, templates and a join token like any other,
and its passphrase, and the passcode of the first start, through pipes.
"""

import asyncio
import json
import os
import secrets
import shutil
import socket
import sys
import tempfile
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Final

from kiosk.backend.client import GrpcBackend
from kiosk.backend.identity import StationIdentity
from kiosk.backend.joining import join
from kiosk.demo.people import sample_guests, sample_people, write_guests, write_people
from kiosk.demo.templates import TEMPLATES
from shared import errors
from shared.clock import Clock
from shared.secret import Secret
from shared.station_profile import Face

STATION: Final = "demo-desk"
GUESTS: Final = 12
START_TIMEOUT_S: Final = 30.0
STOP_TIMEOUT_S: Final = 10.0
PORT_TRIES: Final = 3
LOOPBACK: Final = "127.0.0.1"

CONFIG: Final = """\
[server]
organisation = "Example"
names = ["localhost"]
data-folder = "{folder}/server"
listen = "127.0.0.1:{listen}"
join-listen = "127.0.0.1:{join_listen}"
allow-lab = true

[server.directory.people]
kind = "file"
path = "{folder}/people.csv"

[server.directory.guests]
kind = "file"
path = "{folder}/guests.ldif"

[log]
level = "{level}"
file = "{folder}/server.log"
"""


class Machine:
    """A server of our own, from an empty folder to a joined station."""

    def __init__(
        self,
        clock: Clock,
        *,
        people: int,
        seed: int,
        log_level: str = "info",
        passcode: Secret | None = None,
    ) -> None:
        """Nothing is started yet. With a `passcode` the server waits for a first start; else its lab station does without."""
        self._clock = clock
        self._passcode = passcode
        self._people = sample_people(people, seed)
        self._seed = seed
        self._log_level = log_level
        self._server: asyncio.subprocess.Process | None = None
        self.folder: Path | None = None
        self.backend: GrpcBackend | None = None
        self.identity: StationIdentity | None = None

    @property
    def people(self) -> list[dict[str, str]]:
        """The people in the directory."""
        return self._people

    @property
    def server_pid(self) -> int:
        """The server's process id, for those who measure it."""
        assert self._server is not None
        return self._server.pid

    async def start(self) -> GrpcBackend:
        """Make everything, start the server, join it; return the line to it.

        Raises:
            ServerUnreachable: the server did not start; `reason` is its own last line.
        """
        self.folder = Path(tempfile.mkdtemp(prefix="kiosk-demo-"))
        write_people(self.folder / "people.csv", self._people)
        write_guests(self.folder / "guests.ldif", sample_guests(GUESTS, self._seed))
        for name, text in TEMPLATES.items():
            (self.folder / name).write_text(text, encoding="utf-8")
        passphrase = Secret.from_text(secrets.token_urlsafe(24))
        for _ in range(PORT_TRIES):
            token = await self._make(passphrase)
            if await self._serve(passphrase):
                break
            shutil.rmtree(self.folder / "server")
        else:
            raise errors.ServerUnreachable(server="demo", reason="others take every port that it chooses")
        self.identity = await join(token, self.folder / "station", STATION)
        self.backend = GrpcBackend(self.identity, self._clock, face=Face.DESK)
        return self.backend

    async def _make(self, passphrase: Secret) -> str:
        """Have the server make its folder, for ports that are free now; return a join token."""
        assert self.folder is not None
        listen, join_listen = _free_ports()
        (self.folder / "kiosk.toml").write_text(
            CONFIG.format(folder=self.folder, listen=listen, join_listen=join_listen, level=self._log_level),
            encoding="utf-8",
        )
        templates = [f"--template={self.folder / name}" for name in TEMPLATES]
        made = await self._run(
            {"passphrase": passphrase, **self._given}, "init", *templates, "--station", STATION, "--lab"
        )
        return str(made["token"])

    @property
    def _given(self) -> dict[str, Secret]:
        return {} if self._passcode is None else {"passcode": self._passcode}

    async def _run(self, given: Mapping[str, Secret], *words: str) -> dict[str, object]:
        """Run one command of the server to its end and return its result."""
        process = await self._spawn(given, *words)
        assert process.stdin is not None
        process.stdin.close()
        out, err = await process.communicate()
        if process.returncode:
            raise errors.ServerUnreachable(server="demo", reason=_last_line(err))
        result: dict[str, object] = json.loads(out)
        return result

    async def _serve(self, passphrase: Secret) -> bool:
        """Start the server; it stops when our end of its standard input is closed, however we end.

        Return whether it serves; it does not where somebody else began to listen there since we looked. Its standard
        error is a file: a pipe that nobody reads would hold it up once it is full.

        Raises:
            ServerUnreachable: it did not start for another reason.
        """
        assert self.folder is not None
        complaints = self.folder / "server.err"
        with complaints.open("wb") as file:
            self._server = await self._spawn(
                {"passphrase": passphrase}, "serve", "--stop-on-eof", complaints=file
            )
        assert self._server.stdout is not None
        try:
            line = await asyncio.wait_for(self._server.stdout.readline(), START_TIMEOUT_S)
        except TimeoutError as cause:
            raise errors.ServerUnreachable(server="demo", reason="it did not start in time") from cause
        said = json.loads(line or "{}")
        if said.get("ready"):
            return True
        await self._server.wait()
        if str(said.get("facts", {}).get("key", "")).startswith(LOOPBACK):
            return False
        raise errors.ServerUnreachable(server="demo", reason=_last_line(complaints.read_bytes()))

    async def _spawn(
        self, given: Mapping[str, Secret], *words: str, complaints: IO[bytes] | int = asyncio.subprocess.PIPE
    ) -> asyncio.subprocess.Process:
        """Start a command of the server; what is `given` goes through a pipe each, named by an option."""
        with ExitStack() as open_ends:
            ends = {name: _pipe(secret, open_ends) for name, secret in given.items()}
            return await asyncio.create_subprocess_exec(
                sys.executable, "-m", "server.cli", f"--config={self.folder}/kiosk.toml", "--json",
                *words, *(f"--{name}-fd={end}" for name, end in ends.items()),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=complaints,
                pass_fds=tuple(ends.values()),
                start_new_session=True,
            )  # fmt: skip

    async def close(self) -> None:
        """End the server and remove the folder."""
        if self.backend is not None:
            await self.backend.close()
        if self._server is not None and self._server.returncode is None:
            assert self._server.stdin is not None
            self._server.stdin.close()
            try:
                await asyncio.wait_for(self._server.communicate(), STOP_TIMEOUT_S)
            except TimeoutError:
                self._server.kill()
                await self._server.wait()
        if self.folder is not None:
            shutil.rmtree(self.folder, ignore_errors=True)


def _pipe(secret: Secret, until: ExitStack) -> int:
    """Return the end of a pipe to read a secret from, which is closed `until` then."""
    reading, writing = os.pipe()
    until.callback(os.close, reading)
    try:
        os.write(writing, secret.reveal())
    finally:
        os.close(writing)
    return reading


def _free_ports() -> tuple[int, int]:
    """Return two ports of the loopback that are free now."""
    with socket.socket() as first, socket.socket() as second:
        first.bind((LOOPBACK, 0))
        second.bind((LOOPBACK, 0))
        return first.getsockname()[1], second.getsockname()[1]


def _last_line(text: bytes) -> str:
    lines = text.decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else "no reason given"
