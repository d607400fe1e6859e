"""First start: how long a passcode counts, what was tried in vain, and the session that it opened."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0006"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the table anew: nothing could put a passcode into it so far."""
    op.drop_table("passcode")
    op.create_table(
        "passcode",
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("salt", sa.LargeBinary(), nullable=False),
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("cost", sa.Integer(), nullable=False),
        sa.Column("block_size", sa.Integer(), nullable=False),
        sa.Column("parallelism", sa.Integer(), nullable=False),
        sa.Column("made_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=True),
        sa.Column("failures", sa.Integer(), nullable=False),
        sa.Column("locked_until", sa.BigInteger(), nullable=True),
        sa.Column("token_digest", sa.LargeBinary(), nullable=True),
        sa.Column("station_id", sa.Uuid(), nullable=True),
        sa.Column("fingerprint", sa.LargeBinary(), nullable=True),
        sa.Column("session_until", sa.BigInteger(), nullable=True),
        sa.CheckConstraint("number = 1", name=op.f("ck_passcode_number")),
        sa.CheckConstraint(
            "(token_digest IS NULL) = (station_id IS NULL) AND (token_digest IS NULL) = (fingerprint IS NULL)"
            " AND (token_digest IS NULL) = (session_until IS NULL)",
            name=op.f("ck_passcode_session"),
        ),
        sa.ForeignKeyConstraint(["station_id"], ["station.station_id"], name=op.f("fk_passcode_station_id")),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_passcode")),
    )
