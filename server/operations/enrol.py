"""Certificate requests: made by the card and checked here; what becomes of them is for `obtain`.

The request id is stored before the certificate authority is asked.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from uuid import uuid4

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey
from cryptography.hazmat.primitives.serialization import load_der_public_key

from server.operations.naming import asked_names
from server.operations.proof import agrees, behind_pin, shows
from server.ports.ca import Names
from server.ports.store import CertificateChanged
from shared import errors
from shared.credential import plan
from shared.credential.model import (
    CardRecord,
    CertificateRecord,
    CertificateState,
    RequestId,
)
from shared.credential.requests import assemble_request, request_info
from shared.credential.template import CertificateSpec
from shared.iso7816.apdu import Hole
from shared.iso7816.conversation import Conversation, together
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
    stays: bool = False
    """The key is in use: where no new certificate can be had, it keeps the one that it has."""
    earlier: frozenset[bytes] = frozenset()
    """Certificates (DER) that this key has had: an authority that searches by key must not pass one off as new."""


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
    subject = x509.Name.from_rfc4514_string(item.names.subject)
    info = request_info(subject, item.public_key, asked_names(item.names, item.spec.slot))
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
    return CertificateChanged(certificate=certificate_record(item, CertificateState.REQUESTED))


def certificate_record(item: Wanted, state: CertificateState, certificate: bytes = b"") -> CertificateRecord:
    """Return what the record says of a certificate that was asked for."""
    return CertificateRecord(
        request_id=item.request_id,
        slot=item.spec.slot,
        connection=item.spec.ca,
        profile=item.spec.profile,
        public_key=item.public_key,
        state=state,
        certificate=certificate,
    )


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
