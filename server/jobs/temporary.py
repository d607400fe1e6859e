"""The job `temporary`: temporary credentials end when their time is over, whoever has the card then."""

import logging
from datetime import datetime, timedelta
from typing import Final

from server.jobs.runner import Job
from server.operations.away import Decisions
from server.operations.services import Services
from shared import errors

log = logging.getLogger(__name__)

EVERY: Final = timedelta(minutes=5)


def temporary() -> Job:
    """Return the job that revokes credentials whose time is over; the card learns of it when it next appears."""
    return Job(name="temporary", every=EVERY, run=_run)


async def _run(services: Services, now: datetime) -> str:
    """End all that is to end; a card that cannot be decided about is told of when the others are done.

    Raises:
        PolicyError: the first that was refused.
    """
    decisions = Decisions(services)
    ended = left = 0
    refused: errors.PolicyError | None = None
    for card in await services.store.credentials.ending(now):
        try:
            await decisions.end(card)
        except (errors.CardLeased, errors.StoreConflict):
            left += 1  # a station is working on it: at the next time
        except errors.PolicyError as error:
            log.error("card %s does not end: %s", card.record_id, error.code)  # noqa: TRY400  # its code says it all
            refused = refused or error
        else:
            ended += 1
    if refused is not None:
        raise refused
    note = f"{ended} ended"
    return f"{note}, {left} cards in use" if left else note
