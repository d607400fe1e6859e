"""Cards and their journal, with the leases that keep two stations apart."""

from collections.abc import Collection, Mapping, Sequence
from typing import Final

from sqlalchemy import and_, bindparam, case, false, func, not_, select, true, update

from server.ports.store import Change, Lease, Opening
from server.store.card_rows import read_card
from server.store.changes import Scope, apply_changes, close_operation, register, template_columns
from server.store.rules import (
    LEASE_PROVEN_S,
    LEASE_UNPROVEN_S,
    LEASES_UNPROVEN,
    OUT_OF_SERVICE,
    SUPERSEDED,
    check_opening,
    same_card,
)
from server.store.schema import (
    card,
    card_secret,
    certificate,
    lease,
    operation,
    station,
)
from server.store.statements import Cursor, DatabaseNow, Prepared, add, given, put
from server.store.writer import Writer
from shared import errors
from shared.clock import Clock
from shared.credential.model import (
    FACTORY,
    CardRecord,
    RecordId,
    SecretKind,
)

_OF_CARD: Final = given(card.c.record_id)
_BY_HINT: Final = Prepared(
    select(card.c.record_id)
    .where(card.c.serial == given(card.c.serial), card.c.profile == given(card.c.profile))
    .order_by(card.c.registered_at)
)
_GENERATIONS: Final = Prepared(
    select(card_secret.c.proven_generation, func.count())
    .join(card, card.c.record_id == card_secret.c.record_id)
    .where(
        card_secret.c.kind == SecretKind.MANAGEMENT_KEY,
        card_secret.c.proven_generation > FACTORY.generation,
        *(card.c.state != state for state in sorted(OUT_OF_SERVICE)),
    )
    .group_by(card_secret.c.proven_generation)
)

_ELSEWHERE: Final = Prepared(
    select(certificate.c.request_id)
    .where(
        certificate.c.public_key == given(certificate.c.public_key),
        certificate.c.record_id != given(certificate.c.record_id),
    )
    .limit(1)
)

# --- leases and operations ------------------------------------------------------------------------------

_LEASE: Final = Prepared(
    select(
        lease.c.epoch,
        and_(lease.c.live, lease.c.expires_at > DatabaseNow()),
        lease.c.proven,
        lease.c.station_id,
        station.c.name,
    )
    .select_from(lease)
    .outerjoin(station, station.c.station_id == lease.c.station_id)
    .where(lease.c.record_id == given(lease.c.record_id))
)
_CLAIMED: Final = Prepared(
    select(func.count()).where(
        lease.c.station_id == given(lease.c.station_id),
        lease.c.live,
        not_(lease.c.proven),
        lease.c.expires_at > DatabaseNow(),
        lease.c.record_id != given(lease.c.record_id),
    )
)
_OPERATIONS: Final = Prepared(
    select(operation.c.operation_id, operation.c.record_id, operation.c.ended_at).where(
        (operation.c.operation_id == given(operation.c.operation_id))
        | and_(operation.c.record_id == given(operation.c.record_id), operation.c.ended_at.is_(None))
    )
)
_KNOWN: Final = Prepared(select(card.c.record_id).where(card.c.record_id == _OF_CARD))
_BEGIN: Final = add(operation)
_CONTINUE: Final = Prepared(
    update(operation)
    .where(operation.c.operation_id == given(operation.c.operation_id))
    .values(station_id=given(operation.c.station_id))
)
_PUT_LEASE: Final = put(lease, (lease.c.record_id,))
_EXPIRE_IN: Final = DatabaseNow() + bindparam("life_ms", required=True)
_HELD: Final = and_(
    lease.c.record_id == given(lease.c.record_id),
    lease.c.epoch == given(lease.c.epoch),
    lease.c.operation_id == given(lease.c.operation_id),
    lease.c.live,
)
_PROVE: Final = Prepared(
    update(lease).where(_HELD).values(proven=true(), expires_at=DatabaseNow() + LEASE_PROVEN_S * 1000)
)
_EXTEND: Final = Prepared(
    update(lease)
    .where(_HELD)
    .values(
        expires_at=DatabaseNow()
        + case((lease.c.proven, LEASE_PROVEN_S * 1000), else_=LEASE_UNPROVEN_S * 1000)
    )
)
_RELEASE: Final = Prepared(update(lease).where(_HELD).values(live=false()))
_RELEASE_ALL: Final = Prepared(update(lease).where(lease.c.live).values(live=false()))


