"""Log-ons by Kerberos as Windows' web server takes them with extended protection required; MIT's library judges tickets."""

import base64
import hashlib
from pathlib import Path
from typing import Final

from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from tests.contract.ca.web import Refuse

REALM: Final = "EXAMPLE.TEST"
PRINCIPAL: Final = f"kiosk@{REALM}"
"""Who has rights."""


class Tickets:
    """What a double takes, and whom it let in."""

    def __init__(self, folder: Path) -> None:
        self.keytab = folder / "http.keytab"
        self.bound_to = b""
        """Another certificate than the server's own that tickets have to be bound to."""
        self.logged_on: list[str] = []
        self._certificate = folder / "server.pem"

    def check(self, request: web.Request) -> None:
        """Take a ticket for this service, bound to this server's TLS certificate, from whom has rights here."""
        import gssapi
        from gssapi.raw.misc import GSSError

        kind, _, token = request.headers.get("Authorization", "").partition(" ")
        if kind != "Negotiate" or not token:
            raise Refuse(status=401, why="who are you?")
        shown = x509.load_pem_x509_certificates(self._certificate.read_bytes())[0]
        digest = hashlib.sha256(self.bound_to or shown.public_bytes(Encoding.DER)).digest()
        context = gssapi.SecurityContext(
            usage="accept",
            creds=gssapi.Credentials(usage="accept", store={"keytab": str(self.keytab)}),
            channel_bindings=gssapi.raw.ChannelBindings(application_data=b"tls-server-end-point:" + digest),
        )
        try:
            context.step(base64.b64decode(token, validate=True))
            bound = context.complete and context.actual_flags & gssapi.RequirementFlag.channel_bound
        except GSSError as cause:
            raise Refuse(status=401, why="no ticket for this service") from cause
        if not bound:
            raise Refuse(status=401, why="a ticket that is not bound to our certificate")
        self.logged_on.append(str(context.initiator_name))
        if self.logged_on[-1] != PRINCIPAL:
            raise Refuse(status=403, why="no rights")
