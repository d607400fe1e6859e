"""The record: cards, journal, certificates, templates, stations, audit.

A write is a list of *changes*, values that say what happened or is about to happen; the store applies the
whole list in one durable commit, or nothing. Operations count commits by counting calls.

A card is leased to one operation. Changes of an operation are conditional on its lease: `LeaseLost` where
another station took the card over.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from server.ports.approvals import ApprovalStore as ApprovalStore  # noqa: PLC0414  # a word of the store
from server.ports.audit import AuditEntry as AuditEntry  # noqa: PLC0414  # a word of the store
from server.ports.audit import AuditKind as AuditKind  # noqa: PLC0414  # likewise
from server.ports.audit import AuditRecord as AuditRecord  # noqa: PLC0414  # likewise
from server.ports.audit import AuditStore as AuditStore  # noqa: PLC0414  # likewise
from server.ports.changes import ApprovalSpent as ApprovalSpent  # noqa: PLC0414  # likewise
from server.ports.changes import CertificateChanged as CertificateChanged  # noqa: PLC0414  # likewise
from server.ports.changes import CertificateTaskAsked as CertificateTaskAsked  # noqa: PLC0414  # likewise
from server.ports.changes import CertificateTaskDone as CertificateTaskDone  # noqa: PLC0414  # likewise
from server.ports.changes import Change as Change  # noqa: PLC0414  # likewise
from server.ports.changes import CodeEnded as CodeEnded  # noqa: PLC0414  # likewise
from server.ports.changes import CredentialChanged as CredentialChanged  # noqa: PLC0414  # likewise
from server.ports.changes import KeyChanged as KeyChanged  # noqa: PLC0414  # likewise
from server.ports.changes import KeyDisclosed as KeyDisclosed  # noqa: PLC0414  # likewise
from server.ports.changes import ManagementAlgorithmChanged as ManagementAlgorithmChanged  # noqa: PLC0414  # likewise
from server.ports.changes import OperationClosed as OperationClosed  # noqa: PLC0414  # likewise
from server.ports.changes import OperatorRegistered as OperatorRegistered  # noqa: PLC0414  # likewise
from server.ports.changes import PinChanged as PinChanged  # noqa: PLC0414  # likewise
from server.ports.changes import PukDisclosed as PukDisclosed  # noqa: PLC0414  # likewise
from server.ports.changes import SecretChanged as SecretChanged  # noqa: PLC0414  # likewise
from server.ports.changes import SecretsCarried as SecretsCarried  # noqa: PLC0414  # likewise
from server.ports.changes import StateChanged as StateChanged  # noqa: PLC0414  # likewise
from server.ports.changes import WriteBackAsked as WriteBackAsked  # noqa: PLC0414  # likewise
from server.ports.connections import ConnectionStore as ConnectionStore  # noqa: PLC0414  # a word of the store
from server.ports.credentials import CodeStore as CodeStore  # noqa: PLC0414  # likewise
from server.ports.credentials import CredentialStore as CredentialStore  # noqa: PLC0414  # likewise
from server.ports.credentials import UnblockCode as UnblockCode  # noqa: PLC0414  # likewise
from server.ports.holders import HolderStore as HolderStore  # noqa: PLC0414  # likewise
from server.ports.ledger import CertificateLedger as CertificateLedger  # noqa: PLC0414  # likewise
from server.ports.ledger import LedgerEntry as LedgerEntry  # noqa: PLC0414  # likewise
from server.ports.operators import ChallengeRecord as ChallengeRecord  # noqa: PLC0414  # likewise
from server.ports.operators import ChallengeStore as ChallengeStore  # noqa: PLC0414  # likewise
from server.ports.operators import LoggedOn as LoggedOn  # noqa: PLC0414  # likewise
from server.ports.operators import LogonMethod as LogonMethod  # noqa: PLC0414  # likewise
from server.ports.operators import OperatorId as OperatorId  # noqa: PLC0414  # likewise
from server.ports.operators import OperatorKey as OperatorKey  # noqa: PLC0414  # likewise
from server.ports.operators import OperatorKind as OperatorKind  # noqa: PLC0414  # likewise
from server.ports.operators import OperatorRecord as OperatorRecord  # noqa: PLC0414  # likewise
from server.ports.operators import OperatorState as OperatorState  # noqa: PLC0414  # likewise
from server.ports.operators import OperatorStore as OperatorStore  # noqa: PLC0414  # likewise
from server.ports.operators import RoleRecord as RoleRecord  # noqa: PLC0414  # likewise
from server.ports.operators import RoleStore as RoleStore  # noqa: PLC0414  # likewise
from server.ports.operators import SessionEnd as SessionEnd  # noqa: PLC0414  # likewise
from server.ports.operators import SessionId as SessionId  # noqa: PLC0414  # likewise
from server.ports.operators import SessionRecord as SessionRecord  # noqa: PLC0414  # likewise
from server.ports.operators import SessionStore as SessionStore  # noqa: PLC0414  # likewise
from server.ports.passcode import FirstStartRecord as FirstStartRecord  # noqa: PLC0414  # likewise
from server.ports.passcode import PasscodeRecord as PasscodeRecord  # noqa: PLC0414  # likewise
from server.ports.passcode import PasscodeStore as PasscodeStore  # noqa: PLC0414  # likewise
from server.ports.stations import Application as Application  # noqa: PLC0414  # likewise
from server.ports.stations import Carried as Carried  # noqa: PLC0414  # likewise
from server.ports.stations import JoinToken as JoinToken  # noqa: PLC0414  # likewise
from server.ports.stations import Standing as Standing  # noqa: PLC0414  # likewise
from server.ports.stations import StationRecord as StationRecord  # noqa: PLC0414  # likewise
from server.ports.stations import StationState as StationState  # noqa: PLC0414  # likewise
from server.ports.stations import StationStore as StationStore  # noqa: PLC0414  # likewise
from server.ports.tasks import FAILED as FAILED  # noqa: PLC0414  # likewise
from server.ports.tasks import JobRecord as JobRecord  # noqa: PLC0414  # likewise
from server.ports.tasks import JobStore as JobStore  # noqa: PLC0414  # likewise
from server.ports.tasks import TaskStore as TaskStore  # noqa: PLC0414  # likewise
from server.ports.write_back import WriteBackStore as WriteBackStore  # noqa: PLC0414  # likewise
from shared.credential.model import (
    CardRecord,
    CredentialId,
    OperationId,
    RecordId,
    StationId,
    TemplateRef,
)

# --- leases and look-ups --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """Open (or continue) an operation: takes the lease, makes the card's record where it is new.

    `new_card` is a full record for a card that has none; else None. Continuing passes the cut operation's own id.
    `seen` is the record that the operation was planned on; where it is another one by now, nothing is opened.
    `supersedes` names another open operation, which is closed for good in the same commit (code `superseded`): for a
    decision that needs no card and does not wait for one. With `let_go` the lease ends with the same commit, too, and the
    operation stays open: for what is written about a card that is away. A `firm` one takes the lease of a station whose
    card has not proven itself: the card has done so here, or it is a decision, which such a station must not keep off.
    """

    operation_id: OperationId
    kind: str
    record_id: RecordId
    station: StationId
    holder: str = ""
    template: TemplateRef | None = None
    new_card: CardRecord | None = None
    seen: CardRecord | None = None
    changes: tuple[Change, ...] = ()
    reason: str = ""
    replaces: CredentialId | None = None
    primary: CredentialId | None = None
    roles: tuple[str, ...] = ()
    supersedes: OperationId | None = None
    let_go: bool = False
    firm: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Lease:
    """The right to write one card's journal: `epoch` rises with every lease of the card."""

    record_id: RecordId
    operation_id: OperationId
    epoch: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredTemplate:
    """One version of a template: its TOML text as applied, and its reference."""

    ref: TemplateRef
    text: str
    applied_at: datetime


