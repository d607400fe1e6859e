"""Entrust CA Gateway, on premises and as PKI as a Service.

Subject and names come from us; names that the gateway has no type for stand in the signed request, which it is told to use. A
request whose answer was lost is looked for among the events of the last weeks, by its key.

Sources: Entrust's CA Gateway API documents (1.8, 3.4, 3.7); Entrust's own clients for what the documents leave open.
"""

import base64
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any, Final
from urllib.parse import quote

from cryptography import x509

from server.connectors.ca.outside import (
    COMMON_FIELDS,
    REVOKED,
    OutsideAuthority,
    certificate_in,
    public_key_of,
)
from server.connectors.fields import CLIENT_HTTP_FIELDS
from server.connectors.http import Http
from server.connectors.reply import Reply
from server.ports.ca import Issued, Outcome, Pending, Reason, SignRequest
from server.ports.connection import Ability, Configured, Field, FieldKind, Kind, Port, Surroundings
from shared.secret import Secret

REFUSALS: Final = (400, 404, 501)
"""Statuses of requests that were understood and not granted; 501: this authority's connector cannot."""
PAGE: Final = 50
"""PKI as a Service gives no more events at once."""
MAX_PAGES: Final = 200
SEARCHED_DAYS: Final = 30


class EntrustAuthority(OutsideAuthority):
    """It is a `CertificateAuthority`, `CanRevoke`, `CanHold` and `CanListProfiles`."""

    def __init__(self, configured: Configured, around: Surroundings) -> None:
        """Take the configuration; nothing is asked yet.

        Raises:
            Invalid: a field cannot be used.
        """
        headers: dict[str, str | Secret] = {"Accept": "application/json"}
        if configured.text("client-id"):
            headers["ca-client-id"] = configured.text("client-id")
        super().__init__(configured, around, Http(configured, around, headers=headers))
        self._path = f"v1/certificate-authorities/{quote(configured.text('ca-id'), safe='')}"

    async def ask(self, request: SignRequest) -> Outcome:
        """Enrol with the signed request, subject and names."""
        details: dict[str, Any] = {
            "subjectDn": request.names.subject,
            "useSANFromCSR": True,
            "performPOP": True,
        }
        if request.not_after is not None:
            minutes = int((request.not_after - self.clock.now()).total_seconds()) // 60
            details["validityPeriod"] = f"PT{max(1, minutes)}M"
        reply = await self.http.call(
            "POST",
            f"{self._path}/enrollments",
            json={
                "profileId": request.profile,
                "requiredFormat": {"format": "X509"},
                "csr": base64.b64encode(request.request).decode(),
                "includeCa": True,
                "properties": {"tracking.trackingInfo": str(request.request_id)},
                "optionalCertificateRequestDetails": details,
            },
            ok=(200, 201, 202, *REFUSALS),
            what="issue",
        )
        told = reply.object()
        if _failed(reply, told):
            return self.refused(request, _words(told))
        enrolment = told.get("enrollment")
        enrolment = enrolment if isinstance(enrolment, dict) else {}
        if not enrolment.get("body"):
            return Pending(str(enrolment.get("id") or request.request_id))
        return self.issued(request, enrolment["body"], _certificates(enrolment.get("chain")))

    async def look_for(self, request: SignRequest) -> Outcome | None:
        """Look for the key among what was issued of late."""
        waits = Pending(request.reference) if request.reference else None
        async for content in self._issued_lately():
            try:
                certificate = certificate_in(content)
            except ValueError:
                continue
            if public_key_of(certificate) == request.public_key:
                status = await self._status(x509.load_der_x509_certificate(certificate))
                return REVOKED if status == "revoked" else Issued(certificate, self.chain)
        return waits

    async def revoke(self, certificate: bytes, reason: Reason) -> None:
        """Revoke one certificate (DER); doing it again changes nothing."""
        await self._act(self.own(certificate), "RevokeAction", reason.value)

    async def hold(self, certificate: bytes) -> None:
        """Put one certificate (DER) on hold; one that is revoked stays revoked."""
        parsed = self.own(certificate)
        if await self._status(parsed) == "normal":
            await self._act(parsed, "HoldAction", Reason.UNSPECIFIED.value)

    async def release(self, certificate: bytes) -> None:
        """Make a held certificate valid again; one that is not on hold stays as it is."""
        parsed = self.own(certificate)
        status = await self._status(parsed)
        if status == "revoked":
            raise self.refusal(reason="revoked for good")
        if status == "held":
            await self._act(parsed, "UnholdAction", Reason.UNSPECIFIED.value)

    async def offered_profiles(self) -> Sequence[str]:
        """Return the profiles of this certificate authority, by their ids."""
        reply = await self.http.call("GET", f"{self._path}/profiles", what="profiles")
        found = self._read(reply).get("profiles") or ()
        return sorted(str(each["id"]) for each in found if isinstance(each, dict) and "id" in each)

    async def greet(self) -> None:
        """Look our certificate authority up."""
        self._read(await self.http.call("GET", self._path, what="certificate authority"))

    async def _act(self, certificate: x509.Certificate, action: str, reason: str) -> None:
        reply = await self.http.call(
            "POST",
            f"{self._path}/certificates/{certificate.serial_number:x}/actions",
            json={"action": {"type": action, "reason": reason, "comment": "", "issueCrl": "true"}},
            ok=(200, 201, 202, *REFUSALS),
            what="revoke",
            repeatable=True,
        )
        told = reply.object()
        action_told = told.get("action")
        status = action_told.get("status") if isinstance(action_told, dict) else None
        if not _failed(reply, told) and status != "REJECTED":
            return
        if action == "RevokeAction" and await self._status(certificate) == "revoked":
            return
        raise self.refusal(reason=f"HTTP {reply.status}: it does not change this certificate")

    async def _status(self, certificate: x509.Certificate) -> str:
        """Return normal, held, revoked or expired; empty where this authority's connector does not say."""
        reply = await self.http.call(
            "GET", f"{self._path}/certificates/{certificate.serial_number:x}", what="status"
        )
        found = self._read(reply).get("certificate")
        return str(found.get("status") or "") if isinstance(found, dict) else ""

    async def _issued_lately(self) -> Any:
        """Yield certificates that were issued in the last weeks."""
        since = self.clock.now() - timedelta(days=SEARCHED_DAYS)
        query = {
            "preferredPageSize": str(PAGE),
            "startDate": since.strftime("%Y-%m-%dT%H:%M:%SZ"),
        }
        for _ in range(MAX_PAGES):
            reply = await self.http.call(
                "GET", f"{self._path}/certificate-events", query=query, what="search"
            )
            told = self._read(reply)
            for each in told.get("events") or ():
                if isinstance(each, dict) and each.get("action") == "issued":
                    yield each.get("certificate")
            if not told.get("morePages"):
                return
            query["nextPageIndex"] = str(told.get("nextPageIndex"))
        raise reply.wrong(reason="it has too many events to search")

    def _read(self, reply: Reply) -> Mapping[str, Any]:
        """Return an answer; an error is one whatever its status says."""
        told = reply.object()
        if _failed(reply, told):
            raise self.refusal(reason=f"HTTP {reply.status}: it answers with an error")
        return told


