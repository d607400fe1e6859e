"""The order of evidence: what is kept of every act, and how it is read again."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum, unique
from typing import Protocol

from shared.errors import Fact


@unique
class AuditKind(StrEnum):
    """What an audit record is about."""

    KEY_USED = "key-used"
    OPERATION = "operation"
    TRANSITION = "transition"
    STATION = "station"
    TEMPLATE = "template"
    REFUSED = "refused"
    SERVER = "server"
    OPERATOR = "operator"
    ROLE = "role"
    SESSION = "session"


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditRecord:
    """One line of evidence. `actor` is a station or operator id, or `server` or `admin`; `facts` never hold secrets."""

    kind: AuditKind
    event: str
    actor: str
    subject: str = ""
    facts: dict[str, Fact] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class AuditEntry:
    """An audit record as stored: its place in the order, its time and the hash of its tree leaf."""

    index: int
    at: datetime
    record: AuditRecord
    leaf: bytes


class AuditStore(Protocol):
    """The order of evidence."""

    async def append(self, records: Sequence[AuditRecord]) -> None:
        """Append records that belong to no other write, in one commit."""
        ...

    async def page(self, start: int, count: int) -> Sequence[AuditEntry]:
        """Return `count` entries from index `start` (from 0)."""
        ...

    async def about(self, subject: str) -> Sequence[AuditEntry]:
        """Return every entry about `subject`, the oldest first."""
        ...
