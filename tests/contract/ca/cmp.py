"""A double of a certificate authority that speaks CMP, written from RFC 4210 and RFC 9483; `openssl cmp` judges it.

It signs for real, verifies protection and possession, keeps transactions and revocation state, and has a switch for what a
real one may do: let a request wait, refuse, answer somebody else's transaction, ask for a confirmation.
"""

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from aiohttp import web
from asn1crypto import core
from asn1crypto import x509 as asn1
from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_der_public_key

from server.connectors.ca.cmp.connector import KIND
from server.connectors.ca.cmp.protection import Protection, SignatureProtection, Unprotected
from server.connectors.ca.cmp.structures import (
    ACCEPTED,
    IMPLICIT_CONFIRM,
    REJECTION,
    WAITING,
    Body,
    Header,
    Message,
    ProtectedPart,
)
from server.ports.connection import Value
from shared.secret import Secret
from tests.contract.ca.bench import Bench, connect
from tests.contract.ca.signer import Malformed, make, other_extensions
from tests.contract.ca.web import Double, Refuse, Trouble

MEDIA_TYPE: Final = "application/pkixcmp"
TOLERANCE: Final = timedelta(minutes=5)
BAD_MESSAGE_CHECK, BAD_REQUEST, BAD_TIME, BAD_CERT_ID = 1, 2, 3, 4
BAD_POP, CERT_REVOKED, BAD_TEMPLATE, TRANSACTION_IN_USE = 9, 10, 19, 21
PKCS10_NUMBER: Final = -1
PROFILES: Final = ("", "log-on")


class Refusal(Exception):
    """What is answered with an error message of the protocol."""

    def __init__(self, bit: int, text: str) -> None:
        super().__init__(text)
        self.bit, self.text = bit, text


