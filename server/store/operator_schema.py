"""The tables of operators: who they are, what logs them on, what they may do, and their sessions."""

from typing import Final

from sqlalchemy import (
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
    Uuid,
)

from server.ports.store import LogonMethod, OperatorKind, OperatorState, SessionEnd
from server.store.columns import Instant, choice, flag
from server.store.metadata import metadata

operator: Final = Table(
    "operator",
    metadata,
    Column("operator_id", Uuid(), primary_key=True),
    Column("name", String(), nullable=False),
    Column("holder", String(), index=True),
    *choice("kind", OperatorKind),
    *choice("state", OperatorState),
    Column("registered_at", Instant(), nullable=False),
    Column("last_logon_at", Instant()),
    Column("failed_logons", Integer(), nullable=False),
    Column("locked_until", Instant()),
    CheckConstraint("failed_logons >= 0", name="failed_logons"),
    sqlite_with_rowid=False,
)

Index(
    "uq_operator_system_owner",
    operator.c.kind,
    unique=True,
    sqlite_where=operator.c.kind == OperatorKind.SYSTEM_OWNER,
    postgresql_where=operator.c.kind == OperatorKind.SYSTEM_OWNER,
)
"""There is one System Owner: of two first starts at the same time, one is refused."""

operator_role: Final = Table(
    "operator_role",
    metadata,
    Column("operator_id", Uuid(), ForeignKey("operator.operator_id"), primary_key=True),
    Column("role", String(), primary_key=True, index=True),
    sqlite_with_rowid=False,
)
"""No foreign key to `role`: presets are in the program."""

operator_key: Final = Table(
    "operator_key",
    metadata,
    Column("number", Integer(), primary_key=True),
    Column("digest", LargeBinary(), nullable=False, unique=True),
    Column("operator_id", Uuid(), ForeignKey("operator.operator_id"), nullable=False, index=True),
    *choice("method", LogonMethod),
    Column("credential_id", Uuid(), ForeignKey("credential.credential_id"), index=True),
    flag("active"),
)

role: Final = Table(
    "role",
    metadata,
    Column("name", String(), primary_key=True),
    Column("document", Text(), nullable=False),
    flag("preset"),
    Column("changed_at", Instant(), nullable=False),
    sqlite_with_rowid=False,
)

session: Final = Table(
    "session",
    metadata,
    Column("number", Integer(), primary_key=True),
    Column("session_id", Uuid(), nullable=False, unique=True),
    Column("token_digest", LargeBinary(), nullable=False, unique=True),
    Column("operator_id", Uuid(), ForeignKey("operator.operator_id"), nullable=False, index=True),
    Column("key_digest", LargeBinary(), ForeignKey("operator_key.digest"), nullable=False),
    *choice("method", LogonMethod),
    Column("station_id", Uuid(), ForeignKey("station.station_id"), nullable=False),
    Column("fingerprint", LargeBinary(), nullable=False),
    Column("began_at", Instant(), nullable=False),
    Column("last_seen_at", Instant(), nullable=False),
    Column("expires_at", Instant(), nullable=False),
    Column("stepped_up_at", Instant()),
    Column("ended_at", Instant()),
    *choice("why", SessionEnd, nullable=True),
    CheckConstraint("(ended_at IS NULL) = (why IS NULL)", name="ended"),
)

Index(
    "ix_session_live",
    session.c.began_at,
    sqlite_where=session.c.ended_at.is_(None),
    postgresql_where=session.c.ended_at.is_(None),
)

challenge: Final = Table(
    "challenge",
    metadata,
    Column("digest", LargeBinary(), primary_key=True),
    Column("station_id", Uuid(), nullable=False),
    Column("purpose", String(), nullable=False),
    Column("expires_at", Instant(), nullable=False, index=True),
    sqlite_with_rowid=False,
)

passcode: Final = Table(
    "passcode",
    metadata,
    Column("number", Integer(), primary_key=True, autoincrement=False),
    Column("salt", LargeBinary(), nullable=False),
    Column("digest", LargeBinary(), nullable=False),
    Column("cost", Integer(), nullable=False),
    Column("block_size", Integer(), nullable=False),
    Column("parallelism", Integer(), nullable=False),
    Column("made_at", Instant(), nullable=False),
    Column("expires_at", Instant()),
    Column("failures", Integer(), nullable=False),
    Column("locked_until", Instant()),
    Column("token_digest", LargeBinary()),
    Column("station_id", Uuid(), ForeignKey("station.station_id")),
    Column("fingerprint", LargeBinary()),
    Column("session_until", Instant()),
    CheckConstraint("number = 1", name="number"),
    CheckConstraint(
        "(token_digest IS NULL) = (station_id IS NULL) AND (token_digest IS NULL) = (fingerprint IS NULL)"
        " AND (token_digest IS NULL) = (session_until IS NULL)",
        name="session",
    ),
)
"""At most one row, until the first operator's card is active; with the one session that it opened."""
