"""HTTP for connectors: one transport over aiohttp, configured by the fields of `server.connectors.fields`.

TLS 1.2 or later and always verified, against the system's roots or, where `roots` are given, against these alone; a client's
key is handed to the TLS library through a file in memory. Answers have a bound, redirects are not followed, compression is not
accepted (a small answer must not become a large one), and what is not asked for by the caller becomes a typed error with
the connection's name. No body and no header of either side is ever part of an error.
"""

import json as json_text
import ssl
from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Final
from urllib.parse import urlencode

import aiohttp
from yarl import URL

from server.connectors.reply import Reply, date_of, refusal, retry_after
from server.connectors.tls import client_context, credential_ends, why_not
from server.ports.connection import Configured, Surroundings
from server.ports.line import NoAnswer
from shared import errors
from shared.secret import Secret

MAX_ANSWER: Final = 1 << 20
"""Bytes of an answer, unless a caller expects more."""
CONNECT_TIMEOUT_S: Final = 5.0
KEEP_ALIVE_S: Final = 10.0
"""Idle connections are closed before servers do it, so that a request does not run into it."""
MAX_HEADERS: Final = 64 << 10
CHUNK: Final = 64 << 10

REPEATABLE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
NOT_THERE: Final = frozenset({429, 502, 503, 504})
"""Nobody looked at the request, or somebody in between lost the answer."""


