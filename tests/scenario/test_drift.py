"""What somebody else does to a card is seen at its next insertion, and the way that is named mends it."""

import os
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final
from uuid import uuid4

import pytest

from server.connectors.keystore.memory import MemoryKeyStore
from shared import errors
from shared.console import CardView
from shared.credential.drift_kinds import CALL, CONTINUE, Drift, Kind
from shared.credential.model import State
from shared.piv.chuid import Chuid
from shared.piv.ids import (
    FACTORY_PIN,
    FACTORY_PUK,
    Algorithm,
    Ins,
    ManagementAlgorithm,
    ObjectId,
    ProfileName,
    Slot,
)
from shared.relay import OperationKind
from shared.secret import Secret
from shared.virtual.factory import blank
from shared.virtual.faults import Fault, FaultKind
from shared.virtual.keys import generate_key
from shared.virtual.memory import ManagementKey, Memory
from shared.virtual.profiles import PROFILES as MADE
from tests.scenario.judging import WatchedCard, put
from tests.scenario.lab import BOB, Holder, Lab
from tests.scenario.templates import EMPLOYEE
from tests.server.rpc.world import MovableClock

READER: Final = "Reader 1"
PIN, NEXT_PIN = "739154", "482615"
PROFILES: Final = (
    ProfileName.YUBIKEY_4,
    ProfileName.YUBIKEY_5_3,
    ProfileName.YUBIKEY_5_7,
    ProfileName.UNKNOWN,
)
SLOT: Final = Slot.SIGNATURE


@pytest.fixture
async def lab() -> AsyncIterator[Lab]:
    made = await Lab.start()
    yield made
    await made.close()


async def issued(lab: Lab, profile: ProfileName = ProfileName.YUBIKEY_5_7) -> WatchedCard:
    card = await put(lab, WatchedCard.fresh(profile))
    assert (await issue(lab)) is None
    return card


async def active(lab: Lab, profile: ProfileName = ProfileName.YUBIKEY_5_7) -> WatchedCard:
    card = await issued(lab, profile)
    assert (await lab.perform(OperationKind.ACTIVATE, Holder(new_pins=[PIN]))).error is None
    return card


async def issue(lab: Lab) -> errors.KioskError | None:
    return (await lab.perform(OperationKind.ISSUE, subject=BOB.holder, template="employee")).error


async def view(lab: Lab) -> CardView:
    found = (await lab.station.refresh(READER)).record
    assert found is not None
    return found


async def drift(lab: Lab) -> tuple[Drift, ...]:
    return (await view(lab)).drift


async def mended(lab: Lab, how: str) -> None:
    """Do what the drift says, as a person at the desk would."""
    if how == OperationKind.RETIRE:
        assert (await lab.perform(OperationKind.RETIRE, reason="damaged")).error is None
        left = {each.key for each in await drift(lab)}
        assert left <= {Kind.CHUID_FOREIGN, Kind.OBJECT_MISSING}, (
            "a card that was taken back is empty, and named when it is issued again"
        )
        how = OperationKind.ISSUE
    if how == OperationKind.ISSUE:
        assert await issue(lab) is None
        return
    holder = Holder(new_pins=[NEXT_PIN], current_pins=[PIN])
    assert (await lab.perform(OperationKind(how), holder)).error is None


# --- nothing has happened -------------------------------------------------------------------------------


@pytest.mark.parametrize("profile", PROFILES)
async def test_a_card_that_nobody_else_touched_has_no_drift(lab: Lab, profile: ProfileName) -> None:
    await put(lab, WatchedCard.fresh(profile))
    assert (await view(lab)).drift == ()
    assert await issue(lab) is None
    assert (await view(lab)).state is State.ISSUED
    assert (await view(lab)).drift == ()
    assert (await lab.perform(OperationKind.ACTIVATE, Holder(new_pins=[PIN]))).error is None
    assert (await view(lab)).drift == ()
    assert (await lab.perform(OperationKind.RETIRE, reason="left")).error is None
    assert (await view(lab)).state is State.RETIRED
    assert (await view(lab)).drift == ()


