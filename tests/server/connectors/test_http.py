"""The HTTP transport of connectors against servers that do what servers do, and what they should not."""

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from server.connectors.calling import GuardedLine, Limits
from server.connectors.examining import examine
from server.connectors.fields import CLIENT_HTTP_FIELDS
from server.connectors.http import Http
from server.connectors.tls import client_context
from server.ports.connection import Ability, Aspect, Configured, Finding, Kind, Port, Surroundings, Verdict
from shared import errors
from shared.clock import SystemClock
from shared.secret import Secret
from tests.contract.ca.signer import make
from tests.contract.ca.web import Double, Refuse

TOKEN = "canary-of-a-token"


class Anything(Double):
    """A server that knows its clients, and answers anything."""

    CLIENTS = True
    KIND = Kind(
        name="anything",
        port=Port.CA,
        title="Anything",
        fields=CLIENT_HTTP_FIELDS,
        abilities=frozenset({Ability.ISSUE}),
        build=Http,
        page="",
    )

    def routes(self) -> list[web.RouteDef]:
        return [
            web.route("*", "/api/echo", self._echo),
            web.get("/api/redirect", self._redirect),
            web.get("/api/squeezed", self._squeezed),
            web.get("/api/deep", self._deep),
            web.get("/api/status/{status}", self._status),
            web.get("/api/slow", self._slow),
        ]

    def error(self, refused: Refuse) -> web.Response:
        return web.json_response({"error": refused.why}, status=refused.status)

    async def _echo(self, request: web.Request) -> web.Response:
        body = await request.text()
        told = {
            "method": request.method,
            "query": dict(request.query),
            "body": body,
            "type": request.content_type,
            "token": request.headers.get("X-Token"),
            "encoding": request.headers.get("Accept-Encoding"),
            "client": self.known_client(request),
        }
        return web.json_response(told)

    async def _redirect(self, request: web.Request) -> web.Response:
        raise web.HTTPFound(location="https://elsewhere.example/")

    async def _squeezed(self, request: web.Request) -> web.Response:
        return web.Response(body=b"x", headers={"Content-Encoding": "gzip"})

    async def _deep(self, request: web.Request) -> web.Response:
        return web.Response(body=b"[" * 100_000, content_type="application/json")

    async def _status(self, request: web.Request) -> web.Response:
        return web.json_response({"secret": TOKEN}, status=int(request.match_info["status"]))

    async def _slow(self, request: web.Request) -> web.Response:
        await asyncio.sleep(5)
        return web.Response()


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Anything]:
    double = Anything(tmp_path)
    await double.start()
    yield double
    await double.stop()


def http_to(server: Anything, *, timeout_s: float = 5, **changed: Any) -> Http:
    values = {
        "url": f"{server.url}/api",
        "roots": server.roots,
        "client-certificate": server.client.pem,
        "client-key": Secret.from_text(server.client.key_pem),
        **changed,
    }
    configured = Configured(
        name="ours", kind="anything", values={name: value for name, value in values.items() if value}
    )
    clock = SystemClock()
    line = GuardedLine("ours", clock, Limits(timeout_s=timeout_s), fraction=lambda: 0.0)
    around = Surroundings(clock=clock, line=line, others=lambda name: name)
    return Http(configured, around, headers={"X-Token": Secret.from_text(TOKEN)})


@pytest.fixture
async def http(server: Anything) -> AsyncIterator[Http]:
    client = http_to(server)
    yield client
    await client.close()


async def test_what_is_sent_arrives_as_us(http: Http) -> None:
    told = (await http.call("GET", "echo", query={"q": "Å b&c"})).object()
    assert told == {
        "method": "GET",
        "query": {"q": "Å b&c"},
        "body": "",
        "type": "application/octet-stream",
        "token": TOKEN,
        "encoding": "identity",
        "client": True,
    }
    told = (await http.call("post", "/echo", json={"a": ["ü"]})).object()
    assert (json.loads(told["body"]), told["type"]) == ({"a": ["ü"]}, "application/json")
    told = (await http.call("POST", "echo", form={"a": "b c", "p": Secret.from_text("&")})).object()
    assert (told["body"], told["type"]) == ("a=b+c&p=%26", "application/x-www-form-urlencoded")
    assert (await http.call("GET", f"{http.base}/echo")).status == 200
    assert http.clock_ahead_s is not None
    assert abs(http.clock_ahead_s) < 5


