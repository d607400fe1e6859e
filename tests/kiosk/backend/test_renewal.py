"""A station renews its certificate by itself, over loopback with real TLS and a clock that moves."""

import asyncio
import fcntl
import hashlib
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from kiosk.backend.client import GrpcBackend
from kiosk.backend.identity import StationIdentity, load_identity, store_identity
from kiosk.backend.renewal import JITTER, LOCK, Renewal, due_at, make_request
from kiosk.ports import LinkState
from server.authority.access import Caller
from server.authority.overlap import OVERLAP
from server.operations.link import StationLink
from server.ports.store import Standing
from shared import errors
from shared.relay import Begin, Done, OperationKind, ServerTurn
from tests.kiosk.backend.test_client import say
from tests.server.rpc import pki
from tests.server.rpc.world import World

BEFORE, DUE = timedelta(hours=12), timedelta(hours=17)
"""The station's certificate lives from two days ago to two days ahead: two thirds of that are over in 16 hours."""


class Desk:
    """A station with its folder, its line, and what renews it."""

    def __init__(self, world: World, folder: Path, identity: StationIdentity) -> None:
        store_identity(folder, identity)
        self.world, self.folder, self.identity = world, folder, identity
        self.line = GrpcBackend(identity, world.clock)
        self.renewal = Renewal(folder, identity, self.line, world.clock, lambda: 0.0)

    @property
    def stored(self) -> StationIdentity:
        return load_identity(self.folder, self.world.clock)

    async def events(self) -> list[str]:
        entries = await self.world.store.audit.page(0, 100)
        return [entry.record.event for entry in entries if entry.record.event.startswith("station-")]


@pytest.fixture
async def desk(world: World, tmp_path: Path) -> Desk:
    pair = world.pair(ends=2 * pki.DAY)
    await world.register(pair)
    return Desk(world, tmp_path, world.identity(pair))


def shown(identity: StationIdentity) -> bytes:
    der = x509.load_pem_x509_certificate(identity.certificate).public_bytes(pki.DER)
    return hashlib.sha256(der).digest()


async def test_it_is_renewed_at_two_thirds_of_its_life_and_not_before(world: World, desk: Desk) -> None:
    world.clock.later = BEFORE
    await desk.renewal.look()
    assert desk.stored == desk.identity

    world.clock.later = DUE
    await desk.renewal.look()
    renewed = desk.stored
    assert renewed.not_after > desk.identity.not_after
    assert renewed.key != desk.identity.key
    assert (renewed.station_id, renewed.name, renewed.server) == (
        desk.identity.station_id,
        desk.identity.name,
        desk.identity.server,
    )
    assert oct((desk.folder / "identity.pem").stat().st_mode & 0o777) == "0o600"
    assert await desk.events() == ["station-renewed"]

    assert (await desk.line.who_am_i()).station == "Desk"
    known = await world.store.stations.by_fingerprint(shown(renewed))
    assert known is not None
    assert known.standing is Standing.CURRENT
    assert await desk.events() == ["station-renewed", "station-certificate-taken"]
    await desk.renewal.look()
    assert desk.stored == renewed
    await desk.line.close()


async def test_not_all_stations_come_at_once(desk: Desk) -> None:
    life = timedelta(days=4)
    assert due_at(desk.identity, late=JITTER) - due_at(desk.identity) == life * JITTER
    assert due_at(desk.identity, late=JITTER) < desk.identity.not_after - life / 5


async def test_the_old_certificate_counts_until_the_new_one_is_shown_and_a_moment_longer(
    world: World, desk: Desk
) -> None:
    old = GrpcBackend(desk.identity, world.clock)
    world.clock.later = DUE
    await desk.renewal.look()
    assert (await old.who_am_i()).station == "Desk"
    await desk.line.who_am_i()
    assert (await old.who_am_i()).station == "Desk"
    with pytest.raises(errors.NotAllowed):
        await old.renew(make_request(ec.generate_private_key(ec.SECP256R1()), "Desk"))
    world.clock.later = DUE + OVERLAP + timedelta(seconds=1)
    with pytest.raises(errors.StationExpired):
        await old.who_am_i()
    assert (await desk.line.who_am_i()).station == "Desk"
    await old.close()
    await desk.line.close()


async def test_an_answer_that_was_lost_costs_nothing(world: World, desk: Desk) -> None:
    world.clock.later = DUE
    lost = await desk.line.renew(make_request(ec.generate_private_key(ec.SECP256R1()), "Desk"))
    await desk.renewal.look()
    assert await world.store.stations.by_fingerprint(hashlib.sha256(lost).digest()) is None
    assert (await desk.line.who_am_i()).station == "Desk"
    assert shown(desk.stored) != hashlib.sha256(lost).digest()
    await desk.line.close()


