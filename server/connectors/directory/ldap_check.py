"""What a test of an LDAP connection looks at, step by step; it asks, and changes nothing."""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

from server.connectors.directory.ldap_settings import LdapSettings
from server.ports.connection import Aspect, Finding, Verdict
from shared import errors
from shared.clock import Clock
from shared.credential.expression import read_date

CURRENT_TIME: Final = "currentTime"
"""What the time is there; only Active Directory tells."""
SKEW_MAX_S: Final = 120
UNTRUSTED: Final = "certificate is not trusted"
LOG_ON: Final = "bind: "

Root = Mapping[str, Sequence[bytes]]


async def look(
    settings: LdapSettings,
    root: Callable[[], Awaitable[Root]],
    people: Callable[[], Awaitable[int]],
    clock: Clock,
) -> Sequence[Finding]:
    """Return findings. `root` connects, logs on and returns what the server says of itself; `people` counts a few."""
    names = await _resolved(settings.hosts)
    if names.verdict is Verdict.FAILS:
        return (
            names,
            *_skipped(Aspect.CONNECTION, Aspect.TLS, Aspect.CREDENTIALS, Aspect.CLOCK, Aspect.SEARCH),
        )
    try:
        told = await root()
    except errors.ConnectorError as problem:
        return (names, *_no_log_on(str(problem.facts["reason"])))
    works = [
        Finding(aspect=aspect, verdict=Verdict.WORKS)
        for aspect in (Aspect.CONNECTION, Aspect.TLS, Aspect.CREDENTIALS)
    ]
    return (names, *works, _clock(told, clock), await _search(people))


async def _resolved(hosts: Sequence[str]) -> Finding:
    loop = asyncio.get_running_loop()
    unknown = []
    for host in hosts:
        try:
            await loop.getaddrinfo(host, None, type=socket.SOCK_STREAM)
        except OSError:
            unknown.append(host)
    detail = f"there is no address of {', '.join(unknown)}" if unknown else ""
    verdict = Verdict.FAILS if len(unknown) == len(hosts) else Verdict.WORKS
    return Finding(aspect=Aspect.RESOLUTION, verdict=verdict, detail=detail)


def _no_log_on(reason: str) -> Sequence[Finding]:
    """Say how far it got: every step before the one that failed works."""
    steps = (Aspect.CONNECTION, Aspect.TLS, Aspect.CREDENTIALS)
    failed = (
        Aspect.TLS
        if UNTRUSTED in reason
        else Aspect.CREDENTIALS
        if reason.startswith(LOG_ON)
        else Aspect.CONNECTION
    )
    at = steps.index(failed)
    return (
        *(Finding(aspect=aspect, verdict=Verdict.WORKS) for aspect in steps[:at]),
        Finding(aspect=failed, verdict=Verdict.FAILS, detail=reason),
        *_skipped(*steps[at + 1 :], Aspect.CLOCK, Aspect.SEARCH),
    )


def _clock(told: Root, clock: Clock) -> Finding:
    values = next((values for name, values in told.items() if name.lower() == CURRENT_TIME.lower()), ())
    if not values:
        return Finding(aspect=Aspect.CLOCK, verdict=Verdict.NOT_THERE, detail="this product tells no time")
    try:
        theirs = read_date(values[0].decode()).replace(tzinfo=clock.now().tzinfo)
    except ValueError:
        return Finding(aspect=Aspect.CLOCK, verdict=Verdict.UNKNOWN, detail="what it tells is no time")
    ahead = (theirs - clock.now()).total_seconds()
    verdict = Verdict.WORKS if abs(ahead) <= SKEW_MAX_S else Verdict.FAILS
    return Finding(aspect=Aspect.CLOCK, verdict=verdict, detail=f"{abs(ahead):.0f} seconds apart")


async def _search(people: Callable[[], Awaitable[int]]) -> Finding:
    try:
        count = await people()
    except errors.ConnectorError as problem:
        return Finding(aspect=Aspect.SEARCH, verdict=Verdict.FAILS, detail=str(problem.facts["reason"]))
    if not count:
        why = "nobody is found: are the bases right, and may the account read people?"
        return Finding(aspect=Aspect.SEARCH, verdict=Verdict.FAILS, detail=why)
    return Finding(aspect=Aspect.SEARCH, verdict=Verdict.WORKS, detail="people are found")


def _skipped(*aspects: Aspect) -> Sequence[Finding]:
    return [Finding(aspect=aspect, verdict=Verdict.SKIPPED) for aspect in aspects]
