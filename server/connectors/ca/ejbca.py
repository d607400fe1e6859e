"""EJBCA (Community and Enterprise) over its REST interface.

A request is an end entity of its own, named after our request id: so it can be searched for when an answer was lost. A profile
is written END-ENTITY-PROFILE/CERTIFICATE-PROFILE, as EJBCA needs both.

Sources: EJBCA's OpenAPI definition (`/v1/certificate`, `/v1/ca`, `/v2/endentity`); its exception handler for statuses.
"""

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from typing import Any, Final
from urllib.parse import quote

from cryptography import x509

from server.connectors.ca.outside import (
    COMMON_FIELDS,
    REVOKED,
    OutsideAuthority,
    certificate_in,
    pem_request,
    public_key_of,
)
from server.connectors.fields import CLIENT_HTTP_FIELDS
from server.connectors.http import Http
from server.connectors.reply import Reply
from server.ports.ca import Outcome, Pending, Reason, SignRequest
from server.ports.connection import Ability, Configured, Field, FieldKind, Kind, Port, Surroundings
from shared import errors

REASONS: Final[Mapping[Reason, str]] = {
    Reason.UNSPECIFIED: "UNSPECIFIED",
    Reason.KEY_COMPROMISE: "KEY_COMPROMISE",
    Reason.AFFILIATION_CHANGED: "AFFILIATION_CHANGED",
    Reason.SUPERSEDED: "SUPERSEDED",
    Reason.CESSATION_OF_OPERATION: "CESSATION_OF_OPERATION",
    Reason.CERTIFICATE_HOLD: "CERTIFICATE_HOLD",
    Reason.PRIVILEGE_WITHDRAWN: "PRIVILEGES_WITHDRAWN",
}
"""EJBCA's words; the last is a plural there."""
RELEASE: Final = "REMOVE_FROM_CRL"

REFUSALS: Final = (400, 404, 413, 422)
"""Statuses of requests that were understood and not granted."""
BY_NAME: Final = "approval"
"""What a waiting request is found by where an older version gives no number: its end entity."""


