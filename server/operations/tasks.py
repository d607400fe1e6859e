"""What certificate authorities still have to do: tried at once, then again and again until it is done.

A task is stored together with the decision that asks for it. A request whose answer was lost is looked for first: there
may be a certificate that nobody has seen.
"""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final

from server.operations.services import Services
from server.ports.ca import CanHold, CanRevoke, Issued, Names, Pending, Reason, SignRequest
from server.ports.store import AuditKind, AuditRecord
from shared import errors
from shared.credential.model import CertificateAction, CertificateRecord, CertificateState, CertificateTask

log = logging.getLogger(__name__)

PATIENCE_S: Final = 10.0
"""How long a person at a counter waits for an authority; then the task waits for it instead."""

FIRST_PAUSE: Final = timedelta(seconds=30)
LONGEST_PAUSE: Final = timedelta(minutes=30)

SEARCHED_FOR: Final = timedelta(hours=1)
"""How long a certificate whose answer was lost is looked for: an authority may still be working on the request."""

ACTOR: Final = "server"


async def attempt(services: Services, tasks: Sequence[CertificateTask]) -> int:
    """Have the authorities do these tasks now; return how many are left for later."""
    done = await asyncio.gather(*(_attempt(services, task) for task in tasks))
    return done.count(False)


async def _attempt(services: Services, task: CertificateTask) -> bool:
    """Do one task; a failure is kept with it, and when to try again."""
    store = services.store
    record = await store.cards.card(task.record_id)
    certificate = next(
        (each for each in record.certificates if each.request_id == task.request_id) if record else iter(()),
        None,
    )
    if certificate is None:
        raise errors.StoreConflict(what="task")  # the record keeps no task without its certificate
    try:
        async with asyncio.timeout(PATIENCE_S):
            outcome = await _do(services, task, certificate)
    except TimeoutError:
        failure = "no answer in time"
    except errors.ConnectorError as error:
        failure = str(error.facts.get("reason") or error.code)
    else:
        await store.tasks.done(task, _evidence(task, outcome), outcome)
        return True
    await store.tasks.failed(task, failure, services.clock.now() + pause(task.attempts))
    log.warning("%s of a certificate by %s waits: %s", task.action, task.connection, failure)
    return False


def pause(attempts: int) -> timedelta:
    """Return how long to wait after so many earlier attempts: twice as long each time, half an hour at most."""
    return min(LONGEST_PAUSE, FIRST_PAUSE * (1 << min(attempts, 10)))


def overdue(task: CertificateTask, now: datetime, limit: timedelta) -> bool:
    """Whether a task has waited longer than `limit`."""
    return now - task.asked_at > limit


async def _do(services: Services, task: CertificateTask, certificate: CertificateRecord) -> CertificateRecord:
    """Have the authority act; return the certificate as it is then.

    Raises:
        ConnectorUnreachable, ConnectorRefused: it does not, or will not.
        NotSupported: it is gone from the configuration, or cannot.
    """
    authority = services.authorities.get(task.connection)
    if authority is None:
        raise errors.NotSupported(connection=task.connection, what=task.action.value)
    encoded = certificate.certificate or await _found(services, task, certificate)
    if not encoded:
        return replace(certificate, state=CertificateState.REFUSED)
    certificate = replace(certificate, certificate=encoded)
    match task.action:
        case CertificateAction.REVOKE if isinstance(authority, CanRevoke):
            await authority.revoke(encoded, Reason(task.reason))
            return replace(certificate, state=CertificateState.REVOKED)
        case CertificateAction.HOLD if isinstance(authority, CanHold):
            await authority.hold(encoded)
            return replace(certificate, state=CertificateState.HELD)
        case CertificateAction.RELEASE if isinstance(authority, CanHold):
            await authority.release(encoded)
            return replace(certificate, state=CertificateState.CONFIRMED)
        case _:
            raise errors.NotSupported(connection=task.connection, what=task.action.value)


async def _found(services: Services, task: CertificateTask, certificate: CertificateRecord) -> bytes:
    """Return the certificate that was signed for a request without an answer; empty where there is none.

    Raises:
        ConnectorUnreachable: it is not known yet; the search goes on.
    """
    request = SignRequest(
        request_id=certificate.request_id,
        profile=certificate.profile,
        names=Names(subject=""),
        public_key=certificate.public_key,
    )
    found = await services.authorities[task.connection].find(request)
    if isinstance(found, Issued):
        return found.certificate
    if isinstance(found, Pending) or (
        found is None
        and not services.authorities[task.connection].abilities.knows_at_once
        and services.clock.now() - task.asked_at < SEARCHED_FOR
    ):
        raise errors.ConnectorUnreachable(connection=task.connection, reason="the request is looked for")
    return b""


def _evidence(task: CertificateTask, certificate: CertificateRecord) -> AuditRecord:
    return AuditRecord(
        kind=AuditKind.TRANSITION,
        event=f"certificate-{certificate.state}",
        actor=ACTOR,
        subject=str(task.record_id),
        facts={
            "connection": task.connection,
            "slot": certificate.slot.text,
            "reason": task.reason,
            "attempts": task.attempts + 1,
        },
    )
