"""Certificates that will not be on a card that is being issued: revoked before others are asked for."""

from collections.abc import Sequence
from dataclasses import replace

from server.operations.operation import Operation
from server.ports.ca import CanRevoke, Issued, Names, Reason, SignRequest
from server.ports.store import CertificateChanged
from shared import errors
from shared.credential import plan
from shared.credential.model import CertificateRecord, CertificateState


async def revoke_lost(op: Operation, steps: Sequence[plan.Step]) -> None:
    """Revoke certificates that will not be on the card; note it for the next commit.

    A request whose answer was lost is looked for first: there may be a certificate that nobody has seen.

    Raises:
        NotSupported: the certificate authority cannot revoke.
    """
    for step in steps:
        if not isinstance(step, plan.Revoke):
            continue
        lost = step.certificate
        certificate = lost.certificate or await _signed_for(op, lost)
        state = CertificateState.REFUSED
        if certificate:
            authority = op.services.authorities.get(lost.connection)
            if not isinstance(authority, CanRevoke):
                raise errors.NotSupported(connection=lost.connection, what="revoke")
            await authority.revoke(certificate, Reason.SUPERSEDED)
            state = CertificateState.REVOKED
        op.journal.note(CertificateChanged(certificate=replace(lost, state=state, certificate=certificate)))


async def _signed_for(op: Operation, lost: CertificateRecord) -> bytes:
    """Return the certificate that was signed for a request without an answer; empty where there is none."""
    authority = op.services.authorities.get(lost.connection)
    if authority is None:
        raise errors.NotSupported(connection=lost.connection, what="find")
    found = await authority.find(
        SignRequest(
            request_id=lost.request_id,
            profile=lost.profile,
            names=Names(subject=""),
            public_key=lost.public_key,
        )
    )
    return found.certificate if isinstance(found, Issued) else b""
