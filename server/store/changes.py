"""How each change of a card is written.

One function per type of `server.ports.store.Change`, in one table. All of them run inside the transaction that
has already checked the lease.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import delete, false, select, update

from server.ports.store import (
    ApprovalSpent,
    AuditRecord,
    CertificateChanged,
    CertificateTaskAsked,
    CertificateTaskDone,
    Change,
    CodeEnded,
    CredentialChanged,
    KeyChanged,
    KeyDisclosed,
    Lease,
    ManagementAlgorithmChanged,
    OperationClosed,
    OperatorRegistered,
    PinChanged,
    PukDisclosed,
    SecretChanged,
    SecretsCarried,
    StateChanged,
    WriteBackAsked,
)
from server.store import evidence, schema, write_backs
from server.store.approvals import spend
from server.store.codes import end_code
from server.store.operators import register_operator
from server.store.rules import CLOSED_CREDENTIAL, DONE, check_task, not_after, words
from server.store.statements import Cursor, Prepared, add, given, put
from shared import errors
from shared.clock import Clock
from shared.credential.model import (
    CardRecord,
    CertificateAction,
    CertificateRecord,
    CertificateTask,
    CredentialRecord,
    KeyRecord,
    OperationId,
    RecordId,
    SecretKind,
    SecretRecord,
    TemplateRef,
)

_ADD_CARD: Final = add(schema.card)
_PUT_SECRET: Final = put(schema.card_secret, (schema.card_secret.c.record_id, schema.card_secret.c.kind))
_PUT_KEY: Final = put(schema.card_key, (schema.card_key.c.record_id, schema.card_key.c.slot))
_PUT_CARRIER: Final = put(
    schema.card_carrier, (schema.card_carrier.c.record_id, schema.card_carrier.c.station_id)
)
_PUT_CERTIFICATE: Final = put(
    schema.certificate, (schema.certificate.c.request_id,), owner=schema.certificate.c.record_id
)
_PUT_CREDENTIAL: Final = put(
    schema.credential, (schema.credential.c.credential_id,), owner=schema.credential.c.record_id
)
_PUT_TASK: Final = put(schema.certificate_task, (schema.certificate_task.c.request_id,))
_DROP_TASK: Final = Prepared(
    delete(schema.certificate_task).where(
        schema.certificate_task.c.request_id == given(schema.certificate_task.c.request_id),
        schema.certificate_task.c.record_id == given(schema.certificate_task.c.record_id),
    )
)
_OF_THIS_CARD: Final = Prepared(
    select(schema.certificate.c.number).where(
        schema.certificate.c.request_id == given(schema.certificate.c.request_id),
        schema.certificate.c.record_id == given(schema.certificate.c.record_id),
    )
)


def _set_on_card(name: str) -> Prepared:
    card = schema.card
    return Prepared(
        update(card).where(card.c.record_id == given(card.c.record_id)).values({name: given(card.c[name])})
    )


_SET_STATE: Final = _set_on_card("state")
_SET_PIN: Final = _set_on_card("pin")
_SET_PUK_DISCLOSED: Final = _set_on_card("puk_disclosed")
_SET_KEY_DISCLOSED: Final = _set_on_card("key_disclosed")
_SET_MANAGEMENT_ALGORITHM: Final = _set_on_card("management_algorithm")

_CLOSE_OPERATION: Final = Prepared(
    update(schema.operation)
    .where(schema.operation.c.operation_id == given(schema.operation.c.operation_id))
    .values(code=given(schema.operation.c.code), ended_at=given(schema.operation.c.ended_at))
)
_END_LEASE: Final = Prepared(
    update(schema.lease)
    .where(schema.lease.c.record_id == given(schema.lease.c.record_id))
    .values(live=false())
)


@dataclass(frozen=True, slots=True)
class Scope:
    """What a change is written in: an open transaction, under a lease that holds."""

    cursor: Cursor
    lease: Lease
    clock: Clock


def apply_changes(scope: Scope, changes: Sequence[Change]) -> None:
    """Write `changes` in order."""
    for change in changes:
        EXECUTORS[type(change)](scope, change)


def register(cursor: Cursor, card: CardRecord, clock: Clock) -> None:
    """Write a card that is new, with everything that is known of it."""
    _ADD_CARD.run(
        cursor,
        {
            "record_id": card.record_id,
            "state": card.state,
            "profile": card.profile,
            "serial": card.serial,
            "virtual": card.virtual,
            "management_algorithm": card.management_algorithm,
            "pin": card.pin,
            "puk_disclosed": card.puk_disclosed,
            "key_disclosed": card.key_disclosed,
            "registered_at": clock.now(),
        },
    )
    _put_secret(cursor, card.record_id, SecretKind.MANAGEMENT_KEY, card.management_key)
    _put_secret(cursor, card.record_id, SecretKind.PUK, card.puk)
    for key in card.keys.values():
        _put_key(cursor, card.record_id, key)
    for certificate in card.certificates:
        put_certificate(cursor, card.record_id, certificate)
    if card.credential is not None:
        _put_credential(cursor, card.record_id, card.credential)
    for task in card.tasks:
        _put_task(cursor, card.record_id, task)


def close_operation(cursor: Cursor, operation_id: OperationId, code: str, ended_at: datetime | None) -> None:
    """Write how an operation ended; one that did not end is a cut."""
    _CLOSE_OPERATION.run(cursor, {"operation_id": operation_id, "code": code, "ended_at": ended_at})


def template_columns(ref: TemplateRef | None) -> dict[str, object]:
    """Return the three columns that name a version of a template."""
    return {
        "template_name": ref and ref.name,
        "template_version": ref and ref.version,
        "template_digest": ref and ref.digest,
    }


# --- rows -----------------------------------------------------------------------------------------------


def _put_secret(cursor: Cursor, record_id: RecordId, kind: SecretKind, value: SecretRecord) -> None:
    proven, pending = value.proven, value.pending
    _PUT_SECRET.run(
        cursor,
        {
            "record_id": record_id,
            "kind": kind,
            "proven_generation": None if proven is None else proven.generation,
            "proven_count": None if proven is None else proven.count,
            "pending_generation": None if pending is None else pending.generation,
            "pending_count": None if pending is None else pending.count,
        },
    )


def _put_key(cursor: Cursor, record_id: RecordId, key: KeyRecord) -> None:
    _PUT_KEY.run(
        cursor,
        {
            "record_id": record_id,
            "slot": key.slot,
            "algorithm": key.algorithm,
            "state": key.state,
            "public_key": key.public_key,
            "touch": key.touch,
        },
    )


def put_certificate(cursor: Cursor, record_id: RecordId, certificate: CertificateRecord) -> None:
    """Write a certificate; `StoreConflict` where its request id is another card's."""
    changed = _PUT_CERTIFICATE.run(
        cursor,
        {
            "request_id": certificate.request_id,
            "record_id": record_id,
            "slot": certificate.slot,
            "connection": certificate.connection,
            "profile": certificate.profile,
            "public_key": certificate.public_key,
            "state": certificate.state,
            "certificate": certificate.certificate,
            "reference": certificate.reference,
            "not_after": not_after(certificate.certificate),
        },
    )
    if changed != 1:
        raise errors.StoreConflict(what="certificate")