# --- what somebody else does to a card ------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Foreign:
    """What is done to an issued card, and what is said of it: key, subject and mend."""

    alter: Callable[[Memory], Memory]
    says: tuple[tuple[str, str, str], ...]


def reset(memory: Memory) -> Memory:
    return blank(MADE[memory.profile], serial=memory.serial, random=os.urandom, before=memory)


def overwrite_chuid(memory: Memory) -> Memory:
    raw = memory.objects[ObjectId.CHUID]
    return memory.with_object(ObjectId.CHUID, bytes(replace(Chuid.from_bytes(raw), guid=uuid4())))


def delete(object_id: ObjectId) -> Callable[[Memory], Memory]:
    return lambda memory: memory.with_object(object_id, b"")


def copy_certificate(memory: Memory) -> Memory:
    other = memory.objects[ObjectId.AUTHENTICATION_CERTIFICATE]
    return memory.with_object(SLOT.certificate_object, other)


def spoil(object_id: ObjectId) -> Callable[[Memory], Memory]:
    return lambda memory: memory.with_object(object_id, b"\x70\x02spoilt")


def other_key(memory: Memory) -> Memory:
    return memory.with_key(SLOT, replace(memory.keys[SLOT], private=generate_key(Algorithm.P256)))


def factory_pin(memory: Memory) -> Memory:
    return replace(memory, pin=memory.pin.set_to(FACTORY_PIN.ljust(8, b"\xff")))


def factory_puk(memory: Memory) -> Memory:
    return replace(memory, puk=memory.puk.set_to(FACTORY_PUK))


def other_management_key(memory: Memory) -> Memory:
    key = ManagementKey(algorithm=ManagementAlgorithm.TDES, value=Secret(os.urandom(24)))
    return replace(memory, management=key)


def block(what: str) -> Callable[[Memory], Memory]:
    return lambda memory: replace(memory, **{what: replace(getattr(memory, what), left=0)})


FOREIGN: Final[dict[str, Foreign]] = {
    "reset": Foreign(alter=reset, says=((Kind.CARD_RESET, "", "issue"),)),
    "overwrite the CHUID": Foreign(alter=overwrite_chuid, says=((Kind.CHUID_FOREIGN, "", "retire"),)),
    "delete the CHUID": Foreign(
        alter=delete(ObjectId.CHUID), says=((Kind.OBJECT_MISSING, "CHUID", "retire"),)
    ),
    "delete the CCC": Foreign(alter=delete(ObjectId.CCC), says=((Kind.OBJECT_MISSING, "CCC", "retire"),)),
    "delete the security object": Foreign(
        alter=delete(ObjectId.SECURITY), says=((Kind.OBJECT_MISSING, "security object", "retire"),)
    ),
    "spoil the CCC": Foreign(alter=spoil(ObjectId.CCC), says=((Kind.OBJECT_UNVOUCHED, "CCC", "retire"),)),
    "delete a certificate": Foreign(
        alter=delete(SLOT.certificate_object), says=((Kind.CERTIFICATE_MISSING, "9C", "retire"),)
    ),
    "copy a certificate": Foreign(alter=copy_certificate, says=((Kind.CERTIFICATE_FOREIGN, "9C", "retire"),)),
    "spoil a certificate": Foreign(
        alter=spoil(SLOT.certificate_object), says=((Kind.CERTIFICATE_FOREIGN, "9C", "retire"),)
    ),
    "replace a key": Foreign(alter=other_key, says=((Kind.KEY_FOREIGN, "9C", "retire"),)),
    "delete a key": Foreign(
        alter=lambda memory: memory.without_key(SLOT), says=((Kind.KEY_MISSING, "9C", "retire"),)
    ),
    "set the factory's PIN": Foreign(alter=factory_pin, says=((Kind.PIN_DEFAULT, "", "activate"),)),
    "block the PIN": Foreign(alter=block("pin"), says=((Kind.PIN_BLOCKED, "", "activate"),)),
    "set the factory's PUK": Foreign(alter=factory_puk, says=((Kind.PUK_DEFAULT, "", CALL),)),
    "block the PUK": Foreign(alter=block("puk"), says=((Kind.PUK_BLOCKED, "", CALL),)),
    "set another kind of management key": Foreign(
        alter=other_management_key, says=((Kind.MANAGEMENT_KEY_ALGORITHM, "", CALL),)
    ),
    "delete a key and block the PUK": Foreign(
        alter=lambda memory: block("puk")(memory.without_key(SLOT)),
        says=((Kind.PUK_BLOCKED, "", CALL), (Kind.KEY_MISSING, "9C", CALL)),
    ),
}


