"""Cards, their journal and their leases, in memory."""

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from functools import singledispatch

from server.ports.store import (
    ApprovalSpent,
    AuditRecord,
    CertificateChanged,
    CertificateTaskAsked,
    CertificateTaskDone,
    Change,
    CodeEnded,
    CredentialChanged,
    KeyChanged,
    KeyDisclosed,
    Lease,
    ManagementAlgorithmChanged,
    Opening,
    OperationClosed,
    OperatorRegistered,
    PinChanged,
    PukDisclosed,
    SecretChanged,
    SecretsCarried,
    StateChanged,
    WriteBackAsked,
)
from server.store import memory_write_backs as write_backs
from server.store.memory_approvals import spend
from server.store.memory_operators import register_operator
from server.store.memory_state import Book, Draft, LeaseRow, Operation
from server.store.memory_tasks import keep_task
from server.store.rules import (
    CLOSED_CREDENTIAL,
    DONE,
    FORGOTTEN_CREDENTIAL,
    LEASE_PROVEN_S,
    LEASE_UNPROVEN_S,
    LEASES_UNPROVEN,
    OUT_OF_SERVICE,
    SUPERSEDED,
    check_opening,
    same_card,
)
from shared import errors
from shared.credential.model import (
    FACTORY,
    CardRecord,
    CredentialId,
    CredentialRecord,
    HolderId,
    OpenOperation,
    RecordId,
    SecretKind,
    StationId,
    TemplateRef,
)


class MemoryCards:
    """The port `CardStore`, judged by the book's clock."""

    def __init__(self, book: Book) -> None:
        """Work on `book`."""
        self._book = book

    async def card(self, record_id: RecordId) -> CardRecord | None:
        """Return the card with this record id."""
        state = self._book.state
        card = state.cards.get(record_id)
        return None if card is None else whole(state, card)

    async def cards_by_hint(self, *, profile: str, serial: int | None) -> Sequence[CardRecord]:
        """Return cards that a serial may mean; none where there is no serial."""
        state = self._book.state
        if serial is None:
            return ()
        return tuple(
            whole(state, card)
            for card in state.cards.values()
            if card.profile == profile and card.serial == serial
        )

    async def keys_elsewhere(self, record_id: RecordId, public_keys: Collection[bytes]) -> bool:
        """Whether a certificate for one of these keys (DER) was ever asked for on another card."""
        return any(
            certificate.public_key in public_keys
            for card in self._book.state.cards.values()
            if card.record_id != record_id
            for certificate in whole(self._book.state, card).certificates
        )

    async def generations(self) -> Mapping[int, int]:
        """Return how many cards hold a management key of each generation of the master key."""
        held = (
            card.management_key.proven
            for card in self._book.state.cards.values()
            if card.state not in OUT_OF_SERVICE
        )
        return Counter(version.generation for version in held if version not in {None, FACTORY})

    async def open(self, opening: Opening) -> Lease:
        """Open an operation, or continue the cut one."""
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
                and (before.proven or not opening.firm)
            ):
                raise errors.CardLeased(station=_station_name(draft, before.station))
            if not opening.firm:
                _check_claims(draft, opening, now)
            present = whole(draft, draft.cards[opening.record_id])
            if opening.seen is not None and not same_card(present, opening.seen):
                raise errors.StoreConflict(what="card")
            _begin(draft, opening, now)
            lease = Lease(
                record_id=opening.record_id,
                operation_id=opening.operation_id,
                epoch=before.lease.epoch + 1 if before is not None else 1,
            )
            life = timedelta(seconds=LEASE_PROVEN_S if opening.firm else LEASE_UNPROVEN_S)
            draft.leases[opening.record_id] = LeaseRow(
                lease=lease, station=opening.station, expires_at=now + life, proven=opening.firm
            )
            self._apply(draft, lease, opening.changes)
            if opening.let_go:
                draft.leases[opening.record_id] = replace(draft.leases[opening.record_id], live=False)
        return lease

    async def apply(self, lease: Lease, changes: Sequence[Change], *, proven: bool = False) -> None:
        """Apply changes in order, all or none, and extend the lease."""
        with self._book.writing() as draft:
            self._renew(draft, lease, proven=proven)
            self._apply(draft, lease, changes)

    async def extend(self, lease: Lease, *, proven: bool = False) -> None:
        """Keep the lease alive while a card is busy."""
        with self._book.writing() as draft:
            self._renew(draft, lease, proven=proven)

    async def release(self, lease: Lease) -> None:
        """Give the lease up after a cut; one that is lost already stays lost."""
        with self._book.writing() as draft:
            row = draft.leases.get(lease.record_id)
            if row is not None and row.lease == lease:
                draft.leases[lease.record_id] = replace(row, live=False)

    async def release_all(self) -> None:
        """Give up every lease; operations stay open."""
        with self._book.writing() as draft:
            draft.leases = {card: replace(row, live=False) for card, row in draft.leases.items()}

    def _renew(self, draft: Draft, lease: Lease, *, proven: bool) -> None:
        row = draft.leases.get(lease.record_id)
        if row is None or row.lease != lease or not row.live:
            raise errors.LeaseLost
        proven = proven or row.proven
        life = timedelta(seconds=LEASE_PROVEN_S if proven else LEASE_UNPROVEN_S)
        draft.leases[lease.record_id] = replace(row, proven=proven, expires_at=self._book.clock.now() + life)

    def _apply(self, draft: Draft, lease: Lease, changes: Sequence[Change]) -> None:
        for change in changes:
            if isinstance(change, AuditRecord):
                self._book.note(draft, change)
            elif isinstance(change, SecretsCarried):
                draft.carriers[lease.record_id, change.station] = self._book.clock.now()
            elif isinstance(change, ApprovalSpent):
                now = self._book.clock.now()
                spend(draft, change.request_id, lease.operation_id, lease.record_id, now)
            else:
                apply_change(change, draft, lease)
                write_backs.follow(draft, lease.record_id, change, self._book.clock.now())


