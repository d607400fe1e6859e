"""A double of the enrolment web services of AD CS: policy (CEP) and enrolment (CES), by certificate or by name and password.

Sources: [MS-XCEP], [MS-WSTEP] and [MS-WCCE] 3.2.2.6.2.1.2.1, as in docs/connectors/adcs.md.
"""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final
from xml.etree.ElementTree import Element, SubElement

from aiohttp import web
from asn1crypto import cms, core
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.hazmat.primitives.serialization.pkcs7 import serialize_certificates

from server.connectors.ca.adcs.wstep import KIND
from server.ports.connection import Value
from shared.credential.names import alternative_names, sid_extension
from shared.secret import Secret
from tests.contract.ca.adcs_kerberos import Tickets
from tests.contract.ca.adcs_soap import (
    ENROLMENT,
    WSSE,
    XSI,
    E,
    O,
    SoapFault,
    answer,
    children,
    judged,
    read,
)
from tests.contract.ca.bench import Bench, connect
from tests.contract.ca.signer import Entry, make, other_extensions
from tests.contract.ca.web import PAGE, Double, Refuse, Trouble

POLICY: Final = "http://schemas.microsoft.com/windows/pki/2009/01/enrollmentpolicy"
P: Final = f"{{{POLICY}}}"
TRUST: Final = "http://docs.oasis-open.org/ws-sx/ws-trust/200512"
T: Final = f"{{{TRUST}}}"
AUTH: Final = "{http://schemas.xmlsoap.org/ws/2006/12/authorization}"
X509V3: Final = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-x509-token-profile-1.0#X509v3"
AGENT: Final = x509.ObjectIdentifier("1.3.6.1.4.1.311.20.2.1")
CEP: Final = "/ADPolicyProvider_CEP_{}/service.svc/CEP"
CES: Final = "/Double%20Issuing%20CA_CES_{}/service.svc/CES"
WAYS: Final = ("Certificate", "UsernamePassword", "Kerberos")
USER: Final = ("EXAMPLE\\kiosk", "of <the> test & more")

SMART_CARD: Final = "KioskSmartcardLogon"
FOR_OTHERS: Final = "KioskOnBehalf"
TEMPLATES: Final = {SMART_CARD: 0, FOR_OTHERS: 1, "KioskSignature": 0}
"""Templates that our account may enrol for, with how many agents have to sign."""


class _Pair(core.SequenceOf):  # type: ignore[misc]  # asn1crypto has no types
    _child_spec = core.BMPString


class _Pairs(core.SetOf):  # type: ignore[misc]  # as above
    _child_spec = _Pair


@dataclass(frozen=True)
class Account:
    """Somebody in the directory, as the certificate authority looks them up."""

    subject: str
    upn: str
    sid: str


ACCOUNTS: Final = {
    "EXAMPLE\\aberg": Account(
        "CN=Anna Berg,O=Example", "anna@example.test", "S-1-5-21-1004336348-1177-68-1001"
    )
}
RESTRICTED: Final = "EXAMPLE\\Administrator"
"""Whom our enrolment agent may not enrol for."""


