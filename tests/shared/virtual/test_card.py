"""Framing, objects, memory image and faults of the virtual card."""

import base64
import json
import os
import zlib

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ed448
from hypothesis import given, settings
from hypothesis import strategies as st

from shared import errors
from shared.iso7816.status import SW
from shared.piv.ids import Algorithm, ProfileName, Slot
from shared.virtual.card import VirtualCard
from shared.virtual.faults import Fault, FaultKind
from shared.virtual.keys import public_template
from shared.virtual.memory import Memory
from tests.shared.virtual.talk import PIN, SELECT, Terminal, inner, new_card, opened, parse, tlv

CHUID = bytes.fromhex("5C035FC102")
PRINTED = bytes.fromhex("5C035FC109")


def put_chuid(value: bytes) -> bytes:
    return CHUID + tlv(0x53, value)


# --- objects --------------------------------------------------------------------------------------------


def test_objects_are_written_read_and_deleted() -> None:
    terminal = opened()
    value = os.urandom(2900)
    terminal.ok("00DB3FFF", put_chuid(value))
    assert inner(terminal.ok("00CB3FFF", CHUID), 0x53) == value
    terminal.ok("00DB3FFF", put_chuid(b""))
    assert terminal.sw("00CB3FFF", CHUID) == 0x6A82
    terminal.ok("00DB3FFF", put_chuid(b""))


def test_some_objects_are_for_the_holder_only() -> None:
    terminal = opened()
    terminal.ok("00DB3FFF", PRINTED + tlv(0x53, b"name"))
    assert terminal.sw("00CB3FFF", PRINTED) == 0x6982
    terminal.verify()
    assert inner(terminal.ok("00CB3FFF", PRINTED), 0x53) == b"name"


def test_the_discovery_object_is_there_and_a_plain_card_lets_it_be_written() -> None:
    terminal = opened()
    discovery = terminal.ok("00CB3FFF", bytes.fromhex("5C017E"))
    assert dict(parse(inner(discovery, 0x7E)))[0x5F2F] == b"\x40\x00"
    assert terminal.sw("00DB3FFF", tlv(0x7E, b"\x5f\x2f\x02\x60\x10")) == 0x6A82
    plain = opened(ProfileName.PLAIN)
    plain.ok("00DB3FFF", tlv(0x7E, b"\x5f\x2f\x02\x60\x10"))
    assert plain.ok("00CB3FFF", bytes.fromhex("5C017E")) == tlv(0x7E, b"\x5f\x2f\x02\x60\x10")


@pytest.mark.parametrize(
    ("head", "data", "sw"),
    [
        ("00CB3F00", CHUID, 0x6A86),
        ("00CB3FFF", b"", 0x6A80),
        ("00CB3FFF", CHUID[:-1], 0x6A80),
        ("00CB3FFF", CHUID + CHUID, 0x6A80),
        ("00CB3FFF", bytes.fromhex("5C035FC1FF"), 0x6A82),
        ("00CB3FFF", bytes.fromhex("5C027F61"), 0x6A82),
        ("00DB0000", put_chuid(b"x"), 0x6A86),
        ("00DB3FFF", CHUID, 0x6A80),
        ("00DB3FFF", put_chuid(b"x") + b"\0", 0x6A80),
        ("00DB3FFF", tlv(0x5C, b"\x7f\x01") + tlv(0x53, b"x"), 0x6A82),
        ("00DB3FFF", put_chuid(bytes(3064)), 0x6700),
        ("00000000", b"", 0x6D00),
        ("04CB3FFF", CHUID, 0x6882),
        ("80CB3FFF", CHUID, 0x6E00),
    ],
)
def test_wrong_commands_get_the_right_status(head: str, data: bytes, sw: int) -> None:
    terminal = opened()
    before = terminal.card.memory
    assert terminal.sw(head, data) == sw
    assert terminal.card.memory is before


def test_a_full_card_says_so() -> None:
    terminal = opened(ProfileName.UNKNOWN)
    assert terminal.sw("00DB3FFF", put_chuid(bytes(5001))) == 0x6A84
    statuses = [
        terminal.sw("00DB3FFF", tlv(0x5C, bytes((0x5F, 0xC1, low))) + tlv(0x53, bytes(5000)))
        for low in range(0x0D, 0x15)
    ]
    assert statuses == [0x9000] * 6 + [0x6A84] * 2


def test_an_applet_of_unknown_make_is_born_with_a_chuid_of_its_own() -> None:
    one, other = Terminal(new_card(ProfileName.UNKNOWN)), Terminal(new_card(ProfileName.UNKNOWN))
    assert one.ok("00CB3FFF", CHUID) != other.ok("00CB3FFF", CHUID)
    assert one.sw("00CB3FFF", bytes.fromhex("5C035FC107")) == 0x9000


# --- framing --------------------------------------------------------------------------------------------


