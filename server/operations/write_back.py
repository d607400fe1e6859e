"""What directories are told of certificates: at once where they answer, again and again until it is done.

It is stored with the transition that it follows from, and is never a reason for an operation to fail. A certificate is
published once it was proven on the card, and withdrawn as soon as it is to be revoked, or its card is out of use for good.
"""

import asyncio
import logging
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Final
from weakref import WeakValueDictionary

from server.operations.services import Services
from server.operations.tasks import HEAD_START, PATIENCE_S, Attempt, pause
from server.ports.connection import Ability
from server.ports.directory import CanWriteBack, Directory, HasAbilities
from server.ports.store import AuditKind, AuditRecord, WriteBackAsked
from server.ports.write_back import WriteBack, WriteBackAction
from shared import errors
from shared.credential.model import CertificateRecord, HolderId, RecordId, RequestId
from shared.credential.template import Template

log = logging.getLogger(__name__)

ACTOR: Final = "server"

EVENTS: Final = {
    WriteBackAction.PUBLISH: "certificate-published",
    WriteBackAction.WITHDRAW: "certificate-withdrawn",
}

_IN_HAND: Final[WeakValueDictionary[HolderId, asyncio.Lock]] = WeakValueDictionary()
"""People whose entry is being written just now."""


def writable(directories: Mapping[str, Directory]) -> frozenset[str]:
    """Return the names of the directories that take certificates, as they are configured."""
    return frozenset(name for name, directory in directories.items() if _pen(directory) is not None)


def _pen(directory: Directory | None) -> CanWriteBack | None:
    if not isinstance(directory, HasAbilities) or Ability.WRITE_BACK not in directory.abilities:
        return None
    return directory if isinstance(directory, CanWriteBack) else None


def publications(
    services: Services,
    template: Template,
    record_id: RecordId,
    holder: HolderId,
    proven: Iterable[CertificateRecord],
) -> tuple[WriteBackAsked, ...]:
    """Return what the template's directory is to be told of certificates that the card has proven."""
    wanted = {spec.slot for spec in template.certificates if spec.write_back}
    now = services.clock.now()
    return tuple(
        WriteBackAsked(
            entry=WriteBack(
                request_id=each.request_id,
                record_id=record_id,
                connection=template.directory,
                holder=holder,
                action=WriteBackAction.PUBLISH,
                asked_at=now,
                next_at=now + HEAD_START,
            )
        )
        for each in proven
        if each.slot in wanted
    )


async def tell(services: Services, record_id: RecordId, only: Collection[RequestId] | None = None) -> None:
    """Have a directory told now what it is to be told about one card; what it does not take is left for later.

    `only`: about these certificates. Whatever happens, the operation that this follows has ended well.
    """
    try:
        entries = await services.store.write_backs.of_card(record_id)
        waiting = [
            each
            for each in entries
            if not (each.done or each.given_up) and (only is None or each.request_id in only)
        ]
        await tell_each(services, waiting)
    except errors.StoreError as error:
        log.warning("a directory is told later: %s", error.code)


async def tell_each(services: Services, entries: Sequence[WriteBack]) -> Sequence[Attempt]:
    """Tell each once, side by side but for each holder's in their order; a failure is kept, and when to try again.

    Raises:
        StoreUnavailable: the record cannot be written; everything is kept as it was.
    """
    told = await asyncio.gather(*(_tell(services, entry) for entry in entries), return_exceptions=True)
    outcomes = []
    for entry, outcome in zip(entries, told, strict=True):
        if isinstance(outcome, errors.StoreError):
            raise outcome
        if isinstance(outcome, BaseException):  # a connector's fault must not keep other people's waiting
            await _failed(services, entry, f"fault: {type(outcome).__name__}")
            outcomes.append(Attempt.REFUSED)
        else:
            outcomes.append(outcome)
    return outcomes


async def _tell(services: Services, entry: WriteBack) -> Attempt:
    async with _IN_HAND.setdefault(entry.holder, asyncio.Lock()):
        return await _tell_now(services, entry)


async def _tell_now(services: Services, entry: WriteBack) -> Attempt:
    entries = await services.store.write_backs.of_card(entry.record_id)
    present = next((each for each in entries if each.request_id == entry.request_id), None)
    if (
        present is None
        or present.done
        or (present.action, present.asked_at) != (entry.action, entry.asked_at)
    ):
        return Attempt.DONE
    record = await services.store.cards.card(entry.record_id)
    certificates = {each.request_id: each for each in record.certificates} if record else {}
    came = Attempt.REFUSED
    try:
        async with asyncio.timeout(PATIENCE_S):
            await _write(services, entry, entries, certificates)
    except TimeoutError:
        failure, came = "no answer in time", Attempt.UNANSWERED
    except errors.ConnectorUnreachable as error:
        failure, came = str(error.facts.get("reason") or error.code), Attempt.UNANSWERED
    except errors.ConnectorError as error:
        failure = str(error.facts.get("reason") or error.code)
    else:
        await services.store.write_backs.settle(entry, _evidence(entry, certificates[entry.request_id]))
        return Attempt.DONE
    await _failed(services, entry, failure)
    return came


async def _failed(services: Services, entry: WriteBack, failure: str) -> None:
    log.warning("%s of a certificate in %s waits: %s", entry.action, entry.connection, failure)
    await services.store.write_backs.failed(entry, failure, services.clock.now() + pause(entry.attempts))


async def _write(
    services: Services,
    entry: WriteBack,
    entries: Sequence[WriteBack],
    certificates: Mapping[RequestId, CertificateRecord],
) -> None:
    """Have the directory do it.

    What maps a person may be the same for two certificates of one key (a renewed one's, by its key's identifier): whatever
    is withdrawn with the old one is there again with the new one.

    Raises:
        ConnectorUnreachable, ConnectorRefused: it does not, or will not.
        NotSupported: it is gone from the configuration, or takes none any more.
    """
    pen = _pen(services.directories.get(entry.connection))
    if pen is None:
        raise errors.NotSupported(
            connection=entry.connection, what=entry.action.value, reason="it takes no certificates"
        )
    certificate = certificates[entry.request_id]
    if entry.action is WriteBackAction.PUBLISH:
        await pen.publish(entry.holder, certificate.certificate)
        return
    await pen.withdraw(entry.holder, certificate.certificate)
    for other in entries:
        staying = certificates[other.request_id]
        same = (other.connection, other.holder, staying.public_key) == (
            entry.connection,
            entry.holder,
            certificate.public_key,
        )
        if other.action is WriteBackAction.PUBLISH and same:
            await pen.publish(entry.holder, staying.certificate)


def _evidence(entry: WriteBack, certificate: CertificateRecord) -> AuditRecord:
    return AuditRecord(
        kind=AuditKind.TRANSITION,
        event=EVENTS[entry.action],
        actor=ACTOR,
        subject=str(entry.record_id),
        facts={
            "connection": entry.connection,
            "slot": certificate.slot.text,
            "attempts": entry.attempts + 1,
        },
    )
