"""SOAP as Windows' services take it: what is not exactly as the standards say is a fault.

Sources: SOAP 1.2 part 1, WS-Addressing 1.0, WS-Security 1.0 with its UsernameToken profile; Windows Communication Foundation's
binding for log-ons inside the message over TLS.
"""

import base64
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final
from uuid import UUID
from xml.etree.ElementTree import Element, SubElement, fromstring, tostring

from aiohttp import web

from tests.contract.ca.signer import Malformed
from tests.contract.ca.web import Handler, Refuse

S: Final = "{http://www.w3.org/2003/05/soap-envelope}"
A: Final = "{http://www.w3.org/2005/08/addressing}"
WSSE: Final = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd"
O: Final = f"{{{WSSE}}}"  # noqa: E741  # the prefix in Microsoft's examples
U: Final = "{http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-utility-1.0.xsd}"
XSI: Final = "{http://www.w3.org/2001/XMLSchema-instance}"
PASSWORD_TEXT: Final = (
    "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-username-token-profile-1.0#PasswordText"
)
WCF_FAULT: Final = "http://schemas.microsoft.com/net/2005/12/windowscommunicationfoundation/dispatcher/fault"
ENROLMENT: Final = "http://schemas.microsoft.com/windows/pki/2009/01/enrollment"
E: Final = f"{{{ENROLMENT}}}"
DETAIL_FAULT: Final = f"{ENROLMENT}/RequestSecurityTokenCertificateEnrollmentWSDetailFault"
NUMBER: Final = web.RequestKey("number", str)
"""The number of the message that a request carries."""
UNDERSTOOD: Final = {f"{A}Action", f"{A}To", f"{O}Security"}


class SoapFault(Refuse):
    """A fault; with an HRESULT, the certificate authority refused."""

    def __init__(self, *, why: str, code: int = 0, sender: str = "", number: int = 0) -> None:
        super().__init__(status=500, why=why)
        self.code = code
        self.sender = sender
        self.number = number


def children(parent: Element, *tags: str, optional: Sequence[str] = ()) -> dict[str, Element]:
    """Return children that must be there in just this order; `optional` ones may be left out."""
    found = [each.tag for each in parent]
    expected = [tag for tag in tags if tag in found or tag not in optional]
    if found != expected:
        raise SoapFault(why=f"{parent.tag}: {found} instead of {expected}", sender="DeserializationFailed")
    return {each.tag: each for each in parent}


async def read(request: web.Request, action: str, user: tuple[str, str] | None) -> Element:
    """Return what the body of a message holds; its action, address and log-on must be right."""
    if (request.content_type, request.charset) != ("application/soap+xml", "utf-8"):
        raise Refuse(status=415, why="media type")
    envelope = fromstring(await request.read())
    if envelope.tag != f"{S}Envelope":
        raise SoapFault(why="not SOAP 1.2", sender="VersionMismatch")
    parts = children(envelope, f"{S}Header", f"{S}Body")
    told = {each.tag: each for each in parts[f"{S}Header"]}
    _check_addressing(request, told, action)
    security = told.get(f"{O}Security")
    if (security is None) != (user is None):
        raise SoapFault(why="the security header is missing or unexpected", sender="InvalidSecurity")
    if security is not None and user is not None:
        _check_log_on(security, user)
    body = parts[f"{S}Body"]
    if len(body) != 1:
        raise SoapFault(why="one message", sender="DeserializationFailed")
    return body[0]


def _check_addressing(request: web.Request, told: Mapping[str, Element], action: str) -> None:
    for each in told.values():
        if each.get(f"{S}mustUnderstand") == "1" and each.tag not in UNDERSTOOD:
            raise SoapFault(why=f"{each.tag} is not understood", sender="MustUnderstand")
    number = told[f"{A}MessageID"].text or ""
    request[NUMBER] = number
    if not number.startswith("urn:uuid:") or str(UUID(number[9:])) != number[9:]:
        raise SoapFault(why="no number", sender="InvalidAddressingHeader")
    for tag, value in ((f"{A}Action", action), (f"{A}To", f"https://{request.host}{request.raw_path}")):
        found = told.get(tag)
        if found is None or found.text != value or found.get(f"{S}mustUnderstand") != "1":
            raise SoapFault(why=f"{tag} is missing or another one", sender="ActionNotSupported")


