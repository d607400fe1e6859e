"""Roles of credentials: what an operator's card carries, from its issue on."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Let credentials, and operations that make them, carry roles; those that there are carry none."""
    for table in ("credential", "operation"):
        op.add_column(table, sa.Column("roles", sa.String(), nullable=False, server_default=""))
    with op.batch_alter_table("credential") as credential:
        credential.alter_column("roles", server_default=None)
    with op.batch_alter_table("operation", table_kwargs={"sqlite_with_rowid": False}) as operation:
        operation.alter_column("roles", server_default=None)
