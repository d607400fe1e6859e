"""The job `succession`: what a replacement or a temporary credential means for its holder's others, where nobody did it.

Whoever activates a card does it at once; this does what a dead server, or a card in use at another station, left undone.
"""

from datetime import datetime, timedelta
from typing import Final

from server.jobs.runner import Job
from server.operations.services import Services
from server.operations.succession import Succession

EVERY: Final = timedelta(minutes=1)


def succession() -> Job:
    """Return the job that revokes what was replaced, suspends what is stood in for, and ends what outlived its primary."""
    return Job(name="succession", every=EVERY, run=_run)


async def _run(services: Services, now: datetime) -> str:
    del now  # what is due follows from the records alone
    return f"{await Succession(services).follow_all()} decided"
