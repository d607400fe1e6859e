"""A double of Entrust's CA Gateway.

Source: Entrust's CA Gateway API documents, as in docs/connectors/entrust-ca-gateway.md.
"""

import base64
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

from aiohttp import web
from cryptography import x509

from server.connectors.ca.entrust import KIND
from shared.secret import Secret
from tests.contract.ca.bench import Bench, connect
from tests.contract.ca.signer import Entry, make, other_extensions
from tests.contract.ca.web import Double, Refuse, Trouble, body_of, check_fields

CA: Final = "part~cards"
BASE: Final = "/cagw/v1/certificate-authorities"
PROFILES: Final = ("mdmws-digital-signature", "piv-auth")
REASONS: Final = {
    "unspecified",
    "keyCompromise",
    "caCompromise",
    "affiliationChanged",
    "superseded",
    "cessationOfOperation",
    "certificateHold",
    "privilegeWithdrawn",
}
PAGE: Final = 2


class Entrust(Double):
    """It answers as the gateway does."""

    KIND = KIND
    CLIENTS = True

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.waiting: list[dict[str, Any]] = []

    def error(self, refused: Refuse) -> web.Response:
        error: dict[str, Any] = {
            "code": "cagw-4018",
            "message": refused.why,
            "target": None,
            "value": None,
            "details": [],
        }
        return web.json_response({"type": "ErrorResponse", "error": error}, status=refused.status)

    def routes(self) -> list[web.RouteDef]:
        one = f"{BASE}/{{ca}}"
        return [
            web.get(one, self.authority),
            web.get(f"{one}/profiles", self.profiles),
            web.post(f"{one}/enrollments", self.enrol),
            web.get(f"{one}/certificates/{{serial}}", self.certificate),
            web.post(f"{one}/certificates/{{serial}}/actions", self.act),
            web.get(f"{one}/certificate-events", self.events),
        ]

    async def authority(self, request: web.Request) -> web.Response:
        self._check(request)
        told = {
            "id": CA,
            "name": "Cards",
            "properties": {"connector-name": "com.entrust.PKIHub"},
            "chain": [],
        }
        return web.json_response({"type": "CAResponse", "ca": told})

    async def profiles(self, request: web.Request) -> web.Response:
        self._check(request)
        listed: list[dict[str, Any]] = [
            {"id": each, "name": each.upper(), "properties": {}} for each in PROFILES
        ]
        return web.json_response({"type": "ProfilesResponse", "profiles": listed})

    async def enrol(self, request: web.Request) -> web.Response:
        self._check(request)
        body = await body_of(
            request,
            {"profileId": str, "requiredFormat": dict, "csr": str},
            {
                "subjectVariables": list,
                "subjectAltNames": list,
                "includeCa": bool,
                "properties": dict,
                "optionalCertificateRequestDetails": dict,
            },
        )
        details = body.get("optionalCertificateRequestDetails", {})
        check_fields(
            details,
            {"subjectDn": str},
            {"validityPeriod": str, "useSANFromCSR": bool, "performPOP": bool},
        )
        if body["requiredFormat"] != {"format": "X509"} or re.search(r"\s|-", body["csr"]):
            raise Refuse(status=400, why="format")
        if body["profileId"] not in PROFILES:
            raise Refuse(status=404, why="Profile not found")
        if self.trouble is Trouble.DENIED:
            raise Refuse(status=400, why="Subject CN=Anna Berg,O=Example violates the profile")
        if self.trouble is Trouble.PENDING:
            self.waiting.append(body)
            return web.json_response(
                {"type": "EnrollmentResponse", "enrollment": {"id": str(uuid4()), "status": "ACCEPTED"}},
                status=201,
            )
        entry = self._sign(body)
        shown = entry.der
        if self.trouble is Trouble.OTHER_KEY:
            shown = make("CN=Anna Berg", self.signer.issuing).der
        if self.trouble is Trouble.NONSENSE:
            shown = b"\x30\x03\x02\x01\x00"
        enrolment = {
            "id": str(uuid4()),
            "serialNumber": f"{entry.serial:040x}",
            "subjectName": entry.certificate.subject.rfc4514_string(),
            "status": "ISSUED",
            "body": base64.b64encode(shown).decode(),
            "chain": [{"certificateData": base64.b64encode(each).decode()} for each in self.signer.chain_der],
            "properties": {},
        }
        return web.json_response({"type": "EnrollmentResponse", "enrollment": enrolment})

    def _sign(self, body: dict[str, Any]) -> Entry:
        parsed = self.signer.read(base64.b64decode(body["csr"], validate=True))
        details = body["optionalCertificateRequestDetails"]
        minutes = re.fullmatch(r"PT(\d+)M", details.get("validityPeriod", "PT525600M"))
        if minutes is None:
            raise Refuse(status=400, why="validity period")
        return self.signer.sign(
            parsed,
            subject=x509.Name.from_rfc4514_string(details["subjectDn"]),
            names=None if details.get("useSANFromCSR") else (),
            extensions=other_extensions(parsed),
            lasts=timedelta(minutes=int(minutes[1])),
        )

    async def certificate(self, request: web.Request) -> web.Response:
        entry = self._entry(request)
        status = "held" if entry.reason == "certificateHold" else "revoked" if entry.revoked else "normal"
        told = {
            "status": status,
            "serialNumber": f"{entry.serial:040x}",
            "certificateData": base64.b64encode(entry.der).decode(),
        }
        return web.json_response({"type": "CertificateResponse", "certificate": told, "chain": []})

    async def act(self, request: web.Request) -> web.Response:
        entry = self._entry(request)
        body = await body_of(request, {"action": dict})
        action = body["action"]
        check_fields(action, {"type": str}, {"reason": str, "comment": str, "issueCrl": str})
        if action.get("reason", "unspecified") not in REASONS:
            raise Refuse(status=400, why="reason")
        held = entry.reason == "certificateHold"
        status = "COMPLETED"
        match action["type"]:
            case "RevokeAction" if not entry.revoked or held:
                entry.revoked, entry.reason = True, action["reason"]
            case "HoldAction" if not entry.revoked:
                entry.revoked, entry.reason = True, "certificateHold"
            case "UnholdAction" if held:
                entry.revoked, entry.reason = False, ""
            case "RevokeAction" | "HoldAction" | "UnholdAction":
                status = "REJECTED"
            case _:
                raise Refuse(status=501, why="not implemented by this connector")
        return web.json_response(
            {"type": "ActionResponse", "action": {"type": action["type"], "status": status}}
        )

    async def events(self, request: web.Request) -> web.Response:
        self._check(request)
        since = datetime.fromisoformat(request.query["startDate"])
        if self.approved:
            for body in self.waiting:
                self._sign(body)
            self.waiting.clear()
        recent = [each for each in self.signer.book if each.certificate.not_valid_before_utc >= since]
        at = int(request.query.get("nextPageIndex", "0"))
        listed = [
            {
                "action": "issued",
                "event": number,
                "eventDate": datetime.now(UTC).isoformat(),
                "certificate": base64.b64encode(each.der).decode(),
                "serialNumber": f"{each.serial:x}",
            }
            for number, each in enumerate(recent[at : at + PAGE])
        ]
        more = len(recent) > at + PAGE
        told = {"type": "CertificateEventsResponse", "events": listed, "morePages": more}
        return web.json_response({**told, "nextPageIndex": str(at + PAGE)} if more else told)

    def _check(self, request: web.Request) -> None:
        self.check_client(request)
        if "application/json" not in request.headers.get("Accept", ""):
            raise Refuse(status=406, why="accept")
        if request.match_info["ca"] != CA:
            raise Refuse(status=404, why="CA with specified name not found")

    def _entry(self, request: web.Request) -> Entry:
        self._check(request)
        entry = self.signer.by_serial(int(request.match_info["serial"], 16))
        if entry is None:
            raise Refuse(status=404, why="certificate not found")
        return entry


def bench(double: Entrust) -> Bench:
    """Return what the suite needs of a double that runs."""

    def build(certificate: str, key: str) -> Any:
        return connect(
            KIND,
            {
                "url": f"{double.url}/cagw",
                "roots": double.roots,
                "client-certificate": certificate,
                "client-key": Secret.from_text(key),
                "issuers": double.signer.chain_pem,
                "profiles": ("piv-auth", "missing"),
                "ca-id": CA,
            },
        )

    return Bench(
        kind=KIND,
        double=double,
        build=lambda: build(double.client.pem, double.client.key_pem),
        stranger=lambda: build(double.stranger.pem, double.stranger.key_pem),
        profile="piv-auth",
        unknown="missing",
        offered=PROFILES,
        issuing="enrollments",
        words={"keyCompromise": "keyCompromise", "certificateHold": "certificateHold"},
    )
