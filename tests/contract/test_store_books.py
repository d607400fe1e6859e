"""What every store must do with templates, stations, certificates and evidence, whatever it is made of."""

from dataclasses import replace
from datetime import timedelta
from typing import Any
from uuid import uuid4

import pytest

from server.ports.evidence import leaf_hash
from server.ports.store import (
    AuditKind,
    AuditRecord,
    LedgerEntry,
    StateChanged,
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
    assert await store.ledger.by_serial(first.serial) == first
    assert await store.ledger.by_serial(first.serial + 1) is None
    assert await store.ledger.by_serial(-1) is None
    assert await store.ledger.by_serial(1 << 200) is None
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
