"""Work that waits, as an administrator sees it: tasks of authorities, what directories have to be told, the server's jobs."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Final

from server.authority.services import JobView, Retried, TaskView, WaitingTasks
from server.operations.lateness import Deadlines, lateness
from server.operations.services import Services
from server.operations.sweep import sweep
from server.operations.tasks import Attempt
from server.operations.write_back import tell_each
from server.ports.store import AuditKind, AuditRecord
from server.ports.write_back import WriteBack
from shared import errors
from shared.credential.model import NEVER, CertificateTask, RequestId
from shared.errors import Fact

MOST: Final = 1000
"""Tasks that are listed."""

WHY_MAX: Final = 500


class Work:
    """List tasks and jobs, have tasks tried now, give one up."""

    def __init__(self, services: Services, deadlines: Deadlines, every: Mapping[str, timedelta]) -> None:
        """`every` says how often each job is done, by its name."""
        self._services = services
        self._deadlines = deadlines
        self._every = dict(every)

    async def tasks(self) -> WaitingTasks:
        """Return what authorities still have to do, and directories to be told, the oldest first, and what was given up."""
        waiting = sorted(await self._all(), key=lambda task: task.asked_at)
        return WaitingTasks(
            tasks=tuple([await self._view(task) for task in waiting[:MOST]]), total=len(waiting)
        )

    async def retry(self, connection: str, actor: str, *, given_up: bool) -> Retried:
        """Have every task tried now, or those of one connection; `given_up` ones too, which then wait again.

        Raises:
            Invalid: nothing is, or waits, at this connection.
        """
        services = self._services
        tasks = [task for task in await self._all() if connection in {"", task.connection}]
        if connection and not tasks and connection not in {*services.authorities, *services.directories}:
            raise errors.Invalid(field="connection", why="there is none of this name")
        tasks = [task for task in tasks if given_up or not task.given_up]
        await self._note("certificate-tasks-retried", actor, connection, {"tasks": len(tasks)})
        tasks.sort(key=lambda task: task.asked_at)
        swept = await sweep(services, [task for task in tasks if isinstance(task, CertificateTask)])
        told = await tell_each(services, [task for task in tasks if isinstance(task, WriteBack)])
        done = told.count(Attempt.DONE)
        return Retried(done=swept.done + done, failed=swept.failed + len(told) - done, left=swept.left)

    async def give_up(self, request_id: RequestId, why: str, actor: str) -> TaskView:
        """Stop trying one task, which can never succeed; its certificate stays as it is in the record, or the directory.

        Of two that are about one certificate, it is the authority's.

        Raises:
            Invalid: there is no such task, or no reason, or a very long one.
            StoreConflict: it was done, or another took its place, just now.
        """
        why = " ".join(why.split())
        if not 0 < len(why) <= WHY_MAX:
            raise errors.Invalid(field="why", why=f"1 to {WHY_MAX} characters")
        store = self._services.store
        tasks = {task.request_id: task for task in reversed(await self._all())}
        task = tasks.get(request_id)
        if task is None:
            raise errors.Invalid(field="request", why="nothing waits for this certificate")
        view = await self._view(task)
        record = AuditRecord(
            kind=AuditKind.SERVER,
            event="certificate-task-given-up",
            actor=actor,
            subject=str(task.record_id),
            facts={
                "request": str(task.request_id),
                "connection": task.connection,
                "action": task.action.value,
                "reason": task.reason if isinstance(task, CertificateTask) else "",
                "asked_at": task.asked_at.isoformat(),
                "why": why,
                "slot": view.slot,
            },
        )
        kept = (
            await store.tasks.give_up(task, why, record)
            if isinstance(task, CertificateTask)
            else await store.write_backs.give_up(task, why, record)
        )
        if not kept:
            raise errors.StoreConflict(what="task")
        return await self._view(replace(task, next_at=NEVER, failure=why))

    async def jobs(self) -> Sequence[JobView]:
        """Return the server's jobs, by name."""
        now = self._services.clock.now()
        kept = {record.name: record for record in await self._services.store.jobs.all()}
        found = []
        for name, every in sorted(self._every.items()):
            record = kept.get(name)
            found.append(
                JobView(
                    name=name,
                    every=every,
                    last_run_at=record.last_run_at if record else None,
                    note=record.note if record else "",
                    running=record is not None and record.expires_at > now,
                    failed=record is not None and bool(record.failure),
                )
            )
        return found

    async def _all(self) -> Sequence[CertificateTask | WriteBack]:
        store = self._services.store
        return (*await store.tasks.all(), *await store.write_backs.waiting())

    async def _view(self, task: CertificateTask | WriteBack) -> TaskView:
        record = await self._services.store.cards.card(task.record_id)
        certificates = record.certificates if record else ()
        credential, cut = (record.credential, record.open_operation) if record else (None, None)
        return TaskView(
            task=task,
            lateness=lateness(task, self._services.clock.now(), self._deadlines),
            slot=next((each.slot.text for each in certificates if each.request_id == task.request_id), ""),
            holder=credential.holder_name if credential else cut.holder if cut else "",
            serial=record.serial if record else None,
        )

    async def _note(self, event: str, actor: str, subject: str, facts: dict[str, Fact]) -> None:
        record = AuditRecord(kind=AuditKind.SERVER, event=event, actor=actor, subject=subject, facts=facts)
        await self._services.store.audit.append([record])
