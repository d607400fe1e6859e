"""The tables.

Explicit columns, closed sets of values as CHECK constraints, rules about rows as unique indexes: what the
database can refuse, it refuses. Times are whole microseconds since 1970 in UTC, except `lease.expires_at`, which
is the database's own clock in milliseconds. Ids are UUIDs. Only types that SQLite and PostgreSQL both have.
"""

import uuid
from typing import Final

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
    UniqueConstraint,
    Uuid,
    event,
)
from sqlalchemy.schema import DDL

from server.ports.store import AuditKind, Standing, StationState
from server.store import application_schema as application_schema  # noqa: PLC0414  # its tables belong to these
from server.store import approval_schema as approval_schema  # noqa: PLC0414  # its tables belong to these
from server.store import connection_schema as connection_schema  # noqa: PLC0414  # its tables belong to these
from server.store import holder_schema as holder_schema  # noqa: PLC0414  # its tables belong to these
from server.store import operator_schema as operator_schema  # noqa: PLC0414  # its tables belong to these
from server.store import write_back_schema as write_back_schema  # noqa: PLC0414  # its tables belong to these
from server.store.columns import Instant, choice, flag
from server.store.metadata import metadata as metadata  # noqa: PLC0414  # of all tables
from server.store.rules import CLOSED_CREDENTIAL
from shared.credential.model import CertificateAction, CertificateState, KeyState, PinState, SecretKind, State
from shared.piv.ids import Algorithm, ManagementAlgorithm, Slot, TouchPolicyId

REVISION: Final = "0015"
"""The migration that makes exactly these tables."""


def _card(*, primary_key: bool = False, index: bool = False) -> "Column[uuid.UUID]":
    """Return the column that says whose row it is."""
    return Column(
        "record_id",
        Uuid(),
        ForeignKey("card.record_id"),
        nullable=False,
        primary_key=primary_key,
        index=index,
    )


def _template() -> ForeignKeyConstraint:
    return ForeignKeyConstraint(
        ["template_name", "template_version", "template_digest"],
        ["template.name", "template.version", "template.digest"],
    )


# --- cards and their journal -----------------------------------------------------------------------------

card: Final = Table(
    "card",
    metadata,
    Column("record_id", Uuid(), primary_key=True),
    *choice("state", State),
    Column("profile", String(), nullable=False),
    Column("serial", BigInteger()),
    flag("virtual"),
    *choice("management_algorithm", ManagementAlgorithm),
    *choice("pin", PinState),
    flag("puk_disclosed"),
    flag("key_disclosed"),
    Column("registered_at", Instant(), nullable=False),
    Index(None, "serial", "profile"),
    sqlite_with_rowid=False,
)

card_secret: Final = Table(
    "card_secret",
    metadata,
    _card(primary_key=True),
    *choice("kind", SecretKind, primary_key=True),
    Column("proven_generation", Integer()),
    Column("proven_count", Integer()),
    Column("pending_generation", Integer()),
    Column("pending_count", Integer()),
    CheckConstraint("(proven_generation IS NULL) = (proven_count IS NULL)", name="proven"),
    CheckConstraint("(pending_generation IS NULL) = (pending_count IS NULL)", name="pending"),
    sqlite_with_rowid=False,
)

card_key: Final = Table(
    "card_key",
    metadata,
    _card(primary_key=True),
    *choice("slot", Slot, primary_key=True),
    *choice("algorithm", Algorithm),
    *choice("state", KeyState),
    Column("public_key", LargeBinary(), nullable=False),
    *choice("touch", TouchPolicyId, nullable=True),
    sqlite_with_rowid=False,
)

card_carrier: Final = Table(
    "card_carrier",
    metadata,
    _card(primary_key=True),
    Column("station_id", Uuid(), primary_key=True, index=True),
    Column("carried_at", Instant(), nullable=False),
    sqlite_with_rowid=False,
)
"""Stations that carried secrets of a card, each with the last time."""

certificate: Final = Table(
    "certificate",
    metadata,
    Column("number", Integer(), primary_key=True),
    Column("request_id", Uuid(), nullable=False, unique=True),
    _card(index=True),
    *choice("slot", Slot),
    Column("connection", String(), nullable=False),
    Column("profile", String(), nullable=False),
    Column("public_key", LargeBinary(), nullable=False),
    *choice("state", CertificateState),
    Column("certificate", LargeBinary(), nullable=False),
    Column("reference", String(), nullable=False),
    Column("not_after", Instant(), index=True),
    Index(None, "public_key"),
)

