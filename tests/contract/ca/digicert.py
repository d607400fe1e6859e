"""Doubles of DigiCert ONE and of DigiCert PKI Platform 8 (REST).

Sources: DigiCert's OpenAPI definition of the Enterprise PKI Manager REST API and its document of Platform 8's, as in
docs/connectors/digicert-one.md and docs/connectors/digicert-pki-platform.md.
"""

import base64
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import NameOID

from server.connectors.ca import digicert_one, digicert_platform
from server.ports.connection import Value
from shared.credential.names import alternative_names
from shared.secret import Secret
from tests.contract.ca.bench import Bench, connect
from tests.contract.ca.signer import Entry, make, other_extensions
from tests.contract.ca.web import Double, Refuse, Trouble, body_of, check_fields

KEY: Final = "01_good"
API: Final = "/mpki/api/v1"
PROFILE: Final = "36f011b7-5fa1-4c6d-83f3-ee59c4d54bb0"
MACHINES: Final = "4b9f2a10-0000-4c6d-83f3-ee59c4d54bb0"
UNIT: Final = "unit-1"
REASONS: Final = frozenset(digicert_one.REASONS.values()) | {"ca_compromise", "aa_compromise"}
SUBJECT_OIDS: Final = {
    "common_name": NameOID.COMMON_NAME,
    "organization_name": NameOID.ORGANIZATION_NAME,
    "email": NameOID.EMAIL_ADDRESS,
    "country": NameOID.COUNTRY_NAME,
}


