"""How long certificate authorities, and directories, let what was decided wait.

Source: [FIPS 201-3] 2.9.4 (a certificate is revoked within 18 hours of notification).
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum, unique

from server.ports.write_back import WriteBack
from shared.credential.model import CertificateTask


@unique
class Lateness(StrEnum):
    """How a task stands."""

    WAITING = "waiting"
    LATE = "late"
    """It has waited for so long that somebody should look at it."""
    OVERDUE = "overdue"
    """It should have been done."""
    GIVEN_UP = "given-up"
    """An administrator gave it up: it is not tried any more, and was never done."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Deadlines:
    """When somebody is told of a task that waits: before its time is over, and when it is."""

    warning: timedelta = timedelta(hours=12)
    limit: timedelta = timedelta(hours=18)


def lateness(task: CertificateTask | WriteBack, now: datetime, deadlines: Deadlines) -> Lateness:
    """Return how a task stands now."""
    waited = now - task.asked_at
    if task.given_up:
        return Lateness.GIVEN_UP
    if waited >= deadlines.limit:
        return Lateness.OVERDUE
    return Lateness.LATE if waited >= deadlines.warning else Lateness.WAITING
