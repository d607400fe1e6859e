from collections.abc import Callable

import pytest

from shared import errors
from shared.iso7816.apdu import Hole
from shared.iso7816.conversation import Conversation, drive
from shared.piv.ids import ProfileName
from shared.piv.management import authenticated_singly, factory_key
from shared.piv.pin import change_pin, change_puk, pin_tries, reset_pin, set_pin_retries, verify_pin
from shared.piv.select import fresh
from shared.piv.vendor import pin_metadata, puk_metadata
from tests.shared.piv.terminal import Script, Terminal

PUK = b"12345678"
HOLE = Hole(name="pin")
NEW = Hole(name="new")


@pytest.mark.parametrize(
    ("talk", "raw"),
    [
        (lambda: verify_pin(b"123456"), "00200080" + b"123456\xff\xff".hex()),
        (lambda: change_pin(b"123456", b"65432100"), "00240080" + b"123456\xff\xff65432100".hex()),
        (lambda: change_puk(PUK, b"8765432"), "00240081" + b"123456788765432\xff".hex()),
        (lambda: reset_pin(PUK, b"123456"), "002C0080" + b"12345678123456\xff\xff".hex()),
    ],
)
def test_commands_are_those_of_the_standard(talk: Callable[[], Conversation[None]], raw: str) -> None:
    script = Script(0x9000)
    drive(talk(), script)
    (command,) = script.commands
    assert (
        bytes([command.cla, command.ins, command.p1, command.p2]).hex() + command.plain.hex() == raw.lower()
    )
    assert command.sensitive
    assert command.le is None


def test_a_hole_is_where_the_pin_goes() -> None:
    script = Script(0x9000, 0x9000, 0x9000)
    drive(verify_pin(HOLE), script)
    drive(change_pin(HOLE, NEW), script)
    drive(reset_pin(PUK, NEW), script)
    assert [command.parts for command in script.commands] == [(HOLE,), (HOLE, NEW), (PUK, NEW)]
    assert [command.length for command in script.commands] == [8, 16, 16]


@pytest.mark.parametrize(
    ("sw", "pin", "puk"),
    [
        (0x63C2, errors.PinRejected, errors.PukRejected),
        (0x63C0, errors.PinBlocked, errors.PukBlocked),
        (0x6983, errors.PinBlocked, errors.PukBlocked),
        (0x6A80, errors.PinNotAccepted, errors.PinNotAccepted),
        (0x6985, errors.PinNotAccepted, errors.PinNotAccepted),
        (0x6982, errors.NotAuthorised, errors.NotAuthorised),
        (0x6F00, errors.UnexpectedStatus, errors.UnexpectedStatus),
    ],
)
def test_what_a_refusal_means(sw: int, pin: type[errors.CardError], puk: type[errors.CardError]) -> None:
    for talk in (verify_pin(HOLE), change_pin(HOLE, NEW)):
        with pytest.raises(pin) as caught:
            drive(talk, Script(sw))
        assert type(caught.value) is pin
    for talk in (change_puk(PUK, PUK), reset_pin(PUK, NEW)):
        with pytest.raises(puk) as caught:
            drive(talk, Script(sw))
        assert type(caught.value) is puk


def test_tries_left_are_told() -> None:
    with pytest.raises(errors.PinRejected) as caught:
        drive(verify_pin(HOLE), Script(0x63C1))
    assert caught.value.facts == {"tries_left": 1}


@pytest.mark.parametrize(("sw", "tries"), [(0x63C3, 3), (0x63C0, 0), (0x6983, 0), (0x9000, None)])
def test_tries_are_asked_without_using_one(sw: int, tries: int | None) -> None:
    assert drive(pin_tries(), Script(sw)) == tries
    with pytest.raises(errors.NotSupportedByCard):
        drive(pin_tries(), Script(0x6D00))


def test_a_value_longer_than_the_field_is_refused() -> None:
    with pytest.raises(errors.PinPolicyViolated):
        drive(change_puk(PUK, b"123456789"), Script())


@pytest.mark.parametrize("counts", [(0, 3), (3, 0), (256, 3)])
def test_impossible_numbers_of_tries_are_refused(counts: tuple[int, int]) -> None:
    with pytest.raises(errors.Invalid):
        drive(set_pin_retries(*counts), Script())


@pytest.mark.parametrize("profile", list(ProfileName))
def test_a_card_goes_from_pin_to_pin(profile: ProfileName) -> None:
    terminal = Terminal(profile, holes={"new": b"654321\xff\xff", "wrong": b"000000\xff\xff"})
    terminal.drive(fresh(verify_pin(HOLE)))
    assert terminal.drive(pin_tries()) is None
    with pytest.raises(errors.PinRejected) as caught:
        terminal.drive(verify_pin(Hole(name="wrong")))
    assert caught.value.facts == {"tries_left": terminal.card.memory.pin.tries - 1}
    terminal.drive(change_pin(HOLE, NEW))
    with pytest.raises(errors.PinRejected):
        terminal.drive(verify_pin(HOLE))
    terminal.drive(verify_pin(NEW))
    terminal.drive(change_puk(PUK, b"87654321"))
    with pytest.raises(errors.PukRejected):
        terminal.drive(reset_pin(PUK, HOLE))
    terminal.drive(reset_pin(b"87654321", HOLE))
    terminal.drive(verify_pin(HOLE))


def test_a_blocked_pin_is_said_to_be_blocked_until_the_puk_frees_it() -> None:
    terminal = Terminal(holes={"wrong": b"000000\xff\xff"})
    wrong = Hole(name="wrong")
    for expected in (errors.PinRejected, errors.PinRejected, errors.PinBlocked, errors.PinBlocked):
        with pytest.raises(expected):
            terminal.drive(fresh(verify_pin(wrong)))
    assert terminal.drive(pin_tries()) == 0
    terminal.drive(reset_pin(PUK, HOLE))
    terminal.drive(verify_pin(HOLE))


def test_numbers_of_tries_are_set() -> None:
    terminal = Terminal(ProfileName.YUBIKEY_5_4)
    key = factory_key(terminal.card.profile.factory_management)
    terminal.drive(fresh(verify_pin(HOLE)))
    terminal.drive(authenticated_singly(key, set_pin_retries(7, 9)))
    assert terminal.drive(pin_metadata()).tries_total == 7
    assert terminal.drive(puk_metadata()).tries_total == 9
