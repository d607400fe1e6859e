"""Sessions of holders, and tries of their passwords, in memory."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from server.ports.holders import HolderSessionRecord
from server.ports.store import AuditRecord, SessionEnd, SessionId
from server.store.memory_state import Book
from shared import errors
from shared.credential.model import HolderId, StationId


class MemoryHolders:
    """The port `HolderStore`."""

    def __init__(self, book: Book) -> None:
        """Work on `book`."""
        self._book = book

    async def open(self, session: HolderSessionRecord, audit: AuditRecord) -> None:
        """Store a new session."""
        with self._book.writing() as draft:
            if session.session_id in draft.holder_sessions or any(
                known.token_digest == session.token_digest for known in draft.holder_sessions.values()
            ):
                raise errors.StoreConflict(what="holder_session")
            credential_known = session.credential_id is None or session.credential_id in draft.credentials
            if session.station_id not in draft.stations or not credential_known:
                raise errors.StoreConflict(what="reference")
            draft.holder_sessions[session.session_id] = session
            self._book.note(draft, audit)

    async def by_digest(self, token_digest: bytes) -> HolderSessionRecord | None:
        """Return the session with this token, ended or not."""
        sessions = self._book.state.holder_sessions.values()
        return next((each for each in sessions if each.token_digest == token_digest), None)

    async def touch(self, session_id: SessionId, at: datetime) -> bool:
        """Note that the session was used; returns whether it had not ended."""
        with self._book.writing() as draft:
            kept = draft.holder_sessions.get(session_id)
            if kept is None or kept.ended_at is not None:
                return False
            draft.holder_sessions[session_id] = replace(kept, last_seen_at=at)
            return True

    async def end(self, session_id: SessionId, why: SessionEnd, at: datetime, audit: AuditRecord) -> bool:
        """End a session; returns whether it had not ended before."""
        return len(self._end(lambda each: each.session_id == session_id, why, at, audit)) == 1

    async def end_of_station(
        self, station_id: StationId, at: datetime, audit: AuditRecord
    ) -> Sequence[HolderSessionRecord]:
        """End every session at this station and return them."""
        return self._end(lambda each: each.station_id == station_id, SessionEnd.STATION, at, audit)

    async def try_once(
        self, directory: str, holder: HolderId, *, at: datetime, limit: int, within: timedelta
    ) -> datetime | None:
        """Count a try before it is made; return None where it may be, else until when it may not."""
        with self._book.writing() as draft:
            draft.holder_tries = {key: kept for key, kept in draft.holder_tries.items() if kept[1] > at}
            tries, until = draft.holder_tries.get((directory, holder), (0, at + within))
            if tries >= limit:
                return until
            draft.holder_tries[directory, holder] = (tries + 1, until)
            return None

    async def forget_tries(self, directory: str, holder: HolderId) -> None:
        """Begin to count anew."""
        with self._book.writing() as draft:
            draft.holder_tries.pop((directory, holder), None)

    def _end(
        self,
        fits: Callable[[HolderSessionRecord], bool],
        why: SessionEnd,
        at: datetime,
        audit: AuditRecord,
    ) -> Sequence[HolderSessionRecord]:
        with self._book.writing() as draft:
            ended = [
                replace(each, ended_at=at, why=why)
                for each in draft.holder_sessions.values()
                if each.ended_at is None and fits(each)
            ]
            draft.holder_sessions |= {each.session_id: each for each in ended}
            if ended:
                self._book.note(draft, audit)
        return tuple(sorted(ended, key=lambda each: each.began_at))
