"""Log-ons of operators, as values on both ends of the wire."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from shared.roles import Grant
from shared.secret import Secret

TOKEN_LENGTH: Final = 32
"""Bytes of the token that stands for a session."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogonProof:
    """What an operator's card made of a challenge. `text` is the challenge, `certificate` (DER) whose key signed it."""

    text: bytes
    certificate: bytes
    signature: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleName:
    """A role of the operator, for programs and for people."""

    name: str
    title: str


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionView:
    """Who is logged on at this station, and what they may do.

    It ends at `ends_at`, and before that when nothing was done for `idle`. Times are the server's. `grants` are what the
    roles allow together, for faces: what is allowed is decided by the server, each time. `failed_logons` is how many failed
    before this log-on, `last_logon_at` when the one before it was.
    """

    operator_id: UUID
    name: str
    began_at: datetime
    ends_at: datetime
    idle: timedelta
    stepped_up_until: datetime | None = None
    roles: tuple[RoleName, ...] = ()
    grants: tuple[Grant, ...] = ()
    failed_logons: int = 0
    last_logon_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LogonReply:
    """A log-on that succeeded. Whoever shows `token` at this station acts as the operator."""

    token: Secret = field(repr=False)
    session: SessionView
