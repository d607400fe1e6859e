"""The table of what directories are told of certificates."""

from typing import Final

from sqlalchemy import Column, ForeignKey, Integer, String, Table, Uuid

from server.ports.write_back import WriteBackAction
from server.store.columns import Instant, choice, flag
from server.store.metadata import metadata

write_back: Final = Table(
    "write_back",
    metadata,
    Column("number", Integer(), primary_key=True),
    Column("request_id", Uuid(), ForeignKey("certificate.request_id"), nullable=False, unique=True),
    Column("record_id", Uuid(), ForeignKey("card.record_id"), nullable=False, index=True),
    Column("connection", String(), nullable=False, index=True),
    Column("holder", String(), nullable=False),
    *choice("action", WriteBackAction),
    Column("asked_at", Instant(), nullable=False),
    Column("next_at", Instant(), nullable=False, index=True),
    Column("attempts", Integer(), nullable=False),
    Column("failure", String(), nullable=False),
    flag("done"),
)
"""One row for a certificate that is in a directory, or is to be; none once it was withdrawn."""