certificate_task: Final = Table(
    "certificate_task",
    metadata,
    Column("number", Integer(), primary_key=True),
    Column("request_id", Uuid(), ForeignKey("certificate.request_id"), nullable=False, unique=True),
    _card(index=True),
    Column("connection", String(), nullable=False),
    *choice("action", CertificateAction),
    Column("reason", String(), nullable=False),
    Column("asked_at", Instant(), nullable=False),
    Column("next_at", Instant(), nullable=False, index=True),
    Column("attempts", Integer(), nullable=False),
    Column("failure", String(), nullable=False),
)
"""What certificate authorities still have to do, at most one row for a certificate."""

credential: Final = Table(
    "credential",
    metadata,
    Column("number", Integer(), primary_key=True),
    Column("credential_id", Uuid(), nullable=False, unique=True),
    _card(index=True),
    Column("holder", String(), nullable=False, index=True),
    Column("holder_name", String(), nullable=False),
    Column("template_name", String(), nullable=False),
    Column("template_version", Integer(), nullable=False),
    Column("template_digest", LargeBinary(), nullable=False),
    *choice("state", State),
    Column("issued_at", Instant()),
    Column("activated_at", Instant()),
    Column("reason", String(), nullable=False),
    Column("since", Instant()),
    Column("ends_at", Instant(), index=True),
    Column("primary_id", Uuid(), ForeignKey("credential.credential_id")),
    Column("replaces_id", Uuid(), ForeignKey("credential.credential_id")),
    Column("pin_set_at", Instant()),
    flag("pin_change_due"),
    Column("words", Text(), nullable=False),
    Column("roles", String(), nullable=False),
    _template(),
)
"""`words` is what a person is found by: name and id, folded (`rules.words`). `roles` are names with blanks between."""

Index(
    "uq_credential_open",
    credential.c.record_id,
    unique=True,
    sqlite_where=credential.c.state.not_in(sorted(CLOSED_CREDENTIAL)),
    postgresql_where=credential.c.state.not_in(sorted(CLOSED_CREDENTIAL)),
)

operation: Final = Table(
    "operation",
    metadata,
    Column("operation_id", Uuid(), primary_key=True),
    _card(index=True),
    Column("kind", String(), nullable=False),
    Column("holder", String(), nullable=False),
    Column("reason", String(), nullable=False),
    Column("primary_id", Uuid(), ForeignKey("credential.credential_id")),
    Column("replaces_id", Uuid(), ForeignKey("credential.credential_id")),
    Column("template_name", String()),
    Column("template_version", Integer()),
    Column("template_digest", LargeBinary()),
    Column("station_id", Uuid(), nullable=False),
    Column("began_at", Instant(), nullable=False),
    Column("ended_at", Instant()),
    Column("code", String(), nullable=False),
    Column("roles", String(), nullable=False),
    _template(),
    sqlite_with_rowid=False,
)

Index(
    "uq_operation_open",
    operation.c.record_id,
    unique=True,
    sqlite_where=operation.c.ended_at.is_(None),
    postgresql_where=operation.c.ended_at.is_(None),
)

lease: Final = Table(
    "lease",
    metadata,
    _card(primary_key=True),
    Column("operation_id", Uuid(), ForeignKey("operation.operation_id"), nullable=False),
    Column("station_id", Uuid(), nullable=False),
    Column("epoch", BigInteger(), nullable=False),
    flag("live"),
    flag("proven"),
    Column("expires_at", BigInteger(), nullable=False),
    sqlite_with_rowid=False,
)
"""The newest lease of every card. No foreign key to `station`: leases judge cards, not who may call."""

unblock_code: Final = Table(
    "unblock_code",
    metadata,
    Column("credential_id", Uuid(), ForeignKey("credential.credential_id"), primary_key=True),
    Column("digest", LargeBinary(), nullable=False),
    Column("expires_at", Instant(), nullable=False),
    Column("attempts_left", Integer(), nullable=False),
    CheckConstraint("attempts_left >= 1", name="attempts_left"),
    sqlite_with_rowid=False,
)

# --- templates, stations ---------------------------------------------------------------------------------

template: Final = Table(
    "template",
    metadata,
    Column("name", String(), primary_key=True),
    Column("version", Integer(), primary_key=True, autoincrement=False),
    Column("digest", LargeBinary(), nullable=False),
    Column("text", Text(), nullable=False),
    Column("applied_at", Instant(), nullable=False),
    UniqueConstraint("name", "version", "digest"),
    CheckConstraint("version >= 1", name="version"),
)

