"""Certificates from certificate authorities: asked for together, looked for after a cut, judged before a card sees them.

Whatever an authority returned, at once or when it was looked for later, becomes a certificate of the record only in
`_Desk._accept`: no other code makes one, and only what the record has is written to a card.

Source: card-rules, "Certificate authorities".
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final
from uuid import uuid4

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from server.operations.decide import revocation
from server.operations.enrol import Wanted, certificate_record, intent
from server.operations.operation import Operation
from server.ports.ca import (
    CanRevoke,
    CertificateAuthority,
    Issued,
    Outcome,
    Pending,
    Reason,
    Refused,
    SignRequest,
    Unanswered,
    Unfit,
)
from server.ports.store import CertificateChanged, CertificateTaskAsked
from shared import errors
from shared.credential.certificates import check_certificate, check_names, needed_usage
from shared.credential.model import CertificateRecord, CertificateState, RequestId
from shared.credential.template import CertificateSpec
from shared.piv.certificate import CERTIFICATE_MAX, CertificateContainer
from shared.piv.ids import Slot

ROUNDED_UP: Final = timedelta(days=1)
"""How much longer than asked a certificate may live: some authorities count in whole days, by their own clock."""


async def obtain(op: Operation, wanted: Sequence[Wanted], object_max: int) -> dict[Slot, CertificateRecord]:
    """Get every certificate, and note each outcome for the next commit.

    A request from before a cut is looked for first; the certificate authority is asked again under the same id
    only where it knows nothing of it. A certificate of old that does not fit any more (a person was renamed
    meanwhile) is revoked, and asked for anew. `object_max`: what an object of this card holds, in bytes.

    Returns:
        Every certificate but those for keys in use (`Wanted.stays`) whose answer was lost where nobody can look for it: such
        a key is never sent again, its request is on the list of tasks, and what it has stays.

    Raises:
        ConnectorRefused: a certificate authority will not issue; noted as refused.
        CertificatePending: it wants time, or a person; noted by what it is asked again.
        CertificateRejected: it returned something else than was asked for; revoked where it is for our key.
    """
    desk = _Desk(op, object_max)
    found: dict[Slot, CertificateRecord] = {}
    asked: dict[str, list[Wanted]] = {}
    renewed = False
    waits: list[errors.ConnectorError] = []
    for item in wanted:
        try:
            settled = await desk.from_before(item)
        except errors.ConnectorError as wait:
            waits.append(wait)  # the others are looked for all the same: each may have been granted meanwhile
            continue
        match settled:
            case CertificateRecord() as record:
                found[item.spec.slot] = record
            case now:
                asked.setdefault(item.spec.ca, []).append(now)
                renewed |= now is not item
    if waits:
        raise _first(waits)
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
        known = item.known
        if known is None:
            return item
        if known.certificate:
            return await self._settle(item, Issued(known.certificate))
        authority = self._authority(item.spec.ca)
        assert known.reference or authority.abilities.find, "planned without what nobody can look for"
        return await self._settle(item, await authority.find(self._request(item)))

    async def _settle(self, item: Wanted, earlier: Outcome | None) -> CertificateRecord | Wanted:
        """Take what became of an earlier request, or return what is to be asked for in its place."""
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
            case Unfit(why=why, certificate=b""):
                self._leave_open(item)
                raise errors.CertificateRejected(connection=item.spec.ca, why=why)
            case Unfit(certificate=certificate):
                await self._disown(item, certificate)
            case Refused():
                self._note(item, CertificateState.REFUSED)
            case Unanswered(reason=reason):
                raise errors.ConnectorUnreachable(connection=item.spec.ca, reason=reason)
            case Pending(reference=reference):
                raise self._waits(item, reference)
        return self._anew(item)

    def _anew(self, item: Wanted) -> Wanted:
        """Return the same wish under another request id."""
        renewed = replace(item, request_id=RequestId(uuid4()), known=None)
        self._op.journal.note(intent(renewed))
        return renewed

    def _leave_open(self, item: Wanted) -> None:
        """Put a request on the list of tasks: there may be a certificate that nobody has seen, to be found and revoked.

        Its key is never sent again: from now on the record says that it is to be revoked.
        """
        lease = self._op.journal.lease
        assert lease is not None
        asked = certificate_record(item, CertificateState.REQUESTED)
        task = revocation(lease.record_id, asked, Reason.SUPERSEDED, self._op.services.clock.now())
        self._op.journal.note(CertificateTaskAsked(task=task))

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
            if isinstance(answer, Unanswered) and item.stays and not self._finds(item):
                self._leave_open(item)
                continue
            try:
                found[item.spec.slot] = await self._take(item, answer)
            except errors.ConnectorError as problem:
                problems.append(problem)
        if problems:
            raise _first(problems)
        return found

    def _finds(self, item: Wanted) -> bool:
        return self._authority(item.spec.ca).abilities.find

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
            case Unfit(why=why, certificate=certificate):
                unfit = errors.CertificateRejected(connection=item.spec.ca, why=why)
                return await self._instead(item, certificate, unfit)
            case Unanswered(reason=reason):
                raise errors.ConnectorUnreachable(connection=item.spec.ca, reason=reason)
            case Pending(reference=reference):
                raise self._waits(item, reference)

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
        self._check_end(item, certificate)
        try:
            CertificateContainer.fitting(certificate, object_max=self._object_max)
        except errors.CardFull as cause:
            why = f"{len(certificate)} bytes do not fit on the card"
            raise errors.CertificateRejected(connection=connection, why=why) from cause
        return self._note(item, CertificateState.ISSUED, certificate)

    async def _instead(
        self, item: Wanted, certificate: bytes, rejected: errors.CertificateRejected
    ) -> CertificateRecord:
        """Put a wrong answer away; where it is for another key (answers were mixed up), look for the right one.

        What nobody can look for, or what cannot be read there either, is left to an administrator.
        """
        if not _is_for(certificate, item.public_key):
            authority = self._authority(item.spec.ca)
            found = await authority.find(self._request(item)) if authority.abilities.find else Unfit("")
            if isinstance(found, Issued) and _is_for(found.certificate, item.public_key):
                return await self._take(item, found)
            if isinstance(found, Unfit):
                self._leave_open(item)
                raise rejected
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

    def _check_end(self, item: Wanted, certificate: bytes) -> None:
        """Refuse a certificate that lives longer than was asked, or outlives its temporary credential.

        Raises:
            CertificateRejected: it does.
        """
        end = x509.load_der_x509_certificate(certificate).not_valid_after_utc
        why = ""
        if end > self._not_after(item.spec) + ROUNDED_UP:
            why = f"it is valid for longer than the {item.spec.days} days that were asked for"
        if self._op.ends_at is not None and end > self._op.ends_at:
            why = "it is valid for longer than the credential"
        if why:
            raise errors.CertificateRejected(connection=item.spec.ca, why=why)

    def _waits(self, item: Wanted, reference: str) -> errors.CertificatePending:
        """Note by what a request is asked for again, and return what the operator is told."""
        known = certificate_record(item, CertificateState.REQUESTED)
        self._op.journal.note(CertificateChanged(certificate=replace(known, reference=reference)))
        return errors.CertificatePending(connection=item.spec.ca)

    def _note(self, item: Wanted, state: CertificateState, certificate: bytes = b"") -> CertificateRecord:
        record = certificate_record(item, state, certificate)
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
            reference=item.known.reference if item.known else "",
        )

    def _not_after(self, spec: CertificateSpec) -> datetime:
        """Return when a certificate is to end: never after its credential."""
        end = self._op.services.clock.now() + timedelta(days=spec.days)
        return min(end, self._op.ends_at) if self._op.ends_at is not None else end

    def _authority(self, connection: str) -> CertificateAuthority:
        return self._op.services.authorities[connection]


def _first(problems: Sequence[errors.ConnectorError]) -> errors.ConnectorError:
    """Return what is told of several problems: what failed, before what only waits."""
    return next((each for each in problems if not isinstance(each, errors.CertificatePending)), problems[0])


def _is_for(certificate: bytes, public_key: bytes) -> bool:
    try:
        key = x509.load_der_x509_certificate(certificate).public_key()
    except (ValueError, UnsupportedAlgorithm):
        return False
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo) == public_key
