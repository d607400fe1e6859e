"""Two certificates of one station: which of them counts, and until when."""

from datetime import datetime, timedelta
from typing import Final

from server.ports.store import AuditKind, AuditRecord, StationRecord, StationStore

OVERLAP: Final = timedelta(minutes=10)
"""How long a certificate counts after the next one was shown."""


async def take(stations: StationStore, shown: StationRecord, now: datetime) -> None:
    """Note that a station shows its renewed certificate, which is its current one from now on."""
    audit = evidence("station-certificate-taken", shown, shown.fingerprint, shown.not_after)
    await stations.take_next(shown.fingerprint, now + OVERLAP, audit)


def evidence(event: str, station: StationRecord, fingerprint: bytes, not_after: datetime) -> AuditRecord:
    """Return the record of what became of a station's certificate."""
    subject = str(station.station_id)
    return AuditRecord(
        kind=AuditKind.STATION,
        event=event,
        actor=subject,
        subject=subject,
        facts={"fingerprint": fingerprint.hex(), "until": not_after.isoformat()},
    )
