"""Operators: who they are, what logs them on, their roles, sessions, challenges, and the passcode of the first start."""

from typing import Final

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_TRIGGERS: Final = (
    """CREATE TRIGGER audit_keeps_rows BEFORE DELETE ON audit
    BEGIN SELECT RAISE(ABORT, 'audit is append-only'); END""",
    """CREATE TRIGGER audit_keeps_values BEFORE UPDATE ON audit
    BEGIN SELECT RAISE(ABORT, 'audit is append-only'); END""",
    """CREATE TRIGGER audit_is_dense BEFORE INSERT ON audit
    WHEN NEW.position IS NOT (SELECT coalesce(max(position) + 1, 0) FROM audit)
    BEGIN SELECT RAISE(ABORT, 'audit has no gaps'); END""",
)
"""They go with the table when it is made anew."""


def upgrade() -> None:
    """Let evidence be about operators, roles and sessions; make the new tables."""
    _evidence()
    _operators()
    _roles()
    _sessions()
    _first_start()


def _evidence() -> None:
    with op.batch_alter_table("audit") as audit:
        audit.drop_constraint(op.f("ck_audit_kind"), type_="check")
        audit.create_check_constraint(
            op.f("ck_audit_kind"),
            "kind IN ('key-used', 'operation', 'transition', 'station', 'template', 'refused', 'server',"
            " 'operator', 'role', 'session')",
        )
    if op.get_context().dialect.name == "sqlite":
        for trigger in _TRIGGERS:
            op.execute(trigger)


def _operators() -> None:
    op.create_table(
        "operator",
        sa.Column("operator_id", sa.Uuid(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("holder", sa.String()),
        sa.Column("kind", sa.String(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("registered_at", sa.BigInteger(), nullable=False),
        sa.Column("last_logon_at", sa.BigInteger()),
        sa.Column("failed_logons", sa.Integer(), nullable=False),
        sa.Column("locked_until", sa.BigInteger()),
        sa.CheckConstraint("failed_logons >= 0", name=op.f("ck_operator_failed_logons")),
        sa.CheckConstraint(
            "kind IN ('system-owner', 'operator', 'application')", name=op.f("ck_operator_kind")
        ),
        sa.CheckConstraint("state IN ('active', 'inactive')", name=op.f("ck_operator_state")),
        sa.PrimaryKeyConstraint("operator_id", name=op.f("pk_operator")),
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_operator_holder"), "operator", ["holder"], unique=False)
    op.create_index(
        "uq_operator_system_owner",
        "operator",
        ["kind"],
        unique=True,
        sqlite_where=sa.text("kind = 'system-owner'"),
        postgresql_where=sa.text("kind = 'system-owner'"),
    )
    op.create_table(
        "operator_key",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("operator_id", sa.Uuid(), nullable=False),
        sa.Column("method", sa.String(), nullable=False),
        sa.Column("credential_id", sa.Uuid()),
        sa.Column("active", sa.Boolean(create_constraint=True, name="active"), nullable=False),
        sa.CheckConstraint("method IN ('card', 'agent', 'certificate')", name=op.f("ck_operator_key_method")),
        sa.ForeignKeyConstraint(
            ["credential_id"], ["credential.credential_id"], name=op.f("fk_operator_key_credential_id")
        ),
        sa.ForeignKeyConstraint(
            ["operator_id"], ["operator.operator_id"], name=op.f("fk_operator_key_operator_id")
        ),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_operator_key")),
        sa.UniqueConstraint("digest", name=op.f("uq_operator_key_digest")),
    )
    for name in ("operator_id", "credential_id"):
        op.create_index(op.f(f"ix_operator_key_{name}"), "operator_key", [name], unique=False)


def _roles() -> None:
    op.create_table(
        "role",
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.Column("preset", sa.Boolean(create_constraint=True, name="preset"), nullable=False),
        sa.Column("changed_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_role")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "operator_role",
        sa.Column("operator_id", sa.Uuid(), nullable=False),
        sa.Column("role", sa.String(), nullable=False),
        sa.ForeignKeyConstraint(
            ["operator_id"], ["operator.operator_id"], name=op.f("fk_operator_role_operator_id")
        ),
        sa.PrimaryKeyConstraint("operator_id", "role", name=op.f("pk_operator_role")),
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_operator_role_role"), "operator_role", ["role"], unique=False)


def _sessions() -> None:
    op.create_table(
        "session",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("session_id", sa.Uuid(), nullable=False),
        sa.Column("token_digest", sa.LargeBinary(), nullable=False),
        sa.Column("operator_id", sa.Uuid(), nullable=False),
        sa.Column("key_digest", sa.LargeBinary(), nullable=False),
        sa.Column("method", sa.String(), nullable=False),
        sa.Column("station_id", sa.Uuid(), nullable=False),
        sa.Column("fingerprint", sa.LargeBinary(), nullable=False),
        sa.Column("began_at", sa.BigInteger(), nullable=False),
        sa.Column("last_seen_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("stepped_up_at", sa.BigInteger()),
        sa.Column("ended_at", sa.BigInteger()),
        sa.Column("why", sa.String()),
        sa.CheckConstraint("(ended_at IS NULL) = (why IS NULL)", name=op.f("ck_session_ended")),
        sa.CheckConstraint("method IN ('card', 'agent', 'certificate')", name=op.f("ck_session_method")),
        sa.CheckConstraint(
            "why IN ('logged-off', 'card-removed', 'detached', 'idle', 'expired', 'credential', 'operator',"
            " 'station', 'replaced')",
            name=op.f("ck_session_why"),
        ),
        sa.ForeignKeyConstraint(["key_digest"], ["operator_key.digest"], name=op.f("fk_session_key_digest")),
        sa.ForeignKeyConstraint(
            ["operator_id"], ["operator.operator_id"], name=op.f("fk_session_operator_id")
        ),
        sa.ForeignKeyConstraint(["station_id"], ["station.station_id"], name=op.f("fk_session_station_id")),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_session")),
        sa.UniqueConstraint("session_id", name=op.f("uq_session_session_id")),
        sa.UniqueConstraint("token_digest", name=op.f("uq_session_token_digest")),
    )
    op.create_index(op.f("ix_session_operator_id"), "session", ["operator_id"], unique=False)
    op.create_index(
        "ix_session_live",
        "session",
        ["began_at"],
        unique=False,
        sqlite_where=sa.text("ended_at IS NULL"),
        postgresql_where=sa.text("ended_at IS NULL"),
    )
    op.create_table(
        "challenge",
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("station_id", sa.Uuid(), nullable=False),
        sa.Column("purpose", sa.String(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_challenge")),
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_challenge_expires_at"), "challenge", ["expires_at"], unique=False)


def _first_start() -> None:
    op.create_table(
        "passcode",
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("salt", sa.LargeBinary(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("cost", sa.Integer(), nullable=False),
        sa.Column("block_size", sa.Integer(), nullable=False),
        sa.Column("parallelism", sa.Integer(), nullable=False),
        sa.CheckConstraint("number = 1", name=op.f("ck_passcode_number")),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_passcode")),
    )
