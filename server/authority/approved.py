"""Whether an intent was approved, judged by what was signed and by the record as it is now.

Nothing that is kept about a request is believed: the intent is read again from the bytes that were signed, and every
signature is verified again. Then each approver has to be somebody who may approve it now: an active operator with a card
that counts and the right to do the same, or an active colleague of the holder; never who asked, never the holder, and nobody
twice.

Source: card-rules section 7 (approvals).
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from uuid import UUID

from cryptography import x509
from cryptography.exceptions import InvalidSignature

from server.authority.acting import all_roles
from server.authority.operator_cards import authorise_carried
from server.authority.operator_keys import public_key_of, takes_pin, why_not
from server.authority.policy import Needs, authorise, principal_of
from server.ports.approvals import ApprovalRecord, ApprovalSignature
from server.ports.operators import OperatorId, OperatorKind, OperatorRecord
from server.ports.store import Store
from shared import errors
from shared.approval import Intent, read_intent
from shared.credential.approval import ADMINISTRATIVE, Approvers, Way
from shared.credential.model import (
    CardRecord,
    CertificateState,
    CredentialRecord,
    RecordId,
    State,
    StationId,
)
from shared.credential.template_reading import parse_template
from shared.logon import LIFETIME, LogonPurpose, read_logon_text, verify_logon
from shared.piv.ids import Slot
from shared.roles import SUBJECTS, Area, Level, Subject


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalPolicy:
    """What this server asks for besides its templates.

    `acts` take a second person. `approver_executes`: who approved may carry it out. `same_station`: it may be approved where
    it was asked for, and carried out where it was approved.
    """

    acts: frozenset[Way] = frozenset()
    valid_for: timedelta = timedelta(hours=24)
    approver_executes: bool = False
    same_station: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class Approver:
    """Somebody who approved. `person` names them whatever card they used: the holder's id, else the operator's."""

    person: str
    name: str
    station: StationId
    fingerprint: bytes
    signed_at: datetime


_SUBJECTS: Final[dict[Way, Subject]] = {
    Way.SET_ROLES: Area.OPERATORS,
    Way.ACTIVATE_OPERATOR: Area.OPERATORS,
    Way.CHANGE_ROLE: Area.ROLES,
    Way.NEW_KEY_GENERATION: Area.KEYS,
    Way.APPLY_TEMPLATES: Area.TEMPLATES,
}


def intent_in(record: ApprovalRecord) -> Intent | None:
    """Return the intent of a request; None where the row is damaged, or holds another request's."""
    try:
        intent = read_intent(record.intent)
    except errors.Garbled:
        return None
    return intent if intent.request_id == record.request_id else None


def needs_for(way: Way) -> Needs:
    """Return the rule for whoever approves, or asks for, a way: that of doing it."""
    return Needs(subject=_SUBJECTS.get(way) or SUBJECTS[way.value], level=Level.EXECUTE)


def person_of(operator: OperatorRecord) -> str:
    """Return who an operator is: the same person may be one by several records."""
    return str(operator.holder or operator.operator_id)


async def people_in(store: Store, intent: Intent) -> tuple[str, str]:
    """Return which person asked, and which it is about: neither of them approves it. A station or the server is nobody's."""
    return await _person_named(store, intent.requester), await _person_named(store, intent.holder)


async def _person_named(store: Store, who: str) -> str:
    """Return the person that an intent names: by an operator's id, where it is an act about one, else by the holder's."""
    try:
        operator = await store.operators.by_id(OperatorId(UUID(who)))
    except ValueError:
        return who
    return person_of(operator) if operator is not None else who


async def approvers(
    store: Store, record: ApprovalRecord, intent: Intent, now: datetime, *, standing: bool = True
) -> Sequence[Approver]:
    """Return whose approvals of this intent count, each person once.

    Without `standing` it does not matter whether they may still approve: for going on with what spent the approval.
    """
    barred = await people_in(store, intent)
    found: dict[str, Approver] = {}
    for signature in record.signatures:
        approver = await _approver(store, signature, intent, now, standing=standing)
        if approver is not None and approver.person not in {*barred, *found}:
            found[approver.person] = approver
    return tuple(found.values())


