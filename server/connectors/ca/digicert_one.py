"""DigiCert ONE: Trust Lifecycle Manager, formerly Enterprise PKI Manager.

A request is for a seat, which is the person: the profile says what of subject and names comes from us. A request whose answer was
lost is looked for among the certificates of its seat, by its key.

Sources: DigiCert's OpenAPI definition of the Enterprise PKI Manager REST API 1.0.0; clients in productive use for what its
schema and its examples say differently.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any, Final
from urllib.parse import quote

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import NameOID

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
from server.ports.ca import Issued, Names, Outcome, Pending, Reason, SignRequest
from server.ports.connection import Ability, Configured, Field, FieldKind, Kind, Port, Surroundings
from shared import errors
from shared.secret import Secret

API: Final = "mpki/api/v1"
USER_SEAT: Final = "USER_SEAT"
REASONS: Final[Mapping[Reason, str]] = {
    Reason.UNSPECIFIED: "unspecified",
    Reason.KEY_COMPROMISE: "key_compromise",
    Reason.AFFILIATION_CHANGED: "affiliation_changed",
    Reason.SUPERSEDED: "superseded",
    Reason.CESSATION_OF_OPERATION: "cessation_of_operation",
    Reason.CERTIFICATE_HOLD: "certificate_hold",
    Reason.PRIVILEGE_WITHDRAWN: "privilege_withdrawn",
}
SUBJECT: Final = {
    NameOID.COMMON_NAME: "common_name",
    NameOID.EMAIL_ADDRESS: "email",
    NameOID.COUNTRY_NAME: "country",
    NameOID.STATE_OR_PROVINCE_NAME: "state",
    NameOID.LOCALITY_NAME: "locality",
    NameOID.ORGANIZATION_NAME: "organization_name",
    NameOID.SERIAL_NUMBER: "serial_number",
}
SUBJECT_LISTS: Final = {
    NameOID.ORGANIZATIONAL_UNIT_NAME: "organization_units",
    NameOID.DOMAIN_COMPONENT: "domain_component",
}
REFUSALS: Final = (400, 404, 409, 422)
PAGE: Final = 50
MAX_PAGES: Final = 20


class DigicertAuthority(OutsideAuthority):
    """It is a `CertificateAuthority`, `CanRevoke`, `CanHold` and `CanListProfiles`."""

    def __init__(self, configured: Configured, around: Surroundings) -> None:
        """Take the configuration; nothing is asked yet.

        Raises:
            Invalid: a field cannot be used.
        """
        key = configured.secret("api-key")
        if (key is None) == (configured.secret("client-key") is None):
            raise errors.Invalid(field="api-key", why="either this or our TLS certificate, not both")
        headers: dict[str, str | Secret] = {"Accept": "application/json"}
        if key is not None:
            headers["x-api-key"] = key
        super().__init__(configured, around, Http(configured, around, headers=headers))
        self._unit = configured.text("business-unit")
        self._sends_validity = configured.flag("sends-validity")

    async def ask(self, request: SignRequest) -> Outcome:
        """Issue for the person's seat, which is made where a business unit is configured."""
        seat = seat_of(request.names)
        if self._unit:
            await self._ensure_seat(seat, request.names)
        asked: dict[str, Any] = {
            "profile": {"id": request.profile},
            "seat": {"seat_id": seat},
            "csr": pem_request(request),
            "delivery_format": "x509",
            "include_ca_chain": False,
            "attributes": _attributes(request.names),
        }
        if self._sends_validity and request.not_after is not None:
            asked["validity"] = validity(request.not_after, self.clock.now())
        reply = await self.http.call(
            "POST", f"{API}/certificate", json=asked, ok=(201, *REFUSALS), what="issue"
        )
        told = reply.object()
        if reply.status != 201:
            return self.refused(request, error_words(told))
        return self.issued(request, told.get("certificate"))

    async def look_for(self, request: SignRequest) -> Outcome | None:
        """Look among the certificates of the person's seat; of a request for nobody, among all of its profile."""
        query = {"profile_id": request.profile, "limit": str(PAGE)}
        if request.names.subject:
            query["seat_id"] = seat_of(request.names)
        for page in range(MAX_PAGES):
            reply = await self.http.call(
                "GET",
                f"{API}/certificate-search",
                query={**query, "offset": str(page * PAGE)},
                what="search",
            )
            items = [each for each in reply.object().get("items") or () if isinstance(each, dict)]
            for each in items:
                found = await self._if_of(request, each)
                if found is not None:
                    return found
            if len(items) < PAGE:
                return Pending(request.reference) if request.reference else None
        raise reply.wrong(reason="it has too many certificates to search")

    async def revoke(self, certificate: bytes, reason: Reason) -> None:
        """Revoke one certificate (DER); doing it again changes nothing."""
        await self._change(self.own(certificate), "PUT", "revoked", REASONS[reason])

    async def hold(self, certificate: bytes) -> None:
        """Put one certificate (DER) on hold; one that is revoked stays revoked."""
        parsed = self.own(certificate)
        if await self._status(parsed) == "issued":
            await self._change(parsed, "PUT", "suspended", REASONS[Reason.CERTIFICATE_HOLD])

    async def release(self, certificate: bytes) -> None:
        """Make a held certificate valid again; one that is not on hold stays as it is."""
        parsed = self.own(certificate)
        status = await self._status(parsed)
        if status == "revoked":
            raise self.refusal(reason="revoked for good")
        if status == "suspended":
            await self._change(parsed, "DELETE", "issued")

    async def offered_profiles(self) -> Sequence[str]:
        """Return the ids of the profiles that issue for requests over this interface."""
        reply = await self.http.call("GET", f"{API}/profile", what="profiles")
        return sorted(
            str(each["id"])
            for each in _dicts(reply.parsed())
            if each.get("status", "Active") == "Active" and each.get("enrollment_method") == "rest_api"
        )

    async def greet(self) -> None:
        """Look at the profiles that our credential may use."""
        await self.http.call("GET", f"{API}/profile", what="profiles")

    async def _if_of(self, request: SignRequest, listed: Mapping[str, Any]) -> Outcome | None:
        """Return what was issued for a request, where a line of a search is for its key."""
        content = listed.get("certificate")
        if not content:
            serial = quote(str(listed.get("serial_number")), safe="")
            reply = await self.http.call("GET", f"{API}/certificate/{serial}", what="certificate")
            content = reply.object().get("certificate")
        try:
            certificate = certificate_in(content)
        except ValueError:
            return None
        if public_key_of(certificate) != request.public_key:
            return None
        return REVOKED if listed.get("status") == "revoked" else Issued(certificate, self.chain)

    async def _ensure_seat(self, seat: str, names: Names) -> None:
        where = {"business_unit_id": self._unit, "seat_type_id": USER_SEAT}
        reply = await self.http.call(
            "GET", f"{API}/seat/{quote(seat, safe='')}", query=where, ok=(200, 404), what="seat"
        )
        if reply.status == 200:
            return
        asked = {
            "seat_id": seat,
            "seat_name": _common_name(names) or seat,
            "seat_type": {"id": USER_SEAT},
            "business_unit_id": self._unit,
        }
        if names.mail:
            asked["email"] = names.mail
        made = await self.http.call("POST", f"{API}/seat", json=asked, ok=(201, *REFUSALS), what="seat")
        if made.status not in {201, 409}:
            raise self.refusal(reason=f"HTTP {made.status}: it makes no seat for this person")

    async def _change(
        self, certificate: x509.Certificate, method: str, becomes: str, reason: str = ""
    ) -> None:
        """Revoke, suspend or resume; what is so already is no error."""
        reply = await self.http.call(
            method,
            f"{API}/certificate/{serial_of(certificate)}/revoke",
            query={"thumbprint_sha256": certificate.fingerprint(hashes.SHA256()).hex().upper()},
            json={"revocation_reason": reason} if reason else None,
            ok=(204, *REFUSALS),
            what="revoke",
            repeatable=True,
        )
        if reply.status == 404:
            raise self.refusal(reason="it does not know this certificate")
        if reply.status != 204 and await self._status(certificate) != becomes:
            raise self.refusal(reason=f"HTTP {reply.status}: it does not change this certificate")

    async def _status(self, certificate: x509.Certificate) -> str:
        """Return issued, suspended, revoked or expired."""
        reply = await self.http.call(
            "GET", f"{API}/certificate/{serial_of(certificate)}", ok=(200, 404), what="status"
        )
        if reply.status == 404:
            raise self.refusal(reason="it does not know this certificate")
        return str(reply.object().get("status") or "").lower()


