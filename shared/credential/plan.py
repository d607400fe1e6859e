"""From what a card is to what it should be: `plan_issue(desired, observed) -> steps`; for a live card, see `replacement`.

Planning is pure. It looks at the card's own facts and at the record, and lists what is missing; a card that was
cut anywhere is planned again and gets just the rest. What carries steps out: `server.operations`.

What is *not* trusted: a key whose private half was never proven and which the card cannot show (no metadata) is
made again, unless a certificate was already issued for it; then a signature decides (`Request.reuse`). A key whose
certificate is to be revoked is made again too: an authority that looks for it by its key must not find a newer one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from shared.credential import lint
from shared.credential.model import (
    FACTORY,
    CardRecord,
    CertificateRecord,
    CertificateState,
    KeyState,
    RequestId,
    State,
)
from shared.credential.template import CertificateSpec, Template
from shared.piv.chuid import NO_EXPIRY
from shared.piv.ids import ManagementAlgorithm, Slot
from shared.piv.inspect import CardFacts
from shared.piv.publickey import PublicKey
from shared.relay import StepLine

LIVE: Final = frozenset({CertificateState.REQUESTED, CertificateState.ISSUED, CertificateState.CONFIRMED})
"""States in which there is a certificate at its authority, or may be one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Own:
    """Give the card a management key derived from master key `generation`; heals a change that was cut."""

    algorithm: ManagementAlgorithm
    generation: int

    @property
    def line(self) -> StepLine:
        """How it is told to people."""
        return StepLine(key="own", facts={"generation": self.generation})


@dataclass(frozen=True, slots=True, kw_only=True)
class SetRetries:
    """Set the retry counters; puts factory PIN and PUK in force, so only on a card that still has them."""

    pin_tries: int
    puk_tries: int

    @property
    def line(self) -> StepLine:
        """How it is told to people."""
        return StepLine(key="retries", facts={"pin": self.pin_tries, "puk": self.puk_tries})


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeRetries:
    """Set the retry counters of a card that is ours already: factory PIN and PUK are in force until the next steps."""

    pin_tries: int
    puk_tries: int

    @property
    def line(self) -> StepLine:
        """How it is told to people."""
        return StepLine(key="retries", facts={"pin": self.pin_tries, "puk": self.puk_tries})


@dataclass(frozen=True, slots=True)
class WriteChuid:
    """Write the CHUID; its GUID is the record id that the card's keys derive from."""

    @property
    def line(self) -> StepLine:
        """How it is told to people."""
        return StepLine(key="chuid")


@dataclass(frozen=True, slots=True)
class WriteCcc:
    """Write the card capability container."""

    @property
    def line(self) -> StepLine:
        """How it is told to people."""
        return StepLine(key="ccc")


@dataclass(frozen=True, slots=True, kw_only=True)
class Generate:
    """Make a key in a slot; destroys the one before."""

    spec: CertificateSpec

    @property
    def line(self) -> StepLine:
        """How it is told to people."""
        return StepLine(key="key", facts={"slot": self.spec.slot.text, "algorithm": self.spec.algorithm.text})


@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """Move a key that decrypts, and its certificate, to a slot for retired keys, so that its slot is free."""

    source: Slot
    destination: Slot

    @property
    def line(self) -> StepLine:
        """How it is told to people."""
        return StepLine(key="move", facts={"slot": self.source.text, "to": self.destination.text})


@dataclass(frozen=True, slots=True, kw_only=True)
class Keep:
    """Leave a key that decrypts where it is: it can be put nowhere else, and its loss was not accepted."""

    slot: Slot

    @property
    def line(self) -> StepLine:
        """How it is told to people."""
        return StepLine(key="keep", facts={"slot": self.slot.text})


@dataclass(frozen=True, slots=True, kw_only=True)
class Remove:
    """Delete the key and the certificate of a slot that the template does not have any more."""

    slot: Slot

    @property
    def line(self) -> StepLine:
        """How it is told to people."""
        return StepLine(key="delete", facts={"slot": self.slot.text})


