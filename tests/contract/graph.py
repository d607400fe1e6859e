"""A double of Microsoft Entra ID and Graph v1.0, as strict as what is published: headers, paths, tokens and their audience.

Sources: Microsoft Graph v1.0 (list users, advanced query capabilities, paging, errors, profile photo, authorizationInfo);
Microsoft identity platform (client credentials with secret and certificate, device authorization grant); [RFC 7523] 3,
[RFC 8628] 3.
"""

import base64
import json
import re
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlencode

import jwt
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from server.connectors.directory.entra_kind import KIND
from server.ports.connection import Kind, Value
from shared.secret import Secret
from tests.contract.ca.web import Double, Refuse
from tests.peers.slapd import LdapPerson

TENANT: Final = "0b5f7f2a-6d2e-4c0e-8f60-1c8b7a2f9d11"
CLIENT: Final = "7d0f3a55-2b58-4c9b-9a53-3f0f8f1f6a01"
WRITER: Final = "7d0f3a55-2b58-4c9b-9a53-3f0f8f1f6a02"
SECRET: Final = "application~secret"
WRITING_SECRET: Final = "writing~secret"
TOKEN_S: Final = 3600
DAY: Final = timedelta(days=1)
CLAUSE: Final = re.compile(r'"((?:[^"\\]|\\.)*)"')
LITERAL: Final = re.compile(r"(\w+) eq '((?:[^']|'')*)'")
SEARCHABLE: Final = {"displayName", "mail", "userPrincipalName", "givenName", "surname"}
ADVANCED: Final = {
    "onPremisesSamAccountName",
    "displayName",
    "givenName",
    "surname",
    "mail",
    "department",
    "jobTitle",
}
"""Properties whose filter needs the header and the count, or is asked with them here."""
PROPERTIES: Final = SEARCHABLE | ADVANCED | {
    "id", "accountEnabled", "employeeId", "onPremisesSecurityIdentifier", "companyName", "authorizationInfo",
}  # fmt: skip


@dataclass
class Flow:
    """A log-on by code. `who` is the object id of whoever typed it."""

    code: str
    asked_at: float = 0.0
    who: str = ""
    answer: str = "authorization_pending"
    claims: dict[str, Any] = field(default_factory=dict)


