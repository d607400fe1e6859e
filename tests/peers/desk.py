"""A whole desk with nothing in it replaced: a server process, a directory over LDAPS, readers by PC/SC."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography import x509

from kiosk.backend.client import GrpcBackend
from kiosk.backend.joining import join
from kiosk.devices.pcsc import PcscReaders
from kiosk.station.core import StationCore
from shared.clock import SystemClock
from tests.peers.ports import free_ports
from tests.peers.samba import Samba
from tests.peers.slapd import Slapd
from tests.serving import STATION, prepare, serving, write_secret

DIRECTORY: Final = """\
[server.directory.people]
kind = "ldap"
host = "{host}"
port = {port}
base = "{base}"
bind-dn = "{bind_dn}"
password = "file:directory-password"
ca-file = "{ca_file}"
{how}
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """A joined station with its core running; `root` and `issuing` are the server's certificates for holders."""

    station: StationCore
    folder: Path
    root: x509.Certificate
    issuing: x509.Certificate


@asynccontextmanager
async def desk(
    folder: Path, directory: Slapd | Samba, templates: Sequence[str], *, settings: str = ""
) -> AsyncIterator[Desk]:
    """Make a server in `folder`, join a station to it, and run both; `settings` are more tables of `kiosk.toml`."""
    write_secret(folder / "directory-password", directory.password.reveal().decode())
    found = directory.settings()
    how = 'schema = "active-directory"' if isinstance(directory, Samba) else 'attributes = { upn = "mail" }'
    table = DIRECTORY.format(
        host=found.host,
        port=found.port,
        base=found.base,
        bind_dn=found.bind_dn,
        ca_file=found.ca_file,
        how=how,
    )
    table += settings
    token = prepare(folder, ports=(free_ports(), free_ports()), directory=table, templates=templates)
    with serving(folder):
        backend = GrpcBackend(await join(token, folder / "station", STATION), SystemClock())
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
