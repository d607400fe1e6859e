"""Dogtag in particular: agents, sessions and nonces, and what is found of a request without a number."""

from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from server.connectors.ca.dogtag import KIND
from server.ports.ca import Issued, Pending, Reason, Refused, Unanswered
from server.ports.connection import Value
from shared import errors
from tests.contract.ca import dogtag
from tests.contract.ca.bench import ANNA, connect, request_for
from tests.contract.ca.web import Trouble
from tests.contract.test_ca_outside import issued, one


@pytest.fixture
async def double(tmp_path: Path) -> AsyncIterator[dogtag.Dogtag]:
    made = dogtag.Dogtag(tmp_path)
    await made.start()
    yield made
    await made.stop()


@pytest.fixture
async def reach(double: dogtag.Dogtag) -> AsyncIterator[Callable[..., Any]]:
    """Connections, closed at the end."""
    made: list[Any] = []

    def reaching(**changed: Value) -> Any:
        made.append(connect(KIND, dogtag.values(double, **changed)))
        return made[-1]

    yield reaching
    for each in made:
        await each.close()


def asked(profile: str = dogtag.MANUAL, subject: str = ANNA.subject) -> Any:
    key = ec.generate_private_key(ec.SECP256R1())
    return request_for(key, profile, replace(ANNA, subject=subject))


async def test_our_own_certificate_approves(double: dogtag.Dogtag, reach: Callable[..., Any]) -> None:
    assert isinstance(await one(reach(), asked()), Pending)
    authority = reach(approves=True)
    requests = [asked() for _ in range(4)]
    outcomes = await authority.issue(requests)
    assert all(isinstance(each, Issued) for each in outcomes), outcomes
    assert [each.status for each in double.requests] == ["pending", *["complete"] * 4]
    assert len(double.sessions) == 2, "one for each connection"


async def test_a_lost_approval_goes_on(double: dogtag.Dogtag, reach: Callable[..., Any]) -> None:
    authority, request = reach(approves=True), asked()
    double.trouble, double.only = Trouble.RESET, "/approve"
    assert isinstance(await one(authority, request), Unanswered)
    assert [each.status for each in double.requests] == ["pending"]
    double.trouble = Trouble.NONE
    found = await authority.find(request)
    assert isinstance(found, Issued)
    assert len(double.requests) == 1


async def test_a_waiting_request_is_found_without_its_number(
    double: dogtag.Dogtag, reach: Callable[..., Any]
) -> None:
    authority, request = reach(), asked()
    await one(authority, asked())
    double.trouble, double.only = Trouble.LOST, "rest/certrequests"
    assert isinstance(await one(authority, request), Unanswered)
    double.trouble = Trouble.NONE
    assert await authority.find(request) == Pending("2")
    assert await authority.find(asked()) is None


async def test_a_request_is_rejected_while_it_waits(double: dogtag.Dogtag, reach: Callable[..., Any]) -> None:
    authority, request = reach(), asked()
    pending = await one(authority, request)
    double.requests[0].status, double.requests[0].error = "rejected", "not for Anna Berg today"
    refused = await authority.find(replace(request, reference=pending.reference))
    assert refused == Refused("not for … today")


@pytest.mark.parametrize("reference", ["../certs/1", "1?", "", "0x", "1 "])
async def test_a_reference_is_a_number(
    double: dogtag.Dogtag, reach: Callable[..., Any], reference: str
) -> None:
    assert await reach().find(replace(asked(), reference=reference)) is None
    assert not any(reference in each for each in double.seen if reference)


async def test_another_request_is_never_approved(double: dogtag.Dogtag, reach: Callable[..., Any]) -> None:
    first, second = asked(), asked()
    await one(reach(), first)
    with pytest.raises(errors.ConnectorAnswerWrong, match="another one"):
        await reach(approves=True).find(replace(second, reference="1"))
    assert double.requests[0].status == "pending"


async def test_no_agent(double: dogtag.Dogtag, reach: Callable[..., Any]) -> None:
    double.roles = ["Security Domain Administrators"]
    with pytest.raises(errors.ConnectorRefused, match="Certificate Manager Agents"):
        await reach().greet()
    assert isinstance(await one(reach(), asked()), Refused)
    assert double.requests == [], "nothing is asked that nobody could look for"


async def test_a_subject_that_could_not_be_searched(double: dogtag.Dogtag, reach: Callable[..., Any]) -> None:
    outcome = await one(reach(), asked(subject="O=Example"))
    assert isinstance(outcome, Refused)
    assert "common name" in outcome.reason
    assert double.seen == []


async def test_many_of_one_name(double: dogtag.Dogtag, reach: Callable[..., Any]) -> None:
    authority, request = reach(), asked("kioskLogon")
    for _ in range(120):
        double.signer.sign(double.signer.read(asked().request))
    certificate = await issued(authority, request)
    found = await authority.find(request)
    assert isinstance(found, Issued)
    assert found.certificate == certificate


async def test_an_older_server_does_not_say_why_it_revoked(
    double: dogtag.Dogtag, reach: Callable[..., Any]
) -> None:
    double.tells_reasons = False
    authority = reach()
    certificate = await issued(authority, asked("kioskLogon"))
    (entry,) = double.signer.book
    await authority.hold(certificate)
    await authority.revoke(certificate, Reason.KEY_COMPROMISE)
    assert entry.reason == "Key_Compromise"
    await authority.revoke(certificate, Reason.SUPERSEDED)
    assert entry.reason == "Key_Compromise"
    with pytest.raises(errors.ConnectorRefused, match="not changed"):
        await authority.release(certificate)


async def test_a_nonce_of_another_session_is_none(double: dogtag.Dogtag, reach: Callable[..., Any]) -> None:
    """What the double refuses is what our cookie prevents."""
    authority = reach()
    certificate = await issued(authority, asked("kioskLogon"))
    authority.http._cookies = False
    await authority.close()
    with pytest.raises(errors.ConnectorRefused, match="not changed"):
        await authority.revoke(certificate, Reason.SUPERSEDED)
    assert not double.signer.book[0].revoked