class Graph(Double):
    """Both hosts in one: tokens at `/{tenant}`, Graph at `/v1.0`."""

    KIND: Kind = KIND

    def __init__(self, folder: Path, people: Sequence[LdapPerson]) -> None:
        super().__init__(folder)
        self.people = {person.entry_uuid: _user(person) for person in people}
        self.photos = {person.entry_uuid: person.photo for person in people if person.photo}
        self.application = rsa_pair("application")
        self.tokens: dict[str, tuple[str, float]] = {}
        self.flows: dict[str, Flow] = {}
        self.next_host = ""
        """Where it is not empty: pages go on at this host."""
        self.page = 0
        """Where it is not 0: entries of a page, whatever is asked for."""

    def values(self, **changes: Value) -> dict[str, Value]:
        """Return a connection's values."""
        found: dict[str, Value] = {
            "tenant": TENANT,
            "client": CLIENT,
            "client-secret": Secret.from_text(SECRET),
            "login-url": self.url,
            "graph-url": self.url,
            "roots": self.roots,
        }
        return found | changes

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get("/{tenant}/v2.0/.well-known/openid-configuration", self.configuration),
            web.post("/{tenant}/oauth2/v2.0/token", self.token),
            web.post("/{tenant}/oauth2/v2.0/devicecode", self.device_code),
            web.get("/v1.0/users", self.users),
            web.get("/v1.0/users/{id}", self.user),
            web.patch("/v1.0/users/{id}", self.change),
            web.get("/v1.0/users/{id}/photo/$value", self.photo),
        ]

    def error(self, refused: Refuse) -> web.Response:
        code, _, message = refused.why.partition(": ")
        if refused.status == 400 and code.islower():
            return web.json_response(
                {"error": code, "error_description": message, "error_codes": [70016]}, status=400
            )
        body = {"error": {"code": code, "message": message, "innerError": {"date": "…", "request-id": "…"}}}
        return web.json_response(body, status=refused.status)

    # --- tokens ---------------------------------------------------------------------------------------

    async def configuration(self, request: web.Request) -> web.Response:
        self._tenant(request)
        base = f"{self.url}/{TENANT}"
        return web.json_response(
            {
                "issuer": f"{base}/v2.0",
                "authorization_endpoint": f"{base}/oauth2/v2.0/authorize",
                "token_endpoint": f"{base}/oauth2/v2.0/token",
                "device_authorization_endpoint": f"{base}/oauth2/v2.0/devicecode",
            }
        )

    async def token(self, request: web.Request) -> web.Response:
        self._tenant(request)
        form = await self._form(request)
        match form.get("grant_type"):
            case "client_credentials":
                return self._application(form)
            case "urn:ietf:params:oauth:grant-type:device_code":
                return self._outcome(form)
        raise Refuse(status=400, why="unsupported_grant_type: AADSTS70003")

    def _application(self, form: dict[str, str]) -> web.Response:
        if form.get("scope") != f"{self.url}/.default":
            raise Refuse(status=400, why="invalid_scope: AADSTS70011")
        client = form.get("client_id", "")
        known = {CLIENT: SECRET, WRITER: WRITING_SECRET}
        if "client_assertion" in form:
            self._check_assertion(form)
        elif client not in known or form.get("client_secret") != known[client]:
            raise Refuse(status=400, why="invalid_client: AADSTS7000215: secret … is wrong")
        token = secrets.token_urlsafe(24)
        self.tokens[token] = (client, time.time() + TOKEN_S)
        return web.json_response({"token_type": "Bearer", "expires_in": TOKEN_S, "access_token": token})

    def _check_assertion(self, form: dict[str, str]) -> None:
        """Check what stands in place of a secret ([RFC 7523] 3): signed by the certificate, for this endpoint, now."""
        kind = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
        try:
            claims = jwt.decode(
                form["client_assertion"],
                self.application[0].public_key(),
                algorithms=["RS256", "PS256"],
                audience=f"{self.url}/{TENANT}/oauth2/v2.0/token",
                options={"require": ["exp", "iss", "sub", "aud", "jti"]},
            )
        except jwt.InvalidTokenError as cause:
            raise Refuse(status=400, why=f"invalid_client: AADSTS700027: {cause}") from cause
        if form.get("client_assertion_type") != kind or {claims["iss"], claims["sub"]} != {CLIENT}:
            raise Refuse(status=400, why="invalid_client: AADSTS700021")

    async def device_code(self, request: web.Request) -> web.Response:
        self._tenant(request)
        form = await self._form(request)
        if form.get("client_id") != CLIENT or "openid" not in form.get("scope", "").split():
            raise Refuse(status=400, why="invalid_client: AADSTS700016")
        flow = Flow(code="".join(secrets.choice("BCDFGHJKLMNPQRSTVWXZ") for _ in range(9)))
        handle = secrets.token_urlsafe(32)
        self.flows[handle] = flow
        return web.json_response(
            {
                "user_code": flow.code,
                "device_code": handle,
                "verification_uri": "https://microsoft.com/devicelogin",
                "expires_in": 900,
                "interval": 5,
                "message": "To sign in, …",
            }
        )

    def _outcome(self, form: dict[str, str]) -> web.Response:
        flow = self.flows.get(form.get("device_code", ""))
        if flow is None or form.get("client_id") != CLIENT:
            raise Refuse(status=400, why="bad_verification_code: AADSTS70020")
        if not flow.who:
            raise Refuse(status=400, why=f"{flow.answer}: AADSTS70016")
        claims = {
            "aud": CLIENT,
            "iss": f"{self.url}/{TENANT}/v2.0",
            "tid": TENANT,
            "oid": flow.who,
            "exp": 1_900_000_000,
        } | flow.claims
        body = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
        return web.json_response({"token_type": "Bearer", "expires_in": 3600, "id_token": f"e30.{body}.c2ln"})

    # --- Graph ----------------------------------------------------------------------------------------

    async def users(self, request: web.Request) -> web.Response:
        self._bearer(request)
        query = dict(request.query)
        if query.keys() - {"$select", "$top", "$search", "$filter", "$count", "$skiptoken"}:
            raise Refuse(status=400, why="BadRequest: unknown query option")
        wanted = self._selected(query)
        top = query.get("$top", "100")
        if not top.isdigit() or not 1 <= int(top) <= 999:
            raise Refuse(status=400, why="Request_BadRequest: Invalid page size")
        advanced = request.headers.get("ConsistencyLevel") == "eventual"
        if "$search" in query and not advanced:
            raise Refuse(status=400, why="Request_UnsupportedQuery: $search needs ConsistencyLevel")
        found = list(self.people.values())
        if "$search" in query:
            found = [user for user in found if _searched(user, query["$search"])]
        if "$filter" in query:
            found = [
                user
                for user in found
                if _filtered(user, query["$filter"], advanced and query.get("$count") == "true")
            ]
        size = self.page or int(top)
        start = int(query.get("$skiptoken", "0"))
        body: dict[str, Any] = {
            "@odata.context": f"{self.url}/v1.0/$metadata#users",
            "value": [{name: user.get(name) for name in wanted} for user in found[start : start + size]],
        }
        if start + size < len(found):
            following = urlencode({**query, "$skiptoken": str(start + size)})
            body["@odata.nextLink"] = f"{self.next_host or self.url}/v1.0/users?{following}"
        return web.json_response(body)

    async def user(self, request: web.Request) -> web.Response:
        self._bearer(request)
        user = self._one(request)
        return web.json_response({name: user.get(name) for name in self._selected(dict(request.query))})

    async def photo(self, request: web.Request) -> web.Response:
        self._bearer(request)
        photo = self.photos.get(self._one(request)["id"])
        if photo is None:
            raise Refuse(status=404, why="ImageNotFound: there is none")
        return web.Response(body=photo, content_type="image/jpeg")

    async def change(self, request: web.Request) -> web.Response:
        if self._bearer(request) != WRITER:
            raise Refuse(status=403, why="Authorization_RequestDenied: Insufficient privileges")
        user = self._one(request)
        body = await request.json()
        ids = body.get("authorizationInfo", {}).get("certificateUserIds") if isinstance(body, dict) else None
        if set(body) != {"authorizationInfo"} or not isinstance(ids, list) or len(ids) > 10:
            raise Refuse(status=400, why="Request_BadRequest: certificateUserIds")
        if not all(re.fullmatch(r"X509:<(PN|SKI|SHA1-PUKEY|I)>.{1,1000}", each) for each in ids):
            raise Refuse(status=400, why="Request_BadRequest: the form of an id")
        user["authorizationInfo"] = {"certificateUserIds": ids}
        return web.Response(status=204)

    def _one(self, request: web.Request) -> dict[str, Any]:
        user = self.people.get(request.match_info["id"])
        if user is None:
            raise Refuse(status=404, why="Request_ResourceNotFound: there is none")
        return user

    def _bearer(self, request: web.Request) -> str:
        scheme, _, token = request.headers.get("Authorization", "").partition(" ")
        client, ends = self.tokens.get(token, ("", 0.0))
        if scheme != "Bearer" or ends < time.time():
            raise Refuse(status=401, why="InvalidAuthenticationToken: Access token is empty or over")
        return client

    @staticmethod
    def _selected(query: dict[str, str]) -> list[str]:
        wanted = query.get("$select", "").split(",")
        if not set(wanted) <= PROPERTIES:
            raise Refuse(status=400, why="BadRequest: Could not find a property in $select")
        return wanted

    @staticmethod
    def _tenant(request: web.Request) -> None:
        if request.match_info["tenant"] != TENANT:
            raise Refuse(status=400, why="invalid_request: AADSTS90002: tenant not found")

    @staticmethod
    async def _form(request: web.Request) -> dict[str, str]:
        if request.content_type != "application/x-www-form-urlencoded":
            raise Refuse(status=400, why="invalid_request: AADSTS900144")
        return {name: str(value) for name, value in (await request.post()).items()}