class EjbcaAuthority(OutsideAuthority):
    """It is a `CertificateAuthority`, `CanRevoke`, `CanHold` and `CanListProfiles`."""

    def __init__(self, configured: Configured, around: Surroundings) -> None:
        """Take the configuration; nothing is asked yet.

        Raises:
            Invalid: a field cannot be used.
        """
        super().__init__(configured, around, Http(configured, around))
        self._authority = configured.text("ca-name")
        secret = configured.secret("enrolment-secret")
        assert secret is not None
        self._secret = secret
        self._issuer = ""
        for profile in self.profiles:
            _split(profile)

    async def ask(self, request: SignRequest) -> Outcome:
        """Enrol by PKCS#10; the end entity is made with it."""
        entity, profile = _split(request.profile)
        reply = await self.http.call(
            "POST",
            "v1/certificate/pkcs10enroll",
            json={
                "certificate_request": pem_request(request),
                "certificate_profile_name": profile,
                "end_entity_profile_name": entity,
                "certificate_authority_name": self._authority,
                "username": _user(request),
                "password": self._password(request),
                "include_chain": True,
            },
            ok=(201, 202, *REFUSALS),
            what="issue",
        )
        return self._outcome_of(request, reply)

    async def look_for(self, request: SignRequest) -> Outcome | None:
        """Finish what was approved meanwhile; else search for the end entity of this request."""
        if request.reference and request.reference != BY_NAME:
            reply = await self.http.call(
                "POST",
                f"v1/certificate/{quote(request.reference, safe='')}/finalize",
                json={"response_format": "DER", "password": self._password(request)},
                ok=(200, 201, 202, *REFUSALS),
                what="finish",
            )
            if reply.status not in REFUSALS:
                return self._outcome_of(request, reply)
            found = await self._search(request)  # finished already, and its answer was lost
            return found or self._outcome_of(request, reply)
        found = await self._search(request)
        return found or (Pending(BY_NAME) if request.reference else None)

    async def revoke(self, certificate: bytes, reason: Reason) -> None:
        """Revoke one certificate (DER); doing it again changes nothing."""
        await self._change(self.own(certificate), REASONS[reason])

    async def hold(self, certificate: bytes) -> None:
        """Put one certificate (DER) on hold; one that is revoked stays revoked."""
        await self._change(self.own(certificate), REASONS[Reason.CERTIFICATE_HOLD])

    async def release(self, certificate: bytes) -> None:
        """Make a held certificate valid again; one that is not on hold stays as it is."""
        parsed = self.own(certificate)
        status = await self.http.call(
            "GET", f"{await self._path(parsed)}/revocationstatus", ok=(200, 404), what="status"
        )
        told = status.object()
        if status.status == 404:
            raise self.refusal(reason="it does not know this certificate")
        if not told.get("revoked"):
            return
        if told.get("revocation_reason") != REASONS[Reason.CERTIFICATE_HOLD]:
            raise self.refusal(reason="revoked for good")
        await self._change(parsed, RELEASE)

    async def offered_profiles(self) -> Sequence[str]:
        """Return the pairs of profiles that our certificate may use with this certificate authority."""
        entities = await self.http.call("GET", "v2/endentity/profiles/authorized", what="profiles")
        found: list[str] = []
        for each in _list(entities.object(), "end_entity_profiles"):
            name = str(each.get("name", ""))
            reply = await self.http.call(
                "GET", f"v2/endentity/profile/{quote(name, safe='')}", what="profiles"
            )
            told = reply.object()
            if self._authority in (told.get("available_cas") or ()):
                found += [f"{name}/{profile}" for profile in told.get("available_certificate_profiles") or ()]
        return sorted(found)

    async def greet(self) -> None:
        """Find our certificate authority among those that our certificate may use."""
        await self._issuer_name()

    def _outcome_of(self, request: SignRequest, reply: Reply) -> Outcome:
        told = reply.object()
        if reply.status == 202:
            number = told.get("request_id")
            return Pending(BY_NAME if number is None else str(number))
        if reply.status in REFUSALS:
            return self.refused(request, told.get("error_message"))
        return self.issued(request, told.get("certificate"), told.get("certificate_chain") or ())

    async def _search(self, request: SignRequest) -> Outcome | None:
        reply = await self.http.call(
            "POST",
            "v1/certificate/search",
            json={
                "max_number_of_results": 10,
                "criteria": [{"property": "QUERY", "value": _user(request), "operation": "EQUAL"}],
            },
            what="search",
            repeatable=True,
        )
        for each in _list(reply.object(), "certificates"):
            try:
                certificate = certificate_in(each.get("certificate"))
            except ValueError:
                continue
            if public_key_of(certificate) == request.public_key:
                gone = await self._is_revoked(x509.load_der_x509_certificate(certificate))
                return REVOKED if gone else self.issued(request, certificate)
        return None

    async def _is_revoked(self, certificate: x509.Certificate) -> bool:
        reply = await self.http.call(
            "GET", f"{await self._path(certificate)}/revocationstatus", what="status"
        )
        return bool(reply.object().get("revoked"))

    async def _change(self, certificate: x509.Certificate, reason: str) -> None:
        """Change whether a certificate is valid; 409 says that it is revoked already."""
        reply = await self.http.call(
            "PUT",
            f"{await self._path(certificate)}/revoke",
            query={"reason": reason},
            ok=(200, 409, *REFUSALS),
            what="revoke",
            repeatable=True,
        )
        if reply.status == 404:
            raise self.refusal(reason="it does not know this certificate")
        if reply.status in REFUSALS:
            raise self.refusal(reason=f"HTTP {reply.status}: it cannot be revoked")

    async def _path(self, certificate: x509.Certificate) -> str:
        issuer = quote(await self._issuer_name(), safe="")
        return f"v1/certificate/{issuer}/{certificate.serial_number:X}"

    async def _issuer_name(self) -> str:
        """Return the issuer's name as EJBCA writes it, in its own order and spacing."""
        if not self._issuer:
            reply = await self.http.call("GET", "v1/ca", what="certificate authorities")
            for each in _list(reply.object(), "certificate_authorities"):
                if each.get("name") == self._authority:
                    self._issuer = str(each.get("subject_dn", ""))
            if not self._issuer:
                raise self.refusal(reason=f"there is no certificate authority {self._authority} for us")
        return self._issuer

    def _password(self, request: SignRequest) -> str:
        """Return the end entity's enrolment code: the same when an approved request is finished after a restart."""
        made = hmac.new(self._secret.reveal(), request.request_id.bytes, hashlib.sha256)
        return made.hexdigest()


def _user(request: SignRequest) -> str:
    return f"card-{request.request_id}"


def _split(profile: str) -> tuple[str, str]:
    entity, slash, certificate = profile.partition("/")
    if not (entity and slash and certificate):
        why = f"{profile}: write END-ENTITY-PROFILE/CERTIFICATE-PROFILE"
        raise errors.Invalid(field="profiles", why=why)
    return entity, certificate


def _list(told: Mapping[str, Any], name: str) -> Sequence[Mapping[str, Any]]:
    found = told.get(name) or ()
    return [each for each in found if isinstance(each, dict)]


KIND: Final = Kind(
    name="ejbca",
    port=Port.CA,
    title="EJBCA",
    fields=(
        *CLIENT_HTTP_FIELDS,
        *COMMON_FIELDS,
        Field(
            name="ca-name",
            kind=FieldKind.TEXT,
            title="Certificate authority",
            required=True,
            help="Its name in EJBCA, as the list of certificate authorities shows it.",
        ),
        Field(
            name="enrolment-secret",
            kind=FieldKind.SECRET,
            title="Enrolment secret",
            required=True,
            help="Any long random text; the enrolment code of each end entity is derived from it.",
        ),
    ),
    abilities=frozenset(
        {
            Ability.ISSUE,
            Ability.PENDING,
            Ability.FIND,
            Ability.REVOKE,
            Ability.REASONS,
            Ability.HOLD,
            Ability.RELEASE,
            Ability.PROFILES,
            Ability.SUBJECT_OVERRIDE,
        }
    ),
    build=EjbcaAuthority,
    page="ejbca.md",
)
