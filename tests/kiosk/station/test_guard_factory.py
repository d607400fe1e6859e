"""The factory's values: what a server may do with them on a card that is owned or given back, and nowhere else."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from kiosk.station.guard import Guard, first_risk
from kiosk.station.pins import PinKind
from shared import errors
from shared.iso7816.apdu import ANY_STATUS, ColdReset, Command, Hole, Item
from shared.piv.ids import Ins, KeyRef, Slot
from shared.relay import OperationKind, Purpose
from tests.kiosk.station.commands import (
    FACTORY_FIELD,
    PUK_FIELD,
    READ_CHUID,
    SELECT,
    agree,
    authenticate_management,
    change,
    held,
    put_data,
    sign,
    sign_digest,
    unblock,
    verify,
    verify_plain,
)

PIN = Hole(name="pin")
SET_RETRIES = Command(ins=Ins.SET_PIN_RETRIES, label="retries", p1=3, p2=3)
RESET = Command(ins=Ins.RESET, label="reset")
GIVEN_BACK = unblock(PUK_FIELD, FACTORY_FIELD)
"""The PUK sets the factory's PIN."""

ELSEWHERE = sorted(set(OperationKind) - {OperationKind.UNREGISTER})
OPEN_BOTH = "the management key is open; reset the card first"


def guard(operation: OperationKind, purpose: Purpose = Purpose.ISSUE, kind: PinKind = PinKind.DRAWN) -> Guard:
    return Guard(operation, held(purpose, kind, 9))


def refusal(judge: Guard, *items: Item) -> str:
    with pytest.raises(errors.HoleRefused) as caught:
        judge.check(items)
    return str(caught.value.facts["why"])


# --- a card that is given back --------------------------------------------------------------------------


@pytest.mark.parametrize(
    "items",
    [
        [SELECT, authenticate_management(), put_data(), GIVEN_BACK, verify_plain(), SET_RETRIES],
        [SELECT, authenticate_management(), GIVEN_BACK, change(PUK_FIELD, PUK_FIELD, p2=KeyRef.PUK)],
        [SELECT, authenticate_management(), verify_plain()],
        [SELECT, authenticate_management(), RESET],
        [SELECT, verify_plain(), READ_CHUID, ColdReset(), SELECT],
    ],
)
def test_a_card_that_is_given_back_gets_its_factory_values(items: Sequence[Item]) -> None:
    guard(OperationKind.UNREGISTER).check(items)


@pytest.mark.parametrize("operation", ELSEWHERE)
def test_the_factory_pin_is_set_nowhere_else(operation: OperationKind) -> None:
    assert refusal(guard(operation), SELECT, GIVEN_BACK) == "the server would choose the PIN"
    why = refusal(guard(operation), SELECT, authenticate_management(), GIVEN_BACK)
    assert why == "the server would choose the PIN"


@pytest.mark.parametrize("operation", ELSEWHERE)
def test_a_card_is_reset_nowhere_else(operation: OperationKind) -> None:
    assert refusal(guard(operation), SELECT, RESET) == "the card is not given back"


@pytest.mark.parametrize(
    "command",
    [
        unblock(PUK_FIELD, b"111111\xff\xff"),
        unblock(PUK_FIELD, b"12345678"),
        unblock(PUK_FIELD, FACTORY_FIELD, b"\x00"),
        unblock(PUK_FIELD[:-1], FACTORY_FIELD),
        unblock(FACTORY_FIELD),
        unblock(PUK_FIELD, FACTORY_FIELD, p2=KeyRef.GLOBAL_PIN),
        replace(GIVEN_BACK, p1=0x01),
        change(PUK_FIELD, FACTORY_FIELD),
        change(FACTORY_FIELD, FACTORY_FIELD),
    ],
)
def test_a_card_that_is_given_back_gets_no_other_pin(command: Command) -> None:
    why = "the server would choose the PIN"
    assert refusal(guard(OperationKind.UNREGISTER), SELECT, command) == why


def test_a_card_that_is_given_back_is_not_guessed_at() -> None:
    judge = guard(OperationKind.UNREGISTER)
    why = "the server tries a PIN of its own"
    assert refusal(judge, SELECT, verify_plain(b"111111\xff\xff")) == why
    tolerant = replace(verify_plain(), expect=ANY_STATUS)
    assert refusal(judge, SELECT, tolerant) == "a wrong PIN would not end the batch"


