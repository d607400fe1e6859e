"""The data objects of a card: what identifies it, and the issuer's signatures over them.

Source: [SP 800-73-5] part 1, sections 3.1.1 (CCC), 3.1.2 (CHUID), 3.1.7 (Security Object).
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Final

from cryptography import x509

from server.operations.operation import Operation
from server.ports.store import AuditKind
from shared import errors
from shared.credential import plan
from shared.credential.model import RecordId
from shared.piv import cms
from shared.piv.ccc import Ccc
from shared.piv.certificate import CertificateContainer
from shared.piv.chuid import Chuid
from shared.piv.fascn import FascN
from shared.piv.ids import ObjectId, Slot
from shared.piv.inspect import CardFacts
from shared.piv.key_history import KeyHistory
from shared.piv.security_object import GROUPS_MAX, Digests

FASCN: Final = FascN()
"""The FASC-N of issuers outside the federal government: all nines; the GUID tells cards apart ([FIPS 201-3] 4.2.1)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class IdentityObjects:
    """What the card says it is: the contents of CHUID and CCC as they are to be on the card."""

    chuid: bytes
    ccc: bytes


def only_ours(op: Operation, record_id: RecordId, facts: CardFacts) -> CardFacts:
    """Return what a card says of itself without a CHUID or CCC that we did not make for it: they are made again.

    A station may claim that anything is on the card, and the Security Object would vouch for it.
    """
    chuid, ccc = facts.chuid, facts.ccc
    if chuid is not None and not _signed_by_us(op, chuid):
        chuid = None
    if ccc is not None and facts.objects.get(ObjectId.CCC) != _ccc(record_id):
        ccc = None
    return replace(facts, chuid=chuid, ccc=ccc)


def _signed_by_us(op: Operation, chuid: Chuid) -> bool:
    try:
        cms.verify(
            chuid.signature,
            content_type=cms.CHUID_CONTENT,
            content=chuid.signed_content,
            certificate=_signer(op),
        )
    except errors.CardMalformed:
        return False
    # what stands before the signed part is no issuer's word
    return not chuid.buffer_length and chuid.fasc_n == FASCN


def _ccc(record_id: RecordId) -> bytes:
    return bytes(Ccc(card_id=record_id.bytes[:14]))


async def identity_objects(
    op: Operation, record_id: RecordId, steps: Sequence[plan.Step], facts: CardFacts, expires: date
) -> IdentityObjects:
    """Make the objects that the plan writes; keep those that are on the card already."""
    chuid, ccc = facts.objects.get(ObjectId.CHUID), facts.objects.get(ObjectId.CCC)
    if chuid is None or any(isinstance(step, plan.WriteChuid) for step in steps):
        chuid = await _chuid(op, record_id, expires)
    if ccc is None or any(isinstance(step, plan.WriteCcc) for step in steps):
        ccc = _ccc(record_id)
    return IdentityObjects(chuid=chuid, ccc=ccc)


async def _chuid(op: Operation, record_id: RecordId, expires: date) -> bytes:
    """Make a CHUID with the issuer's signature; its GUID is the record id."""
    chuid = Chuid(fasc_n=FASCN, guid=record_id, expires=expires)
    certificate = _signer(op)
    content = chuid.signed_content
    text = cms.to_be_signed(content_type=cms.CHUID_CONTENT, content=content, certificate=certificate)
    signed = cms.assemble(
        content_type=cms.CHUID_CONTENT,
        content=content,
        certificate=certificate,
        signature=await _sign(op, record_id, text, "chuid"),
        detached=True,
        with_certificate=True,
    )
    return bytes(chuid.with_signature(signed))


async def credential_objects(
    op: Operation,
    record_id: RecordId,
    identity: IdentityObjects,
    certificates: Mapping[Slot, bytes],
    object_max: int,
    *,
    history: KeyHistory | None = None,
) -> dict[ObjectId, bytes]:
    """Return the certificates' containers and the Security Object over everything, as they are to be written.

    `history` is told where keys were retired.

    The Security Object has room for sixteen objects: CHUID and CCC, the certificates of the primary slots, and as many
    of the retired ones as are left; certificates are signed themselves.
    """
    objects = {
        slot.certificate_object: bytes(CertificateContainer.fitting(certificate, object_max=object_max))
        for slot, certificate in sorted(certificates.items(), key=lambda item: (item[0].retired, item[0]))
    }
    if history is not None:
        objects = {ObjectId.KEY_HISTORY: bytes(history), **objects}
    covered = {ObjectId.CHUID: identity.chuid, ObjectId.CCC: identity.ccc, **objects}
    digests = Digests(objects=dict(itertools.islice(covered.items(), GROUPS_MAX)), certificate=_signer(op))
    signature = await _sign(op, record_id, digests.to_be_signed(), "security-object")
    return {**objects, ObjectId.SECURITY: bytes(digests.assemble(signature))}


async def _sign(op: Operation, record_id: RecordId, text: bytes, what: str) -> bytes:
    signer = op.services.signer
    op.journal.evidence(AuditKind.KEY_USED, "signed", record_id, key=signer.key, what=what)
    return await op.services.keystore.sign(signer.key, text)


def _signer(op: Operation) -> x509.Certificate:
    return x509.load_der_x509_certificate(op.services.signer.certificate)
