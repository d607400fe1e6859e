"""Operators and what lets them act: their keys and roles, sessions, challenges.

An operator is a person, or an application, that may act on others' credentials. Operators are never removed: evidence
names them. A key that belongs to a credential counts only while the record says that this credential is active, so
that suspending or revoking it ends what its key may do, in the same commit.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum, unique
from typing import NewType, Protocol
from uuid import UUID

from server.ports.audit import AuditRecord
from shared.credential.model import CredentialId, HolderId, State, StationId
from shared.sessions import LogonMethod as LogonMethod  # noqa: PLC0414  # a word of the record

OperatorId = NewType("OperatorId", UUID)
SessionId = NewType("SessionId", UUID)

# --- operators ------------------------------------------------------------------------------------------


@unique
class OperatorKind(StrEnum):
    """What kind of operator it is."""

    SYSTEM_OWNER = "system-owner"
    """Whoever holds the card of the first start; there is one, and its roles do not change."""
    OPERATOR = "operator"
    APPLICATION = "application"
    """Another system, with a client certificate of its own."""


@unique
class OperatorState(StrEnum):
    """Whether an operator may log on."""

    ACTIVE = "active"
    INACTIVE = "inactive"


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorKey:
    """A key that logs an operator on. `digest` is the SHA-256 of its DER SubjectPublicKeyInfo.

    `credential_state` is what the record says of the key's credential when it is read; it is not kept with the key.
    """

    digest: bytes
    method: LogonMethod
    credential_id: CredentialId | None = None
    active: bool = True
    credential_state: State | None = None

    @property
    def counts(self) -> bool:
        """Whether it logs on now."""
        return self.active and (self.credential_id is None or self.credential_state is State.ACTIVE)


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorRecord:
    """Who may act on others' credentials, and what became of the last attempts to log on.

    `holder` is the operator in the directory; `roles` are names. `failed_logons` counts those since `last_logon_at`.
    """

    operator_id: OperatorId
    name: str
    kind: OperatorKind
    registered_at: datetime
    holder: HolderId | None = None
    state: OperatorState = OperatorState.ACTIVE
    roles: frozenset[str] = frozenset()
    keys: tuple[OperatorKey, ...] = ()
    last_logon_at: datetime | None = None
    failed_logons: int = 0
    locked_until: datetime | None = None

    def key(self, digest: bytes) -> OperatorKey | None:
        """Return the key with this digest."""
        return next((key for key in self.keys if key.digest == digest), None)

    def may_use(self, digest: bytes) -> bool:
        """Whether the operator is active and this key counts."""
        key = self.key(digest)
        return self.state is OperatorState.ACTIVE and key is not None and key.counts


class OperatorStore(Protocol):
    """Operators, their keys and their roles."""

    async def exist(self) -> bool:
        """Whether there is any operator but applications, active or not: from then on no station acts without a session."""
        ...

    async def add(self, operator: OperatorRecord, audit: AuditRecord) -> None:
        """Store a new operator; with one of kind *operator* the passcode goes, in the same commit.

        Raises:
            StoreConflict: the id or a key is known already, there is a System Owner already, or no such credential.
            Invalid: there is no such role.
        """
        ...

    async def by_id(self, operator_id: OperatorId) -> OperatorRecord | None:
        """Return this operator."""
        ...

    async def by_key(self, digest: bytes) -> OperatorRecord | None:
        """Return the operator whom a key with this digest belongs to, whether or not it counts."""
        ...

    async def by_credential(self, credential_id: CredentialId) -> OperatorRecord | None:
        """Return the operator whom this credential logs on, or once did."""
        ...

    async def of_holder(self, holder: HolderId) -> Sequence[OperatorRecord]:
        """Return the operators that are this person."""
        ...

    async def all(self) -> Sequence[OperatorRecord]:
        """Return every operator, by name."""
        ...

    async def set_roles(self, operator_id: OperatorId, roles: Collection[str], audit: AuditRecord) -> None:
        """Give an operator these roles and no others.

        Raises:
            Invalid: there is no such operator, or no such role.
        """
        ...

    async def set_state(self, operator_id: OperatorId, state: OperatorState, audit: AuditRecord) -> None:
        """Activate or deactivate an operator; activating forgets failed log-ons and lifts a lock.

        Raises:
            Invalid: there is no such operator.
        """
        ...

    async def add_key(self, operator_id: OperatorId, key: OperatorKey, audit: AuditRecord) -> None:
        """Let another key log the operator on.

        Raises:
            Invalid: there is no such operator.
            StoreConflict: the key is known already, whoever's it is, or there is no such credential.
        """
        ...

    async def set_key(self, digest: bytes, audit: AuditRecord, *, active: bool) -> None:
        """Let a key count, or not any more.

        Raises:
            Invalid: there is no such key.
        """
        ...

    async def note_failure(
        self, operator_id: OperatorId, locked_until: datetime | None, audit: AuditRecord
    ) -> int:
        """Count a failed log-on and return how many there were since the last good one; a lock is never shortened.

        Raises:
            Invalid: there is no such operator.
        """
        ...


# --- roles ----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class RoleRecord:
    """A role as it was made or edited. `document` is its stable form (`shared.roles`).

    Presets are in the program; one that was edited has a record, which stands for it until it is reset.
    """

    name: str
    document: str
    preset: bool
    changed_at: datetime


class RoleStore(Protocol):
    """Roles that were made here, and presets that were edited here."""

    async def all(self) -> Sequence[RoleRecord]:
        """Return every record, by name."""
        ...

    async def add(self, role: RoleRecord, audit: AuditRecord) -> None:
        """Store a new record; `StoreConflict` where there is one of this name."""
        ...

    async def replace(self, role: RoleRecord, seen: RoleRecord, audit: AuditRecord) -> None:
        """Put a record in the place of the one that was `seen`; `StoreConflict` where it is another one by now."""
        ...

    async def remove(self, name: str, audit: AuditRecord) -> None:
        """Remove a record; a preset is then as in the program again.

        Raises:
            Invalid: there is no such record.
            StoreConflict: it is no preset, and an operator has this role.
        """
        ...


# --- sessions -------------------------------------------------------------------------------------------


@unique
class SessionEnd(StrEnum):
    """Why a session ended."""

    LOGGED_OFF = "logged-off"
    CARD_REMOVED = "card-removed"
    DETACHED = "detached"
    """The line of a log-on from afar."""
    IDLE = "idle"
    EXPIRED = "expired"
    CREDENTIAL = "credential"
    """It, or the key, does not count any more."""
    OPERATOR = "operator"
    """Was deactivated."""
    STATION = "station"
    """Was blocked, or joined anew."""
    REPLACED = "replaced"
    """Somebody logged on at the same place."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionRecord:
    """What a log-on made: an operator at one station, until it ends.

    `token_digest` is the SHA-256 of the token, which is not kept. `fingerprint` is the station's TLS identity that it is
    bound to, `key_digest` the key that logged on.
    """

    session_id: SessionId
    token_digest: bytes = field(repr=False)
    operator_id: OperatorId
    key_digest: bytes
    method: LogonMethod
    station_id: StationId
    fingerprint: bytes
    began_at: datetime
    last_seen_at: datetime
    expires_at: datetime
    stepped_up_at: datetime | None = None
    ended_at: datetime | None = None
    why: SessionEnd | None = None

    @property
    def possession_only(self) -> bool:
        """Whether nobody has shown to be there: a log-on through an ssh-agent."""
        return self.method is LogonMethod.AGENT and self.stepped_up_at is None


