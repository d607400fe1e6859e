"""How a machine becomes a station, from both ends, over loopback."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from kiosk.backend.client import GrpcBackend
from kiosk.backend.identity import FILE, load_identity
from kiosk.backend.joining import join
from server.authority.throttle import Limit
from shared import errors
from shared.joining import PREFIX, Invitation, read_token, write_token
from shared.secret import Secret
from tests.server.rpc.world import World

HOUR = timedelta(hours=1)


async def test_a_machine_joins_and_is_known(world: World, tmp_path: Path) -> None:
    enrolment = await world.start_joining()
    token = await enrolment.create_token("Gate", lab=True, valid_for=HOUR)
    joined = await join(token, tmp_path, "my-host")
    assert joined == load_identity(tmp_path, world.clock)
    assert joined.name == "Gate"
    (record,) = await world.store.stations.all()
    assert (record.station_id, record.name, record.lab) == (joined.station_id, "Gate", True)
    backend = GrpcBackend(joined, world.clock)
    view = await backend.who_am_i()
    await backend.close()
    assert (view.station, view.lab) == ("Gate", True)
    audit = [entry.record.event for entry in await world.store.audit.page(0, 10)]
    assert audit == ["join-token-created", "station-joined"]


async def test_the_machine_chooses_where_the_token_has_no_name(world: World, tmp_path: Path) -> None:
    enrolment = await world.start_joining()
    token = await enrolment.create_token("", lab=False, valid_for=HOUR)
    assert (await join(token, tmp_path, "my-host")).name == "my-host"
    token = await enrolment.create_token("", lab=False, valid_for=HOUR)
    assert (await join(token, tmp_path, "")).name.startswith("station-")


async def test_a_token_works_once(world: World, tmp_path: Path) -> None:
    enrolment = await world.start_joining()
    token = await enrolment.create_token("Gate", lab=True, valid_for=HOUR)
    await join(token, tmp_path / "one", "")
    with pytest.raises(errors.JoinRefused):
        await join(token, tmp_path / "two", "")
    assert not (tmp_path / "two" / FILE).exists()


async def test_of_many_at_once_one_gets_in(world: World, tmp_path: Path) -> None:
    enrolment = await world.start_joining()
    token = await enrolment.create_token("Gate", lab=True, valid_for=HOUR)
    results = await asyncio.gather(
        *(join(token, tmp_path / str(number), "") for number in range(6)), return_exceptions=True
    )
    refused = [result for result in results if isinstance(result, errors.JoinRefused)]
    assert len(refused) == 5
    assert len(await world.store.stations.all()) == 1


async def test_a_token_expires(world: World, tmp_path: Path) -> None:
    enrolment = await world.start_joining()
    token = await enrolment.create_token("Gate", lab=True, valid_for=HOUR)
    world.clock.later = HOUR
    with pytest.raises(errors.JoinRefused):
        await join(token, tmp_path, "")


async def test_an_unknown_secret_is_refused(world: World, tmp_path: Path) -> None:
    enrolment = await world.start_joining()
    real = read_token(await enrolment.create_token("Gate", lab=True, valid_for=HOUR))
    forged = write_token(
        Invitation(address=real.address, fingerprint=real.fingerprint, secret=Secret(bytes(32)))
    )
    with pytest.raises(errors.JoinRefused):
        await join(forged, tmp_path, "")
    assert not await world.store.stations.all()


@asynccontextmanager
async def eavesdropper(world: World, folder: Path) -> AsyncIterator[tuple[int, bytearray]]:
    """A TLS listener with a certificate of its own that keeps what it is sent."""
    heard = bytearray()
    pair = world.pair()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_alpn_protocols(["h2"])
    file = folder / "eavesdropper.pem"
    file.write_bytes(pair.key_pem + pair.pem)
    context.load_cert_chain(file)

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.extend(await reader.read(65_536))
        writer.transport.abort()

    server = await asyncio.start_server(listen, "127.0.0.1", 0, ssl=context)
    async with server:
        yield server.sockets[0].getsockname()[1], heard


async def test_another_server_is_told_nothing(world: World, tmp_path: Path) -> None:
    async with eavesdropper(world, tmp_path) as (port, heard):
        token = write_token(
            Invitation(
                address=f"127.0.0.1:{port}", fingerprint=world.server.fingerprint, secret=Secret(b"s" * 32)
            )
        )
        with pytest.raises(errors.JoinRefused) as caught:
            await join(token, tmp_path, "")
        await asyncio.sleep(0.05)
    assert "another server" in str(caught.value)
    assert not heard
    assert not (tmp_path / FILE).exists()


async def test_a_folder_that_cannot_be_written_does_not_cost_the_token(world: World, tmp_path: Path) -> None:
    enrolment = await world.start_joining()
    token = await enrolment.create_token("Gate", lab=True, valid_for=HOUR)
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(errors.ConfigInvalid):
        await join(token, tmp_path / "file", "")
    assert (await join(token, tmp_path / "folder", "")).name == "Gate"


async def test_nobody_there(world: World, tmp_path: Path) -> None:
    for address in ("127.0.0.1:1", "nowhere.invalid:7444", "localhost:1"):
        token = write_token(
            Invitation(address=address, fingerprint=world.server.fingerprint, secret=Secret(b"s" * 32))
        )
        with pytest.raises(errors.ServerUnreachable) as caught:
            await join(token, tmp_path, "")
        assert caught.value.facts["server"] == address


async def test_too_many_attempts_of_one_peer(world: World, tmp_path: Path) -> None:
    enrolment = await world.start_joining(per_peer=Limit(burst=2, seconds=60))
    token = await enrolment.create_token("Gate", lab=True, valid_for=HOUR)
    real = read_token(token)
    forged = write_token(
        Invitation(address=real.address, fingerprint=real.fingerprint, secret=Secret(bytes(32)))
    )
    for _ in range(2):
        with pytest.raises(errors.JoinRefused):
            await join(forged, tmp_path, "")
    with pytest.raises(errors.TooManyAttempts) as caught:
        await join(token, tmp_path, "")
    assert 0 < int(caught.value.facts["seconds"]) <= 60
    world.clock.later = timedelta(seconds=61)
    assert (await join(token, tmp_path, "")).name == "Gate"


async def test_a_certificate_for_another_key_is_not_stored(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    enrolment = await world.start_joining()
    token = await enrolment.create_token("Gate", lab=True, valid_for=HOUR)
    wrong = world.pair()

    async def mixed_up(*_: object, **_named: object) -> bytes:
        return wrong.der

    monkeypatch.setattr("tests.server.rpc.world.Authority.issue_station", mixed_up)
    with pytest.raises(errors.Garbled):
        await join(token, tmp_path, "")
    assert not (tmp_path / FILE).exists()


@pytest.mark.parametrize("token", ["", "nonsense", PREFIX, PREFIX + "aaaa", PREFIX + "!" * 120])
async def test_what_is_no_token_is_invalid(tmp_path: Path, token: str) -> None:
    with pytest.raises(errors.Invalid):
        await join(token, tmp_path, "")