def _check_claims(draft: Draft, opening: Opening, now: datetime) -> None:
    claimed = sum(
        row.station == opening.station and row.live and not row.proven and row.expires_at > now
        for record_id, row in draft.leases.items()
        if record_id != opening.record_id
    )
    if claimed >= LEASES_UNPROVEN:
        raise errors.TooManyAttempts(seconds=LEASE_UNPROVEN_S)


def whole(state: Draft, card: CardRecord) -> CardRecord:
    """Add the credential, the open operation and the tasks, which are kept apart."""
    shown = [
        credential
        for record_id, credential in state.credentials.values()
        if record_id == card.record_id and credential.state not in FORGOTTEN_CREDENTIAL
    ]
    cut = [row.open for row in state.operations.values() if row.record_id == card.record_id and not row.ended]
    return replace(
        card,
        credential=shown[-1] if shown else None,
        open_operation=cut[0] if cut else None,
        tasks=tuple(task for task in state.tasks.values() if task.record_id == card.record_id),
    )


def _register(draft: Draft, card: CardRecord) -> None:
    draft.cards[card.record_id] = replace(card, credential=None, open_operation=None, tasks=())
    if card.credential is not None:
        _keep_credential(draft, card.record_id, card.credential)
    for task in card.tasks:
        keep_task(draft, card.record_id, task)


def _begin(draft: Draft, opening: Opening, now: datetime) -> None:
    running = [
        operation_id
        for operation_id, row in draft.operations.items()
        if row.record_id == opening.record_id and not row.ended
    ]
    if running == [opening.operation_id]:
        row = draft.operations[opening.operation_id]
        draft.operations[opening.operation_id] = replace(row, station=opening.station)
        return
    if opening.supersedes in running:
        running.remove(opening.supersedes)
        row = draft.operations[opening.supersedes]
        draft.operations[opening.supersedes] = replace(row, ended=True, code=SUPERSEDED)
    elif opening.supersedes is not None:
        raise errors.StoreConflict(what="operation")
    if running or opening.operation_id in draft.operations:
        raise errors.StoreConflict(what="operation")
    if opening.template is not None:
        _check_template(draft, opening.template)
    _check_credentials(draft, opening.primary, opening.replaces)
    draft.operations[opening.operation_id] = Operation(
        record_id=opening.record_id,
        station=opening.station,
        open=OpenOperation(
            operation_id=opening.operation_id,
            kind=opening.kind,
            holder=HolderId(opening.holder),
            template=opening.template,
            began_at=now,
            reason=opening.reason,
            replaces=opening.replaces,
            primary=opening.primary,
            roles=opening.roles,
        ),
    )


