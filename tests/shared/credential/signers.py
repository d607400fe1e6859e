"""Signatures as a slot makes them, made without a card."""

from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.hashes import SHA256, SHA384

from shared.virtual.memory import PrivateKey


def signed(key: PrivateKey, text: bytes) -> bytes:
    """Sign a text with the digest that belongs to the key's kind."""
    match key:
        case ec.EllipticCurvePrivateKey():
            return key.sign(text, ec.ECDSA(SHA384() if key.key_size == 384 else SHA256()))
        case rsa.RSAPrivateKey():
            return key.sign(text, padding.PKCS1v15(), SHA256())
        case Ed25519PrivateKey():
            return key.sign(text)
        case _:
            raise AssertionError(key)
