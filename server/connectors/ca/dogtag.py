"""Dogtag and Red Hat Certificate System, over the REST interface, as an agent.

An agent's certificate enrols, approves where a profile waits for an agent, revokes, holds and releases; a nonce that a look at a
request or certificate gives out goes with each change, within one session. Nobody can search by key there: what became of a
request is looked for among the certificates, and the waiting requests, of the same name.

Sources: Dogtag's REST resources (`account`, `certrequests`, `agent/certrequests`, `certs`, `agent/certs`) and its Python client.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any, Final

from cryptography import x509
from cryptography.x509.oid import NameOID

from server.connectors.ca.outside import (
    COMMON_FIELDS,
    REVOKED,
    OutsideAuthority,
    certificate_in,
    pem_request,
    public_key_of,
)
from server.connectors.fields import CLIENT_HTTP_FIELDS
from server.connectors.http import Http
from server.connectors.reply import Reply
from server.ports.ca import Outcome, Pending, Reason, Refused, SignRequest
from server.ports.connection import Ability, Configured, Field, FieldKind, Kind, Port, Surroundings
from shared import errors

AGENTS: Final = "Certificate Manager Agents"
REASONS: Final[Mapping[Reason, str]] = {
    Reason.UNSPECIFIED: "Unspecified",
    Reason.KEY_COMPROMISE: "Key_Compromise",
    Reason.AFFILIATION_CHANGED: "Affiliation_Changed",
    Reason.SUPERSEDED: "Superseded",
    Reason.CESSATION_OF_OPERATION: "Cessation_of_Operation",
    Reason.CERTIFICATE_HOLD: "Certificate_Hold",
    Reason.PRIVILEGE_WITHDRAWN: "Privilege_Withdrawn",
}
ON_HOLD: Final = 6
"""What a certificate's record calls the reason of a hold ([RFC 5280] 5.3.1)."""
REFUSALS: Final = (400, 404, 409)
"""Statuses of requests that were understood and not granted."""
NUMBER: Final = re.compile(r"\d{1,40}|0x[0-9a-fA-F]{1,40}")
"""Of a request or certificate, as it writes them."""
PAGE: Final = 100
MOST_OF_ONE_NAME: Final = 500
"""Certificates, or waiting requests, that are looked at for one request."""


