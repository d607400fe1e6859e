"""Roles that were made here, and presets that were edited here."""

from collections.abc import Sequence
from typing import Final

from sqlalchemy import delete, select, update

from server.ports.store import AuditRecord, RoleRecord
from server.store import evidence
from server.store.operator_schema import operator_role, role
from server.store.statements import Cursor, Prepared, Row, add, given
from server.store.writer import Writer
from shared import errors
from shared.clock import Clock

_COLUMNS: Final = (role.c.name, role.c.document, role.c.preset, role.c.changed_at)
_OF_THIS: Final = role.c.name == given(role.c.name)
_ALL: Final = Prepared(select(*_COLUMNS).order_by(role.c.name))
_ONE: Final = Prepared(select(*_COLUMNS).where(_OF_THIS))
_ADD: Final = add(role)
_REPLACE: Final = Prepared(
    update(role)
    .where(_OF_THIS)
    .values(document=given(role.c.document), preset=given(role.c.preset), changed_at=given(role.c.changed_at))
)
_REMOVE: Final = Prepared(delete(role).where(_OF_THIS))
_HELD: Final = Prepared(
    select(operator_role.c.operator_id).where(operator_role.c.role == given(operator_role.c.role)).limit(1)
)


class RoleTable:
    """The port `RoleStore`."""

    def __init__(self, writer: Writer, clock: Clock) -> None:
        """Work through `writer`."""
        self._writer = writer
        self._clock = clock

    async def all(self) -> Sequence[RoleRecord]:
        """Return every record, by name."""
        return tuple(_role(row) for row in await self._writer.read(_ALL.rows))

    async def add(self, role: RoleRecord, audit: AuditRecord) -> None:
        """Store a new record."""

        def work(cursor: Cursor) -> None:
            _ADD.run(cursor, _values(role))
            evidence.append(cursor, self._clock, audit)

        await self._writer.write(work)

    async def replace(self, role: RoleRecord, seen: RoleRecord, audit: AuditRecord) -> None:
        """Put a record in the place of the one that was `seen`."""

        def work(cursor: Cursor) -> None:
            row = _ONE.row(cursor, name=role.name)
            if row is None or _role(row) != seen:
                raise errors.StoreConflict(what="role")
            _REPLACE.run(cursor, _values(role))
            evidence.append(cursor, self._clock, audit)

        await self._writer.write(work)

    async def remove(self, name: str, audit: AuditRecord) -> None:
        """Remove a record; a preset is then as in the program again."""

        def work(cursor: Cursor) -> None:
            row = _ONE.row(cursor, name=name)
            if row is None:
                raise errors.Invalid(field="role", why=f"no role {name}")
            if not _role(row).preset and _HELD.row(cursor, role=name) is not None:
                raise errors.StoreConflict(what="operator_role")
            _REMOVE.run(cursor, {"name": name})
            evidence.append(cursor, self._clock, audit)

        await self._writer.write(work)


def _values(role: RoleRecord) -> dict[str, object]:
    return {
        "name": role.name,
        "document": role.document,
        "preset": role.preset,
        "changed_at": role.changed_at,
    }


def _role(row: Row) -> RoleRecord:
    name, document, preset, changed_at = row
    return RoleRecord(name=name, document=document, preset=preset, changed_at=changed_at)
