"""Holders: their sessions, and tries of their passwords."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the new tables."""
    op.create_table(
        "holder_session",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("session_id", sa.Uuid(), nullable=False),
        sa.Column("token_digest", sa.LargeBinary(), nullable=False),
        sa.Column("directory", sa.String(), nullable=False),
        sa.Column("holder", sa.String(), nullable=False),
        sa.Column("name", sa.String(), nullable=False),
        sa.Column("proof", sa.String(), nullable=False),
        sa.Column("credential_id", sa.Uuid(), nullable=True),
        sa.Column("station_id", sa.Uuid(), nullable=False),
        sa.Column("fingerprint", sa.LargeBinary(), nullable=False),
        sa.Column("began_at", sa.BigInteger(), nullable=False),
        sa.Column("last_seen_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("ended_at", sa.BigInteger(), nullable=True),
        sa.Column("why", sa.String(), nullable=True),
        sa.CheckConstraint("(ended_at IS NULL) = (why IS NULL)", name=op.f("ck_holder_session_ended")),
        sa.CheckConstraint(
            "(proof = 'password') = (credential_id IS NULL)", name=op.f("ck_holder_session_proof_of")
        ),
        sa.CheckConstraint("proof IN ('password', 'card', 'code')", name=op.f("ck_holder_session_proof")),
        sa.CheckConstraint(
            "why IN ('logged-off', 'card-removed', 'detached', 'idle', 'expired', 'credential', 'operator',"
            " 'station', 'replaced')",
            name=op.f("ck_holder_session_why"),
        ),
        sa.ForeignKeyConstraint(
            ["credential_id"], ["credential.credential_id"], name=op.f("fk_holder_session_credential_id")
        ),
        sa.ForeignKeyConstraint(
            ["station_id"], ["station.station_id"], name=op.f("fk_holder_session_station_id")
        ),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_holder_session")),
        sa.UniqueConstraint("session_id", name=op.f("uq_holder_session_session_id")),
        sa.UniqueConstraint("token_digest", name=op.f("uq_holder_session_token_digest")),
    )
    op.create_index(op.f("ix_holder_session_station_id"), "holder_session", ["station_id"], unique=False)
    op.create_table(
        "holder_try",
        sa.Column("directory", sa.String(), nullable=False),
        sa.Column("holder", sa.String(), nullable=False),
        sa.Column("tries", sa.Integer(), nullable=False),
        sa.Column("until", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("tries >= 1", name=op.f("ck_holder_try_tries")),
        sa.PrimaryKeyConstraint("directory", "holder", name=op.f("pk_holder_try")),
        sqlite_with_rowid=False,
    )
    op.create_index(op.f("ix_holder_try_until"), "holder_try", ["until"], unique=False)
