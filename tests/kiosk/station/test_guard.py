from collections.abc import Sequence
from dataclasses import replace

import pytest

from kiosk.station.guard import PURPOSES, Guard, first_risk
from kiosk.station.pins import HeldPins, PinKind
from shared import errors
from shared.iso7816.apdu import (
    ANY_STATUS,
    CHAINING_BIT,
    CHALLENGE_PREFIX,
    ColdReset,
    Command,
    Digest,
    Hole,
    Item,
    ToBeSigned,
)
from shared.piv.ids import Algorithm, Ins, KeyRef, Slot
from shared.relay import OperationKind, Purpose
from shared.secret import Secret
from tests.kiosk.station.commands import (
    CHALLENGE,
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
    tries,
    unblock,
    verify,
    verify_plain,
)

PIN = Hole(name="pin")
OWNED = {OperationKind.ISSUE, OperationKind.REGISTER, OperationKind.UNREGISTER}
"""Where a card comes from the factory, or goes back to it."""
CURRENT = Hole(name="current")
NEW = Hole(name="new")


def guard(
    operation: OperationKind = OperationKind.ISSUE, kind: PinKind | None = None, uses: int = 9
) -> Guard:
    purpose = PURPOSES[operation]
    default = {
        Purpose.ACTIVATE: PinKind.NEW,
        Purpose.UNBLOCK: PinKind.NEW,
        Purpose.CHANGE_PIN: PinKind.CURRENT,
        Purpose.PROVE: PinKind.CURRENT,
    }
    held_pin = kind or default.get(purpose or Purpose.END, PinKind.DRAWN)
    return Guard(operation, held(purpose or Purpose.END, held_pin, uses))


def der_length(length: int) -> bytes:
    return bytes((length,)) if length < 0x80 else b"\x82" + length.to_bytes(2, "big")


def refusal(judge: Guard, *items: Item) -> str:
    with pytest.raises(errors.HoleRefused) as caught:
        judge.check(items)
    return str(caught.value.facts["why"])


@pytest.mark.parametrize(
    "items",
    [
        [SELECT, verify(), sign(), verify(), sign(slot=Slot.SIGNATURE)],
        [SELECT, change(FACTORY_FIELD, PIN), ColdReset(), SELECT, verify(), sign()],
        [SELECT, authenticate_management(), put_data(), unblock(PUK_FIELD, PIN), put_data()],
        [SELECT, authenticate_management(), ColdReset(), SELECT, verify(), sign(), READ_CHUID, tries()],
        [SELECT, verify(), agree(), agree(Slot.RETIRED_3)],
        [SELECT, verify_plain(), put_data()],
    ],
)
def test_issuing_with_a_drawn_pin_may_prove_keys(items: Sequence[Item]) -> None:
    guard().check(items)


def test_activation_may_set_verify_and_prove() -> None:
    guard(OperationKind.ACTIVATE).check(
        [SELECT, unblock(PUK_FIELD, PIN), ColdReset(), SELECT, verify(), sign(), READ_CHUID]
    )


def test_a_change_uses_the_present_and_the_new_pin_once() -> None:
    judge = guard(OperationKind.CHANGE_PIN)
    judge.check([SELECT, tries(), change(CURRENT, NEW)])
    judge.check([SELECT, change(CURRENT, NEW), ColdReset(), SELECT, verify("new")])


@pytest.mark.parametrize(
    "command",
    [
        Command(
            ins=Ins.PUT_DATA, label="write", p1=0x3F, p2=0xFF, parts=(b"\x5c\x03\x5f\xc1\x02\x53\x08", PIN)
        ),
        Command(
            ins=Ins.GENERAL_AUTHENTICATE, label="sign", p1=0x11, p2=0x9A, parts=(b"\x7c\x0a\x81\x08", PIN)
        ),
        Command(ins=Ins.SET_MANAGEMENT_KEY, label="key", p1=0xFF, p2=0xFF, parts=(PIN, PIN)),
        Command(ins=Ins.SELECT, label="select", p1=4, parts=(PIN,)),
        Command(ins=Ins.VERIFY, label="verify", cla=CHAINING_BIT, p2=0x80, parts=(PIN,)),
        Command(ins=Ins.VERIFY, label="verify", cla=0x80, p2=0x80, parts=(PIN,)),
        Command(ins=Ins.VERIFY, label="verify", p1=0xFF, p2=0x80, parts=(PIN,)),
    ],
)
def test_a_hole_in_any_other_command_is_refused(command: Command) -> None:
    assert refusal(guard(), SELECT, command) == "no PIN goes into this command"


