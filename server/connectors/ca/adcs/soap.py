"""SOAP 1.2 with WS-Addressing and WS-Security, as far as the enrolment services of AD CS speak them.

Messages are built by the standard library and read by defusedxml: an answer with a document type or entities is none.

Sources: [SOAP 1.2] part 1, 5 (envelope, faults), part 2, 7.4 (HTTP); [WS-Addressing 1.0] SOAP binding; [WSS 1.1] 7 and 10;
[WSS UsernameToken 1.1] 3.1.
"""

import base64
import secrets
from collections.abc import Iterator
from datetime import timedelta
from typing import Final
from uuid import uuid4
from xml.etree.ElementTree import (  # builds messages; what comes back is read by defusedxml
    Element,
    ParseError,
    SubElement,
    tostring,
)

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from server.connectors.ca.adcs.kerberos import Kerberos
from server.connectors.http import Http
from server.connectors.reply import Reply, refusal
from shared.clock import Clock
from shared.secret import Secret

SOAP: Final = "{http://www.w3.org/2003/05/soap-envelope}"
ADDRESSING: Final = "{http://www.w3.org/2005/08/addressing}"
SECURITY: Final = "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-secext-1.0.xsd"
UTILITY: Final = "{http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-wssecurity-utility-1.0.xsd}"
INSTANCE: Final = "{http://www.w3.org/2001/XMLSchema-instance}"
PASSWORD_TEXT: Final = (
    "http://docs.oasis-open.org/wss/2004/01/oasis-200401-wss-username-token-profile-1.0#PasswordText"  # noqa: S105  # a name
)
BASE64: Final = f"{SECURITY}#base64binary"
MEDIA_TYPE: Final = "application/soap+xml; charset=utf-8"

RECEIVER: Final = "Receiver"
"""[SOAP 1.2] part 1, 5.4.6: the fault is the service's own."""
LOG_ON_FAULTS: Final = frozenset({"FailedAuthentication", "InvalidSecurity", "InvalidSecurityToken"})
"""[WSS 1.1] 12: what a service answers whose clients log on inside the message."""
TOKEN_LASTS: Final = timedelta(minutes=5)
NONCE_LENGTH: Final = 16


class Fault(Exception):
    """The service answered with a fault. `words` are its own; `detail` says more where it knows more."""

    def __init__(self, *, words: str, codes: frozenset[str], detail: Element | None) -> None:
        """Keep what the fault says."""
        super().__init__("SOAP fault")
        self.words = words
        self.codes = codes
        self.detail = detail

    @property
    def of_log_on(self) -> bool:
        """Whether it does not accept who we are."""
        return bool(self.codes & LOG_ON_FAULTS)


class UserName:
    """A log-on by name and password, inside the message: TLS protects it."""

    def __init__(self, name: str, password: Secret, clock: Clock) -> None:
        """Take who we are there."""
        self._name = name
        self._password = password
        self._clock = clock

    def header(self) -> Element:
        """Return a security header with a time, a name, a password and a nonce of its own."""
        now = self._clock.now().replace(microsecond=0)
        header = Element(f"{{{SECURITY}}}Security", {f"{SOAP}mustUnderstand": "1"})
        stamp = SubElement(header, f"{UTILITY}Timestamp")
        SubElement(stamp, f"{UTILITY}Created").text = _moment(now.isoformat())
        SubElement(stamp, f"{UTILITY}Expires").text = _moment((now + TOKEN_LASTS).isoformat())
        token = SubElement(header, f"{{{SECURITY}}}UsernameToken")
        SubElement(token, f"{{{SECURITY}}}Username").text = self._name
        password = SubElement(token, f"{{{SECURITY}}}Password", {"Type": PASSWORD_TEXT})
        password.text = self._password.reveal().decode()
        nonce = SubElement(token, f"{{{SECURITY}}}Nonce", {"EncodingType": BASE64})
        nonce.text = base64.b64encode(secrets.token_bytes(NONCE_LENGTH)).decode()
        SubElement(token, f"{UTILITY}Created").text = _moment(now.isoformat())
        return header


