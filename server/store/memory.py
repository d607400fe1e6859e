"""A store in memory: the whole port, for tests of whatever stands on it.

Nothing outlives the process. Every write works on a draft that replaces the state when all of it succeeded, so
that a write happens as a whole or not at all, as in a database.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from functools import singledispatch
from typing import Final

from server.ports.evidence import leaf_hash
from server.ports.store import (
    AuditEntry,
    AuditRecord,
    CertificateChanged,
    Change,
    CredentialChanged,
    JoinToken,
    KeyChanged,
    Lease,
    LedgerEntry,
    ManagementAlgorithmChanged,
    Opening,
    OperationClosed,
    PinChanged,
    SecretChanged,
    SecretsCarried,
    StateChanged,
    StationRecord,
    StoredTemplate,
)
from server.store.rules import (
    CLOSED_CREDENTIAL,
    DONE,
    FORGOTTEN_CREDENTIAL,
    LEASE_PROVEN_S,
    LEASE_UNPROVEN_S,
    check_opening,
)
from shared import errors
from shared.clock import Clock
from shared.credential.model import (
    CardRecord,
    CredentialId,
    CredentialRecord,
    HolderId,
    OpenOperation,
    OperationId,
    RecordId,
    RequestId,
    SecretKind,
    StationId,
    TemplateRef,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Operation:
    """One operation; `code` is empty until it was closed once."""

    record_id: RecordId
    station: StationId
    open: OpenOperation
    ended: bool = False
    code: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class _LeaseRow:
    lease: Lease
    station: StationId
    expires_at: datetime
    live: bool = True
    proven: bool = False


@dataclass(slots=True, kw_only=True)
class _State:
    """Everything that is kept; the values are frozen, so that copying the containers copies it all."""

    cards: dict[RecordId, CardRecord] = field(default_factory=dict)
    credentials: dict[CredentialId, tuple[RecordId, CredentialRecord]] = field(default_factory=dict)
    operations: dict[OperationId, _Operation] = field(default_factory=dict)
    leases: dict[RecordId, _LeaseRow] = field(default_factory=dict)
    carriers: frozenset[tuple[RecordId, StationId]] = frozenset()
    templates: dict[tuple[str, int], StoredTemplate] = field(default_factory=dict)
    stations: dict[StationId, StationRecord] = field(default_factory=dict)
    tokens: dict[bytes, JoinToken] = field(default_factory=dict)
    ledger: dict[int, LedgerEntry] = field(default_factory=dict)
    crl_number: int = 0
    audit: tuple[AuditEntry, ...] = ()

    def copy(self) -> "_State":
        return replace(
            self,
            cards=dict(self.cards),
            credentials=dict(self.credentials),
            operations=dict(self.operations),
            leases=dict(self.leases),
            templates=dict(self.templates),
            stations=dict(self.stations),
            tokens=dict(self.tokens),
            ledger=dict(self.ledger),
        )


class _Book:
    """The state, and the one way to change it."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.state = _State()
        self.commits = 0

    @contextmanager
    def writing(self) -> Iterator[_State]:
        draft = self.state.copy()
        yield draft
        self.state = draft
        self.commits += 1

    def note(self, draft: _State, *records: AuditRecord) -> None:
        now = self.clock.now()
        for record in records:
            entry = AuditEntry(index=len(draft.audit), at=now, record=record, leaf=leaf_hash(now, record))
            draft.audit = (*draft.audit, entry)


class MemoryStore:
    """The port `Store`, kept in memory."""

    def __init__(self, clock: Clock) -> None:
        """Start empty; `clock` judges leases and stamps records."""
        self._book = _Book(clock)
        self.cards: Final = _Cards(self._book)
        self.templates: Final = _Templates(self._book)
        self.stations: Final = _Stations(self._book)
        self.ledger: Final = _Ledger(self._book)
        self.audit: Final = _Audit(self._book)

    @property
    def commits(self) -> int:
        """How many writes were made since start."""
        return self._book.commits

    async def close(self) -> None:
        """Forget nothing: what was kept may still be read."""


# --- cards ----------------------------------------------------------------------------------------------


