"""Log-ons of operators: challenges, sessions, the proof that is asked for again, and every way in which a session ends.

A log-on is a signature by a registered key over a text of ours (`shared.logon`) that names this server, the station by its
TLS certificate, and the purpose. It is good once and for a minute. What it makes is a session of one operator at one
station: whoever shows its token there acts as the operator. The record has a digest of the token only.

Nothing about a session is remembered between two calls. Each is judged anew by the record, so that it has ended as soon as
the operator was deactivated, the key's credential is not active any more, or time has run out.

The PIN stays with the card. A wrong one is counted there, and nowhere else; what is counted here are signatures.

Source: card-rules section 7 (identities on the wire).
"""

import hashlib
import secrets
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil
from typing import Final, NoReturn
from uuid import uuid4

from cryptography.exceptions import InvalidSignature

from server.authority.access import Caller
from server.authority.operator_keys import public_key_of, why_not
from server.authority.throttle import Limit, Throttle
from server.ports.audit import AuditKind, AuditRecord
from server.ports.operators import (
    ChallengeRecord,
    LoggedOn,
    LogonMethod,
    OperatorRecord,
    SessionEnd,
    SessionId,
    SessionRecord,
)
from server.ports.store import Store
from shared import errors
from shared.clock import Clock
from shared.errors import Fact
from shared.logon import LIFETIME, NONCE_LENGTH, LogonPurpose, LogonText, verify_logon
from shared.secret import Secret
from shared.sessions import TOKEN_LENGTH, LogonProof

PER_STATION: Final = Limit(burst=30, seconds=1)
"""Challenges and proofs of one station."""
OVERALL: Final = Limit(burst=300, seconds=0.1)
UNKNOWN: Final = Limit(burst=10, seconds=60)
"""Failures that become evidence although nobody's count holds them; the others are counted with their operator."""

