"""Signatures as proof that a key is held."""

from collections.abc import Callable
from functools import cache

import pytest
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import dsa, ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.ed448 import Ed448PrivateKey
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, SHA512
from hypothesis import given, settings
from hypothesis import strategies as st

from shared.credential.possession import verify_signature

TEXT = b"challenge of ours"
Signer = Callable[[bytes], bytes]


@cache
def keys() -> dict[str, tuple[PublicKeyTypes, Signer]]:
    """Make a key of every kind that signs, with what signs as a slot does."""
    p256, p384 = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP384R1())
    modulus = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    edwards = Ed25519PrivateKey.generate()
    return {
        "P-256": (p256.public_key(), lambda text: p256.sign(text, ec.ECDSA(SHA256()))),
        "P-384": (p384.public_key(), lambda text: p384.sign(text, ec.ECDSA(SHA384()))),
        "RSA": (modulus.public_key(), lambda text: modulus.sign(text, padding.PKCS1v15(), SHA256())),
        "Ed25519": (edwards.public_key(), edwards.sign),
    }


@pytest.mark.parametrize("kind", ["P-256", "P-384", "RSA", "Ed25519"])
def test_a_signature_counts_for_its_text_and_key_only(kind: str) -> None:
    public_key, sign = keys()[kind]
    signature = sign(TEXT)
    verify_signature(public_key, signature, TEXT)
    for other in (signature[:-1], b"", bytes(len(signature)), sign(TEXT + b".")):
        with pytest.raises(InvalidSignature):
            verify_signature(public_key, other, TEXT)
    for stranger, _ in (pair for name, pair in keys().items() if name != kind):
        with pytest.raises(InvalidSignature):
            verify_signature(stranger, signature, TEXT)


@settings(max_examples=40)
@given(
    text=st.binary(max_size=200),
    kind=st.sampled_from(["P-256", "P-384", "Ed25519"]),
    bit=st.integers(0, 2000),
)
def test_one_bit_of_the_signature_matters(text: bytes, kind: str, bit: int) -> None:
    public_key, sign = keys()[kind]
    signature = bytearray(sign(text))
    verify_signature(public_key, bytes(signature), text)
    signature[bit // 8 % len(signature)] ^= 1 << bit % 8
    with pytest.raises(InvalidSignature):
        verify_signature(public_key, bytes(signature), text)


def test_other_digests_do_not_count() -> None:
    private = ec.generate_private_key(ec.SECP256R1())
    with pytest.raises(InvalidSignature):
        verify_signature(private.public_key(), private.sign(TEXT, ec.ECDSA(SHA512())), TEXT)


@pytest.mark.parametrize(
    "private",
    [X25519PrivateKey.generate(), Ed448PrivateKey.generate(), dsa.generate_private_key(key_size=1024)],
)
def test_keys_of_other_kinds_prove_nothing(private: X25519PrivateKey) -> None:
    with pytest.raises(InvalidSignature):
        verify_signature(private.public_key(), b"anything", TEXT)
