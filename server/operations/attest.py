"""Attestation: where a template asks for it, a key that the card's vendor does not vouch for gets no certificate.

Source: card-rules, "Attestation"; Yubico, "PIV attestation".
"""

from collections.abc import Mapping, Sequence
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_der_public_key

from server.operations.operation import Operation
from shared import errors
from shared.credential.template import CertificateSpec, Template
from shared.iso7816.conversation import Conversation, together
from shared.piv.attestation import Attestation, Trust, verify_attestation
from shared.piv.ids import PinPolicyId, Slot, TouchPolicyId
from shared.piv.inspect import CardFacts
from shared.piv.keys import attest


def trust_for(op: Operation, template: Template) -> Trust:
    """Return the vendor roots that a template trusts; lab roots count on lab stations only.

    Raises:
        TemplateImpossible: the administrator put no root of this name in place.
    """
    services = op.services
    known = dict(services.attestation_roots)
    if op.caller.lab and services.allow_virtual:
        known |= services.lab_roots
    missing = [name for name in template.attestation.roots if name not in known]
    if missing:
        raise errors.TemplateImpossible(template=template.name, why=f"no attestation root {missing[0]}")
    return Trust(
        roots=tuple(x509.load_der_x509_certificate(known[name]) for name in template.attestation.roots),
        intermediates=tuple(
            x509.load_der_x509_certificate(between) for between in services.attestation_intermediates
        ),
    )


def attestations(template: Template) -> Conversation[Mapping[Slot, bytes] | errors.CardError]:
    """Have the card attest every key of the template; nothing where none is asked for.

    A card that will not attest a key (it is not one that it made) ends the conversation with its error as the value,
    so that what went before it in the batch is not lost.
    """
    if not template.attestation.required:
        return {}
    slots = [spec.slot for spec in template.certificates]
    try:
        statements: Sequence[Any] = yield from together(*(attest(slot) for slot in slots))
    except (errors.ObjectMissing, errors.NotSupportedByCard, errors.UnexpectedStatus) as refused:
        return refused
    return dict(zip(slots, statements, strict=True))


def check_attestations(
    op: Operation,
    template: Template,
    facts: CardFacts,
    keys: Mapping[Slot, bytes],
    stated: Mapping[Slot, bytes] | errors.CardError,
) -> Mapping[Slot, TouchPolicyId]:
    """Check what the card attested; `keys` are public keys (DER) by slot. Return the touch policies that are vouched for.

    Raises:
        CardNotGenuine: the vendor does not vouch for a key, or it has other policies than the template asks for.
    """
    if not template.attestation.required:
        return {}
    if isinstance(stated, errors.CardError):
        raise errors.CardNotGenuine(why="it did not make one of its keys itself") from stated
    own = facts.attestation_certificate
    if own is None:
        raise errors.CardNotGenuine(why="the card shows no attestation certificate")
    trust = trust_for(op, template)
    serial = op.record.serial if op.record is not None else facts.serial
    touch: dict[Slot, TouchPolicyId] = {}
    for spec in template.certificates:
        vouched = verify_attestation(
            stated[spec.slot],
            own,
            trust,
            public_key=load_der_public_key(keys[spec.slot]),  # type: ignore[arg-type]  # kinds of slot keys only
            at=op.services.clock.now(),
            serial=serial,
        )
        _check_policies(spec, vouched)
        touch[spec.slot] = vouched.touch_policy
    return touch


def _check_policies(spec: CertificateSpec, vouched: Attestation) -> None:
    """Compare policies; where the template says nothing, the slot's own are meant."""
    if vouched.pin_policy is not _pin_policy(spec):
        raise errors.CardNotGenuine(why=f"the key in slot {spec.slot.text} has another PIN policy")
    if vouched.touch_policy is not (spec.touch_policy or TouchPolicyId.NEVER):
        raise errors.CardNotGenuine(why=f"the key in slot {spec.slot.text} has another touch policy")


def _pin_policy(spec: CertificateSpec) -> PinPolicyId:
    """Return when a key is to want the PIN; [SP 800-73-5] part 1, table 5, where the template says nothing."""
    slot_policy = {Slot.SIGNATURE: PinPolicyId.ALWAYS, Slot.CARD_AUTHENTICATION: PinPolicyId.NEVER}
    return spec.pin_policy or slot_policy.get(spec.slot, PinPolicyId.ONCE)
