"""Log-ons of operators: sessions, the proof that is asked for again, and every way in which a session ends.

A log-on is a proof of a registered key (`proofs`). What it makes is a session of one operator at one station: whoever shows its
token there acts as the operator. The record has a digest of the token only. Where an ssh-agent proved the key, nobody has shown
to be there. What is sensitive then takes a signature of its own by a key that, as the card's vendor vouches, signs for nobody
who does not touch the card (`takes_a_touch`); for every other key it is refused.

Nothing about a session is remembered between two calls. Each is judged anew by the record, so that it has ended as soon as
the operator was deactivated, the key's credential is not active any more, or time has run out.

Source: card-rules section 7 (identities on the wire).
"""

import hashlib
import secrets
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import uuid4

from server.authority.access import Caller
from server.authority.operator_keys import takes_a_touch
from server.authority.proofs import Proofs
from server.ports.audit import AuditKind, AuditRecord
from server.ports.operators import (
    LoggedOn,
    LogonMethod,
    SessionEnd,
    SessionId,
    SessionRecord,
)
from server.ports.store import Store
from shared import errors
from shared.clock import Clock
from shared.errors import Fact
from shared.logon import LogonPurpose
from shared.secret import Secret
from shared.sessions import TOKEN_LENGTH, AgentProof, Leaving, Proof

