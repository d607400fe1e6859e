"""Entra ID when something is wrong, by certificate, over pages, by a code on another device, and what is written back."""

from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509

from server.connectors.directory.entra_kind import CLOUDS, KIND
from server.connectors.directory.mapping import key_identifier
from server.ports.connection import Ability, Value
from server.ports.directory import CanAuthenticateByCode, Known, NotKnown, Waiting
from shared import errors
from shared.credential.model import HolderId
from shared.secret import Secret
from tests.conftest import FixedClock
from tests.contract.ca.signer import make
from tests.contract.ca.web import Trouble
from tests.contract.graph import SECRET, TENANT, WRITER, WRITING_SECRET, Graph, rsa_pair
from tests.peers.slapd import people
from tests.server.connectors.directory.built import build

PEOPLE = people(30)
BOB = HolderId(PEOPLE[0].entry_uuid)


@pytest.fixture
async def graph(tmp_path: Path) -> AsyncIterator[Graph]:
    double = Graph(tmp_path, PEOPLE)
    await double.start()
    yield double
    await double.stop()


class Opened:
    """A connector that is closed at the end."""

    def __init__(
        self, graph: Graph, changes: Mapping[str, Value] | None = None, clock: FixedClock | None = None
    ) -> None:
        self._made = build(KIND, graph.values() | dict(changes or {}), clock=clock)

    async def __aenter__(self) -> Any:
        return self._made

    async def __aexit__(self, *_: object) -> None:
        await self._made.close()


async def test_an_application_known_by_a_certificate(graph: Graph) -> None:
    _, certificate, key = graph.application
    plain = graph.values() | {"client-certificate": certificate, "client-key": key}
    del plain["client-secret"]
    directory = build(KIND, plain)
    try:
        assert len(await directory.search("bob", 5)) == 1
    finally:
        await directory.close()
    _, other, other_key = rsa_pair("stranger")
    with pytest.raises(errors.Invalid, match="another certificate"):
        build(KIND, plain | {"client-key": other_key})
    elliptic = Secret.from_text(graph.client.key_pem)
    with pytest.raises(errors.Invalid, match="RSA"):
        build(KIND, plain | {"client-certificate": graph.client.pem, "client-key": elliptic})
    directory = build(KIND, plain | {"client-certificate": other, "client-key": other_key})
    try:
        with pytest.raises(errors.ConnectorRefused, match=r"no token: invalid_client"):
            await directory.search("bob", 5)
    finally:
        await directory.close()


async def test_either_a_secret_or_a_certificate(graph: Graph) -> None:
    _, certificate, key = graph.application
    with pytest.raises(errors.Invalid):
        build(KIND, graph.values() | {"client-certificate": certificate, "client-key": key})
    with pytest.raises(errors.Invalid):
        build(
            KIND,
            graph.values()
            | {"client-key": Secret(b"x"), "client-certificate": certificate, "client-secret": Secret(b"x")},
        )
    plain = graph.values()
    del plain["client-secret"]
    with pytest.raises(errors.Invalid):
        build(KIND, plain)
    with pytest.raises(errors.Invalid):
        build(KIND, graph.values() | {"tenant": "a/b"})
    with pytest.raises(errors.Invalid):
        build(KIND, graph.values() | {"attributes": {"user": "mail,id"}})


