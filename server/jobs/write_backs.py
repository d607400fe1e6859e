"""The job `write-backs`: what directories still have to be told of certificates."""

from collections import Counter
from datetime import datetime, timedelta
from typing import Final

from server.jobs.runner import Job
from server.operations.services import Services
from server.operations.tasks import Attempt
from server.operations.write_back import tell_each

EVERY: Final = timedelta(seconds=30)

MOST: Final = 20
"""Certificates that one directory is told of in one round."""


def write_backs() -> Job:
    """Return the job that tells directories what they were not told yet."""
    return Job(name="write-backs", every=EVERY, run=_run)


async def _run(services: Services, now: datetime) -> str:
    came = Counter(await tell_each(services, await services.store.write_backs.due(now, MOST)))
    return f"{came[Attempt.DONE]} done, {came.total() - came[Attempt.DONE]} failed"
