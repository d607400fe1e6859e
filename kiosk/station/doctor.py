"""The station's check of itself: settings, identity, clock, server, readers.

Every check says what it found; one that fails says what to do. Nothing is changed, no card is touched.
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum, unique
from typing import Final

from kiosk.ports import Backend, Readers
from kiosk.station import wording
from shared.clock import Clock
from shared.errors import KioskError
from shared.station_profile import EVERYTHING, said

EXPIRES_SOON: Final = timedelta(days=30)
CLOCK_TOLERANCE: Final = timedelta(seconds=60)


@unique
class Verdict(StrEnum):
    """How a check ended."""

    GOOD = "ok"
    WARNING = "warning"
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One line of the table. `exit_code` is 0 unless the check failed."""

    name: str
    verdict: Verdict
    text: str
    exit_code: int = 0


def failed(name: str, error: KioskError) -> Check:
    """Return the line of a check that failed."""
    return Check(name=name, verdict=Verdict.FAILED, text=wording.failure(error), exit_code=error.exit_code)


def passed(name: str, text: str) -> Check:
    """Return the line of a check that passed."""
    return Check(name=name, verdict=Verdict.GOOD, text=text)


def check_certificate(name: str, *, not_after: datetime, renewed_from: datetime, clock: Clock) -> Check:
    """Say how long the station's certificate is good for, and when it is renewed. An expired one is refused where it is loaded.

    One that is due is renewed by the next process that runs the station, unless the server does not do it.
    """
    left = not_after - clock.now()
    verdict = Verdict.WARNING if left < EXPIRES_SOON else Verdict.GOOD
    then = f"renewed by itself from {renewed_from:%Y-%m-%d}"
    if verdict is Verdict.WARNING:
        then = "it should have been renewed by itself; where the server cannot be reached, join again before that"
    elif clock.now() >= renewed_from:
        then = "being renewed by itself"
    return Check(
        name="certificate",
        verdict=verdict,
        text=f"{name}, good until {not_after:%Y-%m-%d} ({max(left.days, 0)} days); {then}",
    )


async def check_server(backend: Backend, clock: Clock) -> Sequence[Check]:
    """Ask the server who we are, and compare its clock with ours where it tells the time."""
    try:
        view = await backend.who_am_i()
    except KioskError as error:
        return (failed("server", error),)
    lab = ", lab station" if view.lab else ""
    known = [passed("server", f"{view.server} {view.version} knows this station as {view.station}{lab}")]
    if view.profile != EVERYTHING:
        known.append(passed("profile", said(view.profile)))
    if view.time is not None:
        known.append(check_clock(theirs=view.time, ours=clock.now()))
    return known


async def check_templates(backend: Backend) -> Check:
    """Ask the server what may be issued here."""

    async def ask() -> str:
        names = [template.name for template in await backend.templates()]
        return ", ".join(names) if names else "no template may be issued here yet"

    return await _checked("templates", ask)


async def check_readers(readers: Readers) -> Check:
    """List the readers."""

    async def ask() -> str:
        names = [info.name + (" (virtual)" if info.virtual else "") for info in await readers.all()]
        return ", ".join(names)

    check = await _checked("readers", ask)
    if check.verdict is Verdict.GOOD and not check.text:
        return Check(name="readers", verdict=Verdict.WARNING, text="no reader is attached")
    return check


def check_clock(*, theirs: datetime, ours: datetime) -> Check:
    """Compare this machine's clock with the server's."""
    difference = abs(ours - theirs)
    seconds = difference.total_seconds()
    if difference > CLOCK_TOLERANCE:
        text = f"{seconds:.0f} s apart from the server; set the clock of this machine"
        return Check(name="clock", verdict=Verdict.WARNING, text=text)
    return passed("clock", f"within {max(seconds, 1):.0f} s of the server")


async def _checked(name: str, ask: Callable[[], Awaitable[str]]) -> Check:
    try:
        return passed(name, await ask())
    except KioskError as error:
        return failed(name, error)


def exit_code(checks: Sequence[Check]) -> int:
    """Return the exit code of the first check that failed, or 0."""
    return next((check.exit_code for check in checks if check.verdict is Verdict.FAILED), 0)