class CardTables:
    """The port `CardStore`."""

    def __init__(self, writer: Writer, clock: Clock) -> None:
        """Work through `writer`."""
        self._writer = writer
        self._clock = clock

    async def card(self, record_id: RecordId) -> CardRecord | None:
        """Return the card with this record id."""
        return await self._writer.read(lambda cursor: read_card(cursor, record_id))

    async def cards_by_hint(self, *, profile: str, serial: int | None) -> Sequence[CardRecord]:
        """Return cards that a serial may mean; none where there is no serial."""
        if serial is None:
            return ()

        def work(cursor: Cursor) -> Sequence[CardRecord]:
            found = [
                read_card(cursor, row[0]) for row in _BY_HINT.rows(cursor, profile=profile, serial=serial)
            ]
            return tuple(each for each in found if each is not None)

        return await self._writer.read(work)

    async def generations(self) -> Mapping[int, int]:
        """Return how many cards hold a management key of each generation of the master key."""
        return dict(await self._writer.read(_GENERATIONS.rows))

    async def keys_elsewhere(self, record_id: RecordId, public_keys: Collection[bytes]) -> bool:
        """Whether a certificate for one of these keys (DER) was ever asked for on another card."""
        return await self._writer.read(
            lambda cursor: any(
                _ELSEWHERE.row(cursor, record_id=record_id, public_key=public_key) is not None
                for public_key in public_keys
            )
        )

    async def open(self, opening: Opening) -> Lease:
        """Open an operation, or continue the cut one, in one commit.

        Raises:
            CardLeased: another station holds a live lease on this card.
            UnknownCard: there is no such card, and none is brought along.
            StoreConflict: the card is in the record already or is not as it was seen, or has another open operation.
        """
        check_opening(opening)
        return await self._writer.write(lambda cursor: self._open(cursor, opening))

    async def apply(self, lease: Lease, changes: Sequence[Change], *, proven: bool = False) -> None:
        """Apply changes in one durable commit, in order, and extend the lease; see the port for `proven`.

        Raises:
            LeaseLost: the lease is not the newest of its card.
        """

        def work(cursor: Cursor) -> None:
            _prolong(cursor, lease, proven=proven)
            apply_changes(Scope(cursor, lease, self._clock), changes)

        await self._writer.write(work)

    async def extend(self, lease: Lease, *, proven: bool = False) -> None:
        """Keep the lease alive while a card is busy; `LeaseLost` as above."""
        await self._writer.write(lambda cursor: _prolong(cursor, lease, proven=proven))

    async def release(self, lease: Lease) -> None:
        """Give the lease up after a cut; one that is lost already stays lost."""
        await self._writer.write(lambda cursor: _RELEASE.run(cursor, _lease_values(lease)))

    async def release_all(self) -> None:
        """Give up every lease; operations stay open."""
        await self._writer.write(lambda cursor: _RELEASE_ALL.run(cursor, {}))

    def _open(self, cursor: Cursor, opening: Opening) -> Lease:
        if opening.new_card is not None:
            if _KNOWN.row(cursor, record_id=opening.record_id) is not None:
                raise errors.StoreConflict(what="card")
            register(cursor, opening.new_card, self._clock)
        elif _KNOWN.row(cursor, record_id=opening.record_id) is None:
            raise errors.UnknownCard
        before = _LEASE.row(cursor, record_id=opening.record_id)
        epoch, live, proven, holder, name = before or (0, False, False, None, None)
        if live and holder != opening.station and (proven or not opening.firm):
            raise errors.CardLeased(station=name or str(holder))
        if not opening.firm:
            _check_claims(cursor, opening)
        if opening.seen is not None and not same_card(read_card(cursor, opening.record_id), opening.seen):
            raise errors.StoreConflict(what="card")
        self._begin(cursor, opening)
        taken = Lease(record_id=opening.record_id, operation_id=opening.operation_id, epoch=epoch + 1)
        _PUT_LEASE.run(
            cursor,
            {
                **_lease_values(taken),
                "station_id": opening.station,
                "live": True,
                "proven": opening.firm,
                "expires_at": 0,
            },
        )
        _EXTEND.run(cursor, _lease_values(taken))
        apply_changes(Scope(cursor, taken, self._clock), opening.changes)
        if opening.let_go:
            _RELEASE.run(cursor, _lease_values(taken))
        return taken

    def _begin(self, cursor: Cursor, opening: Opening) -> None:
        """Write the operation down, unless it is the cut one that goes on."""
        known = _OPERATIONS.rows(cursor, operation_id=opening.operation_id, record_id=opening.record_id)
        if known == [(opening.operation_id, opening.record_id, None)]:
            _CONTINUE.run(cursor, {"operation_id": opening.operation_id, "station_id": opening.station})
            return
        if opening.supersedes is not None:
            if (opening.supersedes, opening.record_id, None) not in known:
                raise errors.StoreConflict(what="operation")
            close_operation(cursor, opening.supersedes, SUPERSEDED, self._clock.now())
            known.remove((opening.supersedes, opening.record_id, None))
        if known:
            raise errors.StoreConflict(what="operation")
        _BEGIN.run(
            cursor,
            {
                "operation_id": opening.operation_id,
                "record_id": opening.record_id,
                "kind": opening.kind,
                "holder": opening.holder,
                "reason": opening.reason,
                "primary_id": opening.primary,
                "replaces_id": opening.replaces,
                **template_columns(opening.template),
                "station_id": opening.station,
                "began_at": self._clock.now(),
                "ended_at": None,
                "code": "",
                "roles": " ".join(opening.roles),
            },
        )


def _prolong(cursor: Cursor, lease: Lease, *, proven: bool) -> None:
    """Extend a lease, and note that its card has proven itself; `LeaseLost` where it is not the newest, or ended."""
    if (_PROVE if proven else _EXTEND).run(cursor, _lease_values(lease)) != 1:
        raise errors.LeaseLost


def _check_claims(cursor: Cursor, opening: Opening) -> None:
    """Refuse a station that says of many cards at once that they are there, and shows none.

    Raises:
        TooManyAttempts: it has to let them go, or have them prove themselves, first.
    """
    ((claimed,),) = _CLAIMED.rows(cursor, station_id=opening.station, record_id=opening.record_id)
    if claimed >= LEASES_UNPROVEN:
        raise errors.TooManyAttempts(seconds=LEASE_UNPROVEN_S)


def _lease_values(lease: Lease) -> dict[str, object]:
    return {"record_id": lease.record_id, "operation_id": lease.operation_id, "epoch": lease.epoch}