class Wstep(Double):
    """It answers as the enrolment web services do."""

    KIND = KIND
    CLIENTS = True

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.agent = make("CN=Enrolment Agent,O=Example", self.signer.issuing, purpose=AGENT)
        self.requests: dict[
            int, tuple[str, x509.CertificateSigningRequest, Account | None, Entry | None]
        ] = {}
        self.enrolled_for: list[str] = []
        self.unreachable_ca = False
        self.broken = False
        self.tickets = Tickets(folder)

    def routes(self) -> list[web.RouteDef]:
        found = []
        for way in WAYS:
            found += [
                web.post(CEP.format(way), judged(self.policies)),
                web.post(CES.format(way).replace("%20", " "), judged(self.enrol)),
            ]
        return found

    def error(self, refused: Refuse) -> web.Response:
        return web.Response(status=refused.status, text=PAGE, content_type="text/html")

    async def _read(self, request: web.Request, action: str) -> Element:
        """Read a message; who logs on inside of it needs no TLS certificate."""
        by_name = "_UsernamePassword/" in request.path
        if "_Kerberos/" in request.path:
            self.tickets.check(request)
        elif not by_name:
            self.check_client(request)
        return await read(request, action, USER if by_name else None)

    # --- policy -----------------------------------------------------------------------------------------

    async def policies(self, request: web.Request) -> web.Response:
        content = await self._read(request, f"{POLICY}/IPolicy/GetPolicies")
        if content.tag != f"{P}GetPolicies":
            raise SoapFault(why="not GetPolicies", sender="DeserializationFailed")
        parts = children(content, f"{P}client", f"{P}requestFilter")
        told = children(parts[f"{P}client"], f"{P}lastUpdate", f"{P}preferredLanguage")
        for each in (parts[f"{P}requestFilter"], *told.values()):
            if each.get(f"{XSI}nil") != "true":
                raise SoapFault(why=f"{each.tag} is not nil", sender="DeserializationFailed")
        return answer(request, f"{POLICY}/IPolicy/GetPoliciesResponse", self._policies(request))

    def _policies(self, request: web.Request) -> Element:
        found = Element(f"{P}GetPoliciesResponse")
        response = SubElement(found, f"{P}response")
        _add(
            response, policyID="{4A1B}", policyFriendlyName=None, nextUpdateHours="8", policiesNotChanged=None
        )
        policies = SubElement(response, f"{P}policies")
        shown = {**TEMPLATES, "Machine": 0, "Elsewhere": 0}
        for number, (name, agents) in enumerate(shown.items()):
            policy = SubElement(policies, f"{P}policy")
            _add(policy, policyOIDReference=str(number))
            issuer = "1" if name == "Elsewhere" else "0"
            SubElement(SubElement(policy, f"{P}cAs"), f"{P}cAReference").text = issuer
            attributes = SubElement(policy, f"{P}attributes")
            _add(attributes, commonName=name, policySchema="2")
            validity = SubElement(attributes, f"{P}certificateValidity")
            _add(validity, validityPeriodSeconds="31536000", renewalPeriodSeconds="3628800")
            permission = SubElement(attributes, f"{P}permission")
            _add(permission, enroll="false" if name == "Machine" else "true", autoEnroll="false")
            wanted = SubElement(attributes, f"{P}rARequirements")
            if agents:
                _add(wanted, rASignatures=str(agents))
            else:
                wanted.set(f"{XSI}nil", "true")
        issuers = SubElement(found, f"{P}cAs")
        for reference, certificate in (("0", self.signer.issuing.der), ("1", self.stranger.der)):
            shown_issuer = SubElement(issuers, f"{P}cA")
            uri = SubElement(SubElement(shown_issuer, f"{P}uris"), f"{P}cAURI")
            address = f"https://{request.host}{CES.format(WAYS[0])}"
            _add(uri, clientAuthentication="8", uri=address, priority="1", renewalOnly="false")
            text = base64.encodebytes(certificate).decode()
            _add(shown_issuer, certificate=text, enrollPermission="true", cAReferenceID=reference)
        SubElement(found, f"{P}oIDs")
        return found

    # --- enrolment --------------------------------------------------------------------------------------

    async def enrol(self, request: web.Request) -> web.Response:
        content = await self._read(request, f"{ENROLMENT}/RST/wstep")
        if content.tag != f"{T}RequestSecurityToken":
            raise SoapFault(why="not RequestSecurityToken", sender="DeserializationFailed")
        if content.findtext(f"{T}TokenType") != X509V3:
            raise SoapFault(why="TokenType", code=0x80070057)
        match content.findtext(f"{T}RequestType"):
            case kind if kind == f"{TRUST}/Issue":
                number = self._submit(content)
            case kind if kind == f"{ENROLMENT}/QueryTokenStatus":
                parts = children(content, f"{T}TokenType", f"{T}RequestType", f"{E}RequestID")
                number = int(parts[f"{E}RequestID"].text or "")
            case _:
                raise SoapFault(why="RequestType", code=0x80070057)
        return answer(request, f"{ENROLMENT}/RSTRC/wstep", self._state(number, request))

    def _submit(self, content: Element) -> int:
        token, context = f"{O}BinarySecurityToken", f"{AUTH}AdditionalContext"
        parts = children(content, f"{T}TokenType", f"{T}RequestType", token, context)
        if parts[token].get("EncodingType") != f"{WSSE}#base64binary":
            raise SoapFault(why="EncodingType", code=0x80070057)
        told = {
            item.get("Name"): item.findtext(f"{AUTH}Value")
            for item in parts[context].iterfind(f"{AUTH}ContextItem")
        }
        template = told.get("CertificateTemplate") or ""
        if self.broken:
            raise SoapFault(why="The server was unable to process the request due to an internal error.")
        if self.unreachable_ca:
            raise SoapFault(why="The RPC server is unavailable.", code=0x800706BA)
        if template not in TEMPLATES:
            why = "The requested certificate template is not supported by this CA."
            raise SoapFault(why=f"Denied by Policy Module  {why}", code=0x80094800)
        given = base64.b64decode(parts[token].text or "", validate=True)
        kind, account = parts[token].get("ValueType"), None
        if kind == f"{WSSE}#PKCS7":
            given, account = self._unwrapped(given)
        elif kind != f"{ENROLMENT}#PKCS10":
            raise SoapFault(why="ValueType", code=0x80070057)
        if TEMPLATES[template] and account is None:
            raise SoapFault(why="Denied by Policy Module", code=0x80094809)
        parsed = self.signer.read(given)
        if self.trouble is Trouble.DENIED:
            why = "Denied by Policy Module  The request for CN=Anna Berg,O=Example is not valid."
            raise SoapFault(why=why, code=0x80094812)
        number = 65 + len(self.requests)
        self.requests[number] = (template, parsed, account, None)
        return number

    def _unwrapped(self, content: bytes) -> tuple[bytes, Account]:
        """Return the request in an agent's signature, and for whom it is."""
        inner, attributes = self._verified(content)
        for each in attributes:
            if each["type"].dotted == "1.3.6.1.4.1.311.13.2.1":
                ((name, value),) = _Pairs.load(each["values"].dump(), strict=True).native
                if name.rstrip("\0") != "requestername":
                    continue
                account = value.rstrip("\0")
                self.enrolled_for.append(account)
                if account == RESTRICTED:
                    raise SoapFault(why="Denied by Policy Module", code=0x80094009)
                if account not in ACCOUNTS:
                    raise SoapFault(why=f"The account {account} is unknown", code=0x80070534)
                return inner, ACCOUNTS[account]
        raise SoapFault(why="no requester", code=0x80094809)

    def _verified(self, content: bytes) -> tuple[bytes, Sequence[Any]]:
        """Check an agent's signature; OpenSSL judges the same form in tests."""
        signed = cms.ContentInfo.load(content, strict=True)["content"]
        (signer,) = signed["signer_infos"]
        inner: bytes = signed["encap_content_info"]["content"].native
        attributes = {each["type"].native: each["values"] for each in signer["signed_attrs"]}
        digest = hashlib.sha256(inner).digest()
        if attributes["message_digest"][0].native != digest or attributes["content_type"][0].native != "data":
            raise SoapFault(why="digest", code=0x80090006)
        (shown,) = (each.chosen.dump() for each in signed["certificates"])
        certificate = x509.load_der_x509_certificate(shown)
        key = certificate.public_key()
        if shown != self.agent.der or not isinstance(key, ec.EllipticCurvePublicKey):
            raise SoapFault(why="Denied by Policy Module", code=0x8009480B)
        try:
            key.verify(
                signer["signature"].native,
                signer["signed_attrs"].untag().dump(),
                ec.ECDSA(hashes.SHA256()),
            )
        except InvalidSignature as cause:
            raise SoapFault(why="signature", code=0x80090006) from cause
        return inner, list(signer["signed_attrs"])

    def _state(self, number: int, request: web.Request) -> Element:
        """Return what became of a request; one that may be issued is issued now, once."""
        if number not in self.requests:
            raise SoapFault(why="Element not found.", code=0x80094004, number=number)
        template, parsed, account, entry = self.requests[number]
        collection = Element(f"{T}RequestSecurityTokenResponseCollection")
        found = SubElement(collection, f"{T}RequestSecurityTokenResponse")
        SubElement(found, f"{T}TokenType").text = X509V3
        waits = self.trouble is Trouble.PENDING and not self.approved
        words = "Taken Under Submission" if waits else "Issued"
        SubElement(found, f"{E}DispositionMessage").text = words
        requested = Element(f"{T}RequestedSecurityToken")
        if waits:
            reference = SubElement(requested, f"{O}SecurityTokenReference")
            SubElement(reference, f"{O}Reference", {"URI": f"https://{request.host}{request.raw_path}"})
            full = b""
        else:
            entry = entry or self._sign(template, parsed, account)
            self.requests[number] = (template, parsed, account, entry)
            shown = self._shown(entry)
            _token(requested, X509V3, shown)
            full = serialize_certificates([entry.certificate, self.signer.issuing.certificate], Encoding.DER)
        _token(found, f"{WSSE}#PKCS7", full)
        found.append(requested)
        SubElement(found, f"{E}RequestID").text = str(number)
        return collection

    def _sign(self, template: str, parsed: x509.CertificateSigningRequest, account: Account | None) -> Entry:
        if account is None:
            return self.signer.sign(parsed, profile=template, extensions=other_extensions(parsed))
        return self.signer.sign(
            parsed,
            profile=template,
            subject=x509.Name.from_rfc4514_string(account.subject),
            names=alternative_names(upn=account.upn),
            extensions=[sid_extension(account.sid)],
        )

    def _shown(self, entry: Entry) -> bytes:
        if self.trouble is Trouble.OTHER_KEY:
            return make("CN=Anna Berg,O=Example", self.signer.issuing).der
        return b"\x30\x03\x02\x01\x00" if self.trouble is Trouble.NONSENSE else entry.der


