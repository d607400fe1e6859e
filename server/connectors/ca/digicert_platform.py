"""DigiCert PKI Platform 8 (formerly Symantec, VeriSign Managed PKI) over its REST interface.

The elder sister of DigiCert ONE: profiles are OIDs, attributes stand without levels, certificates are searched by POST. Its REST
interface takes certificates off hold nowhere, so none is put on hold.

Sources: DigiCert's document of the platform's REST interface; clients in productive use.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from cryptography import x509

from server.connectors.ca.digicert_one import (
    API,
    REASONS,
    REFUSALS,
    SUBJECT,
    SUBJECT_LISTS,
    error_words,
    seat_of,
    serial_of,
    validity,
)
from server.connectors.ca.outside import (
    COMMON_FIELDS,
    REVOKED,
    OutsideAuthority,
    certificate_in,
    pem_request,
    public_key_of,
)
from server.connectors.fields import HTTP_FIELDS
from server.connectors.http import Http
from server.ports.ca import Issued, Names, Outcome, Pending, Reason, SignRequest
from server.ports.connection import Ability, Configured, Field, FieldKind, Kind, Port, Surroundings

PAGE: Final = 50
MAX_PAGES: Final = 20


class PlatformAuthority(OutsideAuthority):
    """It is a `CertificateAuthority`, `CanRevoke` and `CanListProfiles`."""

    def __init__(self, configured: Configured, around: Surroundings) -> None:
        """Take the configuration; nothing is asked yet.

        Raises:
            Invalid: a field cannot be used.
        """
        key = configured.secret("api-key")
        assert key is not None
        super().__init__(configured, around, Http(configured, around, headers={"X-API-Key": key}))

    async def ask(self, request: SignRequest) -> Outcome:
        """Issue for the person's seat, which must be there."""
        asked: dict[str, Any] = {
            "profile": {"id": request.profile},
            "seat": {"seat_id": seat_of(request.names)},
            "csr": pem_request(request),
            "attributes": _attributes(request.names),
        }
        if request.not_after is not None:
            asked["validity"] = validity(request.not_after, self.clock.now())
        reply = await self.http.call(
            "POST", f"{API}/certificate", json=asked, ok=(200, 201, *REFUSALS), what="issue"
        )
        told = reply.object()
        if reply.status in REFUSALS:
            return self.refused(request, error_words(told))
        return self.issued(request, told.get("certificate"))

    async def look_for(self, request: SignRequest) -> Outcome | None:
        """Look among the certificates of the person's seat; of a request for nobody, among all of its profile."""
        asked: dict[str, Any] = {"profile_id": request.profile}
        if request.names.subject:
            asked["seat_id"] = seat_of(request.names)
        for page in range(MAX_PAGES):
            reply = await self.http.call(
                "POST",
                f"{API}/searchcert",
                json={**asked, "start_index": page * PAGE + 1},
                what="search",
                repeatable=True,
            )
            told = reply.object()
            for each in told.get("certificates") or ():
                found = await self._if_of(request, each) if isinstance(each, dict) else None
                if found is not None:
                    return found
            if not told.get("more_certs_available"):
                return Pending(request.reference) if request.reference else None
        raise reply.wrong(reason="it has too many certificates to search")

    async def revoke(self, certificate: bytes, reason: Reason) -> None:
        """Revoke one certificate (DER); doing it again changes nothing."""
        serial = serial_of(self.own(certificate))
        reply = await self.http.call(
            "PUT",
            f"{API}/certificate/{serial}/revoke",
            json={"revocation_reason": REASONS[reason]},
            ok=(200, 204, *REFUSALS),
            what="revoke",
            repeatable=True,
        )
        if reply.status not in REFUSALS:
            return
        status = await self.http.call("GET", f"{API}/certificate/{serial}", ok=(200, 404), what="status")
        if status.status == 404:
            raise self.refusal(reason="it does not know this certificate")
        if str(status.object().get("status")).lower() != "revoked":
            raise self.refusal(reason=f"HTTP {reply.status}: it does not revoke this certificate")

    async def offered_profiles(self) -> Sequence[str]:
        """Return the OIDs of the profiles that our key may use."""
        reply = await self.http.call("GET", f"{API}/profile", what="profiles")
        told = reply.parsed()
        listed = told.get("profiles") if isinstance(told, dict) else told
        return sorted(str(each["id"]) for each in listed or () if isinstance(each, dict) and "id" in each)

    async def greet(self) -> None:
        """Look at the profiles that our key may use."""
        await self.http.call("GET", f"{API}/profile", what="profiles")

    async def _if_of(self, request: SignRequest, listed: Mapping[str, Any]) -> Outcome | None:
        try:
            certificate = certificate_in(listed.get("certificate"))
        except ValueError:
            return None
        if public_key_of(certificate) != request.public_key:
            return None
        gone = str(listed.get("status")).lower() == "revoked"
        return REVOKED if gone else Issued(certificate, self.chain)


def _attributes(names: Names) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for each in x509.Name.from_rfc4514_string(names.subject):
        if each.oid in SUBJECT:
            found[SUBJECT[each.oid]] = str(each.value)
        elif SUBJECT_LISTS.get(each.oid) == "organization_units":
            found.setdefault("organization_unit", []).append(_value("organization_unit", str(each.value)))
    san = {"user_principal_name": names.upn, "rfc822_name": names.mail}
    given = {name: [_value(name, value)] for name, value in san.items() if value}
    return {**found, **({"san": given} if given else {})}


def _value(name: str, value: str) -> dict[str, Any]:
    return {"id": name, "type": name, "mandatory": True, "value": value}


KIND: Final = Kind(
    name="digicert-pki-platform",
    port=Port.CA,
    title="DigiCert PKI Platform 8",
    fields=(
        *HTTP_FIELDS,
        *COMMON_FIELDS,
        Field(
            name="api-key",
            kind=FieldKind.SECRET,
            title="API key",
            required=True,
            help="Of an administrator who may issue and revoke.",
        ),
    ),
    abilities=frozenset(
        {
            Ability.ISSUE,
            Ability.FIND,
            Ability.REVOKE,
            Ability.REASONS,
            Ability.PROFILES,
            Ability.SUBJECT_OVERRIDE,
        }
    ),
    build=PlatformAuthority,
    page="digicert-pki-platform.md",
)
