import os

import pytest

from shared import errors
from shared.iso7816.apdu import Hole, Response
from shared.iso7816.conversation import Conversation, drive, nothing, send_all
from shared.iso7816.tlv import encode
from shared.piv.data import get_data, read_optional, write_object
from shared.piv.ids import ManagementAlgorithm, ObjectId, ProfileName
from shared.piv.management import (
    ManagementKey,
    authenticated,
    authenticated_singly,
    carries_secret,
    factory_key,
    prove_management_key,
    set_management_key,
)
from shared.piv.pin import change_puk, verify_pin
from shared.piv.select import fresh
from shared.secret import Secret
from tests.shared.piv.terminal import Script, Terminal

VECTORS = [
    (ManagementAlgorithm.AES128, "000102030405060708090a0b0c0d0e0f", "69c4e0d86a7b0430d8cdb78070b4c55a"),
    (
        ManagementAlgorithm.AES192,
        "000102030405060708090a0b0c0d0e0f1011121314151617",
        "dda97ca4864cdfe06eaf70a0ec0d7191",
    ),
    (
        ManagementAlgorithm.AES256,
        "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f",
        "8ea2b7ca516745bfeafc49904b496089",
    ),
]
AES_PLAIN = bytes.fromhex("00112233445566778899aabbccddeeff")


@pytest.mark.parametrize(("algorithm", "key", "cipher"), VECTORS)
def test_aes_blocks_are_those_of_fips_197(algorithm: ManagementAlgorithm, key: str, cipher: str) -> None:
    management = ManagementKey(algorithm, Secret(bytes.fromhex(key)))
    assert management.encrypt(AES_PLAIN).hex() == cipher
    assert management.decrypt(bytes.fromhex(cipher)) == AES_PLAIN


def test_3des_blocks_are_those_of_sp_800_20() -> None:
    management = ManagementKey(ManagementAlgorithm.TDES, Secret(b"\x01" * 24))
    assert management.encrypt(bytes.fromhex("8000000000000000")).hex() == "95f8a5e5dd31d900"


@pytest.mark.parametrize("algorithm", list(ManagementAlgorithm))
def test_a_key_of_another_length_is_refused(algorithm: ManagementAlgorithm) -> None:
    with pytest.raises(errors.Garbled):
        ManagementKey(algorithm, Secret(bytes(algorithm.key_length + 1)))
    assert len(factory_key(algorithm).value.reveal()) == algorithm.key_length


def test_both_halves_are_what_the_standard_says() -> None:
    key = ManagementKey(ManagementAlgorithm.AES128, Secret(bytes.fromhex(VECTORS[0][1])))
    challenge = bytes(range(16))
    script = Script(
        Response(encode(0x7C, encode(0x80, bytes.fromhex(VECTORS[0][2]))), 0x9000),
        Response(encode(0x7C, encode(0x82, key.encrypt(challenge))), 0x9000),
    )
    drive(prove_management_key(key, lambda _: challenge), script)
    assert [command.plain.hex() for command in script.commands] == [
        "7c028000",
        "7c248010" + AES_PLAIN.hex() + "8110" + challenge.hex(),
    ]
    assert {(command.ins, command.p1, command.p2) for command in script.commands} == {(0x87, 0x08, 0x9B)}


@pytest.mark.parametrize("algorithm", list(ManagementAlgorithm))
def test_a_card_and_the_server_know_each_other_by_every_kind_of_key(algorithm: ManagementAlgorithm) -> None:
    terminal = Terminal(ProfileName.YUBIKEY_5_7)
    old = factory_key(ManagementAlgorithm.AES192)
    new = ManagementKey(algorithm, Secret(os.urandom(algorithm.key_length)))
    terminal.drive(fresh(authenticated(old, set_management_key(new), os.urandom)))
    terminal.drive(fresh(prove_management_key(new, os.urandom)))
    with pytest.raises(errors.ManagementKeyRejected):
        terminal.drive(fresh(prove_management_key(old, os.urandom)))
    terminal.drive(fresh(authenticated_singly(new, write_object(ObjectId.CCC, b"\xf0\x00"))))
    assert terminal.drive(read_optional(ObjectId.CCC)) == b"\xf0\x00"