@pytest.mark.parametrize(
    "command",
    [
        verify("pin", KeyRef.PUK),
        verify("pin", 0x96),
        verify("pin", KeyRef.GLOBAL_PIN),
        verify("pin", KeyRef.PIN, b"1", Hole(name="pin", length=7)),
        verify("pin", KeyRef.PIN, PIN, b"\x00"),
        verify("pin", KeyRef.PIN, PIN, PIN),
        verify("pin", KeyRef.PIN, Hole(name="pin", length=6)),
        change(PIN, FACTORY_FIELD),
        change(FACTORY_FIELD[:-1], PIN),
        change(FACTORY_FIELD, b"\x00", PIN),
        change(PIN, FACTORY_FIELD, p2=KeyRef.PUK),
        change(PIN, PIN, p2=KeyRef.PUK),
        change(FACTORY_FIELD, PIN, p2=KeyRef.GLOBAL_PIN),
        change(PIN),
        unblock(PIN, FACTORY_FIELD),
        unblock(PUK_FIELD, PIN, p2=KeyRef.PUK),
        unblock(PUK_FIELD, PIN, b"\x00"),
    ],
)
def test_a_hole_beside_the_pins_place_is_refused(command: Command) -> None:
    assert refusal(guard(), SELECT, command) == "the hole is not the PIN's place"


# --- the System Owner's unblock code ----------------------------------------------------------------------


def coded(operation: OperationKind) -> Guard:
    """Return the guard of an operation for which a new PIN and the unblock code are held."""
    pins = HeldPins(lambda below: 1 % below)
    purpose = PURPOSES[operation]
    assert purpose is not None
    pins.keep("new", Secret(b"824650"), kind=PinKind.NEW, purpose=purpose, uses=2)
    pins.keep("code", Secret(b"40197352"), kind=PinKind.CODE, purpose=purpose, uses=2)
    return Guard(operation, pins)


CODE = Hole(name="code")


def test_the_code_is_set_with_the_first_pin_and_stands_in_for_the_servers() -> None:
    coded(OperationKind.ACTIVATE).check(
        [
            SELECT,
            unblock(PUK_FIELD, NEW),
            change(PUK_FIELD, CODE, p2=KeyRef.PUK),
            ColdReset(),
            SELECT,
            verify("new"),
        ]
    )
    for operation in (OperationKind.ACTIVATE, OperationKind.UNBLOCK):
        coded(operation).check([SELECT, unblock(CODE, NEW), ColdReset(), SELECT, verify("new")])


@pytest.mark.parametrize(
    "command",
    [
        verify("code"),
        unblock(PUK_FIELD, CODE),
        unblock(NEW, NEW),
        unblock(CODE, CODE),
        change(PUK_FIELD, NEW, p2=KeyRef.PUK),
        change(CODE, NEW),
    ],
)
def test_a_pin_and_the_code_do_not_change_places(command: Command) -> None:
    said = refusal(coded(OperationKind.ACTIVATE), SELECT, command)
    assert said == "a PIN and the unblock code are swapped"


def test_the_code_is_set_by_no_other_operation() -> None:
    change_code = change(PUK_FIELD, CODE, p2=KeyRef.PUK)
    assert (
        refusal(coded(OperationKind.UNBLOCK), SELECT, change_code)
        == "the unblock code is set with the first PIN"
    )


def test_a_name_that_nobody_was_asked_for_is_refused() -> None:
    assert refusal(guard(), SELECT, verify("other")) == "nothing was asked for under this name"


def test_more_uses_than_announced_are_refused_before_anything_is_sent() -> None:
    assert refusal(guard(uses=2), SELECT, verify(), verify(), verify()) == "more uses than announced"
    guard(uses=2).check([SELECT, verify(), verify()])