PROOF_COUNTS: Final = timedelta(seconds=30)
"""How long a proof counts at the least: what it was asked for comes after it."""
TOUCH_EVERY: Final = timedelta(seconds=15)
"""How exactly it is known when a session was last used, so that not every call writes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionLimits:
    """How long a session lasts without a call, and at all, and how long a proof counts for what is sensitive.

    `agent_idle` is for those through an ssh-agent; with none of it, none is begun.
    """

    idle: timedelta = timedelta(minutes=10)
    absolute: timedelta = timedelta(hours=12)
    step_up: timedelta = timedelta(minutes=5)
    agent_idle: timedelta = timedelta(minutes=5)

    def idle_of(self, method: LogonMethod) -> timedelta:
        """Return how long a session that began so lasts without a call."""
        return min(self.idle, self.agent_idle) if method is LogonMethod.AGENT else self.idle


DEFAULT_LIMITS: Final = SessionLimits()


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """A session that was just begun, its token, and how many log-ons failed before it."""

    token: Secret
    present: LoggedOn
    failed_logons: int
    last_logon_at: datetime | None


class Sessions:
    """Begin, judge and end sessions."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        *,
        names: Collection[str],
        limits: SessionLimits = DEFAULT_LIMITS,
        random: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        """`names` are those by which stations call this server; `random` draws nonces and tokens."""
        self._store = store
        self._clock = clock
        self.limits: Final = limits
        self._random = random
        self._proofs = Proofs(store, clock, names=names, random=random)

    # --- logging on -------------------------------------------------------------------------------------

    async def challenge(self, caller: Caller, purpose: LogonPurpose, server: str) -> bytes:
        """Return a text for the operator's key to sign; `server` is the name under which the station calls.

        Raises:
            TooManyAttempts: this station, or all together, asked too often.
            Invalid: no name of this server, or a purpose that is not proven here.
            LogonNeeded: a proof again, where nobody is logged on.
            PresenceNeeded: a proof again, where an ssh-agent logged on, with a key that proves possession only.
            NotAllowed: an application acts as itself; or the station is for holders only.
        """
        _require_for_operators(caller)
        if purpose is LogonPurpose.STEP_UP:
            await self._check_proves_presence(caller)
        return await self._proofs.challenge(caller, purpose, _bound(caller, purpose), server)

    async def log_on(self, caller: Caller, proof: Proof) -> Opened:
        """Begin a session at the calling station; one that the caller has ends.

        Raises:
            TooManyAttempts: the station, or this operator, failed too often; nothing was judged.
            LogonRefused: not our challenge, no operator's key, one that does not count now, or not its signature.
            NotAllowed: an application acts as itself; the station is for holders only; or no log-on through an ssh-agent is
                taken here.
        """
        _require_for_operators(caller)
        if isinstance(proof, AgentProof) and not self.limits.agent_idle:
            raise errors.NotAllowed(what="log-on through an ssh-agent")
        proven = await self._proofs.judge(caller, _bound(caller, LogonPurpose.LOG_ON), proof)
        operator = proven.operator
        now = self._clock.now()
        token = Secret(self._random(TOKEN_LENGTH))
        session = SessionRecord(
            session_id=SessionId(uuid4()),
            token_digest=_sha256(token.reveal()),
            operator_id=operator.operator_id,
            key_digest=proven.digest,
            method=proven.method,
            station_id=caller.station_id,
            fingerprint=caller.fingerprint,
            began_at=now,
            last_seen_at=now,
            expires_at=now + self.limits.absolute,
            stepped_up_at=now if proven.presence else None,
        )
        try:
            failed = await self._store.sessions.open(session, _evidence("logged-on", session))
        except errors.StoreConflict as cause:  # it does not count any more, since it was looked at
            raise errors.LogonRefused from cause
        if caller.session is not None:
            await self._end(caller.session.session, SessionEnd.REPLACED)
        return Opened(
            token=token,
            present=LoggedOn(session=session, operator=operator),
            failed_logons=failed,
            last_logon_at=operator.last_logon_at,
        )

    async def step_up(self, caller: Caller, proof: Proof) -> LoggedOn:
        """Note that the operator has proven the same key again, in the same way, and return the session as it is now.

        Raises:
            LogonNeeded: nobody is logged on.
            SessionEnded: it ended meanwhile.
            PresenceNeeded: an ssh-agent logged on, with a key that proves possession only.
            TooManyAttempts, LogonRefused: as `log_on`; another operator's card, or another one of the same, is refused.
        """
        session = (await self._check_proves_presence(caller)).session
        proven = await self._proofs.judge(caller, _bound(caller, LogonPurpose.STEP_UP), proof)
        if (proven.operator.operator_id, proven.digest) != (session.operator_id, session.key_digest):
            await self._proofs.failed(caller, proven.operator, "another-card", proven.method)
        if proven.method is not session.method:
            await self._proofs.failed(caller, proven.operator, "method", proven.method)
        audit = _evidence("stepped-up", session)
        if not await self._store.sessions.step_up(session.session_id, self._clock.now(), audit):
            raise errors.SessionEnded
        return await self._read(session.token_digest)

    async def log_off(self, caller: Caller, why: Leaving = Leaving.LOGGED_OFF) -> None:
        """End the caller's session.

        Raises:
            LogonNeeded: nobody is logged on.
        """
        if caller.session is None:
            raise errors.LogonNeeded
        await self._end(caller.session.session, SessionEnd(why.value))

    # --- judging ----------------------------------------------------------------------------------------

    async def admit(self, token: bytes, caller: Caller) -> LoggedOn:
        """Return the session with this token, and note that it was used.

        Raises:
            SessionEnded: there is none, it has ended, or it is another station's.
        """
        return await self._judge(_sha256(token), caller)

    async def of_token(self, token: bytes) -> SessionRecord:
        """Return the session with this token, whether or not it counts; `SessionEnded` where there is none."""
        return (await self._read(_sha256(token))).session

    async def recheck(self, caller: Caller) -> LoggedOn:
        """Judge the caller's session again, in the middle of something long.

        Raises:
            SessionEnded, LogonNeeded: it has ended, or there is none.
        """
        if caller.session is None:
            raise errors.LogonNeeded
        return await self._judge(caller.session.session.token_digest, caller)

    async def takes_a_touch(self, present: LoggedOn, caller: Caller) -> bool:
        """Whether an ssh-agent logged on whose key takes a touch each time; a card in a reader is asked for its PIN."""
        if present.session.method is not LogonMethod.AGENT:
            return False
        return await takes_a_touch(self._store.credentials, present, lab=caller.lab)

    def stepped_up_until(self, session: SessionRecord) -> datetime | None:
        """Return until when the last proof counts for what is sensitive; None where there is none that does.

        A touch is never remembered: it counts for what it was asked for, which comes after it.
        """
        if session.stepped_up_at is None:
            return None
        lasts = timedelta() if session.method is LogonMethod.AGENT else self.limits.step_up
        until = session.stepped_up_at + max(lasts, PROOF_COUNTS)
        return until if until > self._clock.now() else None

    async def _judge(self, token_digest: bytes, caller: Caller) -> LoggedOn:
        found = await self._read(token_digest)
        session, now = found.session, self._clock.now()
        if session.ended_at is not None:
            raise errors.SessionEnded
        if (session.station_id, session.fingerprint) != (caller.station_id, caller.fingerprint):
            await self._proofs.note("token-elsewhere", caller, session=str(session.session_id))
            raise errors.SessionEnded
        why = self._why_over(found, now)
        if why is not None:
            await self._end(session, why)
            raise errors.SessionEnded
        stale = now - session.last_seen_at >= min(TOUCH_EVERY, self.limits.idle_of(session.method) / 4)
        if stale and not await self._store.sessions.touch(session.session_id, now):
            raise errors.SessionEnded
        return found

    def _why_over(self, found: LoggedOn, now: datetime) -> SessionEnd | None:
        session = found.session
        if now >= session.expires_at:
            return SessionEnd.EXPIRED
        if now - session.last_seen_at >= self.limits.idle_of(session.method):
            return SessionEnd.IDLE
        if found.counts:
            return None
        key = found.operator.key(session.key_digest)
        return SessionEnd.OPERATOR if key is not None and key.counts else SessionEnd.CREDENTIAL

    async def _check_proves_presence(self, caller: Caller) -> LoggedOn:
        """Return who is logged on, where what logged on can show that somebody is there.

        Raises:
            LogonNeeded: nobody is.
            PresenceNeeded: an ssh-agent, with a key that proves possession only.
        """
        present = caller.session
        if present is None:
            raise errors.LogonNeeded
        by_agent = present.session.method is LogonMethod.AGENT
        if by_agent and not await self.takes_a_touch(present, caller):
            raise errors.PresenceNeeded
        return present

    async def _read(self, token_digest: bytes) -> LoggedOn:
        found = await self._store.sessions.by_digest(token_digest)
        if found is None:
            raise errors.SessionEnded
        return found

    async def _end(self, session: SessionRecord, why: SessionEnd) -> None:
        audit = _evidence("ended", session, why=why.value)
        await self._store.sessions.end(session.session_id, why, self._clock.now(), audit)


