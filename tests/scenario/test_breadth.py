"""Every algorithm, slot, policy and profile: issued, read back and activated on the virtual card."""

import base64
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from kiosk.station.faces import Outcome
from server.connectors.directory.memory import MemoryDirectory
from server.operations.services import Services
from shared.credential.model import Person, State
from shared.piv.ids import (
    FACTORY_MANAGEMENT_KEY,
    PRIMARY_SLOTS,
    Algorithm,
    ManagementAlgorithm,
    PinPolicyId,
    ProfileName,
    Slot,
    TouchPolicyId,
)
from shared.relay import OperationKind
from shared.virtual.card import VirtualCard
from tests.scenario.cards import certificate_in, container_in, holds_matching_keys, pooled, spki
from tests.scenario.lab import BOB, Holder, Lab
from tests.scenario.templates import EMPLOYEE, certificate, template

A, C, D, E = PRIMARY_SLOTS
PIN = "739154"
RETIRED = tuple(slot for slot in Slot if slot.retired)
CLASSIC = template(
    certificate(A, Algorithm.P256),
    certificate(C, Algorithm.P384),
    certificate(D, Algorithm.RSA_2048),
    certificate(E, Algorithm.P256),
)
EVERY_PROFILE = (
    ProfileName.YUBIKEY_4,
    ProfileName.YUBIKEY_5_0,
    ProfileName.YUBIKEY_5_3,
    ProfileName.YUBIKEY_5_4,
    ProfileName.YUBIKEY_5_7,
    ProfileName.UNKNOWN,
)


@asynccontextmanager
async def desk(text: str, profile: ProfileName = ProfileName.YUBIKEY_5_7) -> AsyncIterator[Lab]:
    """Start a lab with a new card in its reader."""
    lab = await Lab.start(template=text)
    try:
        await lab.insert(profile, make=pooled)
        yield lab
    finally:
        await lab.close()


async def issue(lab: Lab) -> Outcome:
    return await lab.perform(OperationKind.ISSUE, subject=BOB.holder, template="breadth")


async def issue_and_activate(lab: Lab) -> VirtualCard:
    """Do both, and check that the holder's PIN is in force and every certificate belongs to its key."""
    issued = await issue(lab)
    assert issued.error is None
    assert issued.state == State.ISSUED
    activated = await lab.perform(OperationKind.ACTIVATE, Holder(new_pins=[PIN]))
    assert activated.error is None
    assert activated.state == State.ACTIVE
    card = lab.readers.card("card")
    assert card.memory.pin.value.reveal() == PIN.encode().ljust(8, b"\xff")
    return card


@pytest.mark.parametrize("profile", EVERY_PROFILE)
async def test_every_profile(profile: ProfileName) -> None:
    async with desk(CLASSIC, profile) as lab:
        card = await issue_and_activate(lab)
        assert holds_matching_keys(card, *PRIMARY_SLOTS)
        assert set(card.memory.keys) - {Slot.ATTESTATION} == set(PRIMARY_SLOTS)
        assert card.memory.management.value.reveal()[:8] != FACTORY_MANAGEMENT_KEY[:8]


@pytest.mark.parametrize("slot", [A, C, D, E])
@pytest.mark.parametrize(
    "algorithm",
    [Algorithm.RSA_2048, Algorithm.RSA_3072, Algorithm.RSA_4096, Algorithm.P256, Algorithm.P384],
)
async def test_every_algorithm_of_the_standard_in_every_slot(algorithm: Algorithm, slot: Slot) -> None:
    async with desk(template(certificate(slot, algorithm))) as lab:
        card = await issue_and_activate(lab)
        assert holds_matching_keys(card, slot)
        key = certificate_in(card, slot).public_key()
        assert isinstance(key, rsa.RSAPublicKey | ec.EllipticCurvePublicKey)
        assert key.key_size == (algorithm.rsa_bits or {Algorithm.P256: 256, Algorithm.P384: 384}[algorithm])


@pytest.mark.parametrize("slot", [A, C, E])
async def test_ed25519(slot: Slot) -> None:
    async with desk(template(certificate(slot, Algorithm.ED25519))) as lab:
        assert holds_matching_keys(await issue_and_activate(lab), slot)


