"""Sessions of holders, from the log-on to every way in which they end.

A holder is no operator. The session is of another kind, its token travels apart from an operator's, and it gives no
permission: what a holder may do to which credential is judged each time (`policy.authorise_holder`).

Nothing about a session is remembered between two calls; each is judged anew by the record. It is short, because whether the
directory still lets the person in is asked when it begins and not again.

Source: card-rules section 7 (identities on the wire).
"""

import hashlib
import secrets
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID, uuid4

from server.authority.access import Caller
from server.authority.holder_proofs import HolderProofs, ProvenHolder
from server.authority.policy import Holding
from server.authority.throttle import Limit, Throttle
from server.ports.directory import Directory
from server.ports.holders import HolderSessionRecord
from server.ports.store import AuditKind, AuditRecord, SessionEnd, SessionId, Store
from shared import errors
from shared.clock import Clock
from shared.credential.model import State
from shared.credential.self_service import FOR_CODES, HolderProof
from shared.errors import Fact
from shared.secret import Secret
from shared.self_service import DeviceCode, DeviceWaits, HolderGiven
from shared.sessions import TOKEN_LENGTH
from shared.station_profile import Face

PER_STATION: Final = Limit(burst=10, seconds=6)
"""Log-ons of holders that one station tries, right or wrong."""
OVERALL: Final = Limit(burst=200, seconds=0.1)
TOUCH_EVERY: Final = timedelta(seconds=15)


@dataclass(frozen=True, slots=True, kw_only=True)
class HolderLimits:
    """How long a session lasts without a call, and at all; how often a password is tried within which time."""

    idle: timedelta = timedelta(minutes=3)
    absolute: timedelta = timedelta(minutes=15)
    tries: int = 3
    within: timedelta = timedelta(minutes=30)


DEFAULT_LIMITS: Final = HolderLimits()


@dataclass(frozen=True, slots=True, kw_only=True)
class HolderOpened:
    """A session that was just begun, and its token."""

    token: Secret
    session: HolderSessionRecord