@pytest.mark.parametrize(
    ("path", "kind", "said"),
    [
        ("redirect", errors.ConnectorAnswerWrong, "points to another address"),
        ("squeezed", errors.ConnectorAnswerWrong, "compressed"),
        ("deep", errors.ConnectorAnswerWrong, "not JSON"),
        ("status/401", errors.ConnectorRefused, "credential"),
        ("status/404", errors.ConnectorRefused, "HTTP 404"),
        ("status/500", errors.ConnectorUnreachable, "fault of its own"),
        ("status/503", errors.ConnectorUnreachable, "HTTP 503"),
        ("https://elsewhere.example/api/echo", errors.ConnectorAnswerWrong, "another place"),
        ("http://127.0.0.1/api/echo", errors.ConnectorAnswerWrong, "another place"),
    ],
)
async def test_an_answer_that_is_none_is_named(http: Http, path: str, kind: type, said: str) -> None:
    with pytest.raises(errors.ConnectorError) as refused:
        (await http.call("GET", path)).parsed()
    assert type(refused.value) is kind
    assert said in str(refused.value.facts["reason"])
    assert TOKEN not in repr(refused.value)


async def test_statuses_that_the_caller_expects_are_its_own(http: Http) -> None:
    assert (await http.call("GET", "status/404", ok=(200, 404))).object() == {"secret": TOKEN}
    assert (await http.call("GET", "status/503", ok=(503,))).status == 503


@pytest.mark.parametrize(
    ("trouble", "kind"),
    [
        ("reset", errors.ConnectorUnreachable),
        ("truncated body", errors.ConnectorUnreachable),
        ("half of the JSON", errors.ConnectorAnswerWrong),
        ("HTML page", errors.ConnectorAnswerWrong),
        ("HTML page of a gateway, 502", errors.ConnectorUnreachable),
        ("endless body", errors.ConnectorAnswerWrong),
        ("503 with Retry-After", errors.ConnectorUnreachable),
        ("429 with Retry-After", errors.ConnectorUnreachable),
    ],
)
async def test_trouble_on_the_way(server: Anything, trouble: str, kind: type) -> None:
    server.trouble = type(server.trouble)(trouble)
    http = http_to(server, timeout_s=3)
    with pytest.raises(errors.ConnectorError) as refused:
        (await http.call("POST", "echo", json={})).parsed()
    assert type(refused.value) is kind
    await http.close()


async def test_a_request_that_may_have_arrived_is_not_sent_twice(server: Anything) -> None:
    server.trouble = type(server.trouble)("reset")
    http = http_to(server)
    for method, times in (("POST", 1), ("GET", 3)):
        before = server.asked()
        with pytest.raises(errors.ConnectorUnreachable):
            await http.call(method, "echo")
        assert server.asked() - before == times
    await http.close()


async def test_time_runs_out(server: Anything) -> None:
    http = http_to(server)
    with pytest.raises(errors.ConnectorUnreachable) as refused:
        await http.call("GET", "slow", within_s=0.2)
    assert "no answer in time" in str(refused.value.facts["reason"])
    await http.close()


async def test_nobody_is_told_anything_who_is_not_trusted(server: Anything) -> None:
    wrong: tuple[dict[str, Any], ...] = (
        {"roots": make("CN=Another", ca=True).pem},
        {"roots": ""},
        {"url": f"{server.url}/api".replace("127.0.0.1", "localhost")},
    )
    for changed in wrong:
        http = http_to(server, **changed)
        with pytest.raises(errors.ConnectorRefused) as refused:
            await http.call("GET", "echo")
        assert "not trusted" in str(refused.value.facts["reason"])
        await http.close()
    assert server.seen == []


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"url": "http://ca.example/"}, "url"),
        ({"url": "https://name:word@ca.example/"}, "url"),
        ({"url": "https://ca.example/?a=b"}, "url"),
        ({"client-key": None}, "client-key"),
        ({"client-certificate": ""}, "client-key"),
        ({"client-key": Secret.from_text(make("CN=other").key_pem)}, "client-key"),
        ({"client-key": Secret(b"nonsense")}, "client-key"),
        ({"roots": "nonsense"}, "roots"),
    ],
)
def test_what_cannot_be_used_is_refused_when_it_is_configured(
    tmp_path: Path, changed: dict[str, Any], field: str
) -> None:
    with pytest.raises(errors.Invalid) as refused:
        http_to(Anything(tmp_path), **changed)
    assert refused.value.facts["field"] == field


