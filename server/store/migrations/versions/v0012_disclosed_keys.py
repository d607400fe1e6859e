"""Management keys that somebody may know: those that a compromised station carried."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Remember it with the card: for those of stations that were declared compromised before, too."""
    op.add_column("card", sa.Column("key_disclosed", sa.Boolean(), nullable=False, server_default=sa.false()))
    with op.batch_alter_table("card", table_kwargs={"sqlite_with_rowid": False}) as card:
        card.alter_column("key_disclosed", server_default=None)
        card.create_check_constraint(op.f("ck_card_key_disclosed"), "key_disclosed IN (0, 1)")
    op.execute(
        "UPDATE card SET key_disclosed = true WHERE state NOT IN ('unregistered', 'deleted') AND record_id IN"
        " (SELECT record_id FROM card_carrier JOIN station ON station.station_id = card_carrier.station_id"
        " WHERE station.state = 'compromised')"
    )
