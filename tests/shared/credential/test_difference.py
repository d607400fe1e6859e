"""A card beside a template: what only one of them has, what both have differently, and what nobody can know."""

from dataclasses import replace
from typing import Final

import pytest

from shared.credential.difference import Aspect, Difference, difference
from shared.credential.model import CardRecord, TemplateRef
from shared.credential.sight import COVERED, KeySight, Sight, SlotSight, digest
from shared.credential.template import Template
from shared.credential.template_reading import parse_template
from shared.piv.ids import (
    PRIMARY_SLOTS,
    Algorithm,
    ManagementAlgorithm,
    ObjectId,
    PinPolicyId,
    Slot,
    TouchPolicyId,
)
from shared.piv.inspect import ManagementFacts, ReferenceFacts
from tests.scenario.templates import certificate, template
from tests.shared.credential import test_drift as a_card

USUAL: Final = {
    Slot.AUTHENTICATION: PinPolicyId.ONCE,
    Slot.SIGNATURE: PinPolicyId.ALWAYS,
    Slot.KEY_MANAGEMENT: PinPolicyId.ONCE,
    Slot.CARD_AUTHENTICATION: PinPolicyId.NEVER,
}
PROFILES: Final = {
    Slot.AUTHENTICATION: "piv-authentication",
    Slot.SIGNATURE: "signature",
    Slot.KEY_MANAGEMENT: "key-management",
}
USED: Final = tuple(PROFILES)
FREE: Final = Slot.CARD_AUTHENTICATION
HEAD: Final = 'management-key = "AES-256"'
PIN: Final = "[pin]\ntries = 5\npuk-tries = 4"
WANTED: Final = parse_template(
    template(*(certificate(slot, Algorithm.P256) for slot in USED), head=HEAD, tables=PIN)
)
RECORD: Final = replace(
    a_card.RECORD,
    certificates=tuple(replace(each, profile=PROFILES[each.slot]) for each in a_card.RECORD.certificates),
)
SIGHT: Final = Sight(
    metadata=True,
    slots={
        FREE: SlotSight(),
        **{
            slot: SlotSight(
                certificate=digest(a_card.MADE[slot][1]),
                algorithm=Algorithm.P256,
                key=KeySight(
                    algorithm=Algorithm.P256,
                    pin_policy=USUAL[slot],
                    touch_policy=TouchPolicyId.NEVER,
                ),
            )
            for slot in USED
        },
    },
    objects={
        object_id: bytes(32)
        for object_id in (*COVERED, ObjectId.SECURITY)
        if object_id is not FREE.certificate_object
    },
    management=ManagementFacts(algorithm=ManagementAlgorithm.AES256),
    pin=ReferenceFacts(tries_total=5),
    puk=ReferenceFacts(tries_total=4),
)


def compared(
    *,
    wanted: Template = WANTED,
    version: int = 1,
    sight: Sight = SIGHT,
    record: CardRecord | None = RECORD,
    profile: str = "yubikey-5.7",
) -> tuple[Difference, ...]:
    return difference(wanted, version, profile=profile, sight=sight, record=record)


def with_slot(slot: Slot, seen: SlotSight) -> Sight:
    return replace(SIGHT, slots={**SIGHT.slots, slot: seen})


def with_key(**changes: object) -> Sight:
    seen = SIGHT.slots[Slot.SIGNATURE]
    assert seen.key is not None
    key = replace(seen.key, **changes)  # type: ignore[arg-type]  # the caller's fields
    return with_slot(Slot.SIGNATURE, replace(seen, key=key))


def test_a_card_that_is_as_its_template_says_has_no_difference() -> None:
    assert compared() == ()


