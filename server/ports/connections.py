"""Connections as they are kept: what was configured, with its secrets sealed."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from server.ports.audit import AuditRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class ConnectionRecord:
    """One connection. `settings` is JSON of what is no secret, `sealed` its secrets under the key store; empty without any.

    `version` counts from 1 with every change; `changed_by` is how evidence calls who made the last one.
    """

    name: str
    kind: str
    settings: str
    sealed: bytes
    version: int
    changed_at: datetime
    changed_by: str


class ConnectionStore(Protocol):
    """Every connection that was added; evidence goes into the same commit."""

    async def all(self) -> Sequence[ConnectionRecord]:
        """Return every connection, by name."""
        ...

    async def certificates_of(self, name: str, now: datetime) -> int:
        """Count the certificates by this certificate authority that it may yet have to revoke."""
        ...

    async def put(self, record: ConnectionRecord, audit: AuditRecord) -> None:
        """Store a new connection (version 1), or the version that follows the one that is there.

        Raises:
            StoreConflict: it is there already, is gone, or somebody else changed it meanwhile.
        """
        ...

    async def remove(self, name: str, version: int, audit: AuditRecord) -> None:
        """Forget a connection that is of this version, its secrets too; `StoreConflict` as above."""
        ...
