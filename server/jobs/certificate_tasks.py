"""The job `certificate-tasks`: what certificate authorities still have to do, and an alarm where they do not.

Source: [FIPS 201-3] 2.9.4 (18 hours).
"""

import logging
from datetime import datetime, timedelta
from typing import Final

from server.jobs.once import Once
from server.jobs.runner import ACTOR, Job
from server.operations.lateness import Deadlines, Lateness, lateness
from server.operations.services import Services
from server.operations.sweep import sweep
from server.ports.store import AuditKind, AuditRecord, Store
from shared.credential.model import CertificateTask

log = logging.getLogger(__name__)

EVERY: Final = timedelta(seconds=30)
MOST: Final = 500
"""Tasks of one authority in one round."""

EVENTS: Final = {Lateness.LATE: "certificate-task-late", Lateness.OVERDUE: "certificate-task-overdue"}


def certificate_tasks(store: Store, deadlines: Deadlines) -> Job:
    """Return the job that tries what is due, and raises an alarm about what waits for too long.

    After a start everything is tried that waits: nobody did while the server was down.
    """
    return Job(name="certificate-tasks", every=EVERY, run=_CertificateTasks(store, deadlines).run)


class _CertificateTasks:
    def __init__(self, store: Store, deadlines: Deadlines) -> None:
        self._deadlines = deadlines
        self._evidence = Once(store.audit)
        self._first = True

    async def run(self, services: Services, now: datetime) -> str:
        tasks = services.store.tasks
        waiting = await (tasks.all() if self._first else tasks.due(now, MOST))
        swept = await sweep(services, [task for task in waiting if not task.given_up])
        self._first = False
        late = 0
        for task in await tasks.all():
            late += await self._judge(task, now)
        note = f"{swept.done} done, {swept.failed} failed, {swept.left} not tried"
        return f"{note}, {late} late" if late else note

    async def _judge(self, task: CertificateTask, now: datetime) -> bool:
        """Raise the alarm, once for each deadline of a task; return whether one is over."""
        event = EVENTS.get(lateness(task, now, self._deadlines))
        if event is None:
            return False
        hours = int((now - task.asked_at) / timedelta(hours=1))
        record = AuditRecord(
            kind=AuditKind.SERVER,
            event=event,
            actor=ACTOR,
            subject=str(task.record_id),
            facts={
                "task": f"{task.request_id} {task.action} {task.asked_at.isoformat()}",
                "connection": task.connection,
                "reason": task.reason,
                "hours": hours,
                "attempts": task.attempts,
                "failure": task.failure,
            },
        )
        if await self._evidence.note(record, of="task"):
            log.error(
                "%s of a certificate by %s has waited for %d hours", task.action, task.connection, hours
            )
        return True
