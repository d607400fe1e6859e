"""LDAP when something is wrong: trust, passwords, limits, referrals, a server that goes."""

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import ldap3
import pytest

from server.connectors.directory.ldap import LdapDirectory, LdapSettings, TlsMode
from server.connectors.directory.schema import ACTIVE_DIRECTORY, OPENLDAP
from shared import errors
from shared.credential.model import HolderId
from shared.secret import Secret
from tests.peers.slapd import BASE, PASSWORD, SIZE_LIMIT, Slapd, free_port, people, slapd

with_slapd = [pytest.mark.needs_slapd]
pytestmark = with_slapd

PEOPLE = people(600)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Slapd]:
    with slapd(tmp_path_factory.mktemp("slapd"), PEOPLE) as running:
        yield running


@asynccontextmanager
async def opened(settings: LdapSettings, password: Secret) -> AsyncIterator[LdapDirectory]:
    directory = LdapDirectory(settings, password)
    try:
        yield directory
    finally:
        await directory.close()


async def refusal(settings: LdapSettings, password: Secret) -> errors.ConnectorError:
    async with opened(settings, password) as directory:
        with pytest.raises(errors.ConnectorError) as caught:
            await directory.search("bob", 5)
        assert PASSWORD not in str(caught.value)
        return caught.value


@pytest.mark.parametrize("mode", [TlsMode.LDAPS, TlsMode.STARTTLS])
async def test_an_untrusted_certificate_authority(server: Slapd, mode: TlsMode) -> None:
    make = server.settings if mode is TlsMode.LDAPS else server.starttls_settings
    error = await refusal(make(ca_file=server.other_ca_file), server.password)
    assert isinstance(error, errors.ConnectorRefused)
    assert "not trusted" in str(error.facts["reason"])
    error = await refusal(make(ca_file=None), server.password)
    assert isinstance(error, errors.ConnectorRefused)


@pytest.mark.parametrize("mode", [TlsMode.LDAPS, TlsMode.STARTTLS])
async def test_a_certificate_of_another_name(server: Slapd, mode: TlsMode) -> None:
    make = server.settings if mode is TlsMode.LDAPS else server.starttls_settings
    error = await refusal(make(host="localhost"), server.password)
    assert isinstance(error, errors.ConnectorRefused)
    assert "not trusted" in str(error.facts["reason"])


async def test_a_wrong_password(server: Slapd) -> None:
    error = await refusal(server.settings(), Secret(b"wrong"))
    assert isinstance(error, errors.ConnectorRefused)
    assert error.facts == {"connection": "main", "reason": "bind: invalidCredentials"}


async def test_an_unknown_base(server: Slapd) -> None:
    error = await refusal(server.settings(base="dc=nowhere,dc=test"), server.password)
    assert isinstance(error, errors.ConnectorRefused)


async def test_tls_spoken_to_a_port_without(server: Slapd) -> None:
    error = await refusal(server.settings(port=server.port), server.password)
    assert isinstance(error, errors.ConnectorUnreachable)