def test_a_short_le_is_honoured_and_the_rest_fetched() -> None:
    terminal = opened()
    terminal.ok("00DB3FFF", put_chuid(bytes(range(100))))
    whole = tlv(0x53, bytes(range(100)))
    first, sw = terminal.raw(bytes.fromhex("00CB3FFF05") + CHUID + b"\x08")
    assert (first, sw) == (whole[:8], 0x6100 | (len(whole) - 8))
    second, sw = terminal.raw(bytes.fromhex("00C0000010"))
    assert (second, sw) == (whole[8:24], 0x6100 | (len(whole) - 24))
    assert terminal.raw(bytes.fromhex("00C0000000")) == (whole[24:], 0x9000)
    assert terminal.raw(bytes.fromhex("00C0000000")) == (b"", 0x6985)


def test_more_than_256_bytes_say_61_00() -> None:
    terminal = opened()
    terminal.ok("00DB3FFF", put_chuid(bytes(700)))
    first, sw = terminal.raw(bytes.fromhex("00CB3FFF05") + CHUID)
    assert (len(first), sw) == (256, 0x6100)
    terminal.sw("00200080")
    assert terminal.raw(bytes.fromhex("00C0000000"))[1] == 0x6985, "another command forgets the rest"


def test_extended_length_both_ways() -> None:
    terminal = opened()
    value = os.urandom(1500)
    data = put_chuid(value)
    assert terminal.raw(bytes.fromhex("00DB3FFF00") + len(data).to_bytes(2, "big") + data)[1] == 0x9000
    answer, sw = terminal.raw(bytes.fromhex("00CB3FFF000005") + CHUID + b"\0\0")
    assert (inner(answer, 0x53), sw) == (value, 0x9000)
    unknown = Terminal(new_card(ProfileName.UNKNOWN))
    assert unknown.raw(bytes.fromhex("00CB3FFF000005") + CHUID + b"\0\0")[1] == 0x6700


def test_an_interrupted_chain_is_forgotten() -> None:
    terminal = opened()
    assert terminal.raw(bytes.fromhex("10DB3FFF03") + b"abc")[1] == 0x9000
    assert terminal.sw("00200080") == 0x63C3
    assert terminal.raw(bytes.fromhex("00DB3FFF03") + b"abc")[1] == 0x6A80


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=300))
def test_no_bytes_break_the_card(raw: bytes) -> None:
    terminal = opened()
    answer = terminal.card.transmit(raw)
    assert len(answer) >= 2
    assert answer[-2] in range(0x61, 0x91)
    assert terminal.raw(SELECT)[1] == 0x9000


@settings(max_examples=300, deadline=None)
@given(
    st.sampled_from([0x20, 0x24, 0x2C, 0x47, 0x87, 0xCB, 0xDB, 0xF6, 0xF7, 0xF9, 0xFA, 0xFE, 0xFF]),
    st.integers(0, 255),
    st.sampled_from([0x80, 0x81, 0x9A, 0x9B, 0xFF, 0x00]),
    st.binary(max_size=40),
)
def test_no_command_data_breaks_the_card(ins: int, p1: int, p2: int, data: bytes) -> None:
    if ins == 0x47 and data[3:5] in {b"\x01\x05", b"\x01\x07", b"\x01\x16"}:
        return  # a real RSA key takes seconds
    terminal = opened(ProfileName.YUBIKEY_5_7)
    _, sw = terminal.raw(bytes((0, ins, p1, p2, *((len(data), *data) if data else ()))))
    assert sw >> 8 in {0x61, 0x63, 0x67, 0x69, 0x6A, 0x90}


def test_a_card_without_power_says_nothing() -> None:
    card = new_card()
    assert card.transmit(SELECT) == b""
    card.power_on()
    assert card.transmit(SELECT)[-2:] == b"\x90\x00"
    card.power_off()
    assert card.transmit(SELECT) == b""


@pytest.mark.parametrize("profile", ProfileName)
def test_atrs_are_well_formed(profile: ProfileName) -> None:
    atr = new_card(profile).atr
    check = 0
    for byte in atr[1:]:
        check ^= byte
    assert check == 0, "TCK"
    assert atr != bytes.fromhex("3B80800101")


# --- memory ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("profile", ProfileName)
def test_an_image_is_the_card(profile: ProfileName) -> None:
    terminal = opened(profile)
    terminal.generate(0x9A, Algorithm.P256)
    terminal.ok("00DB3FFF", put_chuid(b"x" * 300))
    terminal.verify(b"000000\xff\xff")
    image = terminal.card.memory.to_bytes()
    memory = Memory.from_bytes(image)
    assert memory.to_bytes() == image
    again = Terminal(VirtualCard(memory, random=os.urandom))
    assert again.sw("00200080") == 0x63C2
    assert inner(again.ok("00CB3FFF", CHUID), 0x53) == b"x" * 300
    assert public_template(memory.keys[Slot.AUTHENTICATION].private) == public_template(
        terminal.card.memory.keys[Slot.AUTHENTICATION].private
    )


