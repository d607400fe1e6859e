"""Agents that answer, that refuse, and that lie: nothing of theirs is passed on that was not checked."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import pytest

from kiosk.devices.ssh_agent import MAX_ANSWER, MAX_KEYS, Message, SshAgent
from shared import errors
from shared.logon import LogonPurpose, LogonText
from shared.ssh.keys import spki_of, write_key
from shared.ssh.sshsig import read_signature, to_be_signed, verify
from shared.ssh.wire import WireReader, number, string
from tests.shared.ssh.keyring import ED25519, KEYS, P256, P384, RSA, PrivateKey, sign

TEXT: Final = LogonText(
    server="cards.example.org",
    station=b"s" * 32,
    nonce=b"n" * 32,
    expires_at=datetime(2026, 11, 20, 12, 1, tzinfo=UTC),
    purpose=LogonPurpose.LOG_ON,
)
FAILURE: Final = bytes((Message.FAILURE,))
SOON_S: Final = 0.3
"""How long the agents here have."""

Answer = Callable[[bytes], bytes | None]
Say = Callable[[asyncio.StreamWriter], Awaitable[None]]
Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def spki(key: PrivateKey) -> bytes:
    return spki_of(key.public_key())


def identities(*blobs: bytes) -> bytes:
    each = b"".join(string(blob) + string(b"PIV AUTH key") for blob in blobs)
    return bytes((Message.IDENTITIES_ANSWER,)) + number(len(blobs)) + each


@dataclass
class Double:
    """An agent of a few lines. `answer` may put another answer to a request to sign in the place of the right one."""

    keys: tuple[PrivateKey, ...] = tuple(KEYS.values())
    answer: Answer = lambda _: None
    listed: bytes = b""
    asked: list[bytes] = field(default_factory=list)

    def reply(self, request: bytes) -> bytes:
        self.asked.append(request)
        if request == bytes((Message.REQUEST_IDENTITIES,)):
            return self.listed or identities(*(write_key(key.public_key()) for key in self.keys))
        return self.answer(request) or self.signed(request)

    def signed(self, request: bytes, *, rsa_algorithm: str = "") -> bytes:
        with WireReader(request[1:], "request") as reader:
            blob, content, flags = reader.string(), reader.string(), reader.number()
        key = next(key for key in self.keys if write_key(key.public_key()) == blob)
        made = sign(
            key, content, rsa_algorithm=rsa_algorithm or ("rsa-sha2-512" if flags == 4 else "ssh-rsa")
        )
        return bytes((Message.SIGN_RESPONSE,)) + string(made)


@asynccontextmanager
async def serving(folder: Path, serve: Serve) -> AsyncIterator[str]:
    """Give the socket of an agent that does `serve` with every connection; none is left."""
    present: set[asyncio.Task[None]] = set()

    async def attend(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        present.add(task)
        try:
            with suppress(OSError, asyncio.IncompleteReadError):
                await serve(reader, writer)
        finally:
            writer.close()
            with suppress(OSError):
                await writer.wait_closed()

    server = await asyncio.start_unix_server(attend, folder / "agent")
    try:
        yield str(folder / "agent")
    finally:
        server.close()
        await asyncio.gather(*present)


@asynccontextmanager
async def listening(folder: Path, say: Say) -> AsyncIterator[SshAgent]:
    """Give a client of an agent that says `say` to whoever connects."""

    async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await say(writer)

    async with serving(folder, serve) as socket:
        yield SshAgent(socket, answer_timeout_s=SOON_S, sign_timeout_s=SOON_S)


@asynccontextmanager
async def agent(folder: Path, double: Double) -> AsyncIterator[SshAgent]:
    """Give a client of a double."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            length = int.from_bytes(await reader.readexactly(4), "big")
            writer.write(string(double.reply(await reader.readexactly(length))))

    async with serving(folder, serve) as socket:
        yield SshAgent(socket)


# --- one that answers -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", KEYS)
async def test_a_text_is_signed_by_the_key_that_was_asked_for(short_folder: Path, name: str) -> None:
    double = Double()
    async with agent(short_folder, double) as client:
        signature = read_signature(await client.sign(spki(KEYS[name]), TEXT))
    verify(signature, bytes(TEXT))
    assert signature.public_key == spki(KEYS[name])
    assert to_be_signed(TEXT) in double.asked[-1]
    assert bytes(TEXT) not in double.asked[-1]


async def test_keys_of_other_kinds_are_left_out(short_folder: Path) -> None:
    blobs = (b"", string(b"ssh-dss"), write_key(P256.public_key()), b"\xff" * 90, write_key(RSA.public_key()))
    async with agent(short_folder, Double(listed=identities(*blobs))) as client:
        held = await client.keys()
    assert [key.public_key for key in held] == [spki(P256), spki(RSA)]
    assert {key.comment for key in held} == {"PIV AUTH key"}


async def test_a_comment_may_be_anything(short_folder: Path) -> None:
    listed = identities(write_key(P256.public_key())).replace(b"PIV AUTH", b"\xff\xfe\x1b[2J\0\0")
    async with agent(short_folder, Double(listed=listed)) as client:
        (held,) = await client.keys()
    assert held.public_key == spki(P256)


async def test_an_agent_without_the_key_is_not_asked_to_sign(short_folder: Path) -> None:
    double = Double(keys=(P384, ED25519))
    async with agent(short_folder, double) as client:
        with pytest.raises(errors.AgentKeyMissing):
            await client.sign(spki(P256), TEXT)
    assert double.asked == [bytes((Message.REQUEST_IDENTITIES,))]


