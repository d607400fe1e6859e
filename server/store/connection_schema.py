"""The table of connections to outside systems."""

from typing import Final

from sqlalchemy import CheckConstraint, Column, Integer, LargeBinary, String, Table

from server.store.columns import Instant
from server.store.metadata import metadata

connection: Final = Table(
    "connection",
    metadata,
    Column("name", String(), primary_key=True),
    Column("kind", String(), nullable=False),
    Column("settings", String(), nullable=False),
    Column("sealed", LargeBinary(), nullable=False),
    Column("version", Integer(), nullable=False),
    Column("changed_at", Instant(), nullable=False),
    Column("changed_by", String(), nullable=False),
    CheckConstraint("version >= 1", name="version"),
)
"""`settings` holds no secret; `sealed` is what the key store made of them, empty where there are none."""
