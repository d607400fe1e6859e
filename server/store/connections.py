"""Connections to outside systems: the newest version of each, every change evidenced in its own commit."""

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime
from typing import Final

from sqlalchemy import bindparam, delete, func, or_, select, update

from server.ports.audit import AuditRecord
from server.ports.connections import ConnectionRecord
from server.store import evidence
from server.store.connection_schema import connection
from server.store.schema import certificate
from server.store.statements import Cursor, Prepared, add, given
from server.store.writer import Writer
from shared import errors
from shared.clock import Clock
from shared.credential.model import CertificateState

_ADD: Final = add(connection)
_ALL: Final = Prepared(select(*connection.columns).order_by(connection.c.name))
_EXISTS: Final = Prepared(select(connection.c.name).where(connection.c.name == given(connection.c.name)))
_THIS: Final = (connection.c.name == given(connection.c.name)) & (
    connection.c.version == bindparam("present", type_=connection.c.version.type, required=True)
)
_OPEN: Final = Prepared(
    select(func.count())
    .select_from(certificate)
    .where(
        certificate.c.connection == given(certificate.c.connection),
        certificate.c.state != CertificateState.REFUSED,
        certificate.c.state != CertificateState.REVOKED,
        or_(certificate.c.not_after.is_(None), certificate.c.not_after > given(certificate.c.not_after)),
    )
)
_CHANGE: Final = Prepared(
    update(connection)
    .where(_THIS)
    .values({column.name: given(column) for column in connection.columns if column is not connection.c.name})
)
_REMOVE: Final = Prepared(delete(connection).where(_THIS))


class ConnectionTable:
    """The port `ConnectionStore`."""

    def __init__(self, writer: Writer, clock: Clock) -> None:
        """Work through `writer`."""
        self._writer = writer
        self._clock = clock

    async def all(self) -> Sequence[ConnectionRecord]:
        """Return every connection, by name."""
        names = [column.name for column in connection.columns]
        rows = await self._writer.read(_ALL.rows)
        return [ConnectionRecord(**dict(zip(names, row, strict=True))) for row in rows]

    async def certificates_of(self, name: str, now: datetime) -> int:
        """Count the certificates by this certificate authority that it may yet have to revoke."""
        row = await self._writer.read(lambda cursor: _OPEN.row(cursor, connection=name, not_after=now))
        return int(row[0]) if row else 0

    async def put(self, record: ConnectionRecord, audit: AuditRecord) -> None:
        """Store a new connection, or the next version of one; `StoreConflict` where that is not what follows."""
        values = asdict(record)

        def work(cursor: Cursor) -> None:
            if record.version == 1:
                if _EXISTS.row(cursor, name=record.name) is not None:
                    raise errors.StoreConflict(what="connection")
                _ADD.run(cursor, values)
            elif not _CHANGE.run(cursor, {**values, "present": record.version - 1}):
                raise errors.StoreConflict(what="connection")
            evidence.append(cursor, self._clock, audit)

        await self._writer.write(work)

    async def remove(self, name: str, version: int, audit: AuditRecord) -> None:
        """Forget a connection of this version; `StoreConflict` where there is none."""

        def work(cursor: Cursor) -> None:
            if not _REMOVE.run(cursor, {"name": name, "present": version}):
                raise errors.StoreConflict(what="connection")
            evidence.append(cursor, self._clock, audit)

        await self._writer.write(work)
