"""Certificate requests: made by the card, checked here, answered by a certificate authority.

The request id is stored before the certificate authority is asked. What comes back is checked before it can
reach a card.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from uuid import uuid4

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key

from server.operations.operation import Operation, needs_pin
from server.ports.ca import CanRevoke, Issued, Names, Outcome, Pending, Reason, Refused, SignRequest
from server.ports.store import CertificateChanged
from shared import errors
from shared.credential import plan
from shared.credential.certificates import check_certificate, check_names, needed_usage
from shared.credential.model import (
    CardRecord,
    CertificateRecord,
    CertificateState,
    Person,
    RecordId,
    RequestId,
)
from shared.credential.requests import assemble_request, request_info
from shared.credential.template import CertificateSpec, Template
from shared.credential.variables import fill, fill_subject
from shared.iso7816.apdu import Hole
from shared.iso7816.conversation import Conversation, together
from shared.piv.ids import PinPolicyId, Slot
from shared.piv.keys import sign, to_be_signed
from shared.piv.pin import verify_pin

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """One certificate to be had: what the template says, the names filled in, the key."""

    spec: CertificateSpec
    names: Names
    request_id: RequestId
    public_key: bytes
    request: bytes = b""
    known: CertificateRecord | None = None
    """The request that was stored before a cut."""


def values_for(person: Person, record_id: RecordId, serial: int | None) -> dict[str, str]:
    """Return the variables of a template for one person and one card."""
    values = {f"user.{name}": value for name, value in person.attributes.items()}
    values["user.name"] = person.name
    values["card.id"] = str(record_id)
    values["card.serial"] = "" if serial is None else str(serial)
    return values


def names_for(spec: CertificateSpec, values: Mapping[str, str], record_id: RecordId, fascn: bytes) -> Names:
    """Fill in the names of one certificate.

    Raises:
        VariableMissing: the directory lacks a value that the template needs.
    """
    return Names(
        subject=fill_subject(spec.subject, values).rfc4514_string(),
        upn=fill(spec.upn, values),
        mail=fill(spec.mail, values),
        sid=fill(spec.sid, values),
        card=f"urn:uuid:{record_id}",
        fascn=fascn,
    )


def sign_requests(wanted: Sequence[Wanted], hole: Hole) -> Conversation[tuple[bytes, ...]]:
    """Have the card sign a certificate request per key that can sign; others give an empty request."""
    return (yield from together(*(_sign_request(item, hole) for item in wanted)))


def _sign_request(item: Wanted, hole: Hole) -> Conversation[bytes]:
    if not item.spec.algorithm.can_sign:
        return b""
    info = request_info(x509.Name.from_rfc4514_string(item.names.subject), item.public_key)
    signing = sign(item.spec.slot, item.spec.algorithm, to_be_signed(item.spec.algorithm, info))
    if wants_pin(item.spec):
        _, signature = yield from _in_one_batch(verify_pin(hole), signing)
    else:
        signature = yield from signing
    return assemble_request(info, item.spec.algorithm, signature)


def _in_one_batch(first: Conversation[None], second: Conversation[bytes]) -> Conversation[tuple[None, bytes]]:
    """VERIFY and the command that needs it, with nothing in between."""
    verified, signature = yield from together(first, second)
    return verified, signature


def wants_pin(spec: CertificateSpec) -> bool:
    """Whether using this slot's key needs VERIFY first."""
    if spec.pin_policy is PinPolicyId.DEFAULT:
        return needs_pin(spec.slot)
    return spec.pin_policy is not PinPolicyId.NEVER


def pin_uses(template: Template) -> int:
    """Return how many keys of a template are used behind the PIN."""
    return sum(1 for spec in template.certificates if spec.algorithm.can_sign and wants_pin(spec))


def check_request(item: Wanted) -> None:
    """Check that the request is signed by the key that the card said it made: possession is proven.

    Raises:
        CardNotGenuine: it is not.
    """
    if not item.request:
        return
    request = x509.load_der_x509_csr(item.request)
    if request.public_key() != load_der_public_key(item.public_key) or not request.is_signature_valid:
        raise errors.CardNotGenuine(why=f"the key in slot {item.spec.slot.text} did not sign its request")


def intent(item: Wanted) -> CertificateChanged:
    """Return what is stored before the certificate authority is asked."""
    return CertificateChanged(certificate=_record(item, CertificateState.REQUESTED))


def outcome(item: Wanted, state: CertificateState, certificate: bytes) -> CertificateChanged:
    """Return what is stored of what came of a request."""
    return CertificateChanged(certificate=_record(item, state, certificate))


def _record(item: Wanted, state: CertificateState, certificate: bytes = b"") -> CertificateRecord:
    return CertificateRecord(
        request_id=item.request_id,
        slot=item.spec.slot,
        connection=item.spec.ca,
        profile=item.spec.profile,
        public_key=item.public_key,
        state=state,
        certificate=certificate,
    )


