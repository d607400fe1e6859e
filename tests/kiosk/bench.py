"""The command line as a program, on a machine that has joined a real server."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TEMPLATE = "employee-badge"
READER = "Virtual reader 1"

STATION = """\
[station]
state-folder = "{folder}/station"
name = "Test desk"

[station.readers]
kind = "virtual"
virtual-count = {count}

[log]
level = "traffic"
file = "{folder}/station.log"
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    folder: Path
    config: Path
    holder: str
    name: str

    def run(self, *words: str, pins: tuple[str, ...] = (), config: Path | None = None) -> "Ran":
        """Run a command; each PIN comes through a pipe of its own, whose number replaces `{}` in the words."""
        pipes = [os.pipe() for _ in pins]
        for (_, writing), pin in zip(pipes, pins, strict=True):
            os.write(writing, f"{pin}\n".encode())
            os.close(writing)
        numbers = iter(reading for reading, _ in pipes)
        argv = [word.replace("{}", str(next(numbers))) if "{}" in word else word for word in words]
        try:
            done = subprocess.run(
                [sys.executable, "-m", "kiosk.cli", "--config", str(config or self.config), *argv],
                check=False,
                capture_output=True,
                text=True,
                timeout=60,
                pass_fds=[reading for reading, _ in pipes],
                start_new_session=True,
            )
        finally:
            for reading, _ in pipes:
                os.close(reading)
        return Ran(code=done.returncode, out=done.stdout, err=done.stderr)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ran:
    code: int
    out: str
    err: str

    @property
    def document(self) -> dict[str, Any]:
        """The one line of standard output."""
        (line,) = self.out.splitlines()
        document: dict[str, Any] = json.loads(line)
        return document
