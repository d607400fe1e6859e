"""The record: cards, journal, certificates, templates, stations, audit.

A write is a list of *changes*, values that say what happened or is about to happen; the store applies the
whole list in one durable commit, or nothing. Operations count commits by counting calls.

A card is leased to one operation. Changes of an operation are conditional on its lease: `LeaseLost` where
another station took the card over.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum, unique
from typing import Protocol

from server.ports.audit import AuditEntry as AuditEntry  # noqa: PLC0414  # a word of the store
from server.ports.audit import AuditKind as AuditKind  # noqa: PLC0414  # likewise
from server.ports.audit import AuditRecord as AuditRecord  # noqa: PLC0414  # likewise
from server.ports.audit import AuditStore as AuditStore  # noqa: PLC0414  # likewise
from shared.credential.model import (
    CardRecord,
    CertificateRecord,
    CredentialRecord,
    KeyRecord,
    OperationId,
    PinState,
    RecordId,
    RequestId,
    SecretKind,
    SecretRecord,
    State,
    StationId,
    TemplateRef,
)
from shared.piv.ids import ManagementAlgorithm

# --- changes --------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretChanged:
    """What is known of a card's secret: stored *pending* before the card is written, *proven* after."""

    kind: SecretKind
    value: SecretRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class ManagementAlgorithmChanged:
    """The card's management key is (about to be) of this algorithm."""

    algorithm: ManagementAlgorithm


@dataclass(frozen=True, slots=True, kw_only=True)
class PinChanged:
    """Whose PIN is on the card."""

    pin: PinState


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyChanged:
    """The key in a slot: intended before GENERATE, unproven after, proven once it signed."""

    key: KeyRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateChanged:
    """A certificate request and what became of it; stored before the certificate authority is asked."""

    certificate: CertificateRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class CredentialChanged:
    """The card's credential: bound, issued, activated."""

    credential: CredentialRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class StateChanged:
    """The combined state of the card."""

    state: State


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretsCarried:
    """This station carried secrets of the card (it must be listed when the station is compromised)."""

    station: StationId


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationClosed:
    """The operation ended; `code` is `done` or an error's code.

    `done` ends operation and lease. A failure keeps the operation open: it is a cut, continued at the card's next
    insertion; with `abandon` it is closed for good (nothing had been changed).
    """

    code: str
    abandon: bool = False


Change = (
    SecretChanged
    | ManagementAlgorithmChanged
    | PinChanged
    | KeyChanged
    | CertificateChanged
    | CredentialChanged
    | StateChanged
    | SecretsCarried
    | OperationClosed
    | AuditRecord
)

# --- leases and look-ups --------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """Open (or continue) an operation: takes the lease, makes the card's record where it is new.

    `new_card` is a full record for a card that has none; else None. Continuing passes the cut operation's own id.
    `seen` is the record that the operation was planned on; where it is another one by now, nothing is opened.
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


@unique
class StationState(StrEnum):
    """Whether a station may call."""

    ACTIVE = "active"
    BLOCKED = "blocked"


@dataclass(frozen=True, slots=True, kw_only=True)
class StationRecord:
    """A machine that joined. `fingerprint` is the SHA-256 of its certificate (DER)."""

    station_id: StationId
    name: str
    fingerprint: bytes
    lab: bool
    state: StationState
    joined_at: datetime
    not_after: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinToken:
    """A right to join once: `digest` is the SHA-256 of the token's secret part."""

    digest: bytes
    name: str
    lab: bool
    expires_at: datetime


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

        Cards that hold the factory's key, or whose record was deleted, are not counted.
        """
        ...

    async def open(self, opening: Opening) -> Lease:
        """Open an operation in one commit.

        Raises:
            CardLeased: another operation holds a live lease on this card.
            StoreConflict: the record is not the one that was `seen`, or another operation is open.
        """
        ...

    async def apply(self, lease: Lease, changes: Sequence[Change]) -> None:
        """Apply changes in one durable commit, in order, and extend the lease.

        Raises:
            LeaseLost: the lease is not the newest of its card.
        """
        ...

    async def extend(self, lease: Lease) -> None:
        """Keep the lease alive while a card is busy; `LeaseLost` as above."""
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


class StationStore(Protocol):
    """Stations and join tokens."""

    async def by_fingerprint(self, fingerprint: bytes) -> StationRecord | None:
        """Return the station that joined with this certificate."""
        ...

    async def all(self) -> Sequence[StationRecord]:
        """Return every station, by name."""
        ...

    async def add_token(self, token: JoinToken, audit: AuditRecord) -> None:
        """Store a join token."""
        ...

    async def spend_token(self, digest: bytes, now: datetime) -> JoinToken | None:
        """Take a token out, once; None where it is unknown, spent or expired."""
        ...

    async def add_station(self, station: StationRecord, audit: AuditRecord) -> None:
        """Store a station that joined."""
        ...


class CertificateLedger(Protocol):
    """The built-in certificate authority's own book: what it signed and what it revoked."""

    async def record(self, entries: "Sequence[LedgerEntry]") -> None:
        """Store certificates in one durable commit, before they leave the certificate authority.

        Raises:
            StoreConflict: a serial number or a request id is recorded already; nothing was stored.
        """
        ...

    async def by_request(self, request_id: RequestId) -> "LedgerEntry | None":
        """Return what was signed for this request."""
        ...

    async def by_public_key(self, public_key: bytes) -> "Sequence[LedgerEntry]":
        """Return what was signed for this key (DER SubjectPublicKeyInfo)."""
        ...

    async def revoke(self, serial: int, reason: str, at: datetime, audit: AuditRecord) -> None:
        """Mark as revoked; the first reason and time stay."""
        ...

    async def revoked(self) -> "Sequence[LedgerEntry]":
        """Return revoked certificates that have not expired."""
        ...

    async def next_crl_number(self) -> int:
        """Count up and return the CRL number."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerEntry:
    """One certificate that the built-in certificate authority signed. `certificate` is DER."""

    serial: int
    request_id: RequestId | None
    public_key: bytes
    certificate: bytes
    not_after: datetime
    revoked_at: datetime | None = None
    reason: str = ""
    audit: AuditRecord | None = None


class Store(Protocol):
    """Everything that is kept."""

    @property
    def cards(self) -> CardStore:
        """Cards and their journal."""
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
