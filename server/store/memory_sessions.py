"""Sessions of operators and the challenges that begin them, in memory."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import datetime

from server.ports.store import (
    AuditRecord,
    ChallengeRecord,
    LoggedOn,
    OperatorId,
    SessionEnd,
    SessionId,
    SessionRecord,
)
from server.store.memory_operators import operator_of
from server.store.memory_state import Book
from shared import errors
from shared.credential.model import CredentialId, StationId


class MemorySessions:
    """The port `SessionStore`."""

    def __init__(self, book: Book) -> None:
        """Work on `book`."""
        self._book = book

    async def open(self, session: SessionRecord, audit: AuditRecord) -> int:
        """Store a new session as its operator's log-on."""
        with self._book.writing() as draft:
            operator = operator_of(draft, session.operator_id)
            if operator is None or not operator.may_use(session.key_digest):
                raise errors.StoreConflict(what="operator")
            if session.session_id in draft.sessions or any(
                known.token_digest == session.token_digest for known in draft.sessions.values()
            ):
                raise errors.StoreConflict(what="session")
            if session.station_id not in draft.stations:
                raise errors.StoreConflict(what="reference")
            draft.sessions[session.session_id] = session
            draft.operators[session.operator_id] = replace(
                draft.operators[session.operator_id],
                last_logon_at=session.began_at,
                failed_logons=0,
                locked_until=None,
            )
            self._book.note(draft, audit)
            return operator.failed_logons

    async def by_digest(self, token_digest: bytes) -> LoggedOn | None:
        """Return the session with this token, ended or not, and its operator."""
        state = self._book.state
        for session in state.sessions.values():
            if session.token_digest == token_digest:
                operator = operator_of(state, session.operator_id)
                assert operator is not None  # none is ever removed
                return LoggedOn(session=session, operator=operator)
        return None

    async def live(self) -> Sequence[SessionRecord]:
        """Return the sessions that have not ended, the oldest first."""
        return _by_age(each for each in self._book.state.sessions.values() if each.ended_at is None)

    async def touch(self, session_id: SessionId, at: datetime) -> bool:
        """Note that the session was used; returns whether it had not ended."""
        return self._change(session_id, lambda kept: replace(kept, last_seen_at=at))

    async def step_up(self, session_id: SessionId, at: datetime, audit: AuditRecord) -> bool:
        """Note that the PIN was asked again; returns whether the session had not ended."""
        return self._change(session_id, lambda kept: replace(kept, stepped_up_at=at), audit)

    async def end(self, session_id: SessionId, why: SessionEnd, at: datetime, audit: AuditRecord) -> bool:
        """End a session; returns whether it had not ended before."""
        return len(self._end(lambda each: each.session_id == session_id, why, at, audit)) == 1

    async def end_of_operator(
        self, operator_id: OperatorId, at: datetime, audit: AuditRecord
    ) -> Sequence[SessionRecord]:
        """End every session of this operator and return them."""
        return self._end(lambda each: each.operator_id == operator_id, SessionEnd.OPERATOR, at, audit)

    async def end_of_station(
        self, station_id: StationId, at: datetime, audit: AuditRecord
    ) -> Sequence[SessionRecord]:
        """End every session at this station and return them."""
        return self._end(lambda each: each.station_id == station_id, SessionEnd.STATION, at, audit)

    async def end_of_credential(
        self, credential_id: CredentialId, at: datetime, audit: AuditRecord
    ) -> Sequence[SessionRecord]:
        """End every session that a key of this credential logged on and return them."""
        keys = {
            key.digest
            for operator in self._book.state.operators.values()
            for key in operator.keys
            if key.credential_id == credential_id
        }
        return self._end(lambda each: each.key_digest in keys, SessionEnd.CREDENTIAL, at, audit)

    def _change(
        self,
        session_id: SessionId,
        change: Callable[[SessionRecord], SessionRecord],
        *audit: AuditRecord,
    ) -> bool:
        with self._book.writing() as draft:
            kept = draft.sessions.get(session_id)
            if kept is None or kept.ended_at is not None:
                return False
            draft.sessions[session_id] = change(kept)
            self._book.note(draft, *audit)
            return True

    def _end(
        self, fits: Callable[[SessionRecord], bool], why: SessionEnd, at: datetime, audit: AuditRecord
    ) -> Sequence[SessionRecord]:
        with self._book.writing() as draft:
            ended = [
                replace(each, ended_at=at, why=why)
                for each in draft.sessions.values()
                if each.ended_at is None and fits(each)
            ]
            draft.sessions |= {each.session_id: each for each in ended}
            if ended:
                self._book.note(draft, audit)
        return _by_age(ended)


class MemoryChallenges:
    """The port `ChallengeStore`."""

    def __init__(self, book: Book) -> None:
        """Work on `book`."""
        self._book = book

    async def add(self, challenge: ChallengeRecord, now: datetime) -> None:
        """Store a challenge, and forget those that have expired."""
        with self._book.writing() as draft:
            draft.challenges = {
                digest: kept for digest, kept in draft.challenges.items() if kept.expires_at > now
            }
            if challenge.digest in draft.challenges:
                raise errors.StoreConflict(what="challenge")
            draft.challenges[challenge.digest] = challenge

    async def spend(self, digest: bytes, now: datetime) -> ChallengeRecord | None:
        """Take a challenge out, once; None where it is unknown, spent or expired."""
        with self._book.writing() as draft:
            kept = draft.challenges.get(digest)
            if kept is None or kept.expires_at <= now:
                return None
            return draft.challenges.pop(digest)


def _by_age(sessions: Iterable[SessionRecord]) -> tuple[SessionRecord, ...]:
    return tuple(sorted(sessions, key=lambda each: each.began_at))
