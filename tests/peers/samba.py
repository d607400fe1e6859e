"""A real Active Directory domain controller (Samba) with TLS and made-up people, for as long as a test needs it.

::

    with samba(folder, people(40)) as server:
        LdapDirectory(server.settings(), server.password)

Needs the packages samba, samba-ad-provision and samba-dsdb-modules, and root for the low ports that it cannot be talked
out of (mark tests `needs_samba`). It listens on an address of its own in 127.0.0.0/8.
"""

import contextlib
import os
import socket
import ssl
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import ldap3
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from server.connectors.directory.ldap import LdapSettings, VerifiedTls
from server.connectors.directory.schema import ACTIVE_DIRECTORY
from shared.secret import Secret
from tests.peers.certificates import server_certificates
from tests.peers.kerberos import kdc_certificate
from tests.peers.programs import alive, need, run, running, wait_until
from tests.peers.slapd import LdapPerson

REALM = "AD.LAB.TEST"
DOMAIN = "LAB"
BASE = "DC=ad,DC=lab,DC=test"
PEOPLE_BASE = f"OU=People,{BASE}"
GROUPS_BASE = f"OU=Groups,{BASE}"
ADMIN = f"Administrator@{REALM.lower()}"
ADMIN_PASSWORD = "Adm1n-Passw0rd!"
READER = f"reader@{REALM.lower()}"
READER_PASSWORD = "Reader-Passw0rd!"
WRITER = f"writer@{REALM.lower()}"
WRITER_PASSWORD = "Writer-Passw0rd!"

LDAP_PORT, LDAPS_PORT, CATALOGUE_PORT = 389, 636, 3269
NORMAL_ACCOUNT, DISABLED = 0x200, 0x2
START_TIMEOUT_S = 40

SETTINGS = """\
[global]
netbios name = DC1
realm = {realm}
workgroup = {domain}
server role = active directory domain controller
server services = rpc, ldap, cldap, kdc
ldap server require strong auth = allow_sasl_over_tls
interfaces = {host}/8
bind interfaces only = yes
private dir = {folder}/private
state directory = {folder}/state
cache directory = {folder}/cache
lock directory = {folder}
pid directory = {folder}/run
ncalrpc dir = {folder}/run/ncalrpc
ntp signd socket directory = {folder}/run/ntp
winbindd socket directory = {folder}/run/winbindd
binddns dir = {folder}/bind-dns
log file = {folder}/log.%m
tls enabled = yes
tls keyfile = {folder}/server.key
tls certfile = {folder}/server.pem
tls cafile = {folder}/ca.pem
"""
KERBEROS = """\
[libdefaults]
 default_realm = {realm}
 dns_lookup_kdc = false
 dns_lookup_realm = false
 dns_canonicalize_hostname = false
 rdns = false
 udp_preference_limit = 1
[realms]
 {realm} = {{
  kdc = {host}:88
 }}
"""

PKINIT = """\
[kdc]
 enable-pkinit = yes
 pkinit_identity = FILE:{folder}/kdc.pem,{folder}/kdc.key
 pkinit_anchors = FILE:{folder}/anchors.pem
 pkinit_principal_in_certificate = yes
 pkinit_win2k_require_binding = no
"""


def password_of(user: str) -> str:
    """Return a person's password."""
    return f"Passw0rd of {user}!"


@dataclass(frozen=True, slots=True, kw_only=True)
class Samba:
    """A running domain controller."""

    host: str
    folder: Path
    ca_file: Path
    other_ca_file: Path
    people: Sequence[LdapPerson]
    bind_dn: str = READER
    password: Secret = field(default_factory=lambda: Secret.from_text(READER_PASSWORD))
    writing_password: Secret = field(default_factory=lambda: Secret.from_text(WRITER_PASSWORD))

    def settings(self, **changes: Any) -> LdapSettings:
        """Return settings that reach it over LDAPS; fields may be changed."""
        values: dict[str, Any] = {
            "connection": "ad",
            "host": self.host,
            "port": LDAPS_PORT,
            "ca_file": self.ca_file,
            "base": PEOPLE_BASE,
            "bind_dn": self.bind_dn,
            "schema": ACTIVE_DIRECTORY,
            "timeout_s": 10,
        }
        return LdapSettings(**(values | changes))

    @contextlib.contextmanager
    def administrator(self) -> Iterator[Any]:
        """Give a connection of the administrator."""
        tls = VerifiedTls(validate=ssl.CERT_REQUIRED, ca_certs_file=str(self.ca_file))
        connection: Any = ldap3.Connection(
            ldap3.Server(self.host, LDAPS_PORT, use_ssl=True, tls=tls, get_info=ldap3.NONE),
            ADMIN,
            ADMIN_PASSWORD,
            auto_bind=ldap3.AUTO_BIND_NO_TLS,
            auto_referrals=False,
        )
        try:
            yield connection
        finally:
            connection.unbind()


@contextlib.contextmanager
def samba(folder: Path, who: Sequence[LdapPerson]) -> Iterator[Samba]:
    """Provision a domain in `folder` (new) and run its controller until the block ends."""
    folder.mkdir(parents=True, exist_ok=True)
    host = _free_host()
    run(
        [
            need("samba-tool", "samba-common-bin"), "domain", "provision",
            f"--targetdir={folder}", f"--realm={REALM}", f"--domain={DOMAIN}", "--server-role=dc",
            f"--adminpass={ADMIN_PASSWORD}", "--dns-backend=NONE", "--host-name=dc1", f"--host-ip={host}",
            "--option=interfaces = lo", "--option=bind interfaces only = yes",
        ]
    )  # fmt: skip
    server_certificates(folder, host, names=("dc1.ad.lab.test",))
    values = {"realm": REALM, "domain": DOMAIN, "host": host, "folder": folder}
    (folder / "etc" / "smb.conf").write_text(SETTINGS.format(**values))
    for name in ("ncalrpc", "ntp", "winbindd"):
        (folder / "run" / name).mkdir(parents=True, exist_ok=True)
    server = Samba(
        host=host, folder=folder, ca_file=folder / "ca.pem", other_ca_file=folder / "other-ca.pem", people=who
    )
    with controlling(server):
        with server.administrator() as connection:
            _fill(connection, who)
        yield server