def serial_of(certificate: x509.Certificate) -> str:
    """Return a serial number as DigiCert writes it."""
    return f"{certificate.serial_number:X}"


def seat_of(names: Names) -> str:
    """Return the person's seat: the log-on name, else the mail address, else the common name."""
    return names.upn or names.mail or _common_name(names)


def validity(not_after: datetime, now: datetime) -> dict[str, Any]:
    """Return how long a certificate is to live, never longer than asked."""
    minutes = max(1, int((not_after - now).total_seconds()) // 60)
    days = minutes // (24 * 60)
    return {"unit": "days", "duration": days} if days else {"unit": "minutes", "duration": minutes}


def error_words(told: Mapping[str, Any]) -> str:
    """Return code and message of the three shapes that errors have."""
    listed = told.get("errors")
    first = listed[0] if isinstance(listed, list) and listed else told.get("error") or told
    found = first if isinstance(first, dict) else {}
    return f"{found.get('code') or ''} {found.get('message') or ''}".strip()


def _attributes(names: Names) -> dict[str, Any]:
    subject: dict[str, Any] = {}
    for each in x509.Name.from_rfc4514_string(names.subject):
        if each.oid in SUBJECT:
            subject[SUBJECT[each.oid]] = str(each.value)
        elif each.oid in SUBJECT_LISTS:
            subject.setdefault(SUBJECT_LISTS[each.oid], []).append(str(each.value))
    san = {
        "user_principal_names": [names.upn],
        "emails": [names.mail],
        "uris": [names.card],
    }
    given = {name: values for name, values in san.items() if values[0]}
    return {"subject": subject, **({"extensions": {"san": given}} if given else {})}


def _common_name(names: Names) -> str:
    found = x509.Name.from_rfc4514_string(names.subject).get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(found[-1].value) if found else ""


def _dicts(told: object) -> Iterator[Mapping[str, Any]]:
    """Yield the objects of a list, whether it stands alone or among `items`."""
    listed = told.get("items") if isinstance(told, dict) else told
    found = listed if isinstance(listed, list) else []
    yield from (each for each in found if isinstance(each, dict) and "id" in each)


KIND: Final = Kind(
    name="digicert-one",
    port=Port.CA,
    title="DigiCert ONE (Trust Lifecycle Manager)",
    fields=(
        *CLIENT_HTTP_FIELDS,
        *COMMON_FIELDS,
        Field(
            name="api-key",
            kind=FieldKind.SECRET,
            title="API key",
            help="The token of a service user; or our TLS certificate, at the address for those.",
        ),
        Field(
            name="business-unit",
            kind=FieldKind.TEXT,
            title="Business unit",
            help="Its id, where seats are to be made for persons that have none.",
        ),
        Field(
            name="sends-validity",
            kind=FieldKind.FLAG,
            title="Ask for an end",
            default=True,
            help="Where profiles let the interface say how long a certificate lives.",
        ),
    ),
    abilities=frozenset(
        {
            Ability.ISSUE,
            Ability.FIND,
            Ability.REVOKE,
            Ability.REASONS,
            Ability.HOLD,
            Ability.RELEASE,
            Ability.PROFILES,
            Ability.SUBJECT_OVERRIDE,
        }
    ),
    build=DigicertAuthority,
    page="digicert-one.md",
)
