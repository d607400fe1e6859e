import asyncio
import logging
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path
from uuid import UUID

import pytest
import sqlcipher3

from server.ports.store import StoredTemplate
from server.store.database import Database, connect, create_store, open_store, upgrade_store
from shared import errors
from shared.credential.model import RecordId
from shared.secret import Secret
from tests.server.store.examples import BADGE, EVIDENCE, NOON, FixedClock, with_template

KEY = bytes(range(100, 132))
CANARY = "Canary-7f3b-in-a-template"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


@pytest.fixture
def made(path: Path) -> Path:
    """Return a store with a template in it."""

    async def make() -> None:
        store = create_store(path, Secret(KEY), FixedClock())
        await with_template(store)
        await store.close()

    asyncio.run(make())
    return path


def contents(*files: Path) -> list[bytes]:
    return [file.read_bytes() for file in files]


async def test_nothing_is_readable_without_the_key(path: Path) -> None:
    store = create_store(path, Secret(KEY), FixedClock())
    await store.templates.add(StoredTemplate(ref=BADGE, text=CANARY, applied_at=NOON), EVIDENCE)
    for content in contents(path, path.with_name("store.db-wal")):
        assert len(content) > 4096
        for plain in (CANARY.encode(), b"SQLite format 3", b"CREATE TABLE", EVIDENCE.event.encode()):
            assert plain not in content
    await store.close()
    assert CANARY.encode() not in contents(path)[0]


def modes_in(folder: Path) -> set[int]:
    return {stat.S_IMODE(file.stat().st_mode) for file in folder.iterdir()}


async def test_files_are_private(path: Path) -> None:
    before = os.umask(0)
    try:
        store = create_store(path, Secret(KEY), FixedClock())
        await with_template(store)
        modes = modes_in(path.parent)
        await store.close()
    finally:
        os.umask(before)
    assert modes == {0o600}


async def test_what_was_kept_is_there_after_opening_again(path: Path) -> None:
    store = create_store(path, Secret(KEY), FixedClock())
    await with_template(store)
    await store.close()
    again = open_store(path, Secret(KEY), FixedClock())
    assert await again.templates.latest("badge") is not None
    assert again.commits == 0
    await again.close()


async def test_a_closed_store_says_so(path: Path) -> None:
    store = create_store(path, Secret(KEY), FixedClock())
    await store.close()
    await store.close()
    with pytest.raises(errors.StoreUnavailable, match="closed"):
        await with_template(store)


@pytest.mark.parametrize("opening", [open_store, lambda path, key, _clock: upgrade_store(path, key)])
def test_a_wrong_key_opens_nothing(made: Path, opening: object, capfd: pytest.CaptureFixture[str]) -> None:
    assert callable(opening)
    with pytest.raises(errors.StoreUnavailable, match="wrong key or damaged file"):
        opening(made, Secret(bytes(32)), FixedClock())
    assert capfd.readouterr() == ("", "")


def test_a_key_has_its_length(made: Path) -> None:
    with pytest.raises(errors.StoreUnavailable, match="32 bytes"):
        open_store(made, Secret(b"short"), FixedClock())


def test_a_store_is_not_made_twice(made: Path) -> None:
    with pytest.raises(errors.StoreUnavailable, match="File exists"):
        create_store(made, Secret(KEY), FixedClock())
    asyncio.run(open_store(made, Secret(KEY), FixedClock()).close())


def test_no_store_is_made_by_opening(path: Path) -> None:
    with pytest.raises(errors.StoreUnavailable, match="no such file"):
        open_store(path, Secret(KEY), FixedClock())
    assert not path.exists()


def test_a_file_of_something_else_is_refused(path: Path) -> None:
    path.write_bytes(b"not a database at all " * 1000)
    with pytest.raises(errors.StoreUnavailable, match="wrong key or damaged"):
        open_store(path, Secret(KEY), FixedClock())


def damage(path: Path, table: str) -> None:
    """Flip one bit in the table's first page."""
    connection = connect(path, Secret(KEY))
    query = "SELECT rootpage FROM sqlite_master WHERE name = ?"
    page = connection.execute(query, (table,)).fetchone()[0]
    connection.close()
    content = bytearray(path.read_bytes())
    content[(page - 1) * 4096 + 100] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("opening", [open_store, lambda path, key, _clock: upgrade_store(path, key)])
def test_a_damaged_page_is_noticed_when_it_is_opened(made: Path, opening: object) -> None:
    assert callable(opening)
    damage(made, "alembic_version")
    with pytest.raises(errors.StoreUnavailable, match=r"malformed|corrupt|disk"):
        opening(made, Secret(KEY), FixedClock())


