"""The tables of holders: their sessions, and tries of their passwords."""

from typing import Final

from sqlalchemy import CheckConstraint, Column, ForeignKey, Integer, LargeBinary, String, Table, Uuid

from server.ports.operators import SessionEnd
from server.store.columns import Instant, choice
from server.store.metadata import metadata
from shared.credential.self_service import HolderProof

holder_session: Final = Table(
    "holder_session",
    metadata,
    Column("number", Integer(), primary_key=True),
    Column("session_id", Uuid(), nullable=False, unique=True),
    Column("token_digest", LargeBinary(), nullable=False, unique=True),
    Column("directory", String(), nullable=False),
    Column("holder", String(), nullable=False),
    Column("name", String(), nullable=False),
    *choice("proof", HolderProof),
    Column("credential_id", Uuid(), ForeignKey("credential.credential_id")),
    Column("station_id", Uuid(), ForeignKey("station.station_id"), nullable=False, index=True),
    Column("fingerprint", LargeBinary(), nullable=False),
    Column("began_at", Instant(), nullable=False),
    Column("last_seen_at", Instant(), nullable=False),
    Column("expires_at", Instant(), nullable=False),
    Column("ended_at", Instant()),
    *choice("why", SessionEnd, nullable=True),
    CheckConstraint("(ended_at IS NULL) = (why IS NULL)", name="ended"),
    CheckConstraint("(proof IN ('password', 'device')) = (credential_id IS NULL)", name="proof_of"),
)

holder_try: Final = Table(
    "holder_try",
    metadata,
    Column("directory", String(), primary_key=True),
    Column("holder", String(), primary_key=True),
    Column("tries", Integer(), nullable=False),
    Column("until", Instant(), nullable=False, index=True),
    CheckConstraint("tries >= 1", name="tries"),
    sqlite_with_rowid=False,
)
"""Rows go when they count no more."""