def test_our_key_is_never_on_a_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    client = make("CN=client")
    context = client_context(certificate=client.pem, key=Secret.from_text(client.key_pem))
    assert context.minimum_version.name == "TLSv1_2"
    assert context.check_hostname
    assert list(tmp_path.iterdir()) == []


# --- testing a connection -------------------------------------------------------------------------------


async def ask_nothing() -> str:
    return ""


def verdicts(findings: Sequence[Finding]) -> dict[Aspect, Verdict]:
    return {each.aspect: each.verdict for each in findings}


async def test_every_step_works(http: Http) -> None:
    async def ask() -> str:
        return f"as {(await http.call('GET', 'echo')).status}"

    findings = await examine(http, SystemClock(), ask)
    assert [each.aspect for each in findings] == [
        *(Aspect.RESOLUTION, Aspect.CONNECTION, Aspect.TLS, Aspect.CREDENTIALS, Aspect.CLOCK, Aspect.EXPIRY)
    ]
    assert set(verdicts(findings).values()) == {Verdict.WORKS}
    tls = next(each for each in findings if each.aspect is Aspect.TLS)
    assert "TLSv1.3" in tls.detail
    assert "by O=Elsewhere,CN=Web Root" in tls.detail or "by CN=Web Root,O=Elsewhere" in tls.detail


async def test_who_is_not_trusted_is_described(server: Anything) -> None:
    http = http_to(server, roots=make("CN=Another", ca=True).pem)
    findings = await examine(http, SystemClock(), ask_nothing)
    found = verdicts(findings)
    assert (found[Aspect.CONNECTION], found[Aspect.TLS]) == (Verdict.WORKS, Verdict.FAILS)
    assert (found[Aspect.CREDENTIALS], found[Aspect.CLOCK]) == (Verdict.SKIPPED, Verdict.UNKNOWN)
    tls = next(each for each in findings if each.aspect is Aspect.TLS)
    assert "Web Root" in tls.detail
    await http.close()


@pytest.mark.parametrize(
    ("url", "aspect"),
    [("https://nowhere.invalid/", Aspect.RESOLUTION), ("https://127.0.0.1:1/", Aspect.CONNECTION)],
)
async def test_the_first_step_that_fails_is_told(server: Anything, url: str, aspect: Aspect) -> None:
    http = http_to(server, url=url)
    found = verdicts(await examine(http, SystemClock(), ask_nothing))
    assert found[aspect] is Verdict.FAILS
    assert list(found.values()).count(Verdict.FAILS) == 1
    assert found[Aspect.CREDENTIALS] is Verdict.SKIPPED


async def test_a_credential_that_is_refused_is_a_finding(http: Http) -> None:
    async def ask() -> str:
        await http.call("GET", "status/401")
        return ""

    found = await examine(http, SystemClock(), ask)
    (refused,) = [each for each in found if each.verdict is Verdict.FAILS]
    assert refused.aspect is Aspect.CREDENTIALS
    assert TOKEN not in str(found)


async def test_a_certificate_of_ours_that_ends_soon_is_a_finding(server: Anything) -> None:
    soon = make("CN=kiosk", days=20)
    ours: dict[str, Any] = {"client-certificate": soon.pem, "client-key": Secret.from_text(soon.key_pem)}
    http = http_to(server, **ours)
    found = verdicts(await examine(http, SystemClock(), ask_nothing))
    assert found[Aspect.EXPIRY] is Verdict.FAILS
    await http.close()


# --- through a proxy --------------------------------------------------------------------------------------


async def test_a_proxy_is_told_who_we_are_and_the_other_end_is_not(server: Anything) -> None:
    heads: list[bytes] = []

    async def tunnel(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        host, _, port = heads[-1].split()[1].decode().rpartition(":")
        there_in, there_out = await asyncio.open_connection(host, int(port))
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        await asyncio.gather(_pump(reader, there_out), _pump(there_in, writer))

    proxy = await asyncio.start_server(tunnel, "127.0.0.1", 0)
    port = proxy.sockets[0].getsockname()[1]
    named: dict[str, Any] = {"proxy-user": "kiosk", "proxy-password": Secret.from_text("of the proxy")}
    http = http_to(server, proxy=f"http://127.0.0.1:{port}", **named)
    await http.call("GET", "echo")
    await http.close()
    proxy.close()
    (head,) = heads
    assert head.startswith(b"CONNECT 127.0.0.1:")
    assert b"Proxy-Authorization: Basic " + base64.b64encode(b"kiosk:of the proxy") in head
    assert len(server.seen) == 1


async def _pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    while content := await source.read(4096):
        sink.write(content)
    sink.close()
