"""A double of the REST interface of a Dogtag certificate authority.

Source: Dogtag's REST resources and data classes, as in docs/connectors/dogtag.md. Nonces belong to a session, and count once.
"""

import secrets
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from aiohttp import web
from cryptography.x509.oid import NameOID

from server.connectors.ca.dogtag import KIND
from server.ports.connection import Value
from shared.secret import Secret
from tests.contract.ca.bench import Bench, connect
from tests.contract.ca.signer import Entry, make, other_extensions
from tests.contract.ca.web import Double, Refuse, Trouble, body_of, check_fields

BASE: Final = "/ca/rest"
AGENTS: Final = "Certificate Manager Agents"
PROFILES: Final = ("kioskLogon", "kioskManual", "kioskSignature")
MANUAL: Final = "kioskManual"
REASONS: Final = {
    "Unspecified": 0,
    "Key_Compromise": 1,
    "Affiliation_Changed": 3,
    "Superseded": 4,
    "Cessation_of_Operation": 5,
    "Certificate_Hold": 6,
    "Privilege_Withdrawn": 9,
}
SEARCHED: Final = {"commonName": str, "matchExactly": bool, "subjectInUse": bool}


@dataclass
class Asked:
    """One request for a certificate."""

    profile: str
    inputs: list[Any]
    status: str = "pending"
    error: str = ""
    entry: Entry | None = None


@dataclass
class Session:
    """What one log-on has been given."""

    nonces: dict[str, int] = field(default_factory=dict)


