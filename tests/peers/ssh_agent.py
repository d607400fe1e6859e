"""A real ssh-agent, with or without a card behind it."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.peers.programs import alive, need, run, running, wait_until


@dataclass(frozen=True, slots=True, kw_only=True)
class RealAgent:
    """A running ssh-agent; nobody is there to be asked until `answer` says what is answered."""

    socket: Path
    folder: Path

    @property
    def environment(self) -> dict[str, str]:
        """What leads OpenSSH's programs to this agent, and their questions to a program that answers them."""
        asked = {"SSH_ASKPASS": str(self.folder / "askpass"), "SSH_ASKPASS_REQUIRE": "force"}
        return {**os.environ, "SSH_AUTH_SOCK": str(self.socket), **asked}

    def add(self, *words: str | Path) -> str:
        """Run `ssh-add`."""
        return run([need("ssh-add", "openssh-client"), *words], environment=self.environment)

    def answer(self, answer: str, *, status: int = 0) -> None:
        """Let whoever is asked say `answer`; with another `status`, refuse."""
        _write_answer(self.folder, answer, status)


@contextmanager
def real_agent(folder: Path) -> Iterator[RealAgent]:
    """Run an ssh-agent without keys; `folder` has a short path."""
    agent = RealAgent(socket=folder / "agent", folder=folder)
    agent.answer("", status=1)
    asked = [f"{name}={agent.environment[name]}" for name in ("SSH_ASKPASS", "SSH_ASKPASS_REQUIRE")]
    program: list[str | Path] = [need("ssh-agent", "openssh-client"), "-D", "-a", agent.socket]
    argv = [need("env", "coreutils"), *asked, *program]
    log = folder / "agent.log"
    with running(argv, log=log) as process:
        wait_until(lambda: alive(process, log) and agent.socket.exists(), "ssh-agent")
        yield agent


def _write_answer(folder: Path, answer: str, status: int) -> None:
    (folder / "answer").write_text(f"{answer}\n")
    program = folder / "askpass"
    program.write_text(f'#!/bin/sh\ncat "{folder / "answer"}"\nexit {status}\n')
    program.chmod(0o700)
