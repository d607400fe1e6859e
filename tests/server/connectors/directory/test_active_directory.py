"""Active Directory by a real domain controller (Samba): names, groups, log-ons, Kerberos, what is written back."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from ldap3 import MODIFY_REPLACE

from server.connectors.directory.active_directory import KIND
from server.connectors.directory.ldap import LdapDirectory, TlsMode
from server.connectors.directory.ldap_settings import LdapSettings
from server.connectors.directory.ldap_write import WritingLdapDirectory
from server.connectors.directory.mapping import issuer_and_serial
from server.ports.connection import Ability
from shared import errors
from shared.clock import SystemClock
from shared.credential.model import HolderId
from shared.secret import Secret
from tests.peers.programs import need, run
from tests.peers.samba import (
    BASE,
    CATALOGUE_PORT,
    GROUPS_BASE,
    LDAP_PORT,
    PEOPLE_BASE,
    READER,
    READER_PASSWORD,
    REALM,
    WRITER,
    Samba,
    password_of,
)
from tests.server.connectors.directory.built import build

pytestmark = [pytest.mark.needs_samba, pytest.mark.xdist_group("samba")]


@asynccontextmanager
async def opened(settings: LdapSettings, password: Secret | None) -> AsyncIterator[LdapDirectory]:
    directory = LdapDirectory(settings, password)
    try:
        yield directory
    finally:
        await directory.close()


def configured(domain: Samba, **changes: Any) -> dict[str, Any]:
    values: dict[str, Any] = {
        "hosts": (domain.host,),
        "port": 636,
        "tls": "ldaps",
        "roots": domain.ca_file.read_text(),
        "bases": (PEOPLE_BASE,),
        "user": READER,
        "password": domain.password,
        "timeout-s": 10,
    }
    return values | changes


async def test_names_as_windows_has_them(samba_domain: Samba) -> None:
    async with opened(samba_domain.settings(), samba_domain.password) as directory:
        (bob,) = await directory.search("bob", 2)
    assert bob.attributes["upn"] == "bob@ad.lab.test"
    assert bob.attributes["sid"].startswith("S-1-5-21-")
    with samba_domain.administrator() as connection:
        connection.search(PEOPLE_BASE, "(sAMAccountName=bob)", attributes=["objectSid"])
        sid = connection.response[0]["raw_attributes"]["objectSid"][0]
    assert bob.attributes["sid"].rpartition("-")[2] == str(int.from_bytes(sid[-4:], "little"))


async def test_a_plain_line_gets_no_password_and_starttls_works(samba_domain: Samba) -> None:
    settings = samba_domain.settings(port=LDAP_PORT, tls=TlsMode.STARTTLS)
    async with opened(settings, samba_domain.password) as directory:
        assert len(await directory.search("bob", 5)) == 1


async def test_a_global_catalogue(samba_domain: Samba) -> None:
    settings = samba_domain.settings(port=CATALOGUE_PORT, base="")
    async with opened(settings, samba_domain.password) as directory:
        (bob,) = await directory.match("upn", "bob@ad.lab.test", 5)
        assert await directory.authenticate(bob.holder, Secret.from_text(password_of("bob")))


async def test_several_bases_and_a_host_that_is_down(samba_domain: Samba) -> None:
    """The whole domain refers to its other parts; referrals are not followed."""
    settings = samba_domain.settings(
        host="127.255.255.254",
        other_hosts=(samba_domain.host,),
        base=f"CN=Users,{BASE}",
        other_bases=(PEOPLE_BASE,),
    )
    async with opened(settings, samba_domain.password) as directory:
        assert {person.attributes["user"] for person in await directory.search("reader", 5)} == {"reader"}
        assert {person.attributes["user"] for person in await directory.search("bob", 5)} == {"bob"}
    async with opened(samba_domain.settings(base=BASE), samba_domain.password) as directory:
        assert len(await directory.search("bob", 5)) == 1


async def test_groups_in_groups(samba_domain: Samba) -> None:
    """Only the first three people are in the group that is in this group."""
    settings = samba_domain.settings(groups=(f"CN=Card holders,{GROUPS_BASE}",))
    async with opened(settings, samba_domain.password) as directory:
        assert {person.attributes["user"] for person in await directory.search("", 50)} == {
            "bob",
            "star",
            "back",
        }
        async with opened(samba_domain.settings(), samba_domain.password) as everybody:
            (umlaut,) = await everybody.search("umlaut", 2)
        assert await directory.get(umlaut.holder) is None
        assert not await directory.authenticate(umlaut.holder, Secret.from_text(password_of("umlaut")))
    settings = samba_domain.settings(groups=("CN=*)(objectClass=*",))
    async with opened(settings, samba_domain.password) as directory:
        assert list(await directory.search("", 50)) == []


async def test_why_a_password_does_not_count_now(samba_domain: Samba) -> None:
    async with opened(samba_domain.settings(), samba_domain.password) as directory:
        (locked,) = await directory.search("locked", 2)
        assert not locked.enabled
        with pytest.raises(errors.ConnectorRefused, match="the account is disabled"):
            await directory.authenticate(locked.holder, Secret.from_text(password_of("locked")))
        (person,) = await directory.search("u0100", 2)
        dn = f"CN=u0100,{PEOPLE_BASE}"
        with samba_domain.administrator() as connection:
            assert connection.modify(dn, {"pwdLastSet": [(MODIFY_REPLACE, [0])]}), connection.result
        try:
            with pytest.raises(errors.ConnectorRefused, match="the password has to be changed"):
                await directory.authenticate(person.holder, Secret.from_text(password_of("u0100")))
            assert not await directory.authenticate(person.holder, Secret(b"wrong"))
        finally:
            with samba_domain.administrator() as connection:
                connection.modify(dn, {"pwdLastSet": [(MODIFY_REPLACE, [-1])]})


async def test_kerberos_by_keytab_in_place_of_a_password(
    samba_domain: Samba, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keytab = tmp_path / "reader.keytab"
    run(
        [
            need("samba-tool", "samba-common-bin"), "domain", "exportkeytab", str(keytab), f"--principal={READER.partition('@')[0]}",
            "-s", samba_domain.folder / "etc" / "smb.conf",
        ]
    )  # fmt: skip
    monkeypatch.setenv("KRB5_CONFIG", str(samba_domain.folder / "krb5.conf"))
    settings = samba_domain.settings(bind_dn=f"reader@{REALM}", keytab=keytab)
    async with opened(settings, None) as directory:
        (bob,) = await directory.search("bob", 2)
        assert await directory.authenticate(bob.holder, Secret.from_text(password_of("bob")))


async def test_two_principals_side_by_side(
    samba_domain: Samba, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The library keeps tickets by the name of their cache, for the whole process."""
    monkeypatch.setenv("KRB5_CONFIG", str(samba_domain.folder / "krb5.conf"))
    export = [need("samba-tool", "samba-common-bin"), "domain", "exportkeytab"]
    for user in ("reader", "writer"):
        keytab = tmp_path / f"{user}.keytab"
        settings = samba_domain.folder / "etc" / "smb.conf"
        run([*export, str(keytab), f"--principal={user}", "-s", str(settings)])
    for user in ("reader", "writer"):
        wanted = samba_domain.settings(bind_dn=f"{user}@{REALM}", keytab=tmp_path / f"{user}.keytab")
        async with opened(wanted, None) as directory:
            assert len(await directory.search("bob", 2)) == 1