class CardStore(Protocol):
    """Cards and their journal."""

    async def card(self, record_id: RecordId) -> CardRecord | None:
        """Return the card with this record id."""
        ...

    async def cards_by_hint(self, *, profile: str, serial: int | None) -> Sequence[CardRecord]:
        """Return cards that a serial may mean; a serial is a hint, not an identity."""
        ...

    async def keys_elsewhere(self, record_id: RecordId, public_keys: Collection[bytes]) -> bool:
        """Whether a certificate for one of these keys (DER) was ever asked for on another card."""
        ...

    async def generations(self) -> Mapping[int, int]:
        """Return how many cards hold a management key of each generation of the master key.

        Counted are the cards in service, which the next generation waits for. Not counted: cards that hold the factory's
        key, unregistered ones (their keys are the factory's again, or nobody's), and deleted ones. Such a card may still
        hold a key of ours, and can be emptied with it if it turns up; but nobody can wait for it. A generation that no card
        holds is therefore kept all the same.
        """
        ...

    async def open(self, opening: Opening) -> Lease:
        """Open an operation in one commit.

        Raises:
            CardLeased: another operation holds a live lease on this card.
            StoreConflict: another operation is open on it than the one that is superseded, or that one is not; or the
                record is not the one that was `seen`.
        """
        ...

    async def apply(self, lease: Lease, changes: Sequence[Change], *, proven: bool = False) -> None:
        """Apply changes in one durable commit, in order, and extend the lease.

        `proven`: the card has proven its management key under this lease, which gives way to nobody from then on.

        Raises:
            LeaseLost: the lease is not the newest of its card, or ended.
        """
        ...

    async def extend(self, lease: Lease, *, proven: bool = False) -> None:
        """Keep the lease alive while a card is busy; `proven` and `LeaseLost` as above."""
        ...

    async def release(self, lease: Lease) -> None:
        """Give the lease up after a cut, so that another station may go on at once; the operation stays open."""
        ...

    async def release_all(self) -> None:
        """Give up every lease: for a server that starts and is alone, so that nobody waits for one that crashed."""
        ...