@dataclass(frozen=True, slots=True)
class SetTransportPin:
    """Replace the PIN through the PUK by a random one that the station draws and forgets."""

    @property
    def line(self) -> StepLine:
        """How it is told to people."""
        return StepLine(key="pin")


@dataclass(frozen=True, slots=True)
class RotatePuk:
    """Replace the PUK, which was used (or is the factory's)."""

    @property
    def line(self) -> StepLine:
        """How it is told to people."""
        return StepLine(key="puk")


@dataclass(frozen=True, slots=True, kw_only=True)
class Revoke:
    """Revoke a certificate that will not be on the card, or look whether there is one for a request of old."""

    certificate: CertificateRecord

    @property
    def line(self) -> StepLine:
        """How it is told to people."""
        return StepLine(key="revoke", facts={"slot": self.certificate.slot.text})


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """Sign a certificate request on the card and ask the certificate authority.

    `reuse` is the request that was stored before a cut: asked again under the same id.
    """

    spec: CertificateSpec
    reuse: RequestId | None = None

    @property
    def line(self) -> StepLine:
        """How it is told to people."""
        return StepLine(key="request", facts={"slot": self.spec.slot.text, "profile": self.spec.profile})


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteCertificate:
    """Write a slot's certificate."""

    slot: Slot

    @property
    def line(self) -> StepLine:
        """How it is told to people."""
        return StepLine(key="certificate", facts={"slot": self.slot.text})


@dataclass(frozen=True, slots=True)
class WriteSecurityObject:
    """Write the signed hashes of the other objects."""

    @property
    def line(self) -> StepLine:
        """How it is told to people."""
        return StepLine(key="security-object")


@dataclass(frozen=True, slots=True)
class ReadBack:
    """Reset, read everything, compare, prove that each key matches its certificate."""

    @property
    def line(self) -> StepLine:
        """How it is told to people."""
        return StepLine(key="read-back")


Step = (
    Own
    | SetRetries
    | ChangeRetries
    | WriteChuid
    | WriteCcc
    | Generate
    | Move
    | Keep
    | Remove
    | SetTransportPin
    | RotatePuk
    | Revoke
    | Request
    | WriteCertificate
    | WriteSecurityObject
    | ReadBack
)


def plan_issue(
    *, template: Template, generation: int, facts: CardFacts, record: CardRecord | None
) -> tuple[Step, ...]:
    """Return the steps that bring this card to a freshly issued credential, in their order.

    `generation` is the newest master key's. The template must have passed `lint.check_card`.
    """
    # the CHUID tells the end of the last credential, or of none
    stale = record is not None and record.state is State.RETIRED
    stale = stale or (facts.chuid is not None and facts.chuid.expires == NO_EXPIRY)
    steps = _owning(template, generation, facts, record, stale=stale)
    requests: list[Request] = []
    for spec in template.certificates:
        if _key_holds(spec, facts, record):
            certificate = _certificate_for(spec, record)
            requests.append(Request(spec=spec, reuse=certificate.request_id if certificate else None))
        else:
            steps.append(Generate(spec=spec))
            requests.append(Request(spec=spec))
    steps += [*_other_retries(template, facts, record), SetTransportPin(), RotatePuk()]
    steps += [*_lost(record, requests), *requests]
    steps += [WriteCertificate(slot=spec.slot) for spec in template.certificates]
    steps += [WriteSecurityObject(), ReadBack()]
    return tuple(steps)


def plan_register(
    *, template: Template | None, generation: int, facts: CardFacts, record: CardRecord | None
) -> tuple[Step, ...]:
    """Return the steps that make this card ours and leave it empty, in their order; see `plan_issue`."""
    owning = _owning(template, generation, facts, record, stale=False)
    return (*owning, SetTransportPin(), RotatePuk(), ReadBack())