async def test_a_station_that_was_cut_before_it_stored_the_answer_renews_again(
    world: World, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_folder: Path, _identity: StationIdentity) -> Path:
        raise errors.ConfigInvalid(file="identity.pem", why="No space left on device")

    world.clock.later = DUE
    with monkeypatch.context() as broken:
        broken.setattr("kiosk.backend.renewal.store_identity", full)
        await desk.renewal.look()
    assert desk.stored == desk.identity
    assert (await desk.line.who_am_i()).station == "Desk"
    await desk.renewal.look()  # too early to try again
    assert desk.stored == desk.identity
    world.clock.later = DUE + timedelta(hours=2)
    await desk.renewal.look()
    assert desk.stored != desk.identity
    assert (await desk.line.who_am_i()).station == "Desk"
    await desk.line.close()


async def test_an_operation_goes_on_over_the_old_line(world: World, desk: Desk) -> None:
    begun, renewed = asyncio.Event(), asyncio.Event()

    async def slow(_caller: Caller, station: StationLink) -> None:
        assert isinstance(await station.receive(), Begin)
        begun.set()
        await renewed.wait()
        await station.send(Done(state="issued", facts={}))

    world.engine.behaviour = slow
    begin = Begin(operation=OperationKind.ISSUE, reader="Virtual 1", virtual=True)

    async def operate() -> list[ServerTurn]:
        return [turn async for turn in desk.line.operation(say(begin))]

    running = asyncio.create_task(operate())
    await asyncio.wait_for(begun.wait(), 5)
    world.clock.later = DUE
    await desk.renewal.look()
    await desk.line.who_am_i()
    renewed.set()
    assert [type(turn) for turn in await asyncio.wait_for(running, 5)] == [Done]
    await desk.line.close()


async def test_the_line_reports_its_state_across_a_renewal(world: World, desk: Desk) -> None:
    states = desk.line.link()
    while (await asyncio.wait_for(anext(states), 5)).value != "connected":
        pass
    world.clock.later = DUE
    await desk.renewal.look()
    while (await asyncio.wait_for(anext(states), 5)).value != "connected":
        pass
    assert (await desk.line.who_am_i()).station == "Desk"
    await desk.line.close()
    async with asyncio.timeout(5):
        assert {state async for state in states} <= {LinkState.CONNECTING, LinkState.LOST}


async def test_what_another_process_renewed_is_taken(world: World, desk: Desk) -> None:
    other = Renewal(desk.folder, desk.identity, GrpcBackend(desk.identity, world.clock), world.clock, float)
    world.clock.later = DUE
    await desk.renewal.look()
    renewed = desk.stored
    await other.look()
    assert desk.stored == renewed
    assert await desk.events() == ["station-renewed"]
    await desk.line.close()


async def test_only_one_process_renews(world: World, desk: Desk) -> None:
    world.clock.later = DUE
    with (desk.folder / LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        await desk.renewal.look()
    assert desk.stored == desk.identity
    await desk.renewal.look()
    assert desk.stored != desk.identity
    await desk.line.close()


async def test_a_blocked_station_cannot_renew(world: World, desk: Desk) -> None:
    await world.fleet.block("Desk", "stolen", "admin")
    world.clock.later = DUE
    await desk.renewal.look()
    assert desk.stored == desk.identity
    with pytest.raises(errors.StationBlocked):
        await desk.line.renew(make_request(ec.generate_private_key(ec.SECP256R1()), "Desk"))
    await desk.line.close()


async def test_an_expired_station_cannot_renew(world: World, desk: Desk) -> None:
    world.clock.later = timedelta(days=2, hours=1)
    await desk.renewal.look()
    with pytest.raises(errors.StationExpired):
        await desk.line.renew(make_request(ec.generate_private_key(ec.SECP256R1()), "Desk"))
    await desk.line.close()


async def test_a_station_does_not_ask_for_ever(desk: Desk) -> None:
    async def ask() -> None:
        for _ in range(10):
            await desk.line.renew(make_request(ec.generate_private_key(ec.SECP256R1()), "Desk"))

    with pytest.raises(errors.TooManyAttempts):
        await ask()
    await desk.line.close()


async def test_a_certificate_for_another_key_is_not_taken(
    world: World, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def wrong(_request: bytes) -> bytes:
        return pki.leaf("Desk", world.root, pki.CLIENT, ends=20 * pki.DAY).der

    world.clock.later = DUE
    monkeypatch.setattr(desk.line, "renew", wrong)
    await desk.renewal.look()
    assert desk.stored == desk.identity
    await desk.line.close()
