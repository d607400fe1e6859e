"""One line to an LDAP server: encrypted, verified, logged on, bounded.

The wire is always encrypted and the server's certificate always verified; referrals are not followed (they would
carry the password to a server that nobody configured). One connection, one thread; a connection that broke is made
again once per question. What comes back is bounded in bytes and in time, whatever the server makes of our limits.

Sources: [RFC 4511], [RFC 4513] 5.1.2 (a simple bind without a password is no log-on), [RFC 2696] (paged results),
[RFC 4752] (GSSAPI).
"""

import contextlib
import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar
from uuid import uuid4

import ldap3
from ldap3.core import exceptions as ldap_errors
from pyasn1.error import PyAsn1Error

from server.connectors.directory.bounded import ENDLESS, NOT_ONE, PATIENCE, BoundedSocket
from server.connectors.directory.ldap_settings import LdapSettings, TlsMode
from server.connectors.tls import client_context
from shared import errors
from shared.secret import Secret

T = TypeVar("T")

PAGE: Final = 200
"""Entries asked for at a time."""
PAGED_RESULTS: Final = "1.2.840.113556.1.4.319"

BIND: Final = "bind"
SUCCESS: Final = 0
SIZE_LIMIT_EXCEEDED: Final = 4
LATER: Final = frozenset({3, 51, 52})
"""timeLimitExceeded, busy, unavailable."""

NOT_LDAP: Final = (PyAsn1Error, ValueError, LookupError, TypeError, AttributeError, RecursionError)
"""What the library raises of its own where an answer is not LDAP."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One entry: its name, and its values by attribute."""

    dn: str
    values: Mapping[str, Sequence[bytes]]


class VerifiedTls(ldap3.Tls):
    """TLS as Python's ssl module has it today: 1.2 or later, server name sent, chain and name verified.

    The library's own way switches the name check off and does it afterwards, without naming the server it wants.
    """

    def wrap_socket(self, connection: Any, do_handshake: bool = False) -> None:  # noqa: ARG002, FBT001, FBT002 (its form)
        """Encrypt the connection's socket; the handshake is made here, so that nothing is sent before it."""
        context = client_context(roots=self.ca_certs_data or "")
        if self.ca_certs_file is not None:
            context = ssl.create_default_context(cafile=self.ca_certs_file)
        context.sslsocket_class = BoundedSocket
        connection.socket = context.wrap_socket(connection.socket, server_hostname=connection.server.host)