class Http:
    """One origin, as one connection is configured to reach it."""

    def __init__(
        self,
        configured: Configured,
        around: Surroundings,
        *,
        base: str = "",
        headers: Mapping[str, str | Secret] | None = None,
        cookies: bool = False,
        limit: int = MAX_ANSWER,
        plain: bool = False,
    ) -> None:
        """Take what `HTTP_FIELDS` or `CLIENT_HTTP_FIELDS` (`server.connectors.fields`) configure; nothing is asked before the first call.

        `base` replaces the field `url` (for a second origin: a token endpoint), `headers` go with every request,
        `cookies` keeps a session (of a server without a name, too: there is one origin), `plain` allows http:// for a
        protocol whose messages are protected themselves.

        Raises:
            Invalid: address, roots, our certificate or our key cannot be used.
        """
        self.connection = configured.name
        self.line = around.line
        self._clock = around.clock
        self._base = _origin(base or configured.text("url"), plain=plain)
        self._headers = dict(headers or {})
        self._cookies = cookies
        self._limit = limit
        self._certificate = configured.text("client-certificate")
        self._context = client_context(
            roots=configured.text("roots"), certificate=self._certificate, key=configured.secret("client-key")
        )
        self._proxy = configured.text("proxy")
        password = configured.secret("proxy-password")
        named = configured.text("proxy-user")
        shown = (
            aiohttp.encode_basic_auth(named, password.reveal().decode() if password else "") if named else ""
        )
        self._proxy_headers = {"Proxy-Authorization": shown} if shown else None
        self._session: aiohttp.ClientSession | None = None
        self.clock_ahead_s: float | None = None
        """How far the other end's clock is before ours, by its last answer that said a time."""

    @property
    def base(self) -> str:
        """The address that paths are relative to, without a slash at its end."""
        return str(self._base).rstrip("/")

    @property
    def context(self) -> ssl.SSLContext:
        """How TLS is made, for those who test it."""
        return self._context

    @property
    def proxy(self) -> str:
        """The proxy on the way; empty where there is none."""
        return self._proxy

    async def call(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        json: object = None,
        form: Mapping[str, str | Secret] | None = None,
        body: bytes | None = None,
        headers: Mapping[str, str | Secret] | None = None,
        ok: Collection[int] = (200,),
        what: str = "",
        repeatable: bool | None = None,
        within_s: float | None = None,
        limit: int | None = None,
    ) -> Reply:
        """Send one request and return its answer, where its status is one of `ok`; the caller judges those itself.

        `path` is below the base; an address with scheme and host must be of the same origin. GET, HEAD and OPTIONS are
        repeated where no answer came, others only where `repeatable` says so. `what` names the call for people.

        Raises:
            ConnectorUnreachable: no answer; also for 429, 502, 503, 504 and 500 that are not in `ok`.
            ConnectorRefused: any other status, or our credential or theirs is not accepted.
            ConnectorAnswerWrong: it is too large, compressed, or points elsewhere.
        """
        method = method.upper()
        address = self._address(path, query)
        data, sent = _content(json=json, form=form, body=body)
        sent |= {name: _plain(value) for name, value in {**self._headers, **(headers or {})}.items()}

        async def act() -> Reply:
            reply = await self._send(method, address, data=data, headers=sent, limit=limit or self._limit)
            if reply.status in NOT_THERE and reply.status not in ok:
                raise NoAnswer(
                    reason=f"HTTP {reply.status}",
                    sent=reply.status != 429,
                    wait_s=retry_after(reply, self._clock),
                )
            return reply

        reply = await self.line.call(
            what or f"{method} {address.path}",
            act,
            repeatable=method in REPEATABLE if repeatable is None else repeatable,
            within_s=within_s,
        )
        if reply.status not in ok:
            raise refusal(reply)
        return reply

    async def credential_ends(self) -> datetime | None:
        """Return until when our TLS certificate is good; None where there is none."""
        return credential_ends(self._certificate)

    async def close(self) -> None:
        """Let go of open connections."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    def _address(self, path: str, query: Mapping[str, str] | None) -> URL:
        if path.startswith(("http://", "https://")):
            address = URL(path, encoded=True)
            if address.origin() != self._base.origin():
                reason = f"it names an address at another place: {address.host}"
                raise errors.ConnectorAnswerWrong(connection=self.connection, reason=reason)
        else:
            address = URL(f"{self.base}/{path.lstrip('/')}" if path else self.base, encoded=True)
        return address.update_query(query) if query else address

    async def _send(
        self, method: str, address: URL, *, data: bytes | None, headers: Mapping[str, str], limit: int
    ) -> Reply:
        try:
            async with self._opened().request(
                method,
                address,
                data=data,
                headers=headers,
                proxy=self._proxy or None,
                proxy_headers=self._proxy_headers,
                allow_redirects=False,
            ) as answer:
                content = await self._read(answer, limit)
                found = {name.lower(): value for name, value in answer.headers.items()}
                self._compare_clocks(found)
                return Reply(connection=self.connection, status=answer.status, headers=found, body=content)
        except aiohttp.ClientConnectorCertificateError as cause:
            reason = f"its certificate is not trusted: {why_not(cause.certificate_error)}"
            raise errors.ConnectorRefused(connection=self.connection, reason=reason) from cause
        except aiohttp.ClientConnectorError as cause:
            raise NoAnswer(reason=f"no connection: {why_not(cause.os_error)}", sent=False) from cause
        except aiohttp.ClientHttpProxyError as cause:
            raise NoAnswer(reason=f"the proxy answers {cause.status}", sent=False) from cause
        except (aiohttp.ClientError, OSError, ValueError) as cause:
            raise self._cut(cause) from cause

    def _cut(self, cause: BaseException) -> NoAnswer | errors.ConnectorRefused:
        """Name what ended a call in the middle; under TLS 1.3 a refused client certificate shows only here."""
        inner = cause if isinstance(cause, ssl.SSLError) else cause.__cause__
        reason = inner.reason if isinstance(inner, ssl.SSLError) else ""
        if reason and "ALERT" in reason and ("CERTIFICATE" in reason or "UNKNOWN_CA" in reason):
            return errors.ConnectorRefused(
                connection=self.connection, reason="it does not accept our TLS certificate"
            )
        if isinstance(cause, aiohttp.ServerDisconnectedError):
            return NoAnswer(reason="it closed the connection without an answer")
        return NoAnswer(reason=f"the connection broke: {type(cause).__name__}")

    async def _read(self, answer: aiohttp.ClientResponse, limit: int) -> bytes:
        """Read an answer up to its bound."""
        if answer.headers.get("Content-Encoding", "identity").lower() != "identity":
            raise errors.ConnectorAnswerWrong(
                connection=self.connection, reason="it is compressed, which nobody asked for"
            )
        content = bytearray()
        async for chunk in answer.content.iter_chunked(CHUNK):
            content += chunk
            if len(content) > limit:
                reason = f"it is longer than {limit} bytes"
                raise errors.ConnectorAnswerWrong(connection=self.connection, reason=reason)
        return bytes(content)

    def _compare_clocks(self, headers: Mapping[str, str]) -> None:
        told = date_of(headers.get("date", ""))
        if told is not None:
            self.clock_ahead_s = (told - self._clock.now()).total_seconds()

    def _opened(self) -> aiohttp.ClientSession:
        """Return the session; it belongs to the loop of its first call."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(ssl=self._context, limit=0, keepalive_timeout=KEEP_ALIVE_S),
                timeout=aiohttp.ClientTimeout(total=None, connect=CONNECT_TIMEOUT_S),
                cookie_jar=aiohttp.CookieJar(unsafe=True) if self._cookies else aiohttp.DummyCookieJar(),
                headers={"User-Agent": "issuance-kiosk", "Accept-Encoding": "identity"},
                auto_decompress=False,
                trust_env=False,
                max_line_size=MAX_HEADERS,
                max_field_size=MAX_HEADERS,
            )
            self._session._retry_connection = False  # noqa: SLF001  # it would repeat PUT and DELETE; there is no setting
        return self._session


def _origin(text: str, *, plain: bool) -> URL:
    """Read the base of an interface.

    Raises:
        Invalid: it is not https, or has a name, password, question or fragment in it.
    """
    try:
        found = URL(text)
        good = (
            (found.scheme == "https" or (plain and found.scheme == "http"))
            and bool(found.host)
            and found.port is not None
        )
    except ValueError:
        good = False
    if not good or found.user or found.password or found.query_string or found.fragment:
        raise errors.Invalid(field="url", why="an https address without name, password, ? and # is needed")
    return found


def _content(
    *, json: object, form: Mapping[str, str | Secret] | None, body: bytes | None
) -> tuple[bytes | None, dict[str, str]]:
    """Return the body as bytes, with the media type that goes with it."""
    if form is not None:
        fields = urlencode({name: _plain(value) for name, value in form.items()})
        return fields.encode(), {"Content-Type": "application/x-www-form-urlencoded"}
    if json is not None:
        return json_text.dumps(json).encode(), {
            "Content-Type": "application/json",
            "Accept": "application/json",
        }
    return body, {}


def _plain(value: str | Secret) -> str:
    return value.reveal().decode() if isinstance(value, Secret) else value
