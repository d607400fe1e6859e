"""Work that waits: message ↔ value."""

from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from server.authority.services import JobView, TaskView, WaitingTasks
from server.operations.lateness import Lateness
from server.ports.write_back import WriteBack, WriteBackAction
from server.rpc.admin_messages import decode_id, moment, timestamp
from shared.credential.model import (
    NEVER,
    CertificateAction,
    CertificateTask,
    HolderId,
    RecordId,
    RequestId,
)
from shared.proto import admin_pb2 as pb
from shared.proto.convert_facts import inverse, member

_ACTIONS: "Final[dict[CertificateAction | WriteBackAction, pb.CertificateAction.ValueType]]" = {
    CertificateAction.REVOKE: pb.CERTIFICATE_ACTION_REVOKE,
    CertificateAction.HOLD: pb.CERTIFICATE_ACTION_HOLD,
    CertificateAction.RELEASE: pb.CERTIFICATE_ACTION_RELEASE,
    WriteBackAction.PUBLISH: pb.CERTIFICATE_ACTION_PUBLISH,
    WriteBackAction.WITHDRAW: pb.CERTIFICATE_ACTION_WITHDRAW,
}
_ACTION_OF: Final = inverse(_ACTIONS)
_LATENESS: Final = {
    Lateness.WAITING: pb.LATENESS_WAITING,
    Lateness.LATE: pb.LATENESS_LATE,
    Lateness.OVERDUE: pb.LATENESS_OVERDUE,
    Lateness.GIVEN_UP: pb.LATENESS_GIVEN_UP,
}
_LATENESS_OF: Final = inverse(_LATENESS)


def encode_tasks(found: WaitingTasks) -> pb.ListTasksReply:
    """Turn tasks into a message."""
    return pb.ListTasksReply(tasks=[encode_task(each) for each in found.tasks], total=found.total)


def decode_tasks(message: pb.ListTasksReply) -> WaitingTasks:
    """Read tasks."""
    return WaitingTasks(tasks=tuple(decode_task(each) for each in message.tasks), total=message.total)


def encode_task(view: TaskView) -> pb.CertificateTask:
    """Turn a task into a message."""
    task = view.task
    return pb.CertificateTask(
        request_id=task.request_id.bytes,
        record_id=task.record_id.bytes,
        connection=task.connection,
        action=_ACTIONS[task.action],
        reason=task.reason if isinstance(task, CertificateTask) else "",
        asked_at=timestamp(task.asked_at),
        next_at=None if task.given_up else timestamp(task.next_at),
        attempts=task.attempts,
        failure=task.failure,
        lateness=_LATENESS[view.lateness],
        slot=view.slot,
        holder=view.holder,
        serial=view.serial,
        holder_id=task.holder if isinstance(task, WriteBack) else "",
    )


def decode_task(message: pb.CertificateTask) -> TaskView:
    """Read a task; `Garbled` for an action or a state that nobody knows, or an id of another length."""
    return TaskView(
        task=_task(message),
        lateness=member(_LATENESS_OF, message.lateness, "lateness"),
        slot=message.slot,
        holder=message.holder,
        serial=message.serial if message.HasField("serial") else None,
    )


def _task(message: pb.CertificateTask) -> CertificateTask | WriteBack:
    action = member(_ACTION_OF, message.action, "action")
    request_id = RequestId(decode_id(message.request_id))
    record_id = RecordId(decode_id(message.record_id))
    next_at = moment(message.next_at) if message.HasField("next_at") else NEVER
    if isinstance(action, WriteBackAction):
        return WriteBack(
            request_id=request_id,
            record_id=record_id,
            connection=message.connection,
            holder=HolderId(message.holder_id),
            action=action,
            asked_at=moment(message.asked_at),
            next_at=next_at,
            attempts=message.attempts,
            failure=message.failure,
        )
    return CertificateTask(
        request_id=request_id,
        record_id=record_id,
        connection=message.connection,
        action=action,
        reason=message.reason,
        asked_at=moment(message.asked_at),
        next_at=next_at,
        attempts=message.attempts,
        failure=message.failure,
    )


def encode_jobs(jobs: Sequence[JobView]) -> pb.ListJobsReply:
    """Turn jobs into a message."""
    return pb.ListJobsReply(
        jobs=[
            pb.Job(
                name=job.name,
                every_seconds=int(job.every.total_seconds()),
                last_run_at=None if job.last_run_at is None else timestamp(job.last_run_at),
                note=job.note,
                running=job.running,
                failed=job.failed,
            )
            for job in jobs
        ]
    )


def decode_jobs(message: pb.ListJobsReply) -> tuple[JobView, ...]:
    """Read jobs."""
    return tuple(
        JobView(
            name=job.name,
            every=timedelta(seconds=job.every_seconds),
            last_run_at=moment(job.last_run_at) if job.HasField("last_run_at") else None,
            note=job.note,
            running=job.running,
            failed=job.failed,
        )
        for job in message.jobs
    )
