"""Applications: stations that act as themselves, with roles of their own."""

import sqlalchemy as sa
from alembic import op

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make the new tables."""
    op.create_table(
        "application",
        sa.Column("station_id", sa.Uuid(), nullable=False),
        sa.Column("unattended", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["station_id"], ["station.station_id"], name=op.f("fk_application_station_id")
        ),
        sa.PrimaryKeyConstraint("station_id", name=op.f("pk_application")),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "application_token",
        sa.Column("digest", sa.LargeBinary(), nullable=False),
        sa.Column("roles", sa.Text(), nullable=False),
        sa.Column("unattended", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["digest"], ["join_token.digest"], name=op.f("fk_application_token_digest")),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_application_token")),
        sqlite_with_rowid=False,
    )