class _Cards:
    def __init__(self, book: _Book) -> None:
        self._book = book

    async def card(self, record_id: RecordId) -> CardRecord | None:
        state = self._book.state
        card = state.cards.get(record_id)
        return None if card is None else _whole(state, card)

    async def cards_by_hint(self, *, profile: str, serial: int | None) -> Sequence[CardRecord]:
        state = self._book.state
        if serial is None:
            return ()
        return tuple(
            _whole(state, card)
            for card in state.cards.values()
            if card.profile == profile and card.serial == serial
        )

    async def open(self, opening: Opening) -> Lease:
        check_opening(opening)
        now = self._book.clock.now()
        with self._book.writing() as draft:
            if opening.new_card is not None:
                if opening.record_id in draft.cards:
                    raise errors.StoreConflict(what="card")
                _register(draft, opening.new_card)
            if opening.record_id not in draft.cards:
                raise errors.UnknownCard
            before = draft.leases.get(opening.record_id)
            if (
                before is not None
                and before.live
                and before.expires_at > now
                and before.station != opening.station
            ):
                raise errors.CardLeased(station=_station_name(draft, before.station))
            _begin(draft, opening, now)
            lease = Lease(
                record_id=opening.record_id,
                operation_id=opening.operation_id,
                epoch=before.lease.epoch + 1 if before is not None else 1,
            )
            draft.leases[opening.record_id] = _LeaseRow(
                lease=lease, station=opening.station, expires_at=now + timedelta(seconds=LEASE_UNPROVEN_S)
            )
            self._apply(draft, lease, opening.changes)
        return lease

    async def apply(self, lease: Lease, changes: Sequence[Change]) -> None:
        with self._book.writing() as draft:
            self._renew(draft, lease, proven=True)
            self._apply(draft, lease, changes)

    async def extend(self, lease: Lease) -> None:
        with self._book.writing() as draft:
            self._renew(draft, lease, proven=False)

    async def release(self, lease: Lease) -> None:
        with self._book.writing() as draft:
            row = draft.leases.get(lease.record_id)
            if row is not None and row.lease == lease:
                draft.leases[lease.record_id] = replace(row, live=False)

    def _renew(self, draft: _State, lease: Lease, *, proven: bool) -> None:
        row = draft.leases.get(lease.record_id)
        if row is None or row.lease != lease or not row.live:
            raise errors.LeaseLost
        proven = proven or row.proven
        life = timedelta(seconds=LEASE_PROVEN_S if proven else LEASE_UNPROVEN_S)
        draft.leases[lease.record_id] = replace(row, proven=proven, expires_at=self._book.clock.now() + life)

    def _apply(self, draft: _State, lease: Lease, changes: Sequence[Change]) -> None:
        for change in changes:
            if isinstance(change, AuditRecord):
                self._book.note(draft, change)
            else:
                apply_change(change, draft, lease)


def _whole(state: _State, card: CardRecord) -> CardRecord:
    """Add the credential and the open operation, which are kept apart."""
    shown = [
        credential
        for record_id, credential in state.credentials.values()
        if record_id == card.record_id and credential.state not in FORGOTTEN_CREDENTIAL
    ]
    cut = [row.open for row in state.operations.values() if row.record_id == card.record_id and not row.ended]
    return replace(card, credential=shown[-1] if shown else None, open_operation=cut[0] if cut else None)


def _register(draft: _State, card: CardRecord) -> None:
    draft.cards[card.record_id] = replace(card, credential=None, open_operation=None)
    if card.credential is not None:
        _keep_credential(draft, card.record_id, card.credential)


def _begin(draft: _State, opening: Opening, now: datetime) -> None:
    running = [
        operation_id
        for operation_id, row in draft.operations.items()
        if row.record_id == opening.record_id and not row.ended
    ]
    if running == [opening.operation_id]:
        row = draft.operations[opening.operation_id]
        draft.operations[opening.operation_id] = replace(row, station=opening.station)
        return
    if running or opening.operation_id in draft.operations:
        raise errors.StoreConflict(what="operation")
    if opening.template is not None:
        _check_template(draft, opening.template)
    draft.operations[opening.operation_id] = _Operation(
        record_id=opening.record_id,
        station=opening.station,
        open=OpenOperation(
            operation_id=opening.operation_id,
            kind=opening.kind,
            holder=HolderId(opening.holder),
            template=opening.template,
            began_at=now,
        ),
    )


