"""Unblocking at a distance: codes that are read out, and codes that are redeemed."""

import re
from collections.abc import AsyncIterator
from datetime import timedelta
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kiosk.station.alone import unblock_alone
from server.operations.disclose import ATTEMPTS, VALID_FOR
from shared import errors
from shared.credential.model import CardRecord, State
from shared.credential.read_out import (
    ALPHABET,
    new_unblock_code,
    read_out_code,
    take_read_out_code,
    unblock_code_digest,
)
from shared.credential.reasons import Cause
from shared.piv.ids import ProfileName
from shared.relay import OperationKind
from shared.secret import Secret
from shared.virtual.faults import Fault, FaultKind
from tests.scenario.lab import BOB, Holder, Lab
from tests.server.rpc.world import MovableClock

PIN = "739154"
NEW = "482615"
PROFILES = [ProfileName.YUBIKEY_5_7, ProfileName.YUBIKEY_4, ProfileName.UNKNOWN]
GUID = UUID("6f9619ff-8b86-4011-b42d-00c04fc964ff")


@pytest.fixture
def clock() -> MovableClock:
    return MovableClock()


@pytest.fixture
async def lab(clock: MovableClock) -> AsyncIterator[Lab]:
    made = await Lab.start(clock=clock)
    yield made
    await made.close()


async def active(lab: Lab, profile: ProfileName = ProfileName.YUBIKEY_5_7) -> CardRecord:
    await lab.insert(profile)
    assert (await lab.perform(OperationKind.ISSUE, subject=BOB.holder, template="employee")).error is None
    assert (await lab.perform(OperationKind.ACTIVATE, Holder(new_pins=[PIN]))).error is None
    await lab.settle()
    return await record(lab)


async def record(lab: Lab) -> CardRecord:
    (found,) = await lab.store.credentials.of_holder(BOB.holder)
    return found


def copy(code: Secret) -> Secret:
    return Secret(code.reveal())


# --- the codes themselves -------------------------------------------------------------------------------


@given(puk=st.integers(0, 99_999_999), serial=st.none() | st.integers(0, 2**32 - 1))
def test_a_code_is_understood_by_the_card_that_it_is_for(puk: int, serial: int | None) -> None:
    digits = f"{puk:08d}".encode()
    code = read_out_code(digits, serial=serial, guid=GUID).reveal().decode()
    assert re.fullmatch(r"\d{4} \d{4} \d{4}", code)
    for heard in (code, code.replace(" ", ""), code.replace(" ", "-")):
        assert take_read_out_code(heard, serial=serial, guid=GUID).reveal() == digits


@given(puk=st.integers(0, 99_999_999), at=st.integers(0, 11), by=st.integers(1, 9))
def test_a_misheard_digit_is_noticed(puk: int, at: int, by: int) -> None:
    digits = list(
        read_out_code(f"{puk:08d}".encode(), serial=7, guid=GUID).reveal().decode().replace(" ", "")
    )
    digits[at] = str((int(digits[at]) + by) % 10)
    try:
        heard = take_read_out_code("".join(digits), serial=7, guid=GUID)
    except errors.Invalid:
        return
    # one in ten thousand passes by chance: then it is another PUK, and the card says so
    assert at < 8
    assert heard.reveal() != f"{puk:08d}".encode()


@pytest.mark.parametrize("text", ["", "1234", "1234 5678 901", "1234 5678 90ab", "1234 5678 9012 3"])
def test_what_is_no_code_is_said(text: str) -> None:
    with pytest.raises(errors.Invalid):
        take_read_out_code(text, serial=1, guid=GUID)


def test_an_unblock_code_is_read_in_any_spelling() -> None:
    code = new_unblock_code(lambda count: bytes(range(count)))
    text = code.reveal().decode()
    assert text == "0123 4567 89AB"
    digest = unblock_code_digest(code, GUID)
    for heard in ("0123-4567-89ab", "O1234567 89AB".replace("1", "I"), "0l23 4567 89ab"):
        assert unblock_code_digest(Secret.from_text(heard), GUID) == digest
    assert unblock_code_digest(code, UUID(int=0)) != digest
    for sign in "ILOU":
        assert sign not in ALPHABET
    with pytest.raises(errors.Invalid):
        unblock_code_digest(Secret.from_text("0123 4567 89AU"), GUID)


