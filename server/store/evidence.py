"""Append to the order of evidence, inside whatever transaction the evidence belongs to."""

import json
from collections.abc import Sequence
from typing import Final

from sqlalchemy import bindparam, func, insert, select

from server.ports.evidence import canonical_facts, leaf_hash
from server.ports.store import AuditEntry, AuditRecord
from server.store.schema import audit
from server.store.statements import Cursor, Prepared, Row, given
from server.store.writer import Writer
from shared.clock import Clock

_VALUES: Final = [column for column in audit.columns if column is not audit.c.position]

_APPEND: Final = Prepared(
    insert(audit).from_select(
        [audit.c.position, *_VALUES],
        select(func.coalesce(func.max(audit.c.position) + 1, 0), *(given(column) for column in _VALUES)),
    )
)
"""The next index is read in the statement that takes it, so that there is no gap and no second counter."""

_PAGE: Final = Prepared(
    select(*audit.columns)
    .where(audit.c.position >= bindparam("start", required=True))
    .order_by(audit.c.position)
    .limit(bindparam("count", required=True))
)
_ABOUT: Final = Prepared(
    select(*audit.columns).where(audit.c.subject == given(audit.c.subject)).order_by(audit.c.position)
)


def append(cursor: Cursor, clock: Clock, *records: AuditRecord) -> None:
    """Append records in order, as of now."""
    for record in records:
        now = clock.now()
        _APPEND.run(
            cursor,
            {
                "at": now,
                "kind": record.kind,
                "event": record.event,
                "actor": record.actor,
                "subject": record.subject,
                "facts": canonical_facts(record.facts),
                "leaf": leaf_hash(now, record),
            },
        )


class AuditTable:
    """The port `AuditStore`."""

    def __init__(self, writer: Writer, clock: Clock) -> None:
        """Work through `writer`."""
        self._writer = writer
        self._clock = clock

    async def append(self, records: Sequence[AuditRecord]) -> None:
        """Append records that belong to no other write, in one commit."""
        await self._writer.write(lambda cursor: append(cursor, self._clock, *records))

    async def page(self, start: int, count: int) -> Sequence[AuditEntry]:
        """Return `count` entries from index `start` (from 0)."""
        rows = await self._writer.read(lambda cursor: _PAGE.rows(cursor, start=start, count=count))
        return [_entry(row) for row in rows]

    async def about(self, subject: str) -> Sequence[AuditEntry]:
        """Return every entry about `subject`, the oldest first."""
        rows = await self._writer.read(lambda cursor: _ABOUT.rows(cursor, subject=subject))
        return [_entry(row) for row in rows]


def _entry(row: Row) -> AuditEntry:
    index, at, kind, event, actor, subject, facts, leaf = row
    return AuditEntry(
        index=index,
        at=at,
        record=AuditRecord(kind=kind, event=event, actor=actor, subject=subject, facts=json.loads(facts)),
        leaf=leaf,
    )
