"""What the suites of the store share: a store under test, and words for what is done to it."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from uuid import uuid4

import pytest

from server.ports.store import (
    Change,
    Lease,
    Store,
)
from shared import errors
from shared.credential.model import (
    CardRecord,
    StationId,
)
from tests.server.store.examples import (
    FixedClock,
    an_opening,
)

KEY = bytes(range(32))
HERE = StationId(uuid4())
THERE = StationId(uuid4())


@dataclass(frozen=True)
class Kept:
    """A store under test, its clock, and how to let all leases run out."""

    store: Store
    clock: FixedClock
    run_out: Callable[[], None]


async def begin(store: Store, card: CardRecord, *changes: Change) -> Lease:
    return await store.cards.open(an_opening(card, HERE, *changes))


@contextmanager
def conflict(what: str) -> Iterator[None]:
    with pytest.raises(errors.StoreConflict) as refused:
        yield
    assert refused.value.facts == {"what": what}


async def read(store: Store, card: CardRecord) -> CardRecord:
    found = await store.cards.card(card.record_id)
    assert found is not None
    return found
