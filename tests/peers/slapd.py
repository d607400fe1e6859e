"""A real OpenLDAP with TLS and made-up people, for as long as a test needs it.

::

    with slapd(folder, people(200)) as server:
        LdapDirectory(server.settings(), server.password)

Needs the packages slapd and ldap-utils (mark tests `needs_slapd`). It listens on 127.0.0.1 only, on free ports.
"""

import base64
import contextlib
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

import ldap3

from server.connectors.directory.ldap import LdapSettings, TlsMode, VerifiedTls
from shared.secret import Secret
from tests.peers.certificates import server_certificates

BASE = "dc=lab,dc=test"
PEOPLE_BASE = f"ou=people,{BASE}"
ADMIN = f"cn=admin,{BASE}"
READER = f"cn=reader,{BASE}"
PASSWORD = "reader-password"
ADMIN_PASSWORD = "admin-password"
SIZE_LIMIT = 500
SPACE = UUID("a7d5f7b4-0f5d-4b6a-9a34-2d3f1f3c7e11")

PROGRAM = shutil.which("slapd", path="/usr/sbin:/usr/bin:/usr/local/sbin")
LOADER = shutil.which("slapadd", path="/usr/sbin:/usr/bin:/usr/local/sbin")
SCHEMA = Path("/etc/ldap/schema")
MODULES = Path("/usr/lib/ldap")


@dataclass(frozen=True, slots=True, kw_only=True)
class LdapPerson:
    """Somebody in the directory. `locked`: locked for good by the password policy."""

    user: str
    given_name: str
    surname: str
    number: int
    name: str = ""
    department: str = "R&D"
    title: str = "Engineer"
    photo: bytes = b""
    locked: bool = False

    @property
    def full_name(self) -> str:
        return self.name or f"{self.given_name} {self.surname}"

    @property
    def entry_uuid(self) -> str:
        return str(uuid5(SPACE, self.user))

    @property
    def mail(self) -> str:
        return f"{self.user}@lab.test"

    @property
    def dn(self) -> str:
        return f"uid={self.user},{PEOPLE_BASE}"


def people(count: int) -> list[LdapPerson]:
    """Make up `count` people, the same every time; the first ones have difficult names."""
    difficult = [
        LdapPerson(user="bob", given_name="Bob", surname="Smith", number=1, photo=b"\xff\xd8photo\xff\xd9"),
        LdapPerson(user="star", given_name="Star*", surname="(Paren)", number=2),
        LdapPerson(user="back", given_name="Back\\slash", surname="O'Neill, Jr.", number=3),
        LdapPerson(user="umlaut", given_name="Jörg", surname="Müßig-Ångström", number=4),
        LdapPerson(user="locked", given_name="Lena", surname="Locked", number=5, locked=True),
    ]
    given = ["Anna", "Ben", "Clara", "David", "Emma", "Felix", "Greta", "Henry", "Ida", "Jonas"]
    family = ["Berg", "Falk", "Holm", "Lind", "Nord", "Quist", "Roth", "Stern", "Thal", "Vogt"]
    rest = [
        LdapPerson(
            user=f"u{number:04}",
            given_name=given[number % 10],
            surname=f"{family[number // 10 % 10]}-{number}",
            number=number,
        )
        for number in range(6, count + 1)
    ]
    return (difficult + rest)[:count]


@dataclass(frozen=True, slots=True, kw_only=True)
class Slapd:
    """A running server."""

    host: str
    port: int
    tls_port: int
    ca_file: Path
    other_ca_file: Path
    process: "subprocess.Popen[bytes]"
    people: Sequence[LdapPerson]
    base: str = BASE
    bind_dn: str = READER
    password: Secret = field(default_factory=lambda: Secret.from_text(PASSWORD))

    def settings(self, **changes: Any) -> LdapSettings:
        """Return settings that reach it over LDAPS; fields may be changed."""
        values: dict[str, Any] = {
            "connection": "main",
            "host": self.host,
            "port": self.tls_port,
            "ca_file": self.ca_file,
            "base": PEOPLE_BASE,
            "bind_dn": self.bind_dn,
            "attributes": {"upn": "mail"},
            "timeout_s": 10,
        }
        return LdapSettings(**(values | changes))

    def starttls_settings(self, **changes: Any) -> LdapSettings:
        """Return settings that reach it over StartTLS."""
        return self.settings(port=self.port, tls=TlsMode.STARTTLS, **changes)

    def stop(self) -> None:
        """End the process, wait for it."""
        self.process.terminate()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(10)


