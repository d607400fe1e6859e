"""Attestation: where a template asks for it, a key that the card's vendor does not vouch for gets no certificate.

Source: card-rules, "Attestation"; Yubico, "PIV attestation".
"""

from collections.abc import Mapping

from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_der_public_key

from server.operations.operation import Operation
from shared import errors
from shared.credential.template import CertificateSpec, Template
from shared.iso7816.conversation import Conversation, together
from shared.piv.attestation import Trust, verify_attestation
from shared.piv.ids import PinPolicyId, Slot, TouchPolicyId
from shared.piv.inspect import CardFacts
from shared.piv.keys import attest
from shared.piv.publickey import PublicKey


def trust_for(op: Operation, template: Template) -> Trust:
    """Return the vendor roots that a template trusts; lab roots count on lab stations only.

    Raises:
        TemplateImpossible: the administrator put no root of this name in place.
    """
    known = dict(op.services.attestation_roots)
    if op.caller.lab and op.services.allow_virtual:
        known |= op.services.lab_roots
    missing = [name for name in template.attestation.roots if name not in known]
    if missing:
        raise errors.TemplateImpossible(template=template.name, why=f"no attestation root {missing[0]}")
    roots = tuple(x509.load_der_x509_certificate(known[name]) for name in template.attestation.roots)
    return Trust(roots=roots)


def check_attestations(
    op: Operation, template: Template, facts: CardFacts, keys: Mapping[Slot, bytes]
) -> Conversation[None]:
    """Have the card attest every key of the template that it made, and check it; nothing where none is asked for.

    `keys` are public keys (DER) by slot.

    Raises:
        CardNotGenuine: the vendor does not vouch for a key, or it has other policies than the template asks for.
    """
    if not template.attestation.required:
        return
    own = facts.attestation_certificate
    if own is None:
        raise errors.CardNotGenuine(why="the card shows no attestation certificate")
    trust = trust_for(op, template)
    specs = template.certificates
    statements = yield from together(*(attest(spec.slot) for spec in specs))
    for spec, statement in zip(specs, statements, strict=True):
        _check(op, spec, statement, own, trust, facts.serial, load_der_public_key(keys[spec.slot]))  # type: ignore[arg-type]  # kinds of slot keys only


def _check(
    op: Operation,
    spec: CertificateSpec,
    statement: bytes,
    own: bytes,
    trust: Trust,
    serial: int | None,
    key: PublicKey,
) -> None:
    vouched = verify_attestation(
        statement, own, trust, public_key=key, at=op.services.clock.now(), serial=serial
    )
    if spec.pin_policy is not PinPolicyId.DEFAULT and vouched.pin_policy is not spec.pin_policy:
        raise errors.CardNotGenuine(why=f"the key in slot {spec.slot.text} has another PIN policy")
    if spec.touch_policy is not TouchPolicyId.DEFAULT and vouched.touch_policy is not spec.touch_policy:
        raise errors.CardNotGenuine(why=f"the key in slot {spec.slot.text} has another touch policy")
