"""A double of a server for Enrollment over Secure Transport, written from RFC 7030 and RFC 8951; `pki --est` judges it."""

import base64
import binascii
from typing import Final

from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.hazmat.primitives.serialization.pkcs7 import serialize_certificates

from server.connectors.ca.est import KIND
from server.ports.connection import Value
from shared.secret import Secret
from tests.contract.ca.bench import Bench, connect
from tests.contract.ca.signer import make, other_extensions
from tests.contract.ca.web import Double, Refuse, Trouble

BASE: Final = "/.well-known/est"
LABELS: Final = ("", "log-on")
USER, PASSWORD = "kiosk", "of the test"
HEADERS: Final = {"Content-Type": "application/pkcs7-mime; smime-type=certs-only"}


class Est(Double):
    """It answers as RFC 7030 says; it knows its clients by TLS certificates or by name and password."""

    KIND = KIND
    CLIENTS = True
    lines = False
    """Whether it breaks base64 into lines, which some do."""

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get(f"{BASE}/cacerts", self.issuers),
            web.get(f"{BASE}/{{label}}/cacerts", self.issuers),
            web.post(f"{BASE}/simpleenroll", self.enrol),
            web.post(f"{BASE}/{{label}}/simpleenroll", self.enrol),
        ]

    def error(self, refused: Refuse) -> web.Response:
        headers = {"WWW-Authenticate": 'Basic realm="est"'} if refused.status == 401 else {}
        return web.Response(
            status=refused.status, text=refused.why, content_type="text/plain", headers=headers
        )

    async def issuers(self, request: web.Request) -> web.Response:
        _label(request)
        return self._certificates(self.signer.issuing.certificate, self.signer.root.certificate)

    async def enrol(self, request: web.Request) -> web.Response:
        if not (self.known_client(request) or self._knows(request)):
            raise Refuse(status=401, why="who are you?")
        _label(request)
        if request.content_type != "application/pkcs10":
            raise Refuse(status=415, why="media type")
        try:
            content = base64.b64decode(b"".join((await request.read()).split()), validate=True)
        except binascii.Error:
            raise Refuse(status=400, why="not base64") from None
        parsed = self.signer.read(content)
        if self.trouble is Trouble.DENIED:
            raise Refuse(status=403, why="the policy forbids it for Anna Berg")
        if self.trouble is Trouble.PENDING and not self.approved:
            return web.Response(status=202, headers={"Retry-After": "60"})
        tag = content.hex()
        known = self.signer.by_tag(tag)
        entry = known[0] if known else self.signer.sign(parsed, tag=tag, extensions=other_extensions(parsed))
        if self.trouble is Trouble.OTHER_KEY:
            return self._certificates(make("CN=Anna Berg,O=Example", self.signer.issuing).certificate)
        if self.trouble is Trouble.NONSENSE:
            return web.Response(body=base64.b64encode(b"\x30\x03\x02\x01\x00"), headers=HEADERS)
        return self._certificates(entry.certificate)

    def _certificates(self, *certificates: x509.Certificate) -> web.Response:
        encode = base64.encodebytes if self.lines else base64.b64encode
        content = encode(serialize_certificates(list(certificates), Encoding.DER))
        return web.Response(body=content, headers={**HEADERS, "Content-Transfer-Encoding": "base64"})

    def _knows(self, request: web.Request) -> bool:
        expected = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
        return request.headers.get("Authorization") == f"Basic {expected}"


def _label(request: web.Request) -> None:
    if request.match_info.get("label", "") not in LABELS:
        raise Refuse(status=404, why="there is no such label")


def values(double: Est, **changed: Value) -> dict[str, Value]:
    """Return the configuration of a connection to a double."""
    plain: dict[str, Value] = {
        "url": f"{double.url}{BASE}",
        "roots": double.roots,
        "issuers": double.signer.chain_pem,
        "profiles": ("log-on", "default", "missing"),
        "client-certificate": double.client.pem,
        "client-key": Secret(double.client.key_pem.encode()),
    }
    return {**plain, **changed}


def bench(double: Est) -> Bench:
    """Return what the common suite needs."""

    async def approve() -> None:
        double.approved = True

    stranger: dict[str, Value] = {
        "client-certificate": double.stranger.pem,
        "client-key": Secret(double.stranger.key_pem.encode()),
    }
    return Bench(
        kind=KIND,
        double=double,
        build=lambda: connect(KIND, values(double)),
        stranger=lambda: connect(KIND, values(double, **stranger)),
        profile="log-on",
        unknown="missing",
        issuing="simpleenroll",
        approve=approve,
    )