station: Final = Table(
    "station",
    metadata,
    Column("station_id", Uuid(), primary_key=True),
    Column("name", String(), nullable=False),
    Column("fingerprint", LargeBinary(), nullable=False, unique=True),
    flag("lab"),
    *choice("state", StationState),
    Column("joined_at", Instant(), nullable=False),
    Column("not_after", Instant(), nullable=False),
)

station_certificate: Final = Table(
    "station_certificate",
    metadata,
    Column("fingerprint", LargeBinary(), primary_key=True),
    Column("station_id", Uuid(), ForeignKey("station.station_id"), nullable=False),
    *choice("standing", Standing),
    Column("not_after", Instant(), nullable=False),
    UniqueConstraint("station_id", "standing"),
    CheckConstraint("standing != 'current'", name="other"),
    sqlite_with_rowid=False,
)
"""By what else than its current certificate a station is known: the renewed one, and the one before."""

station_profile: Final = Table(
    "station_profile",
    metadata,
    Column("station_id", Uuid(), ForeignKey("station.station_id"), primary_key=True),
    Column("document", Text(), nullable=False),
    sqlite_with_rowid=False,
)
"""What a station may be used for; no row where that is everything."""

join_token: Final = Table(
    "join_token",
    metadata,
    Column("digest", LargeBinary(), primary_key=True),
    Column("name", String(), nullable=False),
    flag("lab"),
    Column("expires_at", Instant(), nullable=False),
    Column("spent_at", Instant()),
)

# --- the built-in certificate authority's book --------------------------------------------------------------

ledger: Final = Table(
    "ledger",
    metadata,
    Column("number", Integer(), primary_key=True),
    Column("serial", LargeBinary(), nullable=False, unique=True),
    Column("request_id", Uuid(), unique=True),
    Column("key_digest", LargeBinary(), nullable=False, index=True),
    Column("public_key", LargeBinary(), nullable=False),
    Column("certificate", LargeBinary(), nullable=False),
    Column("not_after", Instant(), nullable=False),
    Column("revoked_at", Instant()),
    Column("reason", String(), nullable=False),
)

Index(
    "ix_ledger_revoked",
    ledger.c.not_after,
    sqlite_where=ledger.c.revoked_at.is_not(None),
    postgresql_where=ledger.c.revoked_at.is_not(None),
)

counter: Final = Table(
    "counter",
    metadata,
    Column("name", String(), primary_key=True),
    Column("value", BigInteger(), nullable=False),
    sqlite_with_rowid=False,
)
"""Numbers that only rise, such as that of the revocation list."""

job: Final = Table(
    "job",
    metadata,
    Column("name", String(), primary_key=True),
    Column("holder", String(), nullable=False),
    Column("expires_at", Instant(), nullable=False),
    Column("last_run_at", Instant()),
    Column("note", String(), nullable=False),
    sqlite_with_rowid=False,
)
"""Jobs, each with the server process that has it."""

# --- evidence ------------------------------------------------------------------------------------------------

audit: Final = Table(
    "audit",
    metadata,
    Column("position", Integer(), primary_key=True, autoincrement=False),
    Column("at", Instant(), nullable=False),
    *choice("kind", AuditKind),
    Column("event", String(), nullable=False),
    Column("actor", String(), nullable=False),
    Column("subject", String(), nullable=False, index=True),
    Column("facts", Text(), nullable=False),
    Column("leaf", LargeBinary(), nullable=False),
)

AUDIT_TRIGGERS: Final = (
    """CREATE TRIGGER audit_keeps_rows BEFORE DELETE ON audit
    BEGIN SELECT RAISE(ABORT, 'audit is append-only'); END""",
    """CREATE TRIGGER audit_keeps_values BEFORE UPDATE ON audit
    BEGIN SELECT RAISE(ABORT, 'audit is append-only'); END""",
    """CREATE TRIGGER audit_is_dense BEFORE INSERT ON audit
    WHEN NEW.position IS NOT (SELECT coalesce(max(position) + 1, 0) FROM audit)
    BEGIN SELECT RAISE(ABORT, 'audit has no gaps'); END""",
)
"""For SQLite. They keep faults of this program away; against an administrator of the file helps the hash tree."""

for _trigger in AUDIT_TRIGGERS:
    _make = DDL(_trigger)  # type: ignore[no-untyped-call]  # SQLAlchemy left its initialiser untyped
    event.listen(audit, "after_create", _make.execute_if(dialect="sqlite"))