def test_a_wrong_pin_must_end_the_batch() -> None:
    tolerant = Command(ins=Ins.VERIFY, label="verify", p2=0x80, parts=(PIN,), expect=ANY_STATUS)
    assert refusal(guard(), SELECT, tolerant) == "a wrong PIN would not end the batch"
    listed = Command(
        ins=Ins.VERIFY, label="verify", p2=0x80, parts=(PIN,), expect=frozenset({0x9000, 0x63C2})
    )
    assert refusal(guard(), SELECT, listed) == "a wrong PIN would not end the batch"


def test_no_hole_before_the_piv_application_is_selected() -> None:
    why = "the PIV application was not selected since the last reset"
    assert refusal(guard(), verify()) == why
    assert refusal(guard(), SELECT, ColdReset(), verify()) == why
    assert refusal(guard(), SELECT, SELECT_OTHER, verify()) == why


def test_present_and_new_pin_cannot_be_swapped() -> None:
    why = "the present and the new PIN are swapped"
    judge = guard(OperationKind.CHANGE_PIN)
    assert refusal(judge, SELECT, change(NEW, CURRENT)) == why
    assert refusal(judge, SELECT, change(FACTORY_FIELD, CURRENT)) == why
    assert refusal(judge, SELECT, unblock(PUK_FIELD, CURRENT)) == why


@pytest.mark.parametrize("purpose", set(Purpose) - {Purpose.END})
@pytest.mark.parametrize("kind", list(PinKind))
def test_an_update_asks_for_no_pin_and_uses_none(purpose: Purpose, kind: PinKind) -> None:
    """It may set one that nobody knows, where its credential was suspended meanwhile."""
    judge = Guard(OperationKind.UPDATE, held(purpose, kind, 3))
    with pytest.raises(errors.HoleRefused):
        judge.check_purpose(purpose)
    for command in (verify(), change(FACTORY_FIELD, PIN)):
        assert refusal(judge, SELECT, command)
    if kind is not PinKind.DRAWN:
        assert refusal(judge, SELECT, unblock(PUK_FIELD, PIN))


def test_a_change_of_the_pin_uses_it_for_nothing_else() -> None:
    why = refusal(guard(OperationKind.CHANGE_PIN), SELECT, unblock(PUK_FIELD, NEW))
    assert why == "a change of the PIN uses it for nothing else"


def test_a_drawn_pin_never_replaces_the_holders_in_a_change() -> None:
    judge = guard(OperationKind.CHANGE_PIN, PinKind.DRAWN)
    assert refusal(judge, SELECT, change(CURRENT, PIN)) == "a drawn PIN would take the holder's card away"
    judge = guard(OperationKind.ACTIVATE, PinKind.DRAWN)
    assert refusal(judge, SELECT, unblock(PUK_FIELD, PIN)) == "a drawn PIN would take the holder's card away"


@pytest.mark.parametrize("operation", [OperationKind.ISSUE, OperationKind.ACTIVATE, OperationKind.UNBLOCK])
@pytest.mark.parametrize(
    "command",
    [
        authenticate_management(),
        put_data(),
        Command(ins=Ins.GENERATE_ASYMMETRIC, label="generate", p2=0x9A, parts=(b"\xac\x03\x80\x01\x11",)),
        Command(ins=Ins.IMPORT_KEY, label="import", p1=0x11, p2=0x9A, parts=(b"\x06\x01\x01",)),
        Command(ins=Ins.MOVE_KEY, label="move", p1=0x82, p2=0x9A),
        Command(ins=Ins.SET_MANAGEMENT_KEY, label="key", p1=0xFF, p2=0xFF, parts=(bytes(27),)),
        Command(ins=Ins.SET_PIN_RETRIES, label="retries", p1=3, p2=3),
        Command(ins=Ins.RESET, label="reset"),
        Command(ins=0xE4, label="unknown"),
        Command(ins=Ins.GET_DATA, label="chained", cla=CHAINING_BIT, p1=0x3F, p2=0xFF, parts=(b"\x5c",)),
        SELECT_OTHER,
        verify_plain(),
        change(FACTORY_FIELD, PUK_FIELD),
        change(FACTORY_FIELD, PIN),
        change(PUK_FIELD, PUK_FIELD, p2=KeyRef.PUK),
        unblock(PUK_FIELD, FACTORY_FIELD),
        unblock(PUK_FIELD, PIN),
        sign_digest(),
        sign_digest(Slot.SIGNATURE),
        agree(Slot.AUTHENTICATION),
        agree(0xF9),
    ],
)
def test_while_a_pin_is_open_only_proofs_pass(operation: OperationKind, command: Command) -> None:
    judge = guard(operation)
    refusal(judge, SELECT, verify(), command)
    judge.check([SELECT, verify(), sign()])
    judge.sent(2)
    refusal(judge, command)