class DogtagAuthority(OutsideAuthority):
    """It is a `CertificateAuthority`, `CanRevoke`, `CanHold` and `CanListProfiles`."""

    def __init__(self, configured: Configured, around: Surroundings) -> None:
        """Take the configuration; nothing is asked yet.

        Raises:
            Invalid: a field cannot be used.
        """
        http = Http(configured, around, headers={"Accept": "application/json"}, cookies=True)
        super().__init__(configured, around, http)
        self._approves = configured.flag("approves")
        self._logging_on = asyncio.Lock()

    async def ask(self, request: SignRequest) -> Outcome:
        """Enrol by PKCS#10; who we are is asked first, for a profile may take requests from anybody."""
        if not _common_name(request):
            return Refused("a subject without a common name could not be found again")
        await self._log_on()
        reply = await self.http.call(
            "POST", "certrequests", json=_enrolment(request), ok=(200, *REFUSALS), what="issue"
        )
        told = reply.object()
        if reply.status in REFUSALS:
            return self.refused(request, told.get("Message"))
        entries = _list(told, "entries")
        if not entries:
            raise reply.wrong(reason="it says nothing of our request")
        return await self._outcome_of(request, entries[0], reply)

    async def look_for(self, request: SignRequest) -> Outcome | None:
        """Ask for a request that waits; else look among the certificates and requests of this name."""
        if request.reference:
            if not NUMBER.fullmatch(request.reference):
                return None
            reply = await self.http.call(
                "GET", f"certrequests/{request.reference}", ok=(200, 404), what="ask again"
            )
            if reply.status == 404:
                return Refused("it does not know this request")
            return await self._outcome_of(request, reply.object(), reply)
        async for number in self._certificates_of(request):
            found = await self._certificate(number)
            if _is_for(found, request):
                return self._issued(request, found)
        return await self._waiting(request)

    async def revoke(self, certificate: bytes, reason: Reason) -> None:
        """Revoke one certificate (DER); doing it again changes nothing."""
        path, told = await self._review(certificate)
        for_what = told.get("RevocationReason")  # older servers do not say it
        if _is_revoked(told) and for_what not in {None, ON_HOLD}:
            return
        try:
            await self._revoke(path, told, REASONS[reason])
        except errors.ConnectorRefused:
            if not _is_revoked(told) or for_what == ON_HOLD:
                raise

    async def hold(self, certificate: bytes) -> None:
        """Put one certificate (DER) on hold; one that is revoked stays revoked."""
        path, told = await self._review(certificate)
        if not _is_revoked(told):
            await self._revoke(path, told, REASONS[Reason.CERTIFICATE_HOLD])

    async def release(self, certificate: bytes) -> None:
        """Make a held certificate valid again; one that is not on hold stays as it is."""
        path, told = await self._review(certificate)
        if not _is_revoked(told):
            return
        if told.get("RevocationReason", ON_HOLD) != ON_HOLD:
            raise self.refusal(reason="revoked for good")
        self._done(await self.http.call("POST", f"{path}/unrevoke", ok=(200, *REFUSALS), what="release"))

    async def offered_profiles(self) -> Sequence[str]:
        """Return the profiles that are enabled there, and shown."""
        return sorted(
            [
                str(each["profileId"])
                async for each in self._pages("GET", "certrequests/profiles", what="profiles")
                if each.get("profileId")
            ]
        )

    async def greet(self) -> None:
        """Log on, and see whether we are an agent there."""
        await self._log_on()

    async def _log_on(self) -> None:
        """Begin a session, or go on with it: nonces hold within one.

        Raises:
            ConnectorRefused: we are nobody there, or no agent.
        """
        async with self._logging_on:  # two that begin together would have two sessions, and one cookie
            told = (await self.http.call("GET", "account/login", what="log-on")).object()
        roles = told.get("Roles")
        if not isinstance(roles, dict) or AGENTS not in (roles.get("Role") or ()):
            raise self.refusal(reason=f"our credential is not one of its {AGENTS}")

    async def _outcome_of(self, request: SignRequest, told: Mapping[str, Any], reply: Reply) -> Outcome:
        number = _number_of(told)
        match told.get("requestStatus"):
            case "complete":
                certificate = str(told.get("certId", ""))
                if not NUMBER.fullmatch(certificate):
                    raise reply.wrong(reason="it does not say which certificate it issued")
                return self._issued(request, await self._certificate(certificate))
            case "pending" if number:
                return await self._approved(request, number) if self._approves else Pending(number)
            case "rejected" | "canceled":
                return self.refused(request, told.get("errorMessage"))
            case _:
                raise reply.wrong(reason="it does not say how our request stands")

    async def _approved(self, request: SignRequest, number: str) -> Outcome:
        """Approve a request of ours, just as the profile made it of what we asked."""
        await self._log_on()
        looked = await self.http.call("GET", f"agent/certrequests/{number}", what="review")
        told = looked.object()
        if told.get("requestStatus") == "pending":
            if not _asks_for(told, request):
                raise looked.wrong(reason="the request of this number is another one")
            reply = await self.http.call(
                "POST",
                f"agent/certrequests/{number}/approve",
                json=told,
                ok=(200, 204, *REFUSALS),
                what="approve",
            )
            if reply.status in REFUSALS:
                return self.refused(request, reply.object().get("Message"))
        reply = await self.http.call("GET", f"certrequests/{number}", what="ask again")
        told = reply.object()
        return (
            Pending(number)
            if told.get("requestStatus") == "pending"
            else await self._outcome_of(request, told, reply)
        )

    async def _waiting(self, request: SignRequest) -> Outcome | None:
        """Look for a request of ours among those that wait for an agent."""
        await self._log_on()
        query = {"requestStatus": "pending", "requestType": "enrollment", "maxResults": str(MOST_OF_ONE_NAME)}
        reply = await self.http.call("GET", "agent/certrequests", query=query, what="search")
        for each in _list(reply.object(), "entries"):
            number = _number_of(each)
            looked = await self.http.call("GET", f"agent/certrequests/{number}", ok=(200, 404), what="search")
            if looked.status == 200 and _asks_for(looked.object(), request):
                return await self._approved(request, number) if self._approves else Pending(number)
        return None

    async def _certificates_of(self, request: SignRequest) -> AsyncIterator[str]:
        """Give the numbers of the certificates of the same common name.

        Raises:
            ConnectorAnswerWrong: there are too many of them.
        """
        wanted = {"commonName": _common_name(request), "matchExactly": True, "subjectInUse": True}
        count = 0
        async for each in self._pages("POST", "certs/search", json=wanted, what="search"):
            count += 1
            if count > MOST_OF_ONE_NAME:
                reason = f"it has more than {MOST_OF_ONE_NAME} certificates of this name"
                raise errors.ConnectorAnswerWrong(connection=self.connection, reason=reason)
            if NUMBER.fullmatch(number := str(each.get("id", ""))):
                yield number

    async def _pages(
        self, method: str, path: str, *, what: str, json: object = None
    ) -> AsyncIterator[Mapping[str, Any]]:
        """Give the entries of a list that comes in pages."""
        start = 0
        while True:
            query = {"start": str(start), "size": str(PAGE)}
            reply = await self.http.call(method, path, query=query, json=json, what=what, repeatable=True)
            entries = _list(reply.object(), "entries")
            for each in entries:
                yield each
            start += len(entries)
            if len(entries) < PAGE:
                return

    async def _certificate(self, number: str) -> Mapping[str, Any]:
        return (await self.http.call("GET", f"certs/{number}", what="certificate")).object()

    def _issued(self, request: SignRequest, told: Mapping[str, Any]) -> Outcome:
        return REVOKED if _is_revoked(told) else self.issued(request, told.get("Encoded"))

    async def _review(self, certificate: bytes) -> tuple[str, Mapping[str, Any]]:
        """Return the path of a certificate, and its record with a nonce of this session."""
        path = f"agent/certs/0x{self.own(certificate).serial_number:x}"
        await self._log_on()
        reply = await self.http.call("GET", path, ok=(200, 404), what="review")
        if reply.status == 404:
            raise self.refusal(reason="it does not know this certificate")
        return path, reply.object()

    async def _revoke(self, path: str, told: Mapping[str, Any], reason: str) -> None:
        asked = {"Nonce": told.get("Nonce"), "Reason": reason}
        self._done(
            await self.http.call("POST", f"{path}/revoke", json=asked, ok=(200, *REFUSALS), what="revoke")
        )

    def _done(self, reply: Reply) -> None:
        """Refuse to take a change for done that is not.

        Raises:
            ConnectorRefused: it was not made, or waits for somebody.
        """
        told = reply.object()
        if reply.status in REFUSALS:
            raise self.refusal(reason=f"HTTP {reply.status}: the certificate was not changed")
        if told.get("requestStatus") != "complete" or told.get("operationResult") == "error":
            raise self.refusal(reason="the certificate was not changed, or not yet")


