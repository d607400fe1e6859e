"""Everything that the server does again and again on its own."""

from datetime import timedelta

from server.jobs.certificate_tasks import certificate_tasks
from server.jobs.credentials import credentials
from server.jobs.leavers import leavers
from server.jobs.orphans import orphans
from server.jobs.renewal import renewal
from server.jobs.runner import Job
from server.jobs.succession import succession
from server.jobs.temporary import temporary
from server.jobs.write_backs import write_backs
from server.operations.lateness import Deadlines
from server.ports.store import Store


def rota(store: Store, deadlines: Deadlines, *, orphan_after: timedelta) -> tuple[Job, ...]:
    """Return the jobs; an operation that was cut is given up after `orphan_after`."""
    return (
        certificate_tasks(store, deadlines),
        orphans(orphan_after),
        temporary(),
        succession(),
        renewal(store),
        leavers(store),
        credentials(store),
        write_backs(),
    )
