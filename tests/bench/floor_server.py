"""The server's side of the floor, a process of its own: `python -m tests.bench.floor_server FOLDER`.

It prints its port and serves until its standard input closes. Messages are bytes; no protobuf, no records,
no checks: only the work of `tests.bench.work`.
"""

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final

import grpc
import sqlcipher3
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec

from tests.bench.identity import SERVER, Identity
from tests.bench.work import RECORD_BYTES, Round, Work

SERVICE: Final = "floor.Floor"
ALGORITHM: Final = ec.ECDSA(hashes.SHA256())


class Ledger:
    """An encrypted database with one table; a commit is on the disk when it returns."""

    def __init__(self, path: Path) -> None:
        """Make the file."""
        self._connection: Any = sqlcipher3.connect(str(path), isolation_level=None, check_same_thread=False)
        self._connection.execute(f"PRAGMA key = \"x'{os.urandom(32).hex()}'\"")
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = FULL")
        self._connection.execute("CREATE TABLE record (id INTEGER PRIMARY KEY, body BLOB)")
        self._thread = ThreadPoolExecutor(1, "ledger")
        self.seconds: list[float] = []

    async def commit(self) -> None:
        """Write one record durably."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._commit)

    def _commit(self) -> None:
        begun = time.perf_counter()
        self._connection.execute("BEGIN IMMEDIATE")
        self._connection.execute("INSERT INTO record (body) VALUES (?)", (os.urandom(RECORD_BYTES),))
        self._connection.execute("COMMIT")
        self.seconds.append(time.perf_counter() - begun)

    def close(self) -> None:
        """End the thread and close the file."""
        self._thread.shutdown()
        self._connection.close()


class Floor:
    """One stream a card, and the figures of the process."""

    def __init__(self, ledger: Ledger, work: Work) -> None:
        """Do the server's part of `work` for every card."""
        self._ledger = ledger
        self._work = work
        self._key = ec.generate_private_key(ec.SECP256R1())

    async def card(self, turns: AsyncIterator[bytes], _context: Any) -> AsyncIterator[bytes]:
        """Drive one card: what the station sent last is verified before the next message."""
        answer = await anext(turns)
        for each in self._work.rounds:
            self._verify(answer, each.server_verifies)
            for _ in range(each.server_signs):
                self._key.sign(os.urandom(each.down), ALGORITHM)
            for _ in range(each.commits):
                await self._ledger.commit()
            for _ in range(each.messages):
                yield bytes(each.down // each.messages)
            answer = await anext(turns)
        self._verify(answer, self._work.last_verifications)
        yield b"done"

    async def figures(self, _request: bytes, _context: Any) -> bytes:
        """Return processor seconds and every commit's seconds since the last call."""
        seconds, self._ledger.seconds = self._ledger.seconds, []
        return json.dumps({"cpu": time.process_time(), "commits": seconds}).encode()

    def _verify(self, answer: bytes, count: int) -> None:
        """Verify the signature that the station sent, `count` times: public key (65), length, signature, message."""
        if not count:
            return
        key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), answer[:65])
        end = 66 + answer[65]
        for _ in range(count):
            key.verify(answer[66:end], answer[end:], ALGORITHM)


async def main(folder: Path) -> None:
    """Serve until standard input closes."""
    told = json.loads((folder / "work.json").read_text())
    work = Work(
        rounds=tuple(Round(**each) for each in told["rounds"]), last_verifications=told["last_verifications"]
    )
    ledger = Ledger(folder / "floor.db")
    floor = Floor(ledger, work)
    server = grpc.aio.server()
    handlers: dict[str, grpc.RpcMethodHandler[bytes, bytes]] = {
        "Card": grpc.stream_stream_rpc_method_handler(floor.card),
        "Figures": grpc.unary_unary_rpc_method_handler(floor.figures),
    }
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    credentials = Identity.load(folder, SERVER).server_credentials()
    port = server.add_secure_port("127.0.0.1:0", credentials)
    await server.start()
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.read)
    await server.stop(None)
    ledger.close()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1])))
