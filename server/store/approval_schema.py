"""The tables of approvals: what was asked for, and what was signed."""

from typing import Final

from sqlalchemy import CheckConstraint, Column, ForeignKey, Integer, LargeBinary, String, Table, Uuid

from server.ports.approvals import ApprovalState
from server.store.columns import Instant, choice
from server.store.metadata import metadata

approval: Final = Table(
    "approval",
    metadata,
    Column("number", Integer(), primary_key=True),
    Column("request_id", Uuid(), nullable=False, unique=True),
    Column("intent", LargeBinary(), nullable=False),
    *choice("state", ApprovalState),
    Column("asked_at", Instant(), nullable=False),
    Column("expires_at", Instant(), nullable=False),
    Column("why", String(), nullable=False),
    Column("spent_by", Uuid(), ForeignKey("operation.operation_id"), unique=True),
    Column("spent_on", Uuid(), ForeignKey("card.record_id"), index=True),
    Column("spent_at", Instant()),
    CheckConstraint("(state = 'spent') = (spent_at IS NOT NULL)", name="spent"),
    CheckConstraint("(spent_by IS NULL) = (spent_on IS NULL)", name="spent_on"),
)
"""An operation spends one request, and a request is spent by one operation."""

approval_signature: Final = Table(
    "approval_signature",
    metadata,
    Column("number", Integer(), primary_key=True),
    Column("request_id", Uuid(), ForeignKey("approval.request_id"), nullable=False, index=True),
    Column("text", LargeBinary(), nullable=False, unique=True),
    Column("certificate", LargeBinary(), nullable=False),
    Column("signature", LargeBinary(), nullable=False),
    Column("station_id", Uuid(), nullable=False),
    Column("signed_at", Instant(), nullable=False),
    Column("operator_id", Uuid(), ForeignKey("operator.operator_id")),
    Column("credential_id", Uuid(), ForeignKey("credential.credential_id")),
    CheckConstraint("(operator_id IS NULL) != (credential_id IS NULL)", name="whose"),
)
