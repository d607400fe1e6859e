"""Connections that `kiosk.toml` gives: directories that are there from the first start on, and never change while it runs.

They are built at the start, so that a file that is missing or wrong is said before anybody comes to the counter. All others are
kept in the database (`server.authority.connections`).
"""

from typing import NoReturn

from server.connectors.directory.file import FileDirectory
from server.connectors.directory.ldap import LdapDirectory, LdapSettings, TlsMode
from server.connectors.directory.schema import ACTIVE_DIRECTORY, OPENLDAP
from server.connectors.kinds import KINDS
from server.ports.connection import Surroundings
from server.settings import FileDirectorySettings, LdapDirectorySettings, ServerSettings
from server.switchboard import Switchboard
from shared import errors
from shared.clock import Clock


def connect_given(switchboard: Switchboard, settings: ServerSettings, clock: Clock) -> None:
    """Add the directories of the settings.

    Raises:
        ConfigMissing, ConfigInvalid, Invalid: a file is not there, or wrong; an attribute's name is none.
    """
    for name, wanted in settings.directory.items():
        match wanted:
            case FileDirectorySettings():
                switchboard.fix(name, KINDS["file"], FileDirectory(wanted.path, connection=name))
            case LdapDirectorySettings():
                _connect_ldap(switchboard, name, wanted, clock)


def _connect_ldap(switchboard: Switchboard, name: str, wanted: LdapDirectorySettings, clock: Clock) -> None:
    active = wanted.schema == "active-directory"
    line = switchboard.line(name, timeout_s=float(wanted.timeout_s))
    directory = LdapDirectory(
        LdapSettings(
            connection=name,
            host=wanted.host,
            port=wanted.port,
            base=wanted.base,
            bind_dn=wanted.bind_dn,
            tls=TlsMode(wanted.tls),
            ca_file=wanted.ca_file,
            schema=ACTIVE_DIRECTORY if active else OPENLDAP,
            attributes=wanted.attributes,
            timeout_s=wanted.timeout_s,
        ),
        wanted.password,
        Surroundings(clock=clock, line=line, others=_nobody),
    )
    switchboard.fix(name, KINDS["active-directory" if active else "openldap"], directory, line)


def _nobody(name: str) -> NoReturn:
    """A directory of the settings refers to no other."""
    raise errors.Invalid(field="connection", why=f"the settings know no way to {name}")
