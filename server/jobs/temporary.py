"""The job `temporary`: temporary credentials end when their time is over, whoever has the card then."""

import logging
from datetime import datetime, timedelta
from typing import Final

from server.jobs.runner import Job
from server.operations.decide import Decisions
from server.operations.services import Services
from shared import errors

log = logging.getLogger(__name__)

EVERY: Final = timedelta(minutes=5)


def temporary() -> Job:
    """Return the job that revokes credentials whose time is over; the card learns of it when it next appears."""
    return Job(name="temporary", every=EVERY, run=_run)


async def _run(services: Services, now: datetime) -> str:
    decisions = Decisions(services)
    ended = left = 0
    for card in await services.store.credentials.ending(now):
        try:
            await decisions.end(card)
        except (errors.CardLeased, errors.StoreConflict):
            left += 1  # a station is working on it: at the next time
        else:
            ended += 1
    note = f"{ended} ended"
    return f"{note}, {left} cards in use" if left else note
