"""AD CS in particular: who we are, on behalf of whom we ask, and what its services say."""

import subprocess
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from server.connectors.ca.adcs.agent import Agent
from server.connectors.ca.adcs.codes import named
from server.connectors.ca.adcs.wstep import KIND
from server.ports.ca import Issued, Pending, Refused, Unanswered
from server.ports.connection import Value
from shared import errors
from shared.credential.names import sid_extension
from shared.secret import Secret
from tests.contract.ca import adcs_wstep as wstep
from tests.contract.ca.adcs_soap import A, S, SoapFault
from tests.contract.ca.bench import ANNA, connect, request_for
from tests.contract.ca.signer import make
from tests.contract.ca.web import Trouble
from tests.contract.test_ca_outside import RSA_KEY, one

ACCOUNT: Final = "EXAMPLE\\aberg"


@pytest.fixture
async def double(tmp_path: Path) -> AsyncIterator[wstep.Wstep]:
    made = wstep.Wstep(tmp_path)
    await made.start()
    yield made
    await made.stop()


@pytest.fixture
async def reach(double: wstep.Wstep) -> AsyncIterator[Callable[..., Any]]:
    """Connections, closed at the end."""
    made: list[Any] = []

    def reaching(way: str = "Certificate", **changed: Value) -> Any:
        values = wstep.values(
            double, way, **{name.replace("_", "-"): value for name, value in changed.items()}
        )
        made.append(connect(KIND, values))
        return made[-1]

    yield reaching
    for each in made:
        await each.close()


def agent(double: wstep.Wstep) -> dict[str, Value]:
    return {
        "agent_certificate": double.agent.pem,
        "agent_key": Secret.from_text(double.agent.key_pem),
        "profiles": (wstep.FOR_OTHERS, wstep.SMART_CARD),
    }


def asked(profile: str = wstep.FOR_OTHERS, account: str = ACCOUNT) -> Any:
    return request_for(RSA_KEY, profile, replace(ANNA, account=account))


# --- who we are -----------------------------------------------------------------------------------------


async def test_a_name_and_a_password_inside_the_message(reach: Callable[..., Any]) -> None:
    authority = reach("UsernamePassword")
    await authority.greet()
    assert isinstance(await one(authority, asked(wstep.SMART_CARD)), Issued)
    assert await authority.credential_ends() is None


@pytest.mark.parametrize(
    "changed",
    [{"user": "EXAMPLE\\other"}, {"password": Secret.from_text("another one")}],
    ids=["user", "password"],
)
async def test_a_wrong_password(
    double: wstep.Wstep, reach: Callable[..., Any], changed: dict[str, Value]
) -> None:
    authority = reach("UsernamePassword", **changed)
    assert await one(authority, asked(wstep.SMART_CARD)) == Refused(
        "it does not accept our credential: name or password"
    )
    with pytest.raises(errors.ConnectorRefused, match="name or password"):
        await authority.greet()
    assert double.requests == {}


async def test_somebody_has_to_log_on(double: wstep.Wstep) -> None:
    values = wstep.values(double)
    nobody = {name: value for name, value in values.items() if not name.startswith("client-")}
    with pytest.raises(errors.Invalid, match="client-key"):
        connect(KIND, nobody)
    with pytest.raises(errors.Invalid, match="password"):
        connect(KIND, {**values, "user": "somebody"})


# --- on behalf of an account ----------------------------------------------------------------------------


async def test_the_directory_says_who_the_account_is(double: wstep.Wstep, reach: Callable[..., Any]) -> None:
    authority = reach(**agent(double))
    assert authority.abilities.for_accounts
    request = asked()
    issued = await one(authority, request)
    assert isinstance(issued, Issued)
    certificate = x509.load_der_x509_certificate(issued.certificate)
    assert certificate.subject.rfc4514_string() == "CN=Anna Berg,O=Example"
    sid = sid_extension(wstep.ACCOUNTS[ACCOUNT].sid)
    assert sid in [each.value for each in certificate.extensions]
    assert double.enrolled_for == [ACCOUNT]


@pytest.mark.parametrize(
    "account", ["", "aberg", "anna@example.test", "EXAMPLE\\", "EXAMPLE\\a\\b", "A B\\c"]
)
async def test_an_account_has_a_form(double: wstep.Wstep, reach: Callable[..., Any], account: str) -> None:
    outcome = await one(reach(**agent(double)), asked(account=account))
    assert isinstance(outcome, Refused)
    assert "DOMAIN\\name" in outcome.reason
    assert double.seen == []


