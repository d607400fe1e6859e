"""The web server of a double: TLS with or without client certificates, and trouble on demand."""

import ssl
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping
from enum import StrEnum, unique
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any, Final

from aiohttp import web
from cryptography import x509
from cryptography.x509.oid import ExtendedKeyUsageOID

from server.ports.connection import Kind
from tests.contract.ca.signer import Entry, Malformed, Pair, Signer, make

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

PAGE: Final = "<!DOCTYPE html><html><body><h1>Bad gateway</h1></body></html>"


@unique
class Trouble(StrEnum):
    """What is wrong with the double's answers; `LOST` does the work first."""

    NONE = "none"
    BUSY = "503 with Retry-After"
    TOO_MANY = "429 with Retry-After"
    RESET = "reset"
    LOST = "reset after the work was done"
    TRUNCATED = "truncated body"
    GARBLED = "half of the JSON"
    HTML = "HTML page"
    GATEWAY = "HTML page of a gateway, 502"
    ENDLESS = "endless body"
    OTHER_KEY = "a certificate for another key"
    NONSENSE = "a certificate that cannot be read"
    PENDING = "pending"
    DENIED = "policy denial"


class Refuse(Exception):
    """A request that is refused: each product has its own words for it, see `Double.error`."""

    def __init__(self, *, status: int, why: str) -> None:
        super().__init__(why)
        self.status = status
        self.why = why


class Double(ABC):
    """A server on a free port of the loopback, with a certificate authority behind it."""

    KIND: Kind
    CLIENTS: bool = False
    """Whether it knows its clients by TLS certificates."""

    def __init__(self, folder: Path) -> None:
        """Make keys; `start` opens the port."""
        self.signer = Signer()
        self.trouble = Trouble.NONE
        self.only: str = ""
        """Where it is not empty: trouble only where this is part of the path."""
        self.seen: list[str] = []
        """Method and path of each request, in order."""
        self.approved = False
        self._folder = folder
        self._tls_root = make("CN=Web Root,O=Elsewhere", ca=True)
        self._clients_root = make("CN=Clients,O=Elsewhere", ca=True)
        self.client = self._client("kiosk")
        self.stranger = self._client("somebody else")
        self._runner: web.AppRunner | None = None
        self._port = 0

    def _client(self, name: str) -> Pair:
        return make(f"CN={name}", self._clients_root, purpose=ExtendedKeyUsageOID.CLIENT_AUTH)

    async def book(self) -> list[Entry]:
        """Return what was signed, in order."""
        return self.signer.book

    def asked(self) -> int:
        """Return how many requests were made."""
        return len(self.seen)

    @property
    def chain_der(self) -> tuple[bytes, ...]:
        """Its issuers, from the issuing one to the root."""
        return self.signer.chain_der

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self._port}"

    @property
    def roots(self) -> str:
        """Who vouches for its TLS certificate."""
        return self._tls_root.pem

    @abstractmethod
    def routes(self) -> list[web.RouteDef]:
        """Return the product's interface."""

    @abstractmethod
    def error(self, refused: Refuse) -> web.Response:
        """Return a refusal as the product words it."""

    async def start(self) -> None:
        app = web.Application(middlewares=[self._middleware()])
        app.add_routes(self.routes())
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0, ssl_context=self._tls())
        await site.start()
        self._port = self._runner.addresses[0][1]

    async def stop(self) -> None:
        if self._runner is not None:
            await self._runner.cleanup()

    def known_client(self, request: web.Request) -> bool:
        """Whether the TLS certificate of a request is the one that has rights here."""
        transport = request.transport
        tls = transport.get_extra_info("ssl_object") if transport else None
        shown = tls.getpeercert(binary_form=True) if tls else None
        return bool(shown == self.client.der)

    def check_client(self, request: web.Request) -> None:
        """Check that a request comes from the client that has rights here.

        Raises:
            Refuse: 403, it does not.
        """
        if not self.known_client(request):
            raise Refuse(status=403, why="not authorised")

    def _tls(self) -> ssl.SSLContext:
        server = make(
            "CN=double",
            self._tls_root,
            names=[x509.IPAddress(IPv4Address("127.0.0.1"))],
            purpose=ExtendedKeyUsageOID.SERVER_AUTH,
            days=30,
        )
        chain, trusted = self._folder / "server.pem", self._folder / "clients.pem"
        chain.write_text(server.pem + server.key_pem)
        trusted.write_text(self._clients_root.pem)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(chain)
        if self.CLIENTS:
            context.verify_mode = ssl.CERT_OPTIONAL
            context.load_verify_locations(trusted)
        return context

    def _middleware(self) -> Any:
        @web.middleware
        async def troubled(request: web.Request, handler: Handler) -> web.StreamResponse:
            self.seen.append(f"{request.method} {request.path}")
            trouble = self.trouble if self.only in request.path else Trouble.NONE
            return await self._answer(trouble, request, self._refusing(handler))

        return troubled

    def _refusing(self, handler: Handler) -> Handler:
        async def refusing(request: web.Request) -> web.StreamResponse:
            try:
                return await handler(request)
            except Refuse as refused:
                return self.error(refused)
            except Malformed:
                return self.error(Refuse(status=400, why="the request is not signed by its key"))

        return refusing

    async def _answer(self, trouble: Trouble, request: web.Request, handler: Handler) -> web.StreamResponse:  # noqa: PLR0911  # one for each trouble
        match trouble:
            case Trouble.BUSY:
                return web.Response(status=503, headers={"Retry-After": "7"})
            case Trouble.TOO_MANY:
                return web.Response(status=429, headers={"Retry-After": "7"})
            case Trouble.HTML:
                return web.Response(text=PAGE, content_type="text/html")
            case Trouble.GATEWAY:
                return web.Response(status=502, text=PAGE, content_type="text/html")
            case Trouble.RESET:
                return _reset(request)
            case Trouble.LOST:
                await handler(request)
                return _reset(request)
            case Trouble.ENDLESS:
                return await _endless(request)
            case Trouble.TRUNCATED | Trouble.GARBLED:
                return await _cut(request, await handler(request), whole=trouble is Trouble.GARBLED)
            case _:
                return await handler(request)


