"""OpenSSH: log in to a real server with the key in slot 9A."""

from pathlib import Path
from typing import Final

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from shared.piv.ids import Slot
from tests.peers.judges.opensc import module
from tests.peers.judges.subject import Subject
from tests.peers.programs import need, run
from tests.peers.sshd import SshServer, ssh_server
from tests.peers.terminal import answer_prompt

MARK: Final = "logged-in-by-card"
PROMPT: Final = "Enter PIN for"


def judge_with_ssh(subject: Subject) -> None:
    """Find the key of 9A through OpenSC, then log in with it: a wrong PIN is refused, the right one is not.

    The wrong PIN costs one try, which the right one gives back.
    """
    key = subject.certificates[Slot.AUTHENTICATION].public_key()
    wanted = key.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    offered = run([need("ssh-keygen", "openssh-client"), "-D", module()])
    assert wanted in offered, offered
    with ssh_server(subject.folder, wanted) as server:
        status, screen = _log_in(server, "0" * len(subject.pin))
        assert status != 0, screen
        assert MARK not in screen, screen
        status, screen = _log_in(server, subject.pin)
        assert status == 0, screen
        assert MARK in screen, screen


def _log_in(server: SshServer, pin: str) -> tuple[int, str]:
    """Run one command on the server."""
    ssh: list[str | Path] = [
        need("ssh", "openssh-client"),
        "-F",
        "none",
        "-I",
        module(),
        "-p",
        str(server.port),
    ]
    options = [f"UserKnownHostsFile={server.known_hosts}", "PreferredAuthentications=publickey"]
    options += ["IdentityAgent=none", "IdentityFile=none", "StrictHostKeyChecking=yes"]
    flags = [word for option in options for word in ("-o", option)]
    argv = [*ssh, *flags, f"{server.user}@127.0.0.1", "echo", MARK]
    return answer_prompt(argv, prompt=PROMPT, answer=pin)
