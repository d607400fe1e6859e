import asyncio
import threading
from collections.abc import AsyncIterator
from typing import Any

import pytest
import sqlcipher3

from server.store.statements import Cursor
from server.store.writer import Work, Writer
from shared import errors


@pytest.fixture
async def writer() -> AsyncIterator[Writer]:
    connection = sqlcipher3.connect(":memory:", isolation_level=None, check_same_thread=False)
    connection.execute("CREATE TABLE t (a INTEGER PRIMARY KEY CHECK (a > 0))")
    writer = Writer(connection)
    yield writer
    await writer.close()


async def held(writer: Writer, release: threading.Event) -> None:
    await writer.read(lambda _cursor: release.wait(10))


def inserts(value: int) -> Work[int]:
    def work(cursor: Cursor) -> int:
        cursor.execute("INSERT INTO t VALUES (?)", (value,))
        return value

    return work


async def rows(writer: Writer) -> list[int]:
    def work(cursor: Cursor) -> list[int]:
        cursor.execute("SELECT a FROM t ORDER BY a")
        return [row[0] for row in cursor.fetchall()]

    return await writer.read(work)


async def together(writer: Writer, *works: Work[Any]) -> list[object]:
    """Hand over all works while the thread is busy, so that they are one group."""
    release = threading.Event()
    busy = asyncio.create_task(held(writer, release))
    await asyncio.sleep(0.02)
    tasks = [asyncio.create_task(writer.write(work)) for work in works]
    await asyncio.sleep(0)
    release.set()
    await busy
    return list(await asyncio.gather(*tasks, return_exceptions=True))


async def test_a_group_is_one_commit(writer: Writer) -> None:
    assert await together(writer, *(inserts(value) for value in range(1, 11))) == list(range(1, 11))
    assert writer.commits == 1


async def test_a_failure_takes_nothing_of_the_others_back(writer: Writer) -> None:
    def fails_late(cursor: Cursor) -> None:
        cursor.execute("INSERT INTO t VALUES (50)")
        raise errors.LeaseLost

    came = await together(writer, inserts(1), inserts(-1), fails_late, inserts(1), inserts(2))
    assert [type(each) for each in came] == [
        int,
        errors.StoreConflict,
        errors.LeaseLost,
        errors.StoreConflict,
        int,
    ]
    assert await rows(writer) == [1, 2]
    assert writer.commits == 1


async def test_a_group_of_failures_is_no_commit(writer: Writer) -> None:
    came = await together(writer, inserts(-1), inserts(-2))
    assert [type(each) for each in came] == [errors.StoreConflict] * 2
    assert writer.commits == 0


async def test_a_fault_reaches_who_asked_and_the_thread_goes_on(writer: Writer) -> None:
    def faulty(_cursor: Cursor) -> None:
        message = "a fault of ours"
        raise ZeroDivisionError(message)

    with pytest.raises(ZeroDivisionError):
        await writer.write(faulty)
    assert await writer.write(inserts(3)) == 3


async def test_a_lost_transaction_fails_everybody_in_it(writer: Writer) -> None:
    def loses_it(cursor: Cursor) -> None:
        cursor.execute("ROLLBACK")

    came = await together(writer, inserts(1), loses_it, inserts(2))
    assert [type(each) for each in came] == [errors.StoreUnavailable] * 3
    assert await rows(writer) == []
    assert await together(writer, inserts(4)) == [4]


async def test_who_stops_waiting_does_not_stop_the_write(writer: Writer) -> None:
    release = threading.Event()
    busy = asyncio.create_task(held(writer, release))
    await asyncio.sleep(0.02)
    leaving = asyncio.create_task(writer.write(inserts(9)))
    await asyncio.sleep(0)
    leaving.cancel()
    release.set()
    await busy
    with pytest.raises(asyncio.CancelledError):
        await leaving
    # writes keep their order; a read may overtake one that nobody waits for
    await writer.write(lambda _cursor: None)
    assert await rows(writer) == [9]


async def test_closing_finishes_what_was_handed_over(writer: Writer) -> None:
    release = threading.Event()
    busy = asyncio.create_task(held(writer, release))
    await asyncio.sleep(0.02)
    last = asyncio.create_task(writer.write(inserts(5)))
    await asyncio.sleep(0)
    closing = asyncio.create_task(writer.close())
    await asyncio.sleep(0.02)
    release.set()
    await asyncio.gather(busy, closing)
    assert await last == 5
    with pytest.raises(errors.StoreUnavailable):
        await writer.read(lambda _cursor: None)


async def test_the_thread_has_a_name(writer: Writer) -> None:
    assert await writer.read(lambda _cursor: threading.current_thread().name) == "store"