class Dogtag(Double):
    """It answers as Dogtag does."""

    KIND = KIND
    CLIENTS = True

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.requests: list[Asked] = []
        self.sessions: dict[str, Session] = {}
        self.roles = ["Administrators", AGENTS]
        self.tells_reasons = True
        """Older servers do not."""

    def error(self, refused: Refuse) -> web.Response:
        if refused.status == 401:
            return web.Response(status=401, text="<html>Unauthorized</html>", content_type="text/html")
        told = {"ClassName": "com.netscape.certsrv.base.PKIException", "Code": refused.status}
        return web.json_response({**told, "Message": refused.why}, status=refused.status)

    def routes(self) -> list[web.RouteDef]:
        agent = self._as_agent
        return [
            web.get(f"{BASE}/account/login", agent(self.log_on)),
            web.post(f"{BASE}/certrequests", self.enrol),
            web.get(f"{BASE}/certrequests/profiles", self.profiles),
            web.get(f"{BASE}/certrequests/{{number}}", self.request),
            web.get(f"{BASE}/agent/certrequests", agent(self.waiting)),
            web.get(f"{BASE}/agent/certrequests/{{number}}", agent(self.review_request)),
            web.post(f"{BASE}/agent/certrequests/{{number}}/approve", agent(self.approve)),
            web.get(f"{BASE}/certs/{{number}}", self.certificate),
            web.post(f"{BASE}/certs/search", self.search),
            web.get(f"{BASE}/agent/certs/{{number}}", agent(self.review)),
            web.post(f"{BASE}/agent/certs/{{number}}/revoke", agent(self.revoke)),
            web.post(f"{BASE}/agent/certs/{{number}}/unrevoke", agent(self.unrevoke)),
        ]

    def _as_agent(
        self, handler: Callable[[web.Request, Session], Awaitable[Mapping[str, Any]]]
    ) -> Callable[[web.Request], Awaitable[web.Response]]:
        """Let a handler see agents only, each in a session."""

        async def checked(request: web.Request) -> web.Response:
            if not self.known_client(request):
                raise Refuse(status=401, why="not authenticated")
            if request.path != f"{BASE}/account/login" and AGENTS not in self.roles:
                raise Refuse(status=403, why="Authorization Error")
            number = request.cookies.get("JSESSIONID", "")
            if number not in self.sessions:
                number = secrets.token_hex(16)
                self.sessions[number] = Session()
            answer = web.json_response(await handler(request, self.sessions[number]))
            answer.set_cookie("JSESSIONID", number, path="/ca", secure=True, httponly=True)
            return answer

        return checked

    async def log_on(self, _request: web.Request, _session: Session) -> Mapping[str, Any]:
        return {
            "id": "kiosk",
            "FullName": "Kiosk",
            "Roles": {"Role": self.roles},
            "Attributes": {"Attribute": []},
        }

    # --- requests ---------------------------------------------------------------------------------------

    async def enrol(self, request: web.Request) -> web.Response:
        _wants_json(request)
        body = await body_of(request, {"ProfileID": str, "Renewal": bool, "Input": list})
        (form,) = body["Input"]
        check_fields(form, {"id": str, "ClassID": str, "Name": str, "Attribute": list}, {})
        told = {each["name"]: each["Value"] for each in form["Attribute"]}
        if form["ClassID"] != "certReqInputImpl" or told.get("cert_request_type") != "pkcs10":
            raise Refuse(status=400, why="Invalid Request")
        if body["ProfileID"] not in PROFILES:
            raise Refuse(status=404, why=f"Profile {body['ProfileID']} not found")
        asked = Asked(body["ProfileID"], [{**form, "Text": None}])
        self.requests.append(asked)
        if self.trouble is Trouble.DENIED:
            asked.status = "rejected"
            asked.error = "Subject Name Not Matched CN=Anna Berg,O=Example"
        elif self.known_client(request) and asked.profile != MANUAL and self.trouble is not Trouble.PENDING:
            self._sign(asked)
        entries = [self._info(request, len(self.requests))]
        return web.json_response({"total": 1, "entries": entries})

    def _sign(self, asked: Asked) -> None:
        told = {each["name"]: each["Value"] for each in asked.inputs[0]["Attribute"]}
        parsed = self.signer.read(told["cert_request"].encode())
        asked.entry = self.signer.sign(parsed, extensions=other_extensions(parsed), profile=asked.profile)
        asked.status = "complete"

    def _info(self, request: web.Request, number: int) -> dict[str, Any]:
        asked = self.requests[number - 1]
        told = {
            "requestType": "enrollment",
            "requestStatus": asked.status,
            "requestURL": f"https://{request.host}{BASE}/certrequests/{number}",
            "certRequestType": "pkcs10",
            "operationResult": "error" if asked.error else "success",
        }
        if asked.error:
            told["errorMessage"] = asked.error
        if asked.entry is not None:
            told |= {"certId": f"0x{asked.entry.serial:x}"}
        return told

    def _request(self, request: web.Request) -> tuple[int, Asked]:
        number = int(request.match_info["number"], 0)
        if not 0 < number <= len(self.requests):
            raise Refuse(status=404, why=f"Request ID {number} not found")
        return number, self.requests[number - 1]

    async def request(self, request: web.Request) -> web.Response:
        number, asked = self._request(request)
        if asked.status == "pending" and self.approved:
            self._sign(asked)
        return web.json_response(self._info(request, number))

    async def waiting(self, request: web.Request, _session: Session) -> Mapping[str, Any]:
        if request.query.get("requestStatus") != "pending":
            raise Refuse(status=400, why="requestStatus")
        numbers = [at for at, each in enumerate(self.requests, 1) if each.status == "pending"]
        return {"total": len(numbers), "entries": [self._info(request, number) for number in numbers]}

    async def review_request(self, request: web.Request, session: Session) -> Mapping[str, Any]:
        number, asked = self._request(request)
        return {
            "nonce": str(self._nonce(session, f"request {number}")),
            "requestId": str(number),
            "requestType": "enrollment",
            "requestStatus": asked.status,
            "ProfileID": asked.profile,
            "Renewal": False,
            "Input": asked.inputs,
            "ProfilePolicySet": [{"policies": [{"id": "1", "def": {"name": "Subject Name"}}]}],
        }

    async def approve(self, request: web.Request, session: Session) -> Mapping[str, Any]:
        number, asked = self._request(request)
        body = await request.json()
        self._use(session, f"request {number}", int(body.get("nonce") or 0))
        if body.get("ProfilePolicySet") is None or body.get("Input") != asked.inputs:
            raise Refuse(status=400, why="the request was changed")
        if asked.status != "pending":
            raise Refuse(status=409, why="Request is not pending")
        self._sign(asked)
        return {}

    async def profiles(self, request: web.Request) -> web.Response:
        _wants_json(request)
        start, size = int(request.query.get("start", 0)), int(request.query.get("size", 20))
        found = [{"profileId": name, "profileName": name.title()} for name in PROFILES[start : start + size]]
        return web.json_response({"total": len(PROFILES), "entries": found})

    # --- certificates -----------------------------------------------------------------------------------

    def _entry(self, request: web.Request) -> Entry:
        number = request.match_info["number"]
        entry = self.signer.by_serial(int(number, 16)) if number.startswith("0x") else None
        if entry is None:
            raise Refuse(status=404, why=f"Certificate ID {number} not found")
        return entry

    def _shown(self, entry: Entry) -> dict[str, Any]:
        pem = entry.pem
        if self.trouble is Trouble.OTHER_KEY:
            pem = make("CN=Anna Berg,O=Example", self.signer.issuing).pem
        if self.trouble is Trouble.NONSENSE:
            pem = "-----BEGIN CERTIFICATE-----\nMAMCAQA=\n-----END CERTIFICATE-----\n"
        told: dict[str, Any] = {
            "id": f"0x{entry.serial:x}",
            "SubjectDN": entry.certificate.subject.rfc4514_string(),
            "Encoded": pem.replace("\n", "\r\n"),
            "Status": "REVOKED" if entry.revoked else "VALID",
        }
        if entry.revoked and self.tells_reasons:
            told["RevocationReason"] = REASONS[entry.reason]
        return told

    async def certificate(self, request: web.Request) -> web.Response:
        _wants_json(request)
        return web.json_response(self._shown(self._entry(request)))

    async def search(self, request: web.Request) -> web.Response:
        _wants_json(request)
        body = await body_of(request, SEARCHED)
        named = [
            each
            for each in self.signer.book
            if body["commonName"]
            in [part.value for part in each.certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
        ]
        start, size = int(request.query.get("start", 0)), int(request.query.get("size", 20))
        found = [
            {"id": f"0x{each.serial:x}", "Status": "VALID", "Type": "X.509"}
            for each in named[start : start + size]
        ]
        return web.json_response({"total": len(named), "entries": found})

    async def review(self, request: web.Request, session: Session) -> Mapping[str, Any]:
        entry = self._entry(request)
        return {**self._shown(entry), "Nonce": self._nonce(session, f"certificate {entry.serial}")}

    async def revoke(self, request: web.Request, session: Session) -> Mapping[str, Any]:
        entry = self._entry(request)
        body = await body_of(request, {"Nonce": int, "Reason": str}, {"InvalidityDate": int, "Comments": str})
        self._use(session, f"certificate {entry.serial}", body["Nonce"])
        if body["Reason"] not in REASONS:
            raise Refuse(status=400, why="Invalid revocation reason")
        if entry.revoked and entry.reason != "Certificate_Hold":
            raise Refuse(status=400, why="Certificate has already been revoked")
        if entry.revoked and body["Reason"] == "Certificate_Hold":
            raise Refuse(status=400, why="Certificate is already on hold")
        entry.revoked, entry.reason = True, body["Reason"]
        return _changed("revocation")

    async def unrevoke(self, request: web.Request, _session: Session) -> Mapping[str, Any]:
        entry = self._entry(request)
        if not entry.revoked or entry.reason != "Certificate_Hold":
            raise Refuse(status=400, why="One or more certificates could not be unrevoked")
        entry.revoked, entry.reason = False, ""
        return _changed("unrevocation")

    @staticmethod
    def _nonce(session: Session, what: str) -> int:
        session.nonces[what] = secrets.randbits(63)
        return session.nonces[what]

    @staticmethod
    def _use(session: Session, what: str, nonce: int) -> None:
        if session.nonces.pop(what, None) != nonce:
            raise Refuse(status=400, why="Invalid Nonce")


def _changed(kind: str) -> Mapping[str, Any]:
    return {"requestType": kind, "requestStatus": "complete", "operationResult": "success"}


def _wants_json(request: web.Request) -> None:
    if request.headers.get("Accept") != "application/json":
        raise Refuse(status=406, why="it would be XML")


def values(double: Dogtag, **changed: Value) -> dict[str, Value]:
    """Return the configuration of a connection to a double."""
    plain: dict[str, Value] = {
        "url": double.url + BASE,
        "roots": double.roots,
        "client-certificate": double.client.pem,
        "client-key": Secret.from_text(double.client.key_pem),
        "issuers": double.signer.chain_pem,
        "profiles": ("kioskLogon", "kioskMissing", MANUAL),
    }
    return {**plain, **changed}


def bench(double: Dogtag) -> Bench:
    """Return what the common suite needs."""
    stranger: dict[str, Value] = {
        "client-certificate": double.stranger.pem,
        "client-key": Secret.from_text(double.stranger.key_pem),
    }
    return Bench(
        kind=KIND,
        double=double,
        build=lambda: connect(KIND, values(double)),
        stranger=lambda: connect(KIND, {**values(double), **stranger}),
        profile="kioskLogon",
        unknown="kioskMissing",
        offered=PROFILES,
        issuing=f"{BASE}/certrequests",
        words={"keyCompromise": "Key_Compromise", "certificateHold": "Certificate_Hold"},
    )
