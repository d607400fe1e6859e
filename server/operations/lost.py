"""Certificates that will not be on a card that is being issued: revoked before others are asked for."""

from collections.abc import Sequence
from dataclasses import replace

from server.operations.decide import revocation
from server.operations.operation import Operation
from server.ports.ca import (
    CanRevoke,
    CertificateAuthority,
    Issued,
    Names,
    Outcome,
    Pending,
    Reason,
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
        case None | Pending() if found is not None or not authority.abilities.knows_at_once:
            now = op.services.clock.now()
            return CertificateTaskAsked(task=revocation(record.record_id, lost, Reason.SUPERSEDED, now))
        case _:
            return CertificateChanged(certificate=replace(lost, state=CertificateState.REFUSED))


async def _signed_for(authority: CertificateAuthority, lost: CertificateRecord) -> Outcome | None:
    """Return what became of a request without an answer."""
    request = SignRequest(
        request_id=lost.request_id,
        profile=lost.profile,
        names=Names(subject=""),
        public_key=lost.public_key,
    )
    return await authority.find(request)
