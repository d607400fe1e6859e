"""What directories are told of certificates."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the new table; nothing was written back before."""
    op.create_table(
        "write_back",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("request_id", sa.Uuid(), nullable=False),
        sa.Column("record_id", sa.Uuid(), nullable=False),
        sa.Column("connection", sa.String(), nullable=False),
        sa.Column("holder", sa.String(), nullable=False),
        sa.Column("action", sa.String(), nullable=False),
        sa.Column("asked_at", sa.BigInteger(), nullable=False),
        sa.Column("next_at", sa.BigInteger(), nullable=False),
        sa.Column("attempts", sa.Integer(), nullable=False),
        sa.Column("failure", sa.String(), nullable=False),
        sa.Column(
            "done", sa.Boolean(create_constraint=True, name=op.f("ck_write_back_done")), nullable=False
        ),
        sa.CheckConstraint("action IN ('publish', 'withdraw')", name=op.f("ck_write_back_action")),
        sa.ForeignKeyConstraint(["record_id"], ["card.record_id"], name=op.f("fk_write_back_record_id")),
        sa.ForeignKeyConstraint(
            ["request_id"], ["certificate.request_id"], name=op.f("fk_write_back_request_id")
        ),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_write_back")),
        sa.UniqueConstraint("request_id", name=op.f("uq_write_back_request_id")),
    )
    for name in ("record_id", "connection", "next_at"):
        op.create_index(op.f(f"ix_write_back_{name}"), "write_back", [name], unique=False)