async def _approver(
    store: Store, signature: ApprovalSignature, intent: Intent, now: datetime, *, standing: bool
) -> Approver | None:
    """Return who made a signature over this intent; None where it is not one that counts."""
    public_key = public_key_of(signature.certificate)
    try:
        text = read_logon_text(signature.text)
        verify_logon(public_key, signature.text, signature.signature)
    except (errors.Garbled, InvalidSignature):
        return None
    made = text.expires_at - LIFETIME
    if text.purpose is not LogonPurpose.APPROVE or text.intent != intent.digest:
        return None
    if not intent.created_at - LIFETIME <= made <= intent.expires_at:
        return None
    who: tuple[str, str] | None
    if intent.by is Approvers.COLLEAGUES:
        who = await _colleague(store, signature, intent, now, standing=standing)
    else:
        who = await _operator(store, signature.certificate, public_key, intent, now, standing=standing)
    if who is None:
        return None
    return Approver(
        person=who[0],
        name=who[1],
        station=signature.station_id,
        fingerprint=text.station,
        signed_at=made,
    )


async def _operator(
    store: Store, certificate: bytes, public_key: bytes, intent: Intent, now: datetime, *, standing: bool
) -> tuple[str, str] | None:
    digest = hashlib.sha256(public_key).digest()
    operator = await store.operators.by_key(digest)
    if operator is None or operator.kind is OperatorKind.APPLICATION:
        return None
    if standing:
        if await why_not(store.credentials, operator, digest, certificate, now):
            return None
        try:
            await check_may_approve(store, operator, intent)
        except errors.NotAllowed:
            return None
    return person_of(operator), operator.name


async def check_may_approve(store: Store, operator: OperatorRecord, intent: Intent) -> None:
    """Refuse an operator who may not do what is to be approved.

    Raises:
        NotAllowed: not this, for this template; or the credential gives more than the operator has.
    """
    known = await all_roles(store.roles)
    principal = principal_of(operator, known)
    authorise(principal, needs_for(intent.way), intent.template or None)
    if intent.roles and intent.way not in ADMINISTRATIVE:
        authorise_carried(principal, [known[name] for name in intent.roles if name in known])


async def _colleague(
    store: Store, signature: ApprovalSignature, intent: Intent, now: datetime, *, standing: bool
) -> tuple[str, str] | None:
    if signature.credential_id is None:
        return None
    card = await store.credentials.by_credential(signature.credential_id)
    credential = await _of_colleague(store, card, signature.certificate, intent, now, standing=standing)
    return (str(credential.holder), credential.holder_name) if credential is not None else None


async def colleague_with(
    store: Store, certificate: bytes, record_id: UUID | None, intent: Intent, now: datetime
) -> CredentialRecord | None:
    """Return the active credential of a colleague of the holder, by its card and the certificate that the card showed."""
    card = await store.cards.card(RecordId(record_id)) if record_id is not None else None
    return await _of_colleague(store, card, certificate, intent, now, standing=True)


async def _of_colleague(
    store: Store,
    card: CardRecord | None,
    certificate: bytes,
    intent: Intent,
    now: datetime,
    *,
    standing: bool,
) -> CredentialRecord | None:
    """Return a card's credential: of the holder's own directory, with a PIN, and where it is to count now, active."""
    credential = card.credential if card is not None else None
    if card is None or credential is None:
        return None
    held = any(
        each.certificate == certificate
        and each.slot is Slot.AUTHENTICATION
        and (each.state is CertificateState.CONFIRMED or not standing)
        for each in card.certificates
    )
    if not held:
        return None
    if standing and (credential.state is not State.ACTIVE or not _valid(certificate, now)):
        return None
    stored = await store.templates.version(credential.template)
    template = parse_template(stored.text) if stored is not None else None
    if template is None or template.directory != intent.directory or not takes_pin(template):
        return None
    return credential


def _valid(certificate: bytes, now: datetime) -> bool:
    shown = x509.load_der_x509_certificate(certificate)
    return shown.not_valid_before_utc <= now <= shown.not_valid_after_utc
