"""Each security rule of the card, told by a terminal that breaks it."""

import hashlib

import pytest

from shared.piv.ids import FACTORY_MANAGEMENT_KEY, Algorithm, ManagementAlgorithm, ProfileName
from tests.shared.virtual.talk import (
    PIN,
    PUK,
    SELECT,
    Terminal,
    crypt,
    inner,
    new_card,
    opened,
    parse,
    tlv,
)

DIGEST = hashlib.sha256(b"text").digest()
WRONG = b"999999\xff\xff"
PLAIN_AND_YUBIKEY = pytest.mark.parametrize("profile", [ProfileName.PLAIN, ProfileName.YUBIKEY_5_4])


# --- PIN ------------------------------------------------------------------------------------------------


@PLAIN_AND_YUBIKEY
def test_wrong_pins_are_counted_until_it_blocks(profile: ProfileName) -> None:
    terminal = Terminal(new_card(profile))
    assert terminal.sw("00200080") == 0x63C3
    assert [terminal.verify(WRONG) for _ in range(4)] == [0x63C2, 0x63C1, 0x63C0, 0x6983]
    assert terminal.verify() == 0x6983, "the right PIN comes too late"
    assert terminal.sw("00200080") == 0x6983


def test_the_right_pin_gives_back_the_tries() -> None:
    terminal = Terminal(new_card())
    terminal.verify(WRONG)
    assert terminal.verify() == 0x9000
    assert terminal.card.memory.pin.left == 3
    assert terminal.sw("00200080") == 0x9000, "verified"


def test_a_wrong_pin_ends_the_verified_state() -> None:
    terminal = Terminal(new_card())
    terminal.verify()
    terminal.verify(WRONG)
    assert terminal.sw("00200080") == 0x63C2


def test_verify_with_p1_ff_forgets() -> None:
    terminal = Terminal(new_card())
    terminal.verify()
    assert terminal.sw("0020FF80") == 0x9000
    assert terminal.sw("00200080") == 0x63C3


def test_counters_survive_power_off_and_the_verified_state_does_not() -> None:
    terminal = Terminal(new_card())
    terminal.verify()
    terminal.card.reset()
    terminal.raw(SELECT)
    assert terminal.sw("00200080") == 0x63C3
    terminal.verify(WRONG)
    terminal.card.reset()
    terminal.raw(SELECT)
    assert terminal.sw("00200080") == 0x63C2


@pytest.mark.parametrize(
    ("head", "data", "sw"),
    [
        ("00200000", PIN, 0x6A88),
        ("00200180", PIN, 0x6A86),
        ("00200080", b"123456", 0x6A80),
        ("0020FF80", PIN, 0x6A80),
        ("00240082", PIN + PIN, 0x6A88),
        ("00240180", PIN + PIN, 0x6A86),
        ("00240080", PIN, 0x6A80),
        ("002C0081", PUK + PIN, 0x6A88),
        ("002C0180", PUK + PIN, 0x6A86),
        ("002C0080", PUK, 0x6A80),
    ],
)
def test_malformed_pin_commands_spend_no_try(head: str, data: bytes, sw: int) -> None:
    terminal = Terminal(new_card())
    before = terminal.card.memory
    assert terminal.sw(head, data) == sw
    assert terminal.card.memory is before


@PLAIN_AND_YUBIKEY
def test_change_pin_and_its_side_effects(profile: ProfileName) -> None:
    terminal = Terminal(new_card(profile))
    new = b"246813\xff\xff"
    assert terminal.sw("00240080", WRONG + new) == 0x63C2
    assert terminal.sw("00240080", PIN + new) == 0x9000
    verified = 0x9000 if profile is ProfileName.PLAIN else 0x63C3
    assert terminal.sw("00200080") == verified
    assert terminal.verify(PIN) == 0x63C2
    assert terminal.verify(new) == 0x9000


@pytest.mark.parametrize("new", [b"12345\xff\xff\xff", b"\xff" * 8, b"1234\xff678"])
def test_a_new_pin_without_form_is_refused(new: bytes) -> None:
    terminal = Terminal(new_card())
    assert terminal.sw("00240080", PIN + new) == 0x6A80
    assert terminal.sw("002C0080", PUK + new) == 0x6A80
    assert terminal.verify() == 0x9000, "the old PIN stays"


def test_letters_in_a_pin_depend_on_the_card() -> None:
    new = b"abcdef\xff\xff"
    assert Terminal(new_card(ProfileName.PLAIN)).sw("00240080", PIN + new) == 0x6A80
    assert Terminal(new_card(ProfileName.YUBIKEY_5_4)).sw("00240080", PIN + new) == 0x9000


