"""What products and versions can do, as data.

Asked before a command is sent, and by the template check before any card is touched. Which profile a card has is
found out by asking it: an applet is what it answers, not what its name or ATR says.

Sources: [SP 800-73-5], [SP 800-78-5] table 1; Yubico's release notes and PIV documentation for the firmware versions.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Final

from shared.piv.ids import (
    PRIMARY_SLOTS,
    Algorithm,
    Ins,
    ManagementAlgorithm,
    PinPolicyId,
    ProfileName,
    Slot,
    TouchPolicyId,
)
from shared.piv.vendor import Version

RETIRED_SLOTS: Final = tuple(slot for slot in Slot if slot.retired)
ALL_SLOTS: Final = (*PRIMARY_SLOTS, *RETIRED_SLOTS)

CLASSIC: Final = frozenset({Algorithm.RSA_2048, Algorithm.P256, Algorithm.P384})
STANDARD: Final = CLASSIC | {Algorithm.RSA_3072}
EVERY: Final = frozenset(Algorithm)

AES: Final = frozenset({ManagementAlgorithm.AES128, ManagementAlgorithm.AES192, ManagementAlgorithm.AES256})
TDES_ONLY: Final = frozenset({ManagementAlgorithm.TDES})

ROCA: Final = (Version(4, 2, 6), Version(4, 3, 4))
"""First and last YubiKey 4 firmware whose RSA keys, if made on the card, can be factored (CVE-2017-15361)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Features:
    """What an applet knows beyond the standard."""

    version: bool = False
    serial: bool = False
    metadata: bool = False
    attestation: bool = False
    set_management_key: bool = False
    import_key: bool = False
    move_key: bool = False
    delete_key: bool = False
    set_retries: bool = False
    reset: bool = False
    pin_policies: bool = False
    touch_policies: bool = False
    cached_touch: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """What one product and version can do. `title` is for people; object sizes count bytes inside 53.

    `certificate_max` is the largest DER certificate that fits its container. `extended` says that the card takes
    extended-length commands; without it long commands are chained. `factory_tries` are those of PIN and PUK.
    """

    name: ProfileName
    title: str
    algorithms: frozenset[Algorithm]
    slots: tuple[Slot, ...] = ALL_SLOTS
    management: frozenset[ManagementAlgorithm]
    factory_management: ManagementAlgorithm
    features: Features
    object_max: int
    certificate_max: int
    extended: bool
    pin_digits_only: bool
    factory_tries: tuple[int, int] = (3, 3)
    rsa_generation: bool = True
    version: Version | None = None

    def algorithms_of(self, slot: Slot) -> frozenset[Algorithm]:
        """Return what can be generated in a slot; the attestation key is outside the standard and never ours."""
        return self.algorithms if slot in self.slots else frozenset()

    @property
    def retired_slots(self) -> tuple[Slot, ...]:
        """The slots for retired key management keys."""
        return tuple(slot for slot in self.slots if slot.retired)


_YUBICO: Final = Features(
    version=True,
    attestation=True,
    set_management_key=True,
    import_key=True,
    set_retries=True,
    reset=True,
    pin_policies=True,
    touch_policies=True,
    cached_touch=True,
)

YUBIKEY_4: Final = Profile(
    name=ProfileName.YUBIKEY_4,
    title="YubiKey 4",
    algorithms=CLASSIC,
    management=TDES_ONLY,
    factory_management=ManagementAlgorithm.TDES,
    features=_YUBICO,
    object_max=3063,
    certificate_max=3052,
    extended=True,
    pin_digits_only=False,
)
YUBIKEY_5_0: Final = replace(
    YUBIKEY_4,
    name=ProfileName.YUBIKEY_5_0,
    title="YubiKey 5.0",
    features=replace(_YUBICO, serial=True),
)
YUBIKEY_5_3: Final = replace(
    YUBIKEY_5_0,
    name=ProfileName.YUBIKEY_5_3,
    title="YubiKey 5.3",
    features=replace(_YUBICO, serial=True, metadata=True),
)
YUBIKEY_5_4: Final = replace(
    YUBIKEY_5_3,
    name=ProfileName.YUBIKEY_5_4,
    title="YubiKey 5.4",
    management=TDES_ONLY | AES,
)
YUBIKEY_5_7: Final = replace(
    YUBIKEY_5_4,
    name=ProfileName.YUBIKEY_5_7,
    title="YubiKey 5.7",
    algorithms=EVERY,
    factory_management=ManagementAlgorithm.AES192,
    features=replace(YUBIKEY_5_4.features, move_key=True, delete_key=True),
)
PLAIN: Final = Profile(
    name=ProfileName.PLAIN,
    title="PIV card (SP 800-73)",
    algorithms=STANDARD,
    management=TDES_ONLY | AES,
    factory_management=ManagementAlgorithm.TDES,
    features=Features(),
    object_max=12710,
    certificate_max=1856,
    extended=False,
    pin_digits_only=True,
)
UNKNOWN: Final = replace(
    PLAIN,
    name=ProfileName.UNKNOWN,
    title="PIV card of unknown make",
    algorithms=CLASSIC,
    slots=PRIMARY_SLOTS,
    object_max=3000,
)
"""Before it was asked: what nearly every applet has."""

