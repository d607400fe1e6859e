"""Certificates that will not be on a card: those that are revoked before others are asked for, and those that nobody can see."""

from collections.abc import Sequence
from dataclasses import replace

from server.operations.decide import revocation
from server.operations.operation import Operation
from server.operations.services import Services
from server.ports.ca import (
    CanRevoke,
    CertificateAuthority,
    Issued,
    Names,
    Outcome,
    Reason,
    Refused,
    SignRequest,
)
from server.ports.store import CertificateChanged, CertificateTaskAsked
from shared import errors
from shared.credential import plan
from shared.credential.model import CardRecord, CertificateRecord, CertificateState


async def revoke_lost(op: Operation, record: CardRecord, steps: Sequence[plan.Step]) -> None:
    """Revoke certificates that will not be on the card; note it for the next commit.

    A request whose answer was lost is looked for first: there may be a certificate that nobody has seen. Where its authority
    may sign it yet, a task goes on looking.

    Raises:
        NotSupported: the certificate authority cannot revoke.
    """
    for step in steps:
        if isinstance(step, plan.Revoke):
            op.journal.note(await _revoked(op, record, step.certificate))


def without_unconfirmed(op: Operation, record: CardRecord) -> CardRecord:
    """Return the record as it is to be planned with: requests that nobody can look for are given up.

    Their keys are never sent again, as a second certificate might be made: new ones are generated, and a key that is in use
    keeps the certificate that it has. The next commit puts each on the list of tasks, where it stays until an administrator has looked for it at its authority.
    """
    now = op.services.clock.now()
    tasks = []
    for each in record.certificates:
        authority = op.services.authorities.get(each.connection)
        waits = each.state is CertificateState.REQUESTED and not each.reference
        if waits and each.request_id not in record.revoking and authority and not authority.abilities.find:
            tasks.append(revocation(record.record_id, each, Reason.SUPERSEDED, now))
    op.journal.note(*(CertificateTaskAsked(task=task) for task in tasks))
    return replace(record, tasks=(*record.tasks, *tasks))


def unconfirmed_keys(services: Services, record: CardRecord) -> frozenset[bytes]:
    """Return the public keys (DER) that are never sent again: there may be a certificate that nobody can look for.

    That an administrator gives up the search changes nothing: the certificate may still be there.
    """
    keys = set()
    for each in record.certificates:
        authority = services.authorities.get(each.connection)
        searched = authority is not None and authority.abilities.find
        if each.state is CertificateState.REQUESTED and not each.reference and not searched:
            keys.add(each.public_key)
    return frozenset(keys)


async def _revoked(
    op: Operation, record: CardRecord, lost: CertificateRecord
) -> CertificateChanged | CertificateTaskAsked:
    authority = op.services.authorities.get(lost.connection)
    if authority is None:
        raise errors.NotSupported(connection=lost.connection, what="revoke")
    found = Issued(lost.certificate) if lost.certificate else await _signed_for(authority, lost)
    match found:
        case Issued(certificate=certificate):
            if not isinstance(authority, CanRevoke):
                raise errors.NotSupported(connection=lost.connection, what="revoke")
            await authority.revoke(certificate, Reason.SUPERSEDED)
            revoked = replace(lost, state=CertificateState.REVOKED, certificate=certificate)
            return CertificateChanged(certificate=revoked)
        case Refused():
            return CertificateChanged(certificate=replace(lost, state=CertificateState.REFUSED))
        case None if authority.abilities.knows_at_once:
            return CertificateChanged(certificate=replace(lost, state=CertificateState.REFUSED))
        case _:
            now = op.services.clock.now()
            return CertificateTaskAsked(task=revocation(record.record_id, lost, Reason.SUPERSEDED, now))


async def _signed_for(authority: CertificateAuthority, lost: CertificateRecord) -> Outcome | None:
    """Return what became of a request without an answer."""
    request = SignRequest(
        request_id=lost.request_id,
        profile=lost.profile,
        names=Names(subject=""),
        public_key=lost.public_key,
        reference=lost.reference,
    )
    return await authority.find(request)
