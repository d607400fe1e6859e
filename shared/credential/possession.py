"""Proof that somebody holds a private key: a signature over a text of ours.

Source: [FIPS 186-5] (ECDSA, RSA PKCS #1 v1.5, EdDSA), with the digests that slots use.
"""

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes
from cryptography.hazmat.primitives.hashes import SHA256, SHA384


def verify_signature(public_key: PublicKeyTypes, signature: bytes, text: bytes) -> None:
    """Check a signature over `text`: ECDSA in DER, RSA PKCS#1 v1.5 with SHA-256, or Ed25519.

    Raises:
        InvalidSignature: it is not this key's, or the key is of a kind that cannot sign.
    """
    match public_key:
        case ec.EllipticCurvePublicKey():
            digest = SHA384() if isinstance(public_key.curve, ec.SECP384R1) else SHA256()
            public_key.verify(signature, text, ec.ECDSA(digest))
        case rsa.RSAPublicKey():
            public_key.verify(signature, text, padding.PKCS1v15(), SHA256())
        case ed25519.Ed25519PublicKey():
            public_key.verify(signature, text)
        case _:
            raise InvalidSignature
