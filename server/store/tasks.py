"""What certificate authorities still have to do."""

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from sqlalchemy import ColumnElement, and_, bindparam, delete, func, select, update

from server.ports.store import AuditRecord
from server.store import evidence
from server.store.card_rows import TASK, certificate_of_request, task_of
from server.store.changes import put_certificate
from server.store.rules import settled
from server.store.schema import certificate_task
from server.store.statements import Cursor, Prepared, given
from server.store.writer import Writer
from shared.clock import Clock
from shared.credential.model import NEVER, CertificateRecord, CertificateTask

_LIMIT: Final[ColumnElement[int]] = bindparam("limit", required=True)
_of_connection = (
    select(
        certificate_task.c.number,
        func.row_number()
        .over(
            partition_by=certificate_task.c.connection,
            order_by=(certificate_task.c.asked_at, certificate_task.c.number),
        )
        .label("place"),
    )
    .where(certificate_task.c.next_at <= given(certificate_task.c.next_at))
    .subquery("of_connection")
)
_DUE: Final = Prepared(
    select(*TASK)
    .join(_of_connection, _of_connection.c.number == certificate_task.c.number)
    .where(_of_connection.c.place <= _LIMIT)
    .order_by(certificate_task.c.asked_at, certificate_task.c.number)
)
_ALL: Final = Prepared(select(*TASK).order_by(certificate_task.c.number))
_STILL: Final = and_(
    certificate_task.c.request_id == given(certificate_task.c.request_id),
    certificate_task.c.action == given(certificate_task.c.action),
    certificate_task.c.asked_at == given(certificate_task.c.asked_at),
)
_REMOVE: Final = Prepared(delete(certificate_task).where(_STILL))
_FAIL: Final = Prepared(
    update(certificate_task)
    .where(_STILL)
    .values(
        attempts=certificate_task.c.attempts + 1,
        failure=given(certificate_task.c.failure),
        next_at=given(certificate_task.c.next_at),
    )
)
_GIVE_UP: Final = Prepared(
    update(certificate_task)
    .where(_STILL)
    .values(failure=given(certificate_task.c.failure), next_at=given(certificate_task.c.next_at))
)


class TaskTable:
    """The port `TaskStore`."""

    def __init__(self, writer: Writer, clock: Clock) -> None:
        """Work through `writer`."""
        self._writer = writer
        self._clock = clock

    async def due(self, now: datetime, limit: int) -> Sequence[CertificateTask]:
        """Return tasks whose time has come, those asked for earliest first; at most `limit` of each connection."""
        rows = await self._writer.read(lambda cursor: _DUE.rows(cursor, next_at=now, limit=limit))
        return tuple(task_of(row) for row in rows)

    async def all(self) -> Sequence[CertificateTask]:
        """Return every task."""
        return tuple(task_of(row) for row in await self._writer.read(_ALL.rows))

    async def done(
        self, task: CertificateTask, audit: AuditRecord, certificate: CertificateRecord | None = None
    ) -> bool:
        """Remove the task and say what its certificate is now, if it is still this one."""

        def work(cursor: Cursor) -> bool:
            evidence.append(cursor, self._clock, audit)
            if _REMOVE.run(cursor, _values(task)) != 1:
                return False
            kept = certificate_of_request(cursor, task.request_id)
            put_certificate(cursor, task.record_id, settled(kept, task, certificate))
            return True

        return await self._writer.write(work)

    async def failed(self, task: CertificateTask, failure: str, next_at: datetime) -> bool:
        """Count an attempt and say when to try again."""
        values = {**_values(task), "failure": failure, "next_at": next_at}
        return await self._writer.write(lambda cursor: _FAIL.run(cursor, values) == 1)

    async def give_up(self, task: CertificateTask, why: str, audit: AuditRecord) -> bool:
        """Keep a task that is not tried any more."""
        values = {**_values(task), "failure": why, "next_at": NEVER}

        def work(cursor: Cursor) -> bool:
            if _GIVE_UP.run(cursor, values) != 1:
                return False
            evidence.append(cursor, self._clock, audit)
            return True

        return await self._writer.write(work)


def _values(task: CertificateTask) -> dict[str, object]:
    return {"request_id": task.request_id, "action": task.action, "asked_at": task.asked_at}
