"""What every store must count and find, whatever it is made of."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest

from server.ports.store import AuditKind, AuditRecord, CertificateChanged, Store
from server.store.database import create_store
from server.store.memory import MemoryStore
from shared.credential.model import (
    CardRecord,
    CertificateRecord,
    CertificateState,
    RequestId,
    SecretRecord,
    SecretVersion,
    State,
    StationId,
)
from shared.piv.ids import Slot
from shared.secret import Secret
from tests.server.store.examples import FixedClock, a_card, an_opening, with_template

HERE = StationId(uuid4())


@pytest.fixture(params=["memory", "sqlcipher"])
async def store(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Store]:
    clock = FixedClock()
    made: Store = MemoryStore(clock)
    if request.param == "sqlcipher":
        made = create_store(tmp_path / "store.db", Secret(bytes(range(32))), clock)
    await with_template(made)
    yield made
    await made.close()


async def test_cards_are_counted_by_the_generation_that_they_hold(store: Store) -> None:
    def holding(generation: int, state: State = State.ACTIVE) -> CardRecord:
        secret = SecretRecord(proven=SecretVersion(generation), pending=SecretVersion(9))
        return replace(
            a_card(), management_key=secret, puk=SecretRecord(proven=SecretVersion(7)), state=state
        )

    unknown = replace(a_card(), management_key=SecretRecord(proven=None))
    gone = holding(3, State.UNREGISTERED)
    assert dict(await store.cards.generations()) == {}
    for card in (holding(0), holding(1), holding(2), holding(2), holding(3, State.DELETED), gone, unknown):
        await store.cards.open(an_opening(card, HERE))
    assert dict(await store.cards.generations()) == {1: 1, 2: 2}


async def test_evidence_is_found_by_what_it_is_about(store: Store) -> None:
    def about(subject: str, event: str) -> AuditRecord:
        return AuditRecord(kind=AuditKind.SERVER, event=event, actor="admin", subject=subject)

    await store.audit.append([about("one", "first"), about("two", "second"), about("one", "third")])
    found = await store.audit.about("one")
    assert [entry.record.event for entry in found] == ["first", "third"]
    assert found[1] in await store.audit.page(0, 10)
    assert list(await store.audit.about("nobody")) == []


async def test_a_serial_finds_every_card_that_has_it(store: Store) -> None:
    first, second, other = a_card(), a_card(), a_card(serial=12)
    for card in (first, second, other):
        await store.cards.open(an_opening(card, HERE))
    found = await store.cards.cards_by_hint(profile="yubikey-5.4", serial=4711)
    assert {card.record_id for card in found} == {first.record_id, second.record_id}
    assert await store.cards.cards_by_hint(profile="sp800-73", serial=4711) == ()


async def test_without_a_serial_nothing_is_meant(store: Store) -> None:
    await store.cards.open(an_opening(a_card(serial=None), HERE))
    assert await store.cards.cards_by_hint(profile="yubikey-5.4", serial=None) == ()


async def test_a_key_that_another_card_showed_is_known(store: Store) -> None:
    first, second = a_card(), a_card()
    shown = CertificateRecord(
        request_id=RequestId(uuid4()),
        slot=Slot.SIGNATURE,
        connection="built-in",
        profile="piv-signature",
        public_key=b"\x30\x9c",
        state=CertificateState.REQUESTED,
    )
    lease = await store.cards.open(an_opening(first, HERE))
    await store.cards.open(an_opening(second, HERE))
    keys = [b"\x30\x01\x02", shown.public_key]
    assert not await store.cards.keys_elsewhere(second.record_id, keys)
    await store.cards.apply(lease, [CertificateChanged(certificate=shown)])
    assert await store.cards.keys_elsewhere(second.record_id, keys)
    assert not await store.cards.keys_elsewhere(first.record_id, keys)
    assert not await store.cards.keys_elsewhere(second.record_id, keys[:1])
    assert not await store.cards.keys_elsewhere(second.record_id, ())
