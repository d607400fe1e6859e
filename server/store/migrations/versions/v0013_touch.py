"""Touch policies of keys, as the vendor of the card vouched for them."""

import sqlalchemy as sa
from alembic import op

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Let a key keep its policy; of those that there are, nobody wrote down what was verified."""
    with op.batch_alter_table("card_key", table_kwargs={"sqlite_with_rowid": False}) as key:
        key.add_column(sa.Column("touch", sa.Integer(), nullable=True))
        key.create_check_constraint(op.f("ck_card_key_touch"), "touch IN (0, 1, 2, 3)")