async def test_an_agent_may_refuse(short_folder: Path) -> None:
    async with agent(short_folder, Double(answer=lambda _: FAILURE)) as client:
        with pytest.raises(errors.AgentRefused):
            await client.sign(spki(P256), TEXT)


# --- one that is not there ------------------------------------------------------------------------------


@pytest.mark.parametrize("environment", [{}, {"SSH_AUTH_SOCK": ""}, {"SSH_AUTH_SOCK": "/nowhere/agent"}])
async def test_without_an_agent_nobody_logs_on_by_one(environment: dict[str, str]) -> None:
    client = SshAgent.forwarded(environment)
    with pytest.raises(errors.NoAgent):
        await client.keys()
    await asyncio.wait_for(client.gone(), SOON_S)


async def test_one_that_says_nothing_is_not_waited_for(short_folder: Path) -> None:
    async with listening(short_folder, lambda _: asyncio.sleep(3 * SOON_S)) as client:
        began = time.monotonic()
        with pytest.raises(errors.NoAgent, match="in time"):
            await client.keys()
    assert time.monotonic() - began < 20 * SOON_S


async def test_one_that_never_ends_is_not_waited_for(short_folder: Path) -> None:
    async def drip(writer: asyncio.StreamWriter) -> None:
        writer.write(number(MAX_ANSWER))
        for _ in range(100):
            writer.write(b"\x0c")
            await asyncio.sleep(SOON_S / 20)

    async with listening(short_folder, drip) as client:
        with pytest.raises(errors.NoAgent, match="in time"):
            await client.keys()


@pytest.mark.parametrize("said", [b"", b"\0\0", number(5), number(5) + b"\x0c\0\0"])
async def test_one_that_hangs_up_is_gone(short_folder: Path, said: bytes) -> None:
    async def say(writer: asyncio.StreamWriter) -> None:
        writer.write(said)
        await writer.drain()

    async with listening(short_folder, say) as client:
        with pytest.raises(errors.NoAgent):
            await client.keys()


async def test_the_end_of_an_agent_is_noticed(short_folder: Path) -> None:
    leave = asyncio.Event()

    async def stay(_: asyncio.StreamWriter) -> None:
        await leave.wait()

    async with listening(short_folder, stay) as client:
        gone = asyncio.create_task(client.gone())
        await asyncio.sleep(SOON_S)
        assert not gone.done()
        leave.set()
        await asyncio.wait_for(gone, 5)


# --- one that lies --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "listed",
    [
        pytest.param(b"\x0c", id="cut"),
        pytest.param(b"\x0e" + number(0), id="another-message"),
        pytest.param(identities(write_key(P256.public_key()))[:-1], id="cut-comment"),
        pytest.param(identities() + b"\0", id="more"),
        pytest.param(b"\x0c" + number(1), id="a-key-too-few"),
        pytest.param(b"\x0c" + number(2**32 - 1) + b"\0" * 64, id="countless"),
        pytest.param(identities(*[b""] * (MAX_KEYS + 1)), id="too-many"),
    ],
)
async def test_a_list_that_is_none_is_refused(short_folder: Path, listed: bytes) -> None:
    async with agent(short_folder, Double(listed=listed)) as client:
        with pytest.raises(errors.Garbled):
            await client.sign(spki(P256), TEXT)


@pytest.mark.parametrize("length", [0, MAX_ANSWER + 1, 2**32 - 1])
async def test_an_answer_of_impossible_length_is_not_read(short_folder: Path, length: int) -> None:
    async def say(writer: asyncio.StreamWriter) -> None:
        writer.write(number(length) + b"\x0c" * 64)
        await asyncio.sleep(SOON_S)

    async with listening(short_folder, say) as client:
        with pytest.raises(errors.Garbled):
            await client.keys()


def _by_another_key(request: bytes) -> bytes:
    other = write_key(P256.public_key())
    content = WireReader(request[1:], "request")
    content.string()
    return Double().signed(b"\x0d" + string(other) + string(content.string()) + number(4))


def _over_something_else(request: bytes) -> bytes:
    reader = WireReader(request[1:], "request")
    return Double().signed(b"\x0d" + string(reader.string()) + string(b"something else") + number(4))


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(_over_something_else, id="over-something-else"),
        pytest.param(_by_another_key, id="by-another-key"),
        pytest.param(lambda request: Double().signed(request, rsa_algorithm="ssh-rsa"), id="sha-1"),
        pytest.param(lambda request: Double().signed(request, rsa_algorithm="rsa-sha2-256"), id="sha-256"),
        pytest.param(lambda request: Double().signed(request) + b"\0", id="more"),
        pytest.param(lambda request: Double().signed(request)[:-1], id="cut"),
        pytest.param(lambda _: b"\x0e" + string(b""), id="nothing"),
        pytest.param(lambda _: b"\x0e", id="empty"),
        pytest.param(lambda _: b"\x06", id="another-message"),
        pytest.param(lambda _: b"\xff" * 5000, id="noise"),
    ],
)
async def test_an_answer_that_is_no_signature_is_refused(short_folder: Path, answer: Answer) -> None:
    async with agent(short_folder, Double(answer=answer)) as client:
        with pytest.raises(errors.Garbled):
            await client.sign(spki(RSA), TEXT)


@pytest.mark.parametrize("public_key", [b"", b"\x30\x00", b"\xff" * 91])
async def test_a_key_that_is_none_is_not_there(short_folder: Path, public_key: bytes) -> None:
    async with agent(short_folder, Double()) as client:
        with pytest.raises(errors.AgentKeyMissing):
            await client.sign(public_key, TEXT)