class DigicertOne(Double):
    """It answers as DigiCert ONE does."""

    KIND = digicert_one.KIND

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.seats: set[str] = set()

    def error(self, refused: Refuse) -> web.Response:
        if refused.status == 403:
            return web.json_response({"error": {"code": "no_access", "message": refused.why}}, status=403)
        shape = {"errors": [{"code": "wrong", "message": refused.why}]}
        return web.json_response(shape, status=refused.status)

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get(f"{API}/profile", self.profiles),
            web.get(f"{API}/seat/{{seat}}", self.seat),
            web.post(f"{API}/seat", self.make_seat),
            web.post(f"{API}/certificate", self.issue),
            web.get(f"{API}/certificate-search", self.search),
            web.get(f"{API}/certificate/{{serial}}", self.certificate),
            web.put(f"{API}/certificate/{{serial}}/revoke", self.revoke),
            web.delete(f"{API}/certificate/{{serial}}/revoke", self.resume),
        ]

    async def profiles(self, request: web.Request) -> web.Response:
        self._check(request)
        listed = [
            {"id": PROFILE, "name": "Cards", "status": "Active", "enrollment_method": "rest_api"},
            {"id": MACHINES, "name": "Machines", "status": "Active", "enrollment_method": "scep"},
        ]
        return web.json_response({"total": 2, "offset": 0, "limit": 20, "items": listed})

    async def seat(self, request: web.Request) -> web.Response:
        self._check(request)
        if request.query.get("seat_type_id") != "USER_SEAT" or "business_unit_id" not in request.query:
            raise Refuse(status=400, why="seat_type_id is required")
        if request.match_info["seat"] not in self.seats:
            raise Refuse(status=404, why="Seat not found")
        return web.json_response({"seat_id": request.match_info["seat"]})

    async def make_seat(self, request: web.Request) -> web.Response:
        self._check(request)
        body = await body_of(
            request,
            {"seat_id": str, "seat_name": str, "seat_type": dict, "business_unit_id": str},
            {"email": str, "phone": str},
        )
        if body["seat_type"] != {"id": "USER_SEAT"} or body["business_unit_id"] != UNIT:
            raise Refuse(status=400, why="seat")
        self.seats.add(body["seat_id"])
        return web.json_response({"seat_id": body["seat_id"]}, status=201)

    async def issue(self, request: web.Request) -> web.Response:
        self._check(request)
        body = await body_of(
            request,
            {"profile": dict, "seat": dict, "csr": str, "attributes": dict},
            {"validity": dict, "delivery_format": str, "include_ca_chain": bool},
        )
        attributes = body["attributes"]
        check_fields(attributes, {"subject": dict}, {"extensions": dict})
        check_fields(attributes["subject"], {"common_name": str}, dict.fromkeys(SUBJECT_OIDS, str))
        san = attributes.get("extensions", {}).get("san", {})
        check_fields(san, {}, {"emails": list, "user_principal_names": list, "uris": list})
        self._may_issue(body["profile"].get("id"), body["seat"].get("seat_id"))
        entry = self._sign(body, attributes["subject"], _first(san))
        told = {"serial_number": f"{entry.serial:X}", "delivery_format": "x509"}
        return web.json_response({**told, "certificate": self._shown(entry)}, status=201)

    def _may_issue(self, profile: str, seat: str) -> None:
        if profile != PROFILE:
            raise Refuse(status=400, why="Profile not found")
        if seat not in self.seats:
            raise Refuse(status=404, why=f"Seat {seat} not found")
        if self.trouble is Trouble.DENIED:
            raise Refuse(status=400, why="Anna Berg: the field organization_units is required")

    def _sign(self, body: dict[str, Any], subject: dict[str, str], names: dict[str, str]) -> Entry:
        validity = body.get("validity", {"unit": "years", "duration": 1})
        check_fields(validity, {"unit": str, "duration": int}, {})
        if validity["unit"] not in {"years", "months", "days", "hours", "minutes"}:
            raise Refuse(status=400, why="validity.unit")
        days = {"years": 365, "months": 30, "days": 1, "hours": 1 / 24, "minutes": 1 / 1440}
        parsed = self.signer.read(body["csr"].encode())
        order = [(SUBJECT_OIDS[name], value) for name, value in subject.items()]
        made = [x509.NameAttribute(oid, value) for oid, value in order]
        return self.signer.sign(
            parsed,
            tag=body["seat"]["seat_id"],
            profile=body["profile"]["id"],
            subject=x509.Name(made),
            names=alternative_names(
                upn=names.get("upn", ""), mail=names.get("mail", ""), card=names.get("card", "")
            ),
            extensions=other_extensions(parsed),
            lasts=timedelta(days=validity["duration"] * days[validity["unit"]]),
        )

    def _shown(self, entry: Entry) -> str:
        if self.trouble is Trouble.OTHER_KEY:
            return make("CN=Anna Berg", self.signer.issuing).pem
        if self.trouble is Trouble.NONSENSE:
            return "-----BEGIN CERTIFICATE-----\nMAMCAQA=\n-----END CERTIFICATE-----\n"
        return entry.pem

    async def search(self, request: web.Request) -> web.Response:
        self._check(request)
        query = request.query
        if not set(query) <= {"seat_id", "profile_id", "limit", "offset", "status", "serial_number"}:
            raise Refuse(status=400, why="unknown parameter")
        found = [
            each
            for each in self.signer.book
            if each.tag == query.get("seat_id", each.tag)
            and each.profile == query.get("profile_id", each.profile)
        ]
        offset, limit = int(query.get("offset", "0")), int(query.get("limit", "20"))
        items = [{**_told(each), "certificate": None} for each in found[offset : offset + limit]]
        return web.json_response({"total": len(found), "offset": offset, "limit": limit, "items": items})

    async def certificate(self, request: web.Request) -> web.Response:
        return web.json_response(_told(self._entry(request)))

    async def revoke(self, request: web.Request) -> web.Response:
        entry = self._entry(request)
        body = await body_of(request, {"revocation_reason": str})
        self._thumbprint(request, entry)
        reason = body["revocation_reason"]
        if reason not in REASONS:
            raise Refuse(status=400, why="revocation_reason")
        if entry.revoked and (entry.reason != "certificate_hold" or reason == "certificate_hold"):
            raise Refuse(status=400, why="Certificate is already revoked")
        entry.revoked, entry.reason = True, reason
        return web.Response(status=204)

    async def resume(self, request: web.Request) -> web.Response:
        entry = self._entry(request)
        self._thumbprint(request, entry)
        if entry.reason != "certificate_hold":
            raise Refuse(status=400, why="Certificate is not suspended")
        entry.revoked, entry.reason = False, ""
        return web.Response(status=204)

    def _check(self, request: web.Request) -> None:
        if request.headers.get("x-api-key") != KEY:
            raise Refuse(status=401, why="Invalid API key")
        if "application/json" not in request.headers.get("Accept", ""):
            raise Refuse(status=406, why="Not acceptable")

    def _entry(self, request: web.Request) -> Entry:
        self._check(request)
        serial = request.match_info["serial"]
        entry = self.signer.by_serial(int(serial, 16))
        if entry is None or serial != f"{entry.serial:X}":
            raise Refuse(status=404, why="Certificate not found")
        return entry

    def _thumbprint(self, request: web.Request, entry: Entry) -> None:
        told = request.query.get("thumbprint_sha256")
        if told not in {None, entry.certificate.fingerprint(hashes.SHA256()).hex().upper()}:
            raise Refuse(status=404, why="Certificate not found")


