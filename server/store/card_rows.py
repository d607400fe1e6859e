"""A card's rows, read as one record."""

from typing import Final

from sqlalchemy import and_, select

from server.store.rules import FORGOTTEN_CREDENTIAL
from server.store.schema import (
    card,
    card_key,
    card_secret,
    certificate,
    certificate_task,
    credential,
    operation,
)
from server.store.statements import Cursor, Prepared, Row, given
from shared.credential.model import (
    CardRecord,
    CertificateRecord,
    CertificateTask,
    CredentialRecord,
    KeyRecord,
    OpenOperation,
    RecordId,
    RequestId,
    SecretKind,
    SecretRecord,
    SecretVersion,
    TemplateRef,
)

_OF_CARD: Final = given(card.c.record_id)

_CARD: Final = Prepared(
    select(
        card.c.state,
        card.c.profile,
        card.c.serial,
        card.c.virtual,
        card.c.management_algorithm,
        card.c.pin,
        card.c.puk_disclosed,
        card.c.key_disclosed,
        operation.c.operation_id,
        operation.c.kind,
        operation.c.holder,
        operation.c.began_at,
        operation.c.reason,
        operation.c.primary_id,
        operation.c.replaces_id,
        operation.c.roles,
        operation.c.template_name,
        operation.c.template_version,
        operation.c.template_digest,
    )
    .select_from(card)
    .outerjoin(operation, and_(operation.c.record_id == card.c.record_id, operation.c.ended_at.is_(None)))
    .where(card.c.record_id == _OF_CARD)
)
_SECRETS: Final = Prepared(
    select(
        card_secret.c.kind,
        card_secret.c.proven_generation,
        card_secret.c.proven_count,
        card_secret.c.pending_generation,
        card_secret.c.pending_count,
    ).where(card_secret.c.record_id == _OF_CARD)
)
_KEYS: Final = Prepared(
    select(
        card_key.c.slot, card_key.c.algorithm, card_key.c.state, card_key.c.public_key, card_key.c.touch
    ).where(card_key.c.record_id == _OF_CARD)
)
_CERTIFICATE: Final = (
    certificate.c.request_id,
    certificate.c.slot,
    certificate.c.connection,
    certificate.c.profile,
    certificate.c.public_key,
    certificate.c.state,
    certificate.c.certificate,
    certificate.c.reference,
)
_CERTIFICATES: Final = Prepared(
    select(*_CERTIFICATE).where(certificate.c.record_id == _OF_CARD).order_by(certificate.c.number)
)
_OF_REQUEST: Final = Prepared(
    select(*_CERTIFICATE).where(certificate.c.request_id == given(certificate.c.request_id))
)
CREDENTIAL: Final = (
    credential.c.credential_id,
    credential.c.holder,
    credential.c.holder_name,
    credential.c.template_name,
    credential.c.template_version,
    credential.c.template_digest,
    credential.c.state,
    credential.c.issued_at,
    credential.c.activated_at,
    credential.c.reason,
    credential.c.since,
    credential.c.ends_at,
    credential.c.primary_id,
    credential.c.replaces_id,
    credential.c.pin_set_at,
    credential.c.pin_change_due,
    credential.c.roles,
)
"""What `credential_of` takes."""

_CREDENTIAL: Final = Prepared(
    select(*CREDENTIAL)
    .where(
        credential.c.record_id == _OF_CARD,
        *(credential.c.state != state for state in sorted(FORGOTTEN_CREDENTIAL)),
    )
    .order_by(credential.c.number.desc())
    .limit(1)
)

TASK: Final = (
    certificate_task.c.request_id,
    certificate_task.c.record_id,
    certificate_task.c.connection,
    certificate_task.c.action,
    certificate_task.c.reason,
    certificate_task.c.asked_at,
    certificate_task.c.next_at,
    certificate_task.c.attempts,
    certificate_task.c.failure,
)
"""What `task_of` takes."""

_TASKS: Final = Prepared(
    select(*TASK).where(certificate_task.c.record_id == _OF_CARD).order_by(certificate_task.c.number)
)


