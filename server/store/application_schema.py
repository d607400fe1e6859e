"""The tables of applications: stations that act as themselves, with roles of their own."""

from typing import Final

from sqlalchemy import Column, ForeignKey, LargeBinary, Table, Text, Uuid

from server.store.metadata import metadata

application: Final = Table(
    "application",
    metadata,
    Column("station_id", Uuid(), ForeignKey("station.station_id"), primary_key=True),
    Column("unattended", Text(), nullable=False),
    sqlite_with_rowid=False,
)
"""Which stations are applications, and what of what is sensitive each may do, as words. The operator has the same id."""

application_token: Final = Table(
    "application_token",
    metadata,
    Column("digest", LargeBinary(), ForeignKey("join_token.digest"), primary_key=True),
    Column("roles", Text(), nullable=False),
    Column("unattended", Text(), nullable=False),
    sqlite_with_rowid=False,
)
"""Join tokens with which a machine becomes an application, and what it will be."""