# --- reading out ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("profile", PROFILES)
async def test_a_card_far_away_is_unblocked_and_its_puk_replaced(lab: Lab, profile: ProfileName) -> None:
    found = await active(lab, profile)
    memory = lab.readers.card("card").memory
    code = (await lab.station.read_out(found.record_id)).code
    assert (await record(lab)).puk_disclosed
    await unblock_alone(lab.readers, "Reader 1", copy(code), Holder(new_pins=[NEW]))
    after = lab.readers.card("card").memory
    assert after.pin.value.reveal() == f"{NEW}".encode() + b"\xff\xff"
    assert after.puk.value == memory.puk.value
    view = (await lab.station.refresh("Reader 1")).record
    assert view is not None
    assert view.at_sight is OperationKind.UPDATE
    assert (await lab.perform(OperationKind.UPDATE)).error is None
    rotated = lab.readers.card("card").memory
    assert rotated.puk.value != memory.puk.value
    assert rotated.pin.value.reveal() == f"{NEW}".encode() + b"\xff\xff"
    assert not (await record(lab)).puk_disclosed
    with pytest.raises(errors.PukRejected):
        await unblock_alone(lab.readers, "Reader 1", copy(code), Holder(new_pins=[PIN]))
    assert lab.readers.card("card").memory.pin == rotated.pin


async def test_the_code_of_another_card_reaches_no_card(lab: Lab) -> None:
    found = await active(lab)
    code = (await lab.station.read_out(found.record_id)).code.reveal().decode()
    before = lab.readers.card("card").memory
    other = read_out_code(code.replace(" ", "")[:8].encode(), serial=4711, guid=found.record_id)
    with pytest.raises(errors.Invalid):
        await unblock_alone(lab.readers, "Reader 1", other, Holder(new_pins=[NEW]))
    assert lab.readers.card("card").memory == before


async def test_the_last_try_of_a_puk_is_not_spent(lab: Lab) -> None:
    found = await active(lab)
    code = (await lab.station.read_out(found.record_id)).code
    wrong = read_out_code(b"00000000", serial=1001, guid=found.record_id)
    for _ in range(lab.readers.card("card").memory.puk.left - 1):
        with pytest.raises(errors.PukRejected):
            await unblock_alone(lab.readers, "Reader 1", copy(wrong), Holder(new_pins=[NEW]))
    assert lab.readers.card("card").memory.puk.left == 1
    with pytest.raises(errors.SecretUnresolved):
        await unblock_alone(lab.readers, "Reader 1", copy(code), Holder(new_pins=[NEW]))
    assert lab.readers.card("card").memory.puk.left == 1


async def test_nothing_is_disclosed_of_a_card_whose_puk_is_not_settled(lab: Lab) -> None:
    found = await active(lab)
    before = lab.readers.card("card").commands
    assert (await lab.perform(OperationKind.UNBLOCK, Holder(new_pins=[NEW]))).error is None
    last = lab.readers.card("card").commands - before
    lab.readers.arm("card", Fault(kind=FaultKind.RESPONSE_LOST, at=last - 1))
    assert (await lab.perform(OperationKind.UNBLOCK, Holder(new_pins=[PIN]))).error is not None
    with pytest.raises(errors.OperationInterrupted):
        await lab.station.read_out(found.record_id)
    assert not (await record(lab)).puk_disclosed


@pytest.mark.parametrize("operation", [OperationKind.SUSPEND, OperationKind.REVOKE])
async def test_there_is_no_code_for_a_card_out_of_use(lab: Lab, operation: OperationKind) -> None:
    found = await active(lab)
    await lab.station.decide(found.record_id, operation, Cause.LOST)
    for ask in (lab.station.read_out, lab.station.make_unblock_code):
        with pytest.raises(errors.TransitionForbidden):
            await ask(found.record_id)
    assert not (await record(lab)).puk_disclosed


async def test_that_a_puk_was_told_is_evidence_and_the_puk_is_not(lab: Lab) -> None:
    found = await active(lab)
    code = (await lab.station.read_out(found.record_id)).code.reveal().decode()
    entries = [each.record for each in await lab.store.audit.about(str(found.record_id))]
    (told,) = [each for each in entries if each.event == "disclosed"]
    assert told.facts["secret"] == "puk"
    assert code.replace(" ", "")[:8] not in repr(entries)


