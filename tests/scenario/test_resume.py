"""Cut again and again, with changes in between: the next insertion goes on, and keeps every promise meanwhile.

The judge reads the card's memory, what the card was told, and the certificate authority's book; never the journal.
"""

import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import replace

import pytest

from kiosk.station.faces import Outcome as Ended
from server.connectors.directory.memory import MemoryDirectory
from server.ports.ca import Outcome, Reason, SignRequest
from shared import errors
from shared.credential.model import FACTORY, CertificateState, State
from shared.piv.ids import FACTORY_PUK, Algorithm, Ins, ObjectId, ProfileName, Slot
from shared.relay import OperationKind
from shared.virtual.faults import Fault, FaultKind
from shared.virtual.keys import generate_key
from tests.scenario.cards import ListeningCard, certificate_in, holds_matching_keys, listening
from tests.scenario.judging import SLOTS, judge
from tests.scenario.lab import BOB, Holder, Lab
from tests.scenario.promises import keeps_promises
from tests.scenario.templates import EMPLOYEE, certificate, template

PIN, NEXT_PIN = "739154", "482615"
PROFILES = (ProfileName.YUBIKEY_4, ProfileName.YUBIKEY_5_0, ProfileName.YUBIKEY_5_7, ProfileName.UNKNOWN)
LOST = (FaultKind.COMMAND_LOST, FaultKind.RESPONSE_LOST)
DEEP = 3
"""How often a card is cut before it is left alone."""
SEEDS = 48
COMMANDS = 120
"""More than an issue takes: some cuts never happen, and that must be right, too."""


@pytest.fixture
async def lab() -> AsyncIterator[Lab]:
    made = await Lab.start()
    yield made
    await made.close()


async def new_card(lab: Lab, profile: ProfileName) -> ListeningCard:
    await lab.insert(profile, make=listening)
    await lab.settle()
    card = lab.readers.card("card")
    assert isinstance(card, ListeningCard)
    return card


async def insert_again(lab: Lab) -> None:
    await lab.readers.insert("Reader 1", "card")
    await lab.settle()


async def issue(lab: Lab, *, subject: str = BOB.holder, name: str = "employee") -> Ended:
    return await lab.perform(OperationKind.ISSUE, subject=subject, template=name)


async def activate(lab: Lab, pin: str = PIN) -> Ended:
    return await lab.perform(OperationKind.ACTIVATE, Holder(new_pins=[pin]))


async def cut_issue(lab: Lab, fault: Fault) -> None:
    lab.readers.arm("card", fault)
    assert getattr((await issue(lab)).error, "code", "") == "card-lost"
    await insert_again(lab)


def after(ins: Ins, at: int = 1) -> Fault:
    """Pull the card when it has done this command and has not answered yet."""
    return Fault(kind=FaultKind.RESPONSE_LOST, ins=ins, at=at)


# --- deep cuts ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(SEEDS))
async def test_cuts_while_healing(seed: int) -> None:
    """Up to three cuts, one after the other, anywhere in issue and activation; then one insertion heals."""
    chance = random.Random(seed)
    lab = await Lab.start()
    try:
        card = await new_card(lab, PROFILES[seed % len(PROFILES)])
        for _ in range(chance.randint(1, DEEP)):
            lab.readers.arm("card", Fault(kind=chance.choice(LOST), at=chance.randint(1, COMMANDS)))
            await issue(lab)
            card.faults.disarm()
            await insert_again(lab)
        last = await issue(lab)
        assert last.error is None or last.error.code == "transition-forbidden", last
        await judge(lab)
        for _ in range(chance.randint(0, DEEP)):
            lab.readers.arm("card", Fault(kind=chance.choice(LOST), at=chance.randint(1, COMMANDS)))
            await activate(lab)
            card.faults.disarm()
            await insert_again(lab)
        await activate(lab, NEXT_PIN)
        *_, record = lab.store._book.state.cards.values()
        assert record.state is State.ACTIVE
        assert card.memory.pin.value.reveal() in {
            PIN.encode().ljust(8, b"\xff"),
            NEXT_PIN.encode().ljust(8, b"\xff"),
        }
        assert (card.memory.pin.left, card.memory.puk.left) == (3, 3)
        await judge(lab)
        keeps_promises(card)
    finally:
        await lab.close()