def _check_template(draft: _State, ref: TemplateRef) -> None:
    kept = draft.templates.get((ref.name, ref.version))
    if kept is None or kept.ref != ref:
        raise errors.StoreConflict(what="template")


def _keep_credential(draft: _State, record_id: RecordId, credential: CredentialRecord) -> None:
    _check_template(draft, credential.template)
    known = draft.credentials.get(credential.credential_id)
    if known is not None and known[0] != record_id:
        raise errors.StoreConflict(what="credential")
    draft.credentials[credential.credential_id] = (record_id, credential)
    still_open = [
        kept
        for card, kept in draft.credentials.values()
        if card == record_id and kept.state not in CLOSED_CREDENTIAL
    ]
    if len(still_open) > 1:
        raise errors.StoreConflict(what="credential")


def _station_name(draft: _State, station_id: StationId) -> str:
    station = draft.stations.get(station_id)
    return str(station_id) if station is None else station.name


@singledispatch
def apply_change(change: object, draft: _State, lease: Lease) -> None:
    """Carry out one change on a draft; a type that is not registered is a fault of this program."""
    message = f"{type(change).__name__}, {type(draft).__name__}, {lease.epoch}"
    raise TypeError(message)


def _update(draft: _State, lease: Lease, change: Callable[[CardRecord], CardRecord]) -> None:
    draft.cards[lease.record_id] = change(draft.cards[lease.record_id])


@apply_change.register
def _(change: SecretChanged, draft: _State, lease: Lease) -> None:
    if change.kind is SecretKind.PUK:
        _update(draft, lease, lambda card: replace(card, puk=change.value))
    else:
        _update(draft, lease, lambda card: replace(card, management_key=change.value))


@apply_change.register
def _(change: ManagementAlgorithmChanged, draft: _State, lease: Lease) -> None:
    _update(draft, lease, lambda card: replace(card, management_algorithm=change.algorithm))


@apply_change.register
def _(change: PinChanged, draft: _State, lease: Lease) -> None:
    _update(draft, lease, lambda card: replace(card, pin=change.pin))


@apply_change.register
def _(change: KeyChanged, draft: _State, lease: Lease) -> None:
    _update(draft, lease, lambda card: replace(card, keys={**card.keys, change.key.slot: change.key}))


@apply_change.register
def _(change: CertificateChanged, draft: _State, lease: Lease) -> None:
    request_id = change.certificate.request_id
    for card in draft.cards.values():
        if card.record_id != lease.record_id and any(
            certificate.request_id == request_id for certificate in card.certificates
        ):
            raise errors.StoreConflict(what="certificate")
    kept = {certificate.request_id: certificate for certificate in draft.cards[lease.record_id].certificates}
    kept[request_id] = change.certificate
    _update(draft, lease, lambda card: replace(card, certificates=tuple(kept.values())))


@apply_change.register
def _(change: CredentialChanged, draft: _State, lease: Lease) -> None:
    _keep_credential(draft, lease.record_id, change.credential)


@apply_change.register
def _(change: StateChanged, draft: _State, lease: Lease) -> None:
    _update(draft, lease, lambda card: replace(card, state=change.state))


@apply_change.register
def _(change: SecretsCarried, draft: _State, lease: Lease) -> None:
    draft.carriers |= {(lease.record_id, change.station)}


@apply_change.register
def _(change: OperationClosed, draft: _State, lease: Lease) -> None:
    ended = change.code == DONE or change.abandon
    row = draft.operations[lease.operation_id]
    draft.operations[lease.operation_id] = replace(row, ended=ended, code=change.code)
    if ended:
        draft.leases[lease.record_id] = replace(draft.leases[lease.record_id], live=False)


# --- everything else ------------------------------------------------------------------------------------