def _check_log_on(security: Element, user: tuple[str, str]) -> None:
    if security.get(f"{S}mustUnderstand") != "1":
        raise SoapFault(why="mustUnderstand", sender="InvalidSecurity")
    parts = children(security, f"{U}Timestamp", f"{O}UsernameToken")
    stamp = children(parts[f"{U}Timestamp"], f"{U}Created", f"{U}Expires")
    now = datetime.now(UTC)
    made, ends = (_moment(stamp[f"{U}{name}"]) for name in ("Created", "Expires"))
    if not made - timedelta(minutes=5) < now < min(ends, made + timedelta(minutes=5)):
        raise SoapFault(why="it is out of time", sender="InvalidSecurity")
    token = children(parts[f"{O}UsernameToken"], f"{O}Username", f"{O}Password", f"{O}Nonce", f"{U}Created")
    password, nonce = token[f"{O}Password"], token[f"{O}Nonce"]
    if password.get("Type") != PASSWORD_TEXT or nonce.get("EncodingType") != f"{WSSE}#base64binary":
        raise SoapFault(why="types of the token", sender="InvalidSecurityToken")
    if len(base64.b64decode(nonce.text or "", validate=True)) != 16:
        raise SoapFault(why="nonce", sender="InvalidSecurityToken")
    if (token[f"{O}Username"].text, password.text) != user:
        raise SoapFault(
            why="At least one security token in the message could not be validated.",
            sender="FailedAuthentication",
        )


def _moment(element: Element) -> datetime:
    text = element.text or ""
    if not re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", text):
        raise SoapFault(why="a moment", sender="InvalidSecurity")
    return datetime.fromisoformat(text)


def answer(request: web.Request, action: str, content: Element, *, status: int = 200) -> web.Response:
    """Return an answer to a message."""
    envelope = Element(f"{S}Envelope")
    header = SubElement(envelope, f"{S}Header")
    SubElement(header, f"{A}Action", {f"{S}mustUnderstand": "1"}).text = action
    SubElement(header, f"{A}RelatesTo").text = request.get(NUMBER, "")
    SubElement(envelope, f"{S}Body").append(content)
    return web.Response(
        status=status,
        body=tostring(envelope, encoding="utf-8").replace(b"\n", b"&#xD;\n"),
        content_type="application/soap+xml",
        charset="utf-8",
    )


def judged(handler: Handler) -> Handler:
    """Let a handler's refusals be faults that belong to the message."""

    async def judging(request: web.Request) -> web.StreamResponse:
        try:
            return await handler(request)
        except Malformed:
            refused = SoapFault(why="Error Verifying Request Signature", code=0x80090006)
        except SoapFault as fault:
            refused = fault
        return _failure(request, refused)

    return judging


def _failure(request: web.Request, refused: SoapFault) -> web.Response:
    fault = Element(f"{S}Fault")
    code = SubElement(fault, f"{S}Code")
    SubElement(code, f"{S}Value").text = "s:Sender" if refused.sender else "s:Receiver"
    if refused.sender:
        SubElement(SubElement(code, f"{S}Subcode"), f"{S}Value").text = f"o:{refused.sender}"
    reason = SubElement(fault, f"{S}Reason")
    SubElement(reason, f"{S}Text", {"{http://www.w3.org/XML/1998/namespace}lang": "en-US"}).text = refused.why
    if refused.code:
        detail = SubElement(SubElement(fault, f"{S}Detail"), f"{E}CertificateEnrollmentWSDetail")
        SubElement(detail, f"{E}BinaryResponse", {f"{XSI}nil": "true"})
        SubElement(detail, f"{E}ErrorCode").text = str(refused.code - (1 << 32))
        SubElement(detail, f"{E}InvalidRequest").text = "true"
        SubElement(detail, f"{E}RequestID").text = str(refused.number)
    return answer(request, DETAIL_FAULT if refused.code else WCF_FAULT, fault, status=500)
