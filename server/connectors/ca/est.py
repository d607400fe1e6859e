"""Certificate authorities that are reached by Enrollment over Secure Transport.

The card's signed request goes as it is; names are the authority's to take from it. The protocol has no revocation and no
search: a connection of another kind has to revoke, and a key whose answer was lost is never sent again. A profile is
a label of the server's address; `default` is the address without one.

Sources: [RFC 7030] 3.2.2 (labels), 3.2.3 (basic log-on), 4.1 (issuers), 4.2 (enrolment, 202 and Retry-After); [RFC 8951] 3.2
(base64 with or without lines; the header about it means nothing).
"""

import base64
import binascii
from collections.abc import Sequence
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.hazmat.primitives.serialization.pkcs7 import load_der_pkcs7_certificates

from server.connectors.ca.outside import COMMON_FIELDS, OutsideAuthority, public_key_of
from server.connectors.ca.revoked_by import REVOKED_BY, REVOKED_BY_FIELD, revoked_by
from server.connectors.fields import CLIENT_HTTP_FIELDS
from server.connectors.http import Http
from server.connectors.reply import Reply
from server.ports.ca import Outcome, Pending, Refused, SignRequest, Unfit
from server.ports.connection import Ability, Configured, Field, FieldKind, Kind, Port, Surroundings
from shared import errors
from shared.secret import Secret

HEADERS: Final = {"Content-Type": "application/pkcs10", "Content-Transfer-Encoding": "base64"}
CERTS_ONLY: Final = "application/pkcs7-mime"
DEFAULT_LABEL: Final = "default"
REFUSALS: Final = (400, 403, 404, 409, 422)
"""Statuses of requests that were understood and not granted; 403 with the authority's words is about the request."""


class EstAuthority(OutsideAuthority):
    """It is a `CertificateAuthority`, and nothing else: EST cannot revoke."""

    FINDS = False

    def __init__(self, configured: Configured, around: Surroundings) -> None:
        """Take the configuration; nothing is asked yet.

        Raises:
            Invalid: a field cannot be used, or neither a certificate nor a name with a password is there.
        """
        user, password = configured.text("user"), configured.secret("password")
        if bool(user) != (password is not None):
            raise errors.Invalid(field="password", why="a name needs its password, and a password its name")
        if not user and configured.secret("client-key") is None:
            raise errors.Invalid(
                field="client-key", why="it has to know us by a certificate, or by a name and a password"
            )
        headers = {"Authorization": _basic(user, password)} if password is not None else {}
        super().__init__(configured, around, Http(configured, around, headers=headers))

    async def ask(self, request: SignRequest) -> Outcome:
        """Enrol with the request that the card signed."""
        return await self._enrol(request, base64.b64encode(request.request))

    async def look_for(self, request: SignRequest) -> Outcome | None:
        """Ask again for what was left waiting, with the very same request."""
        return await self._enrol(request, request.reference.encode())

    async def greet(self) -> None:
        """Find the configured issuer among its own, and see whether it knows us: an empty request, which nobody can grant.

        Raises:
            ConnectorAnswerWrong: it has other issuers.
        """
        reply = await self.http.call("GET", _path(self.profiles[0], "cacerts"), what="issuers")
        found = {each.public_bytes(Encoding.DER) for each in _certificates(reply)}
        if self.issuers[0].public_bytes(Encoding.DER) not in found:
            raise reply.wrong(reason="its issuers are others than the configured ones")
        await self.http.call(
            "POST",
            _path(self.profiles[0], "simpleenroll"),
            body=b"",
            headers=HEADERS,
            ok=(400, 422),
            what="credential",
            repeatable=True,
        )

    async def _enrol(self, request: SignRequest, content: bytes) -> Outcome:
        reply = await self.http.call(
            "POST",
            _path(request.profile, "simpleenroll"),
            body=content,
            headers=HEADERS,
            ok=(200, 202, *REFUSALS),
            what="issue",
        )
        if reply.status == 202:
            return Pending(content.decode())
        if reply.status in REFUSALS:
            words = "" if reply.is_html else reply.body.decode(errors="replace")
            return self.refused(request, words) if words.strip() else Refused(f"HTTP {reply.status}")
        try:
            found = _certificates(reply)
        except errors.ConnectorAnswerWrong:
            if reply.media_type == CERTS_ONLY:
                return Unfit("it cannot be read")
            raise
        own = [each for each in found if public_key_of(_der(each)) == request.public_key]
        return self.issued(request, _der(own[0])) if own else Unfit("another public key")


def _path(label: str, operation: str) -> str:
    return operation if label == DEFAULT_LABEL else f"{label}/{operation}"


def _certificates(reply: Reply) -> Sequence[x509.Certificate]:
    """Return what a certs-only message holds.

    Raises:
        ConnectorAnswerWrong: it is none.
    """
    if reply.is_html:
        raise reply.wrong(reason="an HTML page came instead of certificates; is the address right?")
    try:
        return load_der_pkcs7_certificates(base64.b64decode(b"".join(reply.body.split()), validate=True))
    except (ValueError, binascii.Error) as cause:
        raise reply.wrong(reason="it is no list of certificates in base64") from cause


def _der(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(Encoding.DER)


def _basic(user: str, password: Secret) -> Secret:
    """Return the header of a basic log-on ([RFC 7617])."""
    if ":" in user:
        raise errors.Invalid(field="user", why="a colon cannot be part of it")
    return Secret(b"Basic " + base64.b64encode(user.encode() + b":" + password.reveal()))


KIND: Final = Kind(
    name="est",
    port=Port.CA,
    title="EST (RFC 7030)",
    fields=(
        *CLIENT_HTTP_FIELDS,
        *COMMON_FIELDS,
        Field(
            name="user", kind=FieldKind.TEXT, title="Name", help="Where it knows us by a name and a password."
        ),
        Field(name="password", kind=FieldKind.SECRET, title="Password"),
        REVOKED_BY_FIELD,
    ),
    abilities=frozenset({Ability.ISSUE, Ability.PENDING}),
    build=revoked_by(EstAuthority),
    refers=(REVOKED_BY,),
    page="est.md",
)