# --- unblock codes --------------------------------------------------------------------------------------


async def redeem(lab: Lab, code: Secret | str) -> str:
    given = Secret.from_text(code) if isinstance(code, str) else copy(code)
    outcome = await lab.perform(OperationKind.UNBLOCK, Holder(new_pins=[NEW]), code=given)
    return "done" if outcome.error is None else outcome.error.code


async def test_an_unblock_code_works_once(lab: Lab) -> None:
    found = await active(lab)
    made = await lab.station.make_unblock_code(found.record_id)
    assert made.expires_at
    assert await redeem(lab, made.code) == "done"
    assert lab.readers.card("card").memory.pin.value.reveal() == f"{NEW}".encode() + b"\xff\xff"
    assert await redeem(lab, made.code) == "code-rejected"


async def test_a_new_unblock_code_ends_the_one_before(lab: Lab) -> None:
    found = await active(lab)
    first = await lab.station.make_unblock_code(found.record_id)
    second = await lab.station.make_unblock_code(found.record_id)
    assert await redeem(lab, first.code) == "code-rejected"
    assert await redeem(lab, second.code) == "done"


async def test_an_unblock_code_grows_old(lab: Lab, clock: MovableClock) -> None:
    found = await active(lab)
    made = await lab.station.make_unblock_code(found.record_id)
    clock.later += VALID_FOR + timedelta(seconds=1)
    assert await redeem(lab, made.code) == "code-rejected"
    assert (await record(lab)).state is State.ACTIVE


async def test_an_unblock_code_is_not_found_by_trying(lab: Lab) -> None:
    found = await active(lab)
    before = lab.readers.card("card").memory
    made = await lab.station.make_unblock_code(found.record_id)
    for _ in range(ATTEMPTS):
        assert await redeem(lab, "0000 0000 0000") == "code-rejected"
    assert await redeem(lab, made.code) == "code-rejected"
    assert lab.readers.card("card").memory == before


async def test_a_code_that_is_none_costs_no_attempt(lab: Lab) -> None:
    found = await active(lab)
    made = await lab.station.make_unblock_code(found.record_id)
    for _ in range(ATTEMPTS + 1):
        assert await redeem(lab, "nonsense") == "code-rejected"
    assert await redeem(lab, made.code) == "done"


async def test_a_code_is_not_spent_while_nobody_has_chosen_a_pin(lab: Lab) -> None:
    found = await active(lab)
    made = await lab.station.make_unblock_code(found.record_id)
    given_up = await lab.perform(OperationKind.UNBLOCK, Holder(), code=copy(made.code))
    assert given_up.error is not None
    assert given_up.error.code == "cancelled"
    for at in (3, 20):
        lab.readers.arm("card", Fault(kind=FaultKind.COMMAND_LOST, at=at))
        pulled = await lab.perform(OperationKind.UNBLOCK, Holder(new_pins=[NEW]), code=copy(made.code))
        assert isinstance(pulled.error, errors.CardLost)
        await lab.readers.insert("Reader 1", "card")
        await lab.settle()
    assert await redeem(lab, made.code) == "done"
    assert await redeem(lab, made.code) == "code-rejected"


@pytest.mark.parametrize("operation", [OperationKind.UNBLOCK, OperationKind.CHANGE_PIN])
async def test_a_code_ends_when_its_holder_has_a_new_pin(lab: Lab, operation: OperationKind) -> None:
    found = await active(lab)
    made = await lab.station.make_unblock_code(found.record_id)
    outcome = await lab.perform(operation, Holder(new_pins=[NEW], current_pins=[PIN]))
    assert outcome.error is None
    assert await redeem(lab, made.code) == "code-rejected"


async def test_a_code_does_not_outlive_a_suspension(lab: Lab) -> None:
    found = await active(lab)
    made = await lab.station.make_unblock_code(found.record_id)
    await lab.station.decide(found.record_id, OperationKind.SUSPEND, Cause.FORGOTTEN)
    await lab.station.decide(found.record_id, OperationKind.RESUME, "")
    assert await redeem(lab, made.code) == "code-rejected"
    assert lab.readers.card("card").memory.pin.value.reveal() == f"{PIN}".encode() + b"\xff\xff"