def test_unblock_by_puk() -> None:
    terminal = Terminal(new_card())
    for _ in range(3):
        terminal.verify(WRONG)
    new = b"13572468"
    assert terminal.sw("002C0080", b"00000000" + new) == 0x63C2
    assert terminal.sw("002C0080", PUK + new) == 0x9000
    assert terminal.card.memory.puk.left == 3
    assert terminal.verify(new) == 0x9000


def test_puk_blocks_and_change_puk_works() -> None:
    terminal = Terminal(new_card(ProfileName.PLAIN))
    assert terminal.sw("00240081", PUK + b"87654321") == 0x9000
    assert [terminal.sw("002C0080", PUK + PIN) for _ in range(4)] == [0x63C2, 0x63C1, 0x63C0, 0x6983]
    assert terminal.sw("00240081", b"87654321" + PUK) == 0x6983


# --- what the PIN opens ---------------------------------------------------------------------------------


def test_pin_once_and_never() -> None:
    terminal = opened()
    terminal.generate(0x9A, Algorithm.P256)
    terminal.generate(0x9E, Algorithm.P256)
    assert terminal.use(0x9E, Algorithm.P256, DIGEST)[1] == 0x9000
    assert terminal.use(0x9A, Algorithm.P256, DIGEST)[1] == 0x6982
    terminal.verify()
    assert [terminal.use(0x9A, Algorithm.P256, DIGEST)[1] for _ in range(2)] == [0x9000, 0x9000]


def test_pin_always_means_immediately_before() -> None:
    terminal = opened()
    terminal.generate(0x9C, Algorithm.P256)
    terminal.verify()
    assert terminal.use(0x9C, Algorithm.P256, DIGEST)[1] == 0x9000
    assert terminal.use(0x9C, Algorithm.P256, DIGEST)[1] == 0x6982, "once for each use"
    terminal.verify()
    terminal.sw("00CB3FFF", bytes.fromhex("5C017E"))
    assert terminal.use(0x9C, Algorithm.P256, DIGEST)[1] == 0x6982, "something came between"
    terminal.verify()
    assert terminal.sw("00200080") == 0x9000, "the query does not count as VERIFY"
    assert terminal.use(0x9C, Algorithm.P256, DIGEST)[1] == 0x6982


def test_pin_always_holds_over_a_chain() -> None:
    terminal = opened()
    terminal.generate(0x9C, Algorithm.RSA_2048)
    terminal.verify()
    assert terminal.use(0x9C, Algorithm.RSA_2048, b"\0" * 255 + b"\2")[1] == 0x9000


def test_policies_of_the_slot_can_be_replaced() -> None:
    terminal = opened()
    terminal.generate(0x9C, Algorithm.P256, tlv(0xAA, b"\x02"))
    terminal.verify()
    assert [terminal.use(0x9C, Algorithm.P256, DIGEST)[1] for _ in range(2)] == [0x9000, 0x9000]
    assert (
        opened(ProfileName.PLAIN).sw("0047009C", tlv(0xAC, tlv(0x80, b"\x11") + tlv(0xAA, b"\x02"))) == 0x6A80
    ), "a plain card knows no policies"


# --- the management key ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("profile", "algorithm"),
    [
        (ProfileName.YUBIKEY_4, ManagementAlgorithm.TDES),
        (ProfileName.YUBIKEY_5_7, ManagementAlgorithm.AES192),
        (ProfileName.UNKNOWN, ManagementAlgorithm.AES192),
        (ProfileName.PLAIN, ManagementAlgorithm.TDES),
    ],
)
def test_mutual_authentication_with_the_factory_key(
    profile: ProfileName, algorithm: ManagementAlgorithm
) -> None:
    terminal = Terminal(new_card(profile))
    assert terminal.manage(bytes(24), algorithm) == 0x6982
    assert terminal.manage(algorithm=algorithm) == 0x9000
    terminal.generate(0x9A, Algorithm.P256)


@pytest.mark.parametrize("algorithm", ManagementAlgorithm)
def test_a_new_management_key_of_every_kind(algorithm: ManagementAlgorithm) -> None:
    terminal = opened()
    key = bytes(range(1, algorithm.key_length + 1))
    terminal.ok("00FFFFFF", bytes((algorithm,)) + tlv(0x9B, key))
    terminal.card.reset()
    terminal.raw(SELECT)
    assert terminal.manage(key, algorithm) == 0x9000
    assert dict(parse(terminal.ok("00F7009B"))) == {1: bytes((algorithm,)), 2: b"\0\1", 5: b"\0"}