class Service:
    """One service, at one address."""

    def __init__(self, http: Http, user: UserName | None = None, kerberos: Kerberos | None = None) -> None:
        """`user` logs on inside each message, `kerberos` beside it; without them, the TLS certificate does."""
        self.http = http
        self._user = user
        self._kerberos = kerberos

    async def ask(
        self, action: str, answer: str, content: Element, *, what: str, repeatable: bool = False
    ) -> Element:
        """Send one message and return what the body of the answer holds; `action` and `answer` are URIs.

        Raises:
            Fault: the service understood, and will not.
            ConnectorAnswerWrong: what came is no answer to this message.
            ConnectorUnreachable, ConnectorRefused: as `Http.call`.
        """
        number = f"urn:uuid:{uuid4()}"
        headers: dict[str, str | Secret] = {"Content-Type": MEDIA_TYPE}
        if self._kerberos is not None:
            headers["Authorization"] = await self._kerberos.header()
        reply = await self.http.call(
            "POST",
            "",
            body=self._message(action, number, content),
            headers=headers,
            ok=(200, 400, 500),
            what=what,
            repeatable=repeatable and self._kerberos is None,  # a ticket counts once
        )
        header, body = _parts(reply)
        told = header.findtext(f"{ADDRESSING}RelatesTo", number).strip()
        if told != number:
            raise reply.wrong(reason="it answers another message")
        fault = body.find(f"{SOAP}Fault")
        if fault is not None:
            raise _read_fault(fault)
        if reply.status != 200 or header.findtext(f"{ADDRESSING}Action", "").strip() != answer:
            raise reply.wrong(reason="it is no answer to what was asked")
        if len(body) != 1:
            raise reply.wrong(reason="its body does not hold one answer")
        return body[0]

    def _message(self, action: str, number: str, content: Element) -> bytes:
        envelope = Element(f"{SOAP}Envelope")
        header = SubElement(envelope, f"{SOAP}Header")
        SubElement(header, f"{ADDRESSING}Action", {f"{SOAP}mustUnderstand": "1"}).text = action
        SubElement(header, f"{ADDRESSING}MessageID").text = number
        SubElement(header, f"{ADDRESSING}To", {f"{SOAP}mustUnderstand": "1"}).text = self.http.base
        if self._user is not None:
            header.append(self._user.header())
        SubElement(envelope, f"{SOAP}Body").append(content)
        message: bytes = tostring(envelope, encoding="utf-8", xml_declaration=True)
        return message


def nil(parent: Element, tag: str) -> None:
    """Add an element that says that it has no value."""
    SubElement(parent, tag, {f"{INSTANCE}nil": "true"})


def _moment(text: str) -> str:
    return text.replace("+00:00", "Z")


def _parts(reply: Reply) -> tuple[Element, Element]:
    """Return header and body of an envelope."""
    if reply.is_html:
        raise reply.wrong(reason="an HTML page came instead of SOAP; is the address right?")
    try:
        envelope = fromstring(reply.body, forbid_dtd=True)
    except (ParseError, DefusedXmlException, ValueError) as cause:
        if reply.status != 200:
            raise refusal(reply) from cause
        raise reply.wrong(reason="it is not XML that can be read") from cause
    header, body = envelope.find(f"{SOAP}Header"), envelope.find(f"{SOAP}Body")
    if envelope.tag != f"{SOAP}Envelope" or header is None or body is None:
        raise reply.wrong(reason="it is no SOAP 1.2")
    return header, body


def _read_fault(fault: Element) -> Fault:
    code = fault.find(f"{SOAP}Code")
    codes = frozenset(_codes(code)) if code is not None else frozenset()
    words = fault.findtext(f"{SOAP}Reason/{SOAP}Text", "").strip()
    detail = fault.find(f"{SOAP}Detail")
    return Fault(words=words, codes=codes, detail=detail)


def _codes(code: Element) -> Iterator[str]:
    """Return the local names of a code and of those below it."""
    for value in code.iter(f"{SOAP}Value"):
        yield (value.text or "").strip().rpartition(":")[2]
