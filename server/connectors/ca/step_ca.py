"""Smallstep step-ca, by one-time tokens of a JWK or X5C provisioner.

The provisioner's X.509 template makes the certificate: it takes names from the request, the subject in its order from
`templateData.subject`, and what a template of ours calls a profile from `templateData.profile`. Revocation is passive: it blocks renewal, and is published where the server keeps a
revocation list. Nobody can search here.

Source: step-ca's HTTP API (`/1.0/sign`, `/1.0/revoke`, `/1.0/provisioners`).
"""

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import quote

from cryptography import x509
from cryptography.x509.oid import NameOID

from server.connectors.ca.one_time_token import Provisioner
from server.connectors.ca.outside import COMMON_FIELDS, OutsideAuthority, pem_request
from server.connectors.fields import HTTP_FIELDS
from server.connectors.http import Http
from server.connectors.tls import certificates_in
from server.ports.ca import Outcome, Reason, SignRequest
from server.ports.connection import Ability, Configured, Field, FieldKind, Kind, Port, Surroundings

REASON_CODES: Final[Mapping[Reason, int]] = {
    Reason.UNSPECIFIED: 0,
    Reason.KEY_COMPROMISE: 1,
    Reason.AFFILIATION_CHANGED: 3,
    Reason.SUPERSEDED: 4,
    Reason.CESSATION_OF_OPERATION: 5,
    Reason.CERTIFICATE_HOLD: 6,
    Reason.PRIVILEGE_WITHDRAWN: 9,
}
"""[RFC 5280] 5.3.1."""
PAGES: Final = 20
"""Of provisioners, at the most."""
_PLAIN: Final = "/!$&()*+,:;=?@"
"""What step-ca leaves as it is in the part of an audience by which it finds an X5C provisioner."""


class StepAuthority(OutsideAuthority):
    """It is a `CertificateAuthority` and `CanRevoke`."""

    FINDS = False

    def __init__(self, configured: Configured, around: Surroundings) -> None:
        """Take the configuration; nothing is asked yet.

        Raises:
            Invalid: a field cannot be used.
        """
        super().__init__(configured, around, Http(configured, around))
        key = configured.secret("provisioner-key")
        assert key is not None
        self._provisioner = Provisioner(
            name=configured.text("provisioner"),
            key=key,
            chain=certificates_in(configured.text("provisioner-certificate")),
            kid=configured.text("key-name"),
        )

    async def ask(self, request: SignRequest) -> Outcome:
        """Have the request signed, by a token for its subject and names."""
        parsed = x509.load_der_x509_csr(request.request)
        common = parsed.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
        asked: dict[str, Any] = {
            "csr": pem_request(request),
            "ott": self._token("sign", str(common[-1].value) if common else "", _plain_names(parsed)),
            "templateData": {"profile": request.profile, "subject": _attributes(parsed.subject)},
        }
        if request.not_after is not None:
            asked["notAfter"] = request.not_after.strftime("%Y-%m-%dT%H:%M:%SZ")
        reply = await self.http.call("POST", "1.0/sign", json=asked, ok=(201, 400, 403), what="issue")
        told = reply.object()
        if reply.status != 201:
            return self.refused(request, told.get("message"))
        chain = [each for each in told.get("certChain") or () if isinstance(each, str)]
        return self.issued(request, told.get("crt"), chain[1:])

    async def look_for(self, request: SignRequest) -> Outcome | None:
        """Nothing is known of any request: certificates can be asked for by nothing but their serial number."""
        del request
        return None

    async def revoke(self, certificate: bytes, reason: Reason) -> None:
        """Revoke one certificate (DER); doing it again changes nothing."""
        serial = str(self.own(certificate).serial_number)
        reply = await self.http.call(
            "POST",
            "1.0/revoke",
            json={
                "serial": serial,
                "ott": self._token("revoke", serial),
                "reasonCode": REASON_CODES[reason],
                "reason": reason.value,
                "passive": True,
            },
            ok=(200, 400),
            what="revoke",
        )
        told = reply.object()
        if reply.status != 200 and "already revoked" not in str(told.get("message")):
            raise self.refusal(reason="HTTP 400: it does not revoke this certificate")

    async def greet(self) -> None:
        """Find our provisioner, with our key, among those of the server."""
        cursor = ""
        for _ in range(PAGES):
            query = {"limit": "100", **({"cursor": cursor} if cursor else {})}
            reply = await self.http.call("GET", "1.0/provisioners", query=query, what="provisioners")
            told = reply.object()
            if any(self._is_ours(each) for each in told.get("provisioners") or ()):
                return
            cursor = str(told.get("nextCursor") or "")
            if not cursor:
                break
        raise self.refusal(reason=f"it does not know our credential: no provisioner {self._provisioner.name}")

    def _is_ours(self, listed: Any) -> bool:
        if not isinstance(listed, dict) or listed.get("name") != self._provisioner.name:
            return False
        if self._provisioner.has_chain:
            return listed.get("type") == "X5C"
        key = listed.get("key")
        return isinstance(key, dict) and key.get("kid") == self._provisioner.kid

    def _token(self, action: str, subject: str, names: tuple[str, ...] = ()) -> str:
        audience = f"{self.http.base}/1.0/{action}"
        if self._provisioner.has_chain:
            audience += f"#x5c/{quote(self._provisioner.name, safe=_PLAIN)}"
        return self._provisioner.token(audience=audience, subject=subject, now=self.clock.now(), names=names)


def _attributes(subject: x509.Name) -> list[dict[str, str]]:
    """Return a subject as a template keeps its order by `extraNames`: step-ca sorts what it reads from a request."""
    return [{"type": each.oid.dotted_string, "value": str(each.value)} for each in subject]


def _plain_names(request: x509.CertificateSigningRequest) -> tuple[str, ...]:
    """Return the names that a token lists: mail addresses and URIs; a template takes the others from the request."""
    for extension in request.extensions:
        if isinstance(extension.value, x509.SubjectAlternativeName):
            names = extension.value
            mails = names.get_values_for_type(x509.RFC822Name)
            return (*mails, *names.get_values_for_type(x509.UniformResourceIdentifier))
    return ()


KIND: Final = Kind(
    name="step-ca",
    port=Port.CA,
    title="Smallstep step-ca",
    fields=(
        *HTTP_FIELDS,
        *COMMON_FIELDS,
        Field(
            name="provisioner",
            kind=FieldKind.TEXT,
            title="Provisioner",
            required=True,
            help="Its name; of type JWK or X5C.",
        ),
        Field(
            name="provisioner-key",
            kind=FieldKind.SECRET,
            title="Provisioner's key",
            required=True,
            help="Private key (PEM, not encrypted), P-256 or RSA.",
        ),
        Field(
            name="provisioner-certificate",
            kind=FieldKind.CERTIFICATES,
            title="Provisioner's certificate",
            help="For type X5C: the certificate of that key with its chain (PEM). Without it the type is JWK.",
        ),
        Field(
            name="key-name",
            kind=FieldKind.TEXT,
            title="Name of the key",
            help="For type JWK, its kid where that is not the thumbprint of the key.",
        ),
    ),
    abilities=frozenset({Ability.ISSUE, Ability.REVOKE, Ability.REASONS, Ability.SUBJECT_OVERRIDE}),
    build=StepAuthority,
    page="step-ca.md",
)
