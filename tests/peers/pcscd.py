"""A PC/SC service of our own, with two readers for virtual cards.

The driver vpcd listens on two consecutive ports, one a reader; a card is a TCP client of its reader. Clients
find the service by the environment variable PCSCLITE_CSOCK_NAME. libpcsclite reads it once in a process, so
that `tests/conftest.py` sets it before anything else runs, to a path that `pcsc_service` makes a link at.

The readers are named like a YubiKey's: ykman recognises a key on USB by that name. Their presence is polled
every 400 ms.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.peers.namespace import run_folder, with_private_run
from tests.peers.ports import free_ports
from tests.peers.programs import alive, need, need_file, run, running, wait_until

SOCKET_VARIABLE: Final = "PCSCLITE_CSOCK_NAME"
READER_NAME: Final = "Yubico YubiKey CCID"
READER_COUNT: Final = 2
PRESENCE_POLL_S: Final = 0.4


@dataclass(frozen=True, slots=True, kw_only=True)
class PcscReader:
    """One reader: its name for clients, its port for the card, the socket of its service."""

    name: str
    port: int
    socket: Path

    def holds_card(self) -> bool:
        """Ask the service, through a program that is not ours, whether a card is in the reader."""
        environment = {**os.environ, SOCKET_VARIABLE: str(self.socket)}
        listed = run([need("opensc-tool", "opensc"), "--list-readers"], environment=environment)
        return any(line.endswith(self.name) and " Yes " in line for line in listed.splitlines())


@dataclass(frozen=True, slots=True, kw_only=True)
class PcscService:
    """A running pcscd."""

    process_id: int
    readers: tuple[PcscReader, ...]
    log: Path


@contextmanager
def pcsc_service(folder: Path, link: Path | None = None) -> Iterator[PcscService]:
    """Run pcscd in a private `/run` and lead this process and its children to it.

    With `link` it is another machine's: who is told so by the variable finds it there.
    """
    link = link or Path(os.environ[SOCKET_VARIABLE])
    port = free_ports(READER_COUNT)
    configuration = folder / "reader.conf.d"
    configuration.mkdir(parents=True)
    driver = need_file("pcsc/drivers/serial/libifdvpcd.so", "vsmartcard-vpcd")
    (configuration / "vpcd").write_text(
        f'FRIENDLYNAME "{READER_NAME}"\nDEVICENAME /dev/null:{port}\nLIBPATH {driver}\nCHANNELID {port}\n'
    )
    log = folder / "pcscd.log"
    argv = with_private_run([need("pcscd", "pcscd"), "--foreground", "--config", configuration], "pcscd")
    with running(argv, log=log) as process:
        link.unlink(missing_ok=True)
        link.symlink_to(run_folder(process.pid) / "pcscd" / "pcscd.comm")
        try:
            wait_until(lambda: alive(process, log) and link.exists(), "pcscd's socket")
            readers = tuple(
                PcscReader(name=f"{READER_NAME} 00 {number:02}", port=port + number, socket=link)
                for number in range(READER_COUNT)
            )
            yield PcscService(process_id=process.pid, readers=readers, log=log)
        finally:
            link.unlink(missing_ok=True)
