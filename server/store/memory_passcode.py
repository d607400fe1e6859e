"""The passcode of the first start, and the one session that it opened, in memory."""

from dataclasses import replace
from datetime import datetime

from server.ports.store import AuditRecord, FirstStartRecord, PasscodeRecord
from server.store.memory_state import Book
from shared import errors


class MemoryPasscode:
    """The port `PasscodeStore`."""

    def __init__(self, book: Book) -> None:
        """Work on `book`."""
        self._book = book

    async def set(self, passcode: PasscodeRecord, audit: AuditRecord) -> None:
        """Keep this passcode in the place of an earlier one."""
        with self._book.writing() as draft:
            if passcode.expires_at is None and draft.operators:
                raise errors.StoreConflict(what="operator")
            draft.passcode = passcode
            self._book.note(draft, audit)

    async def get(self) -> PasscodeRecord | None:
        """Return it; None where there is none."""
        return self._book.state.passcode

    async def note_failure(self, locked_until: datetime | None, audit: AuditRecord) -> int:
        """Count a wrong one, and return how many there were in a row."""
        kept = self._book.state.passcode
        if kept is None:
            return 0
        with self._book.writing() as draft:
            draft.passcode = replace(kept, failures=kept.failures + 1, locked_until=locked_until)
            self._book.note(draft, audit)
        return kept.failures + 1

    async def begin(self, session: FirstStartRecord, seen: PasscodeRecord, audit: AuditRecord) -> None:
        """Open a session in the place of the one before; failures are forgotten."""
        with self._book.writing() as draft:
            kept = draft.passcode
            if kept is None or (kept.salt, kept.digest) != (seen.salt, seen.digest):
                raise errors.StoreConflict(what="passcode")
            draft.passcode = replace(kept, failures=0, locked_until=None, session=session)
            self._book.note(draft, audit)

    async def end(self, token_digest: bytes, audit: AuditRecord) -> bool:
        """End the session with this token; returns whether there was one."""
        kept = self._book.state.passcode
        if kept is None or kept.session is None or kept.session.token_digest != token_digest:
            return False
        with self._book.writing() as draft:
            draft.passcode = replace(kept, session=None)
            self._book.note(draft, audit)
        return True