LINES: Final[dict[str, tuple[Sight, str, Difference]]] = {
    "another management key": (
        replace(SIGHT, management=ManagementFacts(algorithm=ManagementAlgorithm.TDES)),
        "~",
        Difference(aspect=Aspect.MANAGEMENT_KEY, expected="AES256", found="TDES"),
    ),
    "a management key that is not told": (
        replace(SIGHT, management=ManagementFacts()),
        "?",
        Difference(aspect=Aspect.MANAGEMENT_KEY, expected="AES256", told=False),
    ),
    "other tries of the PIN": (
        replace(SIGHT, pin=ReferenceFacts(tries_total=3)),
        "~",
        Difference(aspect=Aspect.PIN_TRIES, expected="5", found="3"),
    ),
    "tries of the PUK that are not told": (
        replace(SIGHT, puk=ReferenceFacts()),
        "?",
        Difference(aspect=Aspect.PUK_TRIES, expected="4", told=False),
    ),
    "another algorithm": (
        with_key(algorithm=Algorithm.RSA_2048),
        "~",
        Difference(aspect=Aspect.KEY, subject="9C", expected="P-256", found="RSA-2048"),
    ),
    "another PIN policy": (
        with_key(pin_policy=PinPolicyId.ONCE),
        "~",
        Difference(aspect=Aspect.PIN_POLICY, subject="9C", expected="always", found="once"),
    ),
    "another touch policy": (
        with_key(touch_policy=TouchPolicyId.CACHED),
        "~",
        Difference(aspect=Aspect.TOUCH_POLICY, subject="9C", expected="never", found="cached"),
    ),
    "no key": (
        with_slot(Slot.SIGNATURE, replace(SIGHT.slots[Slot.SIGNATURE], key=None)),
        "-",
        Difference(aspect=Aspect.KEY, subject="9C", expected="P-256"),
    ),
    "no certificate": (
        replace(
            with_slot(Slot.SIGNATURE, replace(SIGHT.slots[Slot.SIGNATURE], certificate=b"")),
            objects={
                object_id: each
                for object_id, each in SIGHT.objects.items()
                if object_id is not ObjectId.SIGNATURE_CERTIFICATE
            },
        ),
        "-",
        Difference(aspect=Aspect.CERTIFICATE, subject="9C", expected="built-in signature"),
    ),
    "a certificate that cannot be read": (
        with_slot(Slot.SIGNATURE, replace(SIGHT.slots[Slot.SIGNATURE], certificate=b"")),
        "~",
        Difference(
            aspect=Aspect.CERTIFICATE, subject="9C", expected="built-in signature", found="unreadable"
        ),
    ),
    "a certificate that is not on record": (
        with_slot(Slot.SIGNATURE, replace(SIGHT.slots[Slot.SIGNATURE], certificate=a_card.STRANGE)),
        "?",
        Difference(aspect=Aspect.CERTIFICATE, subject="9C", expected="built-in signature", told=False),
    ),
    "a key that is not wanted": (
        with_slot(FREE, SlotSight(key=KeySight(algorithm=Algorithm.P384))),
        "+",
        Difference(aspect=Aspect.KEY, subject="9E", found="P-384"),
    ),
    "a certificate that is not wanted": (
        with_slot(FREE, SlotSight(certificate=a_card.STRANGE)),
        "+",
        Difference(aspect=Aspect.CERTIFICATE, subject="9E", found="present"),
    ),
    "a slot that was not looked at": (
        replace(SIGHT, slots={slot: seen for slot, seen in SIGHT.slots.items() if slot != Slot.SIGNATURE}),
        "?",
        Difference(aspect=Aspect.CERTIFICATE, subject="9C", expected="built-in signature", told=False),
    ),
    **{
        f"no {name}": (
            replace(SIGHT, objects={key: each for key, each in SIGHT.objects.items() if key != object_id}),
            "-",
            Difference(aspect=Aspect.OBJECT, subject=name, expected="present"),
        )
        for object_id, name in (
            (ObjectId.CHUID, "CHUID"),
            (ObjectId.CCC, "CCC"),
            (ObjectId.SECURITY, "security object"),
        )
    },
}


@pytest.mark.parametrize("what", LINES)
def test_each_difference_is_one_line(what: str) -> None:
    sight, sign, line = LINES[what]
    assert compared(sight=sight) == (line,)
    assert line.sign == sign


def test_the_version_of_a_template_counts_for_its_own_cards() -> None:
    assert RECORD.credential is not None
    by = TemplateRef(name=WANTED.name, version=1, digest=bytes(32))
    record = replace(RECORD, credential=replace(RECORD.credential, template=by))
    assert compared(record=record) == ()
    assert compared(record=record, version=3) == (
        Difference(aspect=Aspect.VERSION, subject="breadth", expected="3", found="1"),
    )
    assert compared(record=RECORD, version=3) == (), "a template that is not the card's"


def test_another_profile_of_the_certificate_authority_is_told() -> None:
    assert compared(record=a_card.RECORD) == (
        Difference(
            aspect=Aspect.CERTIFICATE,
            subject="9A",
            expected="built-in piv-authentication",
            found="built-in signature",
        ),
        Difference(
            aspect=Aspect.CERTIFICATE,
            subject="9D",
            expected="built-in key-management",
            found="built-in signature",
        ),
    )


def test_an_empty_card_lacks_everything() -> None:
    empty = Sight(
        metadata=True,
        slots={slot: SlotSight() for slot in PRIMARY_SLOTS},
        management=ManagementFacts(algorithm=ManagementAlgorithm.TDES),
        pin=ReferenceFacts(tries_total=3),
        puk=ReferenceFacts(tries_total=3),
    )
    found = compared(sight=empty, record=None)
    assert [(each.sign, each.aspect, each.subject) for each in found] == [
        ("~", "management-key", ""),
        ("~", "pin-tries", ""),
        ("~", "puk-tries", ""),
        *((("-", aspect, slot.text)) for slot in USED for aspect in ("key", "certificate")),
        *(("-", "object", name) for name in ("CHUID", "CCC", "security object")),
    ]


def test_without_metadata_the_certificate_tells_the_algorithm() -> None:
    silent = {slot: replace(seen, key=None) for slot, seen in SIGHT.slots.items()}
    assert compared(sight=replace(SIGHT, metadata=False, slots=silent)) == ()
    silent[Slot.SIGNATURE] = replace(silent[Slot.SIGNATURE], algorithm=Algorithm.P384)
    (line,) = compared(sight=replace(SIGHT, metadata=False, slots=silent))
    assert (line.aspect, line.expected, line.found) == ("key", "P-256", "P-384")


def test_the_best_management_key_depends_on_the_product() -> None:
    best = replace(WANTED, management_key=type(WANTED.management_key).BEST)
    tdes = replace(SIGHT, management=ManagementFacts(algorithm=ManagementAlgorithm.TDES))
    assert compared(wanted=best, sight=tdes, profile="yubikey-5.3") == (), "it holds no other"
    (line,) = compared(wanted=best, sight=tdes, profile="yubikey-5.7")
    assert (line.expected, line.found) == ("AES256", "TDES")
    assert compared(wanted=best, sight=tdes, profile="unknown") == (), "nobody knows what it could hold"
    assert compared(wanted=best, sight=tdes, profile="from-the-future") == ()
