"""Cards, stations and templates to put into a store."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Final
from uuid import uuid4

from server.ports.store import (
    AuditKind,
    AuditRecord,
    Change,
    Opening,
    StationRecord,
    StationState,
    Store,
    StoredTemplate,
)
from shared.credential.model import (
    FACTORY,
    CardRecord,
    CredentialId,
    CredentialRecord,
    HolderId,
    OperationId,
    PinState,
    RecordId,
    SecretRecord,
    State,
    StationId,
    TemplateRef,
)
from shared.piv.ids import ManagementAlgorithm

NOON: Final = datetime(2026, 3, 1, 12, 0, 0, 123456, tzinfo=UTC)
BADGE: Final = TemplateRef(name="badge", version=1, digest=b"\x01" * 32)
EVIDENCE: Final = AuditRecord(kind=AuditKind.TEMPLATE, event="applied", actor="admin", subject="badge")


class FixedClock:
    """A clock that a test moves."""

    def __init__(self, now: datetime = NOON) -> None:
        self.time = now

    def now(self) -> datetime:
        return self.time

    def monotonic(self) -> float:
        return self.time.timestamp()


def a_station(name: str = "Desk 1") -> StationRecord:
    station_id = StationId(uuid4())
    return StationRecord(
        station_id=station_id,
        name=name,
        fingerprint=station_id.bytes * 2,
        lab=False,
        state=StationState.ACTIVE,
        joined_at=NOON,
        not_after=NOON.replace(year=2028),
    )


def a_card(serial: int | None = 4711) -> CardRecord:
    return CardRecord(
        record_id=RecordId(uuid4()),
        state=State.REGISTERED,
        profile="yubikey-5.4",
        serial=serial,
        virtual=False,
        management_algorithm=ManagementAlgorithm.AES192,
        management_key=SecretRecord(proven=FACTORY),
        puk=SecretRecord(proven=FACTORY),
        pin=PinState.FACTORY,
    )


def a_credential(**changed: Any) -> CredentialRecord:
    plain = CredentialRecord(
        credential_id=CredentialId(uuid4()),
        holder=HolderId("8d3f"),
        holder_name="Bob Smith",
        template=BADGE,
        state=State.REGISTERED,
    )
    return replace(plain, **changed)


def an_opening(
    card: CardRecord,
    station: StationId,
    *changes: Change,
    new: bool = True,
    operation_id: OperationId | None = None,
) -> Opening:
    return Opening(
        operation_id=operation_id or OperationId(uuid4()),
        kind="issue",
        record_id=card.record_id,
        station=station,
        holder="8d3f",
        template=BADGE,
        new_card=card if new else None,
        changes=changes,
    )


async def with_template(store: Store) -> None:
    """Store the template that the examples name."""
    await store.templates.add(StoredTemplate(ref=BADGE, text="name = 'badge'", applied_at=NOON), EVIDENCE)
