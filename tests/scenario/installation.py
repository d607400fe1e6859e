"""A server in a process of its own that can be killed and started again, and stations that joined it."""

import asyncio
import signal
import subprocess
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from pathlib import Path
from typing import Final

from kiosk.backend.client import GrpcBackend
from kiosk.backend.identity import StationIdentity
from kiosk.backend.joining import join
from kiosk.devices.virtual.reader import VirtualReaders
from kiosk.station.core import StationCore
from kiosk.station.faces import Job, Outcome, StationView
from server.rpc.admin import AdminClient
from shared.clock import SystemClock
from shared.relay import OperationKind, ServerTurn, StationTurn
from tests.peers.ports import free_ports
from tests.scenario.judging import WatchedCard
from tests.scenario.lab import Holder, Notes
from tests.scenario.templates import EMPLOYEE
from tests.serving import REPOSITORY, command, prepare

READER: Final = "Reader 1"
HOLDER: Final = "1001"
DIRECTORY: Final = '[server.directory.people]\nkind = "file"\npath = "people.csv"\n'
PEOPLE: Final = (
    "id,name,user,upn,mail,department,sid\n"
    "1001,Anna Berg,aberg,aberg@lab.test,aberg@lab.test,R&D,S-1-5-21-1-2-3-1001\n"
)
WAIT_S: Final = 15.0


class Installation:
    """A folder with everything of a server, and the process that runs on it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.process: subprocess.Popen[bytes] | None = None
        self.token = ""

    def make(
        self, more: str = "", people: str = PEOPLE, template: str = EMPLOYEE, passcode: str = ""
    ) -> None:
        """Make key store, database and certificates; `more` goes into `kiosk.toml`; `passcode` is of a first start."""
        (self.folder / "people.csv").write_text(people)
        port = free_ports(2)
        self.token = prepare(
            self.folder,
            ports=(port, port + 1),
            directory=DIRECTORY + more,
            templates=[template],
            passcode=passcode,
        )

    def start(self) -> None:
        """Start the server and wait until it serves."""
        with (self.folder / "server.err").open("ab") as complaints:
            self.process = subprocess.Popen(
                [*command(self.folder), "serve", "--stop-on-eof"],
                cwd=REPOSITORY,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=complaints,
            )
        assert self.process.stdout is not None
        ready = self.process.stdout.readline()
        assert ready, (self.folder / "server.err").read_text()

    @property
    def pid(self) -> int:
        """The server's process."""
        assert self.process is not None
        return self.process.pid

    async def ask(self, *words: str) -> bytes:
        """Call `kiosk-server` beside the running one; return everything that it printed."""
        process = await asyncio.create_subprocess_exec(
            *command(self.folder),
            *words,
            cwd=REPOSITORY,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        return (await process.communicate())[0]

    def kill(self) -> None:
        """End the server as a power cut does."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """End the server as an administrator does."""
        self._end(signal.SIGTERM)

    def _end(self, how: signal.Signals) -> None:
        if self.process is None:
            return
        self.process.send_signal(how)
        self.process.communicate(timeout=WAIT_S)
        self.process = None

    async def restart(self) -> None:
        await asyncio.to_thread(self.start)

    async def joined(self, name: str) -> StationIdentity:
        """Let one more lab station in."""
        from datetime import timedelta

        async with AdminClient(self.folder / "server" / "admin.sock") as admin:
            token = await admin.create_token(name, lab=True, valid_for=timedelta(hours=1))
        return await join(token, self.folder / name, name)


class Watching(GrpcBackend):
    """A line on which something happens at a moment of our choice."""

    _moment: "Moment | None" = None

    def watch(self, moment: "Moment") -> None:
        """Show every turn of the next operation to `moment`, the server's before the station sees it."""
        self._moment = moment

    async def operation(self, turns: AsyncIterator[StationTurn]) -> AsyncGenerator[ServerTurn, None]:
        moment, self._moment = self._moment or (lambda _turn: None), None

        async def words() -> AsyncIterator[StationTurn]:
            async for turn in turns:
                moment(turn)
                yield turn

        async for turn in super().operation(words()):
            moment(turn)
            yield turn


class Desk:
    """A station with one reader."""

    def __init__(self, identity: StationIdentity) -> None:
        self.line = Watching(identity, SystemClock())
        self.readers = VirtualReaders([READER])
        self.station = StationCore(self.readers, self.line)

    async def take(self, card: WatchedCard) -> None:
        """Put this card into the reader."""
        self.readers.add_card("card", card)
        await self.readers.insert(READER, "card")

    async def issue(self) -> Outcome:
        job = Job(operation=OperationKind.ISSUE, reader=READER, holder=HOLDER, template="employee")
        return await self.station.perform(job, Holder(), Notes())

    async def perform(self, operation: OperationKind, holder: Holder) -> Outcome:
        return await self.station.perform(Job(operation=operation, reader=READER), holder, Notes())

    async def sees(self, what: Callable[[StationView], bool]) -> StationView:
        """Wait until the station's view is as wanted."""
        async with asyncio.timeout(WAIT_S):
            async for view in self.station.views():
                if what(view):
                    return view
        raise AssertionError

    async def online(self) -> None:
        await self.sees(lambda view: view.connected)


class Moment:
    """Do something at the n-th turn of a kind, once."""

    def __init__(self, kind: type[ServerTurn | StationTurn], number: int, act: Callable[[], None]) -> None:
        self._kind, self._left, self._act = kind, number, act
        self.came = False

    def __call__(self, turn: ServerTurn | StationTurn) -> None:
        if isinstance(turn, self._kind) and not self.came:
            self._left -= 1
            if self._left == 0:
                self.came = True
                self._act()
