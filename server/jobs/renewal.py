"""The job `renewal`: certificates that end soon are noticed, so that somebody can be told. No card is touched."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from server.jobs.once import Once
from server.jobs.runner import ACTOR, Job
from server.operations.services import Services
from server.ports.store import AuditKind, AuditRecord, Store
from shared.credential.expiry import RENEWAL_DUE, due_for_renewal, ends_at
from shared.credential.model import CardRecord, CertificateRecord
from shared.credential.template_reading import parse_template

EVERY: Final = timedelta(hours=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """A card in use, and those of its certificates that are due for renewal."""

    card: CardRecord
    certificates: tuple[CertificateRecord, ...]


def renewal(store: Store) -> Job:
    """Return the job that leaves evidence, once for each certificate, when it comes due for renewal."""
    evidence = Once(store.audit)

    async def run(services: Services, now: datetime) -> str:
        due = new = 0
        for ending in await due_now(services.store, now):
            for certificate in ending.certificates:
                due += 1
                new += await evidence.note(_noticed(ending.card, certificate), of="request")
        return f"{due} due, {new} new"

    return Job(name="renewal", every=EVERY, run=run)


async def due_now(store: Store, now: datetime) -> Sequence[Ending]:
    """Return every card in use with certificates that are due for renewal, the earliest end first.

    The version of its template that a credential has says when; the newest versions of all templates say how far ahead
    to look.
    """
    newest = [parse_template(stored.text) for stored in await store.templates.all_latest()]
    days = max((spec.renew_before_days for each in newest for spec in each.certificates), default=0)
    found = []
    for card in await store.credentials.expiring(now + timedelta(days=days)):
        stored = await store.templates.version(card.credential.template) if card.credential else None
        if stored is None:
            continue
        due = due_for_renewal(card.certificates, parse_template(stored.text), now)
        if due:
            found.append(Ending(card=card, certificates=due))
    return found


def _noticed(card: CardRecord, certificate: CertificateRecord) -> AuditRecord:
    return AuditRecord(
        kind=AuditKind.SERVER,
        event=RENEWAL_DUE,
        actor=ACTOR,
        subject=str(card.record_id),
        facts={
            "request": str(certificate.request_id),
            "slot": certificate.slot.text,
            "ends": ends_at(certificate.certificate).isoformat(),
        },
    )
