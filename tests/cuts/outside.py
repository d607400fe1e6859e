"""A server in a process of its own, with its real database, over gRPC: killed at every commit."""

import asyncio
import multiprocessing
import random
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Final, Self

from sqlalchemy import select

from kiosk.backend.client import GrpcBackend
from kiosk.backend.identity import StationIdentity
from server.connectors.keystore.envelope import Cost
from server.connectors.keystore.software import SoftwareKeyStore
from server.ports.store import LedgerEntry
from server.rpc.admin import AdminClient
from server.store.cards import CardTables
from server.store.database import connect
from server.store.schema import card, ledger
from server.store.statements import Prepared, Row
from server.store.writer import Writer
from server.wiring import DATABASE_KEY
from shared.clock import SystemClock
from shared.credential.model import RecordId
from shared.piv.ids import ProfileName
from shared.relay import OperationKind
from shared.secret import Secret
from tests.cuts import victim
from tests.cuts.cut import COMMITS, Counts, Cut
from tests.cuts.world import DESKS, Books, Line, World
from tests.scenario.installation import HOLDER, Installation
from tests.serving import PASSPHRASE

CHEAP: Final = Cost(memory_kib=8, passes=1, lanes=1)
"""A server that dies hundreds of times does not take a third of a second for its passphrase each time."""
PATIENCE_S: Final = 30.0
DEATH_S: Final = 5.0
"""How long a process that was killed may take to be gone."""

_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload(["tests.cuts.victim"])


class Outside(World):
    """Two stations that joined a server, which dies and is started again on the same folder."""

    kinds = COMMITS
    subject = HOLDER

    def __init__(self, folder: Path) -> None:
        """Keep everything in `folder`."""
        super().__init__()
        self._installation = Installation(folder)
        self._stations: list[StationIdentity] = []
        self._process: BaseProcess | None = None
        self._control: Connection | None = None
        self._keys: SoftwareKeyStore | None = None
        self._earlier: set[int] = set()
        self.starts = 0

    @classmethod
    async def start(cls, folder: Path) -> Self:
        """Make an installation, and let two stations join."""
        made = cls(folder)
        await asyncio.to_thread(made._installation.make)
        await made._keystore().change_passphrase(Secret.from_text(PASSPHRASE), cost=CHEAP)
        await made._serve()
        for name in DESKS:
            made._stations.append(await made._installation.joined(name.replace(" ", "-").lower()))
        return made

    async def new_card(self, profile: ProfileName, chance: random.Random) -> None:
        """Begin with a card from the factory; what was signed for others is of no interest."""
        await super().new_card(profile, chance)
        self._earlier = set()
        self._earlier = {entry.serial for entry in (await self.books()).ledger}

    @asynccontextmanager
    async def line(self, desk: int, cut: Cut | None) -> AsyncIterator["_Line"]:
        """Call the server, which dies at `cut`."""
        await self._serve()
        self._arm(cut)
        backend = GrpcBackend(self._stations[desk], SystemClock())
        line = _Line(backend)
        try:
            yield line
        finally:
            await backend.close()
        commits = self._arm(None)
        line.cut = commits is None
        line.commits = commits or 0

    async def renew_master_key(self) -> None:
        """Ask the server, as an administrator does."""
        await self._serve()
        async with AdminClient(self._installation.folder / "server" / "admin.sock") as admin:
            await admin.new_key_generation("cuts")
        self._keys = None  # the file has another content now

    async def decide(self, record_id: RecordId, kind: OperationKind, reason: str) -> None:
        """Ask the server, as a desk does."""
        await self._serve()
        backend = GrpcBackend(self._stations[1], SystemClock())
        try:
            await backend.decide(record_id, kind, reason)
        finally:
            await backend.close()

    async def follow(self) -> None:
        """Have the server do it that runs now; its jobs do not run by themselves here."""
        await self._serve()
        assert self._control is not None
        self._control.send(victim.FOLLOW)
        assert await asyncio.to_thread(self._hear) == victim.FOLLOW

    async def books(self) -> Books:
        """Open the database beside the server, with the keys of its key store."""
        await self._serve()
        path = self._installation.folder / "server" / "store.db"
        writer = Writer(connect(path, await self._keystore().derive(DATABASE_KEY)))
        try:
            cards = CardTables(writer, SystemClock())
            ids = await writer.read(_CARDS.rows)
            records = [await cards.card(record_id) for (record_id,) in ids]
            rows = await writer.read(_LEDGER.rows)
        finally:
            await writer.close()
        ledger = [_entry(row) for row in rows]
        return Books(
            records=[record for record in records if record is not None],
            ledger=[entry for entry in ledger if entry.serial not in self._earlier],
            keystore=self._keystore(),
        )

    async def close(self) -> None:
        """End everything."""
        await super().close()
        if self._control is not None and self._process is not None:
            self._control.close()
            await asyncio.to_thread(self._process.join, PATIENCE_S)
            if self._process.is_alive():
                self._process.kill()
                self._process.join()
            self._process.close()

    def _keystore(self) -> SoftwareKeyStore:
        if self._keys is None:
            path = self._installation.folder / "server" / "keys"
            self._keys = SoftwareKeyStore.open(path, Secret.from_text(PASSPHRASE), clock=SystemClock())
        return self._keys

    async def _serve(self) -> None:
        """Start the server, unless it runs."""
        if self._process is not None:
            if self._process.is_alive():
                return
            self._process.close()
        if self._control is not None:
            self._control.close()
        self._control, theirs = _processes.Pipe()
        config = self._installation.folder / "kiosk.toml"
        self._process = _processes.Process(target=victim.serve, args=(config, theirs))
        self._process.start()
        theirs.close()
        self.starts += 1
        assert await asyncio.to_thread(self._hear) == victim.READY

    def _arm(self, cut: Cut | None) -> int | None:
        """Tell the server at which commit from now to die.

        Returns:
            How many there were since it was told last; None where it died of one.
        """
        assert self._control is not None
        assert self._process is not None
        try:
            self._control.send(cut)
            return int(str(self._hear()))
        except (EOFError, ConnectionError):
            self._process.join(DEATH_S)
            assert self._process.exitcode == -signal.SIGKILL, self._process.exitcode
            return None

    def _hear(self) -> object:
        assert self._control is not None
        assert self._control.poll(PATIENCE_S), "the server says nothing"
        heard: object = self._control.recv()
        return heard


_CARDS: Final = Prepared(select(card.c.record_id))
_LEDGER: Final = Prepared(
    select(
        ledger.c.serial,
        ledger.c.request_id,
        ledger.c.public_key,
        ledger.c.certificate,
        ledger.c.not_after,
        ledger.c.revoked_at,
        ledger.c.reason,
    )
)


def _entry(row: Row) -> LedgerEntry:
    serial, request_id, public_key, certificate, not_after, revoked_at, reason = row
    return LedgerEntry(
        serial=int.from_bytes(serial, "big"),
        request_id=request_id,
        public_key=public_key,
        certificate=certificate,
        not_after=not_after,
        revoked_at=revoked_at,
        reason=reason,
    )


class _Line(Line):
    def __init__(self, backend: GrpcBackend) -> None:
        self.backend = backend
        self.commits = 0

    def counts(self, commands: int) -> Counts:
        return Counts(commands=commands, commits=self.commits)
