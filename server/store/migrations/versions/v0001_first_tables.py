"""The first tables: cards and their journal, templates, stations, the certificate authority's book, evidence."""

from typing import Final

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

_AUDIT_TRIGGERS: Final = (
    """CREATE TRIGGER audit_keeps_rows BEFORE DELETE ON audit
    BEGIN SELECT RAISE(ABORT, 'audit is append-only'); END""",
    """CREATE TRIGGER audit_keeps_values BEFORE UPDATE ON audit
    BEGIN SELECT RAISE(ABORT, 'audit is append-only'); END""",
    """CREATE TRIGGER audit_is_dense BEFORE INSERT ON audit
    WHEN NEW.position IS NOT (SELECT coalesce(max(position) + 1, 0) FROM audit)
    BEGIN SELECT RAISE(ABORT, 'audit has no gaps'); END""",
)


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "audit",
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("at", sa.BigInteger(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("event", sa.String(), nullable=False),
        sa.Column("actor", sa.String(), nullable=False),
        sa.Column("subject", sa.String(), nullable=False),
        sa.Column("facts", sa.Text(), nullable=False),
        sa.Column("leaf", sa.LargeBinary(), nullable=False),
        sa.CheckConstraint(
            "kind IN ('key-used', 'operation', 'transition', 'station', 'template', 'refused', 'server')",
            name=op.f("ck_audit_kind"),
        ),
        sa.PrimaryKeyConstraint("position", name=op.f("pk_audit")),
    )
    op.create_index(op.f("ix_audit_subject"), "audit", ["subject"], unique=False)
    op.create_table(
        "card",
        sa.Column("record_id", sa.Uuid(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("profile", sa.String(), nullable=False),
        sa.Column("serial", sa.BigInteger(), nullable=True),
        sa.Column("virtual", sa.Boolean(create_constraint=True, name="virtual"), nullable=False),
        sa.Column("management_algorithm", sa.Integer(), nullable=False),
        sa.Column("pin", sa.String(), nullable=False),
        sa.Column("registered_at", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("pin IN ('factory', 'transport', 'holder', 'unknown')", name=op.f("ck_card_pin")),
        sa.CheckConstraint(
            "state IN ('unregistered', 'registered', 'issued', 'active', 'suspended', 'revoked', 'retired', 'deleted')",
            name=op.f("ck_card_state"),
        ),
        sa.CheckConstraint(
            "management_algorithm IN (3, 8, 10, 12)", name=op.f("ck_card_management_algorithm")
        ),
        sa.PrimaryKeyConstraint("record_id", name=op.f("pk_card")),
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_card_serial_profile"), "card", ["serial", "profile"], unique=False)
    op.create_table(
        "counter",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("value", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_counter")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "join_token",
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("lab", sa.Boolean(create_constraint=True, name="lab"), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("spent_at", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_join_token")),
    )
    op.create_table(
        "ledger",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("serial", sa.LargeBinary(), nullable=False),
        sa.Column("request_id", sa.Uuid(), nullable=True),
        sa.Column("key_digest", sa.LargeBinary(), nullable=False),
        sa.Column("public_key", sa.LargeBinary(), nullable=False),
        sa.Column("certificate", sa.LargeBinary(), nullable=False),
        sa.Column("not_after", sa.BigInteger(), nullable=False),
        sa.Column("revoked_at", sa.BigInteger(), nullable=True),
        sa.Column("reason", sa.String(), nullable=False),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_ledger")),
        sa.UniqueConstraint("request_id", name=op.f("uq_ledger_request_id")),
        sa.UniqueConstraint("serial", name=op.f("uq_ledger_serial")),
    )
    op.create_index(op.f("ix_ledger_key_digest"), "ledger", ["key_digest"], unique=False)
    op.create_index(
        "ix_ledger_revoked",
        "ledger",
        ["not_after"],
        unique=False,
        sqlite_where=sa.text("revoked_at IS NOT NULL"),
        postgresql_where=sa.text("revoked_at IS NOT NULL"),
    )
    op.create_table(
        "station",
        sa.Column("station_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("fingerprint", sa.LargeBinary(), nullable=False),
        sa.Column("lab", sa.Boolean(create_constraint=True, name="lab"), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("joined_at", sa.BigInteger(), nullable=False),
        sa.Column("not_after", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("state IN ('active', 'blocked')", name=op.f("ck_station_state")),
        sa.PrimaryKeyConstraint("station_id", name=op.f("pk_station")),
        sa.UniqueConstraint("fingerprint", name=op.f("uq_station_fingerprint")),
    )
    op.create_table(
        "template",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("text", sa.Text(), nullable=False),
        sa.Column("applied_at", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("version >= 1", name=op.f("ck_template_version")),
        sa.PrimaryKeyConstraint("name", "version", name=op.f("pk_template")),
        sa.UniqueConstraint("name", "version", "digest", name=op.f("uq_template_name_version_digest")),
    )
    op.create_table(
        "card_carrier",
        sa.Column("record_id", sa.Uuid(), nullable=False),
        sa.Column("station_id", sa.Uuid(), nullable=False),
        sa.Column("carried_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(["record_id"], ["card.record_id"], name=op.f("fk_card_carrier_record_id")),
        sa.PrimaryKeyConstraint("record_id", "station_id", name=op.f("pk_card_carrier")),
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_card_carrier_station_id"), "card_carrier", ["station_id"], unique=False)
    op.create_table(
        "card_key",
        sa.Column("record_id", sa.Uuid(), nullable=False),
        sa.Column("slot", sa.Integer(), nullable=False),
        sa.Column("algorithm", sa.Integer(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("public_key", sa.LargeBinary(), nullable=False),
        sa.CheckConstraint("state IN ('intended', 'unproven', 'proven')", name=op.f("ck_card_key_state")),
        sa.CheckConstraint("algorithm IN (7, 5, 22, 17, 20, 224, 225)", name=op.f("ck_card_key_algorithm")),
        sa.CheckConstraint(
            "slot IN (154, 156, 157, 158, 130, 131, 132, 133, 134, 135, 136, 137, 138, 139, 140, 141, 142, 143, 144, 145, 146, 147, 148, 149, 249)",
            name=op.f("ck_card_key_slot"),
        ),
        sa.ForeignKeyConstraint(["record_id"], ["card.record_id"], name=op.f("fk_card_key_record_id")),
        sa.PrimaryKeyConstraint("record_id", "slot", name=op.f("pk_card_key")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "card_secret",
        sa.Column("record_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("proven_generation", sa.Integer(), nullable=True),
        sa.Column("proven_count", sa.Integer(), nullable=True),
        sa.Column("pending_generation", sa.Integer(), nullable=True),
        sa.Column("pending_count", sa.Integer(), nullable=True),
        sa.CheckConstraint("kind IN ('management-key', 'puk')", name=op.f("ck_card_secret_kind")),
        sa.CheckConstraint(
            "(pending_generation IS NULL) = (pending_count IS NULL)", name=op.f("ck_card_secret_pending")
        ),
        sa.CheckConstraint(
            "(proven_generation IS NULL) = (proven_count IS NULL)", name=op.f("ck_card_secret_proven")
        ),
        sa.ForeignKeyConstraint(["record_id"], ["card.record_id"], name=op.f("fk_card_secret_record_id")),
        sa.PrimaryKeyConstraint("record_id", "kind", name=op.f("pk_card_secret")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "certificate",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("request_id", sa.Uuid(), nullable=False),
        sa.Column("record_id", sa.Uuid(), nullable=False),
        sa.Column("slot", sa.Integer(), nullable=False),
        sa.Column("connection", sa.String(), nullable=False),
        sa.Column("profile", sa.String(), nullable=False),
        sa.Column("public_key", sa.LargeBinary(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("certificate", sa.LargeBinary(), nullable=False),
        sa.CheckConstraint(
            "state IN ('requested', 'issued', 'confirmed', 'refused', 'revoked')",
            name=op.f("ck_certificate_state"),
        ),
        sa.CheckConstraint(
            "slot IN (154, 156, 157, 158, 130, 131, 132, 133, 134, 135, 136, 137, 138, 139, 140, 141, 142, 143, 144, 145, 146, 147, 148, 149, 249)",
            name=op.f("ck_certificate_slot"),
        ),
        sa.ForeignKeyConstraint(["record_id"], ["card.record_id"], name=op.f("fk_certificate_record_id")),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_certificate")),
        sa.UniqueConstraint("request_id", name=op.f("uq_certificate_request_id")),
    )
    op.create_index(op.f("ix_certificate_public_key"), "certificate", ["public_key"], unique=False)
    op.create_index(op.f("ix_certificate_record_id"), "certificate", ["record_id"], unique=False)
    op.create_table(
        "credential",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("credential_id", sa.Uuid(), nullable=False),
        sa.Column("record_id", sa.Uuid(), nullable=False),
        sa.Column("holder", sa.String(), nullable=False),
        sa.Column("holder_name", sa.String(), nullable=False),
        sa.Column("template_name", sa.String(), nullable=False),
        sa.Column("template_version", sa.Integer(), nullable=False),
        sa.Column("template_digest", sa.LargeBinary(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("issued_at", sa.BigInteger(), nullable=True),
        sa.Column("activated_at", sa.BigInteger(), nullable=True),
        sa.CheckConstraint(
            "state IN ('unregistered', 'registered', 'issued', 'active', 'suspended', 'revoked', 'retired', 'deleted')",
            name=op.f("ck_credential_state"),
        ),
        sa.ForeignKeyConstraint(["record_id"], ["card.record_id"], name=op.f("fk_credential_record_id")),
        sa.ForeignKeyConstraint(
            ["template_name", "template_version", "template_digest"],
            ["template.name", "template.version", "template.digest"],
            name=op.f("fk_credential_template_name_template_version_template_digest"),
        ),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_credential")),
        sa.UniqueConstraint("credential_id", name=op.f("uq_credential_credential_id")),
    )
    op.create_index(op.f("ix_credential_holder"), "credential", ["holder"], unique=False)
    op.create_index(op.f("ix_credential_record_id"), "credential", ["record_id"], unique=False)
    op.create_index(
        "uq_credential_open",
        "credential",
        ["record_id"],
        unique=True,
        sqlite_where=sa.text("(state NOT IN ('deleted', 'retired', 'revoked'))"),
        postgresql_where=sa.text("(state NOT IN ('deleted', 'retired', 'revoked'))"),
    )
    op.create_table(
        "operation",
        sa.Column("operation_id", sa.Uuid(), nullable=False),
        sa.Column("record_id", sa.Uuid(), nullable=False),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("holder", sa.String(), nullable=False),
        sa.Column("template_name", sa.String(), nullable=True),
        sa.Column("template_version", sa.Integer(), nullable=True),
        sa.Column("template_digest", sa.LargeBinary(), nullable=True),
        sa.Column("station_id", sa.Uuid(), nullable=False),
        sa.Column("began_at", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.Column("code", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(["record_id"], ["card.record_id"], name=op.f("fk_operation_record_id")),
        sa.ForeignKeyConstraint(
            ["template_name", "template_version", "template_digest"],
            ["template.name", "template.version", "template.digest"],
            name=op.f("fk_operation_template_name_template_version_template_digest"),
        ),
        sa.PrimaryKeyConstraint("operation_id", name=op.f("pk_operation")),
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_operation_record_id"), "operation", ["record_id"], unique=False)
    op.create_index(
        "uq_operation_open",
        "operation",
        ["record_id"],
        unique=True,
        sqlite_where=sa.text("ended_at IS NULL"),
        postgresql_where=sa.text("ended_at IS NULL"),
    )
    op.create_table(
        "lease",
        sa.Column("record_id", sa.Uuid(), nullable=False),
        sa.Column("operation_id", sa.Uuid(), nullable=False),
        sa.Column("station_id", sa.Uuid(), nullable=False),
        sa.Column("epoch", sa.BigInteger(), nullable=False),
        sa.Column("live", sa.Boolean(create_constraint=True, name="live"), nullable=False),
        sa.Column("proven", sa.Boolean(create_constraint=True, name="proven"), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["operation_id"], ["operation.operation_id"], name=op.f("fk_lease_operation_id")
        ),
        sa.ForeignKeyConstraint(["record_id"], ["card.record_id"], name=op.f("fk_lease_record_id")),
        sa.PrimaryKeyConstraint("record_id", name=op.f("pk_lease")),
        sqlite_with_rowid=False,
    )
    if op.get_context().dialect.name == "sqlite":
        for trigger in _AUDIT_TRIGGERS:
            op.execute(trigger)