def test_what_is_no_management_key() -> None:
    terminal = opened()
    before = terminal.card.memory
    for data in (b"", b"\x03", b"\x03" + tlv(0x9B, bytes(16)), b"\x04" + tlv(0x9B, bytes(24))):
        assert terminal.sw("00FFFFFF", data) == 0x6A80
    assert terminal.sw("00FF0000", b"\x03" + tlv(0x9B, bytes(24))) == 0x6A86
    assert opened(ProfileName.YUBIKEY_5_3).sw("00FFFFFF", b"\x0a" + tlv(0x9B, bytes(24))) == 0x6A80
    assert terminal.card.memory is before


def test_single_authentication() -> None:
    terminal = Terminal(new_card())
    challenge = inner(terminal.ok("0087039B", bytes.fromhex("7C028100")), 0x7C, 0x81)
    answer = crypt(FACTORY_MANAGEMENT_KEY, ManagementAlgorithm.TDES, challenge, encrypt=True)
    assert terminal.sw("0087039B", tlv(0x7C, tlv(0x82, answer))) == 0x9000
    terminal.generate(0x9A, Algorithm.P256)
    assert terminal.sw("0087039B", tlv(0x7C, tlv(0x82, answer))) == 0x6985, "no answer twice"


def test_authentication_is_not_interrupted_replayed_or_mixed() -> None:
    terminal = Terminal(new_card())
    key, algorithm = FACTORY_MANAGEMENT_KEY, ManagementAlgorithm.TDES
    witness = inner(terminal.ok("0087039B", bytes.fromhex("7C028000")), 0x7C, 0x80)
    proof = tlv(0x7C, tlv(0x80, crypt(key, algorithm, witness, encrypt=False)) + tlv(0x81, bytes(8)))
    terminal.sw("00200080")
    assert terminal.sw("0087039B", proof) == 0x6985, "another command came between"
    assert terminal.sw("0087039B", proof) == 0x6985
    assert terminal.sw("00870A9B", bytes.fromhex("7C028000")) == 0x6A86, "another algorithm"
    terminal.ok("0087039B", bytes.fromhex("7C028000"))
    assert terminal.sw("0087039B", tlv(0x7C, tlv(0x82, bytes(8)))) == 0x6A80, "the other dialogue's half"
    assert terminal.sw("0047009A", tlv(0xAC, tlv(0x80, b"\x11"))) == 0x6982


def test_witnesses_are_fresh() -> None:
    terminal = Terminal(new_card())
    ask = bytes.fromhex("7C028000")
    assert len({terminal.ok("0087039B", ask) for _ in range(8)}) == 8


def test_a_failed_authentication_closes_9b_again() -> None:
    terminal = opened()
    assert terminal.manage(bytes(24)) == 0x6982
    assert terminal.sw("0047009A", tlv(0xAC, tlv(0x80, b"\x11"))) == 0x6982


# --- selection ------------------------------------------------------------------------------------------


@PLAIN_AND_YUBIKEY
def test_selecting_again_keeps_or_clears(profile: ProfileName) -> None:
    terminal = Terminal(new_card(profile))
    terminal.verify()
    terminal.raw(SELECT)
    assert terminal.sw("00200080") == (0x9000 if profile is ProfileName.PLAIN else 0x63C3)


def test_another_application_leaves_piv_selected() -> None:
    terminal = Terminal(new_card())
    terminal.verify()
    assert terminal.sw("00A40400", bytes.fromhex("A000000527471117")) == 0x6A82
    assert terminal.sw("00200080") == 0x9000


def test_nothing_works_before_select() -> None:
    terminal = Terminal(new_card(), select=False)
    assert terminal.sw("00200080") == 0x6986
    assert terminal.sw("00A40400", b"\xa0\x00") == 0x6A82
    assert terminal.sw("00A40000", bytes.fromhex("A000000308")) == 0x6A86


# --- the vendor's part ----------------------------------------------------------------------------------


def test_set_pin_retries_wants_both_and_resets_both() -> None:
    terminal = opened()
    assert terminal.sw("00FA0504") == 0x6982
    terminal.sw("00240081", PUK + b"87654321")
    terminal.verify()
    assert terminal.sw("00FA0004") == 0x6A86
    assert terminal.sw("00FA0504") == 0x9000
    assert dict(parse(terminal.ok("00F70080"))) == {1: b"\xff", 5: b"\1", 6: b"\5\5"}
    assert dict(parse(terminal.ok("00F70081"))) == {1: b"\xff", 5: b"\1", 6: b"\4\4"}
    assert terminal.sw("00200080") == 0x63C5


