"""What `kiosk-server doctor` tries: everything that the server needs, and what waits."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from cryptography import x509

from server.jobs.renewal import due_now
from server.jobs.runner import Job
from server.operations.lateness import Deadlines, Lateness, lateness
from server.operations.services import Services
from server.ports.keystore import MasterKeys
from server.ports.store import JobRecord, Store
from shared import errors
from shared.errors import Fact

Probe = Callable[[], Awaitable[dict[str, Fact]]]

MISSED: Final = 3
"""A job that was not done for so many times is told."""

SLACK: Final = timedelta(minutes=5)
"""How much longer a job may take for it."""


def probes(
    services: Services,
    keystore: MasterKeys,
    *,
    connection: str,
    issuing: bytes,
    deadlines: Deadlines,
    jobs: Sequence[Job],
) -> Mapping[str, Probe]:
    """Return the probes by subject; `issuing` (DER) is the certificate of the built-in authority `connection`."""
    started_at = services.clock.now()
    return {
        "store": _store(services.store),
        "key-store": _keystore(keystore),
        f"ca:{connection}": _authority(issuing),
        "certificate-tasks": _tasks(services, deadlines),
        "renewal": _renewal(services),
        **{f"job:{job.name}": _job(services, job, started_at) for job in jobs},
    }


def _store(store: Store) -> Probe:
    async def probe() -> dict[str, Fact]:
        return {"stations": len(await store.stations.all()), "commits": store.commits}

    return probe


def _keystore(keystore: MasterKeys) -> Probe:
    async def probe() -> dict[str, Fact]:
        return {"generation": keystore.generations[-1].generation}

    return probe


def _authority(issuing: bytes) -> Probe:
    async def probe() -> dict[str, Fact]:
        certificate = x509.load_der_x509_certificate(issuing)
        until = certificate.not_valid_after_utc.isoformat()
        return {"issuer": certificate.subject.rfc4514_string(), "until": until}

    return probe


def _tasks(services: Services, deadlines: Deadlines) -> Probe:
    """See whether certificate authorities do in time what was decided.

    Raises:
        TasksLate: they do not.
    """

    async def probe() -> dict[str, Fact]:
        now = services.clock.now()
        found = [lateness(task, now, deadlines) for task in await services.store.tasks.all()]
        late, overdue = found.count(Lateness.LATE), found.count(Lateness.OVERDUE)
        if late or overdue:
            hours = int(deadlines.limit / timedelta(hours=1))
            raise errors.TasksLate(late=late + overdue, overdue=overdue, hours=hours)
        return {"waiting": found.count(Lateness.WAITING), "given-up": found.count(Lateness.GIVEN_UP)}

    return probe


def _renewal(services: Services) -> Probe:
    async def probe() -> dict[str, Fact]:
        ending = await due_now(services.store, services.clock.now())
        return {"cards": len(ending), "certificates": sum(len(each.certificates) for each in ending)}

    return probe


def _job(services: Services, job: Job, started_at: datetime) -> Probe:
    """See whether a job is done.

    Raises:
        JobFailed: it failed when it was last done, or has not been done for long.
    """

    async def probe() -> dict[str, Fact]:
        kept = {each.name: each for each in await services.store.jobs.all()}
        record = kept.get(job.name) or JobRecord(name=job.name, holder="", expires_at=started_at)
        if record.failure:
            raise errors.JobFailed(job=job.name, reason=record.failure)
        last = max(record.last_run_at or started_at, started_at)
        if services.clock.now() - last > MISSED * job.every + SLACK:
            raise errors.JobFailed(job=job.name, reason=f"not since {last.isoformat(timespec='minutes')}")
        if record.last_run_at is None:
            return {"last": "never"}
        return {"last": record.last_run_at.isoformat(timespec="seconds"), "result": record.note}

    return probe