@pytest.mark.parametrize("slot", [D, Slot.RETIRED_3])
async def test_x25519_is_proven_by_agreement(slot: Slot) -> None:
    async with desk(template(certificate(A, Algorithm.P256), certificate(slot, Algorithm.X25519))) as lab:
        assert holds_matching_keys(await issue_and_activate(lab), A, slot)


@pytest.mark.parametrize("profile", [ProfileName.YUBIKEY_4, ProfileName.YUBIKEY_5_7])
async def test_all_retired_slots(profile: ProfileName) -> None:
    text = template(certificate(A, Algorithm.P256), *(certificate(slot, Algorithm.P256) for slot in RETIRED))
    async with desk(text, profile) as lab:
        outcome = await issue(lab)
        assert outcome.error is None
        assert outcome.round_trips <= 8
        assert holds_matching_keys(lab.readers.card("card"), A, *RETIRED)


@pytest.mark.parametrize("pin", [PinPolicyId.NEVER, PinPolicyId.ONCE, PinPolicyId.ALWAYS])
@pytest.mark.parametrize("touch", [TouchPolicyId.NEVER, TouchPolicyId.ALWAYS, TouchPolicyId.CACHED])
async def test_policies_are_on_the_card(pin: PinPolicyId, touch: TouchPolicyId) -> None:
    text = template(*(certificate(slot, Algorithm.P256, pin=pin, touch=touch) for slot in PRIMARY_SLOTS))
    async with desk(text, ProfileName.YUBIKEY_5_4) as lab:
        card = await issue_and_activate(lab)
        assert holds_matching_keys(card, *PRIMARY_SLOTS)
        for slot in PRIMARY_SLOTS:
            assert card.memory.keys[slot].pin is pin
            assert card.memory.keys[slot].touch is touch


@pytest.mark.parametrize("profile", [ProfileName.YUBIKEY_4, ProfileName.YUBIKEY_5_7])
async def test_retry_counters(profile: ProfileName) -> None:
    text = template(certificate(A, Algorithm.P256), tables="[pin]\ntries = 8\npuk-tries = 5")
    async with desk(text, profile) as lab:
        memory = (await issue_and_activate(lab)).memory
        assert (memory.pin.tries, memory.pin.left) == (8, 8)
        assert (memory.puk.tries, memory.puk.left) == (5, 5)


@pytest.mark.parametrize("profile", [ProfileName.YUBIKEY_5_4, ProfileName.YUBIKEY_5_7])
@pytest.mark.parametrize(
    ("name", "algorithm"),
    [
        ("3DES", ManagementAlgorithm.TDES),
        ("AES-128", ManagementAlgorithm.AES128),
        ("AES-192", ManagementAlgorithm.AES192),
        ("AES-256", ManagementAlgorithm.AES256),
        ("best", ManagementAlgorithm.AES256),
    ],
)
async def test_management_keys(profile: ProfileName, name: str, algorithm: ManagementAlgorithm) -> None:
    text = template(certificate(A, Algorithm.P256), head=f'management-key = "{name}"')
    async with desk(text, profile) as lab:
        management = (await issue_and_activate(lab)).memory.management
        assert management.algorithm is algorithm
        assert len(management.value.reveal()) == algorithm.key_length


async def test_the_best_management_key_of_an_old_card_is_3des() -> None:
    async with desk(template(certificate(A, Algorithm.P256)), ProfileName.YUBIKEY_5_3) as lab:
        assert (await issue_and_activate(lab)).memory.management.algorithm is ManagementAlgorithm.TDES


def someone_with(**attributes: str) -> Person:
    return replace(BOB, attributes={**BOB.attributes, **attributes})


@asynccontextmanager
async def desk_for(person: Person, text: str, profile: ProfileName) -> AsyncIterator[Lab]:
    """Start a lab whose directory knows this person."""

    def adapt(services: Services) -> Services:
        return replace(services, directories={"people": MemoryDirectory([person])})

    lab = await Lab.start(template=text, adapt=adapt)
    try:
        await lab.insert(profile, make=pooled)
        yield lab
    finally:
        await lab.close()


