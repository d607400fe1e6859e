"""What directories are told of certificates, in memory."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime

from server.ports.store import AuditRecord, CertificateTaskAsked, Change, StateChanged
from server.ports.write_back import WriteBack, WriteBackAction
from server.store.memory_state import Book, Draft
from server.store.rules import CLOSED_CREDENTIAL
from shared import errors
from shared.credential.model import NEVER, CertificateAction, RecordId


class MemoryWriteBacks:
    """The port `WriteBackStore`."""

    def __init__(self, book: Book) -> None:
        """Work on `book`."""
        self._book = book

    async def due(self, now: datetime, limit: int) -> Sequence[WriteBack]:
        """Return what waits and whose time has come; at most `limit` of each connection."""
        taken: Counter[str] = Counter()
        due = []
        for entry in await self.waiting():
            if entry.next_at <= now:
                taken[entry.connection] += 1
                if taken[entry.connection] <= limit:
                    due.append(entry)
        return tuple(due)

    async def waiting(self) -> Sequence[WriteBack]:
        """Return everything that a directory was not told yet."""
        waiting = (entry for entry in self._book.state.write_backs.values() if not entry.done)
        return tuple(sorted(waiting, key=lambda entry: entry.asked_at))

    async def of_card(self, record_id: RecordId) -> Sequence[WriteBack]:
        """Return what directories were told, or are to be, of one card."""
        return tuple(entry for entry in self._book.state.write_backs.values() if entry.record_id == record_id)

    async def settle(self, entry: WriteBack, audit: AuditRecord) -> bool:
        """Keep evidence of what the directory did; remember what was published, forget what was withdrawn."""
        with self._book.writing() as draft:
            self._book.note(draft, audit)
            kept = _still(draft, entry)
            if kept is None:
                return False
            if kept.action is WriteBackAction.WITHDRAW:
                del draft.write_backs[entry.request_id]
            else:
                draft.write_backs[entry.request_id] = replace(
                    kept, done=True, failure="", attempts=kept.attempts + 1, next_at=NEVER
                )
            return True

    async def failed(self, entry: WriteBack, failure: str, next_at: datetime) -> bool:
        """Count an attempt and say when to try again."""
        with self._book.writing() as draft:
            kept = _still(draft, entry)
            if kept is None:
                return False
            draft.write_backs[entry.request_id] = replace(
                kept, attempts=kept.attempts + 1, failure=failure, next_at=next_at
            )
            return True

    async def give_up(self, entry: WriteBack, why: str, audit: AuditRecord) -> bool:
        """Keep what is not tried any more."""
        with self._book.writing() as draft:
            kept = _still(draft, entry)
            if kept is None:
                return False
            draft.write_backs[entry.request_id] = replace(kept, failure=why, next_at=NEVER)
            self._book.note(draft, audit)
            return True

    async def count(self, connection: str) -> int:
        """Count what this directory was told, and has to be told to forget one day."""
        return sum(entry.connection == connection for entry in self._book.state.write_backs.values())


def ask(draft: Draft, record_id: RecordId, entry: WriteBack) -> None:
    """Keep what a directory is to be told; `StoreConflict` where the certificate is another card's."""
    known = {each.request_id for each in draft.cards[record_id].certificates}
    if entry.record_id != record_id or entry.request_id not in known:
        raise errors.StoreConflict(what="reference")
    draft.write_backs[entry.request_id] = entry


def follow(draft: Draft, record_id: RecordId, change: Change, now: datetime) -> None:
    """Have certificates withdrawn that are to be revoked, or whose card is out of use for good."""
    of_card = [each for each in draft.write_backs.values() if each.record_id == record_id]
    match change:
        case CertificateTaskAsked(task=task) if task.action is CertificateAction.REVOKE:
            concerned = [each for each in of_card if each.request_id == task.request_id]
            _withdraw(draft, concerned, task.asked_at, task.next_at)
        case StateChanged(state=state) if state in CLOSED_CREDENTIAL:
            _withdraw(draft, of_card, now, now)
        case _:
            pass  # nothing that a directory has to learn


def _withdraw(draft: Draft, entries: Sequence[WriteBack], asked_at: datetime, next_at: datetime) -> None:
    for entry in entries:
        if entry.action is not WriteBackAction.WITHDRAW:
            draft.write_backs[entry.request_id] = replace(
                entry,
                action=WriteBackAction.WITHDRAW,
                asked_at=asked_at,
                next_at=next_at,
                attempts=0,
                failure="",
                done=False,
            )


def _still(draft: Draft, entry: WriteBack) -> WriteBack | None:
    """Return the entry as it is kept, or None where something else was asked for meanwhile."""
    kept = draft.write_backs.get(entry.request_id)
    same = kept is not None and (kept.action, kept.asked_at, kept.done) == (
        entry.action,
        entry.asked_at,
        False,
    )
    return kept if same else None
