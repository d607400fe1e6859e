"""`kiosk-server tasks` and `kiosk-server jobs`: what waits for certificate authorities and directories, and what the server does on its own."""

import sys
from datetime import datetime
from typing import Any
from uuid import UUID

import click

from server.context import Commands, Context, ask, columns
from shared import errors


@click.group(cls=Commands)
def tasks() -> None:
    """What waits: certificates to revoke, hold or release, and what directories have to be told of them."""


@tasks.command("list")
@click.pass_obj
def list_tasks(context: Context) -> None:
    """List what waits, since when, and why; the oldest first."""
    found = ask(context, lambda client: client.tasks())
    listed = [_task(each) for each in found.tasks]
    text = columns(_task_line(each) for each in listed)
    if found.total > len(listed):
        text += f"\n… and {found.total - len(listed)} more"
    context.result({"tasks": listed, "total": found.total}, text or "nothing waits")


@tasks.command()
@click.option("--connection", default="", help="Only what waits for this connection.")
@click.option("--given-up", is_flag=True, help="Also what was given up; it then waits again.")
@click.pass_obj
def retry(context: Context, connection: str, given_up: bool) -> None:  # noqa: FBT001  # click passes flags
    """Try now what waits, without waiting for its next time."""
    came = ask(context, lambda client: client.retry_tasks(connection, given_up=given_up))
    good = not (came.failed or came.left)
    text = f"{came.done} done, {came.failed} failed, {came.left} not tried"
    context.result({"done": came.done, "failed": came.failed, "left": came.left}, text, ok=good)
    if not good:
        sys.exit(errors.ConnectorError.exit_code)


@tasks.command()
@click.argument("request_id", type=click.UUID)
@click.option("--why", required=True, help="The reason; it is kept as evidence.")
@click.pass_obj
def drop(context: Context, request_id: UUID, why: str) -> None:
    """Give up the task REQUEST_ID, which can never succeed: it is not tried any more, and stays in the list.

    The certificate was then never revoked, or never taken out of the directory: look to it yourself.
    """
    given_up = _task(ask(context, lambda client: client.give_up_task(request_id, why)))
    context.result(given_up, columns([_task_line(given_up)]))


@click.group(cls=Commands)
def jobs() -> None:
    """What the server does again and again on its own."""


@jobs.command("list")
@click.pass_obj
def list_jobs(context: Context) -> None:
    """List the jobs, when each was last done, and how that went."""
    found = [_job(each) for each in ask(context, lambda client: client.jobs())]
    context.result({"jobs": found}, columns(_job_line(each) for each in found))


def _task(view: Any) -> dict[str, Any]:
    task = view.task
    return {
        "request": str(task.request_id),
        "state": view.lateness.value,
        "connection": task.connection,
        "action": task.action.value,
        "reason": getattr(task, "reason", ""),
        "card": str(task.record_id),
        "serial": view.serial,
        "holder": view.holder,
        "slot": view.slot,
        "since": task.asked_at.isoformat(),
        "attempts": task.attempts,
        "failure": task.failure,
        "next": None if task.given_up else task.next_at.isoformat(),
    }


def _task_line(task: dict[str, Any]) -> tuple[str, ...]:
    """Say what is to be done about whose certificate, since when, and what came of it so far."""
    what = f"{task['action']} {task['slot']} of {task['holder'] or task['card']}"
    since = f"since {_minute(task['since'])}"
    tried = f"tried {task['attempts']} times" if task["attempts"] else "not tried yet"
    failure = f": {task['failure']}" if task["failure"] else ""
    then = f", again {_minute(task['next'])}" if task["next"] else ""
    return (task["request"], task["state"], task["connection"], what, since, f"{tried}{failure}{then}")


def _job(job: Any) -> dict[str, Any]:
    return {
        "name": job.name,
        "every_seconds": int(job.every.total_seconds()),
        "last": _text(job.last_run_at),
        "result": job.note,
        "failed": job.failed,
        "running": job.running,
    }


def _job_line(job: dict[str, Any]) -> tuple[str, ...]:
    last = _minute(job["last"]) if job["last"] else "never"
    state = "running" if job["running"] else "failed" if job["failed"] else "ok" if job["last"] else ""
    return (job["name"], state, last, job["result"])


def _text(at: datetime | None) -> str | None:
    return at.isoformat() if at is not None else None


def _minute(text: str) -> str:
    return f"{text[:16].replace('T', ' ')} UTC"
