"""Revoke and retire: a credential ends, for a reason.

Certificates first, at their certificate authorities, so that a card that is pulled now is worth nothing any more;
then the card: nobody knows its PIN any longer and, when it is retired, its keys and certificates are gone. The card
proves its management key in the same power session before the PUK crosses the station.

Source: card-rules, "Deleting keys"; [RFC 5280] 5.3.1 (reason codes).
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from server.operations.operation import Ended, Operation
from server.operations.puk import next_puk, settle_puk, use_puk
from server.ports.ca import CanRevoke, Reason
from server.ports.store import (
    AuditKind,
    CertificateChanged,
    CredentialChanged,
    KeyChanged,
    OperationClosed,
    PinChanged,
    SecretChanged,
    SecretsCarried,
    StateChanged,
)
from shared import errors
from shared.credential.lifecycle import OperationKind, target
from shared.credential.model import (
    CardRecord,
    CertificateRecord,
    CertificateState,
    KeyState,
    PinState,
    SecretKind,
    SecretRecord,
    SecretVersion,
)
from shared.credential.reasons import Cause, read_cause
from shared.iso7816.apdu import Hole
from shared.iso7816.conversation import Conversation, together
from shared.piv.data import delete_object, read_optional
from shared.piv.ids import ObjectId, Slot
from shared.piv.inspect import CardFacts
from shared.piv.keys import delete_key, generate_key
from shared.piv.management import authenticated
from shared.piv.pin import change_puk, reset_pin
from shared.piv.select import fresh
from shared.relay import StepChange, StepLine

NOBODYS: Final = Hole(name="transport")

REVOCATION: Final = {
    Cause.LEFT: Reason.CESSATION_OF_OPERATION,
    Cause.DAMAGED: Reason.SUPERSEDED,
    Cause.NAME_CHANGED: Reason.AFFILIATION_CHANGED,
    Cause.REPLACED: Reason.SUPERSEDED,
    Cause.FORGOTTEN: Reason.SUPERSEDED,
    Cause.LOST: Reason.KEY_COMPROMISE,
    Cause.STOLEN: Reason.KEY_COMPROMISE,
    Cause.COMPROMISED: Reason.KEY_COMPROMISE,
}
"""What a certificate authority is told."""

LIVE: Final = frozenset({CertificateState.ISSUED, CertificateState.CONFIRMED})


async def revoke(op: Operation) -> Ended:
    """Revoke a credential whose card is here; the card stays as it is, but nobody knows its PIN. See `_end`."""
    return await _end(op, OperationKind.REVOKE, "revoked", empty=False)


async def retire(op: Operation) -> Ended:
    """Take a card back: revoke what is on it and delete it, so that the card can be issued again. See `_end`."""
    return await _end(op, OperationKind.RETIRE, "retired", empty=True)


async def _end(op: Operation, operation: OperationKind, event: str, *, empty: bool) -> Ended:
    """End a credential.

    Raises:
        UnknownCard: the card is not in the record.
        TransitionForbidden: not in this state.
        Invalid: no reason was given, or an unknown one.
        NotSupported: a certificate authority cannot revoke; nothing was changed.
        ConnectorUnreachable: it does not answer; what it revoked before stays revoked, the rest goes on later.
        ManagementKeyRejected, CardNotGenuine: another card, or somebody has changed its key.
    """
    facts, _ = await op.inspect()
    record = op.record
    if record is None:
        raise errors.UnknownCard
    state = target(
        operation, record.state
    )  # first: a card that was taken back has no credential, and is known
    credential = record.credential
    if credential is None:
        raise errors.UnknownCard
    cause = read_cause(op.begin.reason)
    live = [each for each in record.certificates if each.state in LIVE and each.certificate]
    _require_revocation(op, live)
    op.journal.note(SecretsCarried(station=op.caller.station_id))
    await op.open(record.record_id, template=credential.template)
    steps = _steps(live, record if empty else None)
    await op.talk.show(steps)
    await op.talk.progress(*(StepChange(index=index, done=False) for index in range(len(steps))))
    await _revoke(op, live, REVOCATION[cause])
    await op.prove(record, facts.chuid_raw)
    if empty:
        await _empty(op, record, facts)
    puk = await _take_pin(op, record, facts, empty=empty)
    op.journal.note(
        SecretChanged(kind=SecretKind.PUK, value=SecretRecord(proven=puk)),
        PinChanged(pin=PinState.TRANSPORT),
        CredentialChanged(credential=replace(credential, state=state)),
        StateChanged(state=state),
    )
    op.journal.evidence(AuditKind.TRANSITION, event, record.record_id, reason=cause.value)
    await op.journal.commit(OperationClosed(code="done"))
    await op.talk.progress(*(StepChange(index=index, done=True) for index in range(len(steps))))
    return Ended(facts={"holder": credential.holder_name, "reason": cause.value})


def _steps(live: Sequence[CertificateRecord], emptied: CardRecord | None) -> tuple[StepLine, ...]:
    lines = [StepLine(key="revoke", facts={"slot": each.slot.text}) for each in live]
    if emptied is not None:
        lines += [StepLine(key="delete", facts={"slot": slot.text}) for slot in emptied.keys]
    return (*lines, StepLine(key="pin"), StepLine(key="puk"), StepLine(key="read-back"))


# --- certificates ---------------------------------------------------------------------------------------


def _require_revocation(op: Operation, live: Sequence[CertificateRecord]) -> None:
    """Refuse before anything is touched where a certificate authority is gone or cannot revoke."""
    for each in live:
        if not isinstance(op.services.authorities.get(each.connection), CanRevoke):
            raise errors.NotSupported(connection=each.connection, what="revoke")


async def _revoke(op: Operation, live: Sequence[CertificateRecord], reason: Reason) -> None:
    """Revoke every certificate; each is stored as revoked, also where a later one fails."""
    try:
        for each in live:
            authority = op.services.authorities[each.connection]
            assert isinstance(authority, CanRevoke)
            await authority.revoke(each.certificate, reason)
            op.journal.note(CertificateChanged(certificate=replace(each, state=CertificateState.REVOKED)))
    finally:
        await op.journal.commit()


# --- the card -------------------------------------------------------------------------------------------


async def _empty(op: Operation, record: CardRecord, facts: CardFacts) -> None:
    """Delete certificates and keys; what is in a slot is unknown from before the first command on."""
    op.journal.note(
        *(
            KeyChanged(key=replace(key, state=KeyState.INTENDED, public_key=b""))
            for key in record.keys.values()
        )
    )
    await op.journal.commit()
    version = record.management_key.proven
    assert version is not None  # `prove` has used it
    key = await op.secrets(record.record_id).management_key(record.management_algorithm, version)
    deletes: list[Conversation[Any]] = [
        delete_object(object_id) for object_id in _written(record) if object_id in _present(facts)
    ]
    for slot, held in record.keys.items():
        if facts.profile.features.delete_key:
            deletes.append(delete_key(slot, missing_ok=True))
        else:
            # overwritten by a key that nobody certifies: the card has no command that deletes one
            deletes.append(generate_key(slot, held.algorithm))
    await op.talk.converse(authenticated(key, together(*deletes), op.services.keystore.random))


def _written(record: CardRecord) -> list[ObjectId]:
    """Return the objects that belong to the credential, not to the card."""
    return [*(slot.certificate_object for slot in record.keys), ObjectId.SECURITY]


def _present(facts: CardFacts) -> frozenset[ObjectId]:
    """Return what was seen, and what inspection does not look at (certificates of retired slots)."""
    unseen = {slot.certificate_object for slot in Slot if slot.retired}
    return frozenset(facts.objects) | unseen


async def _take_pin(op: Operation, record: CardRecord, facts: CardFacts, *, empty: bool) -> SecretVersion:
    """Replace the PIN by one that nobody knows, rotate the PUK, and see that the card is as it should be."""
    puk = await settle_puk(op, record, facts)
    pending = next_puk(op, record)
    op.journal.note(
        SecretChanged(kind=SecretKind.PUK, value=SecretRecord(proven=puk, pending=pending)),
        PinChanged(pin=PinState.UNKNOWN),
    )
    await op.journal.commit()
    await op.talk.draw(NOBODYS.name, 1)
    secrets = op.secrets(record.record_id)
    old, new = await secrets.puk(puk), await secrets.puk(pending)
    gone = _written(record) if empty else []
    read_back = fresh(_nothing_left(gone), chuid=facts.chuid_raw)
    await use_puk(op, together(reset_pin(old, NOBODYS), change_puk(old, new), read_back), pending)
    return pending


def _nothing_left(objects: Sequence[ObjectId]) -> Conversation[None]:
    """Check after a cold reset that these objects are gone.

    Raises:
        ReadBackFailed: one is still there.
    """
    found = yield from together(*(read_optional(object_id) for object_id in objects))
    for object_id, content in zip(objects, found, strict=True):
        if content is not None:
            raise errors.ReadBackFailed(what=object_id.name.lower().replace("_", "-"))