def _check_template(draft: Draft, ref: TemplateRef) -> None:
    kept = draft.templates.get((ref.name, ref.version))
    if kept is None or kept.ref != ref:
        raise errors.StoreConflict(what="reference")


def _keep_credential(draft: Draft, record_id: RecordId, credential: CredentialRecord) -> None:
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
    _check_template(draft, credential.template)
    _check_credentials(draft, credential.primary, credential.replaces)


def _check_credentials(draft: Draft, *named: CredentialId | None) -> None:
    if any(each is not None and each not in draft.credentials for each in named):
        raise errors.StoreConflict(what="reference")


def _station_name(draft: Draft, station_id: StationId) -> str:
    station = draft.stations.get(station_id)
    return str(station_id) if station is None else station.name


@singledispatch
def apply_change(change: object, draft: Draft, lease: Lease) -> None:
    """Carry out one change on a draft; a type that is not registered is a fault of this program."""
    message = f"{type(change).__name__}, {type(draft).__name__}, {lease.epoch}"
    raise TypeError(message)


def _update(draft: Draft, lease: Lease, change: Callable[[CardRecord], CardRecord]) -> None:
    draft.cards[lease.record_id] = change(draft.cards[lease.record_id])


@apply_change.register
def _(change: SecretChanged, draft: Draft, lease: Lease) -> None:
    if change.kind is SecretKind.PUK:
        _update(draft, lease, lambda card: replace(card, puk=change.value))
    else:
        _update(draft, lease, lambda card: replace(card, management_key=change.value))


@apply_change.register
def _(change: ManagementAlgorithmChanged, draft: Draft, lease: Lease) -> None:
    _update(draft, lease, lambda card: replace(card, management_algorithm=change.algorithm))


@apply_change.register
def _(change: PinChanged, draft: Draft, lease: Lease) -> None:
    _update(draft, lease, lambda card: replace(card, pin=change.pin))


@apply_change.register
def _(change: PukDisclosed, draft: Draft, lease: Lease) -> None:
    _update(draft, lease, lambda card: replace(card, puk_disclosed=change.disclosed))


@apply_change.register
def _(change: KeyDisclosed, draft: Draft, lease: Lease) -> None:
    _update(draft, lease, lambda card: replace(card, key_disclosed=change.disclosed))


@apply_change.register
def _(change: KeyChanged, draft: Draft, lease: Lease) -> None:
    _update(draft, lease, lambda card: replace(card, keys={**card.keys, change.key.slot: change.key}))


@apply_change.register
def _(change: CertificateChanged, draft: Draft, lease: Lease) -> None:
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
def _(change: CertificateTaskAsked, draft: Draft, lease: Lease) -> None:
    keep_task(draft, lease.record_id, change.task)


@apply_change.register
def _(change: WriteBackAsked, draft: Draft, lease: Lease) -> None:
    write_backs.ask(draft, lease.record_id, change.entry)


@apply_change.register
def _(change: CertificateTaskDone, draft: Draft, lease: Lease) -> None:
    task = draft.tasks.get(change.request_id)
    if task is not None and task.record_id == lease.record_id:
        del draft.tasks[change.request_id]


@apply_change.register
def _(change: CredentialChanged, draft: Draft, lease: Lease) -> None:
    _keep_credential(draft, lease.record_id, change.credential)


@apply_change.register
def _(change: OperatorRegistered, draft: Draft, lease: Lease) -> None:
    del lease
    register_operator(draft, change.operator, change.replaces)


@apply_change.register
def _(change: CodeEnded, draft: Draft, lease: Lease) -> None:
    del lease
    draft.codes.pop(change.credential_id, None)


@apply_change.register
def _(change: StateChanged, draft: Draft, lease: Lease) -> None:
    _update(draft, lease, lambda card: replace(card, state=change.state))


@apply_change.register
def _(change: OperationClosed, draft: Draft, lease: Lease) -> None:
    ended = change.code == DONE or change.abandon
    row = draft.operations[lease.operation_id]
    draft.operations[lease.operation_id] = replace(row, ended=ended, code=change.code)
    if ended:
        draft.leases[lease.record_id] = replace(draft.leases[lease.record_id], live=False)
