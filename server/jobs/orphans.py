"""The job `orphans`: certificates of cards whose issue was cut, and which nobody brought back to finish it.

They are revoked, although the cut operation stays open: when the card comes back after all, it is gone on with, with
certificates of its own. A certificate on its way to a card in use is left alone: it may be on the card, and whoever revokes
the credential revokes it too.
"""

import logging
from datetime import datetime, timedelta
from typing import Final

from server.authority.access import ITSELF
from server.jobs.runner import Job
from server.operations.decide import UNCONFIRMED, revocation
from server.operations.journal import Journal
from server.operations.services import Services
from server.ports.ca import Reason
from server.ports.store import AuditKind, CertificateTaskAsked, Opening
from shared import errors
from shared.credential.model import CardRecord, OpenOperation

log = logging.getLogger(__name__)

EVERY: Final = timedelta(hours=1)
MOST: Final = 500
"""Cards in one round."""


def orphans(deadline: timedelta) -> Job:
    """Return the job that has certificates revoked whose card did not come back within `deadline`."""

    async def run(services: Services, now: datetime) -> str:
        asked = left = 0
        for card in await services.store.credentials.stale(now - deadline, MOST):
            try:
                asked += await _disown(services, card, now, deadline)
            except (errors.CardLeased, errors.StoreConflict):
                left += 1  # it has come back just now
        note = f"{asked} to be revoked"
        return f"{note}, {left} cards in use" if left else note

    return Job(name="orphans", every=EVERY, run=run)


async def _disown(services: Services, card: CardRecord, now: datetime, deadline: timedelta) -> int:
    """Ask for the certificates of one card to be revoked; return how many.

    Raises:
        CardLeased: a station is working on the card.
        StoreConflict: something was done to it since its record was read.
    """
    cut = card.open_operation
    if cut is None or await _last_tried(services, card, cut) > now - deadline:
        return 0
    asked = {task.request_id for task in card.tasks}
    lost = [each for each in card.certificates if each.state in UNCONFIRMED and each.request_id not in asked]
    journal = Journal(services.store.cards, ITSELF)
    journal.note(
        *(
            CertificateTaskAsked(task=revocation(card.record_id, each, Reason.SUPERSEDED, now))
            for each in lost
        )
    )
    journal.evidence(
        AuditKind.TRANSITION,
        "certificates-orphaned",
        card.record_id,
        operation=cut.kind,
        slots=" ".join(each.slot.text for each in lost),
        began=cut.began_at.isoformat(),
    )
    await journal.open(
        Opening(
            operation_id=cut.operation_id,
            kind=cut.kind,
            record_id=card.record_id,
            station=ITSELF.station_id,
            seen=card,
            let_go=True,
        )
    )
    log.warning("%d certificates of a card that did not come back are to be revoked", len(lost))
    return len(lost)


async def _last_tried(services: Services, card: CardRecord, cut: OpenOperation) -> datetime:
    """Return when an operation on this card last began or was gone on with."""
    tried = [
        entry.at
        for entry in await services.store.audit.about(str(card.record_id))
        if entry.record.kind is AuditKind.OPERATION
    ]
    return max([cut.began_at, *tried])
