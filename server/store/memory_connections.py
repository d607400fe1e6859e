"""Connections to outside systems, in memory."""

from collections.abc import Sequence
from datetime import datetime

from server.ports.audit import AuditRecord
from server.ports.connections import ConnectionRecord
from server.store.memory_state import Book
from server.store.rules import not_after
from shared import errors
from shared.credential.model import CertificateState


class MemoryConnections:
    """The port `ConnectionStore`."""

    def __init__(self, book: Book) -> None:
        """Work on `book`."""
        self._book = book

    async def all(self) -> Sequence[ConnectionRecord]:
        """Return every connection, by name."""
        return tuple(kept for _, kept in sorted(self._book.state.connections.items()))

    async def certificates_of(self, name: str, now: datetime) -> int:
        """Count the certificates by this certificate authority that it may yet have to revoke."""
        return sum(
            each.connection == name
            and each.state not in {CertificateState.REFUSED, CertificateState.REVOKED}
            and ((ends := not_after(each.certificate)) is None or ends > now)
            for card in self._book.state.cards.values()
            for each in card.certificates
        )

    async def put(self, record: ConnectionRecord, audit: AuditRecord) -> None:
        """Store a new connection, or the next version of one."""
        with self._book.writing() as draft:
            present = draft.connections.get(record.name)
            if record.version != (present.version if present else 0) + 1:
                raise errors.StoreConflict(what="connection")
            draft.connections[record.name] = record
            self._book.note(draft, audit)

    async def remove(self, name: str, version: int, audit: AuditRecord) -> None:
        """Forget a connection of this version."""
        with self._book.writing() as draft:
            present = draft.connections.get(name)
            if present is None or present.version != version:
                raise errors.StoreConflict(what="connection")
            del draft.connections[name]
            self._book.note(draft, audit)
