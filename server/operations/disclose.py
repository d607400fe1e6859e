"""Unblocking at a distance: codes for a holder whose card is not here.

The record says that a PUK is disclosed before anybody learns it, and the next contact with the card rotates it. Of an unblock
code no more than a digest is kept; it is shown once.

Source: card-rules, "Unblocking at a distance".
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import uuid4

from server.authority.access import Caller
from server.authority.operator_cards import known_to_owner
from server.operations.approval import cleared, doing_with, spent_evidence
from server.operations.journal import Journal
from server.operations.secrets import CardSecrets
from server.operations.services import Services
from server.ports.store import (
    ApprovalSpent,
    AuditKind,
    AuditRecord,
    Opening,
    OperationClosed,
    PukDisclosed,
    SecretsCarried,
    UnblockCode,
)
from shared import errors
from shared.credential.approval import Way
from shared.credential.lifecycle import OperationKind, target
from shared.credential.model import FACTORY, CardRecord, CredentialRecord, OperationId, RecordId, State
from shared.credential.read_out import new_unblock_code, read_out_code, unblock_code_digest
from shared.secret import Secret

VALID_FOR: Final = timedelta(hours=24)
ATTEMPTS: Final = 5

READ_OUT: Final = "read-out"
"""What the operation is called that discloses a PUK; it touches no card."""


@dataclass(frozen=True, slots=True, kw_only=True)
class OneTimeCode:
    """An unblock code, and until when it can be redeemed."""

    code: Secret
    expires_at: datetime


class Disclosures:
    """Hand out codes. The card must be active: any other has no holder's PIN to unblock; one that was issued may be activated."""

    def __init__(self, services: Services) -> None:
        """Work with `services`."""
        self._services = services

    async def read_out(self, caller: Caller, record_id: RecordId) -> Secret:
        """Return the read-out code of a card, which is disclosed from now on.

        Raises:
            UnknownCard: there is no such card, or it has no credential.
            TransitionForbidden: the card is not active.
            OwnersCode: it is the System Owner's.
            OperationInterrupted: the last operation was cut, so that the card may hold either of two PUKs; it has to be
                gone on with first.
            SecretUnresolved: it is not known which PUK the card has, or a change of it was cut.
            CardLeased: a station is working on the card.
            ApprovalNeeded: a second person has to approve it first.
        """
        record, _ = await self._active(record_id)
        cut = record.open_operation
        if cut is not None:
            raise errors.OperationInterrupted(operation=cut.kind)
        version = record.puk.proven
        if version in {None, FACTORY} or record.puk.pending is not None:
            raise errors.SecretUnresolved(secret="puk")  # noqa: S106  # a name, not a secret
        assert version is not None
        journal, operation_id = await self._cleared(caller, Way.READ_OUT, record)
        journal.evidence(
            AuditKind.KEY_USED,
            "disclosed",
            record_id,
            secret="puk",  # noqa: S106  # a name, not a secret
            generation=version.generation,
            count=version.count,
        )
        puk = await CardSecrets(self._services.keystore, record_id, journal).puk(version)
        journal.note(
            PukDisclosed(disclosed=True),
            SecretsCarried(station=caller.station_id),
            OperationClosed(code="done"),
        )
        await journal.open(
            Opening(
                operation_id=operation_id,
                kind=READ_OUT,
                record_id=record_id,
                station=caller.station_id,
                seen=record,
            )
        )
        return read_out_code(puk, serial=record.serial, guid=record_id)

    async def unblock_code(self, caller: Caller, record_id: RecordId) -> OneTimeCode:
        """Return a new code; the credential's earlier one no longer counts.

        With it the holder unblocks an active card, or activates one that was issued, once. One that carries roles is not
        activated with a code.

        Raises:
            UnknownCard: there is no such card, or it has no credential.
            TransitionForbidden: the card is neither active nor to be activated.
            OwnersCode: it is the System Owner's.
            ApprovalNeeded: a second person has to approve it first.
            OperationInterrupted: it was approved, and is therefore written down with the card, whose last operation was cut.
            CardLeased: likewise, and a station is working on the card.
        """
        record, credential = await self._active(record_id, or_issued=True)
        await self._spend(caller, record)
        code = new_unblock_code(self._services.keystore.random)
        expires_at = self._services.clock.now() + VALID_FOR
        await self._services.store.codes.add(
            UnblockCode(
                credential_id=credential.credential_id,
                digest=unblock_code_digest(code, credential.credential_id),
                expires_at=expires_at,
                attempts_left=ATTEMPTS,
            ),
            AuditRecord(
                kind=AuditKind.OPERATION,
                event="unblock code made",
                actor=caller.actor,
                subject=str(record_id),
                facts={"until": expires_at.isoformat(), "station": str(caller.station_id)},
            ),
        )
        return OneTimeCode(code=code, expires_at=expires_at)

    async def _cleared(self, caller: Caller, way: Way, record: CardRecord) -> tuple[Journal, OperationId]:
        """Return what writes down that a code is told, with the approval that it spends, and the operation that it is."""
        clear = await cleared(self._services, caller, await doing_with(self._services, way, record))
        journal, operation_id = Journal(self._services.store.cards, caller), OperationId(uuid4())
        if clear.spends is not None:
            evidence = spent_evidence(clear.spends, caller, operation_id, self._services.clock.now())
            journal.note(ApprovalSpent(request_id=clear.spends), evidence)
        return journal, operation_id

    async def _spend(self, caller: Caller, record: CardRecord) -> None:
        """Spend what an unblock code was approved by, before there is one."""
        journal, operation_id = await self._cleared(caller, Way.UNBLOCK_CODE, record)
        if not journal.waits:
            return
        if record.open_operation is not None:
            raise errors.OperationInterrupted(operation=record.open_operation.kind)
        journal.note(OperationClosed(code="done"))
        await journal.open(
            Opening(
                operation_id=operation_id,
                kind=Way.UNBLOCK_CODE.value,
                record_id=record.record_id,
                station=caller.station_id,
                seen=record,
            )
        )

    async def _active(
        self, record_id: RecordId, *, or_issued: bool = False
    ) -> tuple[CardRecord, CredentialRecord]:
        record = await self._services.store.cards.card(record_id)
        if record is None or record.credential is None:
            raise errors.UnknownCard
        if not (or_issued and record.state is State.ISSUED and not record.credential.roles):
            target(OperationKind.UNBLOCK, record.state)
        if known_to_owner(record):
            raise errors.OwnersCode
        return record, record.credential


async def check_code(services: Services, credential: CredentialRecord, code: Secret) -> None:
    """Judge a code that comes with an operation; it is spent by the commit that does what it is for.

    Raises:
        CodeRejected: it is not the credential's, spent, or too old; or too many wrong ones came before.
    """
    digest = _digest(credential, code)
    if not await services.store.codes.check(credential.credential_id, digest, services.clock.now()):
        raise errors.CodeRejected


def _digest(credential: CredentialRecord, code: Secret) -> bytes:
    try:
        return unblock_code_digest(code, credential.credential_id)
    except errors.Invalid as malformed:
        raise errors.CodeRejected from malformed
