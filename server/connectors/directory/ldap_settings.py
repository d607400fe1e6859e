"""How one LDAP directory is reached, who asks it, and where its people are."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum, unique
from pathlib import Path

from server.connectors.directory.schema import OPENLDAP, Schema


@unique
class TlsMode(StrEnum):
    """How the wire is encrypted; there is no third way."""

    LDAPS = "ldaps"
    STARTTLS = "starttls"


@dataclass(frozen=True, slots=True, kw_only=True)
class LdapSettings:
    """One directory.

    `bases` are where people are searched; `base` is the first of them, and may be empty at a global catalogue. `bind_dn`
    is who asks (Active Directory also takes a UPN); with `keytab` a Kerberos principal, which needs no password. Where a
    host of several is down, the next is asked. Trust roots are `ca_file` or `roots` (PEM); without either the
    system's count. `attributes` are departures from the schema's. Where there are `groups`, only their members are people.
    """

    connection: str
    host: str
    base: str
    bind_dn: str
    other_hosts: tuple[str, ...] = ()
    other_bases: tuple[str, ...] = ()
    port: int = 636
    tls: TlsMode = TlsMode.LDAPS
    ca_file: Path | None = None
    roots: str = ""
    keytab: Path | None = None
    schema: Schema = OPENLDAP
    attributes: Mapping[str, str] = field(default_factory=dict)
    groups: tuple[str, ...] = ()
    timeout_s: int = 5

    @property
    def hosts(self) -> tuple[str, ...]:
        """Every host, in the order in which they are tried."""
        return (self.host, *self.other_hosts)

    def as_user(self, user: str) -> "LdapSettings":
        """Return the same directory for another account, by password."""
        return replace(self, bind_dn=user, keytab=None)

    @property
    def bases(self) -> tuple[str, ...]:
        """Every base."""
        return (self.base, *self.other_bases)