class TemplateStore(Protocol):
    """Templates, versioned and immutable."""

    async def latest(self, name: str) -> StoredTemplate | None:
        """Return the newest version."""
        ...

    async def version(self, ref: TemplateRef) -> StoredTemplate | None:
        """Return exactly this version."""
        ...

    async def all_latest(self) -> Sequence[StoredTemplate]:
        """Return the newest version of every template, by name."""
        ...

    async def add(self, template: StoredTemplate, audit: AuditRecord) -> None:
        """Store a new version; `StoreConflict` where this version exists already."""
        ...


class Store(Protocol):
    """Everything that is kept."""

    @property
    def cards(self) -> CardStore:
        """Cards and their journal."""
        ...

    @property
    def credentials(self) -> CredentialStore:
        """Cards by their credentials."""
        ...

    @property
    def tasks(self) -> TaskStore:
        """What certificate authorities still have to do."""
        ...

    @property
    def write_backs(self) -> WriteBackStore:
        """What directories are told of certificates."""
        ...

    @property
    def codes(self) -> CodeStore:
        """One-time unblock codes."""
        ...

    @property
    def jobs(self) -> JobStore:
        """Which server process does a job."""
        ...

    @property
    def templates(self) -> TemplateStore:
        """Templates."""
        ...

    @property
    def stations(self) -> StationStore:
        """Stations."""
        ...

    @property
    def operators(self) -> OperatorStore:
        """Operators, their keys and roles."""
        ...

    @property
    def roles(self) -> RoleStore:
        """Roles that were made or edited here."""
        ...

    @property
    def sessions(self) -> SessionStore:
        """Sessions of operators."""
        ...

    @property
    def challenges(self) -> ChallengeStore:
        """Challenges that may still be answered."""
        ...

    @property
    def holders(self) -> HolderStore:
        """Sessions of holders, and tries of their passwords."""
        ...

    @property
    def approvals(self) -> ApprovalStore:
        """Requests for approval."""
        ...

    @property
    def connections(self) -> ConnectionStore:
        """Connections to outside systems."""
        ...

    @property
    def passcode(self) -> PasscodeStore:
        """The passcode of the first start."""
        ...

    @property
    def ledger(self) -> CertificateLedger:
        """The built-in certificate authority's book."""
        ...

    @property
    def audit(self) -> AuditStore:
        """The order of evidence."""
        ...

    @property
    def commits(self) -> int:
        """How many durable commits were made since start, for benchmarks."""
        ...

    async def close(self) -> None:
        """Close the database."""
        ...
