"""The stores that the suites of the port `Store` run on."""

from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from server.ports.store import (
    Store,
)
from server.store.database import connect, create_store
from server.store.memory import MemoryStore
from shared.secret import Secret
from tests.contract.stores import KEY, Kept
from tests.server.store.examples import (
    FixedClock,
    with_template,
)


@pytest.fixture(params=["memory", "sqlcipher"])
async def kept(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Kept]:
    clock = FixedClock()
    path = tmp_path / "store.db"

    def wind_clock() -> None:
        clock.time += timedelta(seconds=121)

    def wind_database() -> None:
        with_file = connect(path, Secret(KEY))
        with_file.execute("UPDATE lease SET expires_at = expires_at - 121000")
        with_file.close()

    if request.param == "memory":
        store: Store = MemoryStore(clock)
        run_out = wind_clock
    else:
        store = create_store(path, Secret(KEY), clock)
        run_out = wind_database
    await with_template(store)
    yield Kept(store, clock, run_out)
    await store.close()


@pytest.fixture
def store(kept: Kept) -> Store:
    return kept.store
