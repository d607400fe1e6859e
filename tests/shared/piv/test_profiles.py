from dataclasses import replace

import pytest

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
from shared.piv.profiles import (
    PLAIN,
    PROFILES,
    UNKNOWN,
    YUBIKEY_4,
    YUBIKEY_5_3,
    YUBIKEY_5_4,
    YUBIKEY_5_7,
    Answers,
    profile_of,
    why_not,
    why_not_management,
)
from shared.piv.vendor import Version

FULL = Answers(serial=True, metadata=True, attestation=True)


def test_every_name_has_a_profile() -> None:
    assert set(PROFILES) == set(ProfileName)
    for name, profile in PROFILES.items():
        assert profile.name is name
        assert profile.factory_management in profile.management
        assert len(profile.retired_slots) in {0, 20}
        assert profile.certificate_max < profile.object_max


@pytest.mark.parametrize(
    ("version", "answers", "name"),
    [
        ((4, 0, 0), Answers(), ProfileName.YUBIKEY_4),
        ((4, 3, 5), Answers(attestation=True), ProfileName.YUBIKEY_4),
        ((5, 0, 2), Answers(serial=True, attestation=True), ProfileName.YUBIKEY_5_0),
        ((5, 2, 7), Answers(serial=True, attestation=True), ProfileName.YUBIKEY_5_0),
        ((5, 3, 0), FULL, ProfileName.YUBIKEY_5_3),
        ((5, 4, 3), FULL, ProfileName.YUBIKEY_5_4),
        ((5, 6, 0), FULL, ProfileName.YUBIKEY_5_4),
        ((5, 7, 1), FULL, ProfileName.YUBIKEY_5_7),
        ((5, 9, 0), FULL, ProfileName.YUBIKEY_5_7),
        ((6, 0, 0), FULL, ProfileName.UNKNOWN),
        ((3, 5, 0), Answers(), ProfileName.UNKNOWN),
        ((5, 4, 3), Answers(serial=True, metadata=True), ProfileName.UNKNOWN),
        ((5, 0, 2), FULL, ProfileName.UNKNOWN),
        ((5, 3, 0), replace(FULL, management=ManagementAlgorithm.AES256), ProfileName.UNKNOWN),
    ],
)
def test_a_version_holds_only_with_all_its_answers(
    version: tuple[int, int, int], answers: Answers, name: ProfileName
) -> None:
    profile = profile_of(replace(answers, version=Version(*version)))
    assert profile.name is name
    assert profile.version == Version(*version)


@pytest.mark.parametrize(
    "answers",
    [
        Answers(serial=True),
        Answers(metadata=True),
        Answers(attestation=True),
        Answers(commands=frozenset({Ins.SET_MANAGEMENT_KEY})),
    ],
)
def test_one_answer_beyond_the_standard_is_not_plain(answers: Answers) -> None:
    profile = profile_of(answers)
    assert profile.name is ProfileName.UNKNOWN
    features = profile.features
    assert features.serial == answers.serial
    assert features.metadata == features.pin_policies == answers.metadata
    assert features.attestation == answers.attestation
    assert features.set_management_key == bool(answers.commands)
    assert not any((features.reset, features.move_key, features.set_retries))


def test_a_plain_card_is_believed_what_it_said_of_algorithms() -> None:
    assert profile_of(Answers()) == PLAIN
    told = profile_of(Answers(algorithms=frozenset({Algorithm.P256}), management=ManagementAlgorithm.AES256))
    assert told.name is ProfileName.PLAIN
    assert told.algorithms == {Algorithm.P256}
    assert told.factory_management is ManagementAlgorithm.AES256


@pytest.mark.parametrize(
    ("version", "generates"),
    [((4, 2, 5), True), ((4, 2, 6), False), ((4, 3, 4), False), ((4, 3, 5), True)],
)
def test_rsa_keys_that_can_be_factored_are_not_made(version: tuple[int, int, int], generates: bool) -> None:  # noqa: FBT001  # a parameter of the test
    profile = profile_of(Answers(version=Version(*version), attestation=True))
    assert profile.name is ProfileName.YUBIKEY_4
    assert (why_not(profile, Slot.SIGNATURE, Algorithm.RSA_2048) is None) == generates
    assert why_not(profile, Slot.SIGNATURE, Algorithm.P256) is None


def test_every_product_makes_the_common_keys_in_all_primary_slots() -> None:
    for profile in PROFILES.values():
        for slot in PRIMARY_SLOTS:
            for algorithm in (Algorithm.RSA_2048, Algorithm.P256):
                assert why_not(profile, slot, algorithm) is None


def test_why_not_says_why() -> None:
    cases = [
        (why_not(YUBIKEY_5_4, Slot.SIGNATURE, Algorithm.ED25519), "Ed25519"),
        (why_not(YUBIKEY_5_7, Slot.SIGNATURE, Algorithm.X25519), "do not sign"),
        (why_not(YUBIKEY_5_7, Slot.ATTESTATION, Algorithm.P256), "slot F9"),
        (why_not(UNKNOWN, Slot.RETIRED_1, Algorithm.P256), "slot 82"),
        (why_not(PLAIN, Slot.SIGNATURE, Algorithm.P256, PinPolicyId.ALWAYS), "PIN policies"),
        (
            why_not(PLAIN, Slot.SIGNATURE, Algorithm.P256, PinPolicyId.DEFAULT, TouchPolicyId.ALWAYS),
            "touch policies",
        ),
        (why_not_management(PLAIN, ManagementAlgorithm.AES256), "no command"),
        (why_not_management(YUBIKEY_4, ManagementAlgorithm.AES256), "AES256"),
    ]
    for said, word in cases:
        assert said is not None
        assert word in said
    assert why_not(YUBIKEY_5_7, Slot.KEY_MANAGEMENT, Algorithm.X25519) is None
    assert why_not_management(YUBIKEY_5_4, ManagementAlgorithm.AES256) is None
    remembering = replace(profile_of(replace(FULL, version=Version(9, 0))), version=None)
    assert (
        why_not(remembering, Slot.SIGNATURE, Algorithm.P256, PinPolicyId.ONCE, TouchPolicyId.CACHED)
        == f"{remembering.title} does not remember a touch"
    )


def test_what_a_slot_can_hold() -> None:
    assert YUBIKEY_5_3.algorithms_of(Slot.RETIRED_20) == YUBIKEY_5_3.algorithms
    assert UNKNOWN.algorithms_of(Slot.RETIRED_20) == frozenset()