def _put_credential(cursor: Cursor, record_id: RecordId, credential: CredentialRecord) -> None:
    changed = _PUT_CREDENTIAL.run(
        cursor,
        {
            "credential_id": credential.credential_id,
            "record_id": record_id,
            "holder": credential.holder,
            "holder_name": credential.holder_name,
            **template_columns(credential.template),
            "state": credential.state,
            "issued_at": credential.issued_at,
            "activated_at": credential.activated_at,
            "reason": credential.reason,
            "since": credential.since,
            "ends_at": credential.ends_at,
            "primary_id": credential.primary,
            "replaces_id": credential.replaces,
            "pin_set_at": credential.pin_set_at,
            "pin_change_due": credential.pin_change_due,
            "words": words(credential),
            "roles": " ".join(credential.roles),
        },
    )
    if changed != 1:
        raise errors.StoreConflict(what="credential")


def _put_task(cursor: Cursor, record_id: RecordId, task: CertificateTask) -> None:
    check_task(task, record_id)
    if _OF_THIS_CARD.row(cursor, request_id=task.request_id, record_id=record_id) is None:
        raise errors.StoreConflict(what="reference")
    _PUT_TASK.run(
        cursor,
        {
            "request_id": task.request_id,
            "record_id": record_id,
            "connection": task.connection,
            "action": task.action,
            "reason": task.reason,
            "asked_at": task.asked_at,
            "next_at": task.next_at,
            "attempts": task.attempts,
            "failure": task.failure,
        },
    )


# --- one function per change ------------------------------------------------------------------------------


def _secret_changed(scope: Scope, change: SecretChanged) -> None:
    _put_secret(scope.cursor, scope.lease.record_id, change.kind, change.value)


