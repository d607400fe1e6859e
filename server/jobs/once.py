"""Evidence that is kept once, however often the same is found again."""

from server.ports.store import AuditRecord, AuditStore
from shared.errors import Fact


class Once:
    """Remember what evidence there is; after a restart, the record does."""

    def __init__(self, audit: AuditStore) -> None:
        """Keep evidence in `audit`."""
        self._audit = audit
        self._known: set[tuple[str, str, Fact]] = set()

    async def note(self, record: AuditRecord, of: str) -> bool:
        """Keep a record, unless there is one of this event about this subject whose fact `of` is the same.

        Returns:
            Whether it was kept now.
        """
        key = (record.event, record.subject, record.facts[of])
        if key in self._known:
            return False
        kept = any(
            entry.record.event == record.event and entry.record.facts.get(of) == record.facts[of]
            for entry in await self._audit.about(record.subject)
        )
        if not kept:
            await self._audit.append([record])
        self._known.add(key)
        return not kept