async def obtain(op: Operation, wanted: Sequence[Wanted]) -> dict[Slot, bytes]:
    """Get every certificate, and note each outcome for the next commit.

    A request from before a cut is looked for first; the certificate authority is asked again under the same id
    only where it knows nothing of it.

    Raises:
        ConnectorRefused: a certificate authority will not issue; noted as refused.
        CertificateRejected: it returned something else than was asked for.
    """
    found: dict[Slot, bytes] = {}
    by_connection: dict[str, list[tuple[Wanted, SignRequest]]] = {}
    for item in wanted:
        if item.known is not None and item.known.certificate:
            found[item.spec.slot] = item.known.certificate
        else:
            by_connection.setdefault(item.spec.ca, []).append((item, _sign_request_for(op, item)))
    for connection, asked in by_connection.items():
        failures = []
        for item, outcome in await _ask(op, connection, asked):
            try:
                found[item.spec.slot] = await _accept(op, connection, item, outcome)
            except errors.ConnectorError as failure:
                failures.append(failure)  # what came of the others is noted first
        if failures:
            raise failures[0]
    return found


def _sign_request_for(op: Operation, item: Wanted) -> SignRequest:
    return SignRequest(
        request_id=item.request_id,
        profile=item.spec.profile,
        names=item.names,
        public_key=item.public_key,
        request=item.request,
        not_after=op.services.clock.now() + timedelta(days=item.spec.days),
    )


async def _ask(
    op: Operation, connection: str, asked: Sequence[tuple[Wanted, SignRequest]]
) -> Sequence[tuple[Wanted, Outcome]]:
    authority = op.services.authorities[connection]
    outcomes: list[tuple[Wanted, Outcome]] = []
    fresh = []
    for item, request in asked:
        earlier = await authority.find(request) if item.known is not None else None
        if earlier is None:
            fresh.append((item, request))
        else:
            outcomes.append((item, earlier))
    answers = await authority.issue([request for _, request in fresh]) if fresh else ()
    outcomes += [(item, answer) for (item, _), answer in zip(fresh, answers, strict=True)]
    return outcomes


async def _accept(op: Operation, connection: str, item: Wanted, outcome: Outcome) -> bytes:
    match outcome:
        case Issued(certificate=certificate):
            try:
                await _check(op, connection, item, certificate)
            except errors.CertificateRejected:
                await _disown(op, connection, item, certificate)
                raise
            op.journal.note(
                CertificateChanged(certificate=_record(item, CertificateState.ISSUED, certificate))
            )
            return certificate
        case Refused(reason=reason):
            op.journal.note(CertificateChanged(certificate=_record(item, CertificateState.REFUSED)))
            raise errors.ConnectorRefused(connection=connection, reason=reason)
        case Pending():
            raise errors.ConnectorRefused(connection=connection, reason="waits for an approval there")


async def _check(op: Operation, connection: str, item: Wanted, certificate: bytes) -> None:
    """Refuse a certificate that is not what was asked for, before it can reach the card."""
    names = item.names
    required, allowed = check_names(upn=names.upn, mail=names.mail, card=names.card, fascn=names.fascn)
    check_certificate(
        certificate,
        connection=connection,
        public_key=item.public_key,
        subject=names.subject,
        trust=await op.services.authorities[connection].trust(),
        now=op.services.clock.now(),
        usage=needed_usage(item.spec.slot, item.public_key),
        required=required,
        allowed=allowed,
        sid=names.sid,
    )


async def _disown(op: Operation, connection: str, item: Wanted, certificate: bytes) -> None:
    """Put away a certificate that is not what was asked for: the next insertion asks anew.

    One for our key is revoked, because the key is on the card. One for another key may be in use by somebody else,
    and is left alone. Where it cannot be revoked now, the request stays open and is found again.
    """
    authority = op.services.authorities[connection]
    if _public_key_of(certificate) == item.public_key and isinstance(authority, CanRevoke):
        try:
            await authority.revoke(certificate, Reason.SUPERSEDED)
        except errors.ConnectorError as failure:
            log.warning("a certificate that is not as asked for cannot be revoked: %s", failure)
            return
    op.journal.note(CertificateChanged(certificate=_record(item, CertificateState.REFUSED)))


def _public_key_of(certificate: bytes) -> bytes:
    """Return the public key (DER) of a certificate that may be none; then nothing."""
    try:
        key = x509.load_der_x509_certificate(certificate).public_key()
        return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    except ValueError:
        return b""


async def revoke_lost(op: Operation, steps: Sequence[plan.Step]) -> None:
    """Revoke certificates whose key was made anew; note it for the next commit.

    Raises:
        NotSupported: the certificate authority cannot revoke.
    """
    for step in steps:
        if not isinstance(step, plan.Revoke):
            continue
        lost = step.certificate
        authority = op.services.authorities[lost.connection]
        if not isinstance(authority, CanRevoke):
            raise errors.NotSupported(connection=lost.connection, what="revoke")
        await authority.revoke(lost.certificate, Reason.SUPERSEDED)
        op.journal.note(CertificateChanged(certificate=replace(lost, state=CertificateState.REVOKED)))


def wanted_for(
    steps: Sequence[plan.Step],
    record: CardRecord | None,
    names: Mapping[Slot, Names],
    keys: Mapping[Slot, bytes],
) -> tuple[Wanted, ...]:
    """Return every certificate that the plan asks for; `keys` are public keys (DER) by slot."""
    known = {item.request_id: item for item in record.certificates} if record else {}
    return tuple(
        Wanted(
            spec=step.spec,
            names=names[step.spec.slot],
            request_id=step.reuse or RequestId(uuid4()),
            public_key=keys[step.spec.slot],
            known=known.get(step.reuse) if step.reuse else None,
        )
        for step in steps
        if isinstance(step, plan.Request)
    )
