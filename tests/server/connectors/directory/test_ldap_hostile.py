"""LDAP servers that mean no good: answers without an end, too slow, too large, or not LDAP at all."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import pytest

from server.connectors.directory.ldap import LdapDirectory, LdapSettings
from server.connectors.directory.schema import OPENLDAP
from shared import errors
from shared.credential.model import HolderId
from shared.iso7816.tlv import encode
from shared.secret import Secret
from tests.peers.certificates import server_certificates

HOLDER: Final = HolderId("6f0c2a41-5f0d-4b6a-9a34-2d3f1f3c7e11")
Answer = Callable[[bytes], AsyncIterator[bytes]]
"""Given the number of the question as it is encoded."""


def message(number: bytes, tag: int, content: bytes) -> bytes:
    return encode(0x30, encode(0x02, number) + encode(tag, content))


def bind_response(number: bytes) -> bytes:
    return message(number, 0x61, b"\x0a\x01\x00\x04\x00\x04\x00")


def entry(number: bytes, value: bytes = b"bob") -> bytes:
    def attribute(name: bytes, raw: bytes) -> bytes:
        return encode(0x30, encode(0x04, name) + encode(0x31, encode(0x04, raw)))

    attributes = attribute(b"entryUUID", HOLDER.encode()) + attribute(b"uid", value)
    return message(number, 0x64, encode(0x04, b"uid=bob") + encode(0x30, attributes))


def done(number: bytes) -> bytes:
    return message(number, 0x65, b"\x0a\x01\x00\x04\x00\x04\x00")


@asynccontextmanager
async def hostile(folder: Path, answer: Answer) -> AsyncIterator[LdapDirectory]:
    """Serve TLS with a good certificate, let anybody log on, and answer searches with `answer`."""
    server_certificates(folder)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "server.pem", folder / "server.key")

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while request := await reader.read(65536):
                at = 2 + (
                    request[1] & 0x7F if request[1] & 0x80 else 0
                )  # after the frame: the question's number
                end = at + 2 + request[at + 1]
                number, operation = request[at + 2 : end], request[end]
                if operation == 0x60:
                    writer.write(bind_response(number))
                elif operation == 0x63:
                    async for part in answer(number):
                        writer.write(part)
                        await writer.drain()
        except (OSError, asyncio.CancelledError):
            pass  # whoever asked has gone
        finally:
            writer.close()

    listener = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    settings = LdapSettings(
        connection="hostile",
        host="127.0.0.1",
        port=listener.sockets[0].getsockname()[1],
        base="dc=lab",
        bind_dn="cn=reader",
        ca_file=folder / "ca.pem",
        schema=OPENLDAP,
        timeout_s=1,
    )
    directory = LdapDirectory(settings, Secret(b"password"))
    try:
        yield directory
    finally:
        await directory.close()
        listener.close()


async def test_the_double_is_understood(tmp_path: Path) -> None:
    async def answer(number: bytes) -> AsyncIterator[bytes]:
        yield entry(number) + done(number)

    async with hostile(tmp_path, answer) as directory:
        person = await directory.get(HOLDER)
    assert person is not None
    assert person.attributes == {"user": "bob"}


async def test_entries_without_an_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("server.connectors.directory.bounded.ANSWER_MAX", 200_000)

    async def answer(number: bytes) -> AsyncIterator[bytes]:
        while True:
            yield entry(number) * 50

    async with hostile(tmp_path, answer) as directory:
        with pytest.raises(errors.ConnectorUnreachable, match="without an end"):
            await directory.search("bob", 5)


async def test_an_answer_that_drips(tmp_path: Path) -> None:
    """Every part comes in time, the whole never does."""

    async def answer(number: bytes) -> AsyncIterator[bytes]:
        for byte in entry(number, b"x" * 5000):
            yield bytes([byte])
            await asyncio.sleep(0.02)

    async with hostile(tmp_path, answer) as directory:
        async with asyncio.timeout(12):
            with pytest.raises(errors.ConnectorUnreachable, match="without an end"):
                await directory.search("bob", 5)


@pytest.mark.parametrize(
    "nonsense",
    [
        b"\x30\x00",
        b"\x30\x84\x7f\xff\xff\xff",
        b"\x30\x85\x01\x00\x00\x00\x00",
        b"HTTP/1.1 400 Bad Request\r\n\r\n",
        b"\x30\x05\x02\x01\x02\xff\x00",
        b"\x30\x03\x01\x01\x00",
        b"\x30\x80\x00\x00",
        bytes(64),
    ],
)
async def test_what_is_not_ldap(tmp_path: Path, nonsense: bytes) -> None:
    async def answer(number: bytes) -> AsyncIterator[bytes]:
        del number
        yield nonsense

    async with hostile(tmp_path, answer) as directory:
        with pytest.raises(errors.ConnectorError):
            await directory.search("bob", 5)


async def test_values_of_other_types_hide_nobody(tmp_path: Path) -> None:
    async def answer(number: bytes) -> AsyncIterator[bytes]:
        yield entry(number, b"\xff\xfe\x00") + done(number)

    async with hostile(tmp_path, answer) as directory:
        person = await directory.get(HOLDER)
    assert person is not None
    assert person.attributes == {}


async def test_two_people_with_one_id_are_nobody(tmp_path: Path) -> None:
    async def answer(number: bytes) -> AsyncIterator[bytes]:
        yield entry(number) + entry(number) + done(number)

    async with hostile(tmp_path, answer) as directory:
        assert await directory.get(HOLDER) is None
        assert not await directory.authenticate(HOLDER, Secret(b"password"))