async def test_our_request_carries_the_sid_where_names_are_supplied(reach: Callable[..., Any]) -> None:
    sid = "S-1-5-21-1004336348-1177238915-682003330-1001"
    issued = await one(reach(), request_for(RSA_KEY, wstep.SMART_CARD, replace(ANNA, sid=sid)))
    assert isinstance(issued, Issued)
    found = x509.load_der_x509_certificate(issued.certificate).extensions
    assert sid_extension(sid) in [each.value for each in found]


async def test_a_restricted_agent(double: wstep.Wstep, reach: Callable[..., Any]) -> None:
    outcome = await one(reach(**agent(double)), asked(account=wstep.RESTRICTED))
    assert isinstance(outcome, Refused)
    assert "CERTSRV_E_RESTRICTEDOFFICER (0x80094009): our enrolment agent may not" in outcome.reason
    assert "Administrator" not in outcome.reason


async def test_an_agent_that_nobody_trusts(double: wstep.Wstep, reach: Callable[..., Any]) -> None:
    other = make("CN=Agent,O=Elsewhere", purpose=wstep.AGENT)
    changed = {"agent_certificate": other.pem, "agent_key": Secret.from_text(other.key_pem)}
    outcome = await one(reach(**{**agent(double), **changed}), asked())
    assert isinstance(outcome, Refused)
    assert "CERTSRV_E_SIGNATURE_REJECTED" in outcome.reason


async def test_a_template_that_wants_an_agent(double: wstep.Wstep, reach: Callable[..., Any]) -> None:
    without = reach(profiles=(wstep.FOR_OTHERS,))
    assert wstep.FOR_OTHERS not in await without.offered_profiles()
    assert wstep.FOR_OTHERS in await reach(**agent(double)).offered_profiles()
    with pytest.raises(errors.ConnectorRefused, match="wants 1 signatures of agents"):
        await without.greet()
    outcome = await one(without, asked())
    assert isinstance(outcome, Refused)
    assert "CERTSRV_E_SIGNATURE_POLICY_REQUIRED" in outcome.reason


async def test_an_agent_is_watched_like_every_credential(
    double: wstep.Wstep, reach: Callable[..., Any]
) -> None:
    short = make("CN=Agent,O=Example", double.signer.issuing, purpose=wstep.AGENT, days=3)
    changed = {"agent_certificate": short.pem, "agent_key": Secret.from_text(short.key_pem)}
    ends = await reach(**{**agent(double), **changed}).credential_ends()
    assert ends == short.certificate.not_valid_after_utc


def test_an_agents_certificate_is_one(double: wstep.Wstep) -> None:
    key = Secret.from_text(double.agent.key_pem)
    with pytest.raises(errors.Invalid, match="its key is another one"):
        Agent(double.client.pem, key)
    with pytest.raises(errors.Invalid, match="not for an enrolment agent"):
        Agent(double.client.pem, Secret.from_text(double.client.key_pem))
    with pytest.raises(errors.Invalid, match="cannot be read"):
        Agent(double.agent.pem, Secret.from_text("no key"))


@pytest.mark.parametrize("kind", ["P-256", "RSA"])
def test_openssl_judges_the_agents_signature(tmp_path: Path, kind: str) -> None:
    root = make("CN=Root,O=Elsewhere", ca=True)
    pair = make("CN=Agent,O=Elsewhere", root, purpose=wstep.AGENT)
    certificate, key = pair.pem, pair.key_pem
    if kind == "RSA":
        certificate, key = _with_rsa(pair.certificate, root)
    request = asked().request
    signed, roots, inner = tmp_path / "signed", tmp_path / "roots", tmp_path / "inner"
    signed.write_bytes(Agent(certificate, Secret.from_text(key)).sign(request, ACCOUNT))
    roots.write_text(root.pem)
    judge = f"openssl cms -verify -binary -inform DER -in {signed} -CAfile {roots} -purpose any -out {inner}"
    done = subprocess.run(judge.split(), check=False, capture_output=True)
    assert done.returncode == 0, done.stderr
    assert inner.read_bytes() == request


