"""A station that the server does not know, has blocked, or whose time is over: told so, and no card is touched."""

import asyncio
from datetime import timedelta

import pytest

from kiosk.backend.client import GrpcBackend
from kiosk.backend.identity import StationIdentity
from kiosk.devices.virtual.reader import VirtualReaders
from kiosk.station import wording
from kiosk.station.core import StationCore
from kiosk.station.faces import Job
from shared.relay import OperationKind
from tests.scenario.judging import WatchedCard, said
from tests.scenario.lab import Holder, Notes
from tests.server.rpc import pki
from tests.server.rpc.world import World, running

READER = "Reader 1"


async def identity(world: World, kind: str) -> StationIdentity:
    match kind:
        case "expired":
            pair = world.pair(ends=timedelta(hours=-1))
            await world.register(pair)
        case "blocked":
            pair = world.pair()
            await world.register(pair, blocked=True)
        case "not lab":
            pair = world.pair()
            await world.register(pair, lab=False)
        case "of another root":
            pair = world.pair(issuer=pki.root("strangers"))
        case _:
            pair = world.pair()
    return world.identity(pair)


@pytest.mark.parametrize(
    ("kind", "code", "sentence", "shown"),
    [
        ("unknown", "station-unknown", "The server does not know this station.", True),
        ("blocked", "station-blocked", "This station is blocked at the server.", True),
        (
            "expired",
            "station-expired",
            "The certificate of this station has expired; it has to join again.",
            False,
        ),
        ("not lab", "not-allowed", "This is not allowed: ", False),
        ("of another root", "server-unreachable", "does not answer (", False),
    ],
)
async def test_a_station_that_may_not(kind: str, code: str, sentence: str, *, shown: bool) -> None:
    async with running() as world:
        readers = VirtualReaders([READER])
        card = WatchedCard.fresh()
        readers.add_card("card", card)
        await readers.insert(READER, "card")
        line = GrpcBackend(await identity(world, kind), world.clock)
        async with StationCore(readers, line) as station:
            job = Job(operation=OperationKind.ISSUE, reader=READER, holder="1", template="badge")
            outcome = await station.perform(job, Holder(), Notes())
            assert sentence in said(outcome, code)
            assert outcome.commands == 0
            assert world.engine.callers == []
            if shown:
                async with asyncio.timeout(10):
                    async for view in station.views():
                        if view.problem is not None:
                            break
                assert view.problem is not None
                assert wording.failure(view.problem).startswith(sentence)
        assert card.writes == []
