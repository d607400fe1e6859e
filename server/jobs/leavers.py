"""The job `leavers`: cards of people who have left are noticed, and suspended where their template says so.

Somebody who comes back is resumed by an operator: that a name is in a directory again does not say that it is the same hand
that holds the card.
"""

from datetime import datetime, timedelta
from typing import Final

from server.authority.access import ITSELF
from server.jobs.once import Once
from server.jobs.runner import ACTOR, Job
from server.operations.away import Decisions
from server.operations.leavers import Leaver, Looked, look
from server.operations.services import Services
from server.ports.store import AuditKind, AuditRecord, Store
from shared import errors
from shared.credential.lifecycle import OperationKind
from shared.credential.model import State
from shared.credential.reasons import Cause
from shared.credential.template import WhenHolderLeaves

EVERY: Final = timedelta(hours=6)
LEFT: Final = "holder-left"


def leavers(store: Store) -> Job:
    """Return the job; each leaver leaves evidence once for each credential and reason."""
    evidence = Once(store.audit)

    async def run(services: Services, now: datetime) -> str:
        del now
        found = await look(services)
        listed = suspended = 0
        for looked in found:
            for leaver in looked.leavers:
                if await _suspend(services, leaver, doubtful=looked.doubtful):
                    suspended += 1
                    continue
                listed += 1
                await evidence.note(_noticed(leaver, looked), of="credential")
        silent = [looked.directory for looked in found if looked.silent]
        doubtful = [looked.directory for looked in found if looked.doubtful]
        note = f"{listed} listed, {suspended} suspended"
        note += f"; nothing known of {', '.join(silent)}" if silent else ""
        return note + (f"; too many gone at once in {', '.join(doubtful)}" if doubtful else "")

    return Job(name="leavers", every=EVERY, run=run)


async def _suspend(services: Services, leaver: Leaver, *, doubtful: bool) -> bool:
    """Suspend a credential where its template says so; a card that somebody works on waits for the next time."""
    wanted = leaver.template.when_holder_leaves is WhenHolderLeaves.SUSPEND
    if not wanted or doubtful or leaver.card.state is not State.ACTIVE:
        return False
    because: dict[str, errors.Fact] = {"directory": leaver.template.directory, "why": leaver.why.value}
    try:
        await Decisions(services).follow(ITSELF, leaver.card, OperationKind.SUSPEND, Cause.LEFT, because)
    except (errors.CardLeased, errors.StoreConflict):
        return False
    return True


def _noticed(leaver: Leaver, looked: Looked) -> AuditRecord:
    credential = leaver.card.credential
    assert credential is not None
    return AuditRecord(
        kind=AuditKind.SERVER,
        event=LEFT,
        actor=ACTOR,
        subject=str(leaver.card.record_id),
        facts={
            "credential": str(credential.credential_id),
            "directory": looked.directory,
            "why": leaver.why.value,
            "doubtful": looked.doubtful,
        },
    )