def _with_rsa(template: x509.Certificate, root: Any) -> tuple[str, str]:
    key = rsa.generate_private_key(65537, 2048)
    builder = x509.CertificateBuilder(
        issuer_name=template.issuer,
        subject_name=template.subject,
        public_key=key.public_key(),
        serial_number=x509.random_serial_number(),
        not_valid_before=template.not_valid_before_utc,
        not_valid_after=template.not_valid_after_utc,
    ).add_extension(x509.ExtendedKeyUsage([wstep.AGENT]), critical=False)
    certificate = builder.sign(root.key, template.signature_hash_algorithm)  # type: ignore[arg-type]  # SHA-256
    text = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    return certificate.public_bytes(Encoding.PEM).decode(), text


# --- what its services say ------------------------------------------------------------------------------


async def test_a_service_without_its_authority_has_refused_nothing(
    double: wstep.Wstep, reach: Callable[..., Any]
) -> None:
    double.unreachable_ca = True
    outcome = await one(reach(), asked(wstep.SMART_CARD))
    assert outcome == Unanswered("RPC_S_SERVER_UNAVAILABLE (0x800706BA)")


async def test_what_broke_in_the_service_has_refused_nothing(
    double: wstep.Wstep, reach: Callable[..., Any]
) -> None:
    double.broken = True
    outcome = await one(reach(), asked(wstep.SMART_CARD))
    assert isinstance(outcome, Unanswered)
    assert "internal error" in outcome.reason


async def test_an_administrator_denies_what_waits(double: wstep.Wstep, reach: Callable[..., Any]) -> None:
    double.trouble = Trouble.PENDING
    authority, request = reach(), asked(wstep.SMART_CARD)
    pending = await one(authority, request)
    assert isinstance(pending, Pending)
    del double.requests[int(pending.reference)]
    denied = await authority.find(replace(request, reference=pending.reference))
    assert isinstance(denied, Refused)
    assert "CERTSRV_E_PROPERTY_EMPTY" in denied.reason


@pytest.mark.parametrize("reference", ["", "0", "-1", "65 ", "²", "99999999999", "../65"])
async def test_a_reference_is_a_number(
    double: wstep.Wstep, reach: Callable[..., Any], reference: str
) -> None:
    assert await reach().find(replace(asked(wstep.SMART_CARD), reference=reference)) is None
    assert double.seen == []


async def test_the_policy_has_another_issuer(double: wstep.Wstep, reach: Callable[..., Any]) -> None:
    other = make("CN=Another CA,O=Elsewhere", double.signer.root, ca=True)
    authority = reach(issuers=other.pem + double.signer.root.pem)
    with pytest.raises(errors.ConnectorRefused, match="no template of the policy"):
        await authority.greet()
    assert await authority.offered_profiles() == []


BOMB: Final = b'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">]><s:Envelope xmlns:s="http://www.w3.org/2003/05/soap-envelope">&a;'


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (BOMB, "not XML that can be read"),
        (b"<Envelope/>", "no SOAP 1.2"),
        (
            f'<e:Envelope xmlns:e="{S[1:-1]}"><e:Header/><e:Body/></e:Envelope>'.encode(),
            "no answer to what was asked",
        ),
        (
            f'<e:Envelope xmlns:e="{S[1:-1]}" xmlns:a="{A[1:-1]}"><e:Header><a:RelatesTo>urn:uuid:0</a:RelatesTo>'
            "</e:Header><e:Body/></e:Envelope>".encode(),
            "another message",
        ),
    ],
    ids=["document type", "another root", "no action", "another message"],
)
async def test_what_is_no_answer(
    double: wstep.Wstep,
    reach: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
    body: bytes,
    reason: str,
) -> None:
    async def answering(_request: web.Request) -> web.Response:
        return web.Response(body=body, content_type="application/soap+xml")

    monkeypatch.setattr(double, "_answer", lambda _trouble, request, _handler: answering(request))
    outcome = await one(reach(), asked(wstep.SMART_CARD))
    assert isinstance(outcome, Unanswered)
    assert reason in outcome.reason
    with pytest.raises(errors.ConnectorAnswerWrong, match=reason):
        await reach().offered_profiles()


def test_codes_are_written_as_administrators_know_them() -> None:
    assert named(-2146877420) == "CERTSRV_E_ADMIN_DENIED_REQUEST (0x80094014): an administrator denied it"
    assert named(0x80004005) == "0x80004005"
    assert SoapFault(why="x", code=0x80094014).code - (1 << 32) == -2146877420
