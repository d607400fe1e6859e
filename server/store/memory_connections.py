"""Connections to outside systems, in memory."""

from collections.abc import Sequence

from server.ports.audit import AuditRecord
from server.ports.connections import ConnectionRecord
from server.store.memory_state import Book
from shared import errors


class MemoryConnections:
    """The port `ConnectionStore`."""

    def __init__(self, book: Book) -> None:
        """Work on `book`."""
        self._book = book

    async def all(self) -> Sequence[ConnectionRecord]:
        """Return every connection, by name."""
        return tuple(kept for _, kept in sorted(self._book.state.connections.items()))

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
