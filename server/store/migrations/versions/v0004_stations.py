"""Stations: compromised ones, renewed certificates, what each may be used for."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Let stations be compromised; make the new tables."""
    with op.batch_alter_table("station") as station:
        station.drop_constraint(op.f("ck_station_state"), type_="check")
        station.create_check_constraint(
            op.f("ck_station_state"), "state IN ('active', 'blocked', 'compromised')"
        )
    op.create_table(
        "station_certificate",
        sa.Column("fingerprint", sa.LargeBinary(), nullable=False),
        sa.Column("station_id", sa.Uuid(), nullable=False),
        sa.Column("standing", sa.String(), nullable=False),
        sa.Column("not_after", sa.BigInteger(), nullable=False),
        sa.CheckConstraint("standing != 'current'", name=op.f("ck_station_certificate_other")),
        sa.CheckConstraint(
            "standing IN ('current', 'next', 'former')", name=op.f("ck_station_certificate_standing")
        ),
        sa.ForeignKeyConstraint(
            ["station_id"], ["station.station_id"], name=op.f("fk_station_certificate_station_id")
        ),
        sa.PrimaryKeyConstraint("fingerprint", name=op.f("pk_station_certificate")),
        sa.UniqueConstraint(
            "station_id", "standing", name=op.f("uq_station_certificate_station_id_standing")
        ),
        sqlite_with_rowid=False,
    )
    op.create_table(
        "station_profile",
        sa.Column("station_id", sa.Uuid(), nullable=False),
        sa.Column("document", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["station_id"], ["station.station_id"], name=op.f("fk_station_profile_station_id")
        ),
        sa.PrimaryKeyConstraint("station_id", name=op.f("pk_station_profile")),
        sqlite_with_rowid=False,
    )
