"""Register a blank card for stock, issue it later: the card's memory and what it was told judge."""

from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from kiosk.station.faces import Outcome
from shared.credential.model import CardRecord, State
from shared.credential.pins import pad
from shared.credential.reasons import Cause
from shared.piv.chuid import NO_EXPIRY, Chuid
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
from shared.virtual.card import VirtualCard
from shared.virtual.faults import Fault, FaultKind
from shared.virtual.memory import Memory
from tests.scenario.cards import ListeningCard, listening
from tests.scenario.judging import WatchedCard, evidence, nothing_changes, put, said
from tests.scenario.lab import BOB, Holder, Lab
from tests.scenario.promises import keeps_promises
from tests.scenario.rehearsing import rehearse, seen
from tests.scenario.templates import EMPLOYEE, certificate, template

OWNABLE = [
    ProfileName.YUBIKEY_4,
    ProfileName.YUBIKEY_5_0,
    ProfileName.YUBIKEY_5_3,
    ProfileName.YUBIKEY_5_4,
    ProfileName.YUBIKEY_5_7,
    ProfileName.UNKNOWN,
]
WITH_COUNTERS = [name for name in OWNABLE if name is not ProfileName.UNKNOWN]
TRIES = EMPLOYEE.replace("[[certificate]]", "[pin]\ntries = 5\npuk-tries = 4\n\n[[certificate]]", 1)
AS_TEMPLATE = template(
    certificate(Slot.AUTHENTICATION, Algorithm.P256),
    head='management-key = "AES-128"',
    tables="[pin]\ntries = 5\npuk-tries = 4",
)
ONE_KEY = template(certificate(Slot.AUTHENTICATION, Algorithm.P256), tables="[pin]\ntries = 3\npuk-tries = 3")


@pytest.fixture
async def lab() -> AsyncIterator[Lab]:
    made = await Lab.start()
    yield made
    await made.close()


def memory(lab: Lab) -> Memory:
    return lab.readers.card("card").memory


async def record(lab: Lab) -> CardRecord:
    """Return the record that the card names."""
    guid = Chuid.from_bytes(memory(lab).objects[ObjectId.CHUID]).guid
    found = await lab.store.cards.card(guid)  # type: ignore[arg-type]  # a GUID of ours is a record id
    assert found is not None
    return found


async def register(lab: Lab, by: str = "") -> Outcome:
    return await lab.perform(OperationKind.REGISTER, template=by)


async def issue(lab: Lab, by: str = "employee") -> Outcome:
    return await lab.perform(OperationKind.ISSUE, subject=BOB.holder, template=by)


def promised(lab: Lab) -> None:
    """Check what holds at every moment, by what the card was told."""
    card = lab.readers.card("card")
    assert isinstance(card, ListeningCard)
    keeps_promises(card)


def is_factory(memory: Memory) -> tuple[bool, bool, bool]:
    """Say of management key, PIN and PUK whether they are the factory's."""
    profile = memory.profile
    key = VirtualCard.new(profile, serial=1, random=lambda n: b"\1" * n).memory.management
    return (
        memory.management == key,
        memory.pin.value == Secret(pad(FACTORY_PIN)),
        memory.puk.value == Secret(pad(FACTORY_PUK)),
    )


# --- a registered card ----------------------------------------------------------------------------------


@pytest.mark.parametrize("profile", OWNABLE)
async def test_a_registered_card_is_ours_and_empty(lab: Lab, profile: ProfileName) -> None:
    await lab.insert(profile, make=listening)
    await lab.settle()
    outcome = await register(lab)
    assert outcome.error is None
    assert outcome.state == State.REGISTERED
    assert outcome.round_trips == (7 if profile is ProfileName.UNKNOWN else 6), (
        "one of unknown make is asked more"
    )
    card = lab.readers.card("card")
    assert is_factory(card.memory) == (False, False, False)
    assert not set(card.memory.keys) - {Slot.ATTESTATION}
    assert set(card.memory.objects) - {ObjectId.ATTESTATION_CERTIFICATE} == {ObjectId.CHUID, ObjectId.CCC}
    known = await record(lab)
    assert (known.state, known.credential, known.open_operation) == (State.REGISTERED, None, None)
    assert Chuid.from_bytes(card.memory.objects[ObjectId.CHUID]).expires == NO_EXPIRY
    assert isinstance(card, ListeningCard)
    keeps_promises(card)


@pytest.mark.parametrize("profile", OWNABLE)
async def test_a_registered_card_is_issued_in_the_usual_way(lab: Lab, profile: ProfileName) -> None:
    await lab.insert(profile, make=listening)
    await lab.settle()
    assert (await register(lab)).error is None
    known = await record(lab)
    assert (await issue(lab)).error is None
    issued = await record(lab)
    assert (issued.record_id, issued.state) == (known.record_id, State.ISSUED)
    assert Chuid.from_bytes(memory(lab).objects[ObjectId.CHUID]).expires < NO_EXPIRY
    assert (await lab.perform(OperationKind.ACTIVATE, Holder(new_pins=["739154"]))).error is None
    promised(lab)


