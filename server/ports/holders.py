"""Holders who are logged on at a station, and how often a password of theirs was tried.

They are no operators: they have sessions of their own kind, and act on their own credentials alone. Ended sessions are
kept: evidence names them. How often a password was tried is kept for as long as it counts.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from server.ports.audit import AuditRecord
from server.ports.operators import SessionEnd, SessionId
from shared.credential.model import CredentialId, HolderId, StationId
from shared.credential.self_service import HolderProof


@dataclass(frozen=True, slots=True, kw_only=True)
class HolderSessionRecord:
    """What a log-on made: a holder at one station, until it ends.

    `directory` is the connection that knows the holder. `credential_id` is the credential whose card, or whose code, was
    the proof; None for a password. `token_digest` is the SHA-256 of the token, which is not kept; `fingerprint` the station's
    TLS identity that it is bound to.
    """

    session_id: SessionId
    token_digest: bytes = field(repr=False)
    directory: str
    holder: HolderId
    name: str
    proof: HolderProof
    station_id: StationId
    fingerprint: bytes
    began_at: datetime
    last_seen_at: datetime
    expires_at: datetime
    credential_id: CredentialId | None = None
    ended_at: datetime | None = None
    why: SessionEnd | None = None


class HolderStore(Protocol):
    """Sessions of holders, and tries."""

    async def open(self, session: HolderSessionRecord, audit: AuditRecord) -> None:
        """Store a new session.

        Raises:
            StoreConflict: the id or the token is known already, or there is no such station or credential.
        """
        ...

    async def by_digest(self, token_digest: bytes) -> HolderSessionRecord | None:
        """Return the session with this token, ended or not."""
        ...

    async def touch(self, session_id: SessionId, at: datetime) -> bool:
        """Note that the session was used, without evidence; returns whether it had not ended."""
        ...

    async def end(self, session_id: SessionId, why: SessionEnd, at: datetime, audit: AuditRecord) -> bool:
        """End a session; returns whether it had not ended before. Where it had, nothing is written."""
        ...

    async def end_of_station(
        self, station_id: StationId, at: datetime, audit: AuditRecord
    ) -> Sequence[HolderSessionRecord]:
        """End every session at this station and return them; evidence is kept where there was one."""
        ...

    async def try_once(
        self, directory: str, holder: HolderId, *, at: datetime, limit: int, within: timedelta
    ) -> datetime | None:
        """Count a try before it is made; return None where it may be, else until when it may not.

        At most `limit` tries are made from the first one until `within` is over; so many at the same time count as well.
        """
        ...

    async def forget_tries(self, directory: str, holder: HolderId) -> None:
        """Begin to count anew: the password was right."""
        ...
