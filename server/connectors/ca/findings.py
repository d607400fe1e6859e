"""What works of a certificate authority that is somewhere else; nothing is issued to find it out."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from server.connectors.examining import examine
from server.ports.ca import CanListProfiles, CanRevoke
from server.ports.connection import Aspect, Finding, Verdict
from shared import errors

if TYPE_CHECKING:
    from server.connectors.ca.outside import OutsideAuthority

ORDER: Final = list(Aspect)


async def findings_of(authority: "OutsideAuthority") -> Sequence[Finding]:
    """Return what works, in the order of `Aspect`; whatever fails is a finding."""

    async def ask() -> str:
        await authority.greet()
        return ""

    found = list(await examine(authority.http, authority.clock, ask))
    if any(each.verdict in {Verdict.FAILS, Verdict.SKIPPED} for each in found if _is_before(each)):
        skipped = (Aspect.PROFILES, Aspect.ENROL, Aspect.REVOKE)
        found += [Finding(aspect=each, verdict=Verdict.SKIPPED) for each in skipped]
    else:
        detail = "it shows with the first certificate"
        enrol = Finding(aspect=Aspect.ENROL, verdict=Verdict.UNKNOWN, detail=detail)
        found += [await _profiles(authority), enrol, _revoke(authority)]
        if all(each.aspect is not Aspect.EXPIRY for each in found):
            found += await _expiry(authority)
    return sorted(found, key=lambda each: ORDER.index(each.aspect))


def _is_before(finding: Finding) -> bool:
    """Whether the rest needs this to work; a clock that is off is no reason not to look further."""
    return ORDER.index(finding.aspect) <= ORDER.index(Aspect.CREDENTIALS)


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


async def _expiry(authority: "OutsideAuthority") -> Sequence[Finding]:
    """Say until when a credential that is no TLS certificate is good; nothing where that cannot be told."""
    try:
        ends = await authority.credential_ends()
    except errors.ConnectorError as problem:
        detail = str(problem.facts["reason"])
        return [Finding(aspect=Aspect.EXPIRY, verdict=Verdict.UNKNOWN, detail=detail)]
    if ends is None:
        return ()
    verdict = Verdict.WORKS if ends > authority.clock.now() else Verdict.FAILS
    return [Finding(aspect=Aspect.EXPIRY, verdict=verdict, detail=f"until {ends:%Y-%m-%d}")]
