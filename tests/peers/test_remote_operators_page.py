"""What docs/how-to/remote-operators.md tells an administrator to write down is tried as it stands there."""

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from tests.peers.namespace import with_private_run
from tests.peers.programs import REPOSITORY, STOP_TIMEOUT_S, need, run, wait_until
from tests.peers.ssh_agent import RealAgent, real_agent
from tests.peers.sshd import SshServer, ssh_server

PAGE: Final = (REPOSITORY / "docs" / "how-to" / "remote-operators.md").read_text()


def block(kind: str, begins: str = "") -> str:
    """Return a block of the page."""
    found = re.findall(rf"^```{kind}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    (only,) = [text for text in found if text.startswith(begins)]
    assert isinstance(only, str)
    return only


@pytest.mark.needs_sshd
def test_sshd_takes_the_snippet(tmp_path: Path) -> None:
    run([need("ssh-keygen", "openssh-client"), "-q", "-t", "ed25519", "-N", "", "-f", tmp_path / "host"])
    file = tmp_path / "sshd_config"
    snippet = block("sshd").replace("Match Group kiosk-operators", "Match User anna")
    file.write_text(f"HostKey {tmp_path / 'host'}\n{snippet}")
    sshd: list[str | Path] = [need("sshd", "openssh-server"), "-T", "-f", file]
    anna = ["-C", "user=anna,host=localhost,addr=127.0.0.1"]
    said = run(with_private_run([*sshd, *anna], "sshd")).splitlines()
    wanted = {"authenticationmethods publickey", "allowagentforwarding yes", "allowtcpforwarding no"}
    assert wanted | {"permituserrc no", "permituserenvironment no", "clientaliveinterval 15"} <= set(said)


@pytest.mark.needs_sshd
@pytest.mark.needs_tmux
def test_the_desk_outlives_the_line_and_finds_the_next_agent(short_folder: Path, tmp_path: Path) -> None:
    options = (
        block("keys")
        .split(" ecdsa-")[0]
        .replace("/usr/local/bin/kiosk-from-afar", f"{_script(short_folder)}")
    )
    key = short_folder / "key"
    run([need("ssh-keygen", "openssh-client"), "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", key])
    seen = short_folder / "seen"
    with real_agent(short_folder) as agent, _tmux(short_folder):
        agent.add(key)
        with ssh_server(tmp_path, key.with_suffix(".pub").read_text().strip(), options=options) as server:
            for _ in range(2):
                with _logged_in(server, agent):
                    wait_until(lambda: _holds(seen, "ED25519"), "the desk reaches the agent")
                wait_until(lambda: not _holds(seen, "ED25519"), "the agent is gone with the line")
        started = (short_folder / "started").read_text()
        assert started == "--config /etc/issuance-kiosk/operators/anna.toml desk\n"


def _script(folder: Path) -> Path:
    """Write the page's script and settings, with places of the test's own, and a desk that only looks for an agent."""
    desk = folder / "kiosk"
    desk.write_text(
        f'#!/bin/sh\necho "$@" >> {folder}/started\n'
        f"while [ ! -e {folder}/end ]; do ssh-add -l > {folder}/new 2>&1; mv {folder}/new {folder}/seen; sleep .1; done\n"
    )
    (folder / "tmux.conf").write_text(block("tmux"))
    text = block("sh", "#!/bin/sh")
    for place, instead in {
        "$HOME": str(folder),
        "-L kiosk": f"-S {folder}/tmux",
        "/etc/issuance-kiosk/tmux.conf": f"{folder}/tmux.conf",
        "/opt/issuance-kiosk/bin/kiosk": str(desk),
    }.items():
        assert place in text
        text = text.replace(place, instead)
    script = folder / "kiosk-from-afar"
    script.write_text(text)
    for program in (desk, script):
        program.chmod(0o700)
    return script


def _holds(file: Path, word: str) -> bool:
    return file.exists() and word in file.read_text()


@contextmanager
def _tmux(folder: Path) -> Iterator[None]:
    """End what runs in tmux; before that, make sure that no key of tmux does anything."""
    try:
        yield
        assert run([need("tmux", "tmux"), "-S", folder / "tmux", "list-keys"]) == ""
    finally:
        (folder / "end").touch()
        wait_until(lambda: _ended(folder), "the desk ends")


def _ended(folder: Path) -> bool:
    said = run([need("tmux", "tmux"), "-S", folder / "tmux", "list-sessions"], accept=(0, 1))
    return "desk" not in said


@contextmanager
def _logged_in(server: SshServer, agent: RealAgent) -> Iterator[None]:
    """Log in with a terminal; at the end the line drops."""
    options = [f"UserKnownHostsFile={server.known_hosts}", "StrictHostKeyChecking=yes", "BatchMode=yes"]
    options += [f"IdentityAgent={agent.socket}", f"ForwardAgent={agent.socket}", "IdentityFile=none"]
    flags = [word for option in options for word in ("-o", option)]
    ssh = [need("ssh", "openssh-client"), "-F", "none", "-tt", "-p", str(server.port), *flags]
    process = subprocess.Popen(
        [*ssh, f"{server.user}@127.0.0.1"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=sys.stderr,
        env={**agent.environment, "TERM": "xterm"},
    )
    try:
        yield
    finally:
        process.kill()
        process.wait(STOP_TIMEOUT_S)
        assert process.stdin is not None
        process.stdin.close()
