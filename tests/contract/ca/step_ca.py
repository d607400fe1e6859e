"""A double of step-ca.

Source: step-ca's HTTP API and its checks of tokens, as in docs/connectors/step-ca.md.
"""

import base64
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from aiohttp import web
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from server.connectors.ca.one_time_token import jwk, thumbprint
from server.connectors.ca.step_ca import KIND
from shared.secret import Secret
from tests.contract.ca.bench import Bench, connect
from tests.contract.ca.signer import Pair, make, other_extensions, requested_names
from tests.contract.ca.web import Double, Refuse, Trouble, body_of

PROVISIONER: Final = "kiosk"
BY_CERTIFICATE: Final = "our certificates"
"""Its provisioner of type X5C."""
CLAIMS: Final = {"iss", "aud", "sub", "sans", "iat", "nbf", "exp", "jti"}
MAX_TOKEN_S: Final = 300


class StepCa(Double):
    """It answers as step-ca does, with a JWK and an X5C provisioner."""

    KIND = KIND

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.key = ec.generate_private_key(ec.SECP256R1())
        self._spent: set[str] = set()

    def error(self, refused: Refuse) -> web.Response:
        return web.json_response({"status": refused.status, "message": refused.why}, status=refused.status)

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/1.0/sign", self.sign),
            web.post("/1.0/revoke", self.revoke),
            web.get("/1.0/provisioners", self.provisioners),
        ]

    async def provisioners(self, request: web.Request) -> web.Response:
        public = self.key.public_key()
        listed = {"type": "JWK", "name": PROVISIONER, "key": {**jwk(public), "kid": thumbprint(public)}}
        other = {"type": "X5C", "name": BY_CERTIFICATE, "roots": base64.b64encode(b"pem").decode()}
        if "cursor" not in request.query:
            return web.json_response({"provisioners": [other], "nextCursor": "2"})
        return web.json_response({"provisioners": [listed], "nextCursor": ""})

    async def sign(self, request: web.Request) -> web.Response:
        body = await body_of(request, {"csr": str, "ott": str}, {"notAfter": str, "templateData": dict})
        claims = self._claims(body["ott"], "sign")
        parsed = self.signer.read(body["csr"].encode())
        common = [str(each.value) for each in parsed.subject.get_attributes_for_oid(NameOID.COMMON_NAME)]
        if common != [claims["sub"]]:
            raise Refuse(status=403, why="certificate request does not contain the valid common name")
        plain = [
            each.value
            for each in requested_names(parsed)
            if isinstance(each, x509.RFC822Name | x509.UniformResourceIdentifier)
        ]
        if sorted(plain) != sorted(claims["sans"]):
            raise Refuse(status=403, why="certificate request does not contain the valid SANs")
        if body.get("templateData", {}).get("profile") not in {"cards", "signing"}:
            raise Refuse(status=400, why="error applying certificate template: no such profile")
        subject = [(each["type"], each["value"]) for each in body["templateData"]["subject"]]
        if subject != [(each.oid.dotted_string, each.value) for each in parsed.subject]:
            raise Refuse(status=400, why="error applying certificate template: another subject")
        if self.trouble is Trouble.DENIED:
            raise Refuse(status=403, why="the duration for Anna Berg is more than the authorized maximum")
        until = datetime.fromisoformat(body["notAfter"]) if "notAfter" in body else None
        entry = self.signer.sign(parsed, extensions=other_extensions(parsed), until=until)
        pem = entry.pem
        if self.trouble is Trouble.OTHER_KEY:
            pem = make("CN=Anna Berg", self.signer.issuing).pem
        if self.trouble is Trouble.NONSENSE:
            pem = "-----BEGIN CERTIFICATE-----\nMAMCAQA=\n-----END CERTIFICATE-----\n"
        told = {"crt": pem, "ca": self.signer.issuing.pem, "certChain": [pem, self.signer.issuing.pem]}
        return web.json_response({**told, "tlsOptions": {"minVersion": 1.2}}, status=201)

    async def revoke(self, request: web.Request) -> web.Response:
        body = await body_of(
            request,
            {"serial": str, "ott": str, "passive": bool},
            {"reasonCode": int, "reason": str},
        )
        claims = self._claims(body["ott"], "revoke")
        if not body["passive"]:
            raise Refuse(status=501, why="non-passive revocation not implemented")
        if claims["sub"] != body["serial"] or not 0 <= body.get("reasonCode", 0) <= 10:
            raise Refuse(status=400, why="token and serial number do not agree")
        entry = self.signer.by_serial(int(body["serial"]))
        if entry is None:
            raise Refuse(status=404, why="certificate not found")
        if entry.revoked:
            raise Refuse(
                status=400, why=f"certificate with serial number {body['serial']} is already revoked."
            )
        entry.revoked, entry.reason = True, str(body.get("reasonCode", 0))
        return web.json_response({"status": "ok"})

    def _claims(self, token: str, action: str) -> dict[str, Any]:
        """Check a one-time token: signature, audience, times, and that it was never seen."""
        try:
            head, middle, signature = token.split(".")
            header, claims = json.loads(_decoded(head)), json.loads(_decoded(middle))
            self._verify(header, f"{head}.{middle}".encode(), _decoded(signature))
        except (ValueError, KeyError, InvalidSignature) as cause:
            raise Refuse(status=401, why="the request lacked necessary authorization") from cause
        now = datetime.now(UTC).timestamp()
        good = (
            claims.keys() == CLAIMS
            and claims["iss"] == (BY_CERTIFICATE if "x5c" in header else PROVISIONER)
            and claims["aud"]
            == f"{self.url}/1.0/{action}" + ("#x5c/our%20certificates" if "x5c" in header else "")
            and claims["nbf"] <= now < claims["exp"]
            and claims["exp"] - claims["nbf"] <= MAX_TOKEN_S
            and claims["jti"] not in self._spent
        )
        if not good:
            raise Refuse(status=401, why="the request lacked necessary authorization")
        self._spent.add(claims["jti"])
        return dict(claims)

    def _verify(self, header: dict[str, Any], signed: bytes, signature: bytes) -> None:
        if header["alg"] != "ES256" or len(signature) != 64:
            raise ValueError
        key = self.key.public_key()
        if "x5c" in header:
            leaf = x509.load_der_x509_certificate(base64.b64decode(header["x5c"][0]))
            leaf.verify_directly_issued_by(self.signer.root.certificate)
            purposes = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
            usage = leaf.extensions.get_extension_for_class(x509.KeyUsage).value
            if ExtendedKeyUsageOID.CLIENT_AUTH not in purposes or not usage.digital_signature:
                raise ValueError
            found = leaf.public_key()
            assert isinstance(found, ec.EllipticCurvePublicKey)
            key = found
        elif header["kid"] != thumbprint(key):
            raise ValueError
        der = encode_dss_signature(
            int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big")
        )
        key.verify(der, signed, ec.ECDSA(hashes.SHA256()))


def _decoded(part: str) -> bytes:
    return base64.urlsafe_b64decode(part + "=" * (-len(part) % 4))


def bench(double: StepCa) -> Bench:
    """Return what the suite needs of a double that runs."""

    def build(key: ec.EllipticCurvePrivateKey) -> Any:
        return connect(
            KIND,
            {
                "url": double.url,
                "roots": double.roots,
                "issuers": double.signer.chain_pem,
                "profiles": ("cards", "missing"),
                "provisioner": PROVISIONER,
                "provisioner-key": Secret.from_text(Pair(double.signer.root.certificate, key).key_pem),
            },
        )

    other = ec.generate_private_key(ec.SECP256R1())
    return Bench(
        kind=KIND,
        double=double,
        build=lambda: build(double.key),
        stranger=lambda: build(other),
        profile="cards",
        unknown="missing",
        issuing="/sign",
        words={"keyCompromise": "1"},
    )
