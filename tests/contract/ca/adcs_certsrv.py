"""A double of AD CS' web enrolment pages, in English or in German.

Source: the pages as published clients read them, see docs/connectors/adcs.md. It answers 200 with a page to whatever it
understood, and to a program that does not say that it is a browser with another type, as the pages do.
"""

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from aiohttp import web
from cryptography import x509

from server.connectors.ca.adcs.certsrv import KIND
from server.ports.connection import Value
from shared.secret import Secret
from tests.contract.ca.adcs_kerberos import Tickets
from tests.contract.ca.bench import Bench, connect
from tests.contract.ca.signer import Entry, Malformed, make, other_extensions
from tests.contract.ca.web import PAGE, Double, Refuse, Trouble

USER: Final = ("kiosk@example.test", "of the test")
TEMPLATES: Final = ("KioskSmartcardLogon", "KioskSignature")
FORM: Final = {
    "Mode",
    "CertRequest",
    "CertAttrib",
    "FriendlyType",
    "ThumbPrint",
    "TargetStoreFlags",
    "SaveCert",
}

WORDS: Final[Mapping[str, Mapping[str, str]]] = {
    "en": {
        "issued": "The certificate you requested was issued to you.",
        "pending": "Your certificate request has been received. However, you must wait for an administrator to issue the "
        "certificate you requested.<P ID=locInstruct>Your Request Id is {number}.<P>Please return to this web site in a "
        "day or two to retrieve your certificate.",
        "denied": 'Your certificate request was denied.<P>Your Request Id is {number}. The disposition message is "{why}".',
    },
    "de": {
        "issued": "Das angeforderte Zertifikat wurde ausgestellt.",
        "pending": "Ihre Zertifikatanforderung wurde empfangen. Ein Administrator muss es noch ausstellen.<P ID=locInstruct>"
        "Die Anforderungs-ID lautet {number}.<P>Bitte diese Website in ein paar Tagen erneut besuchen.",
        "denied": "Ihre Zertifikatanforderung wurde verweigert.<P>Die Anforderungs-ID lautet {number}. Die Meldung lautet: {why}",
    },
}


@dataclass
class Asked:
    """One request."""

    parsed: x509.CertificateSigningRequest
    denied: str = ""
    entry: Entry | None = None


