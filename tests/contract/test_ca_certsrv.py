"""AD CS' web pages in particular: what is read from a page, in whatever language, and what is not."""

from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from cryptography.hazmat.primitives.asymmetric import ec

from server.connectors.ca.adcs.certsrv import KIND
from server.ports.ca import Issued, Pending, Refused, Unanswered
from server.ports.connection import Value
from shared import errors
from shared.secret import Secret
from tests.contract.ca import adcs_certsrv as certsrv
from tests.contract.ca.bench import connect, request_for
from tests.contract.ca.signer import make
from tests.contract.ca.web import Trouble
from tests.contract.test_ca_outside import one


@pytest.fixture
async def double(tmp_path: Path) -> AsyncIterator[certsrv.Certsrv]:
    made = certsrv.Certsrv(tmp_path)
    await made.start()
    yield made
    await made.stop()


@pytest.fixture
async def reach(double: certsrv.Certsrv) -> AsyncIterator[Callable[..., Any]]:
    """Connections, closed at the end."""
    made: list[Any] = []

    def reaching(**changed: Value) -> Any:
        made.append(connect(KIND, certsrv.values(double, **changed)))
        return made[-1]

    yield reaching
    for each in made:
        await each.close()


def asked(profile: str = certsrv.TEMPLATES[0]) -> Any:
    return request_for(ec.generate_private_key(ec.SECP256R1()), profile)


@pytest.mark.parametrize("language", certsrv.WORDS)
async def test_every_language_is_understood(
    double: certsrv.Certsrv, reach: Callable[..., Any], language: str
) -> None:
    double.language = language
    authority = reach()
    assert isinstance(await one(authority, asked()), Issued)
    refused = await one(authority, asked("KioskMissing"))
    assert isinstance(refused, Refused)
    assert (
        "CERTSRV_E_UNSUPPORTED_CERT_TYPE (0x80094800): this certificate authority does not" in refused.reason
    )
    double.trouble = Trouble.DENIED
    assert isinstance(await one(authority, asked()), Refused)
    double.trouble = Trouble.PENDING
    request = asked()
    assert await one(authority, request) == Pending("4")
    double.requests[3].denied = "0x80094014"
    denied = await authority.find(replace(request, reference="4"))
    assert isinstance(denied, Refused)
    assert "CERTSRV_E_ADMIN_DENIED_REQUEST" in denied.reason


async def test_a_certificate(double: certsrv.Certsrv) -> None:
    plain = certsrv.values(double)
    values = {name: value for name, value in plain.items() if name not in {"user", "password"}}
    with pytest.raises(errors.Invalid, match="client-key"):
        connect(KIND, values)
    key = Secret.from_text(double.client.key_pem)
    authority = connect(KIND, {**values, "client-certificate": double.client.pem, "client-key": key})
    await authority.greet()
    assert isinstance(await one(authority, asked()), Issued)
    await authority.close()


async def test_what_cannot_be_fetched_waits_for_it(
    double: certsrv.Certsrv, reach: Callable[..., Any]
) -> None:
    """It was issued, and its number is known: so nothing is lost."""
    double.trouble, double.only = Trouble.RESET, "certnew.cer"
    authority, request = reach(), asked()
    assert await one(authority, request) == Pending("1")
    double.trouble = Trouble.NONE
    assert isinstance(await authority.find(replace(request, reference="1")), Issued)
    assert len(double.requests) == 1


async def test_another_certificate_authority(double: certsrv.Certsrv, reach: Callable[..., Any]) -> None:
    other = make("CN=Double Issuing CA,O=Elsewhere", double.signer.root, ca=True)
    with pytest.raises(errors.ConnectorRefused, match="another one than the configured"):
        await reach(issuers=other.pem + double.signer.root.pem).greet()


@pytest.mark.parametrize("reference", ["", "0", "CACert", "1&Renewal=0", "٣", "12345678901"])
async def test_a_reference_is_a_number(
    double: certsrv.Certsrv, reach: Callable[..., Any], reference: str
) -> None:
    assert await reach().find(replace(asked(), reference=reference)) is None
    assert double.seen == []


@pytest.mark.parametrize(
    "page",
    [
        "<HTML><Body>Your Request Id is 7.</Body>",
        "<HTML><Body>Request 7 of 9</Body></HTML>",
        "<HTML><Body>Welcome</Body></HTML>",
        "<HTML><Head><Script>var n = 7;</Script></Head><Body>Log on since 10:30</Body></HTML>",
    ],
    ids=["in part", "two numbers", "no number", "a number of a script"],
)
async def test_a_page_that_says_nothing(
    double: certsrv.Certsrv, reach: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, page: str
) -> None:
    async def answering(_request: web.Request) -> web.Response:
        return web.Response(text=page, content_type="text/html")

    monkeypatch.setattr(double, "_answer", lambda _trouble, request, _handler: answering(request))
    assert isinstance(await one(reach(), asked()), Unanswered)


async def test_a_page_without_its_authority_has_refused_nothing(
    double: certsrv.Certsrv, reach: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def answering(_request: web.Request) -> web.Response:
        page = "<HTML><Body>The RPC server is unavailable. 0x800706ba (WIN32: 1722)</Body></HTML>"
        return web.Response(text=page, content_type="text/html")

    monkeypatch.setattr(double, "_answer", lambda _trouble, request, _handler: answering(request))
    assert await one(reach(), asked()) == Unanswered("RPC_S_SERVER_UNAVAILABLE (0x800706BA)")