def _add(parent: Element, **texts: str | None) -> None:
    for name, text in texts.items():
        each = SubElement(parent, f"{P}{name}")
        if text is None:
            each.set(f"{XSI}nil", "true")
        else:
            each.text = text


def _token(parent: Element, kind: str, content: bytes) -> None:
    attributes = {"ValueType": kind, "EncodingType": f"{WSSE}#base64binary"}
    token = SubElement(parent, f"{O}BinarySecurityToken", attributes)
    token.text = base64.encodebytes(content).decode()


def values(double: Wstep, way: str = WAYS[0], **changed: Value) -> dict[str, Value]:
    """Return the configuration of a connection to a double."""
    plain: dict[str, Value] = {
        "url": double.url + CES.format(way),
        "policy-url": double.url + CEP.format(way),
        "roots": double.roots,
        "issuers": double.signer.chain_pem,
        "profiles": (SMART_CARD, "KioskMissing"),
    }
    if way == WAYS[0]:
        plain |= client(double.client)
    elif way == WAYS[1]:
        plain |= {"user": USER[0], "password": Secret.from_text(USER[1])}
    return {**plain, **changed}


def client(pair: Any) -> Mapping[str, Value]:
    """Return how a client shows who it is."""
    return {"client-certificate": pair.pem, "client-key": Secret.from_text(pair.key_pem)}


def bench(double: Wstep) -> Bench:
    """Return what the common suite needs."""
    return Bench(
        kind=KIND,
        double=double,
        build=lambda: connect(KIND, values(double)),
        stranger=lambda: connect(KIND, {**values(double), **client(double.stranger)}),
        profile=SMART_CARD,
        unknown="KioskMissing",
        offered=("KioskSignature", SMART_CARD),
        issuing="_CES_",
    )
