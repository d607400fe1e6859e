"""Certificate requests: made by the card, checked here, answered by a certificate authority.

The request id is stored before the certificate authority is asked. What comes back is checked before it can
reach a card.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from uuid import uuid4

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key

from server.operations.operation import Operation
from server.operations.proof import agrees, behind_pin, shows
from server.ports.ca import (
    CanRevoke,
    CertificateAuthority,
    Issued,
    Names,
    Outcome,
    Pending,
    Reason,
    Refused,
    SignRequest,
)
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
from shared.credential.template import CertificateSpec
from shared.credential.variables import fill, fill_subject
from shared.iso7816.apdu import Hole
from shared.iso7816.conversation import Conversation, together
from shared.piv.certificate import CERTIFICATE_MAX, CertificateContainer
from shared.piv.ids import Slot
from shared.piv.keys import sign, to_be_signed


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
    earlier: frozenset[bytes] = frozenset()
    """Certificates (DER) that this key has had: an authority that searches by key must not pass one off as new."""


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


def sign_requests(
    wanted: Sequence[Wanted], hole: Hole, random: Callable[[int], bytes], *, agreement: bool = True
) -> Conversation[tuple[bytes, ...]]:
    """Have the card prove every key by a signed certificate request.

    A key that cannot sign proves itself by an agreement where that is allowed (see `proof`); its request is empty.

    Raises:
        CardNotGenuine: there is no key in a slot, or one that does not sign is not the one that the card said it made.
    """
    return (yield from together(*(_prove(item, hole, random, agreement=agreement) for item in wanted)))


def _prove(
    item: Wanted, hole: Hole, random: Callable[[int], bytes], *, agreement: bool
) -> Conversation[bytes]:
    try:
        return (yield from _sign_request(item, hole, random, agreement=agreement))
    except (errors.ObjectMissing, errors.UnexpectedStatus, errors.CardMalformed) as refused:
        why = f"the key in slot {item.spec.slot.text} cannot be used"
        raise errors.CardNotGenuine(why=why) from refused


def _sign_request(
    item: Wanted, hole: Hole, random: Callable[[int], bytes], *, agreement: bool
) -> Conversation[bytes]:
    spec = item.spec
    key = load_der_public_key(item.public_key)
    if isinstance(key, X25519PublicKey):
        holds = agrees(spec, key, hole, random) if agreement else shows(spec.slot, key)
        if not (yield from holds):
            raise errors.CardNotGenuine(why=f"the key in slot {spec.slot.text} is another one")
        return b""
    info = request_info(x509.Name.from_rfc4514_string(item.names.subject), item.public_key)
    signing = sign(spec.slot, spec.algorithm, to_be_signed(spec.algorithm, info))
    signature = yield from behind_pin(spec, hole, signing)
    return assemble_request(info, spec.algorithm, signature)


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


# --- certificate authorities ----------------------------------------------------------------------------


async def obtain(op: Operation, wanted: Sequence[Wanted], object_max: int) -> dict[Slot, CertificateRecord]:
    """Get every certificate, and note each outcome for the next commit.

    A request from before a cut is looked for first; the certificate authority is asked again under the same id
    only where it knows nothing of it. A certificate of old that does not fit any more (a person was renamed
    meanwhile) is revoked, and asked for anew. `object_max`: what an object of this card holds, in bytes.

    Raises:
        ConnectorRefused: a certificate authority will not issue; noted as refused.
        CertificateRejected: it returned something else than was asked for; revoked where it is for our key.
    """
    desk = _Desk(op, object_max)
    found: dict[Slot, CertificateRecord] = {}
    asked: dict[str, list[Wanted]] = {}
    renewed = False
    for item in wanted:
        match await desk.from_before(item):
            case CertificateRecord() as record:
                found[item.spec.slot] = record
            case now:
                asked.setdefault(item.spec.ca, []).append(now)
                renewed |= now is not item
    if renewed:
        await op.journal.commit()  # requests under new ids: stored before anybody is asked
    for connection, items in asked.items():
        found |= await desk.ask(connection, items)
    return found


class _Desk:
    """Ask certificate authorities for one card, and judge what comes back."""

    def __init__(self, op: Operation, object_max: int) -> None:
        self._op = op
        self._object_max = object_max

    async def from_before(self, item: Wanted) -> CertificateRecord | Wanted:
        """Return the certificate that was asked for before a cut; else what is to be asked for now."""
        if item.known is None:
            return item
        earlier: Outcome | None = (
            Issued(item.known.certificate)
            if item.known.certificate
            else await self._authority(item.spec.ca).find(self._request(item))
        )
        match earlier:
            case None:
                return item
            case Issued(certificate=certificate) if certificate in item.earlier:
                return item  # an authority that searches by key; nothing was signed for this request
            case Issued(certificate=certificate):
                try:
                    return await self._accept(item, certificate)
                except errors.CertificateRejected:
                    await self._disown(item, certificate)
            case Refused():
                self._note(item, CertificateState.REFUSED)
            case Pending():
                raise _waits(item)
        renewed = replace(item, request_id=RequestId(uuid4()), known=None)
        self._op.journal.note(intent(renewed))
        return renewed

    async def ask(self, connection: str, items: Sequence[Wanted]) -> dict[Slot, CertificateRecord]:
        """Ask for certificates together; every answer is noted before the first bad one is raised."""
        answers = await self._authority(connection).issue([self._request(item) for item in items])
        if len(answers) != len(items):
            raise errors.CertificateRejected(
                connection=connection, why=f"{len(answers)} answers to {len(items)} requests"
            )
        found: dict[Slot, CertificateRecord] = {}
        problems: list[errors.ConnectorError] = []
        for item, answer in zip(items, answers, strict=True):
            try:
                found[item.spec.slot] = await self._take(item, answer)
            except errors.ConnectorError as problem:
                problems.append(problem)
        if problems:
            raise problems[0]
        return found

    async def _take(self, item: Wanted, answer: Outcome) -> CertificateRecord:
        match answer:
            case Issued(certificate=certificate) if certificate in item.earlier:
                self._note(item, CertificateState.REFUSED)
                raise errors.CertificateRejected(
                    connection=item.spec.ca, why="it is the one that the key had before"
                )
            case Issued(certificate=certificate):
                try:
                    return await self._accept(item, certificate)
                except errors.CertificateRejected as rejected:
                    return await self._instead(item, certificate, rejected)
            case Refused(reason=reason):
                self._note(item, CertificateState.REFUSED)
                raise errors.ConnectorRefused(connection=item.spec.ca, reason=reason)
            case Pending():
                raise _waits(item)

    async def _accept(self, item: Wanted, certificate: bytes) -> CertificateRecord:
        """Note a certificate that is what was asked for.

        Raises:
            CertificateRejected: it is not, it lives too long, or it does not fit on the card.
        """
        names, connection = item.names, item.spec.ca
        required, allowed = check_names(upn=names.upn, mail=names.mail, card=names.card, fascn=names.fascn)
        check_certificate(
            certificate,
            connection=connection,
            public_key=item.public_key,
            subject=names.subject,
            trust=await self._authority(connection).trust(),
            now=self._op.services.clock.now(),
            usage=needed_usage(item.spec.slot, item.public_key),
            required=required,
            allowed=allowed,
            sid=names.sid,
            max_length=CERTIFICATE_MAX,
        )
        _check_end(certificate, connection, self._op.ends_at)
        try:
            CertificateContainer.fitting(certificate, object_max=self._object_max)
        except errors.CardFull as cause:
            why = f"{len(certificate)} bytes do not fit on the card"
            raise errors.CertificateRejected(connection=connection, why=why) from cause
        return self._note(item, CertificateState.ISSUED, certificate)

    async def _instead(
        self, item: Wanted, certificate: bytes, rejected: errors.CertificateRejected
    ) -> CertificateRecord:
        """Put a wrong answer away; where it is for another key (answers were mixed up), look for the right one."""
        if not _is_for(certificate, item.public_key):
            found = await self._authority(item.spec.ca).find(self._request(item))
            if isinstance(found, Issued) and _is_for(found.certificate, item.public_key):
                return await self._take(item, found)
        await self._disown(item, certificate)
        raise rejected

    async def _disown(self, item: Wanted, certificate: bytes) -> None:
        """Put away a certificate that must not reach the card; what is asked for next has another request id.

        One for our key is revoked. One for another key may be in use by somebody else and is left alone.

        Raises:
            ConnectorUnreachable: it cannot be revoked now; the request stays open, and it is found again.
        """
        state = CertificateState.REFUSED
        authority = self._authority(item.spec.ca)
        if _is_for(certificate, item.public_key) and isinstance(authority, CanRevoke):
            # an authority that did not sign it refuses to revoke it
            with suppress(errors.ConnectorRefused):
                await authority.revoke(certificate, Reason.SUPERSEDED)
                state = CertificateState.REVOKED
        self._note(item, state, certificate if state is CertificateState.REVOKED else b"")

    def _note(self, item: Wanted, state: CertificateState, certificate: bytes = b"") -> CertificateRecord:
        record = _record(item, state, certificate)
        self._op.journal.note(CertificateChanged(certificate=record))
        return record

    def _request(self, item: Wanted) -> SignRequest:
        return SignRequest(
            request_id=item.request_id,
            profile=item.spec.profile,
            names=item.names,
            public_key=item.public_key,
            request=item.request,
            not_after=self._not_after(item.spec),
        )

    def _not_after(self, spec: CertificateSpec) -> datetime:
        """Return when a certificate is to end: never after its credential."""
        end = self._op.services.clock.now() + timedelta(days=spec.days)
        return min(end, self._op.ends_at) if self._op.ends_at is not None else end

    def _authority(self, connection: str) -> CertificateAuthority:
        return self._op.services.authorities[connection]


def _waits(item: Wanted) -> errors.ConnectorRefused:
    return errors.ConnectorRefused(connection=item.spec.ca, reason="waits for an approval there")


def _check_end(certificate: bytes, connection: str, ends_at: datetime | None) -> None:
    """Refuse a certificate that outlives its temporary credential.

    Raises:
        CertificateRejected: it does.
    """
    if ends_at is not None and x509.load_der_x509_certificate(certificate).not_valid_after_utc > ends_at:
        raise errors.CertificateRejected(
            connection=connection, why="it is valid for longer than the credential"
        )


def _is_for(certificate: bytes, public_key: bytes) -> bool:
    try:
        key = x509.load_der_x509_certificate(certificate).public_key()
    except (ValueError, UnsupportedAlgorithm):
        return False
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo) == public_key


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
            earlier=frozenset(
                each.certificate
                for each in known.values()
                if each.public_key == keys[step.spec.slot] and each.request_id != step.reuse
            ),
        )
        for step in steps
        if isinstance(step, plan.Request)
    )
