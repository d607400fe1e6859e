"""A certificate authority whose interface cannot revoke, and another connection that does it instead.

Both are ways to one authority: the other connection takes only certificates that its own issuers signed.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from server.connectors.ca.outside import OutsideAuthority
from server.ports.ca import Abilities, CanHold, CanRevoke, Outcome, Reason, SignRequest
from server.ports.connection import Aspect, Configured, Field, FieldKind, Finding, Surroundings, Verdict
from shared import errors

REVOKED_BY: Final = "revoked-by"
REVOKED_BY_FIELD: Final = Field(
    name=REVOKED_BY,
    kind=FieldKind.TEXT,
    title="Revoked by",
    help="Another connection to the same certificate authority, which revokes for this one.",
)


def revoked_by(
    build: Callable[[Configured, Surroundings], OutsideAuthority],
) -> Callable[[Configured, Surroundings], Any]:
    """Return how a connection is built that may name another one in the field `revoked-by`."""

    def built(configured: Configured, around: Surroundings) -> Any:
        authority = build(configured, around)
        name = configured.text(REVOKED_BY)
        if not name:
            return authority
        other = around.others(name)
        if not isinstance(other, CanRevoke):
            raise errors.Invalid(field=REVOKED_BY, why=f"{name} cannot revoke")
        return (
            HeldElsewhere(authority, other)
            if isinstance(other, CanHold)
            else RevokedElsewhere(authority, other)
        )

    return built


class RevokedElsewhere:
    """It is a `CertificateAuthority` and `CanRevoke`: everything is asked of the one, revocation of the other."""

    def __init__(self, authority: OutsideAuthority, other: Any) -> None:
        """Take both."""
        self._authority = authority
        self._other = other

    @property
    def abilities(self) -> Abilities:
        """What both can do together."""
        return replace(self._authority.abilities, revoke=True, hold=isinstance(self, CanHold))

    async def issue(self, requests: Sequence[SignRequest]) -> Sequence[Outcome]:
        """Ask for certificates; one outcome per request, in the same order."""
        return await self._authority.issue(requests)

    async def find(self, request: SignRequest) -> Outcome | None:
        """Look for what became of a request after a lost answer; None where nothing is known of it."""
        return await self._authority.find(request)

    async def trust(self) -> Sequence[bytes]:
        """Return the configured issuers, DER, from the issuing one to the root."""
        return await self._authority.trust()

    async def revoke(self, certificate: bytes, reason: Reason) -> None:
        """Have one certificate (DER) revoked; doing it again changes nothing."""
        await self._other.revoke(certificate, reason)

    async def test(self) -> Sequence[Finding]:
        """Return what works of the one; how the other revokes is for its own test."""
        detail = "by another connection, which has its own test"
        elsewhere = Finding(aspect=Aspect.REVOKE, verdict=Verdict.UNKNOWN, detail=detail)
        found = await self._authority.test()
        return [
            elsewhere if each.verdict is Verdict.NOT_THERE and each.aspect is Aspect.REVOKE else each
            for each in found
        ]

    async def credential_ends(self) -> datetime | None:
        """Return until when our credential is good; None where it cannot be told."""
        return await self._authority.credential_ends()

    async def close(self) -> None:
        """Let go of lines that are held open; the other connection has its own."""
        await self._authority.close()


class HeldElsewhere(RevokedElsewhere):
    """It is `CanHold` as well."""

    async def hold(self, certificate: bytes) -> None:
        """Have one certificate (DER) put on hold."""
        await self._other.hold(certificate)

    async def release(self, certificate: bytes) -> None:
        """Have a held certificate made valid again."""
        await self._other.release(certificate)
