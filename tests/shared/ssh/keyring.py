"""Keys as an agent holds them, with the signatures that it makes."""

from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA1, SHA256, SHA384, SHA512

from shared.ssh.wire import integer, string

P256: Final = ec.generate_private_key(ec.SECP256R1())
P384: Final = ec.generate_private_key(ec.SECP384R1())
RSA: Final = rsa.generate_private_key(65537, 2048)
ED25519: Final = ed25519.Ed25519PrivateKey.generate()

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey
KEYS: Final[dict[str, PrivateKey]] = {"p256": P256, "p384": P384, "rsa": RSA, "ed25519": ED25519}

_RSA_HASHES: Final = {"ssh-rsa": SHA1(), "rsa-sha2-256": SHA256(), "rsa-sha2-512": SHA512()}


def sign(key: PrivateKey, content: bytes, *, rsa_algorithm: str = "rsa-sha2-512") -> bytes:
    """Return what an agent answers when it is handed `content` to sign."""
    match key:
        case ec.EllipticCurvePrivateKey():
            bits = key.curve.key_size
            digest = SHA384() if bits == 384 else SHA256()
            r, s = decode_dss_signature(key.sign(content, ec.ECDSA(digest)))
            return string(b"ecdsa-sha2-nistp%d" % bits) + string(integer(r) + integer(s))
        case rsa.RSAPrivateKey():
            made = key.sign(content, padding.PKCS1v15(), _RSA_HASHES[rsa_algorithm])
            return string(rsa_algorithm.encode()) + string(made)
        case _:
            return string(b"ssh-ed25519") + string(key.sign(content))
