"""Messages of the enrolment service: a request for a certificate, a question what became of it, and the answer.

Source: [MS-WSTEP] 3.1.4.1 (RequestSecurityToken2), 3.1.4.1.3 (types), 2.2.4 (fault details).
"""

import base64
import binascii
from dataclasses import dataclass
from typing import Final
from xml.etree.ElementTree import Element, SubElement  # builds messages

from server.connectors.ca.adcs.codes import unsigned
from server.connectors.ca.adcs.soap import BASE64, SECURITY

TRUST: Final = "http://docs.oasis-open.org/ws-sx/ws-trust/200512"
ENROLMENT: Final = "http://schemas.microsoft.com/windows/pki/2009/01/enrollment"
AUTHORIZATION: Final = "http://schemas.xmlsoap.org/ws/2006/12/authorization"
ASK: Final = f"{ENROLMENT}/RST/wstep"
ANSWER: Final = f"{ENROLMENT}/RSTRC/wstep"

TOKEN_TYPE: Final = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-x509-token-profile-1.0#X509v3"  # noqa: S105  # a name
ISSUE: Final = f"{TRUST}/Issue"
QUERY: Final = f"{ENROLMENT}/QueryTokenStatus"
PKCS10: Final = f"{ENROLMENT}#PKCS10"
PKCS7: Final = f"{SECURITY}#PKCS7"

_T: Final = f"{{{TRUST}}}"
_S: Final = f"{{{SECURITY}}}"
_E: Final = f"{{{ENROLMENT}}}"
_A: Final = f"{{{AUTHORIZATION}}}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """What came back: a certificate, or none yet; with the request's number there."""

    number: str
    certificate: bytes = b""


def ask(content: bytes, template: str, *, kind: str) -> Element:
    """Return the request for a certificate; `content` is DER of the `kind` (`PKCS10`, `PKCS7`)."""
    message = _message(ISSUE)
    token = SubElement(message, f"{_S}BinarySecurityToken", {"ValueType": kind, "EncodingType": BASE64})
    token.text = base64.b64encode(content).decode()
    context = SubElement(message, f"{_A}AdditionalContext")
    item = SubElement(context, f"{_A}ContextItem", {"Name": "CertificateTemplate"})
    SubElement(item, f"{_A}Value").text = template
    return message


def ask_again(number: str) -> Element:
    """Return the question what became of a request."""
    message = _message(QUERY)
    SubElement(message, f"{_E}RequestID").text = number
    return message


def read(answer: Element) -> Answered:
    """Read an answer.

    Raises:
        ValueError: it is none, or holds neither a certificate nor the number of a request.
    """
    one = answer.findall(f"{_T}RequestSecurityTokenResponse")
    if answer.tag != f"{_T}RequestSecurityTokenResponseCollection" or len(one) != 1:
        raise ValueError
    number = one[0].findtext(f"{_E}RequestID", "").strip()
    token = one[0].find(f"{_T}RequestedSecurityToken/{_S}BinarySecurityToken")
    if token is not None and token.text:
        try:
            return Answered(
                number=number, certificate=base64.b64decode("".join(token.text.split()), validate=True)
            )
        except binascii.Error as cause:
            raise ValueError from cause
    if not is_number(number):
        raise ValueError
    return Answered(number=number)


def code_of(detail: Element | None) -> int | None:
    """Return the HRESULT in the detail of a fault; None where there is none."""
    text = "" if detail is None else detail.findtext(f"{_E}CertificateEnrollmentWSDetail/{_E}ErrorCode", "")
    try:
        return unsigned(int(text.strip()))
    except ValueError:
        return None


def is_number(text: str) -> bool:
    """Whether this is the number of a request: a positive one of 31 bits."""
    return text.isascii() and text.isdigit() and len(text) <= 10 and 0 < int(text) < 1 << 31


def _message(kind: str) -> Element:
    message = Element(f"{_T}RequestSecurityToken")
    SubElement(message, f"{_T}TokenType").text = TOKEN_TYPE
    SubElement(message, f"{_T}RequestType").text = kind
    return message
