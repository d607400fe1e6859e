"""An OpenSSH server that lets one public key in."""

import getpass
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.peers.namespace import with_private_run
from tests.peers.ports import accepts, free_ports
from tests.peers.programs import alive, need, run, running, wait_until


@dataclass(frozen=True, slots=True, kw_only=True)
class SshServer:
    """A running sshd on loopback; `user` is who may log in, `known_hosts` holds the server's key."""

    port: int
    user: str
    known_hosts: Path


@contextmanager
def ssh_server(folder: Path, public_key: str, *, options: str = "") -> Iterator[SshServer]:
    """Run sshd; only `public_key` (one line, as ssh-keygen prints it) opens it, never a password.

    `options` stands before the key in authorized_keys: a forced command, for example.
    """
    port, host_key = free_ports(), folder / "host_key"
    run([need("ssh-keygen", "openssh-client"), "-q", "-t", "ed25519", "-N", "", "-f", host_key])
    (folder / "authorized_keys").write_text(f"{options} {public_key}\n".lstrip())
    host = host_key.with_suffix(".pub").read_text().split()
    (folder / "known_hosts").write_text(f"[127.0.0.1]:{port} {host[0]} {host[1]}\n")
    (folder / "sshd_config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {host_key}\nPidFile none\n"
        f"AuthorizedKeysFile {folder / 'authorized_keys'}\nStrictModes no\nUsePAM no\n"
        "PasswordAuthentication no\nKbdInteractiveAuthentication no\nPermitRootLogin yes\n"
    )
    log = folder / "sshd.log"
    argv: list[str | Path] = [need("sshd", "openssh-server"), "-D", "-e", "-f", folder / "sshd_config"]
    with running(with_private_run(argv, "sshd"), log=log) as process:
        wait_until(lambda: alive(process, log) and accepts(port), "sshd")
        yield SshServer(port=port, user=getpass.getuser(), known_hosts=folder / "known_hosts")