def rsa_pair(name: str) -> tuple[rsa.RSAPrivateKey, str, Secret]:
    """Return a key, its certificate in PEM and the key in PEM."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    certificate = x509.CertificateBuilder(
        subject, subject, key.public_key(), x509.random_serial_number(), now - DAY, now + DAY
    ).sign(key, SHA256())
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return key, certificate.public_bytes(Encoding.PEM).decode(), Secret(private)


def _searched(user: dict[str, Any], search: str) -> bool:
    """Whether somebody matches: groups of clauses joined by OR, groups joined by AND; a clause begins a word."""
    for group in search.split(" AND "):
        clauses = CLAUSE.findall(group)
        shape = CLAUSE.sub("x", group)
        if not re.fullmatch(r"\(?x( OR x)*\)?", shape):
            raise Refuse(status=400, why="Request_BadRequest: Syntax error in $search")
        if not any(_clause(user, clause) for clause in clauses):
            return False
    return True


def _clause(user: dict[str, Any], clause: str) -> bool:
    name, colon, text = re.sub(r"\\(.)", r"\1", clause).partition(":")
    if not colon or name not in SEARCHABLE:
        raise Refuse(status=400, why="Request_UnsupportedQuery: property in $search")
    words = str(user.get(name) or "").casefold().split()
    return bool(text) and any(word.startswith(text.casefold()) for word in words)


def _filtered(user: dict[str, Any], wanted: str, advanced: bool) -> bool:  # noqa: FBT001  # of one request
    match = LITERAL.fullmatch(wanted)
    if match is None:
        raise Refuse(status=400, why="BadRequest: Invalid filter clause")
    name, value = match[1], match[2].replace("''", "'")
    if name not in PROPERTIES or (name in ADVANCED and not advanced):
        raise Refuse(status=400, why="Request_UnsupportedQuery: filter")
    return str(user.get(name) or "").casefold() == value.casefold()


def _user(person: LdapPerson) -> dict[str, Any]:
    return {
        "id": person.entry_uuid,
        "displayName": person.full_name,
        "userPrincipalName": person.mail,
        "mail": person.mail,
        "givenName": person.given_name,
        "surname": person.surname,
        "employeeId": str(person.number),
        "department": person.department,
        "jobTitle": person.title,
        "companyName": None,
        "onPremisesSamAccountName": person.user,
        "onPremisesSecurityIdentifier": None,
        "accountEnabled": not person.locked,
    }
