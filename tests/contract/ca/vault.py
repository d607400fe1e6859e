"""A double of the PKI secrets engine of HashiCorp Vault and OpenBao.

Source: the HTTP API of the engine, as in docs/connectors/vault.md.
"""

import time
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from aiohttp import web
from cryptography import x509

from server.connectors.ca.vault import OPENBAO, VAULT
from shared.credential.names import UPN, alternative_names
from shared.secret import Secret
from tests.contract.ca.bench import Bench, connect
from tests.contract.ca.signer import make, other_extensions
from tests.contract.ca.web import Double, Refuse, Trouble, body_of

TOKEN: Final = "hvs.good"
MOUNT: Final = "/v1/pki_cards"
ROLES: Final = ("cards", "signing")


class Vault(Double):
    """It answers as Vault does."""

    KIND = VAULT

    def error(self, refused: Refuse) -> web.Response:
        return web.json_response({"errors": [refused.why]}, status=refused.status)

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post(f"{MOUNT}/sign-verbatim/{{role}}", self.sign_verbatim),
            web.post(f"{MOUNT}/sign/{{role}}", self.sign),
            web.post(f"{MOUNT}/revoke", self.revoke),
            web.get(f"{MOUNT}/roles", self.roles),
            web.get("/v1/auth/token/lookup-self", self.token),
        ]

    async def sign_verbatim(self, request: web.Request) -> web.Response:
        self._check(request)
        body = await body_of(
            request,
            {"csr": str, "format": str, "key_usage": list, "ext_key_usage": list, "ext_key_usage_oids": list},
            {"ttl": str},
        )
        return self._issue(request, body, None)

    async def sign(self, request: web.Request) -> web.Response:
        self._check(request)
        body = await body_of(
            request,
            {"csr": str, "format": str, "common_name": str, "exclude_cn_from_sans": bool},
            {"ttl": str, "alt_names": str, "other_sans": str, "uri_sans": str},
        )
        kind, _, value = body.get("other_sans", "").partition(";")
        if kind not in {"", UPN.dotted_string} or not (value == "" or value.upper().startswith("UTF8:")):
            raise Refuse(status=400, why="other SAN does not have the form OID;UTF8:value")
        names = alternative_names(
            upn=value[5:], mail=body.get("alt_names", ""), card=body.get("uri_sans", "")
        )
        return self._issue(request, body, names)

    def _issue(
        self, request: web.Request, body: dict[str, Any], names: tuple[x509.GeneralName, ...] | None
    ) -> web.Response:
        role = request.match_info["role"]
        if role not in ROLES:
            raise Refuse(status=400, why=f"unknown role: {role}")
        if self.trouble is Trouble.DENIED:
            raise Refuse(status=400, why="common name Anna Berg not allowed by this role")
        parsed = self.signer.read(body["csr"].encode())
        ttl = body.get("ttl", "768h")
        lasts = timedelta(seconds=int(ttl[:-1]) * {"s": 1, "h": 3600}[ttl[-1]])
        entry = self.signer.sign(
            parsed,
            names=names,
            extensions=other_extensions(parsed) if names is None else (),
            lasts=lasts,
        )
        pem = entry.pem
        if self.trouble is Trouble.OTHER_KEY:
            pem = make("CN=Anna Berg", self.signer.issuing).pem
        if self.trouble is Trouble.NONSENSE:
            pem = "-----BEGIN CERTIFICATE-----\nMAMCAQA=\n-----END CERTIFICATE-----\n"
        return _told(
            {
                "certificate": pem,
                "issuing_ca": self.signer.issuing.pem,
                "ca_chain": [self.signer.issuing.pem, self.signer.root.pem],
                "serial_number": _colons(entry.serial),
                "expiration": int(entry.certificate.not_valid_after_utc.timestamp()),
            }
        )

    async def revoke(self, request: web.Request) -> web.Response:
        self._check(request)
        body = await body_of(request, {"serial_number": str})
        entry = next(
            (each for each in self.signer.book if _colons(each.serial) == body["serial_number"]), None
        )
        if entry is None:
            raise Refuse(status=400, why="certificate with serial not found")
        entry.revoked = True
        now = datetime.now(UTC)
        return _told(
            {
                "revocation_time": int(time.time()),
                "revocation_time_rfc3339": now.isoformat(),
                "state": "revoked",
            }
        )

    async def roles(self, request: web.Request) -> web.Response:
        self._check(request)
        if request.query.get("list") != "true":
            raise Refuse(status=405, why="unsupported operation")
        return _told({"keys": list(ROLES)})

    async def token(self, request: web.Request) -> web.Response:
        self._check(request)
        return _told({"expire_time": "2031-05-17T12:00:00.123456789Z", "policies": ["cards"]})

    def _check(self, request: web.Request) -> None:
        if request.headers.get("X-Vault-Token") != TOKEN:
            raise Refuse(status=403, why="permission denied")
        if request.headers.get("X-Vault-Request") != "true":
            raise Refuse(status=412, why="required header missing")


class OpenBao(Vault):
    """The same under its other name."""

    KIND = OPENBAO


def _told(data: dict[str, Any]) -> web.Response:
    told = {
        "request_id": "5d1e9d7c",
        "lease_id": "",
        "renewable": False,
        "lease_duration": 0,
        "data": data,
        "warnings": None,
    }
    return web.json_response(told)


def _colons(serial: int) -> str:
    octets = serial.to_bytes((serial.bit_length() + 7) // 8, "big")
    return octets.hex(":")


def bench(double: Vault, *, verbatim: bool = True) -> Bench:
    """Return what the suite needs of a double that runs."""

    def build(token: str) -> Any:
        return connect(
            double.KIND,
            {
                "url": double.url,
                "roots": double.roots,
                "issuers": double.signer.chain_pem,
                "profiles": ("cards", "missing"),
                "token": Secret.from_text(token),
                "mount": "pki_cards",
                "verbatim": verbatim,
            },
        )

    return Bench(
        kind=double.KIND,
        double=double,
        build=lambda: build(TOKEN),
        stranger=lambda: build("hvs.other"),
        profile="cards",
        unknown="missing",
        offered=ROLES,
        issuing="/sign",
    )
