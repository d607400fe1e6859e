"""A store in memory: the whole port, for tests of whatever stands on it. Nothing outlives the process."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Final

from server.ports.store import (
    AuditEntry,
    AuditRecord,
    LedgerEntry,
    StoredTemplate,
)
from server.store.memory_approvals import MemoryApprovals
from server.store.memory_cards import MemoryCards
from server.store.memory_connections import MemoryConnections
from server.store.memory_credentials import MemoryCodes, MemoryCredentials
from server.store.memory_holders import MemoryHolders
from server.store.memory_operators import MemoryOperators, MemoryRoles
from server.store.memory_passcode import MemoryPasscode
from server.store.memory_sessions import MemoryChallenges, MemorySessions
from server.store.memory_state import Book, Draft
from server.store.memory_stations import MemoryStations
from server.store.memory_tasks import MemoryJobs, MemoryTasks
from server.store.memory_write_backs import MemoryWriteBacks
from server.store.rules import ON_HOLD, check_revocation
from shared import errors
from shared.clock import Clock
from shared.credential.model import RequestId, TemplateRef


class MemoryStore:
    """The port `Store`, kept in memory."""

    def __init__(self, clock: Clock) -> None:
        """Start empty; `clock` judges leases and stamps records."""
        self._book = Book(clock)
        self.cards: Final = MemoryCards(self._book)
        self.credentials: Final = MemoryCredentials(self._book)
        self.tasks: Final = MemoryTasks(self._book)
        self.write_backs: Final = MemoryWriteBacks(self._book)
        self.codes: Final = MemoryCodes(self._book)
        self.jobs: Final = MemoryJobs(self._book)
        self.templates: Final = _Templates(self._book)
        self.stations: Final = MemoryStations(self._book)
        self.operators: Final = MemoryOperators(self._book)
        self.roles: Final = MemoryRoles(self._book)
        self.sessions: Final = MemorySessions(self._book)
        self.challenges: Final = MemoryChallenges(self._book)
        self.holders: Final = MemoryHolders(self._book)
        self.approvals: Final = MemoryApprovals(self._book)
        self.passcode: Final = MemoryPasscode(self._book)
        self.connections: Final = MemoryConnections(self._book)
        self.ledger: Final = _Ledger(self._book)
        self.audit: Final = _Audit(self._book)

    @property
    def commits(self) -> int:
        """How many writes were made since start."""
        return self._book.commits

    async def close(self) -> None:
        """Forget nothing: what was kept may still be read."""


class _Templates:
    def __init__(self, book: Book) -> None:
        self._book = book

    async def latest(self, name: str) -> StoredTemplate | None:
        return next((kept for kept in await self.all_latest() if kept.ref.name == name), None)

    async def version(self, ref: TemplateRef) -> StoredTemplate | None:
        kept = self._book.state.templates.get((ref.name, ref.version))
        return kept if kept is not None and kept.ref == ref else None

    async def all_latest(self) -> Sequence[StoredTemplate]:
        in_order = sorted(self._book.state.templates.items())
        return tuple({name: kept for (name, _), kept in in_order}.values())

    async def add(self, template: StoredTemplate, audit: AuditRecord) -> None:
        place = (template.ref.name, template.ref.version)
        with self._book.writing() as draft:
            if place in draft.templates:
                raise errors.StoreConflict(what="template")
            draft.templates[place] = template
            self._book.note(draft, audit)


class _Ledger:
    def __init__(self, book: Book) -> None:
        self._book = book

    async def record(self, entries: Sequence[LedgerEntry]) -> None:
        with self._book.writing() as draft:
            for entry in entries:
                asked = {known.request_id for known in draft.ledger.values()} - {None}
                if entry.serial in draft.ledger or entry.request_id in asked:
                    raise errors.StoreConflict(what="ledger")
                draft.ledger[entry.serial] = replace(entry, audit=None)
                if entry.audit is not None:
                    self._book.note(draft, entry.audit)

    async def by_request(self, request_id: RequestId) -> LedgerEntry | None:
        entries = self._book.state.ledger.values()
        return next((entry for entry in entries if entry.request_id == request_id), None)

    async def by_serial(self, serial: int) -> LedgerEntry | None:
        return self._book.state.ledger.get(serial)

    async def by_public_key(self, public_key: bytes) -> Sequence[LedgerEntry]:
        entries = self._book.state.ledger.values()
        return tuple(entry for entry in entries if entry.public_key == public_key)

    async def revoke(self, serial: int, reason: str, at: datetime, audit: AuditRecord) -> None:
        with self._book.writing() as draft:
            entry = _signed(draft, serial)
            check_revocation(reason)
            if entry.revoked_at is None or entry.reason == ON_HOLD:
                draft.ledger[serial] = replace(entry, revoked_at=entry.revoked_at or at, reason=reason)
                self._book.note(draft, audit)

    async def hold(self, serial: int, at: datetime, audit: AuditRecord) -> None:
        with self._book.writing() as draft:
            entry = _signed(draft, serial)
            if entry.revoked_at is None:
                draft.ledger[serial] = replace(entry, revoked_at=at, reason=ON_HOLD)
                self._book.note(draft, audit)

    async def release(self, serial: int, audit: AuditRecord) -> bool:
        with self._book.writing() as draft:
            entry = _signed(draft, serial)
            if entry.reason == ON_HOLD:
                draft.ledger[serial] = replace(entry, revoked_at=None, reason="")
                self._book.note(draft, audit)
            return draft.ledger[serial].revoked_at is None

    async def revoked(self) -> Sequence[LedgerEntry]:
        now = self._book.clock.now()
        entries = self._book.state.ledger.values()
        return tuple(entry for entry in entries if entry.revoked_at is not None and entry.not_after > now)

    async def next_crl_number(self) -> int:
        with self._book.writing() as draft:
            draft.crl_number += 1
        return draft.crl_number


def _signed(draft: Draft, serial: int) -> LedgerEntry:
    entry = draft.ledger.get(serial)
    if entry is None:
        raise errors.Invalid(field="serial", why="not signed here")
    return entry


class _Audit:
    def __init__(self, book: Book) -> None:
        self._book = book

    async def append(self, records: Sequence[AuditRecord]) -> None:
        with self._book.writing() as draft:
            self._book.note(draft, *records)

    async def page(self, start: int, count: int) -> Sequence[AuditEntry]:
        return self._book.state.audit[start : start + count]

    async def about(self, subject: str) -> Sequence[AuditEntry]:
        return tuple(entry for entry in self._book.state.audit if entry.record.subject == subject)