def test_a_reset_closes_the_pin() -> None:
    judge = guard()
    judge.check([SELECT, verify()])
    judge.sent(2)
    refusal(judge, put_data())
    judge.check([ColdReset(), put_data()])
    judge.sent(1)
    judge.check([put_data()])


def test_only_what_was_sent_counts() -> None:
    judge = guard()
    judge.check([SELECT, verify(), ColdReset()])
    judge.sent(2)
    refusal(judge, put_data())


def test_a_typed_pin_opens_no_decryption() -> None:
    judge = guard(OperationKind.ACTIVATE)
    assert refusal(judge, SELECT, verify(), agree()) == "a digest or cipher text of the server's making"
    guard().check([SELECT, verify(), agree()])


@pytest.mark.parametrize("algorithm", [Algorithm.P256, Algorithm.P384])
@pytest.mark.parametrize("opening", [[SELECT], [SELECT, verify()]], ids=["no PIN", "drawn PIN"])
def test_only_keys_that_cannot_sign_agree(opening: Sequence[Item], algorithm: Algorithm) -> None:
    """Whoever may choose the peer's point may read what was encrypted for the holder."""
    why = "a digest or cipher text of the server's making"
    assert refusal(guard(), *opening, agree(algorithm=algorithm)) == why
    assert refusal(guard(), *opening, agree(Slot.AUTHENTICATION)) == why
    assert refusal(guard(OperationKind.ACTIVATE), SELECT, agree()) == why
    guard().check([*opening, agree()])


@pytest.mark.parametrize("slot", [Slot.AUTHENTICATION, Slot.SIGNATURE, Slot.KEY_MANAGEMENT])
@pytest.mark.parametrize("operation", list(OperationKind))
def test_no_digest_is_signed_even_where_no_pin_of_ours_is_open(operation: OperationKind, slot: Slot) -> None:
    """The server knows the PUK: with a PIN of its own it would open the card without a hole."""
    judge = guard(operation)
    assert refusal(judge, SELECT, sign_digest(slot)) == "a digest or cipher text of the server's making"


@pytest.mark.parametrize("operation", list(OperationKind))
@pytest.mark.parametrize(
    ("command", "why"),
    [
        (unblock(PUK_FIELD, b"111111\xff\xff"), "the server would choose the PIN"),
        (change(FACTORY_FIELD, b"111111\xff\xff"), "the server would choose the PIN"),
        (
            change(b"111111\xff\xff", b"222222\xff\xff", p2=KeyRef.GLOBAL_PIN),
            "the server would choose the PIN",
        ),
        (verify_plain(b"111111\xff\xff"), "the server tries a PIN of its own"),
        (
            Command(ins=Ins.VERIFY, label="pairing", p2=0x98, parts=(FACTORY_FIELD,)),
            "the server tries a PIN of its own",
        ),
    ],
)
def test_a_server_neither_chooses_nor_guesses_a_pin(
    operation: OperationKind, command: Command, why: str
) -> None:
    assert refusal(guard(operation), SELECT, command) == why


def test_the_factory_pin_is_tried_while_a_card_is_issued_and_ends_the_batch_where_it_is_wrong() -> None:
    guard().check([SELECT, verify_plain()])
    for operation in set(OperationKind) - OWNED:
        assert refusal(guard(operation), SELECT, verify_plain()) == "the server tries a PIN of its own"
    tolerant = replace(verify_plain(), expect=ANY_STATUS)
    assert refusal(guard(), SELECT, tolerant) == "a wrong PIN would not end the batch"
    why = "the server tries a PIN of its own"
    assert refusal(guard(), SELECT, change(b"111111\xff\xff", PIN)) == why


