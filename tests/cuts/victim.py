"""A server that kills itself at a commit: the product's parts, put together by its own wiring, over a wrapped database.

It runs in a process forked from one that has everything loaded, so that a restart takes no longer than opening the
files. Over a pipe it is told at which commit to die, and asked how many there were.
"""

import asyncio
import os
import signal
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Final

from server import wiring
from server.connectors.keystore.software import SoftwareKeyStore
from server.identity import load_identity
from server.operations.succession import Succession
from server.settings import read_settings
from server.store.database import Database, connect
from server.store.writer import Writer
from shared import logs
from shared.clock import SystemClock
from tests.cuts.cut import Cut, CutKind

READY: Final = "ready"
FOLLOW: Final = "follow"
"""Asks for what the job does that is called `succession`, and says that it is done."""


class Fuse:
    """Count commits; at the one that was named, kill this process."""

    def __init__(self) -> None:
        """Burn nothing yet."""
        self.commits = 0
        self.cut: Cut | None = None

    def arm(self, cut: Cut | None) -> None:
        """Count from here."""
        self.commits, self.cut = 0, cut

    def about_to_commit(self) -> None:
        """Come to a commit."""
        self.commits += 1
        self._burn(CutKind.BEFORE_COMMIT)

    def committed(self) -> None:
        """Have a commit on the disk."""
        self._burn(CutKind.AFTER_COMMIT)

    def _burn(self, kind: CutKind) -> None:
        if self.cut == Cut(kind=kind, at=self.commits):
            os.kill(os.getpid(), signal.SIGKILL)


class FusedCursor:
    """A cursor whose COMMIT may be the last thing that happens, or the first that doesn't."""

    def __init__(self, cursor: Any, fuse: Fuse) -> None:
        """Wrap `cursor`."""
        self._cursor = cursor
        self._fuse = fuse

    @property
    def rowcount(self) -> int:
        """How many rows the last statement changed."""
        return int(self._cursor.rowcount)

    def execute(self, sql: str, values: Sequence[object] = (), /) -> object:
        """Run one statement."""
        if sql != "COMMIT":
            return self._cursor.execute(sql, values)
        self._fuse.about_to_commit()
        result = self._cursor.execute(sql)
        self._fuse.committed()
        return result

    def __getattr__(self, name: str) -> Any:
        """Do everything else as the cursor does it."""
        return getattr(self._cursor, name)


class FusedConnection:
    """A driver's connection with such cursors."""

    def __init__(self, connection: Any, fuse: Fuse) -> None:
        """Wrap `connection`."""
        self._connection = connection
        self._fuse = fuse

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction is open."""
        return bool(self._connection.in_transaction)

    def cursor(self) -> FusedCursor:
        """Open a cursor."""
        return FusedCursor(self._connection.cursor(), self._fuse)

    def close(self) -> None:
        """Close it."""
        self._connection.close()


async def open_parts(config: Path, fuse: Fuse) -> wiring.Parts:
    """Open what `kiosk-server init` made, as `server.wiring.open_parts` does."""
    settings = read_settings(config)
    logs.set_up(settings.log)
    assert settings.server.key_store.passphrase is not None
    clock = SystemClock()
    keystore = SoftwareKeyStore.open(
        settings.server.key_store_file, settings.server.key_store.passphrase, clock=clock
    )
    connection = connect(settings.server.store_file, await keystore.derive(wiring.DATABASE_KEY))
    store = Database(Writer(FusedConnection(connection, fuse)), clock)
    identity = await load_identity(settings.server.data_folder, keystore)
    return wiring._assemble(settings.server, keystore, store, identity, clock)


def serve(config: Path, control: Connection) -> None:
    """Serve until the pipe is closed, or until the fuse burns."""
    asyncio.run(_serve(config, control))


async def _serve(config: Path, control: Connection) -> None:
    fuse = Fuse()
    parts = await open_parts(config, fuse)
    server = wiring.Server(parts, work=False)  # commits are counted
    await server.start()
    stopping = asyncio.Event()
    following: set[asyncio.Task[None]] = set()

    async def follow() -> None:
        await Succession(parts.services).follow_all()
        control.send(FOLLOW)

    def told() -> None:
        try:
            fuse_at: Cut | str | None = control.recv()
        except EOFError:
            stopping.set()
            asyncio.get_running_loop().remove_reader(control.fileno())
            return
        if isinstance(fuse_at, str):
            following.add(asyncio.create_task(follow()))
            return
        control.send(fuse.commits)
        fuse.arm(fuse_at)

    asyncio.get_running_loop().add_reader(control.fileno(), told)
    control.send(READY)
    await stopping.wait()
    await server.stop()