class Cmp(Double):
    """One certificate authority. `protection` is its side of the password or of the signatures."""

    KIND = KIND

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.registrar = make("CN=Registration Authority,O=Example", self._clients_root)
        self.protection: Protection = SignatureProtection(
            Secret(self.signer.issuing.key_pem.encode()),
            [self.signer.issuing.der, self.signer.root.der],
            [self.registrar.der],
        )
        self.confirmed: set[bytes] = set()
        self.waiting: dict[bytes, Any] = {}
        self.known: dict[bytes, Any] = {}
        self.let_wait = 0
        """How many times a request is left waiting before it is answered."""
        self.wants_confirmation = False
        self.unprotected = False
        self.forget_nonce = False
        self.spoil: Callable[[bytes], bytes] = bytes
        """What is done to an answer before it leaves."""

    def routes(self) -> list[web.RouteDef]:
        return [web.post("/pkix", self.posted), web.post("/pkix/{tail:.*}", self.posted)]

    def error(self, refused: Refuse) -> web.Response:
        return web.Response(status=refused.status, text=refused.why)

    async def posted(self, request: web.Request) -> web.Response:
        path = request.path.removeprefix("/pkix")
        status, media_type, body = self.answer(path, request.content_type, await request.read())
        return web.Response(status=status, body=body, content_type=media_type)

    def answer(self, path: str, media_type: str, content: bytes) -> tuple[int, str, bytes]:
        """Answer one POST: status, media type and body."""
        if media_type != MEDIA_TYPE:
            return 415, "text/plain", b""
        try:
            message = Message.load(content, strict=True)
            header = message["header"]
            header.native  # noqa: B018  # reads it all, which fails where it is not well-formed
        except (ValueError, TypeError):
            return 400, "text/plain", b""
        try:
            self._check(message)
            body = self._judge(path, message)
        except Refusal as refused:
            body = _error(refused)
        return 200, MEDIA_TYPE, self.spoil(self._protected(header, body))

    def _check(self, message: Any) -> None:
        header = message["header"]
        if header["pvno"].native not in {2, 3} or len(header["transaction_id"].native or b"") != 16:
            raise Refusal(BAD_REQUEST, "version or transaction")
        if len(header["sender_nonce"].native or b"") < 16:
            raise Refusal(BAD_REQUEST, "nonce")
        time = header["message_time"].native
        if time is not None and abs(datetime.now(UTC) - time) > TOLERANCE:
            raise Refusal(BAD_TIME, "time")
        extra = [each.dump() for each in message["extra_certs"] or ()]
        covered = ProtectedPart({"header": header, "body": message["body"]}).dump()
        protection = message["protection"].native
        if protection is None:
            raise Refusal(BAD_MESSAGE_CHECK, "not protected")
        try:
            self.protection.verify(header["protection_alg"], covered, protection, extra, datetime.now(UTC))
        except Unprotected as wrong:
            raise Refusal(BAD_MESSAGE_CHECK, wrong.why) from wrong

    def _judge(self, path: str, message: Any) -> Body:
        body, number = message["body"], message["header"]["transaction_id"].native
        profile = path.strip("/").removeprefix("p/") if path.strip("/") else ""
        if profile not in PROFILES:
            raise Refusal(BAD_REQUEST, "no such profile")
        match body.name:
            case "p10cr":
                return self._new(number, PKCS10_NUMBER, self._from_pkcs10(body.chosen))
            case "cr":
                return self._new(number, 0, self._from_template(body.chosen))
            case "pollReq":
                return self._polled(number)
            case "certConf":
                self.confirmed.update(each["hash"].native for each in body.chosen)
                return Body("pkiconf", core.Null())
            case "rr":
                return self._revoked(body.chosen[0])
            case other:
                raise Refusal(BAD_REQUEST, f"{other} is not spoken here")

    # --- certificates -----------------------------------------------------------------------------------

    def _from_pkcs10(self, request: Any) -> Callable[[], bytes]:
        try:
            parsed = self.signer.read(request.untag().dump())
        except Malformed as cause:
            raise Refusal(BAD_POP, "not signed by its key") from cause
        return lambda: self.signer.sign(parsed, extensions=other_extensions(parsed)).der

    def _from_template(self, messages: Any) -> Callable[[], bytes]:
        (message,) = messages
        template = message["request"]["template"]
        if message["proof"].name != "ra_verified":
            raise Refusal(BAD_POP, "no proof")
        wanted = Template(
            subject=_name(template["subject"].untag().dump()),
            key=load_der_public_key(bytes(template["public_key"].untag().dump())),
            extensions=[
                _extension(each) for each in (template["extensions"].native and template["extensions"]) or ()
            ],
        )
        return lambda: self.signer.sign(wanted, names=[], extensions=wanted.extensions).der  # type: ignore[arg-type]  # as much of a request as is looked at

    def _new(self, number: bytes, counted: int, make_one: Callable[[], bytes]) -> Body:
        if number in self.known:
            raise Refusal(TRANSACTION_IN_USE, "known already")
        if self.trouble is Trouble.DENIED:
            text = ["the policy forbids it for Anna Berg"]
            status = {"status": REJECTION, "text": text, "failures": _bits(BAD_TEMPLATE)}
            return Body("cp", {"responses": [{"id": counted, "status": status}]})
        if self.let_wait or self.trouble is Trouble.PENDING:
            self.waiting[number] = (counted, make_one)
            return Body("cp", {"responses": [{"id": counted, "status": {"status": WAITING}}]})
        self.known[number] = (counted, make_one())
        return self._granted(*self.known[number])

    def _polled(self, number: bytes) -> Body:
        if number in self.known:
            return self._granted(*self.known[number])
        if number not in self.waiting:
            raise Refusal(BAD_REQUEST, "nothing waits")
        counted, make_one = self.waiting[number]
        if self.let_wait > 1 or (self.trouble is Trouble.PENDING and not self.approved):
            self.let_wait = max(0, self.let_wait - 1)
            return Body("pollRep", [{"id": counted, "check_after": 1}])
        del self.waiting[number]
        self.known[number] = (counted, make_one())
        return self._granted(*self.known[number])

    def _revoked(self, details: Any) -> Body:
        entry = self.signer.by_serial(details["which"]["serial_number"].native)
        reasons = [each["extn_value"].native for each in details["entry"] or ()]
        reason = reasons[0] if reasons else "unspecified"
        held = entry is not None and entry.reason == "certificate_hold"
        if entry is None:
            status: dict[str, Any] = {"status": REJECTION, "failures": _bits(BAD_CERT_ID)}
        elif entry.revoked and (not held or reason == "certificate_hold"):
            status = {"status": REJECTION, "failures": _bits(CERT_REVOKED)}
        else:
            entry.revoked = reason != "remove_from_crl"
            entry.reason = reason if entry.revoked else ""
            status = {"status": ACCEPTED}
        return Body("rp", {"status": [status]})

    def _granted(self, counted: int, certificate: bytes) -> Body:
        if self.trouble is Trouble.OTHER_KEY:
            certificate = make("CN=Anna Berg,O=Example", self.signer.issuing).der
        if self.trouble is Trouble.NONSENSE:
            certificate = certificate.replace(
                b"\x03\x42\x00\x04", b"\x03\x42\x00\x05", 1
            )  # no point of the curve
        pair = {"certificate": ("certificate", asn1.Certificate.load(certificate))}
        response = {"id": counted, "status": {"status": ACCEPTED}, "pair": pair}
        return Body("cp", {"responses": [response]})

    # --- the answer -------------------------------------------------------------------------------------

    def _protected(self, asked: Any, body: Body) -> bytes:
        algorithm = self.protection.algorithm
        info = [] if self.wants_confirmation else [{"type": IMPLICIT_CONFIRM, "value": core.Null()}]
        nonce = secrets.token_bytes(16) if self.forget_nonce else asked["sender_nonce"].native
        fields = {
            "pvno": 2,
            "sender": asn1.GeneralName(
                "directory_name", asn1.Name.load(self.signer.issuing.certificate.subject.public_bytes())
            ),
            "recipient": asked["sender"],
            "message_time": datetime.now(UTC).replace(microsecond=0),
            "protection_alg": algorithm,
            "sender_kid": self.protection.key_id,
            "transaction_id": asked["transaction_id"].native,
            "sender_nonce": secrets.token_bytes(16),
            "recip_nonce": nonce,
            **({"general_info": info} if info else {}),
        }
        header = Header(fields)
        covered = ProtectedPart({"header": header, "body": body}).dump()
        message: dict[str, Any] = {"header": header, "body": body}
        if not self.unprotected:
            message["protection"] = self.protection.protect(algorithm, covered)
        extra = [asn1.Certificate.load(each) for each in self.protection.certificates]
        if extra:
            message["extra_certs"] = extra
        return bytes(Message(message).dump())


