"""The passcode of the first start, and the one session that it opens."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from server.ports.audit import AuditRecord
from shared.credential.model import StationId


@dataclass(frozen=True, slots=True, kw_only=True)
class FirstStartRecord:
    """The one session that a passcode opened; its token's SHA-256, and the station and TLS identity that it is bound to."""

    token_digest: bytes = field(repr=False)
    station_id: StationId
    fingerprint: bytes
    expires_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class PasscodeRecord:
    """What the passcode of the first start is judged by: scrypt with these parameters ([RFC 7914]).

    One that opens a first start anew, because every card is lost, ends at `expires_at`. `failures` counts wrong ones since
    the last right one.
    """

    salt: bytes = field(repr=False)
    digest: bytes = field(repr=False)
    cost: int
    block_size: int
    parallelism: int
    made_at: datetime
    expires_at: datetime | None = None
    failures: int = 0
    locked_until: datetime | None = None
    session: FirstStartRecord | None = None


class PasscodeStore(Protocol):
    """The passcode with which the first start is made. It goes, with its session, when the first operator's card is active."""

    async def set(self, passcode: PasscodeRecord, audit: AuditRecord) -> None:
        """Keep this passcode in the place of an earlier one, whose session ends.

        Raises:
            StoreConflict: there are operators, and it does not expire: it would be a way in for ever.
        """
        ...

    async def get(self) -> PasscodeRecord | None:
        """Return it; None where there is none, or not any more."""
        ...

    async def note_failure(self, locked_until: datetime | None, audit: AuditRecord) -> int:
        """Count a wrong one, and return how many there were in a row; 0 where there is no passcode any more."""
        ...

    async def begin(self, session: FirstStartRecord, seen: PasscodeRecord, audit: AuditRecord) -> None:
        """Open a session in the place of the one before; failures are forgotten.

        Raises:
            StoreConflict: the passcode is not the one that was `seen` any more.
        """
        ...

    async def end(self, token_digest: bytes, audit: AuditRecord) -> bool:
        """End the session with this token; returns whether there was one. Where there was none, nothing is written."""
        ...
