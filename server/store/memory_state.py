"""What the store in memory keeps, and the one way to change it.

A write works on a draft, a copy that replaces the state when all of the write succeeded: it happens as a whole or
not at all, as in a database.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime
from uuid import UUID

from server.ports.approvals import ApprovalRecord
from server.ports.connections import ConnectionRecord
from server.ports.evidence import leaf_hash
from server.ports.holders import HolderSessionRecord
from server.ports.store import (
    AuditEntry,
    AuditRecord,
    ChallengeRecord,
    JobRecord,
    JoinToken,
    Lease,
    LedgerEntry,
    OperatorId,
    OperatorRecord,
    PasscodeRecord,
    RoleRecord,
    SessionId,
    SessionRecord,
    Standing,
    StationRecord,
    StoredTemplate,
    UnblockCode,
)
from server.ports.write_back import WriteBack
from shared.clock import Clock
from shared.credential.model import (
    CardRecord,
    CertificateTask,
    CredentialId,
    CredentialRecord,
    HolderId,
    OpenOperation,
    OperationId,
    RecordId,
    RequestId,
    StationId,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One operation; `code` is empty until it was closed once."""

    record_id: RecordId
    station: StationId
    open: OpenOperation
    ended: bool = False
    code: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseRow:
    """The newest lease of a card; `proven` once the card has proven its management key under it."""

    lease: Lease
    station: StationId
    expires_at: datetime
    live: bool = True
    proven: bool = False


@dataclass(slots=True, kw_only=True)
class Draft:
    """Everything that is kept; the values are frozen, so that copying the containers copies it all."""

    cards: dict[RecordId, CardRecord] = field(default_factory=dict)
    credentials: dict[CredentialId, tuple[RecordId, CredentialRecord]] = field(default_factory=dict)
    tasks: dict[RequestId, CertificateTask] = field(default_factory=dict)
    write_backs: dict[RequestId, WriteBack] = field(default_factory=dict)
    codes: dict[CredentialId, UnblockCode] = field(default_factory=dict)
    jobs: dict[str, JobRecord] = field(default_factory=dict)
    operations: dict[OperationId, Operation] = field(default_factory=dict)
    leases: dict[RecordId, LeaseRow] = field(default_factory=dict)
    carriers: dict[tuple[RecordId, StationId], datetime] = field(default_factory=dict)
    templates: dict[tuple[str, int], StoredTemplate] = field(default_factory=dict)
    stations: dict[StationId, StationRecord] = field(default_factory=dict)
    certificates: dict[bytes, tuple[StationId, Standing, datetime]] = field(default_factory=dict)
    tokens: dict[bytes, JoinToken] = field(default_factory=dict)
    operators: dict[OperatorId, OperatorRecord] = field(default_factory=dict)
    roles: dict[str, RoleRecord] = field(default_factory=dict)
    sessions: dict[SessionId, SessionRecord] = field(default_factory=dict)
    challenges: dict[bytes, ChallengeRecord] = field(default_factory=dict)
    holder_sessions: dict[SessionId, HolderSessionRecord] = field(default_factory=dict)
    holder_tries: dict[tuple[str, HolderId], tuple[int, datetime]] = field(default_factory=dict)
    approvals: dict[UUID, ApprovalRecord] = field(default_factory=dict)
    connections: dict[str, ConnectionRecord] = field(default_factory=dict)
    passcode: PasscodeRecord | None = None
    ledger: dict[int, LedgerEntry] = field(default_factory=dict)
    crl_number: int = 0
    audit: tuple[AuditEntry, ...] = ()

    def copy(self) -> "Draft":
        """Return a draft that can be changed while this one is read."""
        return replace(
            self,
            cards=dict(self.cards),
            credentials=dict(self.credentials),
            tasks=dict(self.tasks),
            write_backs=dict(self.write_backs),
            codes=dict(self.codes),
            jobs=dict(self.jobs),
            operations=dict(self.operations),
            leases=dict(self.leases),
            carriers=dict(self.carriers),
            templates=dict(self.templates),
            stations=dict(self.stations),
            certificates=dict(self.certificates),
            tokens=dict(self.tokens),
            operators=dict(self.operators),
            roles=dict(self.roles),
            sessions=dict(self.sessions),
            challenges=dict(self.challenges),
            holder_sessions=dict(self.holder_sessions),
            holder_tries=dict(self.holder_tries),
            approvals=dict(self.approvals),
            connections=dict(self.connections),
            ledger=dict(self.ledger),
        )


class Book:
    """The state, and the one way to change it."""

    def __init__(self, clock: Clock) -> None:
        """Start empty."""
        self.clock = clock
        self.state = Draft()
        self.commits = 0

    @contextmanager
    def writing(self) -> Iterator[Draft]:
        """Lend a draft; it becomes the state unless an error comes out of the block."""
        draft = self.state.copy()
        yield draft
        self.state = draft
        self.commits += 1

    def note(self, draft: Draft, *records: AuditRecord) -> None:
        """Append evidence to a draft, as of now."""
        now = self.clock.now()
        for record in records:
            entry = AuditEntry(index=len(draft.audit), at=now, record=record, leaf=leaf_hash(now, record))
            draft.audit = (*draft.audit, entry)
