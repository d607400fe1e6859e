"""Holders who log on on another device: one more proof."""

from alembic import op

revision = "0014"
down_revision = "0013"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Let a session say so; like one by password, it is of no credential."""
    with op.batch_alter_table("holder_session") as session:
        session.drop_constraint(op.f("ck_holder_session_proof"), type_="check")
        session.drop_constraint(op.f("ck_holder_session_proof_of"), type_="check")
        session.create_check_constraint(
            op.f("ck_holder_session_proof"), "proof IN ('password', 'card', 'code', 'device')"
        )
        session.create_check_constraint(
            op.f("ck_holder_session_proof_of"),
            "(proof IN ('password', 'device')) = (credential_id IS NULL)",
        )