@pytest.mark.parametrize(
    ("algorithm", "digest", "length"),
    [
        (Algorithm.RSA_2048, Digest.NONE, 256),
        (Algorithm.RSA_2048, Digest.SHA256, 256),
        (Algorithm.RSA_2048, Digest.PKCS1_SHA256, 384),
        (Algorithm.RSA_3072, Digest.PKCS1_SHA256, 256),
        (Algorithm.P256, Digest.NONE, 256),
        (Algorithm.P256, Digest.SHA384, 32),
        (Algorithm.P384, Digest.SHA256, 48),
        (Algorithm.P384, Digest.SHA384, 47),
        (Algorithm.ED25519, Digest.SHA256, 32),
        (Algorithm.X25519, Digest.SHA256, 32),
        (0x06, Digest.NONE, 256),
    ],
)
def test_a_key_signs_with_the_digest_of_its_kind_only(algorithm: int, digest: Digest, length: int) -> None:
    """A text under a bare RSA operation is a building block for signatures over anything."""
    text = ToBeSigned(content=CHALLENGE_PREFIX.ljust(256, b"x"), digest=digest, length=length)
    inner = b"\x82\x00\x81" + der_length(length)
    command = replace(sign(), p1=algorithm, parts=(b"\x7c" + der_length(len(inner) + length) + inner, text))
    assert refusal(guard(), SELECT, verify(), command) == "not the digest of this kind of key"


@pytest.mark.parametrize(
    "elsewhere",
    [
        replace(SELECT, cla=0x01),
        replace(SELECT, cla=0x0C),
        replace(SELECT, cla=CHAINING_BIT),
        Command(ins=Ins.PUT_DATA, label="begin of a chain", cla=CHAINING_BIT, parts=(b"\x5c",)),
        Command(ins=0x50, label="INITIALIZE UPDATE", cla=0x80, parts=(bytes(8),)),
    ],
)
def test_a_class_of_the_servers_own_is_refused(elsewhere: Command) -> None:
    """A SELECT on another channel, or one that the card cannot read, would leave another application chosen."""
    assert refusal(guard(), SELECT, elsewhere) == "a class of the server's own"


@pytest.mark.parametrize("doubtful", [replace(SELECT, expect=ANY_STATUS), replace(SELECT, p2=0x02)])
def test_a_selection_that_may_have_failed_does_not_count(doubtful: Command) -> None:
    why = "the PIV application was not selected since the last reset"
    assert refusal(guard(), doubtful, verify()) == why


def test_a_selection_that_was_refused_does_not_count() -> None:
    judge = guard()
    judge.check([SELECT_OTHER, SELECT])
    judge.sent(2, refused=True)
    assert refusal(judge, verify()) == "the PIV application was not selected since the last reset"


def test_no_pin_while_the_management_key_is_open() -> None:
    why = "the management key is open; reset the card first"
    assert refusal(guard(), SELECT, authenticate_management(), verify()) == why
    assert refusal(guard(), SELECT, authenticate_management(), change(FACTORY_FIELD, PIN)) == why


def test_after_a_change_nothing_else_passes() -> None:
    judge = guard(OperationKind.CHANGE_PIN)
    for command in (READ_CHUID, sign(), put_data(), authenticate_management(), verify_plain(), SELECT):
        refusal(judge, SELECT, change(CURRENT, NEW), command)
    judge.check([SELECT, change(CURRENT, NEW), tries()])


def test_a_question_must_serve_the_operation() -> None:
    judge = guard(OperationKind.CHANGE_PIN)
    judge.check_purpose(Purpose.CHANGE_PIN)
    with pytest.raises(errors.HoleRefused):
        judge.check_purpose(Purpose.ISSUE)
    assert refusal(
        Guard(OperationKind.ACTIVATE, held(Purpose.CHANGE_PIN, PinKind.CURRENT)), SELECT, verify()
    ) == ("the value was asked for another purpose")


def test_a_certificate_request_may_be_signed() -> None:
    request = ToBeSigned(content=request_info(), digest=Digest.SHA256, length=32)
    guard().check([SELECT, verify(), sign(request)])


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"transfer all my money",
        CHALLENGE_PREFIX[1:],
        b"\x30\x03\x02\x01\x00",
        request_info() + b"\x00",
        request_info()[:-1],
        b"\x30\x80" + request_info()[2:] + b"\x00\x00",
    ],
    ids=["empty", "words", "prefix cut", "other DER", "byte more", "byte less", "indefinite length"],
)
def test_any_other_text_is_not_signed(content: bytes) -> None:
    text = ToBeSigned(content=content, digest=Digest.SHA256, length=32)
    assert (
        refusal(guard(), SELECT, verify(), sign(text))
        == "neither a certificate request nor a challenge of ours"
    )
    # no PIN is needed for 9E, and the text is still not ours
    refusal(guard(), SELECT, sign(text, Slot.CARD_AUTHENTICATION))


