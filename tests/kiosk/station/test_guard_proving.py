"""The holder's present PIN, while keys or certificates are replaced: it proves keys, and nothing else."""

from datetime import UTC, datetime

import pytest

from kiosk.station.guard import Guard, first_risk
from kiosk.station.pins import PinKind
from shared import errors
from shared.iso7816.apdu import (
    CHALLENGE_PREFIX,
    ColdReset,
    Command,
    Digest,
    Hole,
    Item,
    ToBeSigned,
)
from shared.logon import LogonPurpose, LogonText
from shared.piv.ids import Algorithm, Ins, Slot
from shared.relay import OperationKind, Purpose
from tests.kiosk.station.commands import (
    FACTORY_FIELD,
    PUK_FIELD,
    READ_CHUID,
    SELECT,
    SELECT_OTHER,
    agree,
    authenticate_management,
    change,
    held,
    put_data,
    request_info,
    sign,
    sign_digest,
    unblock,
    verify,
    verify_plain,
)

OPERATIONS = (OperationKind.RENEW, OperationKind.REISSUE)
PIN, CURRENT, NEW = Hole(name="pin"), Hole(name="current"), Hole(name="new")
GENERATE = Command(ins=Ins.GENERATE_ASYMMETRIC, label="generate", p2=0x9A, parts=(b"\xac\x03\x80\x01\x11",))
MOVE = Command(ins=Ins.MOVE_KEY, label="move", p1=0x82, p2=0x9D)
METADATA = Command(ins=Ins.GET_METADATA, label="metadata", p2=0x9D, le=0)
ATTEST = Command(ins=Ins.ATTEST, label="attest", p1=0x9A, le=0)
REQUEST = ToBeSigned(content=request_info(), digest=Digest.SHA256, length=32)
TRANSFER = ToBeSigned(content=b"transfer all my money", digest=Digest.SHA256, length=32)


@pytest.fixture(params=OPERATIONS)
def judge(request: pytest.FixtureRequest) -> Guard:
    """A station whose holder has typed the PIN."""
    return Guard(request.param, held(Purpose.PROVE, PinKind.CURRENT, 5))


def refusal(judge: Guard, *items: Item) -> str:
    with pytest.raises(errors.HoleRefused) as caught:
        judge.check(items)
    return str(caught.value.facts["why"])


def test_what_renewing_and_reissuing_send_passes(judge: Guard) -> None:
    """Keys are made with the management key, and then, after a reset, they are proven with the PIN."""
    judge.check([ColdReset(), SELECT, READ_CHUID, verify()])
    judge.reset()
    judge.check([ColdReset(), SELECT, authenticate_management(), MOVE, GENERATE, put_data()])
    judge.sent(6)
    proofs = [verify(), sign(REQUEST), verify(), sign(REQUEST, Slot.SIGNATURE), METADATA, ATTEST]
    judge.check([ColdReset(), SELECT, READ_CHUID, *proofs])
    judge.reset()
    judge.check(
        [
            *(SELECT, authenticate_management(), put_data()),
            *(ColdReset(), SELECT, READ_CHUID, verify(), sign(), verify(), sign(slot=Slot.SIGNATURE)),
        ]
    )


def test_the_question_must_serve_a_proof(judge: Guard) -> None:
    judge.check_purpose(Purpose.PROVE)
    for purpose in set(Purpose) - {Purpose.PROVE}:
        with pytest.raises(errors.HoleRefused):
            judge.check_purpose(purpose)


@pytest.mark.parametrize("purpose", sorted(set(Purpose) - {Purpose.PROVE}))
@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_pin_that_was_asked_for_something_else_is_not_used(
    operation: OperationKind, purpose: Purpose
) -> None:
    judge = Guard(operation, held(purpose, PinKind.CURRENT, 5))
    assert refusal(judge, SELECT, verify()) == "the value was asked for another purpose"