def a_certificate(domain: Samba) -> bytes:
    return x509.load_pem_x509_certificate((domain.folder / "server.pem").read_bytes()).public_bytes(
        Encoding.DER
    )


async def values_of(domain: Samba, user: str, attribute: str) -> Sequence[bytes]:
    with domain.administrator() as connection:
        connection.search(PEOPLE_BASE, f"(sAMAccountName={user})", attributes=[attribute])
        found: Sequence[bytes] = connection.response[0]["raw_attributes"].get(attribute, [])
        return found


async def test_certificates_are_written_back_by_an_account_of_its_own(samba_domain: Samba) -> None:
    values = configured(
        samba_domain,
        **{
            "write-back": ("certificate", "mapping"),
            "write-user": WRITER,
            "write-password": samba_domain.writing_password,
        },
    )
    directory = build(KIND, values)
    assert isinstance(directory, WritingLdapDirectory)
    assert Ability.WRITE_BACK in directory.abilities
    certificate = a_certificate(samba_domain)
    try:
        (person,) = await directory.search("u0101", 2)
        for _ in range(2):  # doing it again is no error
            await directory.publish(person.holder, certificate)
        assert await values_of(samba_domain, "u0101", "userCertificate") == [certificate]
        assert await values_of(samba_domain, "u0101", "altSecurityIdentities") == [
            issuer_and_serial(certificate).encode()
        ]
        for _ in range(2):
            await directory.withdraw(person.holder, certificate)
        assert await values_of(samba_domain, "u0101", "userCertificate") == []
        assert await values_of(samba_domain, "u0101", "altSecurityIdentities") == []
        await directory.withdraw(HolderId("00000000-0000-0000-0000-000000000000"), certificate)
        with pytest.raises(errors.ConnectorRefused, match="no such person"):
            await directory.publish(HolderId("00000000-0000-0000-0000-000000000000"), certificate)
    finally:
        await directory.close()