async def test_a_registered_card_is_not_registered_again(lab: Lab) -> None:
    await lab.insert(ProfileName.YUBIKEY_5_7)
    await lab.settle()
    assert (await register(lab)).error is None
    before = memory(lab)
    again = await register(lab)
    assert again.error is not None
    assert (again.error.code, again.state) == ("transition-forbidden", State.REGISTERED)
    assert memory(lab) == before


# --- a template -----------------------------------------------------------------------------------------


async def test_a_template_says_how_the_card_is_owned() -> None:
    lab = await Lab.start(template=AS_TEMPLATE)
    try:
        await lab.insert(ProfileName.YUBIKEY_5_7, make=listening)
        await lab.settle()
        assert (await register(lab, "breadth")).error is None
        owned = memory(lab)
        assert owned.management.algorithm is ManagementAlgorithm.AES128
        assert (owned.pin.tries, owned.puk.tries) == (5, 4)
        assert is_factory(owned) == (False, False, False)
        assert (await record(lab)).credential is None
        promised(lab)
    finally:
        await lab.close()


async def test_a_registered_card_keeps_the_algorithm_of_its_management_key() -> None:
    """A template that wants another one is refused before the card is touched; one that wants the best takes what is."""
    lab = await Lab.start(template=AS_TEMPLATE)
    try:
        await lab.apply(EMPLOYEE)
        await lab.insert(ProfileName.YUBIKEY_5_7, make=listening)
        await lab.settle()
        assert (await register(lab)).error is None
        async with nothing_changes(lab):
            assert "keeps the algorithm" in said(await issue(lab, "breadth"), "template-impossible")
        assert (await lab.perform(OperationKind.UNREGISTER)).error is None
        assert (await register(lab, "breadth")).error is None
        assert (await issue(lab)).error is None
        assert memory(lab).management.algorithm is ManagementAlgorithm.AES128
        promised(lab)
    finally:
        await lab.close()


@pytest.mark.parametrize(
    ("profile", "by", "code"),
    [
        (ProfileName.YUBIKEY_5_7, "nobody", "unknown-template"),
        (ProfileName.UNKNOWN, "breadth", "template-impossible"),
        (ProfileName.PLAIN, "", "not-supported-by-card"),
        (ProfileName.PLAIN, "breadth", "template-impossible"),
    ],
)
async def test_what_cannot_be_is_refused_and_the_card_not_touched(
    profile: ProfileName, by: str, code: str
) -> None:
    lab = await Lab.start(template=AS_TEMPLATE)
    try:
        await put(lab, WatchedCard.fresh(profile))
        async with nothing_changes(lab):
            said(await register(lab, by), code)
    finally:
        await lab.close()


# --- cards that are not blank ---------------------------------------------------------------------------


@pytest.mark.parametrize("profile", OWNABLE)
async def test_a_card_of_somebody_else_is_left_alone(lab: Lab, profile: ProfileName) -> None:
    card = await put(lab, WatchedCard.fresh(profile))
    before = card.memory
    foreign = replace(before.management, value=Secret(bytes(len(before.management.value.reveal()))))
    card.alter(replace(before, management=foreign))
    said(await register(lab), "management-key-rejected")
    assert card.writes == []
    card.alter(before)
    assert (await register(lab)).error is None, "its owner gave it to us"


@pytest.mark.parametrize("what", ["pin", "puk"])
async def test_a_card_whose_pin_or_puk_was_changed_is_not_taken(what: str) -> None:
    lab = await Lab.start(template=AS_TEMPLATE)
    try:
        card = await put(lab, WatchedCard.fresh())
        changed = {what: getattr(card.memory, what).set_to(b"00000000")}
        card.alter(replace(card.memory, **changed))
        async with nothing_changes(lab):
            said(await register(lab, "breadth"), "secret-unresolved")
    finally:
        await lab.close()


async def test_a_known_card_in_factory_state_is_registered_anew_and_leaves_evidence(lab: Lab) -> None:
    card = await put(lab, WatchedCard.fresh())
    assert (await register(lab)).error is None
    first = await record(lab)
    card.alter(WatchedCard.fresh().memory)
    assert (await register(lab)).error is None
    assert (await record(lab)).record_id != first.record_id
    alarms = [each for each in evidence(lab) if each.event == "known card in factory state"]
    assert [each.subject for each in alarms] == [str(first.record_id)]


# --- other retry counters -------------------------------------------------------------------------------