@dataclass(frozen=True, slots=True, kw_only=True)
class LoggedOn:
    """A session and its operator, as both are at the same moment."""

    session: SessionRecord
    operator: OperatorRecord

    @property
    def counts(self) -> bool:
        """Whether it has not ended, its operator is active and its key counts; time is judged by who asks."""
        return self.session.ended_at is None and self.operator.may_use(self.session.key_digest)


class SessionStore(Protocol):
    """Sessions. Ended ones are kept: evidence names them."""

    async def open(self, session: SessionRecord, audit: AuditRecord) -> int:
        """Store a new session as its operator's log-on, and return how many failed before it since the last good one.

        In one commit: the operator's count of failed log-ons starts again, and a lock is lifted.

        Raises:
            StoreConflict: the operator is not active, or the key does not count (any more), or the id or the token is
                known already.
        """
        ...

    async def by_digest(self, token_digest: bytes) -> LoggedOn | None:
        """Return the session with this token, ended or not, and its operator."""
        ...

    async def live(self) -> Sequence[SessionRecord]:
        """Return the sessions that have not ended, the oldest first; time may have run out for some."""
        ...

    async def touch(self, session_id: SessionId, at: datetime) -> bool:
        """Note that the session was used, without evidence; returns whether it had not ended."""
        ...

    async def step_up(self, session_id: SessionId, at: datetime, audit: AuditRecord) -> bool:
        """Note that the PIN was asked again; returns whether the session had not ended. Where it had, nothing is written."""
        ...

    async def end(self, session_id: SessionId, why: SessionEnd, at: datetime, audit: AuditRecord) -> bool:
        """End a session; returns whether it had not ended before. Where it had, nothing is written."""
        ...

    async def end_of_operator(
        self, operator_id: OperatorId, at: datetime, audit: AuditRecord
    ) -> Sequence[SessionRecord]:
        """End every session of this operator and return them; evidence is kept where there was one."""
        ...

    async def end_of_station(
        self, station_id: StationId, at: datetime, audit: AuditRecord
    ) -> Sequence[SessionRecord]:
        """End every session at this station; as above."""
        ...

    async def end_of_credential(
        self, credential_id: CredentialId, at: datetime, audit: AuditRecord
    ) -> Sequence[SessionRecord]:
        """End every session that a key of this credential logged on; as above."""
        ...


# --- challenges -----------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class ChallengeRecord:
    """A challenge that was given out. `digest` is the SHA-256 of the whole text, nonce and all; `purpose` what it is for."""

    digest: bytes
    station_id: StationId
    purpose: str
    expires_at: datetime


class ChallengeStore(Protocol):
    """Challenges that may still be answered, each once."""

    async def add(self, challenge: ChallengeRecord, now: datetime) -> None:
        """Store a challenge, and forget those that have expired; `StoreConflict` where the nonce is known."""
        ...

    async def spend(self, digest: bytes, now: datetime) -> ChallengeRecord | None:
        """Take a challenge out, once; None where it is unknown, spent or expired."""
        ...
