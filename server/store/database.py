"""Open the embedded database: SQLite, encrypted as a whole with SQLCipher.

The key is 32 random bytes that the key store keeps; SQLCipher takes them as they are and derives nothing. The
file, its write-ahead log and its journal are encrypted page by page with AES-256 and authenticated with
HMAC-SHA512, so that a wrong key and a damaged page look the same.

Sources: [SQLCipher] API, PRAGMA key; [SQLite] Write-Ahead Logging, PRAGMA synchronous.
"""

import os
from pathlib import Path
from typing import Any, Final

import sqlcipher3
from sqlalchemy import Connection as SqlConnection
from sqlalchemy import Engine, create_engine, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import StaticPool

from server.store.approvals import ApprovalTables
from server.store.cards import CardTables
from server.store.codes import CodeTable
from server.store.connections import ConnectionTable
from server.store.credentials import CredentialTables
from server.store.evidence import AuditTable
from server.store.holders import HolderTables
from server.store.jobs import JobTable
from server.store.ledger import LedgerTable
from server.store.operators import OperatorTables
from server.store.passcode import PasscodeTable
from server.store.roles import RoleTable
from server.store.schema import REVISION
from server.store.sessions import ChallengeTable, SessionTable
from server.store.stations import StationTables
from server.store.tasks import TaskTable
from server.store.templates import TemplateTable
from server.store.write_backs import WriteBackTable
from server.store.writer import Writer
from shared import errors
from shared.clock import Clock
from shared.secret import Secret

KEY_LENGTH: Final = 32
BUSY_TIMEOUT_MS: Final = 5000
"""How long to wait for another program that reads the file, such as a backup."""


class Database:
    """The port `Store`, kept in a file."""

    def __init__(self, writer: Writer, clock: Clock) -> None:
        """Work through `writer`; `clock` stamps records."""
        self._writer = writer
        self.cards: Final = CardTables(writer, clock)
        self.credentials: Final = CredentialTables(writer)
        self.tasks: Final = TaskTable(writer, clock)
        self.write_backs: Final = WriteBackTable(writer, clock)
        self.codes: Final = CodeTable(writer, clock)
        self.jobs: Final = JobTable(writer)
        self.templates: Final = TemplateTable(writer, clock)
        self.stations: Final = StationTables(writer, clock)
        self.operators: Final = OperatorTables(writer, clock)
        self.roles: Final = RoleTable(writer, clock)
        self.sessions: Final = SessionTable(writer, clock)
        self.challenges: Final = ChallengeTable(writer)
        self.holders: Final = HolderTables(writer, clock)
        self.approvals: Final = ApprovalTables(writer, clock)
        self.passcode: Final = PasscodeTable(writer, clock)
        self.connections: Final = ConnectionTable(writer, clock)
        self.ledger: Final = LedgerTable(writer, clock)
        self.audit: Final = AuditTable(writer, clock)

    @property
    def commits(self) -> int:
        """How many durable commits were made since start; writes that went together count once."""
        return self._writer.commits

    async def close(self) -> None:
        """Finish what was handed over and close the file."""
        await self._writer.close()


def create_store(path: Path, key: Secret, clock: Clock) -> Database:
    """Make a new database at `path`, readable by its owner alone, and open it.

    Raises:
        StoreUnavailable: something is there already, or the file cannot be made.
    """
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o600))
    except OSError as error:
        raise errors.StoreUnavailable(why=f"{path}: {error.strerror}") from error
    upgrade_store(path, key)
    return open_store(path, key, clock)


def open_store(path: Path, key: Secret, clock: Clock) -> Database:
    """Open the database at `path`.

    Raises:
        StoreUnavailable: there is none, the key is wrong, the file is damaged, or its tables are of another
            version than this program's.
    """
    if path.is_file() and not path.stat().st_size:
        raise errors.StoreUnavailable(why=f"{path}: the file is empty")  # which SQLite would fill
    connection = connect(path, key)
    try:
        _check_revision(connection)
    except errors.StoreUnavailable:
        connection.close()
        raise
    return Database(Writer(connection), clock)


def upgrade_store(path: Path, key: Secret) -> None:
    """Bring the tables at `path` to this program's version, as a whole or not at all.

    Raises:
        StoreUnavailable: the file does not open, or its tables are newer than this program.
    """
    from server.store.migrate import migrate  # noqa: PLC0415  # serving does not wait for Alembic to load

    connection = connect(path, key)
    engine = engine_over(connection)
    try:
        connection.execute("PRAGMA foreign_keys = OFF")  # tables that are made anew are dropped in between
        with engine.begin() as transaction:
            migrate(transaction)
            _check_references(transaction)
    except DBAPIError as error:
        raise errors.StoreUnavailable(why=str(error.orig)) from error
    finally:
        engine.dispose()
        connection.close()


def connect(path: Path, key: Secret) -> Any:
    """Open the file and set it up; the connection begins and ends transactions only when told to.

    Raises:
        StoreUnavailable: there is no file, the key is wrong or the file is damaged.
    """
    raw = key.reveal()
    if len(raw) != KEY_LENGTH:
        raise errors.StoreUnavailable(why=f"the key must have {KEY_LENGTH} bytes")
    if not path.is_file():
        raise errors.StoreUnavailable(why=f"{path}: no such file")
    connection: Any = None
    try:
        connection = sqlcipher3.connect(str(path), isolation_level=None, check_same_thread=False)
        connection.execute("PRAGMA cipher_log_level = NONE")  # it would write to standard error
        connection.execute(f"PRAGMA key = \"x'{raw.hex()}'\"")  # the driver binds no values in a PRAGMA
        connection.execute("SELECT count(*) FROM sqlite_master").fetchall()
        _set_up(connection)
    except sqlcipher3.Error as error:
        if connection is not None:
            connection.close()
        why = "wrong key or damaged file" if "not a database" in str(error) else str(error)
        raise errors.StoreUnavailable(why=why) from error
    return connection


def _set_up(connection: Any) -> None:
    mode = connection.execute("PRAGMA journal_mode = WAL").fetchone()[0]
    if mode != "wal":
        raise errors.StoreUnavailable(why="no write-ahead log on this file system")
    for setting in (
        "synchronous = FULL",  # a commit has reached the disk when it returns
        f"busy_timeout = {BUSY_TIMEOUT_MS}",
        "foreign_keys = ON",
        "recursive_triggers = ON",  # so that INSERT OR REPLACE fires the triggers of DELETE
        "trusted_schema = OFF",
    ):
        connection.execute(f"PRAGMA {setting}")


def _check_revision(connection: Any) -> None:
    """Refuse tables of another version than this program's."""
    try:
        row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
    except sqlcipher3.Error as error:
        raise errors.StoreUnavailable(why=f"no tables of ours: {error}") from error
    if row is None or row[0] != REVISION:
        found = "none" if row is None else row[0]
        raise errors.StoreUnavailable(why=f"tables of version {found}, this program needs {REVISION}")


def engine_over(connection: Any) -> Engine:
    """Return an engine over this one connection, whose transactions are real ones."""
    engine = create_engine(
        "sqlite://", module=sqlcipher3.dbapi2, creator=lambda: connection, poolclass=StaticPool
    )

    @event.listens_for(engine, "begin")
    def _begin(transaction: SqlConnection) -> None:
        transaction.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


def _check_references(transaction: SqlConnection) -> None:
    """Refuse tables whose rows point nowhere, before they are committed."""
    broken = transaction.exec_driver_sql("PRAGMA foreign_key_check").fetchall()
    if broken:
        raise errors.StoreUnavailable(why=f"{len(broken)} rows of {broken[0][0]} point nowhere")
