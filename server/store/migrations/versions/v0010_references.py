"""References of requests that wait: by what a certificate authority is asked again."""

import sqlalchemy as sa
from alembic import op

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Let a certificate keep the reference that its authority gave; those that there are have none."""
    op.add_column("certificate", sa.Column("reference", sa.String(), nullable=False, server_default=""))
    with op.batch_alter_table("certificate") as certificate:
        certificate.alter_column("reference", server_default=None)
