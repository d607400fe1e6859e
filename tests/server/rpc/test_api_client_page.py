"""The client that docs/how-to/api-client.md shows is run as it stands there."""

import asyncio
import json
import re
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

import pytest

from kiosk.backend.client import GrpcBackend
from kiosk.backend.identity import store_identity
from kiosk.session_file import KeptSession
from shared.clock import SystemClock
from shared.logon import LogonPurpose
from tests.server.authority.logons import Clerk, Person
from tests.server.rpc.world import World, running
from tests.server.store.examples import EVIDENCE, with_template

PAGE: Final = Path(__file__).parents[3] / "docs" / "how-to" / "api-client.md"


def the_client() -> str:
    (only,) = re.findall(r"^```python\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    assert isinstance(only, str)
    return only


@dataclass
class Inventory:
    """Another system: a station's folder, and a session in it."""

    world: World
    clerk: Clerk
    folder: Path
    line: GrpcBackend

    async def run(self) -> tuple[int | None, str, str]:
        script = self.folder / "client.py"
        script.write_text(the_client())
        client = await asyncio.create_subprocess_exec(
            *(sys.executable, str(script), str(self.folder), "bob"),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        async with asyncio.timeout(30):
            out, err = await client.communicate()
        return client.returncode, out.decode(), err.decode()


@pytest.fixture
async def inventory(tmp_path: Path) -> AsyncIterator[Inventory]:
    async with running() as world:
        await with_template(world.store)
        anna = Person(until=datetime.now(UTC) + timedelta(days=1))
        clerk = await Clerk.hired(world.store, anna, "restricted")
        identity = await world.lab_station()
        store_identity(tmp_path, identity)
        line = GrpcBackend(identity, SystemClock())
        await line.log_on(anna.prove(await line.challenge(LogonPurpose.LOG_ON)))
        assert line.token.value is not None
        KeptSession(tmp_path).keep(line.token.value)
        yield Inventory(world, clerk, tmp_path, line)
        await line.close()


def test_it_is_short_and_needs_nothing_of_ours() -> None:
    lines = [line for line in the_client().splitlines() if line and not line.startswith(("import", "from"))]
    assert len(lines) <= 20
    assert not re.search(
        r"\b(kiosk|shared|server)\b[.\w]* import|import (kiosk|shared|server)\b", the_client()
    )


async def test_it_lists_credentials(inventory: Inventory) -> None:
    code, said, wrong = await inventory.run()
    assert (code, wrong) == (0, "")
    (credential,) = json.loads(said)["credentials"]
    assert (credential["holderName"], credential["state"]) == ("Bob", "STATE_ACTIVE")


async def test_it_is_refused_when_the_session_has_ended(inventory: Inventory) -> None:
    await inventory.line.log_off()
    code, said, wrong = await inventory.run()
    assert (code, said) == (1, "")
    assert "PERMISSION_DENIED" in wrong
    assert inventory.line.token.value is None


async def test_it_is_refused_what_no_role_gives(inventory: Inventory) -> None:
    await inventory.world.store.operators.set_roles(inventory.clerk.operator.operator_id, (), EVIDENCE)
    code, said, wrong = await inventory.run()
    assert (code, said) == (1, "")
    assert "PERMISSION_DENIED" in wrong


async def test_it_is_refused_at_another_station(inventory: Inventory) -> None:
    store_identity(inventory.folder, await inventory.world.lab_station())
    code, said, wrong = await inventory.run()
    assert (code, said) == (1, "")
    assert "PERMISSION_DENIED" in wrong