@pytest.mark.parametrize("what", FOREIGN)
async def test_what_somebody_else_does_is_seen_and_mended(lab: Lab, what: str) -> None:
    card = await issued(lab)
    foreign = FOREIGN[what]
    card.alter(foreign.alter(card.memory))
    found = await drift(lab)
    assert [(each.key, each.subject, each.mend) for each in found] == list(foreign.says)
    if found[0].mend != CALL:
        await mended(lab, found[0].mend)
        assert await drift(lab) == ()


IN_USE: Final = {"retire": "reissue", "activate": "unblock"}
"""How a card is mended whose holder uses it already."""


@pytest.mark.parametrize("what", [name for name, foreign in FOREIGN.items() if foreign.says[0][2] in IN_USE])
async def test_a_card_in_use_is_mended_without_losing_its_holder(lab: Lab, what: str) -> None:
    card = await active(lab)
    foreign = FOREIGN[what]
    card.alter(foreign.alter(card.memory))
    found = await drift(lab)
    says = [(key, subject, IN_USE[mend]) for key, subject, mend in foreign.says]
    assert [(each.key, each.subject, each.mend) for each in found] == says
    await mended(lab, found[0].mend)
    assert await drift(lab) == ()
    assert (await view(lab)).state is State.ACTIVE


async def test_looking_changes_nothing(lab: Lab) -> None:
    card = await issued(lab)
    card.alter(overwrite_chuid(other_key(card.memory)))
    card.writes.clear()
    before, books = card.memory, dict(lab.store._book.state.cards)
    assert await drift(lab) != ()
    await lab.station.compare(READER, "employee")
    assert card.memory == before
    assert card.writes == []
    assert lab.store._book.state.cards == books


async def test_a_blocked_pin_of_a_card_in_use_is_mended_by_unblocking(lab: Lab) -> None:
    card = await active(lab)
    card.alter(block("pin")(card.memory))
    (found,) = await drift(lab)
    assert (found.key, found.mend) == (Kind.PIN_BLOCKED, "unblock")
    await mended(lab, found.mend)
    assert await drift(lab) == ()


async def test_a_card_without_metadata_shows_what_it_can(lab: Lab) -> None:
    card = await issued(lab, ProfileName.YUBIKEY_4)
    card.alter(other_key(copy_certificate(card.memory)))
    (found,) = await drift(lab)
    assert (found.key, found.subject) == (Kind.CERTIFICATE_FOREIGN, "9C"), "it does not tell of its keys"


async def test_a_revoked_card_still_has_its_certificates(lab: Lab) -> None:
    await active(lab)
    assert (await lab.perform(OperationKind.REVOKE, reason="lost")).error is None
    await lab.station.refresh(READER)
    revoked = [each for each in await drift(lab) if each.key == Kind.CERTIFICATE_REVOKED]
    assert [(each.subject, each.mend) for each in revoked] == [
        (slot, "retire") for slot in ("9A", "9C", "9D", "9E")
    ]
    await mended(lab, "retire")
    assert await drift(lab) == ()


# --- what is newer than the card ------------------------------------------------------------------------


async def test_an_older_card_is_mended_by_an_update(lab: Lab) -> None:
    await active(lab)
    assert isinstance(lab.services.keystore, MemoryKeyStore)
    await lab.services.keystore.add_generation()
    await lab.apply(EMPLOYEE.replace("Employee badge", "Staff badge"), 2)
    found = await drift(lab)
    assert [(each.key, each.expected, each.found, each.mend) for each in found] == [
        (Kind.MANAGEMENT_KEY_OLDER, "2", "1", "update"),
        (Kind.PUK_OLDER, "", "", "update"),
        (Kind.TEMPLATE_OLDER, "2", "1", "update"),
    ]
    await mended(lab, "update")
    assert await drift(lab) == ()