class HolderSessions:
    """Begin, judge and end sessions of holders."""

    def __init__(
        self,
        store: Store,
        directories: Mapping[str, Directory],
        clock: Clock,
        *,
        names: Collection[str],
        limits: HolderLimits = DEFAULT_LIMITS,
        random: Callable[[int], bytes] = secrets.token_bytes,
    ) -> None:
        """Know people from `directories`; `names` are those by which stations call this server, `random` draws secrets."""
        self._store = store
        self._proofs = HolderProofs(
            store,
            directories,
            clock,
            names=names,
            random=random,
            tries=limits.tries,
            within=limits.within,
        )
        self._clock = clock
        self.limits: Final = limits
        self._random = random
        self._throttle = Throttle(per_peer=PER_STATION, overall=OVERALL, clock=clock)

    # --- logging on -------------------------------------------------------------------------------------

    async def challenge(self, caller: Caller, server: str) -> bytes:
        """Return a text for a holder's card to sign; `server` is the name under which the station calls.

        Raises:
            NotAllowed: this station is not for self-service.
            TooManyAttempts, Invalid: as `Proofs.challenge`.
        """
        _require_self_service(caller)
        return await self._proofs.challenge(caller, server)

    async def log_on(self, caller: Caller, given: HolderGiven) -> HolderOpened:
        """Begin a session at the calling station; one that the caller has ends.

        Raises:
            NotAllowed: this station is not for self-service.
            TooManyAttempts: this station, or with this person's password, failed too often; nothing was judged.
            HolderLogonRefused, ConnectorUnreachable, ConnectorRefused: as `HolderProofs.judge`.
        """
        _require_self_service(caller)
        self._throttle.attempt(str(caller.station_id))
        return await self._open(caller, await self._proofs.judge(caller, given))

    async def begin_device(self, caller: Caller, name: str) -> DeviceCode:
        """Begin a log-on that somebody finishes on another device.

        Raises:
            NotAllowed: this station is not for self-service.
            TooManyAttempts: this station tried too often, or enough wait at it.
            HolderLogonRefused, ConnectorUnreachable, ConnectorRefused: as `HolderProofs.begin_device`.
        """
        _require_self_service(caller)
        self._throttle.attempt(str(caller.station_id))
        return await self._proofs.begin_device(caller, name)

    async def ask_device(self, caller: Caller, logon_id: UUID) -> HolderOpened | DeviceWaits:
        """Begin the session of whoever finished that log-on, or say that nobody has yet.

        Raises:
            NotAllowed: this station is not for self-service.
            HolderLogonRefused, ConnectorUnreachable, ConnectorRefused: as `HolderProofs.ask_device`.
        """
        _require_self_service(caller)
        who = await self._proofs.ask_device(caller, logon_id)
        return who if isinstance(who, DeviceWaits) else await self._open(caller, who)

    def cancel_device(self, caller: Caller, logon_id: UUID) -> None:
        """Take back a log-on on another device; nothing where there is none."""
        self._proofs.cancel_device(caller, logon_id)

    async def _open(self, caller: Caller, who: ProvenHolder) -> HolderOpened:
        """Begin a session; one that the caller has ends."""
        now = self._clock.now()
        token = Secret(self._random(TOKEN_LENGTH))
        session = HolderSessionRecord(
            session_id=SessionId(uuid4()),
            token_digest=_sha256(token.reveal()),
            directory=who.directory,
            holder=who.person.holder,
            name=who.person.name,
            proof=who.proof,
            credential_id=who.credential_id,
            station_id=caller.station_id,
            fingerprint=caller.fingerprint,
            began_at=now,
            last_seen_at=now,
            expires_at=now + self.limits.absolute,
        )
        await self._store.holders.open(session, _evidence("holder-logged-on", session))
        if caller.holder is not None:
            await self._end(caller.holder, SessionEnd.REPLACED)
        return HolderOpened(token=token, session=session)

    async def log_off(self, caller: Caller) -> None:
        """End the caller's session.

        Raises:
            LogonNeeded: no holder is logged on.
        """
        if caller.holder is None:
            raise errors.LogonNeeded
        await self._end(caller.holder, SessionEnd.LOGGED_OFF)

    # --- judging ----------------------------------------------------------------------------------------

    async def admit(self, token: bytes, caller: Caller) -> HolderSessionRecord:
        """Return the session with this token, and note that it was used.

        Raises:
            SessionEnded: there is none, it has ended, or it is another station's.
            NotAllowed: this station is not for self-service any more.
        """
        return await self._judge(_sha256(token), caller)

    async def recheck(self, session: HolderSessionRecord, caller: Caller) -> HolderSessionRecord:
        """Judge a session again, in the middle of something long; raises as `admit`."""
        return await self._judge(session.token_digest, caller)

    async def _judge(self, token_digest: bytes, caller: Caller) -> HolderSessionRecord:
        session = await self._store.holders.by_digest(token_digest)
        if session is None or session.ended_at is not None:
            raise errors.SessionEnded
        if (session.station_id, session.fingerprint) != (caller.station_id, caller.fingerprint):
            await self._proofs.note("token-elsewhere", caller, session=str(session.session_id))
            raise errors.SessionEnded
        _require_self_service(caller)
        now = self._clock.now()
        why = self._why_over(session, now) or await self._why_not(session)
        if why is not None:
            await self._end(session, why)
            raise errors.SessionEnded
        stale = now - session.last_seen_at >= min(TOUCH_EVERY, self.limits.idle / 4)
        if stale and not await self._store.holders.touch(session.session_id, now):
            raise errors.SessionEnded
        return session

    def _why_over(self, session: HolderSessionRecord, now: datetime) -> SessionEnd | None:
        if now >= session.expires_at:
            return SessionEnd.EXPIRED
        return SessionEnd.IDLE if now - session.last_seen_at >= self.limits.idle else None

    async def _why_not(self, session: HolderSessionRecord) -> SessionEnd | None:
        """Return that the credential that was the proof does not count any more."""
        if session.credential_id is None:
            return None
        record = await self._store.credentials.by_credential(session.credential_id)
        credential = record.credential if record is not None else None
        counts = {State.ACTIVE} if session.proof is HolderProof.CARD else FOR_CODES.keys()
        return None if credential is not None and credential.state in counts else SessionEnd.CREDENTIAL

    async def _end(self, session: HolderSessionRecord, why: SessionEnd) -> None:
        audit = _evidence("ended", session, why=why.value)
        await self._store.holders.end(session.session_id, why, self._clock.now(), audit)


def holding_of(session: HolderSessionRecord) -> Holding:
    """Return as whom a session lets act."""
    return Holding(
        directory=session.directory,
        holder=session.holder,
        proof=session.proof,
        credential_id=session.credential_id,
    )


def _require_self_service(caller: Caller) -> None:
    """Refuse a station that is not for holders, and an application, which nobody stands in front of."""
    if caller.application or not caller.profile.allows_face(Face.SELF_SERVICE):
        raise errors.NotAllowed(what="self-service at this station")


def _evidence(event: str, session: HolderSessionRecord, **facts: Fact) -> AuditRecord:
    return AuditRecord(
        kind=AuditKind.SESSION,
        event=event,
        actor=f"holder {session.holder}",
        subject=str(session.session_id),
        facts={"station": str(session.station_id), "proof": session.proof.value, **facts},
    )


def _sha256(content: bytes) -> bytes:
    return hashlib.sha256(content).digest()