class _Templates:
    def __init__(self, book: _Book) -> None:
        self._book = book

    async def latest(self, name: str) -> StoredTemplate | None:
        return next((kept for kept in await self.all_latest() if kept.ref.name == name), None)

    async def version(self, ref: TemplateRef) -> StoredTemplate | None:
        kept = self._book.state.templates.get((ref.name, ref.version))
        return kept if kept is not None and kept.ref == ref else None

    async def all_latest(self) -> Sequence[StoredTemplate]:
        in_order = sorted(self._book.state.templates.items())
        return tuple({name: kept for (name, _), kept in in_order}.values())

    async def add(self, template: StoredTemplate, audit: AuditRecord) -> None:
        place = (template.ref.name, template.ref.version)
        with self._book.writing() as draft:
            if place in draft.templates:
                raise errors.StoreConflict(what="template")
            draft.templates[place] = template
            self._book.note(draft, audit)


class _Stations:
    def __init__(self, book: _Book) -> None:
        self._book = book

    async def by_fingerprint(self, fingerprint: bytes) -> StationRecord | None:
        stations = self._book.state.stations.values()
        return next((station for station in stations if station.fingerprint == fingerprint), None)

    async def all(self) -> Sequence[StationRecord]:
        return tuple(sorted(self._book.state.stations.values(), key=lambda station: station.name))

    async def add_token(self, token: JoinToken, audit: AuditRecord) -> None:
        with self._book.writing() as draft:
            if token.digest in draft.tokens:
                raise errors.StoreConflict(what="token")
            draft.tokens[token.digest] = token
            self._book.note(draft, audit)

    async def spend_token(self, digest: bytes, now: datetime) -> JoinToken | None:
        with self._book.writing() as draft:
            token = draft.tokens.get(digest)
            if token is None or token.expires_at <= now:
                return None
            del draft.tokens[digest]
        return token

    async def add_station(self, station: StationRecord, audit: AuditRecord) -> None:
        with self._book.writing() as draft:
            if station.station_id in draft.stations or any(
                known.fingerprint == station.fingerprint for known in draft.stations.values()
            ):
                raise errors.StoreConflict(what="station")
            draft.stations[station.station_id] = station
            self._book.note(draft, audit)


class _Ledger:
    def __init__(self, book: _Book) -> None:
        self._book = book

    async def record(self, entries: Sequence[LedgerEntry]) -> None:
        with self._book.writing() as draft:
            for entry in entries:
                asked = {known.request_id for known in draft.ledger.values()} - {None}
                if entry.serial in draft.ledger or entry.request_id in asked:
                    raise errors.StoreConflict(what="certificate")
                draft.ledger[entry.serial] = replace(entry, audit=None)
                if entry.audit is not None:
                    self._book.note(draft, entry.audit)

    async def by_request(self, request_id: RequestId) -> LedgerEntry | None:
        entries = self._book.state.ledger.values()
        return next((entry for entry in entries if entry.request_id == request_id), None)

    async def by_public_key(self, public_key: bytes) -> Sequence[LedgerEntry]:
        entries = self._book.state.ledger.values()
        return tuple(entry for entry in entries if entry.public_key == public_key)

    async def revoke(self, serial: int, reason: str, at: datetime, audit: AuditRecord) -> None:
        with self._book.writing() as draft:
            entry = draft.ledger.get(serial)
            if entry is None:
                raise errors.Invalid(field="serial", why="not signed here")
            if entry.revoked_at is None:
                draft.ledger[serial] = replace(entry, revoked_at=at, reason=reason)
                self._book.note(draft, audit)

    async def revoked(self) -> Sequence[LedgerEntry]:
        now = self._book.clock.now()
        entries = self._book.state.ledger.values()
        return tuple(entry for entry in entries if entry.revoked_at is not None and entry.not_after > now)

    async def next_crl_number(self) -> int:
        with self._book.writing() as draft:
            draft.crl_number += 1
        return draft.crl_number


class _Audit:
    def __init__(self, book: _Book) -> None:
        self._book = book

    async def append(self, records: Sequence[AuditRecord]) -> None:
        with self._book.writing() as draft:
            self._book.note(draft, *records)

    async def page(self, start: int, count: int) -> Sequence[AuditEntry]:
        return self._book.state.audit[start : start + count]
