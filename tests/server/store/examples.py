"""Cards, stations and templates to put into a store."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any, Final
from uuid import uuid4

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding

from server.ports.store import (
    AuditKind,
    AuditRecord,
    Change,
    CredentialChanged,
    Lease,
    LogonMethod,
    Opening,
    OperatorId,
    OperatorKey,
    OperatorKind,
    OperatorRecord,
    StationRecord,
    StationState,
    Store,
    StoredTemplate,
)
from shared.credential.model import (
    FACTORY,
    CardRecord,
    CertificateAction,
    CertificateRecord,
    CertificateState,
    CertificateTask,
    CredentialId,
    CredentialRecord,
    HolderId,
    OperationId,
    PinState,
    RecordId,
    RequestId,
    SecretRecord,
    State,
    StationId,
    TemplateRef,
)
from shared.piv.ids import ManagementAlgorithm, Slot

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


@cache
def der(not_after: datetime) -> bytes:
    """Return a certificate that expires at this second."""
    key = Ed25519PrivateKey.generate()
    name = x509.Name.from_rfc4514_string("CN=Bob Smith")
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
    builder = builder.not_valid_before(not_after - timedelta(days=365)).not_valid_after(not_after)
    return builder.sign(key, None).public_bytes(Encoding.DER)


def a_certificate(**changed: Any) -> CertificateRecord:
    plain = CertificateRecord(
        request_id=RequestId(uuid4()),
        slot=Slot.SIGNATURE,
        connection="built-in",
        profile="signature",
        public_key=b"\x30\x00",
        state=CertificateState.REQUESTED,
    )
    return replace(plain, **changed)


def a_task(card: CardRecord, certificate: CertificateRecord, **changed: Any) -> CertificateTask:
    plain = CertificateTask(
        request_id=certificate.request_id,
        record_id=card.record_id,
        connection=certificate.connection,
        action=CertificateAction.REVOKE,
        reason="superseded",
        asked_at=NOON,
        next_at=NOON,
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


def a_key(**changed: Any) -> OperatorKey:
    plain = OperatorKey(digest=uuid4().bytes * 2, method=LogonMethod.CARD)
    return replace(plain, **changed)


def an_operator(*keys: OperatorKey, **changed: Any) -> OperatorRecord:
    operator_id = OperatorId(uuid4())
    plain = OperatorRecord(
        operator_id=operator_id,
        name=f"Operator {operator_id.hex[:8]}",
        kind=OperatorKind.OPERATOR,
        registered_at=NOON,
        keys=keys,
    )
    return replace(plain, **changed)


async def with_credential(store: Store) -> tuple[CredentialRecord, Lease]:
    """Store a card with an active credential, and return both that and the lease to change it with."""
    card, credential = a_card(), a_credential(state=State.ACTIVE)
    station = StationId(uuid4())
    lease = await store.cards.open(an_opening(card, station, CredentialChanged(credential=credential)))
    return credential, lease