@pytest.mark.parametrize("profile", PROFILES)
async def test_promises_of_an_uncut_life(lab: Lab, profile: ProfileName) -> None:
    card = await new_card(lab, profile)
    assert (await issue(lab)).error is None
    assert (await activate(lab)).error is None
    keeps_promises(card)
    assert FACTORY_PUK not in card.memory.puk.value.reveal()


async def test_retry_counters_are_set_once_more_after_a_cut() -> None:
    """SET PIN RETRIES puts factory values in force: it is repeated only while nothing else was set."""
    text = template(
        certificate(Slot.AUTHENTICATION, Algorithm.P256), tables="[pin]\ntries = 5\npuk-tries = 5"
    )
    for at in range(1, COMMANDS):
        lab = await Lab.start(template=text)
        try:
            card = await new_card(lab, ProfileName.YUBIKEY_4)
            lab.readers.arm("card", Fault(kind=FaultKind.RESPONSE_LOST, at=at))
            if (await issue(lab, name="breadth")).error is None:
                break
            card.faults.disarm()
            await insert_again(lab)
            assert (await issue(lab, name="breadth")).error is None
            assert (card.memory.pin.tries, card.memory.puk.tries, card.memory.puk.left) == (5, 5, 5)
            keeps_promises(card)
        finally:
            await lab.close()
    else:
        pytest.fail("more commands than expected")


async def test_the_puk_is_settled_however_its_answers_are_lost(lab: Lab) -> None:
    """A card that does not tell its tries, cut in every attempt to settle: the candidates change places."""
    card = await new_card(lab, ProfileName.UNKNOWN)
    await cut_issue(lab, after(Ins.CHANGE_REFERENCE_DATA))
    for _ in range(2 * DEEP):
        left = card.memory.puk.left
        await cut_issue(lab, after(Ins.CHANGE_REFERENCE_DATA))
        assert card.memory.puk.left >= min(left, 2)
    assert (await issue(lab)).error is None
    assert card.memory.puk.left == card.memory.puk.tries


@pytest.mark.parametrize(("profile", "left"), [(ProfileName.YUBIKEY_5_7, 1), (ProfileName.UNKNOWN, 2)])
async def test_the_last_try_of_the_puk_is_never_spent(lab: Lab, profile: ProfileName, left: int) -> None:
    """A card that tells is not tried with one try left; one that does not tell is left alone once it has said so."""
    card = await new_card(lab, profile)
    assert (await issue(lab)).error is None
    await lab.settle()
    lab.readers.arm("card", after(Ins.CHANGE_REFERENCE_DATA))
    assert (await activate(lab)).error is not None
    memory = card.memory
    card._applet.memory = replace(memory, puk=replace(memory.puk, left=left))
    for _ in range(DEEP):
        await insert_again(lab)
        outcome = await activate(lab)
        assert outcome.error is not None
        assert outcome.error.code == "secret-unresolved"
        assert outcome.next_action == "call-administrator"
        assert card.memory.puk.left == 1


async def test_a_card_whose_guid_was_overwritten_is_still_ours(lab: Lab) -> None:
    card = await new_card(lab, ProfileName.YUBIKEY_5_7)
    assert (await issue(lab)).error is None
    card._applet.memory = card.memory.with_object(ObjectId.CHUID, b"")
    seen = await lab.station.refresh("Reader 1")
    assert seen.record is not None
    assert seen.record.state is State.ISSUED
    assert (await activate(lab)).error is None
    keeps_promises(card)


async def test_a_puk_of_somebody_else_is_tried_once(lab: Lab) -> None:
    card = await new_card(lab, ProfileName.UNKNOWN)
    applet = card._applet
    applet.memory = replace(applet.memory, puk=applet.memory.puk.set_to(b"87654321"))
    for _ in range(DEEP):
        assert getattr((await issue(lab)).error, "code", "") == "secret-unresolved"
        assert card.memory.puk.left == 2
        await insert_again(lab)


@pytest.mark.parametrize("what", ["puk", "pin"])
async def test_a_card_that_tells_that_its_puk_or_pin_is_not_the_factorys(what: str) -> None:
    """It is refused before anything is written, and no try is spent."""
    text = template(
        certificate(Slot.AUTHENTICATION, Algorithm.P256), tables="[pin]\ntries = 5\npuk-tries = 5"
    )
    lab = await Lab.start(template=text)
    try:
        card = await new_card(lab, ProfileName.YUBIKEY_5_7)
        memory = card.memory
        foreign = replace(memory, **{what: getattr(memory, what).set_to(b"87654321")})
        card._applet.memory = foreign
        outcome = await issue(lab, name="breadth")
        assert outcome.error is not None
        assert (outcome.error.code, outcome.error.facts) == ("secret-unresolved", {"secret": what})
        assert card.memory == foreign
        assert not lab.store._book.state.cards
    finally:
        await lab.close()