@contextlib.contextmanager
def slapd(folder: Path, who: Sequence[LdapPerson], *, port: int = 0, tls_port: int = 0) -> Iterator[Slapd]:
    """Run a server in `folder` (new) until the block ends."""
    assert PROGRAM is not None, "package slapd is missing"
    assert LOADER is not None, "package slapd is missing"
    folder.mkdir(parents=True, exist_ok=True)
    database = folder / "db"
    fresh = not database.exists()
    if fresh:
        database.mkdir()
        server_certificates(folder)
        (folder / "slapd.conf").write_text(_configuration(folder))
        (folder / "init.ldif").write_text(_ldif(who), encoding="utf-8")
        loading = [LOADER, "-q", "-f", str(folder / "slapd.conf"), "-l", str(folder / "init.ldif")]
        subprocess.run(loading, check=True, capture_output=True)
    port, tls_port = port or free_port(), tls_port or free_port()
    listen = f"ldap://127.0.0.1:{port}/ ldaps://127.0.0.1:{tls_port}/"
    with (folder / "slapd.log").open("ab") as log:
        process = subprocess.Popen(
            [PROGRAM, "-d", "0", "-f", str(folder / "slapd.conf"), "-h", listen],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    server = Slapd(
        host="127.0.0.1",
        port=port,
        tls_port=tls_port,
        ca_file=folder / "ca.pem",
        other_ca_file=folder / "other-ca.pem",
        process=process,
        people=who,
    )
    try:
        _wait_for(port, process)
        if fresh and who:
            _add_group(server, who)
        yield server
    finally:
        server.stop()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        found: int = probe.getsockname()[1]
        return found


def _wait_for(port: int, process: "subprocess.Popen[bytes]") -> None:
    end = time.monotonic() + 20
    while time.monotonic() < end:
        assert process.poll() is None, "slapd ended; see slapd.log"
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
        except OSError:
            time.sleep(0.02)
        else:
            return
    message = "slapd does not answer"
    raise AssertionError(message)


def _add_group(server: Slapd, who: Sequence[LdapPerson]) -> None:
    """Add a group over LDAP: the memberof overlay does not see what slapadd loads."""
    tls = VerifiedTls(validate=ssl.CERT_REQUIRED, ca_certs_file=str(server.ca_file))
    connection: Any = ldap3.Connection(
        ldap3.Server(server.host, server.tls_port, use_ssl=True, tls=tls, get_info=ldap3.NONE),
        ADMIN,
        ADMIN_PASSWORD,
        auto_bind=ldap3.AUTO_BIND_NO_TLS,
    )
    try:
        members = [person.dn for person in who[:10]]
        added = connection.add(f"cn=card-holders,ou=groups,{BASE}", ["groupOfNames"], {"member": members})
        assert added, connection.result
    finally:
        connection.unbind()


def _configuration(folder: Path) -> str:
    return f"""
include {SCHEMA}/core.schema
include {SCHEMA}/cosine.schema
include {SCHEMA}/inetorgperson.schema
modulepath {MODULES}
moduleload back_mdb
moduleload memberof
moduleload ppolicy
TLSCACertificateFile {folder}/ca.pem
TLSCertificateFile {folder}/server.pem
TLSCertificateKeyFile {folder}/server.key
TLSVerifyClient never
security simple_bind=128
sizelimit {SIZE_LIMIT}
pidfile {folder}/slapd.pid
database mdb
maxsize 67108864
suffix "{BASE}"
rootdn "{ADMIN}"
rootpw {ADMIN_PASSWORD}
directory {folder}/db
dbnosync
index objectClass,entryUUID,uid eq
overlay memberof
memberof-refint TRUE
overlay ppolicy
ppolicy_hash_cleartext
access to attrs=userPassword by anonymous auth by * none
access to * by users read by anonymous auth
"""


def _ldif(who: Sequence[LdapPerson]) -> str:
    return "\n".join(
        [
            _record(BASE, objectClass=["dcObject", "organization"], dc="lab", o="Lab"),
            _record(PEOPLE_BASE, objectClass="organizationalUnit", ou="people"),
            _record(f"ou=groups,{BASE}", objectClass="organizationalUnit", ou="groups"),
            _record(
                READER,
                objectClass=["organizationalRole", "simpleSecurityObject"],
                cn="reader",
                userPassword=PASSWORD,
            ),
            _record(
                f"cn=away,{PEOPLE_BASE}",
                objectClass=["referral", "extensibleObject"],
                cn="away",
                ref="ldap://192.0.2.1/dc=elsewhere,dc=test",
            ),
            *(_person(person) for person in who),
        ]
    )


def _person(person: LdapPerson) -> str:
    operational = {"pwdAccountLockedTime": "000001010000Z"} if person.locked else {}
    photo = {"jpegPhoto": person.photo} if person.photo else {}
    return _record(
        person.dn,
        objectClass="inetOrgPerson",
        uid=person.user,
        cn=person.full_name,
        givenName=person.given_name,
        sn=person.surname,
        mail=person.mail,
        employeeNumber=str(person.number),
        departmentNumber=person.department,
        title=person.title,
        userPassword=f"password of {person.user}",
        entryUUID=person.entry_uuid,
        **operational,
        **photo,
    )


def _record(dn: str, **attributes: str | bytes | Sequence[str]) -> str:
    lines = [_line("dn", dn)]
    for name, value in attributes.items():
        values = [value] if isinstance(value, str | bytes) else value
        lines += [_line(name, each) for each in values]
    return "\n".join(lines) + "\n"


def _line(name: str, value: str | bytes) -> str:
    raw = value.encode() if isinstance(value, str) else value
    return f"{name}:: {base64.b64encode(raw).decode()}"
