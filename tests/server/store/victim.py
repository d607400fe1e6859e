"""A program that writes until it is killed: one line on standard output for every write that was acknowledged.

`python -m tests.server.store.victim FILE`, the key as hex on standard input.
"""

import asyncio
import sys
from pathlib import Path
from uuid import UUID

from server.ports.store import SecretChanged
from server.store.database import open_store
from shared.clock import SystemClock
from shared.credential.model import SecretKind, SecretRecord, SecretVersion, StationId
from shared.secret import Secret
from tests.server.store.examples import EVIDENCE, a_card, an_opening


def tell(what: object) -> None:
    sys.stdout.write(f"{what}\n")
    sys.stdout.flush()


async def write_for_ever(path: Path, key: Secret) -> None:
    store = open_store(path, key, SystemClock())
    card = a_card()
    lease = await store.cards.open(an_opening(card, StationId(UUID(int=1))))
    tell(card.record_id)
    count = 0
    while True:
        count += 1
        value = SecretRecord(proven=SecretVersion(1, count))
        change = SecretChanged(kind=SecretKind.PUK, value=value)
        await store.cards.apply(lease, [EVIDENCE, change])
        tell(count)


if __name__ == "__main__":
    asyncio.run(write_for_ever(Path(sys.argv[1]), Secret(bytes.fromhex(sys.stdin.readline()))))
