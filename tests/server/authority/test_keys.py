"""Generations of the master key: counted, made for a reason, and never without evidence."""

import asyncio
from dataclasses import replace
from uuid import uuid4

import pytest

from server.authority.keys import SUBJECT, WHY_MAX, MasterKeyGenerations
from server.connectors.keystore.memory import MemoryKeyStore
from server.store.memory import MemoryStore
from shared import errors
from shared.credential.model import SecretRecord, SecretVersion, StationId
from tests.server.store.examples import NOON, FixedClock, a_card, an_opening, with_template

HERE = StationId(uuid4())


class Cut(MemoryKeyStore):
    """A key store whose server dies before the key is made."""

    async def add_generation(self) -> int:
        raise errors.StoreUnavailable(why="disk full")


def generations(keys: MemoryKeyStore, store: MemoryStore) -> MasterKeyGenerations:
    return MasterKeyGenerations(keys, store.cards, store.audit)


async def test_a_new_generation_is_listed_with_its_reason_and_its_cards() -> None:
    clock = FixedClock()
    keys, store = MemoryKeyStore(clock), MemoryStore(clock)
    await with_template(store)
    for generation in (1, 1, 2):
        card = replace(a_card(), management_key=SecretRecord(proven=SecretVersion(generation)))
        await store.cards.open(an_opening(card, HERE))
    made = await generations(keys, store).make("  Desk 3\n was stolen ", "admin")
    assert (made.generation, made.cards, made.why, made.actor) == (2, 1, "Desk 3 was stolen", "admin")
    first, second = await generations(keys, store).all()
    assert (first.generation, first.cards, first.why, first.actor) == (1, 2, "", "")
    assert first.created_at == NOON
    assert second == made
    assert keys.generation == 2


async def test_what_was_made_is_evidence_before_and_after() -> None:
    store = MemoryStore(FixedClock())
    await generations(MemoryKeyStore(), store).make("yearly", "admin")
    entries = await store.audit.about(SUBJECT)
    assert [entry.record.event for entry in entries] == ["master key asked for", "master key made"]
    assert {entry.record.facts["generation"] for entry in entries} == {2}
    assert {entry.record.facts["why"] for entry in entries} == {"yearly"}


async def test_what_could_not_be_made_is_asked_for_again() -> None:
    store = MemoryStore(FixedClock())
    with pytest.raises(errors.StoreUnavailable):
        await generations(Cut(), store).make("first", "admin")
    keys = MemoryKeyStore()
    made = await generations(keys, store).make("second", "admin")
    assert (made.generation, made.why) == (2, "second")
    assert [each.why for each in await generations(keys, store).all()] == ["", "second"]


async def test_two_at_the_same_time_keep_their_reasons() -> None:
    keys, store = MemoryKeyStore(), MemoryStore(FixedClock())
    both = generations(keys, store)
    made = await asyncio.gather(both.make("one", "admin"), both.make("two", "admin"))
    assert sorted((each.generation, each.why) for each in made) == [(2, "one"), (3, "two")]


@pytest.mark.parametrize("why", ["", " \n\t", "x" * (WHY_MAX + 1)])
async def test_a_reason_is_needed(why: str) -> None:
    keys, store = MemoryKeyStore(), MemoryStore(FixedClock())
    with pytest.raises(errors.Invalid):
        await generations(keys, store).make(why, "admin")
    assert keys.generation == 1
    assert await store.audit.about(SUBJECT) in ((), [])
