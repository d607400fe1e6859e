"""django-ca over its REST interface.

It signs in the background: an order is asked about for a moment, and then waits like any other request. What a profile says of
usages is left out by django-ca where a request brings names of its own, so it is read there and sent along. It carries neither
the security identifier nor the card's URN, and takes nothing off hold.

Source: django-ca's REST interface, 3.2 (`/ca/SERIAL/sign/`, `orders`, `certs`; `/profiles/`), run as a server of its own.
"""

import asyncio
import base64
from collections.abc import Mapping, Sequence
from dataclasses import replace
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
from server.ports.ca import Abilities, Issued, Names, Outcome, Pending, Reason, Refused, SignRequest
from server.ports.connection import Ability, Configured, Field, FieldKind, Kind, Port, Surroundings
from shared.credential.names import UPN
from shared.secret import Secret

CARRIED: Final = frozenset({"upn", "mail"})
USAGES: Final = ("key_usage", "extended_key_usage")
LOOKS: Final = 10
PAUSE_S: Final = 0.2
"""How often an order is asked about before it counts as waiting, and how long in between."""
MAX_LISTING: Final = 64 << 20
"""Bytes of a list of certificates: it has no pages."""
REFUSALS: Final = (400, 404, 422)


class DjangoCaAuthority(OutsideAuthority):
    """It is a `CertificateAuthority`, `CanRevoke` and `CanListProfiles`."""

    def __init__(self, configured: Configured, around: Surroundings) -> None:
        """Take the configuration; nothing is asked yet.

        Raises:
            Invalid: a field cannot be used.
        """
        password = configured.secret("password")
        assert password is not None
        known = base64.b64encode(configured.text("user").encode() + b":" + password.reveal())
        basic = Secret(b"Basic " + known)
        super().__init__(configured, around, Http(configured, around, headers={"Authorization": basic}))
        self._path = f"ca/{self.issuers[0].serial_number:X}"

    @property
    def abilities(self) -> Abilities:
        """What this certificate authority can do."""
        able = super().abilities
        return replace(able, names=tuple(each for each in able.names if each in CARRIED))

    async def ask(self, request: SignRequest) -> Outcome:
        """Order a certificate, and ask about it for a moment."""
        usages = await self._usages(request.profile)
        if usages is None:
            return Refused(f"it has no profile {request.profile}")
        asked: dict[str, Any] = {
            "csr": pem_request(request),
            "subject": _subject(request.names),
            "profile": request.profile,
            "extensions": [*usages, *_names(request.names)],
        }
        if request.not_after is not None:
            asked["not_after"] = request.not_after.isoformat()
        reply = await self.http.call(
            "POST", f"{self._path}/sign/", json=asked, ok=(200, *REFUSALS), what="issue"
        )
        told = reply.object()
        if reply.status != 200:
            return self.refused(request, _words(told))
        waiting = replace(request, reference=str(told.get("slug")))
        for _ in range(LOOKS):
            outcome = await self._ordered(waiting)
            if not isinstance(outcome, Pending):
                return outcome
            await asyncio.sleep(PAUSE_S)
        return outcome

    async def look_for(self, request: SignRequest) -> Outcome | None:
        """Ask about the order; without one, look through all certificates of the profile."""
        if request.reference:
            return await self._ordered(request)
        reply = await self.http.call(
            "GET",
            f"{self._path}/certs/",
            query={"profile": request.profile, "revoked": "true"},
            what="search",
            limit=MAX_LISTING,
        )
        listed = reply.parsed()
        for each in listed if isinstance(listed, list) else []:
            found = self._if_of(request, each)
            if found is not None:
                return found
        return None

    async def revoke(self, certificate: bytes, reason: Reason) -> None:
        """Revoke one certificate (DER); doing it again changes nothing."""
        path = f"{self._path}/certs/{self.own(certificate).serial_number:X}/"
        reply = await self.http.call(
            "POST", f"{path}revoke/", json={"reason": reason.value}, ok=(200, 400, 404), what="revoke"
        )
        if reply.status == 404:
            raise self.refusal(reason="it does not know this certificate, or it has expired")
        if reply.status == 400 and not (await self.http.call("GET", path, what="status")).object()["revoked"]:
            raise self.refusal(reason="HTTP 400: it does not revoke this certificate")

    async def offered_profiles(self) -> Sequence[str]:
        """Return the names of all profiles."""
        listed = (await self.http.call("GET", "profiles/", what="profiles")).parsed()
        found = listed if isinstance(listed, list) else []
        return sorted(str(each["name"]) for each in found if isinstance(each, dict) and "name" in each)

    async def greet(self) -> None:
        """Look our certificate authority up."""
        await self.http.call("GET", f"{self._path}/", what="certificate authority")

    async def _usages(self, profile: str) -> Sequence[Any] | None:
        """Return what a profile says of usages; None where there is no such profile."""
        reply = await self.http.call(
            "GET", f"profiles/{quote(profile, safe='')}/", ok=(200, 404), what="profile"
        )
        if reply.status == 404:
            return None
        extensions = reply.object().get("extensions") or {}
        return [extensions[each] for each in USAGES if extensions.get(each)]

    async def _ordered(self, request: SignRequest) -> Outcome:
        slug = quote(request.reference, safe="")
        reply = await self.http.call("GET", f"{self._path}/orders/{slug}/", what="order")
        told = reply.object()
        match told.get("status"):
            case "issued":
                serial = quote(str(told.get("serial")), safe="")
                found = await self.http.call("GET", f"{self._path}/certs/{serial}/", what="certificate")
                listed = found.object()
                return self._if_of(request, listed) or self.issued(request, _pem(listed))
            case "failed":
                return Refused("it could not sign: its log says why")
            case _:
                return Pending(request.reference)

    def _if_of(self, request: SignRequest, listed: Any) -> Outcome | None:
        """Return what was issued for a request, where a certificate that is listed is for its key."""
        try:
            certificate = certificate_in(_pem(listed))
        except ValueError:
            return None
        if public_key_of(certificate) != request.public_key:
            return None
        return REVOKED if listed.get("revoked") else Issued(certificate, self.chain)