# --- changes in between -----------------------------------------------------------------------------------------


async def cut_at_the_writing(lab: Lab) -> None:
    """Pull the card when all certificates are issued and none is on the card."""
    real = lab.ca.issue

    async def issue_and_pull(requests: Sequence[SignRequest]) -> Sequence[Outcome]:
        lab.readers.arm("card", Fault(kind=FaultKind.COMMAND_LOST))
        return await real(requests)

    lab.ca.issue = issue_and_pull  # type: ignore[method-assign]  # the same, and then the card is gone
    assert getattr((await issue(lab)).error, "code", "") == "card-lost"
    del lab.ca.issue
    await insert_again(lab)


async def cut_at_the_management_key(lab: Lab) -> None:
    await cut_issue(lab, after(Ins.SET_MANAGEMENT_KEY))


async def test_the_recorded_version_of_the_template_goes_on(lab: Lab) -> None:
    card = await new_card(lab, ProfileName.YUBIKEY_5_7)
    await cut_at_the_writing(lab)
    await lab.apply(EMPLOYEE.replace('"Employee badge"', '"New badge"'), version=2)
    outcome = await issue(lab)
    assert outcome.error is None
    assert outcome.facts["template"] == "Employee badge"
    assert holds_matching_keys(card, *SLOTS)
    (record,) = [await lab.store.cards.card(each) for each in lab.store._book.state.cards]
    assert record is not None
    assert record.credential is not None
    assert record.credential.template.version == 1


async def test_another_template_is_not_put_in_its_place(lab: Lab) -> None:
    await lab.apply(template(certificate(Slot.AUTHENTICATION, Algorithm.P256)))
    card = await new_card(lab, ProfileName.YUBIKEY_5_7)
    await cut_at_the_writing(lab)
    before = card.memory
    outcome = await issue(lab, name="breadth")
    assert getattr(outcome.error, "code", "") == "operation-interrupted"
    assert card.memory == before
    assert (await issue(lab, subject="", name="")).error is None
    await judge(lab)


@pytest.mark.parametrize("profile", PROFILES)
async def test_a_person_who_was_renamed_gets_the_new_name(lab: Lab, profile: ProfileName) -> None:
    """What was issued under the old name is revoked, asked for anew, and never reaches the card."""
    card = await new_card(lab, profile)
    await cut_at_the_writing(lab)
    renamed = replace(BOB, name="Bob Jones")
    lab.services.directories["people"] = MemoryDirectory([renamed])  # type: ignore[index]  # a dict, really
    assert (await issue(lab)).error is None
    assert "Bob Jones" in certificate_in(card, Slot.AUTHENTICATION).subject.rfc4514_string()
    await judge(lab)
    revoked = [entry for entry in lab.store._book.state.ledger.values() if entry.revoked_at is not None]
    assert len(revoked) == 3, "the card authentication certificate has no name in it"


@pytest.mark.parametrize("profile", PROFILES)
@pytest.mark.parametrize("cut", [cut_at_the_management_key, cut_at_the_writing])
async def test_a_new_generation_of_the_master_key(
    lab: Lab, profile: ProfileName, cut: Callable[[Lab], Awaitable[None]]
) -> None:
    card = await new_card(lab, profile)
    await cut(lab)
    await lab.services.keystore.add_generation()  # type: ignore[attr-defined]  # the key store in memory has it
    assert (await issue(lab)).error is None
    await judge(lab)
    assert (await activate(lab)).error is None
    (record,) = lab.store._book.state.cards.values()
    assert record.puk.proven is not None
    assert record.puk.proven.generation == 2
    keeps_promises(card)


async def make_foreign(lab: Lab, slot: Slot) -> None:
    """Put another key into a slot, behind everybody's back."""
    applet = lab.readers.card("card")._applet
    key = replace(applet.memory.keys[slot], private=generate_key(Algorithm.P256))
    applet.memory = applet.memory.with_key(slot, key)


