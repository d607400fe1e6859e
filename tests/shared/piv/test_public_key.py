import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from shared import errors
from shared.iso7816.tlv import encode
from shared.piv.ids import Algorithm
from shared.piv.publickey import (
    PublicKey,
    algorithm_of,
    read_public_key,
    subject_public_key_info,
    write_public_key,
)
from tests.shared.piv.terminal import pooled_key, rsa_key


@pytest.mark.parametrize("algorithm", list(Algorithm))
def test_every_kind_of_key_survives_the_way_to_the_card_and_back(algorithm: Algorithm) -> None:
    key: PublicKey = pooled_key(algorithm).public_key()
    assert algorithm_of(key) is algorithm
    again = read_public_key(algorithm, write_public_key(key))
    assert subject_public_key_info(again) == subject_public_key_info(key)


@pytest.mark.parametrize("algorithm", list(Algorithm))
def test_another_kind_of_key_is_malformed(algorithm: Algorithm) -> None:
    for other in Algorithm:
        if other is algorithm or {other, algorithm} == {Algorithm.ED25519, Algorithm.X25519}:
            continue
        with pytest.raises(errors.CardMalformed):
            read_public_key(algorithm, write_public_key(pooled_key(other).public_key()))


def test_a_point_off_the_curve_and_left_over_bytes_are_malformed() -> None:
    with pytest.raises(errors.CardMalformed):
        read_public_key(Algorithm.P256, encode(0x86, b"\x04" + bytes(64)))
    good = write_public_key(pooled_key(Algorithm.P256).public_key())
    with pytest.raises(errors.CardMalformed):
        read_public_key(Algorithm.P256, good + encode(0x87, b""))


def test_an_exponent_of_one_is_malformed() -> None:
    modulus = rsa_key(2048).public_key().public_numbers().n.to_bytes(256, "big")
    with pytest.raises(errors.CardMalformed):
        read_public_key(Algorithm.RSA_2048, encode(0x81, modulus) + encode(0x82, b"\x01"))


def test_a_kind_that_no_slot_has_is_refused() -> None:
    with pytest.raises(errors.NotSupportedByCard):
        algorithm_of(ec.generate_private_key(ec.SECP521R1()).public_key())
    with pytest.raises(errors.NotSupportedByCard):
        algorithm_of(rsa.generate_private_key(65537, 1024).public_key())