@pytest.mark.parametrize("retired", [False, True], ids=["registered", "retired"])
@pytest.mark.parametrize("profile", WITH_COUNTERS)
async def test_a_card_of_ours_gets_the_counters_of_its_template(
    lab: Lab, profile: ProfileName, *, retired: bool
) -> None:
    await lab.insert(profile, make=listening)
    await lab.settle()
    if retired:
        assert (await issue(lab)).error is None
        assert (await lab.perform(OperationKind.RETIRE, reason=Cause.LEFT.value)).error is None
    else:
        assert (await register(lab)).error is None
    await lab.apply(TRIES, version=2)
    assert (memory(lab).pin.tries, memory(lab).puk.tries) == (3, 3)
    assert (await issue(lab)).error is None
    assert (memory(lab).pin.tries, memory(lab).puk.tries) == (5, 4)
    assert is_factory(memory(lab)) == (False, False, False)
    promised(lab)
    assert (await lab.perform(OperationKind.ACTIVATE, Holder(new_pins=["739154"]))).error is None


async def test_counters_that_are_right_are_not_set_again(lab: Lab) -> None:
    await lab.apply(TRIES, version=2)
    await lab.insert(ProfileName.YUBIKEY_5_7, make=listening)
    await lab.settle()
    assert (await register(lab, "employee")).error is None
    assert (await issue(lab)).error is None
    card = lab.readers.card("card")
    assert isinstance(card, ListeningCard)
    assert [heard.ins for heard in card.log].count(Ins.SET_PIN_RETRIES) == 1


@pytest.mark.parametrize("kind", [FaultKind.COMMAND_LOST, FaultKind.RESPONSE_LOST])
@pytest.mark.parametrize("profile", [ProfileName.YUBIKEY_5_7, ProfileName.YUBIKEY_4])
async def test_a_change_of_the_counters_is_cut_anywhere_and_continued(
    profile: ProfileName, kind: FaultKind
) -> None:
    """Factory PIN and PUK are in force for a moment: never behind the record's back, and never in the end."""
    at, failures = 0, []
    while True:
        at += 1
        lab = await Lab.start(template=ONE_KEY)
        try:
            await lab.insert(profile, make=listening)
            await lab.settle()
            assert (await register(lab)).error is None
            await lab.apply(ONE_KEY.replace("tries = 3", "tries = 5"), version=2)
            lab.readers.arm("card", Fault(kind=kind, at=at))
            first = await issue(lab, "breadth")
            if first.error is None:
                break
            if not await healed(lab):
                failures.append(f"{at}: {first}")
        finally:
            await lab.close()
    assert not failures
    assert at > 30


async def healed(lab: Lab) -> bool:
    """Whether the cut issue ends well, with counters as wanted and secrets of ours."""
    await lab.readers.insert("Reader 1", "card")
    await lab.settle()
    if (await issue(lab, "breadth")).error is not None:
        return False
    found = memory(lab)
    return (found.pin.tries, found.puk.tries) == (5, 5) and is_factory(found) == (False, False, False)


# --- cuts -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [FaultKind.COMMAND_LOST, FaultKind.RESPONSE_LOST])
@pytest.mark.parametrize("profile", [ProfileName.YUBIKEY_5_7, ProfileName.UNKNOWN])
async def test_a_registration_cut_at_any_command_is_continued(profile: ProfileName, kind: FaultKind) -> None:
    at = 0
    while True:
        at += 1
        lab = await Lab.start()
        try:
            await lab.insert(profile, make=listening)
            await lab.settle()
            lab.readers.arm("card", Fault(kind=kind, at=at))
            if (await register(lab)).error is None:
                break
            await lab.readers.insert("Reader 1", "card")
            await lab.settle()
            again = await register(lab)
            assert again.error is None, (at, again)
            known = await record(lab)
            assert known.open_operation is None
            assert (known.management_key.pending, known.puk.pending) == (None, None)
            promised(lab)
        finally:
            await lab.close()
    assert at > 30


async def test_another_operation_does_not_go_on_with_a_registration_that_was_cut(lab: Lab) -> None:
    await lab.insert(ProfileName.YUBIKEY_5_7)
    await lab.settle()
    lab.readers.arm("card", Fault(kind=FaultKind.COMMAND_LOST, at=34))
    assert (await register(lab)).error is not None
    await lab.readers.insert("Reader 1", "card")
    await lab.settle()
    said(await issue(lab), "operation-interrupted")
    said(await register(lab, "employee"), "operation-interrupted")
    assert (await register(lab)).error is None
    assert (await issue(lab)).error is None


async def test_a_dry_run_knows_a_registered_card(lab: Lab) -> None:
    await lab.apply(TRIES, version=2)
    await lab.insert(ProfileName.YUBIKEY_5_7)
    await lab.settle()
    assert (await register(lab)).error is None
    rehearsed = await rehearse(lab, await seen(lab))
    real = await issue(lab)
    assert real.error is None
    assert (len(rehearsed.round_trips), rehearsed.commands) == (real.round_trips, real.commands)
