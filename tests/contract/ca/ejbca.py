"""A double of EJBCA's REST interface.

Source: EJBCA's OpenAPI definition and exception handler, as in docs/connectors/ejbca.md. It is stricter in one thing: EJBCA
ignores fields that it does not know, this refuses them.
"""

import base64
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final
from urllib.parse import unquote

from aiohttp import web

from server.connectors.ca.ejbca import KIND
from server.ports.connection import Value
from shared.secret import Secret
from tests.contract.ca.bench import Bench, connect
from tests.contract.ca.signer import Entry, make, other_extensions
from tests.contract.ca.web import Double, Refuse, Trouble, body_of, check_fields

BASE: Final = "/ejbca/ejbca-rest-api"
CA: Final = "Issuing"
PROFILES: Final = {"Person": ["ENDUSER", "SIGNER"]}
REASONS: Final = {
    "UNSPECIFIED",
    "KEY_COMPROMISE",
    "AFFILIATION_CHANGED",
    "SUPERSEDED",
    "CESSATION_OF_OPERATION",
    "CERTIFICATE_HOLD",
    "REMOVE_FROM_CRL",
    "PRIVILEGES_WITHDRAWN",
}
ENROL: Final = {
    "certificate_request": str,
    "certificate_profile_name": str,
    "end_entity_profile_name": str,
    "certificate_authority_name": str,
    "username": str,
    "password": str,
    "include_chain": bool,
}