def _reset(request: web.Request) -> web.StreamResponse:
    assert request.transport is not None
    request.transport.abort()
    return web.Response()


async def _cut(request: web.Request, answer: web.StreamResponse, *, whole: bool) -> web.StreamResponse:
    """Send half of the body; `whole` says so in its length."""
    assert isinstance(answer, web.Response)
    body = answer.body if isinstance(answer.body, bytes) else b""
    half = web.StreamResponse(status=answer.status, headers={"Content-Type": "application/json"})
    half.content_length = len(body) // 2 if whole else len(body)
    await half.prepare(request)
    await half.write(body[: len(body) // 2])
    if not whole and request.transport is not None:
        request.transport.close()
    return half


async def _endless(request: web.Request) -> web.StreamResponse:
    answer = web.StreamResponse(status=200, headers={"Content-Type": "application/json"})
    await answer.prepare(request)
    for _ in range(64):
        await answer.write(b" " * (1 << 16))
    return answer


async def body_of(
    request: web.Request, required: Mapping[str, type], optional: Mapping[str, type] | None = None
) -> Any:
    """Return a JSON body, strictly: its media type, every required field of its type, no other field.

    Raises:
        Refuse: 400, it is something else.
    """
    if request.content_type != "application/json":
        raise Refuse(status=415, why="media type")
    try:
        found = await request.json()
    except ValueError as cause:
        raise Refuse(status=400, why="no JSON") from cause
    check_fields(found, required, optional or {})
    return found


def check_fields(found: Any, required: Mapping[str, type], optional: Mapping[str, type]) -> None:
    """Check an object strictly.

    Raises:
        Refuse: 400, a field is missing, of another type, or not known.
    """
    if not isinstance(found, dict):
        raise Refuse(status=400, why="no object")
    missing = [name for name, kind in required.items() if not isinstance(found.get(name), kind)]
    known = {**required, **optional}
    unknown = [name for name, value in found.items() if not isinstance(value, known.get(name, ()))]
    if missing or unknown:
        raise Refuse(status=400, why=f"missing {missing}, unknown {unknown}")