def test_reset_only_when_both_are_blocked() -> None:
    terminal = opened()
    terminal.generate(0x9A, Algorithm.P256)
    terminal.ok("00DB3FFF", tlv(0x5C, bytes.fromhex("5FC102")) + tlv(0x53, b"chuid"))
    terminal.ok("00FFFFFF", b"\x03" + tlv(0x9B, bytes(range(24))))
    for _ in range(3):
        terminal.verify(WRONG)
    assert terminal.sw("00FB0000") == 0x6985
    for _ in range(3):
        terminal.sw("00240081", WRONG + PUK)
    assert terminal.sw("00FB0000") == 0x9000
    assert terminal.sw("00200080") == 0x63C3
    assert terminal.sw("00F7009A") == 0x6A88
    assert terminal.sw("00CB3FFF", bytes.fromhex("5C035FC102")) == 0x6A82
    assert terminal.sw("00CB3FFF", bytes.fromhex("5C035FFF01")) == 0x9000, "attestation stays"
    assert terminal.manage() == 0x9000


def test_version_serial_and_metadata_by_profile() -> None:
    known = {}
    for profile in ProfileName:
        terminal = Terminal(new_card(profile))
        known[profile] = tuple(terminal.sw(head) == 0x9000 for head in ("00FD0000", "00F80000", "00F7009B"))
    assert known == {
        ProfileName.YUBIKEY_4: (True, False, False),
        ProfileName.YUBIKEY_5_0: (True, True, False),
        ProfileName.YUBIKEY_5_3: (True, True, True),
        ProfileName.YUBIKEY_5_4: (True, True, True),
        ProfileName.YUBIKEY_5_7: (True, True, True),
        ProfileName.PLAIN: (False, False, False),
        ProfileName.UNKNOWN: (True, False, False),
    }
    terminal = Terminal(new_card(ProfileName.YUBIKEY_5_7))
    assert terminal.ok("00FD0000") == b"\5\7\1"
    assert terminal.ok("00F80000") == (20_114_501).to_bytes(4, "big")
    assert terminal.sw("00F70096") == 0x6A88, "no fingerprint reader"
    assert Terminal(new_card(ProfileName.PLAIN)).sw("00FD0000") == 0x6D00
    assert terminal.sw("00FD0100") == 0x6A86
    assert terminal.sw("00F7019A") == 0x6A86


def test_metadata_tells_what_changed() -> None:
    terminal = opened(ProfileName.YUBIKEY_5_7)
    terminal.verify(WRONG)
    assert dict(parse(terminal.ok("00F70080"))) == {1: b"\xff", 5: b"\1", 6: b"\3\2"}
    terminal.sw("00240080", PIN + b"654321\xff\xff")
    assert dict(parse(terminal.ok("00F70080"))) == {1: b"\xff", 5: b"\0", 6: b"\3\3"}
    terminal.generate(0x9C, Algorithm.P384)
    stored = dict(parse(terminal.ok("00F7009C")))
    assert (stored[1], stored[2], stored[3]) == (b"\x14", b"\3\1", b"\1")


def test_slots_of_an_applet_of_unknown_make() -> None:
    terminal = opened(ProfileName.UNKNOWN)
    terminal.generate(0x8C, Algorithm.P256)
    assert terminal.sw("0047008D", tlv(0xAC, tlv(0x80, b"\x11"))) == 0x6A86
    assert terminal.sw("00F99A00") == 0x6D00


def test_a_challenge_under_algorithm_00_is_random_and_opens_nothing() -> None:
    terminal = Terminal(new_card(ProfileName.YUBIKEY_5_7))
    ask = bytes.fromhex("7C028100")
    answers = {inner(terminal.ok("0087009B", ask), 0x7C, 0x81) for _ in range(4)}
    assert len(answers) == 4
    assert terminal.sw("0087009B", tlv(0x7C, tlv(0x82, bytes(16)))) == 0x6A86
    assert terminal.sw("00470096", tlv(0xAC, tlv(0x80, b"\x11"))) == 0x6A86


def test_a_mutual_authentication_needs_a_whole_challenge() -> None:
    terminal = Terminal(new_card())
    for proof in (tlv(0x80, bytes(8)), tlv(0x80, bytes(8)) + tlv(0x81, bytes(4))):
        terminal.ok("0087039B", bytes.fromhex("7C028000"))
        assert terminal.sw("0087039B", tlv(0x7C, proof)) == 0x6A80


def test_reset_takes_no_parameters() -> None:
    assert Terminal(new_card()).sw("00FB0001") == 0x6A86
