"""LDAP directories: OpenLDAP, Active Directory, and what speaks like them.

The wire is always encrypted and the server's certificate always verified; referrals are not followed (they would
carry the password to a server that nobody configured). One connection, one thread; a connection that broke is made
again once per question.

Sources: [RFC 4511], [RFC 4513] 5.1.2 (a simple bind without a password is no log-on), [RFC 4515] (filters),
[RFC 2696] (paged results).
"""

import asyncio
import contextlib
import re
import ssl
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from enum import StrEnum, unique
from pathlib import Path
from typing import Any, Final, TypeVar

import ldap3
from ldap3.core import exceptions as ldap_errors
from ldap3.utils.conv import escape_filter_chars

from server.connectors.directory.entry import person_from
from server.connectors.directory.memory import EXACT_ATTRIBUTES, PREFIX_ATTRIBUTES, by_name
from server.connectors.directory.schema import OPENLDAP, Schema
from shared import errors
from shared.credential.model import HolderId, Person
from shared.secret import Secret

T = TypeVar("T")

PAGE: Final = 200
"""Entries asked for at a time."""

MAX_WORDS: Final = 8
"""Words of a search text that count; nobody types more, and each makes the filter longer."""

PAGED_RESULTS: Final = "1.2.840.113556.1.4.319"
ATTRIBUTE_NAME: Final = re.compile(r"[A-Za-z][A-Za-z0-9-]*(;[A-Za-z0-9-]+)*")

STATUS_ATTRIBUTES: Final = (
    "userAccountControl", "pwdAccountLockedTime", "accountExpires", "pwdEndTime", "shadowExpire",
)  # fmt: skip

SUCCESS: Final = 0
SIZE_LIMIT_EXCEEDED: Final = 4
LATER: Final = frozenset({3, 51, 52})
"""timeLimitExceeded, busy, unavailable."""


@unique
class TlsMode(StrEnum):
    """How the wire is encrypted; there is no third way."""

    LDAPS = "ldaps"
    STARTTLS = "starttls"


@dataclass(frozen=True, slots=True, kw_only=True)
class LdapSettings:
    """One directory.

    `base` is where people are searched, `bind_dn` who asks (Active Directory also takes a UPN); without `ca_file`
    the system's certificate authorities count. `attributes` are departures from the schema's.
    """

    connection: str
    host: str
    base: str
    bind_dn: str
    port: int = 636
    tls: TlsMode = TlsMode.LDAPS
    ca_file: Path | None = None
    schema: Schema = OPENLDAP
    attributes: Mapping[str, str] = field(default_factory=dict)
    timeout_s: int = 5


class VerifiedTls(ldap3.Tls):
    """TLS as Python's ssl module has it today: 1.2 or later, server name sent, chain and name verified.

    The library's own way switches the name check off and does it afterwards, without naming the server it wants.
    """

    def wrap_socket(self, connection: Any, do_handshake: bool = False) -> None:  # noqa: ARG002, FBT001, FBT002 (its form)
        """Encrypt the connection's socket; the handshake is made here, so that nothing is sent before it."""
        context = ssl.create_default_context(cafile=self.ca_certs_file)
        connection.socket = context.wrap_socket(connection.socket, server_hostname=connection.server.host)


def _encrypt(connection: Any) -> None:
    """Start TLS on an open connection; whatever goes wrong, no password follows."""
    if not (connection.start_tls() and isinstance(connection.socket, ssl.SSLSocket)):
        message = "StartTLS did not take place"
        raise ldap_errors.LDAPStartTLSError(message)


def _drop(connection: Any) -> None:
    """Close what the library leaves open where a connection failed half-way."""
    if connection.socket is not None:
        connection.socket.close()


