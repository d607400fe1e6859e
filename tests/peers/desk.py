"""A whole desk with nothing in it replaced: a server process, a directory over LDAPS, readers by PC/SC."""

import json
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from cryptography import x509

from kiosk.backend.client import GrpcBackend
from kiosk.backend.joining import join
from kiosk.devices.pcsc import PcscReaders
from kiosk.station.core import StationCore
from shared.clock import SystemClock
from tests.peers.ports import free_ports
from tests.peers.programs import PROGRAM_TIMEOUT_S, REPOSITORY, STOP_TIMEOUT_S
from tests.peers.slapd import PASSWORD, Slapd

STATION: Final = "peer-desk"

SETTINGS: Final = """\
[server]
organisation = "Peers"
names = ["localhost"]
data-folder = "server"
listen = "127.0.0.1:{listen}"
join-listen = "127.0.0.1:{joining}"
allow-lab = true

[server.key-store]
passphrase = "file:passphrase"

[server.directory.people]
kind = "ldap"
host = "{host}"
port = {port}
base = "{base}"
bind-dn = "{bind_dn}"
password = "file:directory-password"
ca-file = "{ca_file}"
attributes = {{ upn = "mail" }}

[log]
level = "traffic"
file = "server.log"
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """A joined station with its core running; `root` and `issuing` are the server's certificates for holders."""

    station: StationCore
    folder: Path
    root: x509.Certificate
    issuing: x509.Certificate


@asynccontextmanager
async def desk(folder: Path, directory: Slapd, templates: Sequence[str]) -> AsyncIterator[Desk]:
    """Make a server in `folder`, join a station to it, and run both."""
    made = _init(folder, directory, templates)
    with _serving(folder):
        backend = GrpcBackend(await join(made["token"], folder / "station", STATION), SystemClock())
        readers = PcscReaders()
        try:
            async with StationCore(readers, backend, SystemClock()) as station:
                certificates = folder / "server" / "certificates"
                root, issuing = (
                    x509.load_der_x509_certificate((certificates / f"{name}.der").read_bytes())
                    for name in ("root", "issuing")
                )
                yield Desk(station=station, folder=folder, root=root, issuing=issuing)
        finally:
            await readers.close()
            await backend.close()


def _init(folder: Path, directory: Slapd, templates: Sequence[str]) -> dict[str, Any]:
    """Write settings, secrets and templates, and run `kiosk-server init`."""
    for name, secret in (("passphrase", "correct horse battery"), ("directory-password", PASSWORD)):
        path = folder / name
        path.write_text(secret)
        path.chmod(0o600)
    settings = directory.settings()
    (folder / "kiosk.toml").write_text(
        SETTINGS.format(
            listen=free_ports(),
            joining=free_ports(),
            host=settings.host,
            port=settings.port,
            base=settings.base,
            bind_dn=settings.bind_dn,
            ca_file=settings.ca_file,
        )
    )
    files = []
    for number, text in enumerate(templates):
        path = folder / f"template-{number}.toml"
        path.write_text(text)
        files.append(f"--template={path}")
    argv = [*_server(folder), "init", *files, "--station", STATION, "--lab"]
    done = subprocess.run(
        argv, cwd=REPOSITORY, check=False, capture_output=True, text=True, timeout=PROGRAM_TIMEOUT_S
    )
    assert done.returncode == 0, done.stderr
    made: dict[str, Any] = json.loads(done.stdout)
    return made


@contextmanager
def _serving(folder: Path) -> Iterator[None]:
    """Run `kiosk-server serve` until the block ends."""
    with (folder / "server.err").open("wb") as complaints:
        process = subprocess.Popen(
            [*_server(folder), "serve", "--stop-on-eof"],
            cwd=REPOSITORY,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=complaints,
        )
    with process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            ready = process.stdout.readline()
            assert ready, (folder / "server.err").read_text()
            yield
        finally:
            process.stdin.close()
            try:
                process.wait(STOP_TIMEOUT_S)
            except subprocess.TimeoutExpired:
                process.kill()


def _server(folder: Path) -> list[str]:
    return [sys.executable, "-m", "server.cli", f"--config={folder / 'kiosk.toml'}", "--json"]
