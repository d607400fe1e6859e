"""What tells a card from a template: slots, keys, objects, counters, management key.

Pure, as `drift`, and of the same trust: it compares what was seen of a card. A certificate's subject and days of
validity are the holder's and the moment's, not the template's, and are left out.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum, unique
from typing import Final

from shared.credential import lint
from shared.credential.drift import RECORDED, UNREADABLE
from shared.credential.model import CardRecord
from shared.credential.sight import Sight, SlotSight, digest
from shared.credential.template import CertificateSpec, Template
from shared.piv.data import object_name
from shared.piv.ids import (
    Algorithm,
    ManagementAlgorithm,
    ObjectId,
    PinPolicyId,
    ProfileName,
    Slot,
    TouchPolicyId,
)
from shared.piv.profiles import PROFILES

IDENTITY: Final = (ObjectId.CHUID, ObjectId.CCC, ObjectId.SECURITY)
"""The objects that every credential has, whatever its template."""

DESCRIBED: Final = frozenset(ProfileName) - {ProfileName.PLAIN, ProfileName.UNKNOWN}
"""Products that are known by their name; what others can do was found out by asking them."""

PRESENT: Final = "present"


@unique
class Aspect(StrEnum):
    """What is compared; the values are stable keys for words and programs."""

    VERSION = "version"
    """The version of the template that the card was issued by, and the newest."""
    MANAGEMENT_KEY = "management-key"
    """The algorithm of the management key."""
    KEY = "key"
    """The algorithm of the key in a slot."""
    PIN_POLICY = "pin-policy"
    """When the key wants the PIN."""
    TOUCH_POLICY = "touch-policy"
    """When the key wants a touch."""
    CERTIFICATE = "certificate"
    """The certificate in a slot: the certificate authority and its profile, as far as the record knows it."""
    OBJECT = "object"
    """A data object."""
    PIN_TRIES = "pin-tries"
    """How many tries the PIN has in all."""
    PUK_TRIES = "puk-tries"
    """How many tries the PUK has in all."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One line: `expected` is the template's, `found` the card's; empty where there is none.

    `told` is false where the card was not asked or does not tell: nothing is known then.
    """

    aspect: str
    subject: str = ""
    expected: str = ""
    found: str = ""
    told: bool = True

    @property
    def sign(self) -> str:
        """`-` for what only the template has, `+` for what only the card has, `~` for both, `?` for not known."""
        if not self.told:
            return "?"
        if bool(self.expected) == bool(self.found):
            return "~"
        return "-" if self.expected else "+"


def difference(
    template: Template, version: int, *, profile: str, sight: Sight, record: CardRecord | None
) -> tuple[Difference, ...]:
    """Compare a card with `version` of a template; nothing where they agree. `record` is the card's, if it has one."""
    return tuple(_Comparison(template, version, profile, sight, record).all())