@pytest.mark.parametrize(
    "command",
    [
        authenticate_management(),
        GENERATE,
        MOVE,
        put_data(),
        Command(ins=Ins.SET_MANAGEMENT_KEY, label="key", p1=0xFF, p2=0xFF, parts=(bytes(27),)),
        Command(ins=Ins.SET_PIN_RETRIES, label="retries", p1=3, p2=3),
        Command(ins=Ins.IMPORT_KEY, label="import", p1=0x11, p2=0x9A, parts=(b"\x06\x01\x01",)),
        Command(ins=Ins.RESET, label="reset"),
        SELECT_OTHER,
        verify_plain(),
        change(FACTORY_FIELD, PUK_FIELD),
        change(CURRENT, NEW),
        unblock(PUK_FIELD, FACTORY_FIELD),
        unblock(PUK_FIELD, NEW),
        sign(TRANSFER),
        sign_digest(),
        sign_digest(Slot.SIGNATURE),
        agree(),
        agree(Slot.RETIRED_1),
        agree(Slot.KEY_MANAGEMENT, Algorithm.P256),
    ],
)
def test_while_the_pin_is_open_a_hostile_server_gets_nothing(judge: Guard, command: Command) -> None:
    refusal(judge, SELECT, verify(), command)
    judge.check([SELECT, verify(), sign()])
    judge.sent(2)
    refusal(judge, command)


@pytest.mark.parametrize(
    "text",
    [b"", CHALLENGE_PREFIX[1:], request_info() + b"\x00", request_info()[:-1]],
    ids=["empty", "half a prefix", "more than a request", "less than a request"],
)
def test_foreign_texts_are_not_signed_with_or_without_the_pin(judge: Guard, text: bytes) -> None:
    foreign = ToBeSigned(content=text, digest=Digest.SHA256, length=32)
    refusal(judge, SELECT, verify(), sign(foreign))
    refusal(judge, SELECT, sign(foreign, Slot.CARD_AUTHENTICATION))


def test_a_key_that_decrypts_agrees_on_nothing(judge: Guard) -> None:
    """While a card is issued it may, because the key is new; this one has opened mail."""
    why = "a digest or cipher text of the server's making"
    assert refusal(judge, SELECT, agree()) == why
    assert refusal(judge, SELECT, verify(), agree()) == why


def test_the_pin_stays_what_it_is(judge: Guard) -> None:
    """Whoever is asked for the present PIN, and then for a new one, is not asked for what was chosen."""
    for command in (change(CURRENT, NEW), change(FACTORY_FIELD, NEW), unblock(PUK_FIELD, NEW)):
        assert refusal(judge, SELECT, command) == "the holder's PIN stays as it is"


def test_the_pin_never_meets_an_open_management_key(judge: Guard) -> None:
    assert refusal(judge, SELECT, authenticate_management(), verify()) == (
        "the management key is open; reset the card first"
    )
    judge.check([SELECT, authenticate_management(), put_data()])
    judge.sent(3)
    refusal(judge, verify())
    judge.check([ColdReset(), SELECT, verify()])


def test_no_more_uses_than_were_announced(judge: Guard) -> None:
    proofs = [item for _ in range(5) for item in (verify(), sign())]
    judge.check([SELECT, *proofs])
    assert refusal(judge, SELECT, *proofs, verify(), sign()) == "more uses than announced"


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_pin_that_nobody_typed_is_not_drawn_in_its_place(operation: OperationKind) -> None:
    judge = Guard(operation, held(Purpose.PROVE, PinKind.DRAWN, 5))
    assert refusal(judge, SELECT, unblock(PUK_FIELD, PIN)) == "a drawn PIN would take the holder's card away"


def test_every_filling_of_it_may_cost_a_try() -> None:
    """The station asks the card for the tries that are left before it sends such a batch on."""
    pins = held(Purpose.PROVE, PinKind.CURRENT, 5)
    assert first_risk([SELECT, authenticate_management(), put_data()], pins) is None
    assert first_risk([ColdReset(), SELECT, READ_CHUID, verify(), sign(), verify(), sign()], pins) == 3


@pytest.mark.parametrize("purpose", LogonPurpose)
def test_no_operation_is_a_log_on_in_disguise(judge: Guard, purpose: LogonPurpose) -> None:
    """An operator's card is renewed like any other; meanwhile it signs nothing that would pass as its operator."""
    content = bytes(
        LogonText(
            server="cards.example.org",
            station=bytes(32),
            nonce=bytes(32),
            expires_at=datetime(2026, 11, 20, tzinfo=UTC),
            purpose=purpose,
            intent=bytes(32) if purpose is LogonPurpose.APPROVE else b"",
        )
    )
    why = "a text that logs an operator on, in an operation"
    for disguised in (content, content[:-1]):
        text = ToBeSigned(content=disguised, digest=Digest.SHA256, length=32)
        assert refusal(judge, SELECT, verify(), sign(text)) == why
        assert refusal(judge, SELECT, sign(text, Slot.CARD_AUTHENTICATION)) == why