@pytest.mark.parametrize("slot", [Slot.AUTHENTICATION, Slot.KEY_MANAGEMENT, Slot.CARD_AUTHENTICATION])
def test_no_private_key_of_a_card_that_is_given_back_is_used(slot: Slot) -> None:
    """With the factory's PIN in force the server could have the holder's keys sign requests and challenges."""
    judge = guard(OperationKind.UNREGISTER)
    opened = [SELECT, GIVEN_BACK, verify_plain()]
    assert refusal(judge, *opened, sign(slot=slot)) == "a card that is given back uses no private key"
    for use in (sign_digest(slot), agree(slot)):
        assert refusal(judge, *opened, use) == "a digest or cipher text of the server's making"


@pytest.mark.parametrize("kind", list(PinKind))
@pytest.mark.parametrize("purpose", list(Purpose))
def test_no_pin_of_a_person_is_any_business_of_giving_back(purpose: Purpose, kind: PinKind) -> None:
    judge = guard(OperationKind.UNREGISTER, purpose, kind)
    with pytest.raises(errors.HoleRefused):
        judge.check_purpose(purpose)
    for command in (verify(), unblock(PUK_FIELD, PIN), change(FACTORY_FIELD, PIN)):
        assert refusal(judge, SELECT, command)


def test_no_try_of_a_card_that_is_given_back_matters() -> None:
    judge = guard(OperationKind.UNREGISTER)
    assert judge.first_risk([SELECT, verify_plain()]) is None
    assert guard(OperationKind.ISSUE).first_risk([SELECT, verify_plain()]) == 1
    assert first_risk([SELECT, verify_plain()], held()) == 1


# --- a card that is owned -------------------------------------------------------------------------------


def test_a_card_that_is_registered_gets_a_pin_that_nobody_knows() -> None:
    judge = guard(OperationKind.REGISTER)
    judge.check([SELECT, authenticate_management(), verify_plain(), SET_RETRIES, put_data()])
    judge.check([SELECT, authenticate_management(), unblock(PUK_FIELD, PIN)])
    why = "a PIN that nobody knows is set, and used for nothing else"
    assert refusal(judge, SELECT, verify()) == why
    assert refusal(judge, SELECT, change(FACTORY_FIELD, PIN)) == why


# --- retry counters of a card of ours -------------------------------------------------------------------

BOTH = [SELECT, authenticate_management(), unblock(PUK_FIELD, PIN), verify()]


def test_the_retry_counters_take_a_drawn_pin_beside_the_management_key() -> None:
    judge = guard(OperationKind.ISSUE)
    judge.check([*BOTH, SET_RETRIES])
    judge.sent(len(BOTH) + 1)
    judge.check([unblock(b"12345678", PIN), ColdReset(), SELECT, verify(), sign()])


@pytest.mark.parametrize(
    "then", [put_data(), sign(), READ_CHUID, SELECT, verify(), RESET, unblock(PUK_FIELD, PIN)]
)
def test_nothing_else_is_done_with_both_open(then: Command) -> None:
    assert refusal(guard(OperationKind.ISSUE), *BOTH, then) == OPEN_BOTH
    assert refusal(guard(OperationKind.ISSUE), *BOTH) == OPEN_BOTH
    assert refusal(
        guard(OperationKind.ISSUE), *BOTH, ColdReset(), SELECT, authenticate_management(), verify()
    )


@pytest.mark.parametrize(
    ("operation", "kind"),
    [
        (OperationKind.RENEW, PinKind.CURRENT),
        (OperationKind.REISSUE, PinKind.CURRENT),
        (OperationKind.ACTIVATE, PinKind.NEW),
        (OperationKind.UNBLOCK, PinKind.NEW),
    ],
)
def test_no_pin_of_a_person_is_open_beside_the_management_key(
    operation: OperationKind, kind: PinKind
) -> None:
    purpose = {
        OperationKind.ACTIVATE: Purpose.ACTIVATE,
        OperationKind.UNBLOCK: Purpose.UNBLOCK,
    }.get(operation, Purpose.PROVE)
    judge = guard(operation, purpose, kind)
    assert refusal(judge, SELECT, authenticate_management(), verify(), SET_RETRIES) == OPEN_BOTH
