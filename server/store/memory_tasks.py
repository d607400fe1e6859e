"""What certificate authorities still have to do, and who does which job, in memory."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta

from server.ports.store import AuditRecord, JobRecord
from server.store.memory_state import Book, Draft
from server.store.rules import check_task, settled
from shared import errors
from shared.credential.model import NEVER, CertificateRecord, CertificateTask, RecordId


class MemoryTasks:
    """The port `TaskStore`."""

    def __init__(self, book: Book) -> None:
        """Work on `book`."""
        self._book = book

    async def due(self, now: datetime, limit: int) -> Sequence[CertificateTask]:
        """Return tasks whose time has come, those asked for earliest first; at most `limit` of each connection."""
        tasks = [task for task in self._book.state.tasks.values() if task.next_at <= now]
        tasks.sort(key=lambda task: task.asked_at)
        taken: Counter[str] = Counter()
        due = []
        for task in tasks:
            taken[task.connection] += 1
            if taken[task.connection] <= limit:
                due.append(task)
        return tuple(due)

    async def all(self) -> Sequence[CertificateTask]:
        """Return every task."""
        return tuple(self._book.state.tasks.values())

    async def done(
        self, task: CertificateTask, audit: AuditRecord, certificate: CertificateRecord | None = None
    ) -> bool:
        """Remove the task and say what its certificate is now, if it is still this one."""
        with self._book.writing() as draft:
            self._book.note(draft, audit)
            if _still(draft, task) is None:
                return False
            del draft.tasks[task.request_id]
            card = draft.cards[task.record_id]
            certificates = tuple(
                settled(each, task, certificate) if each.request_id == task.request_id else each
                for each in card.certificates
            )
            draft.cards[task.record_id] = replace(card, certificates=certificates)
            return True

    async def failed(self, task: CertificateTask, failure: str, next_at: datetime) -> bool:
        """Count an attempt and say when to try again."""
        with self._book.writing() as draft:
            kept = _still(draft, task)
            if kept is None:
                return False
            draft.tasks[task.request_id] = replace(
                kept, attempts=kept.attempts + 1, failure=failure, next_at=next_at
            )
            return True

    async def give_up(self, task: CertificateTask, why: str, audit: AuditRecord) -> bool:
        """Keep a task that is not tried any more."""
        with self._book.writing() as draft:
            kept = _still(draft, task)
            if kept is None:
                return False
            draft.tasks[task.request_id] = replace(kept, failure=why, next_at=NEVER)
            self._book.note(draft, audit)
            return True


def keep_task(draft: Draft, record_id: RecordId, task: CertificateTask) -> None:
    """Keep a task of a card; `StoreConflict` where the card has no such certificate."""
    check_task(task, record_id)
    known = {certificate.request_id for certificate in draft.cards[record_id].certificates}
    if task.request_id not in known:
        raise errors.StoreConflict(what="reference")
    draft.tasks[task.request_id] = task


def _still(draft: Draft, task: CertificateTask) -> CertificateTask | None:
    """Return the task as it is kept, or None where another took its place."""
    kept = draft.tasks.get(task.request_id)
    same = kept is not None and (kept.action, kept.asked_at) == (task.action, task.asked_at)
    return kept if same else None


class MemoryJobs:
    """The port `JobStore`."""

    def __init__(self, book: Book) -> None:
        """Work on `book`."""
        self._book = book

    async def begin(self, name: str, holder: str, now: datetime, for_s: float) -> bool:
        """Take a job for so long; False while a run of it is under way anywhere."""
        with self._book.writing() as draft:
            kept = draft.jobs.get(name)
            if kept is not None and kept.expires_at > now:
                return False
            taken = kept or JobRecord(name=name, holder=holder, expires_at=now)
            draft.jobs[name] = replace(taken, holder=holder, expires_at=now + timedelta(seconds=for_s))
            return True

    async def end(self, name: str, holder: str, now: datetime, note: str) -> bool:
        """Give a job back; returns whether it was still this process's."""
        with self._book.writing() as draft:
            kept = draft.jobs.get(name)
            if kept is None or kept.holder != holder:
                return False
            draft.jobs[name] = replace(kept, expires_at=now, last_run_at=now, note=note)
            return True

    async def all(self) -> Sequence[JobRecord]:
        """Return every job that ever began, by name."""
        return tuple(job for _, job in sorted(self._book.state.jobs.items()))

    async def release_all(self, now: datetime) -> None:
        """Take every job from whoever had it."""
        with self._book.writing() as draft:
            draft.jobs = {
                name: replace(job, expires_at=min(job.expires_at, now)) for name, job in draft.jobs.items()
            }