PROFILES: Final[Mapping[ProfileName, Profile]] = MappingProxyType(
    {
        profile.name: profile
        for profile in (YUBIKEY_4, YUBIKEY_5_0, YUBIKEY_5_3, YUBIKEY_5_4, YUBIKEY_5_7, PLAIN, UNKNOWN)
    }
)

_YUBIKEYS: Final = (
    (Version(5, 7), YUBIKEY_5_7),
    (Version(5, 4), YUBIKEY_5_4),
    (Version(5, 3), YUBIKEY_5_3),
    (Version(5, 0), YUBIKEY_5_0),
    (Version(4, 0), YUBIKEY_4),
)
_FIRST_ATTESTATION: Final = Version(4, 3)


@dataclass(frozen=True, slots=True, kw_only=True)
class Answers:
    """Which questions beyond the standard a card answered, and what it said of algorithms.

    `attestation` says that the card showed an attestation certificate (object 5FFF01), `commands` are extensions that
    it was found to know (`probing`), `management` is its present management key's algorithm.
    """

    version: Version | None = None
    serial: bool = False
    metadata: bool = False
    attestation: bool = False
    algorithms: frozenset[Algorithm] = frozenset()
    management: ManagementAlgorithm | None = None
    commands: frozenset[Ins] = frozenset()


def profile_of(answers: Answers) -> Profile:
    """Tell a card's profile from what it answered.

    A YubiKey answers everything that its version has. A card that reports such a version but does not answer it all is
    of unknown make and is believed only what it showed; one that answered nothing beyond the standard is plain.
    """
    version = answers.version
    if version is not None:
        for first, profile in _YUBIKEYS:
            if first <= version < Version(6, 0) and _is(profile, version, answers):
                weak = ROCA[0] <= version <= ROCA[1]
                return replace(profile, version=version, rsa_generation=not weak)
            if first <= version:
                break
    extended = version or answers.serial or answers.metadata or answers.attestation or answers.commands
    return _unknown(answers) if extended else _believed(PLAIN, answers)


def _is(profile: Profile, version: Version, answers: Answers) -> bool:
    """Whether a card that claims this version behaves like it."""
    wanted = profile.features
    return (
        answers.serial == wanted.serial
        and answers.metadata == wanted.metadata
        and (answers.attestation or version < _FIRST_ATTESTATION)
        and (answers.management is None or answers.management in profile.management)
    )


def _believed(profile: Profile, answers: Answers) -> Profile:
    """Put what a card said of algorithms in place of what is assumed."""
    if answers.management is not None:
        profile = replace(
            profile,
            management=frozenset({answers.management}),
            factory_management=answers.management,
        )
    return replace(profile, algorithms=answers.algorithms or profile.algorithms)


def _unknown(answers: Answers) -> Profile:
    """Describe an applet of unknown make: it has what it showed, and nothing else is assumed.

    Policies follow metadata, which would report them; nothing that cannot be asked for harmlessly is used.
    """
    return replace(
        _believed(UNKNOWN, answers),
        version=answers.version,
        features=Features(
            version=answers.version is not None,
            serial=answers.serial,
            metadata=answers.metadata,
            attestation=answers.attestation,
            set_management_key=Ins.SET_MANAGEMENT_KEY in answers.commands,
            import_key=Ins.IMPORT_KEY in answers.commands,
            pin_policies=answers.metadata,
            touch_policies=answers.metadata,
        ),
    )


def why_not(
    profile: Profile,
    slot: Slot,
    algorithm: Algorithm,
    pin_policy: PinPolicyId = PinPolicyId.DEFAULT,
    touch_policy: TouchPolicyId = TouchPolicyId.DEFAULT,
) -> str | None:
    """Say why a card cannot make such a key in this slot, or None if it can."""
    title, features = profile.title, profile.features
    obstacles = (
        (slot not in profile.slots, f"{title} has no slot {slot.text}"),
        (algorithm not in profile.algorithms, f"{title} has no {algorithm.text} keys"),
        (
            bool(algorithm.rsa_bits) and not profile.rsa_generation,
            f"RSA keys made by {title} {profile.version} can be factored (CVE-2017-15361)",
        ),
        (slot is Slot.SIGNATURE and not algorithm.can_sign, f"{algorithm.text} keys do not sign"),
        (
            pin_policy is not PinPolicyId.DEFAULT and not features.pin_policies,
            f"{title} has no PIN policies",
        ),
        (
            touch_policy is not TouchPolicyId.DEFAULT and not features.touch_policies,
            f"{title} has no touch policies",
        ),
        (
            touch_policy is TouchPolicyId.CACHED and not features.cached_touch,
            f"{title} does not remember a touch",
        ),
    )
    return next((why for applies, why in obstacles if applies), None)


def why_not_management(profile: Profile, algorithm: ManagementAlgorithm) -> str | None:
    """Say why a card's management key cannot become one of this kind, or None if it can."""
    if not profile.features.set_management_key:
        return f"{profile.title} has no command that changes the management key"
    if algorithm not in profile.management:
        return f"{profile.title} takes no {algorithm.name} management key"
    return None