async def test_the_password_never_crosses_a_wire_that_is_not_encrypted(server: Slapd) -> None:
    """A server that answers StartTLS with success and then speaks no TLS gets no password."""
    received = bytearray()

    async def pretend(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        received.extend(await reader.read(4096))
        oid = b"1.3.6.1.4.1.1466.20037"  # [RFC 4511] 4.14.2: ExtendedResponse, success
        message = received[4]  # SEQUENCE, length, INTEGER of one byte
        writer.write(
            b"\x30\x24\x02\x01" + bytes([message]) + b"\x78\x1f\x0a\x01\x00\x04\x00\x04\x00\x8a\x16" + oid
        )
        await writer.drain()
        while more := await reader.read(4096):
            received.extend(more)
        writer.close()

    listener = await asyncio.start_server(pretend, "127.0.0.1", 0)
    async with listener:
        port = listener.sockets[0].getsockname()[1]
        error = await refusal(server.settings(port=port, tls=TlsMode.STARTTLS, timeout_s=1), server.password)
    assert isinstance(error, errors.ConnectorUnreachable)
    assert received
    assert PASSWORD.encode() not in received


async def test_nobody_listens(server: Slapd) -> None:
    error = await refusal(server.settings(port=free_port()), server.password)
    assert isinstance(error, errors.ConnectorUnreachable)
    assert error.retryable


async def test_a_silent_server_is_given_up(server: Slapd) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        error = await refusal(server.settings(port=port, timeout_s=1), server.password)
    assert isinstance(error, errors.ConnectorUnreachable)


async def test_a_server_that_restarts_is_found_again(tmp_path: Path) -> None:
    with slapd(tmp_path, people(10)) as first:
        port, tls_port = first.port, first.tls_port
        directory = LdapDirectory(first.settings(timeout_s=2), first.password)
        assert len(await directory.search("bob", 5)) == 1
    try:
        with pytest.raises(errors.ConnectorUnreachable):
            await directory.search("bob", 5)
        with slapd(tmp_path, people(10), port=port, tls_port=tls_port) as again:
            assert len(await directory.search("bob", 5)) == 1
            again.stop()
            with slapd(tmp_path, people(10), port=port, tls_port=tls_port):
                assert len(await directory.search("bob", 5)) == 1  # the dead connection is made again
    finally:
        await directory.close()


async def test_more_people_than_the_server_gives_at_once(server: Slapd) -> None:
    """The server's limit holds for paged searches too; what it gave counts."""
    async with opened(server.settings(), server.password) as directory:
        everybody = await directory.search("", 2000)
    assert len(everybody) == SIZE_LIMIT < len(PEOPLE)
    assert len({person.holder for person in everybody}) == SIZE_LIMIT


async def test_several_pages(server: Slapd) -> None:
    async with opened(server.settings(), server.password) as directory:
        assert len(await directory.search("", 450)) == 450


async def test_referrals_are_not_followed(server: Slapd) -> None:
    """The base is a referral to 192.0.2.1 ([RFC 5737]: nowhere): following it would take until the timeout."""
    settings = server.settings(base=f"cn=away,ou=people,{BASE}")
    async with asyncio.timeout(3):
        error = await refusal(settings, server.password)
    assert isinstance(error, errors.ConnectorRefused)
    assert error.facts["reason"] == "search: referral"


async def test_questions_at_the_same_time(server: Slapd) -> None:
    async with opened(server.settings(), server.password) as directory:
        answers = await asyncio.gather(*(directory.search(person.user, 3) for person in PEOPLE[:20]))
    assert [answer[0].attributes["user"] for answer in answers] == [person.user for person in PEOPLE[:20]]


async def test_group_membership_as_an_attribute(server: Slapd) -> None:
    settings = server.settings(attributes={"group": "memberOf"})
    async with opened(settings, server.password) as directory:
        (bob,) = await directory.search("bob", 5)
        (other,) = await directory.search(PEOPLE[50].user, 5)
    assert bob.attributes["group"] == f"cn=card-holders,ou=groups,{BASE}"
    assert "group" not in other.attributes


async def test_an_attribute_left_out(server: Slapd) -> None:
    async with opened(server.settings(attributes={"title": ""}), server.password) as directory:
        (bob,) = await directory.search("bob", 5)
    assert "title" not in bob.attributes


async def test_an_active_directory_schema_asks_in_its_own_words(server: Slapd) -> None:
    """OpenLDAP knows none of these attributes; the filters are valid and find nobody."""
    async with opened(server.settings(schema=ACTIVE_DIRECTORY), server.password) as directory:
        assert list(await directory.search("bob", 5)) == []
        assert await directory.get(HolderId("8d6b3a52-9a0e-4b8c-b7a7-0d6a40a1f0d3")) is None


async def test_the_password_is_in_no_log(server: Slapd, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        async with opened(server.settings(), server.password) as directory:
            await directory.search("bob", 5)
            kept: Any = directory._wire._connection
            assert isinstance(kept, ldap3.Connection)
            assert PASSWORD not in repr(kept)
            assert kept.password is None
    assert PASSWORD not in caplog.text


def test_settings_that_cannot_work(tmp_path: Path) -> None:
    def settings(**changes: Any) -> LdapSettings:
        values: dict[str, Any] = {"connection": "m", "host": "h", "base": "", "bind_dn": "cn=x"}
        return LdapSettings(**(values | changes))

    with pytest.raises(errors.Invalid):
        LdapDirectory(settings(), Secret(b""))  # [RFC 4513] 5.1.2: would be an anonymous bind
    with pytest.raises(errors.Invalid):
        LdapDirectory(settings(bind_dn=""), Secret(b"x"))
    with pytest.raises(errors.Invalid):
        LdapDirectory(settings(attributes={"user": "uid=*)(x"}), Secret(b"x"))
    with pytest.raises(errors.ConfigMissing):
        LdapDirectory(settings(ca_file=tmp_path / "none"), Secret(b"x"))
    assert settings().schema is OPENLDAP
