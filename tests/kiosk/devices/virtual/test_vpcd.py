"""The vpcd client against a driver made of sockets, the image file, and the command that joins them."""

import asyncio
import json
import os
import signal
import stat
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner

from kiosk.devices.virtual.command import virtual_card
from kiosk.devices.virtual.image import ImageFile
from kiosk.devices.virtual.vpcd import serve_vpcd
from shared import errors
from shared.piv.ids import ProfileName
from shared.virtual.card import VirtualCard
from shared.virtual.faults import Fault, FaultKind

SELECT = bytes.fromhex("00A4040005A00000030800")
WRONG_PIN = bytes.fromhex("0020008008") + b"000000\xff\xff"


class Driver:
    """The other end of the line."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def tell(self, message: bytes) -> None:
        # in two segments, as the real driver does
        self.writer.write(len(message).to_bytes(2, "big"))
        await self.writer.drain()
        self.writer.write(message)
        await self.writer.drain()

    async def ask(self, message: bytes) -> bytes:
        await self.tell(message)
        return await asyncio.wait_for(self._answer(), 5)

    async def _answer(self) -> bytes:
        head = await self.reader.readexactly(2)
        return await self.reader.readexactly(int.from_bytes(head, "big"))


Attach = Callable[[], Awaitable[Driver]]


@asynccontextmanager
async def listening() -> AsyncIterator[tuple[int, Attach]]:
    arrived: asyncio.Queue[Driver] = asyncio.Queue()

    async def attend(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await arrived.put(Driver(reader, writer))

    server = await asyncio.start_server(attend, "127.0.0.1", 0)
    drivers: list[Driver] = []

    async def attach() -> Driver:
        driver = await asyncio.wait_for(arrived.get(), 10)
        drivers.append(driver)
        return driver

    try:
        yield server.sockets[0].getsockname()[1], attach
    finally:
        for driver in drivers:
            driver.writer.close()
        server.close()
        await server.wait_closed()


def new_card() -> VirtualCard:
    return VirtualCard.new(ProfileName.YUBIKEY_5_4, serial=7, random=os.urandom)


async def stop(task: asyncio.Task[None]) -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_the_protocol() -> None:
    card = new_card()
    async with listening() as (port, attach):
        task = asyncio.create_task(serve_vpcd(card, host="127.0.0.1", port=port))
        driver = await attach()
        assert await driver.ask(b"\x04") == card.atr
        await driver.tell(b"\x01")
        assert (await driver.ask(SELECT))[-2:] == b"\x90\x00"
        await driver.tell(b"\x02")
        assert await driver.ask(WRONG_PIN) == b"\x69\x86", "reset: nothing is selected"
        await driver.tell(b"\x00")
        assert await driver.ask(SELECT) == b"", "no power"
        await driver.tell(b"")
        assert await driver.ask(b"\x04") == card.atr
        await stop(task)


async def test_one_connection_only() -> None:
    async with listening() as (port, attach):
        task = asyncio.create_task(serve_vpcd(new_card(), host="localhost", port=port, reconnect=False))
        driver = await attach()
        driver.writer.close()
        await asyncio.wait_for(task, 5)


async def test_a_pulled_card_leaves_the_reader_without_an_answer() -> None:
    card = new_card()
    card.faults.arm(Fault(kind=FaultKind.RESPONSE_LOST))
    async with listening() as (port, attach):
        task = asyncio.create_task(serve_vpcd(card, host="127.0.0.1", port=port))
        driver = await attach()
        await driver.tell(b"\x01")
        await driver.tell(SELECT)
        assert await asyncio.wait_for(driver.reader.read(), 5) == b""
        await asyncio.wait_for(task, 5)


async def test_the_card_waits_for_a_driver_that_comes_back() -> None:
    card, connections = new_card(), []
    async with listening() as (port, attach):
        task = asyncio.create_task(
            serve_vpcd(card, host="127.0.0.1", port=port, connected=lambda: connections.append(1))
        )
        first = await attach()
        first.writer.close()
        second = await attach()
        assert await second.ask(b"\x04") == card.atr
        assert len(connections) == 2
        await stop(task)


async def test_the_card_may_come_before_the_driver() -> None:
    async with listening() as (port, _):
        pass
    inserted, waiting = asyncio.Event(), asyncio.Event()
    task = asyncio.create_task(
        serve_vpcd(new_card(), host="127.0.0.1", port=port, connected=inserted.set, waiting=waiting.set)
    )
    await asyncio.wait_for(waiting.wait(), 5)
    assert not inserted.is_set()
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", port)
    await asyncio.wait_for(inserted.wait(), 5)
    await stop(task)
    server.close()
    await server.wait_closed()


async def test_nobody_listens() -> None:
    async with listening() as (port, _):
        pass
    with pytest.raises(errors.NoReader):
        await serve_vpcd(new_card(), host="127.0.0.1", port=port, reconnect=False)


async def test_memory_is_saved_before_the_answer(tmp_path: Path) -> None:
    card, file = new_card(), ImageFile(tmp_path / "card")
    async with listening() as (port, attach):
        task = asyncio.create_task(serve_vpcd(card, host="127.0.0.1", port=port, save=file.save))
        driver = await attach()
        await driver.tell(b"\x01")
        await driver.ask(SELECT)
        assert file.load() is None
        assert await driver.ask(WRONG_PIN) == b"\x63\xc2"
        memory = file.load()
        assert memory is not None
        assert memory.pin.left == 2
        await stop(task)


def test_an_image_is_private_whole_and_durable(tmp_path: Path) -> None:
    file = ImageFile(tmp_path / "card")
    card = new_card()
    file.save(card.memory)
    file.save(card.memory)
    assert stat.S_IMODE(file.path.stat().st_mode) == 0o600
    assert [path.name for path in tmp_path.iterdir()] == ["card"]
    loaded = file.load()
    assert loaded is not None
    assert loaded.to_bytes() == card.memory.to_bytes()


def test_images_that_cannot_be_used(tmp_path: Path) -> None:
    file = ImageFile(tmp_path / "card")
    file.path.write_bytes(b"something else")
    with pytest.raises(errors.CardMalformed):
        file.load()
    with pytest.raises(errors.ReaderFailed):
        ImageFile(tmp_path).load()
    with pytest.raises(errors.ReaderFailed):
        ImageFile(tmp_path / "no" / "folder").save(new_card().memory)


@asynccontextmanager
async def command(*arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        "from kiosk.devices.virtual.command import virtual_card; virtual_card()",
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_the_command_serves_a_card_until_a_signal(tmp_path: Path, number: signal.Signals) -> None:
    image = tmp_path / "card"
    async with listening() as (port, attach):
        options = ("--vpcd", f"127.0.0.1:{port}", "--image", str(image), "--serial", "4711")
        async with command(*options, "--profile", "yubikey-5.3") as process:
            driver = await attach()
            await driver.tell(b"\x01")
            assert (await driver.ask(SELECT))[-2:] == b"\x90\x00"
            assert await driver.ask(WRONG_PIN) == b"\x63\xc2"
            process.send_signal(number)
            out, err = await asyncio.wait_for(process.communicate(), 10)
    assert (process.returncode, err) == (0, b"")
    assert (
        out.decode() == f"VIRTUAL card: YubiKey 5.3.0, serial 4711, in the vpcd reader at 127.0.0.1:{port}\n"
    )
    memory = ImageFile(image).load()
    assert memory is not None
    assert (memory.serial, memory.pin.left) == (4711, 2)


async def test_the_command_waits_aloud_and_speaks_json() -> None:
    async with listening() as (port, _):
        pass
    options = ("--vpcd", f"127.0.0.1:{port}", "--profile", "sp800-73", "--serial", "3", "--json")
    async with command(*options) as process:
        assert process.stderr is not None
        assert process.stdout is not None
        line = await asyncio.wait_for(process.stderr.readline(), 10)
        assert line.decode() == f"waiting for a vpcd reader at 127.0.0.1:{port}\n"
        server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", port)
        assert json.loads(await asyncio.wait_for(process.stdout.readline(), 10)) == {
            "virtual": True,
            "product": "SP 800-73 card",
            "profile": "sp800-73",
            "serial": 3,
            "vpcd": f"127.0.0.1:{port}",
        }
        process.terminate()
        assert await asyncio.wait_for(process.communicate(), 10) == (b"", b"")
        assert process.returncode == 0
        server.close()
        await server.wait_closed()


def test_the_command_refuses_another_cards_image(tmp_path: Path) -> None:
    ImageFile(tmp_path / "card").save(new_card().memory)
    options = ["--vpcd", "127.0.0.1:1", "--image", str(tmp_path / "card")]
    for more in (["--serial", "8"], ["--profile", "sp800-73"]):
        result = CliRunner().invoke(virtual_card, [*options, *more])
        assert (result.exit_code, result.stdout) == (1, "")
        assert "YubiKey 5.4.3, serial 7" in result.stderr


@pytest.mark.parametrize(
    "arguments", [["--vpcd", "35963"], ["--vpcd", "host:0"], ["--serial", "0"], ["--profile", "x"]]
)
def test_the_command_wants_sensible_options(arguments: list[str]) -> None:
    assert CliRunner().invoke(virtual_card, arguments).exit_code == 2


def test_the_command_says_that_the_card_is_virtual() -> None:
    assert "VIRTUAL" in CliRunner().invoke(virtual_card, ["--help"]).stdout