def _pem(listed: Any) -> object:
    certificate = listed.get("certificate") if isinstance(listed, dict) else None
    return certificate.get("pem") if isinstance(certificate, dict) else certificate


def _subject(names: Names) -> list[dict[str, str]]:
    subject = x509.Name.from_rfc4514_string(names.subject)
    return [{"oid": each.oid.dotted_string, "value": str(each.value)} for each in subject]


def _names(names: Names) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    if names.upn:
        upn = {"oid": UPN.dotted_string, "type": "UTF8String", "value": names.upn}
        found.append({"type": "otherName", "value": upn})
    if names.mail:
        found.append({"type": "email", "value": names.mail})
    extension = {"type": "subject_alternative_name", "critical": False, "value": found}
    return [extension] if found else []


def _words(told: Mapping[str, Any]) -> str:
    """Return the first complaint and where it is: not what it quotes."""
    detail = told.get("detail")
    first = detail[0] if isinstance(detail, list) and detail else None
    if not isinstance(first, dict):
        return str(detail or "")
    where = [str(each) for each in first.get("loc") or () if each not in {"body", "data"}]
    return f"{'.'.join(where)}: {first.get('msg')}"


KIND: Final = Kind(
    name="django-ca",
    port=Port.CA,
    title="django-ca",
    fields=(
        *CLIENT_HTTP_FIELDS,
        *COMMON_FIELDS,
        Field(
            name="user",
            kind=FieldKind.TEXT,
            title="User",
            required=True,
            help="With the rights to view, sign and revoke certificates.",
        ),
        Field(name="password", kind=FieldKind.SECRET, title="Password", required=True),
    ),
    abilities=frozenset(
        {
            Ability.ISSUE,
            Ability.PENDING,
            Ability.FIND,
            Ability.REVOKE,
            Ability.REASONS,
            Ability.PROFILES,
            Ability.SUBJECT_OVERRIDE,
        }
    ),
    build=DjangoCaAuthority,
    page="django-ca.md",
)
