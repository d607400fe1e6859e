"""The steps that testing a connection over HTTP has in common: name, way, TLS, our credential, the clock.

Each step needs the ones before it; after one that fails, the rest is skipped. What is wrong with a certificate is said of that
certificate: it is fetched again without trusting it, over a line on which nothing is sent.
"""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Final

from cryptography import x509
from yarl import URL

from server.connectors.http import Http
from server.connectors.tls import why_not
from server.ports.connection import Aspect, Finding, Verdict
from shared import errors
from shared.clock import Clock

STEP_TIMEOUT_S: Final = 10.0
CLOCK_TOLERANCE_S: Final = 60
"""Tokens and certificates are refused by whose clock is further off."""
SOON: Final = timedelta(days=30)

Ask = Callable[[], Awaitable[str]]
"""A harmless question that takes our credential; its answer says, for people, as whom we are known, or nothing."""


async def examine(http: Http, clock: Clock, ask: Ask) -> Sequence[Finding]:
    """Return what works of the way to `http`; raises nothing."""
    goal = URL(http.proxy or http.base)
    host, port = goal.host or "", goal.port or 443
    steps: list[tuple[Aspect, Callable[[], Awaitable[str]]]] = [
        (Aspect.RESOLUTION, lambda: _resolve(host)),
        (Aspect.CONNECTION, lambda: _connect(host, port)),
    ]
    if goal.scheme == "https" and not http.proxy:
        steps.append((Aspect.TLS, lambda: _encrypt(host, port, http.context, clock)))
    steps.append((Aspect.CREDENTIALS, ask))
    findings: list[Finding] = []
    failed = False
    for aspect, step in steps:
        finding = Finding(aspect=aspect, verdict=Verdict.SKIPPED) if failed else await _take(aspect, step)
        failed = failed or finding.verdict is Verdict.FAILS
        findings.append(finding)
    return [*findings, _clocks(http), *await _expiry(http, clock)]


async def _take(aspect: Aspect, step: Callable[[], Awaitable[str]]) -> Finding:
    """Take one step; whatever it raises is a finding."""
    try:
        async with asyncio.timeout(STEP_TIMEOUT_S):
            return Finding(aspect=aspect, verdict=Verdict.WORKS, detail=await step())
    except TimeoutError:
        detail = "no answer in time"
    except errors.KioskError as error:
        detail = str(error.facts.get("reason") or error.facts.get("why") or error.code)
    except OSError as error:
        detail = why_not(error)
    return Finding(aspect=aspect, verdict=Verdict.FAILS, detail=detail)


async def _resolve(host: str) -> str:
    found = await asyncio.get_running_loop().getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return f"{host} is {', '.join(dict.fromkeys(str(each[4][0]) for each in found))}"


async def _connect(host: str, port: int) -> str:
    _, writer = await asyncio.open_connection(host, port)
    await _close(writer)
    return f"port {port} answers"


async def _encrypt(host: str, port: int, context: ssl.SSLContext, clock: Clock) -> str:
    """Make a handshake and say with whom.

    Raises:
        ConnectorRefused: it is not trusted; the reason names the certificate that came.
    """
    try:
        certificate, version = await _handshake(host, port, context)
    except ssl.SSLCertVerificationError as cause:
        shown = await _shown(host, port, clock)
        raise errors.ConnectorRefused(connection=host, reason=f"{cause.verify_message}: {shown}") from cause
    except ssl.SSLError as cause:
        reason = f"no agreement on TLS 1.2 or later ({(cause.reason or 'unknown').replace('_', ' ').lower()})"
        raise errors.ConnectorRefused(connection=host, reason=reason) from cause
    return f"{version}, {_described(certificate, clock)}"


async def _handshake(host: str, port: int, context: ssl.SSLContext) -> tuple[bytes, str]:
    _, writer = await asyncio.open_connection(host, port, ssl=context, server_hostname=host)
    try:
        line = writer.get_extra_info("ssl_object")
        return line.getpeercert(binary_form=True), str(line.version())
    finally:
        await _close(writer)


async def _shown(host: str, port: int, clock: Clock) -> str:
    """Describe the certificate of whoever is there; nothing but a handshake is sent to somebody who is not trusted."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        certificate, _ = await _handshake(host, port, context)
    except OSError:
        return "it showed none"
    return _described(certificate, clock)


def _described(certificate: bytes, clock: Clock) -> str:
    try:
        found = x509.load_der_x509_certificate(certificate)
        subject, issuer = found.subject.rfc4514_string(), found.issuer.rfc4514_string()
    except ValueError:
        return "a certificate that cannot be read"
    until = found.not_valid_after_utc
    ended = "ended" if until < clock.now() else "until"
    return f"certificate of {subject or 'nobody'} by {issuer or 'nobody'}, {ended} {until:%Y-%m-%d}"


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(OSError):  # it closed first
        await writer.wait_closed()


def _clocks(http: Http) -> Finding:
    """Compare clocks, by what its answer said."""
    ahead = http.clock_ahead_s
    if ahead is None:
        return Finding(aspect=Aspect.CLOCK, verdict=Verdict.UNKNOWN, detail="no answer of it said a time")
    seconds = abs(round(ahead))
    where = "ahead of" if ahead > 0 else "behind"
    if seconds > CLOCK_TOLERANCE_S:
        detail = f"its clock is {seconds} seconds {where} ours; set the one that is wrong"
        return Finding(aspect=Aspect.CLOCK, verdict=Verdict.FAILS, detail=detail)
    return Finding(
        aspect=Aspect.CLOCK, verdict=Verdict.WORKS, detail=f"within {max(seconds, 1)} seconds of ours"
    )


async def _expiry(http: Http, clock: Clock) -> Sequence[Finding]:
    """Say until when our certificate is good; nothing where there is none."""
    until = await http.credential_ends()
    if until is None:
        return ()
    left = until - clock.now()
    detail = f"{'ended' if left <= timedelta() else 'until'} {until:%Y-%m-%d}"
    return [
        Finding(aspect=Aspect.EXPIRY, verdict=Verdict.WORKS if left > SOON else Verdict.FAILS, detail=detail)
    ]
