"""What certificate authorities still have to do: tried at once, then again and again until it is done.

A task is stored together with the decision that asks for it. A request whose answer was lost is looked for first: there
may be a certificate that nobody has seen. A task whose outcome is not known is tried again: what an authority did already,
it does again without an error.
"""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from enum import Enum, auto, unique
from typing import Final
from weakref import WeakValueDictionary

from server.operations.services import Services
from server.ports.ca import (
    CanHold,
    CanRevoke,
    Issued,
    Names,
    Pending,
    Reason,
    SignRequest,
    Unanswered,
    Unfit,
)
from server.ports.store import AuditKind, AuditRecord
from shared import errors
from shared.credential.model import (
    CardRecord,
    CertificateAction,
    CertificateRecord,
    CertificateState,
    CertificateTask,
    RequestId,
)

log = logging.getLogger(__name__)

PATIENCE_S: Final = 10.0
"""How long a person at a counter waits for an authority; then the task waits for it instead."""

HEAD_START: Final = timedelta(seconds=15)
"""How long a new task is left to whoever asked for it, and tries it at once."""

FIRST_PAUSE: Final = timedelta(seconds=30)
LONGEST_PAUSE: Final = timedelta(minutes=30)

SEARCHED_FOR: Final = timedelta(hours=1)
"""How long a certificate whose answer was lost is looked for: an authority may still be working on the request."""

UNCONFIRMED: Final = "it cannot be searched: look there for a certificate of this key, and revoke it"
"""What an administrator is told of a request whose answer was lost for good; its key is never sent again."""

ACTOR: Final = "server"

_IN_HAND: Final[WeakValueDictionary[RequestId, asyncio.Lock]] = WeakValueDictionary()
"""Certificates that an authority is doing something with just now."""


@unique
class Attempt(Enum):
    """What came of one attempt."""

    DONE = auto()
    REFUSED = auto()
    """The authority answered, and did not do it."""
    UNANSWERED = auto()


async def attempt(services: Services, tasks: Sequence[CertificateTask]) -> int:
    """Have the authorities do these tasks now; return how many are left for later."""
    outcomes = await try_each(services, tasks)
    return sum(outcome is not Attempt.DONE for outcome in outcomes)


async def try_each(services: Services, tasks: Sequence[CertificateTask]) -> Sequence[Attempt]:
    """Try each task once, side by side; a failure is kept with its task, and when to try again.

    Whoever stops waiting stops the attempts: the tasks are kept as they were.
    """
    tried = await asyncio.gather(*(_try(services, task) for task in tasks), return_exceptions=True)
    outcomes = []
    for task, outcome in zip(tasks, tried, strict=True):
        if isinstance(outcome, errors.StoreError):
            raise outcome
        if isinstance(outcome, BaseException):  # a connector's fault must not keep the other tasks waiting
            kind = type(outcome).__name__
            log.error("%s of a certificate by %s: fault %s", task.action, task.connection, kind)
            await _failed(services, task, f"fault: {kind}")
            outcomes.append(Attempt.REFUSED)
        else:
            outcomes.append(outcome)
    return outcomes


async def _try(services: Services, task: CertificateTask) -> Attempt:
    """Try a task, unless it was done or something else was decided meanwhile.

    One at a time for each certificate: a release that is late must not follow the hold that was decided after it.
    """
    async with _IN_HAND.setdefault(task.request_id, asyncio.Lock()):
        return await _try_now(services, task)


async def _try_now(services: Services, task: CertificateTask) -> Attempt:
    store = services.store
    record = await store.cards.card(task.record_id)
    certificate = next(
        (each for each in record.certificates if each.request_id == task.request_id) if record else iter(()),
        None,
    )
    if record is None or certificate is None:
        raise errors.StoreConflict(what="task")  # the record keeps no task without its certificate
    if not any(_is_same(task, each) for each in record.tasks):
        return Attempt.DONE
    came = Attempt.REFUSED
    try:
        async with asyncio.timeout(PATIENCE_S):
            outcome = await _do(services, task, record, certificate)
    except TimeoutError:
        failure, came = "no answer in time", Attempt.UNANSWERED
    except errors.ConnectorUnreachable as error:
        failure, came = str(error.facts.get("reason") or error.code), Attempt.UNANSWERED
    except errors.ConnectorError as error:
        failure = str(error.facts.get("reason") or error.code)
    else:
        await store.tasks.done(task, _evidence(task, outcome), outcome)
        return Attempt.DONE
    log.warning("%s of a certificate by %s waits: %s", task.action, task.connection, failure)
    await _failed(services, task, failure)
    return came


def _is_same(task: CertificateTask, other: CertificateTask) -> bool:
    """Whether two are one decision about one certificate, however often it was tried."""
    return (task.request_id, task.action, task.asked_at) == (other.request_id, other.action, other.asked_at)


async def _failed(services: Services, task: CertificateTask, failure: str) -> None:
    await services.store.tasks.failed(task, failure, services.clock.now() + pause(task.attempts))


def pause(attempts: int) -> timedelta:
    """Return how long to wait after so many earlier attempts: twice as long each time, half an hour at most."""
    return min(LONGEST_PAUSE, FIRST_PAUSE * (1 << min(attempts, 10)))


async def _do(
    services: Services, task: CertificateTask, record: CardRecord, certificate: CertificateRecord
) -> CertificateRecord:
    """Have the authority act; return the certificate as it is then.

    Raises:
        ConnectorUnreachable, ConnectorRefused: it does not, or will not.
        NotSupported: it is gone from the configuration, or cannot.
    """
    authority = services.authorities.get(task.connection)
    if authority is None:
        raise errors.NotSupported(
            connection=task.connection, what=task.action.value, reason="there is no such connection"
        )
    encoded = certificate.certificate or await _found(services, task, record, certificate)
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
        case action:
            raise errors.NotSupported(
                connection=task.connection, what=action.value, reason=f"it cannot {action.value}"
            )


async def _found(
    services: Services, task: CertificateTask, record: CardRecord, certificate: CertificateRecord
) -> bytes:
    """Return the certificate that was signed for a request without an answer; empty where there is none.

    An authority that searches by key may find another certificate of the same key: that is not the one.

    Raises:
        ConnectorUnreachable: it is not known yet; the search goes on.
        ConnectorRefused: it will not be known: an administrator has to look there.
    """
    authority = services.authorities[task.connection]
    if not authority.abilities.find and not certificate.reference:
        raise errors.ConnectorRefused(connection=task.connection, reason=UNCONFIRMED)
    request = SignRequest(
        request_id=certificate.request_id,
        profile=certificate.profile,
        names=Names(subject=""),
        public_key=certificate.public_key,
        reference=certificate.reference,
    )
    found = await authority.find(request)
    if isinstance(found, Unfit):
        raise errors.ConnectorRefused(connection=task.connection, reason=found.why)
    known = {each.certificate for each in record.certificates if each.request_id != certificate.request_id}
    if isinstance(found, Issued) and found.certificate not in known:
        return found.certificate
    missing = found is None or isinstance(found, Issued)
    searched = services.clock.now() - task.asked_at >= SEARCHED_FOR
    if isinstance(found, Pending | Unanswered) or (
        missing and not authority.abilities.knows_at_once and not searched
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
