"""What works of a certificate authority that is somewhere else; nothing is issued to find it out."""

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Final

from server.ports.ca import CanListProfiles, CanRevoke
from server.ports.connection import Aspect, Finding, Verdict
from shared import errors

if TYPE_CHECKING:
    from server.connectors.ca.outside import OutsideAuthority

CLOCK_S: Final = 60.0
"""How far clocks may be apart: one-time tokens and certificates that begin now depend on it."""


async def findings_of(authority: "OutsideAuthority") -> Sequence[Finding]:
    """Return what works, in the order of `Aspect`; whatever fails is a finding."""
    try:
        await authority.greet()
    except errors.ConnectorError as problem:
        where = Aspect.CREDENTIALS if isinstance(problem, errors.ConnectorRefused) else Aspect.CONNECTION
        after = [each for each in Aspect if _order(each) > _order(where)]
        return (
            Finding(aspect=where, verdict=Verdict.FAILS, detail=str(problem.facts["reason"])),
            *(Finding(aspect=each, verdict=Verdict.SKIPPED) for each in after if each is not Aspect.SEARCH),
        )
    return (
        Finding(aspect=Aspect.CREDENTIALS, verdict=Verdict.WORKS),
        _clock(authority.http.clock_ahead_s),
        await _profiles(authority),
        Finding(aspect=Aspect.ENROL, verdict=Verdict.UNKNOWN, detail="it shows with the first certificate"),
        _revoke(authority),
        await _expiry(authority),
    )


def _order(aspect: Aspect) -> int:
    return list(Aspect).index(aspect)


def _clock(ahead_s: float | None) -> Finding:
    if ahead_s is None:
        return Finding(aspect=Aspect.CLOCK, verdict=Verdict.UNKNOWN, detail="it does not tell its time")
    detail = f"{abs(ahead_s):.0f} s {'before' if ahead_s > 0 else 'behind'} ours"
    verdict = Verdict.WORKS if abs(ahead_s) <= CLOCK_S else Verdict.FAILS
    return Finding(aspect=Aspect.CLOCK, verdict=verdict, detail=detail)


async def _profiles(authority: "OutsideAuthority") -> Finding:
    aspect = Aspect.PROFILES
    if not isinstance(authority, CanListProfiles):
        return Finding(aspect=aspect, verdict=Verdict.UNKNOWN, detail="it does not list them")
    try:
        offered = await authority.offered_profiles()
    except errors.ConnectorError as problem:
        return Finding(aspect=aspect, verdict=Verdict.FAILS, detail=str(problem.facts["reason"]))
    missing = sorted(set(authority.profiles) - set(offered))
    if missing:
        detail = f"not there: {', '.join(missing)}; there are: {', '.join(offered) or 'none'}"
        return Finding(aspect=aspect, verdict=Verdict.FAILS, detail=detail)
    hidden = len(set(offered) - set(authority.profiles))
    return Finding(aspect=aspect, verdict=Verdict.WORKS, detail=f"{len(authority.profiles)}, {hidden} hidden")


def _revoke(authority: "OutsideAuthority") -> Finding:
    if isinstance(authority, CanRevoke):
        detail = "it shows with the first revocation"
        return Finding(aspect=Aspect.REVOKE, verdict=Verdict.UNKNOWN, detail=detail)
    return Finding(aspect=Aspect.REVOKE, verdict=Verdict.NOT_THERE, detail="another connection may do it")


async def _expiry(authority: "OutsideAuthority") -> Finding:
    aspect = Aspect.EXPIRY
    try:
        ends: datetime | None = await authority.credential_ends()
    except errors.ConnectorError as problem:
        return Finding(aspect=aspect, verdict=Verdict.UNKNOWN, detail=str(problem.facts["reason"]))
    if ends is None:
        return Finding(aspect=aspect, verdict=Verdict.NOT_THERE, detail="it does not say that it ends")
    good = ends > authority.clock.now()
    verdict = Verdict.WORKS if good else Verdict.FAILS
    return Finding(aspect=aspect, verdict=verdict, detail=f"{ends:%Y-%m-%d}")