def _management_algorithm_changed(scope: Scope, change: ManagementAlgorithmChanged) -> None:
    _SET_MANAGEMENT_ALGORITHM.run(
        scope.cursor, {"record_id": scope.lease.record_id, "management_algorithm": change.algorithm}
    )


def _pin_changed(scope: Scope, change: PinChanged) -> None:
    _SET_PIN.run(scope.cursor, {"record_id": scope.lease.record_id, "pin": change.pin})


def _puk_disclosed(scope: Scope, change: PukDisclosed) -> None:
    _SET_PUK_DISCLOSED.run(
        scope.cursor, {"record_id": scope.lease.record_id, "puk_disclosed": change.disclosed}
    )


def _key_disclosed(scope: Scope, change: KeyDisclosed) -> None:
    _SET_KEY_DISCLOSED.run(
        scope.cursor, {"record_id": scope.lease.record_id, "key_disclosed": change.disclosed}
    )


def _key_changed(scope: Scope, change: KeyChanged) -> None:
    _put_key(scope.cursor, scope.lease.record_id, change.key)


def _certificate_changed(scope: Scope, change: CertificateChanged) -> None:
    put_certificate(scope.cursor, scope.lease.record_id, change.certificate)


def _task_asked(scope: Scope, change: CertificateTaskAsked) -> None:
    task = change.task
    _put_task(scope.cursor, scope.lease.record_id, task)
    if task.action is CertificateAction.REVOKE:
        write_backs.withdraw(scope.cursor, task.request_id, task.asked_at, task.next_at)


def _write_back_asked(scope: Scope, change: WriteBackAsked) -> None:
    write_backs.ask(scope.cursor, scope.lease.record_id, change.entry)


def _task_done(scope: Scope, change: CertificateTaskDone) -> None:
    _DROP_TASK.run(scope.cursor, {"request_id": change.request_id, "record_id": scope.lease.record_id})


def _credential_changed(scope: Scope, change: CredentialChanged) -> None:
    _put_credential(scope.cursor, scope.lease.record_id, change.credential)


def _operator_registered(scope: Scope, change: OperatorRegistered) -> None:
    register_operator(scope.cursor, change.operator, change.replaces)


def _code_ended(scope: Scope, change: CodeEnded) -> None:
    end_code(scope.cursor, change.credential_id)


def _state_changed(scope: Scope, change: StateChanged) -> None:
    _SET_STATE.run(scope.cursor, {"record_id": scope.lease.record_id, "state": change.state})
    if change.state in CLOSED_CREDENTIAL:
        write_backs.withdraw_all(scope.cursor, scope.lease.record_id, scope.clock.now())


def _secrets_carried(scope: Scope, change: SecretsCarried) -> None:
    _PUT_CARRIER.run(
        scope.cursor,
        {
            "record_id": scope.lease.record_id,
            "station_id": change.station,
            "carried_at": scope.clock.now(),
        },
    )


def _approval_spent(scope: Scope, change: ApprovalSpent) -> None:
    lease = scope.lease
    spend(scope.cursor, change.request_id, lease.operation_id, lease.record_id, scope.clock.now())


def _operation_closed(scope: Scope, change: OperationClosed) -> None:
    ended = change.code == DONE or change.abandon
    ended_at = scope.clock.now() if ended else None
    close_operation(scope.cursor, scope.lease.operation_id, change.code, ended_at)
    if ended:
        _END_LEASE.run(scope.cursor, {"record_id": scope.lease.record_id})


def _audit_record(scope: Scope, change: AuditRecord) -> None:
    evidence.append(scope.cursor, scope.clock, change)


EXECUTORS: Final[Mapping[type, Callable[[Scope, Any], None]]] = {
    SecretChanged: _secret_changed,
    ManagementAlgorithmChanged: _management_algorithm_changed,
    PinChanged: _pin_changed,
    PukDisclosed: _puk_disclosed,
    KeyDisclosed: _key_disclosed,
    KeyChanged: _key_changed,
    CertificateChanged: _certificate_changed,
    CertificateTaskAsked: _task_asked,
    CertificateTaskDone: _task_done,
    WriteBackAsked: _write_back_asked,
    CredentialChanged: _credential_changed,
    OperatorRegistered: _operator_registered,
    CodeEnded: _code_ended,
    StateChanged: _state_changed,
    SecretsCarried: _secrets_carried,
    ApprovalSpent: _approval_spent,
    OperationClosed: _operation_closed,
    AuditRecord: _audit_record,
}