def test_rows_that_point_nowhere_stop_an_upgrade(made: Path) -> None:
    connection = connect(made, Secret(KEY))
    connection.execute("PRAGMA foreign_keys = OFF")
    connection.execute("INSERT INTO card_carrier VALUES ('0', '1', 2)")
    connection.close()
    with pytest.raises(errors.StoreUnavailable, match="1 rows of card_carrier point nowhere"):
        upgrade_store(made, Secret(KEY))


def test_a_damaged_page_is_noticed_when_it_is_read(made: Path) -> None:
    damage(made, "template")

    async def read() -> None:
        store = open_store(made, Secret(KEY), FixedClock())
        with pytest.raises(errors.StoreUnavailable):
            await store.templates.all_latest()
        await store.close()

    asyncio.run(read())


@pytest.mark.parametrize(
    ("statement", "why"),
    [
        ("UPDATE alembic_version SET version_num = '0000'", "tables of version 0000"),
        ("UPDATE alembic_version SET version_num = '9999'", "tables of version 9999"),
        ("DELETE FROM alembic_version", "tables of version none"),
        ("DROP TABLE alembic_version", "no tables of ours"),
    ],
)
def test_other_tables_than_ours_are_not_served(made: Path, statement: str, why: str) -> None:
    connection = connect(made, Secret(KEY))
    connection.execute(statement)
    connection.close()
    with pytest.raises(errors.StoreUnavailable, match=why):
        open_store(made, Secret(KEY), FixedClock())


def test_the_key_is_in_no_log_and_no_error(
    path: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.NOTSET)
    said = []
    asyncio.run(create_store(path, Secret(KEY), FixedClock()).close())
    path.write_bytes(path.read_bytes()[:5000])
    for key in (KEY, bytes(reversed(KEY))):
        with pytest.raises(errors.StoreUnavailable) as refused:
            open_store(path, Secret(key), FixedClock())
        said += [repr(refused.value), repr(refused.value.__cause__), str(refused.value.facts)]
    everything = "".join([*said, caplog.text, *capfd.readouterr()]).lower()
    for key in (KEY, bytes(reversed(KEY))):
        assert key.hex() not in everything
        assert repr(key).lower() not in everything


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE audit SET actor = 'nobody'",
        "DELETE FROM audit",
        "INSERT OR REPLACE INTO audit SELECT * FROM audit WHERE position = 0",
        "INSERT INTO audit SELECT 7, at, kind, event, actor, subject, facts, leaf FROM audit",
        "INSERT INTO audit SELECT NULL, at, kind, event, actor, subject, facts, leaf FROM audit",
    ],
)
async def test_evidence_is_append_only_in_the_database_itself(made: Path, statement: str) -> None:
    store = open_store(made, Secret(KEY), FixedClock())
    await store.audit.append([EVIDENCE])
    before = await store.audit.page(0, 10)
    connection = connect(made, Secret(KEY))
    with pytest.raises(sqlcipher3.IntegrityError, match="audit"):
        connection.execute(statement)
    connection.close()
    assert await store.audit.page(0, 10) == before
    await store.close()


@pytest.mark.parametrize("acknowledged", [1, 25, 60])
def test_what_was_acknowledged_survives_a_kill(made: Path, acknowledged: int) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "tests.server.store.victim", str(made)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as victim:
        assert victim.stdin is not None
        assert victim.stdout is not None
        print(KEY.hex(), file=victim.stdin, flush=True)
        record_id = RecordId(UUID(victim.stdout.readline().strip()))
        while int(victim.stdout.readline()) < acknowledged:
            pass
        victim.send_signal(signal.SIGKILL)
        told = [line for line in victim.stdout.read().split("\n")[:-1] if line]
    last = int(told[-1]) if told else acknowledged

    async def check() -> None:
        store = open_store(made, Secret(KEY), FixedClock())
        card = await store.cards.card(record_id)
        assert card is not None
        assert card.puk.proven is not None
        assert card.puk.proven.count in (last, last + 1)  # one more may be on the disk than it could tell
        evidence = await store.audit.page(1, 10_000)
        assert [entry.index for entry in evidence] == list(range(1, card.puk.proven.count + 1))
        await store.close()

    asyncio.run(check())


async def test_commits_that_wait_for_the_disk_go_together(path: Path) -> None:
    store: Database = create_store(path, Secret(KEY), FixedClock())
    await asyncio.gather(*(store.audit.append([EVIDENCE]) for _ in range(40)))
    assert len(await store.audit.page(0, 100)) == 40
    assert 1 <= store.commits < 40
    await store.close()
