"""A real OpenLDAP and a real Active Directory are told of the certificates on a card, and told to forget them."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import ldap3
import pytest

from server.connectors.directory.active_directory import KIND
from server.connectors.directory.ldap_write import WritingLdapDirectory, WritingSettings
from server.connectors.directory.mapping import issuer_and_serial
from server.jobs.write_backs import write_backs
from server.operations.services import Services
from server.ports.directory import Directory
from server.ports.write_back import WriteBackAction
from shared.credential.model import CertificateState, Person, State
from shared.piv.ids import Algorithm, ProfileName, Slot
from shared.relay import OperationKind
from shared.secret import Secret
from tests.peers.samba import PEOPLE_BASE, WRITER, Samba
from tests.peers.slapd import ADMIN, ADMIN_PASSWORD, Slapd, people, slapd
from tests.peers.slapd import PEOPLE_BASE as BASE_OF_PEOPLE
from tests.scenario.lab import Lab
from tests.scenario.replacing import record_of
from tests.scenario.templates import certificate, template
from tests.server.connectors.directory.built import build
from tests.server.connectors.directory.test_active_directory import configured

WRITTEN = template(
    certificate(Slot.AUTHENTICATION, Algorithm.P256, subject="CN=${user.name},O=Example")
    + "\nwrite-back = true"
)


def writing(server: Slapd) -> WritingLdapDirectory:
    """Return the server as a directory that an account of its own writes to."""
    return WritingLdapDirectory(
        server.settings(),
        server.password,
        WritingSettings(user=ADMIN, certificate_attribute="userCertificate;binary", mapping_attribute=""),
        Secret.from_text(ADMIN_PASSWORD),
    )


def kept(server: Slapd, user: str) -> Sequence[bytes]:
    """Return what is in somebody's entry, asked for without any code of ours."""
    address = ldap3.Server(server.host, port=server.tls_port, use_ssl=True)
    connection = ldap3.Connection(address, ADMIN, ADMIN_PASSWORD, auto_bind=True)
    try:
        connection.search(
            f"uid={user},{BASE_OF_PEOPLE}", "(objectClass=*)", attributes=["userCertificate;binary"]
        )
        (entry,) = connection.response or []
        found: Sequence[bytes] = entry["raw_attributes"].get("userCertificate;binary", [])
        return found
    finally:
        connection.unbind()


@contextlib.asynccontextmanager
async def desk(directory: Directory) -> AsyncIterator[Lab]:
    """Give a lab with a blank card, whose people are in this directory."""

    def with_directory(services: Services) -> Services:
        return replace(services, directories={"people": directory})

    lab = await Lab.start(adapt=with_directory, template=WRITTEN)
    await lab.insert(ProfileName.YUBIKEY_5_4)
    try:
        yield lab
    finally:
        await lab.close()


async def issue(lab: Lab, person: Person) -> bytes:
    """Issue a card; return the certificate that was proven on it."""
    outcome = await lab.perform(OperationKind.ISSUE, subject=person.holder, template="breadth")
    assert (outcome.error, outcome.state) == (None, State.ISSUED)
    (found,) = (await record_of(lab)).certificates
    assert found.state is CertificateState.CONFIRMED
    return found.certificate


async def later(lab: Lab) -> str:
    return await write_backs().run(lab.services, lab.services.clock.now() + timedelta(hours=1))


@pytest.mark.needs_slapd
async def test_a_directory_that_comes_back_learns_what_it_missed(tmp_path: Path) -> None:
    folder = tmp_path / "slapd"
    with slapd(folder, people(5)) as server:
        directory = writing(server)
        async with desk(directory) as lab:
            (person,) = await directory.search("bob", 2)
            der = await issue(lab, person)
            assert await asyncio.to_thread(kept, server, "bob") == [der]
            server.stop()
            outcome = await lab.perform(OperationKind.REVOKE, reason="lost")
            assert (outcome.error, outcome.state) == (None, State.REVOKED)
            (waiting,) = await lab.store.write_backs.waiting()
            assert waiting.action is WriteBackAction.WITHDRAW
            assert waiting.failure
            with slapd(folder, (), port=server.port, tls_port=server.tls_port) as again:
                assert await asyncio.to_thread(kept, again, "bob") == [der]
                assert await later(lab) == "1 done, 0 failed"
                assert await asyncio.to_thread(kept, again, "bob") == []
        await directory.close()


@pytest.mark.needs_samba
@pytest.mark.xdist_group("samba")
async def test_active_directory_is_told_and_told_to_forget(samba_domain: Samba) -> None:
    values: dict[str, Any] = {
        "write-back": ("certificate", "mapping"),
        "write-user": WRITER,
        "write-password": samba_domain.writing_password,
    }
    directory = build(KIND, configured(samba_domain, **values))
    assert isinstance(directory, WritingLdapDirectory)

    def entry() -> dict[str, Sequence[bytes]]:
        with samba_domain.administrator() as connection:
            names = ["userCertificate", "altSecurityIdentities"]
            connection.search(PEOPLE_BASE, "(sAMAccountName=u0110)", attributes=names)
            raw = connection.response[0]["raw_attributes"]
            return {name: raw.get(name, []) for name in names}

    try:
        async with desk(directory) as lab:
            (person,) = await directory.search("u0110", 2)
            der = await issue(lab, person)
            assert await asyncio.to_thread(entry) == {
                "userCertificate": [der],
                "altSecurityIdentities": [issuer_and_serial(der).encode()],
            }
            outcome = await lab.perform(OperationKind.REVOKE, reason="lost")
            assert outcome.error is None
            assert await asyncio.to_thread(entry) == {"userCertificate": [], "altSecurityIdentities": []}
    finally:
        await directory.close()