def test_all_kinds_of_keys_survive_in_an_image() -> None:
    terminal = opened(ProfileName.YUBIKEY_5_7)
    for slot, algorithm in zip((0x9A, 0x9C, 0x9D, 0x9E), (0x11, 0x14, 0xE1, 0xE0), strict=True):
        terminal.generate(slot, algorithm)
    image = terminal.card.memory.to_bytes()
    assert Memory.from_bytes(image).to_bytes() == image


def test_a_damaged_image_is_refused() -> None:
    image = new_card().memory.to_bytes()
    flipped = image[:-20] + bytes((image[-20] ^ 1,)) + image[-19:]
    for wrong in (
        b"",
        image[:-1],
        image + b"\0",
        flipped,
        b"XXXX" + image[4:],
        image[:4] + b"\x09" + image[5:],
    ):
        with pytest.raises(errors.CardMalformed):
            Memory.from_bytes(wrong)


def sealed(body: bytes) -> bytes:
    return b"IKVC\x01" + len(body).to_bytes(4, "big") + zlib.crc32(body).to_bytes(4, "big") + body


def test_an_image_that_is_whole_but_senseless_is_refused() -> None:
    image = new_card().memory.to_bytes()
    key = ed448.Ed448PrivateKey.generate().private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    document = json.loads(image[13:])
    document["keys"]["F9"]["private"] = base64.b64encode(key).decode()
    for body in (b'{"profile":"yubikey-9"}', b"[]", b"\xff", json.dumps(document).encode()):
        with pytest.raises(errors.CardMalformed):
            Memory.from_bytes(sealed(body))
    assert Memory.from_bytes(sealed(image[13:])).serial == 20_114_501


def test_no_secret_shows_in_the_memory() -> None:
    memory = new_card().memory
    assert "123456" not in repr(memory)
    assert "\\x01\\x02\\x03" not in repr(memory)


# --- faults ---------------------------------------------------------------------------------------------


def test_command_lost_and_response_lost() -> None:
    change = bytes.fromhex("0024008010") + PIN + b"654321\xff\xff"
    for kind, executed in ((FaultKind.COMMAND_LOST, False), (FaultKind.RESPONSE_LOST, True)):
        terminal = Terminal(new_card())
        terminal.card.faults.arm(Fault(kind=kind, at=2))
        assert terminal.sw("00200080") == 0x63C3
        assert terminal.card.transmit(change) == b""
        assert not terminal.card.present
        assert terminal.card.power_on() == b""
        assert terminal.card.transmit(change) == b""
        terminal.card.insert()
        terminal.card.power_on()
        terminal.raw(SELECT)
        assert (terminal.verify(b"654321\xff\xff") == 0x9000) is executed


def test_faults_count_chaining_blocks_and_get_response() -> None:
    terminal = opened()
    terminal.card.faults.arm(Fault(kind=FaultKind.STATUS, at=4, sw=0x6581))
    assert terminal.sw("00DB3FFF", put_chuid(bytes(700))) == 0x9000  # three blocks
    assert terminal.sw("00CB3FFF", CHUID) == 0x6581
    assert terminal.sw("00CB3FFF", CHUID) == 0x9000
    terminal.card.faults.arm(Fault(kind=FaultKind.STATUS, ins=0xC0, at=2, sw=0x6F00))
    assert terminal.sw("00CB3FFF", CHUID) == 0x6F00


def test_a_status_for_an_instruction_again_and_again() -> None:
    terminal = opened()
    terminal.card.faults.arm(Fault(kind=FaultKind.STATUS, ins=0xCB, sw=SW.MEMORY_FAILURE, every=True))
    assert terminal.sw("00200080") == 0x63C3
    assert [terminal.sw("00CB3FFF", CHUID) for _ in range(3)] == [0x6581] * 3
    terminal.card.faults.disarm()
    assert terminal.sw("00CB3FFF", CHUID) == 0x6A82


def test_a_delay_waits_with_what_it_was_given() -> None:
    waited: list[float] = []
    card = VirtualCard(new_card().memory, random=os.urandom, wait=waited.append)
    card.power_on()
    card.faults.arm(Fault(kind=FaultKind.DELAY, at=1, seconds=1.5))
    assert card.transmit(SELECT)[-2:] == b"\x90\x00"
    assert waited == [1.5]


def test_the_card_counts_commands_and_its_own_time() -> None:
    ticks = iter(range(100))
    card = VirtualCard(new_card().memory, random=os.urandom, cpu_clock=lambda: float(next(ticks)))
    card.power_on()
    card.transmit(SELECT)
    card.transmit(b"\0\0")
    assert (card.commands, card.busy_seconds) == (2, 2.0)


@pytest.mark.parametrize("serial", [0, -1, 1 << 32])
def test_a_serial_number_has_four_bytes(serial: int) -> None:
    with pytest.raises(errors.Invalid):
        new_card(serial=serial)
