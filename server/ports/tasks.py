"""Work that waits: what certificate authorities still have to do, and jobs that one server process does at a time."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final, Protocol

from server.ports.audit import AuditRecord
from shared.credential.model import CertificateRecord, CertificateTask


class TaskStore(Protocol):
    """What certificate authorities still have to do; asked for under a card's lease, done without one.

    While an authority works on a task, a newer wish may take the task's place: then what was done does not settle it.
    """

    async def due(self, now: datetime, limit: int) -> Sequence[CertificateTask]:
        """Return tasks whose time has come, those asked for earliest first; at most `limit` of each connection.

        So an authority that does not answer keeps nobody else's waiting.
        """
        ...

    async def all(self) -> Sequence[CertificateTask]:
        """Return every task, in the order in which their certificates first had one."""
        ...

    async def done(
        self, task: CertificateTask, audit: AuditRecord, certificate: CertificateRecord | None = None
    ) -> bool:
        """Keep evidence of what the authority did; remove the task and say what its certificate is now, if it is still this one.

        The certificate is then revoked, held, or confirmed again; or as in `certificate`, where the authority had more to
        say: there never was one, or this is the one that nobody had seen. A revoked one stays revoked. All of it is one
        commit.

        Returns:
            Whether it was still this task (the same action, asked for at the same time).
        """
        ...

    async def failed(self, task: CertificateTask, failure: str, next_at: datetime) -> bool:
        """Count an attempt and say when to try again; returns whether it was still this task."""
        ...

    async def give_up(self, task: CertificateTask, why: str, audit: AuditRecord) -> bool:
        """Keep a task that is not tried any more, with the reason and evidence in the same commit.

        Its certificate stays as it is in the record. A newer wish takes the task's place as it takes any other's.

        Returns:
            Whether it was still this task; where not, nothing was written.
        """
        ...


FAILED: Final = "failed: "
"""How the note on a job begins that failed; an error's code follows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class JobRecord:
    """A job that is done again and again: who has it until when, when it last ended, and how."""

    name: str
    holder: str
    expires_at: datetime
    last_run_at: datetime | None = None
    note: str = ""

    @property
    def failure(self) -> str:
        """What was wrong when it last ended; empty where nothing was."""
        return self.note.removeprefix(FAILED) if self.note.startswith(FAILED) else ""


class JobStore(Protocol):
    """Which server process does a job: one at a time."""

    async def begin(self, name: str, holder: str, now: datetime, for_s: float) -> bool:
        """Take a job for so long; False while a run of it is under way anywhere."""
        ...

    async def end(self, name: str, holder: str, now: datetime, note: str) -> bool:
        """Give a job back with a note on how it went; returns whether it was still this process's."""
        ...

    async def all(self) -> Sequence[JobRecord]:
        """Return every job that ever began, by name."""
        ...

    async def release_all(self, now: datetime) -> None:
        """Take every job from whoever had it: for a server that starts and is alone, so that none waits for a dead one."""
        ...