def _require_for_operators(caller: Caller) -> None:
    """Refuse a log-on where no operator works.

    What is done with an application's certificate is the application's doing. At a station for holders a session would be
    worth nothing, and whoever took it over gets none from an operator who came for a card of their own.
    """
    if caller.application:
        raise errors.NotAllowed(what="log-on as an application")
    if not caller.profile.for_operators:
        raise errors.NotAllowed(what="log-on of operators at this station")


def _bound(caller: Caller, purpose: LogonPurpose) -> str:
    """Return what a challenge is for; a proof that is asked for again is bound to its session."""
    match purpose:
        case LogonPurpose.LOG_ON:
            return purpose.value
        case LogonPurpose.STEP_UP:
            if caller.session is None:
                raise errors.LogonNeeded
            return f"{purpose.value} {caller.session.session.session_id}"
        case _:
            raise errors.Invalid(field="purpose", why="not proven here")


def _evidence(event: str, session: SessionRecord, **facts: Fact) -> AuditRecord:
    return AuditRecord(
        kind=AuditKind.SESSION,
        event=event,
        actor=str(session.operator_id),
        subject=str(session.session_id),
        facts={"station": str(session.station_id), "method": session.method.value, **facts},
    )


def _sha256(content: bytes) -> bytes:
    return hashlib.sha256(content).digest()
