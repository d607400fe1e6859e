"""Log-ons of operators, as values on both ends of the wire."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum, unique
from typing import Final
from uuid import UUID

from shared.roles import Grant
from shared.secret import Secret

TOKEN_LENGTH: Final = 32
"""Bytes of the token that stands for a session."""


@unique
class LogonMethod(StrEnum):
    """How possession of a key is proven."""

    CARD = "card"
    """A card in a reader of the station, with its PIN."""
    AGENT = "agent"
    """An ssh-agent far away: possession only."""
    CERTIFICATE = "certificate"
    """The client certificate of a connection."""


@unique
class Leaving(StrEnum):
    """Why a station ends a session."""

    LOGGED_OFF = "logged-off"
    CARD_REMOVED = "card-removed"
    DETACHED = "detached"
    """The line to the ssh-agent was cut, or the agent does not hold the key any more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogonProof:
    """What an operator's card made of a challenge. `text` is the challenge, `certificate` (DER) whose key signed it."""

    text: bytes
    certificate: bytes
    signature: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentProof:
    """What an ssh-agent made of a challenge. `signature` is an SSHSIG (`shared.ssh.sshsig`), which names the key."""

    text: bytes
    signature: bytes


Proof = LogonProof | AgentProof


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
    before this log-on, `last_logon_at` when the one before it was. With `possession_only` nothing that is sensitive is done.
    """

    operator_id: UUID
    name: str
    began_at: datetime
    ends_at: datetime
    idle: timedelta
    method: LogonMethod = LogonMethod.CARD
    possession_only: bool = False
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