def _error(refused: Refusal) -> Body:
    status = {"status": REJECTION, "text": [refused.text], "failures": _bits(refused.bit)}
    return Body("error", {"status": status})


def _bits(*numbers: int) -> core.BitString:
    return core.BitString(tuple(int(number in numbers) for number in range(max(numbers) + 1)))


def _name(der: bytes) -> x509.Name:
    """Read a name (DER)."""
    return x509.Name(
        x509.RelativeDistinguishedName(
            x509.NameAttribute(x509.ObjectIdentifier(each["type"].dotted), each["value"].native)
            for each in rdn
        )
        for rdn in asn1.Name.load(der).chosen
    )


@dataclass
class Template:
    """A certificate template, as much of a request as the signer looks at."""

    subject: x509.Name
    key: Any
    extensions: list[x509.ExtensionType]

    def public_key(self) -> Any:
        return self.key


def _extension(each: Any) -> x509.ExtensionType:
    number = x509.ObjectIdentifier(each["extn_id"].dotted)
    return x509.UnrecognizedExtension(number, each["extn_value"].contents)


def values(double: Cmp, **changed: Value) -> dict[str, Value]:
    """Return the configuration of a connection to a double."""
    plain: dict[str, Value] = {
        "url": f"{double.url}/pkix",
        "roots": double.roots,
        "issuers": double.signer.chain_pem,
        "profiles": ("log-on", "default", "missing"),
        "revokes": True,
        "certificate": double.registrar.pem,
        "key": Secret(double.registrar.key_pem.encode()),
    }
    return {**plain, **changed}


def bench(double: Cmp) -> Bench:
    """Return what the common suite needs."""
    other = make("CN=Registration Authority,O=Example")
    stranger: dict[str, Value] = {"certificate": other.pem, "key": Secret(other.key_pem.encode())}
    return Bench(
        kind=KIND,
        double=double,
        build=lambda: connect(KIND, values(double)),
        stranger=lambda: connect(KIND, values(double, **stranger)),
        profile="log-on",
        unknown="missing",
        issuing="/p/",
        words={"keyCompromise": "key_compromise", "certificateHold": "certificate_hold"},
    )