@pytest.mark.parametrize(
    "parts",
    [
        (CHALLENGE,),
        (b"\x7c\x24\x82\x00\x85\x20", CHALLENGE),
        (b"\x7c\x24\x82\x00\x81\x1f", CHALLENGE),
        (b"\x7c\x25\x82\x00\x81\x20", CHALLENGE, b"\x00"),
        (b"\x7c\x46\x82\x00\x81\x20" + bytes(32) + b"\x81\x20", CHALLENGE),
    ],
)
def test_a_text_stands_where_the_challenge_is(parts: tuple[bytes | ToBeSigned, ...]) -> None:
    command = Command(ins=Ins.GENERAL_AUTHENTICATE, label="sign", p1=0x11, p2=0x9A, parts=parts, le=0)
    assert refusal(guard(), SELECT, command) == "the text is not the challenge of the template"


def test_a_text_is_signed_by_one_key_in_one_command() -> None:
    why = "a text to sign where nothing is signed"
    elsewhere = Command(ins=Ins.PUT_DATA, label="write", parts=(CHALLENGE,))
    assert refusal(guard(), SELECT, elsewhere) == why
    assert refusal(guard(), SELECT, sign(slot=KeyRef.MANAGEMENT)) == why


def test_the_answer_may_come_before_or_after_the_challenge() -> None:
    swapped = Command(
        ins=Ins.GENERAL_AUTHENTICATE,
        label="sign",
        p1=0x11,
        p2=0x9A,
        parts=(b"\x7c\x24\x81\x20", CHALLENGE, b"\x82\x00"),
        le=0,
    )
    guard().check([SELECT, verify(), swapped])
    long = ToBeSigned(content=CHALLENGE.content, digest=Digest.PKCS1_SHA256, length=256)
    rsa = Command(
        ins=Ins.GENERAL_AUTHENTICATE,
        label="sign",
        p1=0x07,
        p2=0x9A,
        parts=(bytes.fromhex("7C820106 8200 81820100"), long),
        le=0,
    )
    guard().check([SELECT, verify(), rsa])


@pytest.mark.parametrize(
    ("items", "kind", "index"),
    [
        ([SELECT, READ_CHUID, tries()], PinKind.CURRENT, None),
        ([SELECT, verify()], PinKind.CURRENT, 1),
        ([SELECT, verify()], PinKind.NEW, 1),
        ([SELECT, verify()], PinKind.DRAWN, None),
        ([SELECT, verify_plain()], PinKind.DRAWN, 1),
        ([SELECT, change(FACTORY_FIELD, PIN)], PinKind.DRAWN, 1),
        ([SELECT, change(PUK_FIELD, PUK_FIELD, p2=KeyRef.PUK)], PinKind.NEW, None),
        ([unblock(PUK_FIELD, PIN), ColdReset(), SELECT, verify()], PinKind.NEW, None),
        ([change(CURRENT, NEW), ColdReset(), SELECT, verify("new")], PinKind.NEW, 0),
    ],
)
def test_where_a_try_may_be_lost(items: Sequence[Item], kind: PinKind, index: int | None) -> None:
    assert first_risk(items, held(kind=kind)) == index


def test_a_pin_that_the_card_took_is_no_risk() -> None:
    pins = held(kind=PinKind.NEW)
    pins.mark_set("pin")
    pins.mark_set("nobody")
    assert first_risk([SELECT, verify()], pins) is None


@pytest.mark.parametrize("operation", [OperationKind.REVOKE, OperationKind.RETIRE])
def test_what_ends_a_credential_sets_a_pin_that_nobody_knows_and_does_nothing_with_it(
    operation: OperationKind,
) -> None:
    why = "a PIN that nobody knows is set, and used for nothing else"
    judge = guard(operation)
    judge.check([SELECT, unblock(PUK_FIELD, PIN)])
    assert refusal(judge, SELECT, verify()) == why
    assert refusal(judge, SELECT, change(PIN, NEW)) == why
