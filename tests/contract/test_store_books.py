"""What every store must do with templates, stations, certificates and evidence, whatever it is made of."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from server.ports.evidence import leaf_hash
from server.ports.store import (
    AuditKind,
    AuditRecord,
    JoinToken,
    LedgerEntry,
    StateChanged,
    StationState,
    Store,
    StoredTemplate,
)
from shared import errors
from shared.credential.model import (
    RequestId,
    State,
    TemplateRef,
)
from tests.contract.stores import Kept, begin, conflict
from tests.server.store.examples import (
    BADGE,
    EVIDENCE,
    NOON,
    a_card,
    a_station,
)

# --- templates ------------------------------------------------------------------------------------------


async def test_versions_of_a_template_stay(store: Store) -> None:
    first = StoredTemplate(ref=BADGE, text="name = 'badge'", applied_at=NOON)
    second = StoredTemplate(
        ref=TemplateRef(name="badge", version=2, digest=b"2" * 32), text="x", applied_at=NOON
    )
    other = StoredTemplate(
        ref=TemplateRef(name="admin", version=1, digest=b"3" * 32), text="y", applied_at=NOON
    )
    await store.templates.add(second, EVIDENCE)
    await store.templates.add(other, EVIDENCE)
    assert await store.templates.latest("badge") == second
    assert await store.templates.latest("nothing") is None
    assert await store.templates.version(BADGE) == first
    assert await store.templates.version(replace(BADGE, digest=bytes(32))) is None
    assert list(await store.templates.all_latest()) == [other, second]


async def test_a_version_is_never_replaced(store: Store) -> None:
    before = len(await store.audit.page(0, 100))
    changed = StoredTemplate(ref=replace(BADGE, digest=bytes(32)), text="other", applied_at=NOON)
    with conflict("template"):
        await store.templates.add(changed, EVIDENCE)
    assert len(await store.audit.page(0, 100)) == before


# --- stations -------------------------------------------------------------------------------------------


async def test_a_station_is_found_by_its_certificate(store: Store) -> None:
    second, first = a_station("Desk 2"), a_station("Desk 1")
    for station in (second, first):
        await store.stations.add_station(station, EVIDENCE)
    assert await store.stations.by_fingerprint(first.fingerprint) == first
    assert await store.stations.by_fingerprint(bytes(32)) is None
    assert list(await store.stations.all()) == [first, second]
    with conflict("station"):
        await store.stations.add_station(replace(a_station(), fingerprint=first.fingerprint), EVIDENCE)


async def test_a_station_is_blocked_and_renamed_with_evidence(store: Store) -> None:
    station = a_station("Desk 1")
    await store.stations.add_station(station, EVIDENCE)
    before = len(await store.audit.page(0, 100))
    await store.stations.set_state(station.station_id, StationState.BLOCKED, EVIDENCE)
    await store.stations.rename(station.station_id, "Desk 2", EVIDENCE)
    changed = replace(station, state=StationState.BLOCKED, name="Desk 2")
    assert await store.stations.by_fingerprint(station.fingerprint) == changed
    assert len(await store.audit.page(0, 100)) == before + 2
    nobody = a_station().station_id
    with conflict("station"):
        await store.stations.set_state(nobody, StationState.BLOCKED, EVIDENCE)
    with conflict("station"):
        await store.stations.rename(nobody, "Desk 3", EVIDENCE)
    assert len(await store.audit.page(0, 100)) == before + 2


async def test_a_token_is_spent_once(store: Store) -> None:
    token = JoinToken(digest=b"d" * 32, name="Desk 9", lab=True, expires_at=NOON + timedelta(hours=1))
    await store.stations.add_token(token, EVIDENCE)
    with conflict("join_token"):
        await store.stations.add_token(token, EVIDENCE)
    came = await asyncio.gather(*(store.stations.spend_token(token.digest, NOON) for _ in range(5)))
    assert [each for each in came if each is not None] == [token]
    assert await store.stations.spend_token(b"x" * 32, NOON) is None


async def test_a_token_expires(store: Store) -> None:
    token = JoinToken(digest=b"d" * 32, name="Desk 9", lab=False, expires_at=NOON)
    await store.stations.add_token(token, EVIDENCE)
    assert await store.stations.spend_token(token.digest, NOON) is None


# --- the certificate authority's book ---------------------------------------------------------------------


def an_entry(serial: int, **changed: Any) -> LedgerEntry:
    plain = LedgerEntry(
        serial=serial,
        request_id=RequestId(uuid4()),
        public_key=b"\x30\x59",
        certificate=b"\x30\x82",
        not_after=NOON + timedelta(days=30),
    )
    return replace(plain, **changed)


async def test_what_was_signed_is_found_again(store: Store) -> None:
    first, second = an_entry(2**159), an_entry(5, public_key=b"other", request_id=None)
    await store.ledger.record([replace(first, audit=EVIDENCE), second])
    assert first.request_id is not None
    assert await store.ledger.by_request(first.request_id) == first
    assert await store.ledger.by_request(RequestId(uuid4())) is None
    assert list(await store.ledger.by_public_key(b"\x30\x59")) == [first]
    assert [entry.record for entry in await store.audit.page(1, 10)] == [EVIDENCE]


async def test_a_request_is_signed_once(store: Store) -> None:
    first = an_entry(1)
    await store.ledger.record([first])
    with conflict("ledger"):
        await store.ledger.record([an_entry(2), an_entry(3, request_id=first.request_id)])
    with conflict("ledger"):
        await store.ledger.record([an_entry(1)])
    assert list(await store.ledger.by_public_key(first.public_key)) == [first]


async def test_the_first_revocation_stays(kept: Kept) -> None:
    ledger = kept.store.ledger
    entry = an_entry(77)
    await ledger.record([entry, an_entry(78)])
    await ledger.revoke(77, "key-compromise", NOON, EVIDENCE)
    await ledger.revoke(77, "superseded", NOON + timedelta(days=1), EVIDENCE)
    assert list(await ledger.revoked()) == [replace(entry, revoked_at=NOON, reason="key-compromise")]
    assert len(await kept.store.audit.page(1, 10)) == 1
    kept.clock.time = entry.not_after
    assert list(await ledger.revoked()) == []
    with pytest.raises(errors.Invalid):
        await ledger.revoke(79, "superseded", NOON, EVIDENCE)


async def test_a_hold_may_be_lifted(store: Store) -> None:
    ledger = store.ledger
    entry = an_entry(77)
    await ledger.record([entry])
    await ledger.hold(77, NOON, EVIDENCE)
    await ledger.hold(77, NOON + timedelta(days=1), EVIDENCE)
    assert list(await ledger.revoked()) == [replace(entry, revoked_at=NOON, reason="certificateHold")]
    assert await ledger.release(77, EVIDENCE)
    assert await ledger.release(77, EVIDENCE)
    assert list(await ledger.revoked()) == []
    assert len(await store.audit.page(1, 10)) == 2
    await ledger.hold(77, NOON + timedelta(days=2), EVIDENCE)
    assert [held.revoked_at for held in await ledger.revoked()] == [NOON + timedelta(days=2)]


async def test_a_hold_that_becomes_a_revocation_counts_from_its_own_time(store: Store) -> None:
    ledger = store.ledger
    entry = an_entry(77)
    await ledger.record([entry])
    await ledger.hold(77, NOON, EVIDENCE)
    await ledger.revoke(77, "keyCompromise", NOON + timedelta(days=1), EVIDENCE)
    revoked = [replace(entry, revoked_at=NOON, reason="keyCompromise")]
    assert list(await ledger.revoked()) == revoked
    await ledger.revoke(77, "superseded", NOON + timedelta(days=2), EVIDENCE)
    await ledger.hold(77, NOON + timedelta(days=2), EVIDENCE)
    assert not await ledger.release(77, EVIDENCE)
    assert list(await ledger.revoked()) == revoked
    assert len(await store.audit.page(1, 10)) == 2


async def test_what_was_not_signed_here_is_neither_held_nor_released(store: Store) -> None:
    await store.ledger.record([an_entry(77)])
    with pytest.raises(errors.Invalid):
        await store.ledger.hold(79, NOON, EVIDENCE)
    with pytest.raises(errors.Invalid):
        await store.ledger.release(79, EVIDENCE)
    with pytest.raises(errors.Invalid, match="hold"):
        await store.ledger.revoke(77, "certificateHold", NOON, EVIDENCE)
    assert list(await store.ledger.revoked()) == []


async def test_revocation_lists_are_numbered(store: Store) -> None:
    assert [await store.ledger.next_crl_number() for _ in range(3)] == [1, 2, 3]


# --- evidence -------------------------------------------------------------------------------------------


async def test_evidence_keeps_its_order_and_its_hash(kept: Kept) -> None:
    records = [
        AuditRecord(
            kind=AuditKind.KEY_USED, event="derived", actor="server", subject="Ü", facts={"b": 2, "a": "é"}
        ),
        AuditRecord(kind=AuditKind.REFUSED, event="called", actor="server"),
    ]
    await kept.store.audit.append(records)
    page = await kept.store.audit.page(1, 10)
    assert [(entry.index, entry.at, entry.record) for entry in page] == [
        (1, NOON, records[0]),
        (2, NOON, records[1]),
    ]
    assert [entry.leaf for entry in page] == [leaf_hash(NOON, record) for record in records]
    assert [entry.index for entry in await kept.store.audit.page(0, 2)] == [0, 1]


async def test_evidence_of_a_card_is_in_its_own_commit(store: Store) -> None:
    lease = await begin(store, a_card())
    before = store.commits
    await store.cards.apply(lease, [EVIDENCE, StateChanged(state=State.ISSUED), EVIDENCE])
    assert store.commits == before + 1
    assert [entry.index for entry in await store.audit.page(0, 10)] == [0, 1, 2]
