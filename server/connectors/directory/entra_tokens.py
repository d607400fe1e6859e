"""Tokens of Microsoft Entra ID for an application (client credentials), made by MSAL over our own transport.

Sources: Microsoft identity platform, *OAuth 2.0 client credentials flow*; MSAL for Python 1.39; [RFC 7523] 3 (a certificate
signs what stands in place of a secret).
"""

import asyncio
from collections.abc import Mapping
from typing import Any, Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

from server.connectors.http import Http
from server.connectors.reply import Reply
from server.connectors.tls import certificates_in
from shared import errors
from shared.secret import Secret

ANY_STATUS: Final = frozenset(range(200, 500)) - {429}
WAIT_S: Final = 60.0


class Tokens:
    """Get tokens for one application; MSAL keeps them in memory until they end."""

    def __init__(
        self,
        http: Http,
        *,
        tenant: str,
        client: str,
        scope: str,
        secret: Secret | None,
        certificate: str,
        key: Secret | None,
    ) -> None:
        """`http` reaches the authority of the cloud; the application knows itself by a secret, or by a certificate and its key.

        Raises:
            NotSupported: the extra `entra` is not installed.
            Invalid: there is neither a secret nor a certificate with its key.
        """
        self._http = http
        self._authority = f"{http.base}/{tenant}"
        self._client = client
        self._scope = scope
        self._secret = secret
        self._certificate = certificate
        self._key = key
        self._application: Any = None
        self._turn = asyncio.Lock()
        if (secret is None) == (key is None) or bool(certificate) != (key is not None):
            raise errors.Invalid(field="client-secret", why="either a secret, or a certificate with its key")
        if key is not None:
            _check_pair(certificate, key)
        try:
            import msal  # noqa: F401, PLC0415  # an extra, and slow to load
        except ImportError as cause:
            raise errors.NotSupported(what="Microsoft Entra ID: install the extra entra") from cause

    async def token(self, *, fresh: bool = False) -> Secret:
        """Return a token; a `fresh` one where the other end did not take the last.

        Raises:
            ConnectorUnreachable: the authority does not answer.
            ConnectorRefused: it does not know the application, or its secret; `reason` is its code.
            ConnectorAnswerWrong: its answer cannot be read.
        """
        async with self._turn:
            if fresh:
                self._application = None
            found = await asyncio.to_thread(self._ask, asyncio.get_running_loop())
        token = found.get("access_token")
        if not isinstance(token, str) or not token:
            reason = f"no token: {_code(found)}"
            raise errors.ConnectorRefused(connection=self._http.connection, reason=reason)
        return Secret.from_text(token)

    async def close(self) -> None:
        """Let go of open lines."""
        await self._http.close()

    def _ask(self, loop: asyncio.AbstractEventLoop) -> Mapping[str, Any]:
        import msal  # noqa: PLC0415  # see above

        way = _Way(self._http, loop)
        if self._application is None:
            try:
                self._application = msal.ConfidentialClientApplication(
                    self._client,
                    authority=self._authority,
                    client_credential=self._credential(),
                    instance_discovery=False,
                    http_client=way,
                    enable_pii_log=False,
                )
            except ValueError as cause:  # the authority's description of itself is none
                reason = "no token: the address of the authority, or the tenant, is wrong"
                raise errors.ConnectorRefused(connection=self._http.connection, reason=reason) from cause
        try:
            found: Mapping[str, Any] = self._application.acquire_token_for_client(scopes=[self._scope])
        except ValueError as cause:
            raise errors.ConnectorAnswerWrong(
                connection=self._http.connection, reason="no token: the authority's answer is not JSON"
            ) from cause
        return found

    def _credential(self) -> str | dict[str, str]:
        if self._key is None:
            assert self._secret is not None
            return self._secret.reveal().decode()
        first = certificates_in(self._certificate)[0]
        return {
            "private_key": self._key.reveal().decode(),
            "thumbprint": first.fingerprint(SHA1()).hex().upper(),  # noqa: S303  # a name, as Microsoft wants it
            "public_certificate": first.public_bytes(Encoding.PEM).decode(),
        }


def _check_pair(certificate: str, key: Secret) -> None:
    """Refuse what Microsoft would not take: an RSA key in PEM, and the certificate that goes with it."""
    try:
        private = load_pem_private_key(key.reveal(), None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as cause:
        raise errors.Invalid(field="client-key", why="no private key in PEM that is not encrypted") from cause
    if not isinstance(private, RSAPrivateKey):
        raise errors.Invalid(field="client-key", why="Microsoft takes RSA keys here, and no others")
    if certificates_in(certificate)[0].public_key() != private.public_key():
        raise errors.Invalid(field="client-key", why="it is the key of another certificate")


class _Answer:
    """An answer in the form that MSAL reads."""

    def __init__(self, reply: Reply) -> None:
        self.status_code = reply.status
        self.text = reply.body.decode(errors="replace")
        self.headers = dict(reply.headers)

    def raise_for_status(self) -> None:
        """MSAL asks for this where it cannot go on."""
        if self.status_code >= 400:
            message = f"HTTP {self.status_code}"
            raise ValueError(message)


class _Way:
    """MSAL's way out: our transport, in the loop that it belongs to."""

    def __init__(self, http: Http, loop: asyncio.AbstractEventLoop) -> None:
        self._http = http
        self._loop = loop

    def post(self, url: str, params: Any = None, data: Any = None, headers: Any = None, **_: Any) -> _Answer:
        form = {
            name: value.decode() if isinstance(value, bytes) else str(value)
            for name, value in dict(data or {}).items()
        }
        return self._call("POST", url, params, form, headers)

    def get(self, url: str, params: Any = None, headers: Any = None, **_: Any) -> _Answer:
        return self._call("GET", url, params, None, headers)

    def _call(
        self, method: str, url: str, params: Any, form: Mapping[str, str] | None, headers: Any
    ) -> _Answer:
        calling = self._http.call(
            method,
            url,
            query=dict(params) if params else None,
            form=form,
            headers=dict(headers or {}),
            ok=ANY_STATUS,
            what="token",
            repeatable=True,
        )
        return _Answer(asyncio.run_coroutine_threadsafe(calling, self._loop).result(WAIT_S))

    def close(self) -> None:
        """Nothing is held open here."""


def _code(found: Mapping[str, Any]) -> str:
    """Return the code of a refusal: never its description, which quotes what was sent."""
    code = found.get("error")
    text = code if isinstance(code, str) and code.replace("_", "").isalnum() else "refused"
    numbers = found.get("error_codes")
    if isinstance(numbers, list) and numbers and isinstance(numbers[0], int):
        text += f" (AADSTS{numbers[0]})"
    return text
