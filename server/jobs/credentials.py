"""The job `credentials`: the credentials by which outside systems know us are watched, and said before they end.

A registration authority whose certificate has ended stops every desk at once. Each threshold leaves evidence once for each
connection and end; `kiosk-server doctor` tells it from thirty days before.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta
from typing import Any, Final

from server.jobs.once import Once
from server.jobs.runner import ACTOR, Job
from server.operations.services import Services
from server.ports.connection import HoldsCredential
from server.ports.store import AuditKind, AuditRecord, Store
from shared import errors

EVERY: Final = timedelta(hours=12)
ENDS: Final = "credential-ends"
THRESHOLDS: Final = (0, 7, 30, 60)
"""Days before the end, the nearest first."""


def credentials(store: Store) -> Job:
    """Return the job."""
    evidence = Once(store.audit)

    async def run(services: Services, now: datetime) -> str:
        ending = silent = 0
        for name, connector in _connectors(services):
            if not isinstance(connector, HoldsCredential):
                continue
            try:
                until = await connector.credential_ends()
            except errors.ConnectorError:
                silent += 1
                continue
            threshold = None if until is None else _passed(until, now)
            if until is None or threshold is None:
                continue
            ending += 1
            await evidence.note(_noticed(name, until, threshold), of="notice")
        note = f"{ending} end soon"
        return f"{note}, nothing known of {silent}" if silent else note

    return Job(name="credentials", every=EVERY, run=run)


def _connectors(services: Services) -> Iterator[tuple[str, Any]]:
    yield from services.authorities.items()
    yield from services.directories.items()


def _passed(until: datetime, now: datetime) -> int | None:
    """Return the nearest threshold that is passed; None where there is time enough."""
    return next((days for days in THRESHOLDS if until - now <= timedelta(days=days)), None)


def _noticed(name: str, until: datetime, threshold: int) -> AuditRecord:
    return AuditRecord(
        kind=AuditKind.SERVER,
        event=ENDS if threshold else "credential-ended",
        actor=ACTOR,
        subject=name,
        facts={
            "until": f"{until:%Y-%m-%d}",
            "days": threshold,
            "notice": f"{until:%Y-%m-%d} within {threshold} days",
        },
    )