async def test_a_template_that_wants_more_is_said(lab: Lab) -> None:
    await issued(lab)
    await lab.apply(EMPLOYEE.replace('"P-256"', '"P-384"', 1), 2)
    (found,) = await drift(lab)
    assert (found.key, found.mend) == (Kind.TEMPLATE_REISSUE, "retire")
    await mended(lab, found.mend)
    assert await drift(lab) == ()


async def test_certificates_that_end_are_said_in_time() -> None:
    clock = MovableClock()
    lab = await Lab.start(clock=clock)
    try:
        await issued(lab)
        clock.later = timedelta(days=729)
        assert {each.key for each in await drift(lab)} == {Kind.CERTIFICATE_EXPIRES}
        clock.later = timedelta(days=731)
        found = await drift(lab)
        assert {each.key for each in found} == {Kind.CERTIFICATE_EXPIRED}
        assert {each.mend for each in found} == {"retire"}
    finally:
        await lab.close()


async def test_what_was_cut_comes_before_everything_else(lab: Lab) -> None:
    card = await active(lab)
    lab.readers.arm("card", Fault(kind=FaultKind.RESPONSE_LOST, ins=Ins.RESET_RETRY_COUNTER))
    assert (await lab.perform(OperationKind.UNBLOCK, Holder(new_pins=[NEXT_PIN]))).error is not None
    await lab.readers.insert(READER, "card")
    await lab.settle()
    card.alter(delete(SLOT.certificate_object)(card.memory))
    (found,) = await drift(lab)
    assert (found.key, found.subject, found.mend) == (Kind.OPERATION_CUT, "unblock", CONTINUE)
    assert (await lab.perform(OperationKind.UNBLOCK, Holder(new_pins=[NEXT_PIN]))).error is None
    assert [each.key for each in await drift(lab)] == [Kind.CERTIFICATE_MISSING]


async def test_tries_that_somebody_else_set_are_seen() -> None:
    lab = await Lab.start(template=f"{EMPLOYEE}\n[pin]\ntries = 5\npuk-tries = 4\n")
    try:
        card = await issued(lab)
        assert await drift(lab) == ()
        card.alter(replace(card.memory, pin=replace(card.memory.pin, tries=9, left=9)))
        (found,) = await drift(lab)
        assert (found.key, found.expected, found.found, found.mend) == (Kind.PIN_TRIES, "5", "9", "retire")
        await mended(lab, found.mend)
        assert await drift(lab) == ()
    finally:
        await lab.close()


# --- beside a template ----------------------------------------------------------------------------------


async def test_a_card_beside_its_template(lab: Lab) -> None:
    card = await issued(lab)
    await view(lab)
    assert (await lab.station.compare(READER, "")).differences == ()
    card.alter(card.memory.without_key(SLOT).with_object(ObjectId.CCC, b""))
    await view(lab)
    found = await lab.station.compare(READER, "")
    assert (found.template, found.version) == ("employee", 1)
    assert [(each.sign, each.aspect, each.subject) for each in found.differences] == [
        ("-", "key", "9C"),
        ("-", "object", "CCC"),
    ]


async def test_a_new_card_beside_a_template_by_name(lab: Lab) -> None:
    await put(lab, WatchedCard.fresh())
    assert (await lab.station.compare(READER, "")).template == ""
    found = await lab.station.compare(READER, "employee")
    assert {each.sign for each in found.differences} == {"-", "~"}
    with pytest.raises(errors.UnknownTemplate):
        await lab.station.compare(READER, "nonsense")


async def test_an_empty_reader_has_nothing_to_compare(lab: Lab) -> None:
    with pytest.raises(errors.CardMissing):
        await lab.station.compare(READER, "employee")
