"""Many tasks of several certificate authorities, tried so that one that does not answer keeps nobody else's waiting."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from server.operations.services import Services
from server.operations.tasks import Attempt, try_each
from shared.credential.model import CertificateTask

AT_ONCE: Final = 4
"""Tasks that one authority gets at the same time."""

ROUND_S: Final = 40.0
"""How long a round goes on beginning new tasks."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Swept:
    """What came of a round. `left` were not tried: their authority did not answer, or the round was over."""

    done: int = 0
    failed: int = 0
    left: int = 0


async def sweep(services: Services, tasks: Sequence[CertificateTask]) -> Swept:
    """Try tasks in their order, those of every authority side by side with the others'.

    Where an authority answers none of those that it got together, the rest is left for another round; the failed ones then
    wait for their next time, so that it is other tasks that find out whether it answers again.

    Raises:
        StoreUnavailable: the record cannot be written; the tasks are kept.
    """
    by_connection: dict[str, list[CertificateTask]] = {}
    for task in tasks:
        by_connection.setdefault(task.connection, []).append(task)
    rounds = (_of_one(services, each) for each in by_connection.values())
    found = await asyncio.gather(*rounds, return_exceptions=True)
    swept = []
    for each in found:
        if isinstance(each, BaseException):
            raise each
        swept.append(each)
    return Swept(
        done=sum(each.done for each in swept),
        failed=sum(each.failed for each in swept),
        left=sum(each.left for each in swept),
    )


async def _of_one(services: Services, tasks: Sequence[CertificateTask]) -> Swept:
    """Try the tasks of one authority."""
    until = services.clock.monotonic() + ROUND_S
    done = tried = 0
    while tried < len(tasks):
        batch = tasks[tried : tried + AT_ONCE]
        outcomes = await try_each(services, batch)
        tried += len(batch)
        done += outcomes.count(Attempt.DONE)
        if all(outcome is Attempt.UNANSWERED for outcome in outcomes):
            break
        if services.clock.monotonic() >= until:
            break
    return Swept(done=done, failed=tried - done, left=len(tasks) - tried)