class LdapDirectory:
    """Find people in an LDAP directory."""

    def __init__(self, settings: LdapSettings, password: Secret) -> None:
        """Take settings and password; nothing is asked before the first question.

        Raises:
            Invalid: an attribute's name is none, the bind name or the password is empty.
            ConfigMissing: the file of certificate authorities is not there.
        """
        self._settings = settings
        self._schema = settings.schema.with_attributes(settings.attributes)
        for name in self._schema.attributes.values():
            if not ATTRIBUTE_NAME.fullmatch(name):
                raise errors.Invalid(field="attributes", why=f"no name of an attribute: {name}")
        if not settings.bind_dn or password.wiped:
            raise errors.Invalid(field="password", why="a bind needs a name and a password")
        if settings.ca_file is not None and not settings.ca_file.is_file():
            raise errors.ConfigMissing(file=str(settings.ca_file))
        self._password = password
        self._connection: Any = None
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="ldap")

    async def search(self, text: str, limit: int) -> Sequence[Person]:
        """Return at most `limit` people that match, by name; an empty text matches everybody.

        Every word of the text must be part of the name, begin log-on name, UPN or mail, or be the number.

        Raises:
            ConnectorUnreachable: no connection, or no answer in time.
            ConnectorRefused: wrong password, no right, untrusted certificate, no such base.
        """
        if limit <= 0 or not "".join(text.split()).isprintable():
            # directories drop control characters before they compare ([RFC 4518] 2.2): *\00* would match everybody
            return ()
        names = [name for name in self._schema.attributes if name != "photo"]
        people = await self._in_thread(lambda: self._find(self._search_filter(text), names, limit))
        return sorted(people, key=by_name)

    async def get(self, holder: HolderId) -> Person | None:
        """Return the person with this immutable id, or None; raises as `search`."""
        wanted = self._schema.id_filter(holder)
        if wanted is None:
            return None
        people = await self._in_thread(lambda: self._find(wanted, list(self._schema.attributes), 2))
        return people[0] if len(people) == 1 else None

    async def close(self) -> None:
        """Leave the directory."""
        await self._in_thread(self._disconnect)
        self._executor.shutdown(wait=True)

    def _search_filter(self, text: str) -> str:
        return f"(&{self._schema.person_filter}{''.join(map(self._word, text.split()[:MAX_WORDS]))})"

    def _word(self, word: str) -> str:
        escaped = escape_filter_chars(word)
        attributes = self._schema.attributes
        parts = [f"({attributes['name']}=*{escaped}*)"] if "name" in attributes else []
        parts += [f"({attributes[name]}={escaped}*)" for name in PREFIX_ATTRIBUTES if name in attributes]
        parts += [f"({attributes[name]}={escaped})" for name in EXACT_ATTRIBUTES if name in attributes]
        return f"(|{''.join(parts)})"

    def _find(self, wanted: str, names: Sequence[str], limit: int) -> list[Person]:
        """Ask page by page until there are `limit` people or no more."""
        attributes = [
            self._schema.id_attribute,
            *STATUS_ATTRIBUTES,
            *(self._schema.attributes[name] for name in names),
        ]
        people: list[Person] = []
        cookie: bytes | None = None
        while True:
            size = min(PAGE, limit - len(people))
            entries, cookie = self._page(wanted, attributes, size, cookie)
            people += [
                person
                for person in (person_from(entry, self._schema) for entry in entries)
                if person is not None
            ]
            if not cookie or len(people) >= limit:
                return people[:limit]

    def _page(
        self, wanted: str, attributes: Sequence[str], size: int, cookie: bytes | None
    ) -> tuple[list[dict[str, list[bytes]]], bytes | None]:
        """Fetch one page; a connection that turns out to be dead is made again, unless pages came over it."""
        fresh = self._connection is None
        try:
            return self._ask(wanted, attributes, size, cookie)
        except ldap_errors.LDAPExceptionError as cause:
            self._disconnect()
            if fresh or cookie:
                raise self._named(cause) from cause
        try:
            return self._ask(wanted, attributes, size, cookie)
        except ldap_errors.LDAPExceptionError as cause:
            self._disconnect()
            raise self._named(cause) from cause

    def _ask(
        self, wanted: str, attributes: Sequence[str], size: int, cookie: bytes | None
    ) -> tuple[list[dict[str, list[bytes]]], bytes | None]:
        connection = self._connected()
        connection.search(
            self._settings.base,
            wanted,
            search_scope=ldap3.SUBTREE,
            dereference_aliases=ldap3.DEREF_NEVER,
            attributes=list(attributes),
            time_limit=self._settings.timeout_s,
            paged_size=size,
            paged_cookie=cookie,
        )
        result = connection.result
        self._require("search", result, SUCCESS, SIZE_LIMIT_EXCEEDED)
        entries = [
            response["raw_attributes"]
            for response in connection.response or ()
            if response["type"] == "searchResEntry"
        ]
        paging = (result.get("controls") or {}).get(PAGED_RESULTS)
        return entries, paging["value"]["cookie"] if paging else None

    def _connected(self) -> Any:
        """Return the connection, made and logged on where there is none."""
        if self._connection is not None:
            return self._connection
        settings = self._settings
        tls = VerifiedTls(
            validate=ssl.CERT_REQUIRED,
            ca_certs_file=str(settings.ca_file) if settings.ca_file is not None else None,
        )
        server = ldap3.Server(
            settings.host,
            port=settings.port,
            use_ssl=settings.tls is TlsMode.LDAPS,
            tls=tls,
            get_info=ldap3.NONE,
            connect_timeout=settings.timeout_s,
        )
        connection = ldap3.Connection(
            server,
            user=settings.bind_dn,
            password=self._password.reveal().decode(),
            authentication=ldap3.SIMPLE,
            client_strategy=ldap3.SYNC,
            auto_bind=ldap3.AUTO_BIND_NONE,
            auto_referrals=False,
            read_only=True,
            receive_timeout=settings.timeout_s,
        )
        try:
            connection.open()
            if settings.tls is TlsMode.STARTTLS:
                _encrypt(connection)
            connection.bind()
            self._require("bind", connection.result, SUCCESS)
        except BaseException:
            _drop(connection)
            raise
        finally:
            connection.password = None
        self._connection = connection
        return connection

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(ldap_errors.LDAPExceptionError, OSError):  # it may be dead already
                connection.unbind()
            _drop(connection)

    def _require(self, what: str, result: Mapping[str, Any], *accepted: int) -> None:
        """Raise what a result means unless it is accepted; the server's own text stays out, it may quote names."""
        if result["result"] in accepted:
            return
        reason = f"{what}: {result['description']}"
        if result["result"] in LATER:
            raise errors.ConnectorUnreachable(connection=self._settings.connection, reason=reason)
        raise errors.ConnectorRefused(connection=self._settings.connection, reason=reason)

    def _named(self, cause: ldap_errors.LDAPExceptionError) -> errors.ConnectorError:
        """Name what the library raised: who is not trusted refused us for good, the rest may come back."""
        name = self._settings.connection
        text = str(cause)
        if "CERTIFICATE_VERIFY_FAILED" in text or isinstance(cause, ldap_errors.LDAPCertificateError):
            return errors.ConnectorRefused(connection=name, reason="the server's certificate is not trusted")
        nonsense = ldap_errors.LDAPStartTLSError | ldap_errors.LDAPExtensionError
        if isinstance(cause, ldap_errors.LDAPCommunicationError | nonsense):
            return errors.ConnectorUnreachable(connection=name, reason=type(cause).__name__)
        return errors.ConnectorRefused(connection=name, reason=type(cause).__name__)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._executor, work)