def _owning(
    template: Template | None, generation: int, facts: CardFacts, record: CardRecord | None, *, stale: bool
) -> list[Step]:
    """Return what makes the card ours and says which one it is; `stale` is a CHUID to be written anew."""
    steps: list[Step] = []
    algorithm = lint.management_algorithm(template, facts.profile)
    if record is not None and not _is_factory(record):
        algorithm = record.management_algorithm  # a card of ours keeps it
    if record is None or _needs_key(record, generation):
        steps.append(Own(algorithm=algorithm, generation=generation))
    wanted = _tries(template)
    if _is_factory(record) and wanted is not None:
        steps.append(SetRetries(pin_tries=wanted[0], puk_tries=wanted[1]))
    if record is None or stale or facts.chuid is None or facts.chuid.guid != record.record_id:
        steps.append(WriteChuid())
    if _is_factory(record) or facts.ccc is None:
        steps.append(WriteCcc())
    return steps


def _is_factory(record: CardRecord | None) -> bool:
    """Whether the card was never proven to be ours."""
    return record is None or record.management_key.proven in {None, FACTORY}


def _other_retries(template: Template, facts: CardFacts, record: CardRecord | None) -> list[Step]:
    """Return what gives a card of ours the template's retry counters; a card that does not tell its own gets them."""
    wanted = _tries(template)
    if wanted is None or _is_factory(record) or wanted == (facts.pin.tries_total, facts.puk.tries_total):
        return []
    return [ChangeRetries(pin_tries=wanted[0], puk_tries=wanted[1])]


def _tries(template: Template | None) -> tuple[int, int] | None:
    """Return the retry counters that a template wants for PIN and PUK; None where the card keeps its own."""
    if template is None or template.pin.tries is None or template.pin.puk_tries is None:
        return None
    return template.pin.tries, template.pin.puk_tries


def _lost(record: CardRecord | None, requests: Sequence[Request]) -> list[Revoke]:
    """Return what is to be revoked: every certificate, or request without an answer, that is not gone on with.

    The record of the certificates decides, not that of the keys: a key that is made anew has forgotten the one before.
    What is on its way to be revoked does not wait for this card.
    """
    if record is None:
        return []
    kept = {request.reuse for request in requests} | record.revoking
    return [
        Revoke(certificate=certificate)
        for certificate in record.certificates
        if certificate.state in LIVE and certificate.request_id not in kept
    ]


def _needs_key(record: CardRecord, generation: int) -> bool:
    """Whether the management key has to be set, or a change of it was cut."""
    secret = record.management_key
    return secret.pending is not None or secret.proven is None or secret.proven.generation != generation


def _key_holds(spec: CertificateSpec, facts: CardFacts, record: CardRecord | None) -> bool:
    """Whether the key that the record has for this slot is the one to go on with."""
    key = record.keys.get(spec.slot) if record else None
    if record is None or key is None or key.state is KeyState.INTENDED or key.algorithm is not spec.algorithm:
        return False
    if any(
        each.public_key == key.public_key and each.request_id in record.revoking
        for each in record.certificates
    ):
        return False
    if facts.answers.metadata and spec.slot in facts.slots:
        shown = facts.slots[spec.slot].metadata
        if shown is None:
            return False  # the slot is empty
        if shown.public_key is not None:
            return der(shown.public_key) == key.public_key
    certificate = _certificate_for(spec, record)
    return key.state is KeyState.PROVEN or certificate is not None


def der(public_key: PublicKey) -> bytes:
    """Return a public key as DER SubjectPublicKeyInfo, the form in which the record keeps it."""
    return public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _certificate_for(spec: CertificateSpec, record: CardRecord | None) -> CertificateRecord | None:
    """Return the certificate (or request) of the key that the record has for this slot."""
    key = record.keys.get(spec.slot) if record else None
    if record is None or key is None or not key.public_key:
        return None
    for certificate in record.certificates:
        if (
            certificate.slot is spec.slot
            and certificate.public_key == key.public_key
            and certificate.state in LIVE
            and certificate.request_id not in record.revoking
            and certificate.connection == spec.ca
            and certificate.profile == spec.profile
        ):
            return certificate
    return None