UNITS = ",".join(f"OU=Department number {number} of the head office" for number in range(60))


@pytest.mark.parametrize("profile", [ProfileName.YUBIKEY_5_7, ProfileName.YUBIKEY_4])
async def test_a_certificate_that_does_not_fit_is_compressed(profile: ProfileName) -> None:
    text = template(certificate(A, Algorithm.RSA_2048, subject="CN=${user.name}," + UNITS))
    async with desk(text, profile) as lab:
        card = await issue_and_activate(lab)
        assert container_in(card, A).compressed
        assert len(container_in(card, A).certificate) > card.profile.max_object
        assert holds_matching_keys(card, A)


async def test_a_certificate_that_fits_is_not_compressed() -> None:
    async with desk(CLASSIC) as lab:
        card = await issue_and_activate(lab)
        assert not any(container_in(card, slot).compressed for slot in PRIMARY_SLOTS)


async def test_a_certificate_too_large_even_when_compressed_is_revoked() -> None:
    """Nothing is left at the certificate authority, and the card can be issued by another template later."""
    names = [f"noise{number}" for number in range(100)]
    noise = {name: base64.b64encode(hashlib.sha384(name.encode()).digest()).decode() for name in names}
    rows = "".join(f",OU=${{user.{name}}}" for name in names)
    text = template(certificate(A, Algorithm.P256, subject="CN=${user.name}" + rows))
    async with desk_for(someone_with(**noise), text, ProfileName.YUBIKEY_5_7) as lab:
        outcome = await issue(lab)
        assert outcome.error is not None
        assert outcome.error.code == "certificate-rejected"
        entries = [entry for entry in lab.store._book.state.ledger.values() if entry.request_id is not None]
        assert len(entries) == 1
        assert entries[0].revoked_at is not None


# --- what a card cannot do is refused before anything is written ---------------------------------------------


@pytest.mark.parametrize(
    ("profile", "text", "why"),
    [
        (
            ProfileName.PLAIN,
            EMPLOYEE.replace('"employee"', '"breadth"'),
            "no command that changes the management key",
        ),
        (ProfileName.YUBIKEY_4, template(certificate(A, Algorithm.ED25519)), "YubiKey 4 has no Ed25519 keys"),
        (ProfileName.YUBIKEY_5_4, template(certificate(A, Algorithm.RSA_4096)), "has no RSA-4096 keys"),
        (ProfileName.YUBIKEY_5_7, template(certificate(C, Algorithm.X25519)), "X25519 keys do not sign"),
        (ProfileName.UNKNOWN, template(certificate(Slot.RETIRED_1, Algorithm.P256)), "has no slot 82"),
        (
            ProfileName.UNKNOWN,
            template(certificate(A, Algorithm.P256, pin=PinPolicyId.ALWAYS)),
            "has no PIN policies",
        ),
        (
            ProfileName.UNKNOWN,
            template(certificate(A, Algorithm.P256), tables="[pin]\ntries = 5\npuk-tries = 5"),
            "no command that sets retry counters",
        ),
        (
            ProfileName.YUBIKEY_5_0,
            template(certificate(A, Algorithm.P256), head='management-key = "AES-256"'),
            "takes no AES256 management key",
        ),
    ],
)
async def test_what_a_card_cannot_do_is_refused_untouched(profile: ProfileName, text: str, why: str) -> None:
    async with desk(text, profile) as lab:
        before = lab.readers.card("card").memory
        outcome = await issue(lab)
        assert outcome.error is not None
        assert outcome.error.code == "template-impossible"
        assert why in str(outcome.error.facts["why"])
        assert lab.readers.card("card").memory == before
        assert not lab.store._book.state.cards


def test_the_certificate_is_for_the_very_key() -> None:
    """The judge of this module can say no."""
    card = pooled(ProfileName.YUBIKEY_5_7, serial=1, random=lambda length: b"\x01" * length)
    assert not card.memory.objects.get(A.certificate_object)
    assert spki(card.memory.keys[Slot.ATTESTATION].private.public_key())