class Wire:
    """Ask one LDAP server. Every method blocks, and belongs to one thread.

    All of them raise `ConnectorUnreachable` (no connection, no answer in time, no answer that is LDAP) and
    `ConnectorRefused` (wrong password, no right, untrusted certificate, no such base).
    """

    def __init__(self, settings: LdapSettings, password: Secret | None, *, writes: bool = False) -> None:
        """Take settings and password; nothing is asked before the first question.

        Raises:
            Invalid: the bind name or the password is empty, the roots are none.
            NotSupported: there is a keytab, and the extra `kerberos` is not installed.
            ConfigMissing: the file of certificate authorities, or the keytab, is not there.
        """
        client_context(roots=settings.roots)
        self._kerberos = kerberos_errors() if settings.keytab is not None else ()
        self._settings = settings
        self._password = password
        self._writes = writes
        self._connection: Any = None
        self._tickets = f"MEMORY:{uuid4().hex}"
        """Where its Kerberos tickets are: the library keeps them by this name, for the whole process."""
        if settings.keytab is None and (not settings.bind_dn or password is None or password.wiped):
            raise errors.Invalid(field="password", why="a bind needs a name and a password")
        for path in (settings.ca_file, settings.keytab):
            if path is not None and not path.is_file():
                raise errors.ConfigMissing(file=str(path))

    def search(self, wanted: str, attributes: Sequence[str], limit: int) -> list[Entry]:
        """Return at most `limit` entries, asking base by base and page by page."""
        found: list[Entry] = []
        until = time.monotonic() + PATIENCE * self._settings.timeout_s
        for base in self._settings.bases:
            cookie: bytes | None = None
            while len(found) < limit:
                size = min(PAGE, limit - len(found))
                entries, cookie = self._page(base, wanted, attributes, size, cookie)
                found += entries
                if not cookie:
                    break
                if time.monotonic() > until:
                    raise self._unreachable(reason="pages without an end")
        return found[:limit]

    def modify(
        self, dn: str, changes: Mapping[str, Sequence[tuple[str, Sequence[bytes]]]], *done: int
    ) -> None:
        """Change an entry; results of `done` mean that it was so already."""

        def change(connection: Any) -> None:
            connection.modify(dn, {name: list(each) for name, each in changes.items()})
            self.require("modify", connection.result, SUCCESS, *done)

        self._again(change)

    def bind_as(self, dn: str, password: Secret) -> Mapping[str, Any]:
        """Try to log on as somebody else, on a connection of its own; return the result as it came."""

        def attempt() -> Mapping[str, Any]:
            connection = self._open(dn, password)
            try:
                return self._bind(connection)
            finally:
                _end(connection)

        return self._guarded(attempt)

    def ask_root(self, attributes: Sequence[str]) -> Mapping[str, Sequence[bytes]]:
        """Return what the server says of itself ([RFC 4512] 5.1)."""

        def ask(connection: Any) -> Mapping[str, Sequence[bytes]]:
            connection.search("", "(objectClass=*)", search_scope=ldap3.BASE, attributes=list(attributes))
            self.require("search", connection.result, SUCCESS)
            return next((dict(entry.values) for entry in _entries(connection)), {})

        return self._again(ask)

    def close(self) -> None:
        """Leave the server; the next question makes a new connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            _end(connection)

    def require(self, what: str, result: Mapping[str, Any], *accepted: int) -> None:
        """Raise what a result means unless it is accepted; the server's own text stays out, it may quote names."""
        if result["result"] in accepted:
            return
        reason = f"{what}: {result['description']}"
        if result["result"] in LATER:
            raise self._unreachable(reason)
        raise errors.ConnectorRefused(connection=self._settings.connection, reason=reason)

    # --- pages and connections ------------------------------------------------------------------------

    def _page(
        self, base: str, wanted: str, attributes: Sequence[str], size: int, cookie: bytes | None
    ) -> tuple[list[Entry], bytes | None]:
        """Fetch one page; a connection that turns out to be dead is made again, unless pages came over it."""

        def ask(connection: Any) -> tuple[list[Entry], bytes | None]:
            connection.search(
                base,
                wanted,
                search_scope=ldap3.SUBTREE,
                dereference_aliases=ldap3.DEREF_NEVER,
                attributes=list(attributes),
                time_limit=self._settings.timeout_s,
                paged_size=size,
                paged_cookie=cookie,
            )
            self.require("search", connection.result, SUCCESS, SIZE_LIMIT_EXCEEDED)
            paging = (connection.result.get("controls") or {}).get(PAGED_RESULTS)
            return _entries(connection), paging["value"]["cookie"] if paging else None

        return self._again(ask, once=bool(cookie))

    def _again(self, ask: Callable[[Any], T], *, once: bool = False) -> T:
        """Ask; where the connection turns out to be an old and dead one, ask again on a new one."""
        if self._connection is not None and not once:
            with contextlib.suppress(errors.ConnectorUnreachable):
                return self._guarded(lambda: ask(self._connected()))
        return self._guarded(lambda: ask(self._connected()))

    def _guarded(self, work: Callable[[], T]) -> T:
        """Name what the library raises, and let no connection live on after that."""
        try:
            return work()
        except ldap_errors.LDAPExceptionError as cause:
            self.close()
            raise self._named(cause) from cause
        except self._kerberos as cause:
            self.close()
            reason = f"{BIND}: Kerberos: {cause}"
            raise errors.ConnectorRefused(connection=self._settings.connection, reason=reason) from cause
        except NOT_LDAP as cause:
            self.close()
            raise self._unreachable(reason=NOT_ONE) from cause
        except errors.ConnectorUnreachable:
            self.close()
            raise

    def _connected(self) -> Any:
        """Return the connection, made and logged on where there is none."""
        if self._connection is None:
            connection = self._open(self._settings.bind_dn, self._password)
            try:
                self.require(BIND, self._bind(connection), SUCCESS)
            except BaseException:
                _drop(connection)
                raise
            self._connection = connection
        self._connection.socket.allow(PATIENCE * self._settings.timeout_s)
        return self._connection

    def _open(self, who: str, password: Secret | None) -> Any:
        """Return an encrypted connection to the first host that answers, not logged on yet."""
        *first, last = self._settings.hosts
        for host in first:
            with contextlib.suppress(ldap_errors.LDAPCommunicationError):
                return self._open_at(host, who, password)
        return self._open_at(last, who, password)

    def _open_at(self, host: str, who: str, password: Secret | None) -> Any:
        settings = self._settings
        tls = VerifiedTls(
            validate=ssl.CERT_REQUIRED,
            ca_certs_file=str(settings.ca_file) if settings.ca_file is not None else None,
            ca_certs_data=settings.roots or None,
        )
        server = ldap3.Server(
            host,
            port=settings.port,
            use_ssl=settings.tls is TlsMode.LDAPS,
            tls=tls,
            get_info=ldap3.NONE,
            connect_timeout=settings.timeout_s,
        )
        connection = ldap3.Connection(
            server,
            user=who or None,
            client_strategy=ldap3.SYNC,
            auto_bind=ldap3.AUTO_BIND_NONE,
            auto_referrals=False,
            read_only=not self._writes,
            receive_timeout=settings.timeout_s,
            **self._credentials(password),
        )
        try:
            connection.open()
            if settings.tls is TlsMode.STARTTLS:
                _encrypt(connection)
            connection.socket.allow(PATIENCE * settings.timeout_s)
        except BaseException:
            _drop(connection)
            raise
        return connection

    def _credentials(self, password: Secret | None) -> dict[str, Any]:
        if password is not None:
            return {"authentication": ldap3.SIMPLE, "password": password.reveal()}
        store = {"client_keytab": str(self._settings.keytab), "ccache": self._tickets}
        return {"authentication": ldap3.SASL, "sasl_mechanism": ldap3.KERBEROS, "cred_store": store}

    @staticmethod
    def _bind(connection: Any) -> Mapping[str, Any]:
        try:
            connection.bind()
        finally:
            connection.password = None
        result: Mapping[str, Any] = connection.result
        return result

    def _named(self, cause: ldap_errors.LDAPExceptionError) -> errors.ConnectorError:
        """Name what the library raised: who is not trusted refused us for good, the rest may come back."""
        name = self._settings.connection
        text = str(cause)
        if "CERTIFICATE_VERIFY_FAILED" in text or isinstance(cause, ldap_errors.LDAPCertificateError):
            mismatch = "mismatch" in text
            why = "the server's certificate is not trusted" + (": it is for another name" if mismatch else "")
            return errors.ConnectorRefused(connection=name, reason=why)
        nonsense = ldap_errors.LDAPStartTLSError | ldap_errors.LDAPExtensionError
        if isinstance(cause, ldap_errors.LDAPCommunicationError | nonsense):
            known = next((why for why in (ENDLESS, NOT_ONE) if why in text), type(cause).__name__)
            return self._unreachable(known)
        return errors.ConnectorRefused(connection=name, reason=type(cause).__name__)

    def _unreachable(self, reason: str) -> errors.ConnectorUnreachable:
        return errors.ConnectorUnreachable(connection=self._settings.connection, reason=reason)


def kerberos_errors() -> tuple[type[Exception], ...]:
    """Return what Kerberos raises.

    Raises:
        NotSupported: the extra `kerberos` is not installed.
    """
    try:
        from gssapi.raw.misc import GSSError  # noqa: PLC0415  # an extra
    except ImportError as cause:
        raise errors.NotSupported(what="a log-on by keytab: install the extra kerberos") from cause
    return (GSSError,)


def _entries(connection: Any) -> list[Entry]:
    return [
        Entry(dn=response["dn"], values=response["raw_attributes"])
        for response in connection.response or ()
        if response["type"] == "searchResEntry"
    ]


def _encrypt(connection: Any) -> None:
    """Start TLS on an open connection; whatever goes wrong, no password follows."""
    if not (connection.start_tls() and isinstance(connection.socket, ssl.SSLSocket)):
        message = "StartTLS did not take place"
        raise ldap_errors.LDAPStartTLSError(message)


def _end(connection: Any) -> None:
    with contextlib.suppress(ldap_errors.LDAPExceptionError, OSError):  # it may be dead already
        connection.unbind()
    _drop(connection)


def _drop(connection: Any) -> None:
    """Close what the library leaves open where a connection failed half-way."""
    if connection.socket is not None:
        connection.socket.close()