def test_what_follows_travels_with_the_second_half() -> None:
    terminal = Terminal()
    key = factory_key(ManagementAlgorithm.AES192)
    terminal.drive(fresh(authenticated(key, write_object(ObjectId.CCC, b"\xf0\x00"), os.urandom)))
    assert terminal.batches == [3, 2]


def test_a_secret_waits_for_the_cards_proof() -> None:
    terminal = Terminal()
    key = factory_key(ManagementAlgorithm.AES192)
    terminal.drive(fresh(authenticated(key, change_puk(b"12345678", b"87654321"), os.urandom)))
    assert terminal.batches == [3, 1, 1]
    assert carries_secret(next(set_management_key(key)))
    assert not carries_secret(next(verify_pin(Hole(name="pin"))))


def test_a_card_that_does_not_know_its_key_is_told_no_secret() -> None:
    key = factory_key(ManagementAlgorithm.AES128)
    script = Script(
        Response(encode(0x7C, encode(0x80, bytes(16))), 0x9000),
        Response(encode(0x7C, encode(0x82, bytes(16))), 0x9000),
    )
    with pytest.raises(errors.CardNotGenuine):
        drive(authenticated(key, set_management_key(key), os.urandom), script)
    assert [command.label for command in script.commands] == ["GENERAL AUTHENTICATE (management key)"] * 2


def test_what_follows_is_closed_where_the_card_is_not_genuine() -> None:
    closed: list[bool] = []

    def then() -> Conversation[None]:
        try:
            yield [get_data(ObjectId.CHUID)]
            pytest.fail("went on with a card that proved nothing")
        finally:
            closed.append(True)

    key = factory_key(ManagementAlgorithm.AES128)
    script = Script(
        Response(encode(0x7C, encode(0x80, bytes(16))), 0x9000),
        Response(encode(0x7C, encode(0x82, bytes(16))), 0x9000),
        Response(encode(0x53, b"x"), 0x9000),
    )
    with pytest.raises(errors.CardNotGenuine):
        drive(authenticated(key, then(), os.urandom), script)
    assert closed == [True]


@pytest.mark.parametrize("sw", [0x6982, 0x6A80, 0x6A86, 0x6983])
def test_a_refusal_in_either_half_is_a_foreign_key(sw: int) -> None:
    key = factory_key(ManagementAlgorithm.TDES)
    with pytest.raises(errors.ManagementKeyRejected):
        drive(prove_management_key(key, os.urandom), Script(sw))
    witness = Response(encode(0x7C, encode(0x80, bytes(8))), 0x9000)
    with pytest.raises(errors.ManagementKeyRejected):
        drive(prove_management_key(key, os.urandom), Script(witness, sw))
    challenge = Response(encode(0x7C, encode(0x81, bytes(8))), 0x9000)
    with pytest.raises(errors.ManagementKeyRejected):
        drive(authenticated_singly(key, nothing()), Script(challenge, sw))


@pytest.mark.parametrize("witness", ["", "7C00", "7C0A800100", "7C0480020000", "7C0A81080000000000000000"])
def test_a_witness_that_is_no_block_is_malformed(witness: str) -> None:
    with pytest.raises(errors.CardMalformed):
        drive(
            prove_management_key(factory_key(ManagementAlgorithm.TDES), os.urandom),
            Script(Response(bytes.fromhex(witness), 0x9000)),
        )


def test_a_weak_source_of_randomness_is_refused() -> None:
    witness = Response(encode(0x7C, encode(0x80, bytes(8))), 0x9000)
    with pytest.raises(errors.Garbled):
        drive(prove_management_key(factory_key(ManagementAlgorithm.TDES), lambda _: b""), Script(witness))


def test_an_empty_conversation_may_follow() -> None:
    terminal = Terminal()
    key = factory_key(ManagementAlgorithm.AES192)
    assert terminal.drive(fresh(authenticated(key, send_all(), os.urandom))) == ()


def test_a_touch_can_be_asked_for() -> None:
    key = factory_key(ManagementAlgorithm.AES192)
    assert next(set_management_key(key, touch=True))[0].p2 == 0xFE  # type: ignore[union-attr]