class _Comparison:
    """One template beside one sight."""

    def __init__(
        self, template: Template, version: int, profile: str, sight: Sight, record: CardRecord | None
    ) -> None:
        self._template = template
        self._version = version
        self._profile = profile
        self._sight = sight
        self._record = record

    def all(self) -> Iterator[Difference]:
        """Yield every difference, in the order of a template."""
        yield from self._versions()
        yield from self._management()
        yield from self._tries()
        wanted = {spec.slot: spec for spec in self._template.certificates}
        for slot, spec in wanted.items():
            seen = self._sight.slots.get(slot)
            if seen is None:
                yield Difference(
                    aspect=Aspect.CERTIFICATE, subject=slot.text, expected=_source(spec), told=False
                )
            else:
                yield from self._key(spec, seen)
                yield from self._certificate(spec, seen)
        for slot, seen in self._sight.slots.items():
            if slot not in wanted:
                yield from self._not_wanted(slot, seen)
        for object_id in IDENTITY:
            if object_id not in self._sight.objects:
                yield Difference(aspect=Aspect.OBJECT, subject=object_name(object_id), expected=PRESENT)

    def _versions(self) -> Iterator[Difference]:
        credential = self._record.credential if self._record is not None else None
        if credential is None or credential.template.name != self._template.name:
            return
        if credential.template.version != self._version:
            yield Difference(
                aspect=Aspect.VERSION,
                subject=self._template.name,
                expected=str(self._version),
                found=str(credential.template.version),
            )

    def _management(self) -> Iterator[Difference]:
        expected, found = self._wanted_management(), self._sight.management.algorithm
        if expected is not None and expected is not found:
            yield Difference(
                aspect=Aspect.MANAGEMENT_KEY,
                expected=expected.name,
                found=found.name if found is not None else "",
                told=found is not None,
            )

    def _wanted_management(self) -> ManagementAlgorithm | None:
        """Return the algorithm that a new card would get; None for the best of a card of unknown make."""
        if self._template.management_key.algorithm is None and self._profile not in DESCRIBED:
            return None
        profile = PROFILES[ProfileName(self._profile) if self._profile in DESCRIBED else ProfileName.UNKNOWN]
        return lint.management_algorithm(self._template, profile)

    def _tries(self) -> Iterator[Difference]:
        wanted = self._template.pin
        for aspect, expected, found in (
            (Aspect.PIN_TRIES, wanted.tries, self._sight.pin.tries_total),
            (Aspect.PUK_TRIES, wanted.puk_tries, self._sight.puk.tries_total),
        ):
            if expected is not None and expected != found:
                yield Difference(
                    aspect=aspect,
                    expected=str(expected),
                    found=str(found) if found is not None else "",
                    told=found is not None,
                )

    def _key(self, spec: CertificateSpec, seen: SlotSight) -> Iterator[Difference]:
        subject, expected = spec.slot.text, spec.algorithm.text
        if not self._sight.metadata:
            if seen.algorithm is not spec.algorithm:
                # a certificate tells which kind of key belongs to it
                found = seen.algorithm.text if seen.algorithm is not None else ""
                yield Difference(
                    aspect=Aspect.KEY, subject=subject, expected=expected, found=found, told=bool(found)
                )
            return
        if seen.key is None:
            yield Difference(aspect=Aspect.KEY, subject=subject, expected=expected)
            return
        if seen.key.algorithm is not spec.algorithm:
            yield Difference(
                aspect=Aspect.KEY, subject=subject, expected=expected, found=_kind(seen.key.algorithm)
            )
        policies = (
            (Aspect.PIN_POLICY, _pin_policy(spec), seen.key.pin_policy),
            (Aspect.TOUCH_POLICY, _touch_policy(spec), seen.key.touch_policy),
        )
        for aspect, wanted, held in policies:
            if wanted is not held:
                yield Difference(
                    aspect=aspect, subject=subject, expected=wanted.name.lower(), found=held.name.lower()
                )

    def _certificate(self, spec: CertificateSpec, seen: SlotSight) -> Iterator[Difference]:
        expected, found = _source(spec), self._found_in(spec.slot, seen)
        if found not in {expected, PRESENT}:
            yield Difference(
                aspect=Aspect.CERTIFICATE, subject=spec.slot.text, expected=expected, found=found
            )
        elif found == PRESENT:
            yield Difference(aspect=Aspect.CERTIFICATE, subject=spec.slot.text, expected=expected, told=False)

    def _found_in(self, slot: Slot, seen: SlotSight) -> str:
        """Return what the record says of the certificate in a slot; `PRESENT` where it says nothing."""
        if not seen.certificate:
            return UNREADABLE if slot.certificate_object in self._sight.objects else ""
        for each in self._record.certificates if self._record is not None else ():
            if each.slot is slot and each.state in RECORDED and digest(each.certificate) == seen.certificate:
                return f"{each.connection} {each.profile}"
        return PRESENT

    def _not_wanted(self, slot: Slot, seen: SlotSight) -> Iterator[Difference]:
        if seen.key is not None:
            yield Difference(aspect=Aspect.KEY, subject=slot.text, found=_kind(seen.key.algorithm))
        found = self._found_in(slot, seen)
        if found:
            yield Difference(aspect=Aspect.CERTIFICATE, subject=slot.text, found=found)


def _source(spec: CertificateSpec) -> str:
    return f"{spec.ca} {spec.profile}"


def _kind(algorithm: Algorithm | None) -> str:
    return algorithm.text if algorithm is not None else UNREADABLE


def _pin_policy(spec: CertificateSpec) -> PinPolicyId:
    """Return when a key wants the PIN; a card has resolved the default ([SP 800-73-5] part 1, table 5)."""
    if spec.pin_policy is not PinPolicyId.DEFAULT:
        return spec.pin_policy
    usual = {Slot.SIGNATURE: PinPolicyId.ALWAYS, Slot.CARD_AUTHENTICATION: PinPolicyId.NEVER}
    return usual.get(spec.slot, PinPolicyId.ONCE)


def _touch_policy(spec: CertificateSpec) -> TouchPolicyId:
    return TouchPolicyId.NEVER if spec.touch_policy is TouchPolicyId.DEFAULT else spec.touch_policy