class Platform8(DigicertOne):
    """It answers as PKI Platform 8 does."""

    KIND = digicert_platform.KIND

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get(f"{API}/profile", self.profiles),
            web.post(f"{API}/certificate", self.issue),
            web.post(f"{API}/searchcert", self.search),
            web.get(f"{API}/certificate/{{serial}}", self.certificate),
            web.put(f"{API}/certificate/{{serial}}/revoke", self.revoke),
        ]

    def error(self, refused: Refuse) -> web.Response:
        shape = {"errors": [{"code": "wrong", "message": refused.why, "field": ""}]}
        return web.json_response(shape, status=refused.status)

    async def profiles(self, request: web.Request) -> web.Response:
        self._check(request)
        return web.json_response([{"id": PROFILE, "name": "Cards", "status": "Active"}])

    async def issue(self, request: web.Request) -> web.Response:
        self._check(request)
        body = await body_of(
            request,
            {"profile": dict, "seat": dict, "csr": str, "attributes": dict},
            {"validity": dict},
        )
        attributes = dict(body["attributes"])
        san = attributes.pop("san", {})
        check_fields(attributes, {"common_name": str}, dict.fromkeys(SUBJECT_OIDS, str))
        check_fields(san, {}, {"rfc822_name": list, "user_principal_name": list})
        for each in (*san.get("rfc822_name", ()), *san.get("user_principal_name", ())):
            check_fields(each, {"id": str, "type": str, "value": str}, {"mandatory": bool})
        values = {name: [each["value"] for each in given] for name, given in san.items()}
        names = {
            "emails": values.get("rfc822_name", []),
            "user_principal_names": values.get("user_principal_name", []),
        }
        self._may_issue(body["profile"].get("id"), body["seat"].get("seat_id"))
        entry = self._sign(body, attributes, _first(names))
        told = {"serial_number": f"{entry.serial:X}", "delivery_format": "x509", "status": "VALID"}
        return web.json_response({**told, "certificate": self._shown(entry)}, status=200)

    async def search(self, request: web.Request) -> web.Response:
        self._check(request)
        body = await body_of(
            request, {"start_index": int}, {"seat_id": str, "profile_id": str, "status": str}
        )
        found = [
            each
            for each in self.signer.book
            if each.tag == body.get("seat_id", each.tag)
            and each.profile == body.get("profile_id", each.profile)
        ]
        first = body["start_index"] - 1
        shown = [_told(each) for each in found[first : first + 50]]
        more = len(found) > first + 50
        told = {"count": len(shown), "more_certs_available": more, "index": first + 1, "certificates": shown}
        return web.json_response(told)

    async def revoke(self, request: web.Request) -> web.Response:
        entry = self._entry(request)
        body = await body_of(request, {"revocation_reason": str})
        if entry.revoked:
            raise Refuse(status=400, why="Certificate is already revoked")
        entry.revoked, entry.reason = True, body["revocation_reason"]
        return web.json_response({"serial_number": f"{entry.serial:X}"})

    def _check(self, request: web.Request) -> None:
        if request.headers.get("X-API-Key") != KEY:
            raise Refuse(status=401, why="Invalid API key")


def _told(entry: Entry) -> dict[str, Any]:
    status = "suspended" if entry.reason == "certificate_hold" else "revoked" if entry.revoked else "issued"
    return {
        "serial_number": f"{entry.serial:X}",
        "status": status,
        "certificate": base64.b64encode(entry.der).decode(),
        "seat": {"seat_id": entry.tag},
    }


def _first(san: dict[str, list[str]]) -> dict[str, str]:
    named = {"emails": "mail", "user_principal_names": "upn", "uris": "card"}
    return {named[name]: values[0] for name, values in san.items() if values}


def bench(double: DigicertOne) -> Bench:
    """Return what the suite needs of a double that runs; Platform 8 has its seats already."""
    platform = isinstance(double, Platform8)
    if platform:
        double.seats.add("anna@example.test")

    def build(key: str) -> Any:
        values: dict[str, Value] = {
            "url": double.url,
            "roots": double.roots,
            "issuers": double.signer.chain_pem,
            "profiles": (PROFILE, "missing"),
            "api-key": Secret.from_text(key),
        }
        return connect(double.KIND, values if platform else {**values, "business-unit": UNIT})

    return Bench(
        kind=double.KIND,
        double=double,
        build=lambda: build(KEY),
        stranger=lambda: build("02_other"),
        profile=PROFILE,
        unknown="missing",
        offered=(PROFILE,),
        issuing="/certificate",
        words={"keyCompromise": "key_compromise", "certificateHold": "certificate_hold"},
    )
