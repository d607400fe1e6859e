"""LDAP directories that are told which certificates a person has, under an account of its own.

Sources: [RFC 4523] 4.1 (userCertificate, always `;binary` but in Active Directory), [RFC 4511] 4.1.9 (results);
Microsoft KB5014754 (which forms of altSecurityIdentities map strongly).
"""

from dataclasses import dataclass
from typing import Final

import ldap3

from server.connectors.directory.ldap import NO_ATTRIBUTES, LdapDirectory
from server.connectors.directory.ldap_settings import LdapSettings
from server.connectors.directory.mapping import issuer_and_serial
from server.connectors.directory.wire import Wire
from server.ports.connection import Ability, Surroundings
from shared import errors
from shared.credential.model import HolderId
from shared.secret import Secret

NO_SUCH_ATTRIBUTE: Final = 16
VALUE_EXISTS: Final = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class WritingSettings:
    """Who writes, and what: an attribute whose name is empty is left alone."""

    user: str
    certificate_attribute: str
    mapping_attribute: str


class WritingLdapDirectory(LdapDirectory):
    """Find people, and write into their entries what their certificates are known by."""

    def __init__(
        self,
        settings: LdapSettings,
        password: Secret | None,
        writing: WritingSettings,
        writing_password: Secret | None,
        around: Surroundings | None = None,
    ) -> None:
        """Take settings; raises as `LdapDirectory`.

        Raises:
            Invalid: the writing account has no name or no password.
        """
        super().__init__(settings, password, around)
        if not writing.user or writing_password is None or writing_password.wiped:
            raise errors.Invalid(
                field="write-user", why="writing back needs an account of its own, with a password"
            )
        self._writing = writing
        self._pen = Wire(settings.as_user(writing.user), writing_password, writes=True)

    @property
    def abilities(self) -> frozenset[Ability]:
        """Those of every LDAP directory, and writing."""
        return super().abilities | {Ability.WRITE_BACK}

    async def publish(self, holder: HolderId, certificate: bytes) -> None:
        """Add a certificate to a person's entry; one that is there already stays.

        Raises:
            ConnectorUnreachable: no answer; it may have been done.
            ConnectorRefused: there is no such person, or the account may not write.
        """
        await self._ask("publish", lambda: self._change(holder, certificate, ldap3.MODIFY_ADD, VALUE_EXISTS))

    async def withdraw(self, holder: HolderId, certificate: bytes) -> None:
        """Take a certificate out of a person's entry; raises as `publish`, but nobody is no error."""
        await self._ask(
            "withdraw", lambda: self._change(holder, certificate, ldap3.MODIFY_DELETE, NO_SUCH_ATTRIBUTE)
        )

    async def close(self) -> None:
        """Leave the directory."""
        await self._in_thread(self._pen.close)
        await super().close()

    def _change(self, holder: HolderId, certificate: bytes, how: str, already: int) -> None:
        wanted = self._schema.id_filter(holder)
        entries = self._wire.search(wanted, [NO_ATTRIBUTES], 2) if wanted is not None else []
        if len(entries) != 1:
            if how == ldap3.MODIFY_DELETE:
                return
            raise errors.ConnectorRefused(connection=self._settings.connection, reason="no such person")
        # one by one: of two in one request, the one that is there already would keep the other out
        if name := self._writing.certificate_attribute:
            self._pen.modify(entries[0].dn, {name: [(how, [certificate])]}, already)
        if name := self._writing.mapping_attribute:
            value = issuer_and_serial(certificate).encode()
            self._pen.modify(entries[0].dn, {name: [(how, [value])]}, already)
