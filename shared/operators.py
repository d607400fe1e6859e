"""Operators as a desk shows them, as values."""

from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from shared.roles import Role
from shared.sessions import LogonMethod


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedOnAt:
    """Where an operator is logged on, and how; `station` is its name."""

    method: LogonMethod
    possession_only: bool
    station: str
    began_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorSummary:
    """An operator. Of `keys`, `usable_keys` count now; `failed_logons` are those since `last_logon_at`.

    `kind` is `system-owner`, `operator` or `application`; `roles` are names.
    """

    operator_id: UUID
    name: str
    kind: str
    active: bool
    roles: frozenset[str]
    keys: int
    usable_keys: int
    last_logon_at: datetime | None = None
    failed_logons: int = 0
    locked_until: datetime | None = None
    sessions: tuple[LoggedOnAt, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleSummary:
    """A role, and how many operators have it."""

    role: Role
    operators: int
