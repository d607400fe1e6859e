"""Approvals: what was asked for, and what was signed."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the new tables."""
    op.create_table(
        "approval",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("request_id", sa.Uuid(), nullable=False),
        sa.Column("intent", sa.LargeBinary(), nullable=False),
        sa.Column("state", sa.String(), nullable=False),
        sa.Column("asked_at", sa.BigInteger(), nullable=False),
        sa.Column("expires_at", sa.BigInteger(), nullable=False),
        sa.Column("why", sa.String(), nullable=False),
        sa.Column("spent_by", sa.Uuid()),
        sa.Column("spent_on", sa.Uuid()),
        sa.Column("spent_at", sa.BigInteger()),
        sa.CheckConstraint("(state = 'spent') = (spent_at IS NOT NULL)", name=op.f("ck_approval_spent")),
        sa.CheckConstraint("(spent_by IS NULL) = (spent_on IS NULL)", name=op.f("ck_approval_spent_on")),
        sa.CheckConstraint(
            "state IN ('open', 'spent', 'declined', 'withdrawn', 'expired')", name=op.f("ck_approval_state")
        ),
        sa.ForeignKeyConstraint(["spent_by"], ["operation.operation_id"], name=op.f("fk_approval_spent_by")),
        sa.ForeignKeyConstraint(["spent_on"], ["card.record_id"], name=op.f("fk_approval_spent_on")),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_approval")),
        sa.UniqueConstraint("request_id", name=op.f("uq_approval_request_id")),
        sa.UniqueConstraint("spent_by", name=op.f("uq_approval_spent_by")),
    )
    op.create_index(op.f("ix_approval_spent_on"), "approval", ["spent_on"], unique=False)
    op.create_table(
        "approval_signature",
        sa.Column("number", sa.Integer(), nullable=False),
        sa.Column("request_id", sa.Uuid(), nullable=False),
        sa.Column("text", sa.LargeBinary(), nullable=False),
        sa.Column("certificate", sa.LargeBinary(), nullable=False),
        sa.Column("signature", sa.LargeBinary(), nullable=False),
        sa.Column("station_id", sa.Uuid(), nullable=False),
        sa.Column("signed_at", sa.BigInteger(), nullable=False),
        sa.Column("operator_id", sa.Uuid()),
        sa.Column("credential_id", sa.Uuid()),
        sa.CheckConstraint(
            "(operator_id IS NULL) != (credential_id IS NULL)", name=op.f("ck_approval_signature_whose")
        ),
        sa.ForeignKeyConstraint(
            ["request_id"], ["approval.request_id"], name=op.f("fk_approval_signature_request_id")
        ),
        sa.ForeignKeyConstraint(
            ["operator_id"], ["operator.operator_id"], name=op.f("fk_approval_signature_operator_id")
        ),
        sa.ForeignKeyConstraint(
            ["credential_id"], ["credential.credential_id"], name=op.f("fk_approval_signature_credential_id")
        ),
        sa.PrimaryKeyConstraint("number", name=op.f("pk_approval_signature")),
        sa.UniqueConstraint("text", name=op.f("uq_approval_signature_text")),
    )
    op.create_index(
        op.f("ix_approval_signature_request_id"), "approval_signature", ["request_id"], unique=False
    )