def _enrolment(request: SignRequest) -> dict[str, Any]:
    """Return the form of an enrolment by PKCS#10."""
    attributes = [
        {"name": "cert_request_type", "Value": "pkcs10"},
        {"name": "cert_request", "Value": pem_request(request)},
    ]
    form = {
        "id": "i1",
        "ClassID": "certReqInputImpl",
        "Name": "Certificate Request Input",
        "Attribute": attributes,
    }
    return {"ProfileID": request.profile, "Renewal": False, "Input": [form]}


def _common_name(request: SignRequest) -> str:
    subject = x509.Name.from_rfc4514_string(request.names.subject)
    found = subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(found[-1].value) if found else ""


def _number_of(told: Mapping[str, Any]) -> str:
    """Return the number of a request: newer servers say it, others end its address with it."""
    number = str(told.get("requestID") or str(told.get("requestURL", "")).rpartition("/")[2])
    return number if NUMBER.fullmatch(number) else ""


def _asks_for(told: Mapping[str, Any], request: SignRequest) -> bool:
    """Whether a request that waits there is the one that the card signed."""
    ours = "".join(pem_request(request).split())
    return any(
        "".join(str(attribute.get("Value", "")).split()) == ours
        for each in _list(told, "Input")
        for attribute in _list(each, "Attribute")
        if attribute.get("name") == "cert_request"
    )


def _is_for(told: Mapping[str, Any], request: SignRequest) -> bool:
    try:
        return public_key_of(certificate_in(told.get("Encoded"))) == request.public_key
    except ValueError:
        return False


def _is_revoked(told: Mapping[str, Any]) -> bool:
    return str(told.get("Status", "")).startswith("REVOKED")


def _list(told: Mapping[str, Any], name: str) -> Sequence[Mapping[str, Any]]:
    found = told.get(name) or ()
    return [each for each in found if isinstance(each, dict)]


KIND: Final = Kind(
    name="dogtag",
    port=Port.CA,
    title="Dogtag, Red Hat Certificate System",
    fields=(
        *CLIENT_HTTP_FIELDS,
        *COMMON_FIELDS,
        Field(
            name="approves",
            kind=FieldKind.FLAG,
            title="Approves",
            default=False,
            help="Requests of ours that wait for an agent are approved by our own certificate, as they are.",
        ),
    ),
    abilities=frozenset(
        {
            Ability.ISSUE,
            Ability.PENDING,
            Ability.FIND,
            Ability.REVOKE,
            Ability.REASONS,
            Ability.HOLD,
            Ability.RELEASE,
            Ability.PROFILES,
            Ability.SUBJECT_OVERRIDE,
        }
    ),
    build=DogtagAuthority,
    page="dogtag.md",
)