def read_card(cursor: Cursor, record_id: RecordId) -> CardRecord | None:
    """Return everything that is known of a card."""
    row = _CARD.row(cursor, record_id=record_id)
    if row is None:
        return None
    state, profile, serial, virtual, management_algorithm, pin, puk_disclosed, key_disclosed, *cut = row
    kept = _CREDENTIAL.row(cursor, record_id=record_id)
    secrets = {kind: _secret(*values) for kind, *values in _SECRETS.rows(cursor, record_id=record_id)}
    return CardRecord(
        record_id=record_id,
        state=state,
        profile=profile,
        serial=serial,
        virtual=virtual,
        management_algorithm=management_algorithm,
        management_key=secrets[SecretKind.MANAGEMENT_KEY],
        puk=secrets[SecretKind.PUK],
        pin=pin,
        keys={
            slot: KeyRecord(
                slot=slot, algorithm=algorithm, state=key_state, public_key=public_key, touch=touch
            )
            for slot, algorithm, key_state, public_key, touch in _KEYS.rows(cursor, record_id=record_id)
        },
        certificates=tuple(_certificate(row) for row in _CERTIFICATES.rows(cursor, record_id=record_id)),
        credential=None if kept is None else credential_of(kept),
        open_operation=_operation(tuple(cut)),
        puk_disclosed=puk_disclosed,
        key_disclosed=key_disclosed,
        tasks=tuple(task_of(row) for row in _TASKS.rows(cursor, record_id=record_id)),
    )


def certificate_of_request(cursor: Cursor, request_id: RequestId) -> CertificateRecord:
    """Return the certificate of a request that is known."""
    row = _OF_REQUEST.row(cursor, request_id=request_id)
    assert row is not None
    return _certificate(row)


def _certificate(row: Row) -> CertificateRecord:
    request_id, slot, connection, profile, public_key, state, encoded, reference = row
    return CertificateRecord(
        request_id=request_id,
        slot=slot,
        connection=connection,
        profile=profile,
        public_key=public_key,
        state=state,
        certificate=encoded,
        reference=reference,
    )


def _secret(
    proven: int | None, proven_count: int | None, pending: int | None, pending_count: int | None
) -> SecretRecord:
    return SecretRecord(proven=_version(proven, proven_count), pending=_version(pending, pending_count))


def _version(generation: int | None, count: int | None) -> SecretVersion | None:
    return None if generation is None or count is None else SecretVersion(generation, count)


def _operation(row: Row) -> OpenOperation | None:
    operation_id, kind, holder, began_at, reason, primary, replaces, roles, name, version, digest = row
    if operation_id is None:
        return None
    template = None if name is None else TemplateRef(name=name, version=version, digest=digest)
    return OpenOperation(
        operation_id=operation_id,
        kind=kind,
        holder=holder,
        template=template,
        began_at=began_at,
        reason=reason,
        replaces=replaces,
        primary=primary,
        roles=tuple(roles.split()),
    )


def credential_of(row: Row) -> CredentialRecord:
    """Return a row of the columns `CREDENTIAL` as the value that it is."""
    credential_id, holder, holder_name, name, version, digest, state, issued_at, activated_at, *rest = row
    reason, since, ends_at, primary, replaces, pin_set_at, pin_change_due, roles = rest
    return CredentialRecord(
        credential_id=credential_id,
        holder=holder,
        holder_name=holder_name,
        template=TemplateRef(name=name, version=version, digest=digest),
        state=state,
        issued_at=issued_at,
        activated_at=activated_at,
        reason=reason,
        since=since,
        ends_at=ends_at,
        primary=primary,
        replaces=replaces,
        pin_set_at=pin_set_at,
        pin_change_due=pin_change_due,
        roles=tuple(roles.split()),
    )


def task_of(row: Row) -> CertificateTask:
    """Return a row of the columns `TASK` as the value that it is."""
    request_id, record_id, connection, action, reason, asked_at, next_at, attempts, failure = row
    return CertificateTask(
        request_id=request_id,
        record_id=record_id,
        connection=connection,
        action=action,
        reason=reason,
        asked_at=asked_at,
        next_at=next_at,
        attempts=attempts,
        failure=failure,
    )