async def test_an_account_that_may_not_write_is_refused(samba_domain: Samba) -> None:
    values = configured(
        samba_domain,
        **{
            "write-back": ("certificate",),
            "write-user": READER,
            "write-password": Secret.from_text(READER_PASSWORD),
        },
    )
    directory = build(KIND, values)
    try:
        (person,) = await directory.search("u0102", 2)
        with pytest.raises(errors.ConnectorRefused, match="insufficientAccessRights"):
            await directory.publish(person.holder, a_certificate(samba_domain))
    finally:
        await directory.close()
    assert await values_of(samba_domain, "u0102", "userCertificate") == []


async def test_a_test_says_what_works(samba_domain: Samba) -> None:
    directory = build(KIND, configured(samba_domain), clock=SystemClock())
    try:
        findings = {finding.aspect.value: finding for finding in await directory.test()}
    finally:
        await directory.close()
    assert [finding.verdict.value for finding in findings.values()] == ["works"] * len(findings)
    assert "people" in findings["right to search"].detail
    assert "seconds" in findings["clock"].detail


async def test_a_test_says_what_does_not(samba_domain: Samba) -> None:
    async def verdicts(**changes: Any) -> dict[str, str]:
        directory = build(KIND, configured(samba_domain, **changes), clock=SystemClock())
        try:
            return {finding.aspect.value: finding.verdict.value for finding in await directory.test()}
        finally:
            await directory.close()

    unknown = await verdicts(hosts=("nowhere.invalid",))
    assert unknown["name resolution"] == "fails"
    assert set(unknown.values()) == {"fails", "skipped"}
    assert (await verdicts(hosts=("127.255.255.254",)))["connection"] == "fails"
    untrusted = await verdicts(roots=samba_domain.other_ca_file.read_text())
    assert (untrusted["connection"], untrusted["TLS"], untrusted["credentials"]) == (
        "works",
        "fails",
        "skipped",
    )
    wrong = await verdicts(password=Secret(b"wrong"))
    assert (wrong["TLS"], wrong["credentials"], wrong["right to search"]) == ("works", "fails", "skipped")
    empty = await verdicts(bases=(GROUPS_BASE,))
    assert (empty["credentials"], empty["right to search"]) == ("works", "fails")