FREE_FAILURES: Final = 2
"""So many may follow each other before the next has to wait."""
FIRST_WAIT: Final = timedelta(seconds=5)
LONGEST_WAIT: Final = timedelta(seconds=60)
"""Longer ones would be a way to keep an operator out; nobody guesses a signature in a minute."""
PROOF_COUNTS: Final = timedelta(seconds=30)
"""How long a proof counts at the least: what it was asked for comes after it."""
TOUCH_EVERY: Final = timedelta(seconds=15)
"""How exactly it is known when a session was last used, so that not every call writes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SessionLimits:
    """How long a session lasts without a call, and at all, and how long a proof counts for what is sensitive."""

    idle: timedelta = timedelta(minutes=10)
    absolute: timedelta = timedelta(hours=12)
    step_up: timedelta = timedelta(minutes=5)


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
        self._names = frozenset(names)
        self.limits: Final = limits
        self._random = random
        self._throttle = Throttle(per_peer=PER_STATION, overall=OVERALL, clock=clock)
        self._noted = Throttle(per_peer=UNKNOWN, overall=UNKNOWN, clock=clock)

    # --- logging on -------------------------------------------------------------------------------------

    async def challenge(self, caller: Caller, purpose: LogonPurpose, server: str) -> bytes:
        """Return a text for the operator's card to sign; `server` is the name under which the station calls.

        Raises:
            TooManyAttempts: this station, or all together, asked too often.
            Invalid: no name of this server, or a purpose that is not proven here.
            LogonNeeded: a proof again, where nobody is logged on.
        """
        self._throttle.attempt(str(caller.station_id))
        if server not in self._names:
            raise errors.Invalid(field="server", why="not a name of this server")
        bound = _bound(caller, purpose)
        now = self._clock.now()
        text = bytes(
            LogonText(
                server=server,
                station=caller.fingerprint,
                nonce=self._random(NONCE_LENGTH),
                expires_at=now.replace(microsecond=0) + LIFETIME,
                purpose=purpose,
            )
        )
        await self._store.challenges.add(
            ChallengeRecord(
                digest=_sha256(text),
                station_id=caller.station_id,
                purpose=bound,
                expires_at=now.replace(microsecond=0) + LIFETIME,
            ),
            now,
        )
        return text

    async def log_on(self, caller: Caller, proof: LogonProof) -> Opened:
        """Begin a session at the calling station; one that the caller has ends.

        Raises:
            TooManyAttempts: the station, or this operator, failed too often; nothing was judged.
            LogonRefused: not our challenge, no operator's key, one that does not count now, or not its signature.
        """
        operator, digest = await self._proven(caller, LogonPurpose.LOG_ON, proof)
        now = self._clock.now()
        token = Secret(self._random(TOKEN_LENGTH))
        session = SessionRecord(
            session_id=SessionId(uuid4()),
            token_digest=_sha256(token.reveal()),
            operator_id=operator.operator_id,
            key_digest=digest,
            method=LogonMethod.CARD,
            station_id=caller.station_id,
            fingerprint=caller.fingerprint,
            began_at=now,
            last_seen_at=now,
            expires_at=now + self.limits.absolute,
            stepped_up_at=now,
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

    async def step_up(self, caller: Caller, proof: LogonProof) -> LoggedOn:
        """Note that the operator has proven the same card and its PIN again, and return the session as it is now.

        Raises:
            LogonNeeded: nobody is logged on.
            SessionEnded: it ended meanwhile.
            TooManyAttempts, LogonRefused: as `log_on`; another operator's card, or another one of the same, is refused.
        """
        present = caller.session
        if present is None:
            raise errors.LogonNeeded
        operator, digest = await self._proven(caller, LogonPurpose.STEP_UP, proof)
        session = present.session
        if operator.operator_id != session.operator_id or digest != session.key_digest:
            await self._failed(caller, operator, "another-card")
        audit = _evidence("stepped-up", session)
        if not await self._store.sessions.step_up(session.session_id, self._clock.now(), audit):
            raise errors.SessionEnded
        return await self._read(session.token_digest)

    async def log_off(self, caller: Caller, *, card_removed: bool = False) -> None:
        """End the caller's session.

        Raises:
            LogonNeeded: nobody is logged on.
        """
        if caller.session is None:
            raise errors.LogonNeeded
        why = SessionEnd.CARD_REMOVED if card_removed else SessionEnd.LOGGED_OFF
        await self._end(caller.session.session, why)

    # --- judging ----------------------------------------------------------------------------------------

    async def admit(self, token: bytes, caller: Caller) -> LoggedOn:
        """Return the session with this token, and note that it was used.

        Raises:
            SessionEnded: there is none, it has ended, or it is another station's.
        """
        return await self._judge(_sha256(token), caller)

    async def recheck(self, caller: Caller) -> LoggedOn:
        """Judge the caller's session again, in the middle of something long.

        Raises:
            SessionEnded, LogonNeeded: it has ended, or there is none.
        """
        if caller.session is None:
            raise errors.LogonNeeded
        return await self._judge(caller.session.session.token_digest, caller)

    def stepped_up_until(self, session: SessionRecord) -> datetime | None:
        """Return until when the last proof counts for what is sensitive; None where there is none that does."""
        if session.stepped_up_at is None:
            return None
        until = session.stepped_up_at + max(self.limits.step_up, PROOF_COUNTS)
        return until if until > self._clock.now() else None

    async def _judge(self, token_digest: bytes, caller: Caller) -> LoggedOn:
        found = await self._read(token_digest)
        session, now = found.session, self._clock.now()
        if session.ended_at is not None:
            raise errors.SessionEnded
        if (session.station_id, session.fingerprint) != (caller.station_id, caller.fingerprint):
            await self._note("token-elsewhere", caller, session=str(session.session_id))
            raise errors.SessionEnded
        why = self._why_over(found, now)
        if why is not None:
            await self._end(session, why)
            raise errors.SessionEnded
        stale = now - session.last_seen_at >= min(TOUCH_EVERY, self.limits.idle / 4)
        if stale and not await self._store.sessions.touch(session.session_id, now):
            raise errors.SessionEnded
        return found

    def _why_over(self, found: LoggedOn, now: datetime) -> SessionEnd | None:
        session = found.session
        if now >= session.expires_at:
            return SessionEnd.EXPIRED
        if now - session.last_seen_at >= self.limits.idle:
            return SessionEnd.IDLE
        if found.counts:
            return None
        key = found.operator.key(session.key_digest)
        return SessionEnd.OPERATOR if key is not None and key.counts else SessionEnd.CREDENTIAL

    async def _read(self, token_digest: bytes) -> LoggedOn:
        found = await self._store.sessions.by_digest(token_digest)
        if found is None:
            raise errors.SessionEnded
        return found

    async def _end(self, session: SessionRecord, why: SessionEnd) -> None:
        audit = _evidence("ended", session, why=why.value)
        await self._store.sessions.end(session.session_id, why, self._clock.now(), audit)

    # --- proofs -----------------------------------------------------------------------------------------

    async def _proven(
        self, caller: Caller, purpose: LogonPurpose, proof: LogonProof
    ) -> tuple[OperatorRecord, bytes]:
        """Return whose key signed a challenge of ours for this caller and purpose, and the key's digest.

        The challenge is spent, whatever comes of it.
        """
        self._throttle.attempt(str(caller.station_id))
        now = self._clock.now()
        spent = await self._store.challenges.spend(_sha256(proof.text), now)
        public_key = public_key_of(proof.certificate)
        digest = _sha256(public_key)
        operator = await self._store.operators.by_key(digest) if public_key else None
        if operator is not None and operator.locked_until is not None and operator.locked_until > now:
            raise errors.TooManyAttempts(seconds=ceil((operator.locked_until - now).total_seconds()))
        if spent is None or (spent.station_id, spent.purpose) != (caller.station_id, _bound(caller, purpose)):
            await self._failed(caller, operator, "challenge")
        if operator is None:
            return await self._failed(caller, None, "key")
        try:
            verify_logon(public_key, proof.text, proof.signature)
        except InvalidSignature:
            await self._failed(caller, operator, "signature")
        certificate = proof.certificate
        if why := await why_not(self._store.credentials, operator, digest, certificate, now):
            await self._failed(caller, operator, why)
        return operator, digest

    async def _failed(self, caller: Caller, operator: OperatorRecord | None, why: str) -> NoReturn:
        """Record a failure, with its operator where it is one's, and refuse: the caller is not told why."""
        if operator is None:
            await self._note("log-on-failed", caller, why=why)
            raise errors.LogonRefused
        audit = AuditRecord(
            kind=AuditKind.SESSION,
            event="log-on-failed",
            actor=str(caller.station_id),
            subject=str(operator.operator_id),
            facts={"why": why},
        )
        wait = wait_after(operator.failed_logons + 1)
        until = self._clock.now() + wait if wait else None
        await self._store.operators.note_failure(operator.operator_id, until, audit)
        raise errors.LogonRefused

    async def _note(self, event: str, caller: Caller, **facts: Fact) -> None:
        """Leave evidence of what nobody's count holds; whoever tries for ever must not fill the record."""
        try:
            self._noted.attempt(f"{event} {caller.station_id}")
        except errors.TooManyAttempts:
            return
        record = AuditRecord(
            kind=AuditKind.SESSION,
            event=event,
            actor=str(caller.station_id),
            facts=facts,
        )
        await self._store.audit.append([record])


def wait_after(failures: int) -> timedelta:
    """Return how long the next attempt has to wait after so many failures in a row: twice as long each time."""
    over = failures - FREE_FAILURES
    return min(FIRST_WAIT * 2 ** min(over - 1, 10), LONGEST_WAIT) if over > 0 else timedelta()


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