class Ejbca(Double):
    """It answers as EJBCA does."""

    KIND = KIND
    CLIENTS = True

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.waiting: dict[int, dict[str, Any]] = {}

    def error(self, refused: Refuse) -> web.Response:
        told = {"error_code": refused.status, "error_message": refused.why}
        return web.json_response(told, status=refused.status)

    def routes(self) -> list[web.RouteDef]:
        v1, v2 = f"{BASE}/v1", f"{BASE}/v2"
        return [
            web.get(f"{v1}/ca", self.authorities),
            web.post(f"{v1}/certificate/pkcs10enroll", self.enrol),
            web.post(f"{v1}/certificate/search", self.search),
            web.post(f"{v1}/certificate/{{number}}/finalize", self.finalize),
            web.put(f"{v1}/certificate/{{issuer}}/{{serial}}/revoke", self.revoke),
            web.get(f"{v1}/certificate/{{issuer}}/{{serial}}/revocationstatus", self.status),
            web.get(f"{v2}/endentity/profiles/authorized", self.profiles),
            web.get(f"{v2}/endentity/profile/{{name}}", self.profile),
        ]

    async def authorities(self, request: web.Request) -> web.Response:
        self.check_client(request)
        issuing = self.signer.issuing.certificate
        listed = {
            "id": 1,
            "name": CA,
            "subject_dn": self._issuer,
            "issuer_dn": "CN=Double Root, O=Elsewhere",
            "expiration_date": issuing.not_valid_after_utc.isoformat(),
        }
        return web.json_response({"certificate_authorities": [listed]})

    async def enrol(self, request: web.Request) -> web.Response:
        self.check_client(request)
        body = await body_of(request, ENROL, {"email": str, "account_binding_id": str})
        if body["certificate_authority_name"] != CA:
            raise Refuse(status=404, why="CA with name does not exist")
        if body["certificate_profile_name"] not in PROFILES.get(body["end_entity_profile_name"], ()):
            raise Refuse(status=404, why="Certificate profile does not exist")
        if self.trouble is Trouble.DENIED:
            raise Refuse(
                status=422, why="Subject DN field 'ORGANIZATIONUNIT' must exist: CN=Anna Berg,O=Example"
            )
        if self.trouble is Trouble.PENDING:
            number = 1000 + len(self.waiting)
            self.waiting[number] = body
            return _waits(number, request)
        return self._issue(body)

    def _issue(self, body: dict[str, Any]) -> web.Response:
        parsed = self.signer.read(body["certificate_request"].encode())
        entry = self.signer.sign(parsed, tag=body["username"], extensions=other_extensions(parsed))
        return web.json_response(self._shown(entry, chain=body["include_chain"]), status=201)

    def _shown(self, entry: Entry, *, chain: bool) -> dict[str, Any]:
        shown = entry.der
        if self.trouble is Trouble.OTHER_KEY:
            shown = make("CN=Anna Berg,O=Example", self.signer.issuing).der
        if self.trouble is Trouble.NONSENSE:
            shown = b"\x30\x03\x02\x01\x00"
        told = {
            "certificate": base64.b64encode(shown).decode(),
            "serial_number": f"{entry.serial:X}",
            "response_format": "DER",
        }
        issuers = [base64.b64encode(each).decode() for each in self.signer.chain_der]
        return {**told, "certificate_chain": issuers} if chain else told

    async def finalize(self, request: web.Request) -> web.Response:
        self.check_client(request)
        body = await body_of(
            request, {"response_format": str, "password": str}, {"key_alg": str, "key_spec": str}
        )
        number = int(request.match_info["number"])
        waiting = self.waiting.get(number)
        if waiting is None:
            raise Refuse(status=400, why=f"Approval request with id {number} does not exist")
        if body["password"] != waiting["password"]:
            raise Refuse(status=403, why="Wrong enrollment code")
        if not self.approved:
            return _waits(number, request)
        del self.waiting[number]
        return self._issue(waiting)

    async def search(self, request: web.Request) -> web.Response:
        self.check_client(request)
        body = await body_of(request, {"max_number_of_results": int, "criteria": list})
        (criterion,) = body["criteria"]
        check_fields(criterion, {"property": str, "value": str, "operation": str}, {})
        if criterion["property"] != "QUERY" or criterion["operation"] != "EQUAL":
            raise Refuse(status=400, why="Invalid criteria")
        found = [self._shown(each, chain=False) for each in self.signer.by_tag(criterion["value"])]
        return web.json_response({"certificates": found, "more_results": False})

    async def revoke(self, request: web.Request) -> web.Response:
        entry = self._entry(request)
        reason = request.query.get("reason", "")
        if reason not in REASONS:
            raise Refuse(status=400, why="Invalid revocation reason.")
        held = entry.revoked and entry.reason == "CERTIFICATE_HOLD"
        if reason == "REMOVE_FROM_CRL":
            if not held:
                raise Refuse(status=409, why="Certificate is not on hold")
            entry.revoked, entry.reason = False, "NOT_REVOKED"
        elif entry.revoked and (not held or reason == "CERTIFICATE_HOLD"):
            raise Refuse(status=409, why="Certificate is already revoked")
        else:
            entry.revoked, entry.reason = True, reason
        return web.json_response({**self._status(entry), "message": "Successfully revoked"})

    async def status(self, request: web.Request) -> web.Response:
        return web.json_response(self._status(self._entry(request)))

    async def profiles(self, request: web.Request) -> web.Response:
        self.check_client(request)
        names = [{"id": number, "name": name} for number, name in enumerate((*PROFILES, "Machine"))]
        return web.json_response({"end_entity_profiles": names})

    async def profile(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        told = {
            "end_entity_profile_name": name,
            "subject_distinguished_name_fields": ["CN", "O"],
            "subject_alternative_name_fields": ["UPN", "RFC822NAME"],
            "available_certificate_profiles": PROFILES.get(name, ["SERVER"]),
            "available_cas": [CA] if name in PROFILES else ["Other"],
        }
        return web.json_response(told)

    @property
    def _issuer(self) -> str:
        return "CN=Double Issuing CA, O=Elsewhere"

    def _entry(self, request: web.Request) -> Entry:
        self.check_client(request)
        if unquote(request.match_info["issuer"]) != self._issuer:
            raise Refuse(status=404, why="CA with that subject does not exist")
        serial = request.match_info["serial"]
        if serial != serial.upper() or serial.startswith("0"):
            raise Refuse(status=400, why="Invalid serial number format. Should be HEX encoded.")
        entry = self.signer.by_serial(int(serial, 16))
        if entry is None:
            raise Refuse(status=404, why="Certificate with serial not found")
        return entry

    def _status(self, entry: Entry) -> dict[str, Any]:
        return {
            "issuer_dn": self._issuer,
            "serial_number": f"{entry.serial:X}",
            "revocation_reason": entry.reason or "NOT_REVOKED",
            "revocation_date": datetime.now(UTC).isoformat(),
            "revoked": entry.revoked,
        }


def _waits(number: int, request: web.Request) -> web.Response:
    link = f"https://{request.host}{BASE}/v1/{number}/finalize"
    told = {"status_code": 202, "info_message": "Pending", "request_id": number, "link": link}
    return web.json_response(told, status=202)


def bench(double: Ejbca) -> Bench:
    """Return what the suite needs of a double that runs."""

    def values(client: str, key: str) -> dict[str, Value]:
        return {
            "url": double.url + BASE,
            "roots": double.roots,
            "client-certificate": client,
            "client-key": Secret.from_text(key),
            "issuers": double.signer.chain_pem,
            "profiles": ("Person/ENDUSER", "Person/MISSING"),
            "ca-name": CA,
            "enrolment-secret": Secret.from_text("long and random"),
        }

    good = values(double.client.pem, double.client.key_pem)
    return Bench(
        kind=KIND,
        double=double,
        build=lambda: connect(KIND, good),
        stranger=lambda: connect(KIND, values(double.stranger.pem, double.stranger.key_pem)),
        profile="Person/ENDUSER",
        unknown="Person/MISSING",
        offered=("Person/ENDUSER", "Person/SIGNER"),
        issuing="pkcs10enroll",
        words={"keyCompromise": "KEY_COMPROMISE", "certificateHold": "CERTIFICATE_HOLD"},
    )
