"""A station is blocked in the middle of an operation: cut there, and its card is healed at another one.

A real server process over real gRPC with mutual TLS.
"""

import json
from collections.abc import AsyncGenerator, AsyncIterator, Iterator

import pytest

from kiosk.backend.identity import StationIdentity
from kiosk.devices.virtual.reader import VirtualReaders
from kiosk.station.core import StationCore
from server.rpc.admin import AdminClient
from shared.clock import SystemClock
from shared.relay import Exchange, ServerTurn, StationTurn
from tests.scenario.installation import READER, Desk, Installation, Watching
from tests.scenario.judging import WatchedCard


@pytest.fixture
def installation(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    installation = Installation(tmp_path_factory.mktemp("server"))
    installation.make()
    installation.start()
    yield installation
    installation.kill()


class Held(Watching):
    """A line whose station is blocked before it hears the n-th exchange: it says nothing until that is done."""

    installation: Installation
    left = 0
    said = b""

    async def operation(self, turns: AsyncIterator[StationTurn]) -> AsyncGenerator[ServerTurn, None]:
        async for turn in super().operation(turns):
            self.left -= isinstance(turn, Exchange)
            if not self.left and not self.said:
                words = ("stations", "block", "stolen", "--why", "it was stolen", "--json")
                self.said = await self.installation.ask(*words)
            yield turn


class Stolen(Desk):
    """A station that will be blocked."""

    def __init__(self, identity: StationIdentity, installation: Installation) -> None:
        self.line: Held = Held(identity, SystemClock())
        self.line.installation = installation
        self.readers = VirtualReaders([READER])
        self.station = StationCore(self.readers, self.line)


@pytest.fixture
async def desks(installation: Installation) -> AsyncIterator[tuple[Stolen, Desk]]:
    stolen = Stolen(await installation.joined("stolen"), installation)
    other = Desk(await installation.joined("other"))
    for desk in (stolen, other):
        await desk.station.start()
        await desk.online()
    yield stolen, other
    for desk in (stolen, other):
        await desk.station.close()
        await desk.readers.close()


@pytest.mark.parametrize("exchange", [4, 6])
async def test_it_is_cut_there_and_the_card_is_healed_elsewhere(
    installation: Installation, desks: tuple[Stolen, Desk], exchange: int
) -> None:
    stolen, other = desks
    card = WatchedCard.fresh(serial=1000 + exchange)
    await stolen.take(card)
    stolen.line.left = exchange
    outcome = await stolen.issue()
    assert json.loads(stolen.line.said)["state"] == "blocked"
    assert outcome.error is not None
    assert outcome.error.code in {"station-blocked", "connection-lost"}
    again = await stolen.issue()
    assert again.error is not None
    assert again.error.code == "station-blocked"

    await other.take(card)
    healed = await other.issue()
    assert (healed.error, healed.state) == (None, "issued")
    async with AdminClient(installation.folder / "server" / "admin.sock") as admin:
        states = {view.station.name: view.station.state.value for view in await admin.stations()}
    assert (states["stolen"], states["other"]) == ("blocked", "active")