@pytest.mark.parametrize("profile", PROFILES)
async def test_a_certificate_whose_key_was_made_anew_is_revoked(lab: Lab, profile: ProfileName) -> None:
    """Also where the run that made the key anew was cut before it came to revoke."""
    card = await new_card(lab, profile)
    await cut_at_the_writing(lab)
    await make_foreign(lab, Slot.SIGNATURE)
    for attempt in range(4):
        lab.readers.arm("card", Fault(kind=FaultKind.RESPONSE_LOST, ins=Ins.GENERATE_ASYMMETRIC))
        if (await issue(lab)).error is None:
            break
        card.faults.disarm()
        await insert_again(lab)
        if attempt == 2:
            assert (await issue(lab)).error is None
            break
    await judge(lab)
    assert holds_matching_keys(card, *SLOTS)
    revoked = [entry for entry in lab.store._book.state.ledger.values() if entry.revoked_at is not None]
    assert len(revoked) == 1


# --- records that dangle ------------------------------------------------------------------------------------------


BEFORE_ANYTHING = Fault(kind=FaultKind.COMMAND_LOST, ins=Ins.PUT_DATA)


@pytest.mark.parametrize("profile", [ProfileName.YUBIKEY_5_0, ProfileName.YUBIKEY_5_7])
async def test_a_card_with_a_serial_number_keeps_its_record(lab: Lab, profile: ProfileName) -> None:
    card = await new_card(lab, profile)
    for _ in range(DEEP):
        await cut_issue(lab, BEFORE_ANYTHING)
    assert len(lab.store._book.state.cards) == 1
    assert (await issue(lab)).error is None
    assert len(lab.store._book.state.cards) == 1
    keeps_promises(card)


@pytest.mark.parametrize("profile", [ProfileName.YUBIKEY_4, ProfileName.UNKNOWN])
async def test_a_card_without_one_may_leave_records_that_do_no_harm(lab: Lab, profile: ProfileName) -> None:
    card = await new_card(lab, profile)
    for _ in range(2):
        await cut_issue(lab, BEFORE_ANYTHING)
    assert (await issue(lab)).error is None
    assert (await activate(lab)).error is None
    records = [await lab.store.cards.card(each) for each in lab.store._book.state.cards]
    *dangling, last = [record for record in records if record is not None]
    assert len(dangling) == 2
    assert last.state is State.ACTIVE
    for record in dangling:
        assert record.certificates == ()
        assert record.credential is None
        assert record.management_key.proven == FACTORY
        assert record.puk.proven == FACTORY
        assert record.puk.pending is None
    seen = await lab.station.refresh("Reader 1")
    assert seen.record is not None
    assert seen.record.state is State.ACTIVE
    await judge(lab)
    keeps_promises(card)


async def test_another_card_never_gets_into_the_record_of_a_dangling_one(lab: Lab) -> None:
    """Two cards without serial numbers, the first cut before anything was written."""
    await new_card(lab, ProfileName.YUBIKEY_4)
    await cut_issue(lab, BEFORE_ANYTHING)
    await lab.insert(ProfileName.YUBIKEY_4, name="second", make=listening)
    await lab.settle()
    assert (await issue(lab)).error is None
    await insert_again(lab)
    assert (await issue(lab)).error is None
    first, second = (lab.readers.card(name).memory.management.value.reveal() for name in ("card", "second"))
    assert first != second
    issued = [card for card in lab.store._book.state.cards.values() if card.state is State.ISSUED]
    assert len(issued) == 2


async def test_a_request_that_was_lost_and_refused_is_asked_once_more(lab: Lab) -> None:
    """A certificate that somebody revoked at its authority is not put on a card."""
    card = await new_card(lab, ProfileName.YUBIKEY_5_7)
    real = lab.ca.issue

    async def lose(requests: Sequence[SignRequest]) -> Sequence[Outcome]:
        await real(requests)
        raise errors.ConnectorUnreachable(connection="built-in", reason="test")

    lab.ca.issue = lose  # type: ignore[method-assign]  # an authority whose answer is lost
    assert getattr((await issue(lab)).error, "code", "") == "connector-unreachable"
    del lab.ca.issue
    for entry in list(lab.store._book.state.ledger.values()):
        if entry.request_id is not None:
            await lab.ca.revoke(entry.certificate, Reason.KEY_COMPROMISE)
    assert (await issue(lab)).error is None
    await judge(lab)
    (record,) = lab.store._book.state.cards.values()
    states = [each.state for each in record.certificates]
    assert states.count(CertificateState.REFUSED) == 4
    assert states.count(CertificateState.CONFIRMED) == 4
    assert holds_matching_keys(card, *SLOTS)