class Certsrv(Double):
    """It answers as the pages do."""

    KIND = KIND
    CLIENTS = True

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.language = "en"
        self.requests: list[Asked] = []
        self.tickets = Tickets(folder)

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/certsrv/certfnsh.asp", self.submit),
            web.get("/certsrv/certnew.cer", self.fetch),
            web.get("/certsrv/certcarc.asp", self.issuers),
        ]

    def error(self, refused: Refuse) -> web.Response:
        headers = {"WWW-Authenticate": 'Basic realm="ca"'} if refused.status == 401 else {}
        return web.Response(status=refused.status, text=PAGE, content_type="text/html", headers=headers)

    def _check(self, request: web.Request) -> None:
        name = base64.b64encode(":".join(USER).encode()).decode()
        given = request.headers.get("Authorization", "")
        if given.startswith("Negotiate"):
            self.tickets.check(request)
        elif given:
            if request.headers["Authorization"] != f"Basic {name}":
                raise Refuse(status=401, why="Access is denied")
        else:
            self.check_client(request)
        if not request.headers.get("User-Agent", "").startswith("Mozilla/"):
            raise Refuse(status=415, why="no browser")

    async def submit(self, request: web.Request) -> web.Response:
        self._check(request)
        if request.content_type != "application/x-www-form-urlencoded":
            raise Refuse(status=415, why="media type")
        form = {name: str(value) for name, value in (await request.post()).items()}
        if set(form) != FORM or form["Mode"] != "newreq" or form["SaveCert"] != "yes":
            raise Refuse(status=500, why="ASP 0177")
        try:
            asked = Asked(self.signer.read(form["CertRequest"].encode()))
        except Malformed:
            return self._page("denied", 0, "Error Verifying Request Signature 0x80090006 (-2146893818)")
        self.requests.append(asked)
        attributes = dict(line.split(":", 1) for line in form["CertAttrib"].split("\r\n") if line)
        if attributes.get("CertificateTemplate") not in TEMPLATES:
            asked.denied = (
                "Denied by Policy Module 0x80094800, The request was for a certificate template that is not supported by the "
                "Active Directory Certificate Services policy"
            )
        if self.trouble is Trouble.DENIED:
            asked.denied = "Denied by Policy Module  CN=Anna Berg,O=Example is not welcome"
        return self._state(len(self.requests), asked)

    def _state(self, number: int, asked: Asked) -> web.Response:
        if asked.denied:
            return self._page("denied", number, asked.denied)
        if self._waits(asked):
            return self._page("pending", number)
        link = f"certnew.cer?ReqID={number}&amp;"
        script = f'<Script>function handleGetCert() {{ location="certnew.cer?ReqID={number}&"+getEncoding(); }}</Script>'
        return self._page("issued", number, more=f'{script}<A Href="{link}Enc=b64">certificate</A>')

    def _waits(self, asked: Asked) -> bool:
        if self.trouble is Trouble.PENDING and not self.approved:
            return True
        if asked.entry is None:
            asked.entry = self.signer.sign(asked.parsed, extensions=other_extensions(asked.parsed))
        return False

    def _page(self, kind: str, number: int, why: str = "", more: str = "") -> web.Response:
        text = WORDS[self.language][kind].format(number=number, why=why)
        mark = "locDenied" if kind == "denied" else "locInfo"
        page = (
            "<HTML><Head><Title>Microsoft Active Directory Certificate Services 2019</Title>"
            "<Script>var nPageVersion = 10;</Script></Head>"
            f"<Body BgColor=#FFFFFF><Table Width=100%><TR><TD>Double Issuing CA</TD></TR></Table>"
            f"<P ID=locPageTitle><P ID={mark}>{text}</P>{more}</Body></HTML>\r\n"
        )
        return web.Response(text=page, content_type="text/html")

    async def fetch(self, request: web.Request) -> web.Response:
        self._check(request)
        encoding = request.query.get("Enc", "")
        if request.query.get("ReqID") == "CACert":
            if request.query.get("Renewal") != "1":
                return self._certificate(
                    make("CN=Double Issuing CA,O=Elsewhere", self.signer.root).der, encoding
                )
            return self._certificate(self.signer.issuing.der, encoding)
        number = int(request.query["ReqID"])
        asked = self.requests[number - 1]
        if asked.denied or self._waits(asked):
            why = asked.denied or "Taken Under Submission"
            mark = "locDenied" if asked.denied else "locInfo"
            page = f"<HTML><Body><P ID={mark}>Disposition message: {why}</P></Body></HTML>"
            return web.Response(text=page, content_type="text/html")
        assert asked.entry is not None
        shown = asked.entry.der
        if self.trouble is Trouble.OTHER_KEY:
            shown = make("CN=Anna Berg,O=Example", self.signer.issuing).der
        if self.trouble is Trouble.NONSENSE:
            shown = b"\x30\x03\x02\x01\x00"
        return self._certificate(shown, encoding)

    @staticmethod
    def _certificate(content: bytes, encoding: str) -> web.Response:
        if encoding == "b64":
            text = base64.encodebytes(content).decode().replace("\n", "\r\n")
            content = f"-----BEGIN CERTIFICATE-----\r\n{text}-----END CERTIFICATE-----\r\n".encode()
        return web.Response(body=content, content_type="application/pkix-cert")

    async def issuers(self, request: web.Request) -> web.Response:
        self._check(request)
        page = "<HTML><Head><Script>var nRenewals=1;</Script></Head><Body>Download a CA Certificate</Body></HTML>"
        return web.Response(text=page, content_type="text/html")


def values(double: Certsrv, **changed: Value) -> dict[str, Value]:
    """Return the configuration of a connection to a double."""
    plain: dict[str, Value] = {
        "url": f"{double.url}/certsrv",
        "roots": double.roots,
        "issuers": double.signer.chain_pem,
        "profiles": (TEMPLATES[0], "KioskMissing"),
        "user": USER[0],
        "password": Secret.from_text(USER[1]),
    }
    return {**plain, **changed}


def bench(double: Certsrv) -> Bench:
    """Return what the common suite needs."""
    return Bench(
        kind=KIND,
        double=double,
        build=lambda: connect(KIND, values(double)),
        stranger=lambda: connect(KIND, values(double, password=Secret.from_text("another one"))),
        profile=TEMPLATES[0],
        unknown="KioskMissing",
        issuing="certfnsh.asp",
    )