def _failed(reply: Reply, told: Mapping[str, Any]) -> bool:
    return reply.status in REFUSALS or told.get("type") == "ErrorResponse"


def _words(told: Mapping[str, Any]) -> str:
    """Return code and message; details can hold internals of the authority."""
    error = told.get("error")
    if not isinstance(error, dict):
        return ""
    return f"{error.get('code') or ''} {error.get('message') or ''}".strip()


def _certificates(chain: object) -> Sequence[object]:
    found = chain if isinstance(chain, list) else []
    return [each["certificateData"] for each in found if isinstance(each, dict) and "certificateData" in each]


KIND: Final = Kind(
    name="entrust-ca-gateway",
    port=Port.CA,
    title="Entrust CA Gateway, PKI as a Service",
    fields=(
        *CLIENT_HTTP_FIELDS,
        *COMMON_FIELDS,
        Field(
            name="ca-id",
            kind=FieldKind.TEXT,
            title="Certificate authority",
            required=True,
            help="Its id at the gateway; PARTITION~CA at PKI as a Service.",
        ),
        Field(
            name="client-id",
            kind=FieldKind.TEXT,
            title="Client id",
            help="Where one TLS certificate serves several clients (header ca-client-id).",
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
    build=EntrustAuthority,
    page="entrust-ca-gateway.md",
)
