import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared import errors
from shared.piv.ids import Algorithm
from shared.piv.padding import pkcs1_v1_5, raw_block, remove_encryption_padding, to_field
from tests.shared.piv.terminal import rsa_key


@pytest.mark.parametrize("name", ["sha256", "sha384", "sha512"])
def test_a_padded_digest_is_what_openssl_signs(name: str) -> None:
    from cryptography.hazmat.primitives import hashes
    from cryptography.hazmat.primitives.asymmetric import padding

    private = rsa_key(2048)
    algorithm = {"sha256": hashes.SHA256(), "sha384": hashes.SHA384(), "sha512": hashes.SHA512()}[name]
    signature = private.sign(b"text", padding.PKCS1v15(), algorithm)
    numbers = private.public_key().public_numbers()
    block = pow(int.from_bytes(signature, "big"), numbers.e, numbers.n).to_bytes(256, "big")
    assert pkcs1_v1_5(hashlib.new(name, b"text").digest(), 256) == block


@given(st.binary(min_size=1, max_size=80), st.sampled_from([32, 48]))
def test_a_field_has_its_length_and_keeps_the_leftmost_bits(digest: bytes, length: int) -> None:
    field = to_field(digest, length)
    assert len(field) == length
    assert int.from_bytes(field, "big") == int.from_bytes(digest[:length], "big")


@given(
    st.binary(min_size=8, max_size=40).map(lambda filler: filler.replace(b"\x00", b"\x01")),
    st.binary(max_size=60),
)
def test_encryption_padding_comes_off(filler: bytes, message: bytes) -> None:
    assert remove_encryption_padding(b"\x00\x02" + filler + b"\x00" + message) == message


def test_what_cannot_be_padded_is_refused() -> None:
    with pytest.raises(errors.Garbled):
        pkcs1_v1_5(bytes(20), 256)
    with pytest.raises(errors.Garbled):
        pkcs1_v1_5(bytes(64), 64)
    with pytest.raises(errors.NotSupportedByCard):
        raw_block(Algorithm.X25519, bytes(32))