async def test_a_wrong_secret_is_told_by_its_code_only(
    graph: Graph, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(0)
    wrong = "not~the~secret"
    async with Opened(graph, {"client-secret": Secret.from_text(wrong)}) as directory:
        with pytest.raises(errors.ConnectorRefused) as caught:
            await directory.search("bob", 5)
    assert caught.value.facts["reason"] == "no token: invalid_client (AADSTS70016)"
    assert wrong not in caplog.text
    async with Opened(graph) as directory:
        await directory.search("bob", 5)
    assert SECRET not in caplog.text
    assert not any(token in caplog.text for token in graph.tokens)


async def test_a_token_that_is_not_taken_any_more_is_made_anew(graph: Graph) -> None:
    async with Opened(graph) as directory:
        assert len(await directory.search("bob", 5)) == 1
        graph.tokens.clear()
        assert len(await directory.search("bob", 5)) == 1
        posts = [line for line in graph.seen if line.startswith("POST")]
        assert len(posts) == 2


async def test_pages_are_followed_at_the_same_host_only(graph: Graph) -> None:
    graph.page = 4
    async with Opened(graph) as directory:
        assert len(await directory.search("", 30)) == 30
        assert len(await directory.search("", 5)) == 5
        graph.next_host = "https://elsewhere.invalid"
        with pytest.raises(errors.ConnectorAnswerWrong, match="elsewhere"):
            await directory.search("", 30)


@pytest.mark.parametrize(
    "trouble",
    [
        Trouble.BUSY,
        Trouble.TOO_MANY,
        Trouble.RESET,
        Trouble.HTML,
        Trouble.GATEWAY,
        Trouble.ENDLESS,
        Trouble.TRUNCATED,
        Trouble.GARBLED,
    ],
)
@pytest.mark.parametrize("only", ["/users", "/token"])
async def test_trouble_is_named_and_over_when_it_is(graph: Graph, trouble: Trouble, only: str) -> None:
    async with Opened(graph) as directory:
        graph.trouble, graph.only = trouble, only
        with pytest.raises(errors.ConnectorError):
            await directory.search("bob", 5)
        graph.trouble = Trouble.NONE
        assert len(await directory.search("bob", 5)) == 1


async def test_wrong_types_hide_nobody_and_enable_nobody(graph: Graph) -> None:
    graph.people[BOB] |= {
        "department": 7,
        "jobTitle": ["x"],
        "surname": {"a": 1},
        "accountEnabled": "true",
        "mail": None,
    }
    async with Opened(graph) as directory:
        bob = await directory.get(BOB)
    assert bob.attributes.keys() == {"name", "user", "upn", "given-name", "employee-id"}
    assert not bob.enabled


async def test_somebody_else_in_the_answer_is_refused(graph: Graph) -> None:
    graph.people[BOB]["id"] = PEOPLE[1].entry_uuid
    async with Opened(graph) as directory:
        with pytest.raises(errors.ConnectorAnswerWrong, match="somebody else"):
            await directory.get(BOB)


async def test_no_value_is_syntax(graph: Graph) -> None:
    async with Opened(graph) as directory:
        for value in (
            "x' or '1' eq '1",
            "'",
            "''",
            "x') or (mail ne 'x",
            'a" OR "displayName:b',
            "\\",
            "&$top=1",
            "?x",
            "#",
            "%27",
        ):
            assert list(await directory.match("surname", value, 5)) == []
            assert all(len(value) < 2 for _ in await directory.search(value, 5)), value
        assert [each.attributes["user"] for each in await directory.match("surname", "o'neill, jr.", 5)] == [
            "back"
        ]


async def test_a_code_on_another_device(graph: Graph) -> None:
    clock = FixedClock()
    async with Opened(graph, {"device-log-on": True}, clock) as directory:
        assert Ability.AUTHENTICATE in directory.abilities
        assert isinstance(directory, CanAuthenticateByCode)
        logon = await directory.begin(BOB)
        assert logon.address.startswith("https://")
        assert logon.handle.reveal().decode() not in repr(logon)
        flow = graph.flows[logon.handle.reveal().decode()]
        assert logon.code == flow.code
        assert await directory.outcome(BOB, logon) == Waiting(5)
        flow.answer = "slow_down"
        assert await directory.outcome(BOB, logon) == Waiting(10)
        flow.who = PEOPLE[1].entry_uuid
        assert await directory.outcome(BOB, logon) == NotKnown("somebody else logged on")
        flow.who = BOB
        assert await directory.outcome(BOB, logon) == Known(BOB)
        for claims in (
            {"tid": "other"},
            {"iss": "https://elsewhere.invalid/v2.0"},
            {"aud": WRITER},
            {"exp": 5},
            {"exp": True},
            {"tid": ""},
        ):
            flow.claims = claims
            with pytest.raises(errors.ConnectorAnswerWrong):
                await directory.outcome(BOB, logon)
        flow.claims = {"tid": "1" + TENANT[1:], "iss": f"{graph.url}/{'1' + TENANT[1:]}/v2.0"}
        assert await directory.outcome(BOB, logon) == NotKnown("somebody of another tenant logged on")
        flow.claims = {"oid": None}
        assert await directory.outcome(BOB, logon) == NotKnown("somebody else logged on")
        flow.who, flow.answer = "", "authorization_declined"
        assert isinstance(await directory.outcome(BOB, logon), NotKnown)
        flow.answer = "unauthorized_client"
        with pytest.raises(errors.ConnectorRefused):
            await directory.outcome(BOB, logon)
        flow.who = BOB
        clock.move(timedelta(seconds=901))
        assert isinstance(await directory.outcome(BOB, logon), NotKnown)


async def test_certificates_are_written_back_by_another_application(graph: Graph) -> None:
    certificate = make("CN=Bob", ca=False).der
    if not _has_identifier(certificate):
        certificate = make("CN=Bob", ca=True).der
    values: dict[str, Value] = {"write-client": WRITER, "write-secret": Secret.from_text(WRITING_SECRET)}
    graph.people[BOB]["authorizationInfo"] = {"certificateUserIds": ["X509:<PN>bob@lab.test"]}
    async with Opened(graph, values) as directory:
        assert Ability.WRITE_BACK in directory.abilities
        for _ in range(2):
            await directory.publish(BOB, certificate)
        known = graph.people[BOB]["authorizationInfo"]["certificateUserIds"]
        assert known == ["X509:<PN>bob@lab.test", key_identifier(certificate)]
        for _ in range(2):
            await directory.withdraw(BOB, certificate)
        assert graph.people[BOB]["authorizationInfo"]["certificateUserIds"] == ["X509:<PN>bob@lab.test"]
        graph.people[BOB]["authorizationInfo"] = {
            "certificateUserIds": [f"X509:<SKI>{each:02x}" for each in range(10)]
        }
        with pytest.raises(errors.ConnectorRefused, match="no room"):
            await directory.publish(BOB, certificate)
        nobody = HolderId("00000000-0000-0000-0000-000000000000")
        await directory.withdraw(nobody, certificate)
        with pytest.raises(errors.ConnectorRefused, match="no such person"):
            await directory.publish(nobody, certificate)
    async with Opened(graph) as directory:
        with pytest.raises(errors.NotSupported):
            await directory.publish(BOB, certificate)


def _has_identifier(certificate: bytes) -> bool:
    found = x509.load_der_x509_certificate(certificate).extensions
    return any(isinstance(each.value, x509.SubjectKeyIdentifier) for each in found)


async def test_a_test_says_what_works(graph: Graph) -> None:
    async with Opened(graph) as directory:
        assert [finding.verdict.value for finding in await directory.test()] == ["works", "works"]
    async with Opened(graph, {"client-secret": Secret(b"wrong")}) as directory:
        assert [finding.verdict.value for finding in await directory.test()] == ["fails", "skipped"]
    async with Opened(graph) as directory:
        graph.trouble, graph.only = Trouble.BUSY, "/users"
        assert [finding.verdict.value for finding in await directory.test()] == ["works", "fails"]


def test_every_cloud_has_its_own_addresses() -> None:
    assert all(login.startswith("https://login.") and "graph" in graph for login, graph in CLOUDS.values())
    assert len({graph for _, graph in CLOUDS.values()}) == len(CLOUDS)