@contextlib.contextmanager
def controlling(server: Samba, *, issuers: Sequence[x509.Certificate] = ()) -> Iterator[None]:
    """Run the controller of a domain that was provisioned; with `issuers`, their certificates log people on."""
    folder, settings = server.folder, server.folder / "krb5.conf"
    text = KERBEROS.format(realm=REALM, host=server.host)
    if issuers:
        kdc_certificate(folder, REALM, host=server.host)
        (folder / "anchors.pem").write_bytes(b"".join(each.public_bytes(Encoding.PEM) for each in issuers))
        text += PKINIT.format(folder=folder)
    settings.write_text(text)
    log = folder / "samba.log"
    argv: list[str | Path] = [
        need("env", "coreutils"), f"KRB5_CONFIG={settings}", need("samba", "samba"),
        "-F", "-M", "single", "--no-process-group", "-s", folder / "etc" / "smb.conf", "--debug-stdout",
    ]  # fmt: skip
    with running(argv, log=log) as process:
        wait_until(
            lambda: alive(process, log) and _accepts(server.host, LDAPS_PORT),
            "samba",
            timeout_s=START_TIMEOUT_S,
        )
        yield


def _fill(connection: Any, who: Sequence[LdapPerson]) -> None:
    """Add people, accounts that read and write, and a group in a group."""

    def add(dn: str, classes: Sequence[str], **attributes: Any) -> None:
        assert connection.add(dn, list(classes), attributes), (dn, connection.result)

    def account(dn: str, user: str, password: str, *, enabled: bool = True, **attributes: Any) -> None:
        add(
            dn,
            ("top", "person", "organizationalPerson", "user"),
            sAMAccountName=user,
            userPrincipalName=f"{user}@{REALM.lower()}",
            unicodePwd=f'"{password}"'.encode("utf-16-le"),
            userAccountControl=NORMAL_ACCOUNT | (0 if enabled else DISABLED),
            **attributes,
        )

    # a controller without its own DNS service does not register this name ("service/host" of a Kerberos log-on)
    controller = f"CN=DC1,OU=Domain Controllers,{BASE}"
    name = f"ldap/{connection.server.host}"
    connection.modify(controller, {"servicePrincipalName": [(ldap3.MODIFY_ADD, [name])]})
    add(PEOPLE_BASE, ("top", "organizationalUnit"))
    add(GROUPS_BASE, ("top", "organizationalUnit"))
    account(f"CN=reader,CN=Users,{BASE}", "reader", READER_PASSWORD)
    account(f"CN=writer,CN=Users,{BASE}", "writer", WRITER_PASSWORD)
    connection.modify(
        f"CN=Domain Admins,CN=Users,{BASE}",
        {"member": [(ldap3.MODIFY_ADD, [f"CN=writer,CN=Users,{BASE}"])]},
    )
    for person in who:
        photo = {"thumbnailPhoto": person.photo} if person.photo else {}
        account(
            person_dn(person),
            person.user,
            password_of(person.user),
            enabled=not person.locked,
            displayName=person.full_name,
            givenName=person.given_name,
            sn=person.surname,
            mail=person.mail,
            employeeID=str(person.number),
            department=person.department,
            title=person.title,
            **photo,
        )
    members = [person_dn(person) for person in who[:3]]
    add(f"CN=Engineers,{GROUPS_BASE}", ("top", "group"), sAMAccountName="Engineers", member=members)
    inner = [f"CN=Engineers,{GROUPS_BASE}"]
    add(f"CN=Card holders,{GROUPS_BASE}", ("top", "group"), sAMAccountName="Card holders", member=inner)


def disable(connection: Any, person: LdapPerson) -> None:
    """Disable an account, as an administrator does when somebody leaves."""
    changes = {"userAccountControl": [(ldap3.MODIFY_REPLACE, [NORMAL_ACCOUNT | DISABLED])]}
    assert connection.modify(person_dn(person), changes), connection.result


def person_dn(person: LdapPerson) -> str:
    """Return where a person is."""
    return f"CN={person.user},{PEOPLE_BASE}"


def guid_of(connection: Any, person: LdapPerson) -> bytes:
    """Return a person's objectGUID as it is stored."""
    connection.search(PEOPLE_BASE, f"(sAMAccountName={person.user})", attributes=["objectGUID"])
    found: bytes = connection.response[0]["raw_attributes"]["objectGUID"][0]
    return found


def _free_host() -> str:
    """Return a loopback address whose LDAP ports are free: they cannot be others, and tests run side by side."""
    for _ in range(200):
        host = "127." + ".".join(str(1 + byte % 250) for byte in os.urandom(3))
        with contextlib.ExitStack() as held:
            try:
                for port in (88, LDAP_PORT, LDAPS_PORT, 3268, CATALOGUE_PORT):
                    listener = held.enter_context(socket.socket())
                    listener.bind((host, port))
            except OSError:
                continue
            return host
    message = "no address whose LDAP ports are free; is this root?"
    raise AssertionError(message)


def _accepts(host: str, port: int) -> bool:
    try:
        socket.create_connection((host, port), 1).close()
    except OSError:
        return False
    return True
