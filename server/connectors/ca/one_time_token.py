"""One-time tokens of step-ca's provisioners: JSON web tokens that their key signs, good for one request.

Sources: [RFC 7515] 3, 7.1 (compact form), [RFC 7518] 3.3, 3.4 (RS256, ES256), [RFC 7519] 4.1 (claims), [RFC 7638] (thumbprint).
"""

import base64
import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final
from uuid import uuid4

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key

from shared import errors
from shared.secret import Secret

LASTS: Final = timedelta(minutes=5)
BACKDATE: Final = timedelta(minutes=1)
"""A token begins this much early, for a server whose clock is behind."""

_CURVE: Final = "secp256r1"


class Provisioner:
    """A provisioner's name and key; with a certificate (X5C) it is known by its chain, else (JWK) by its key's name."""

    def __init__(
        self, *, name: str, key: Secret, chain: Sequence[x509.Certificate] = (), kid: str = ""
    ) -> None:
        """Read the key (PEM: P-256 or RSA).

        Raises:
            Invalid: it cannot be read, or it is of another kind.
        """
        why = "a private key in PEM, not encrypted, P-256 or RSA"
        try:
            found = load_pem_private_key(key.reveal(), None)
        except (ValueError, TypeError) as cause:
            raise errors.Invalid(field="provisioner-key", why=why) from cause
        if not isinstance(found, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
            raise errors.Invalid(field="provisioner-key", why=why)
        if isinstance(found, ec.EllipticCurvePrivateKey) and found.curve.name != _CURVE:
            raise errors.Invalid(field="provisioner-key", why=why)
        if chain and chain[0].public_key() != found.public_key():
            raise errors.Invalid(field="provisioner-certificate", why="it is for another key")
        self.name = name
        self.kid = kid or thumbprint(found.public_key())
        self._key = found
        self._chain = tuple(chain)

    @property
    def has_chain(self) -> bool:
        """Whether it is known by a certificate."""
        return bool(self._chain)

    def token(self, *, audience: str, subject: str, now: datetime, names: Sequence[str] = ()) -> str:
        """Return a token for one request: `subject` is the common name, or the serial number that is revoked."""
        header: dict[str, Any] = {
            "typ": "JWT",
            "alg": "ES256" if isinstance(self._key, ec.EllipticCurvePrivateKey) else "RS256",
        }
        if self._chain:
            header["x5c"] = [
                base64.b64encode(each.public_bytes(Encoding.DER)).decode() for each in self._chain
            ]
        else:
            header["kid"] = self.kid
        claims = {
            "iss": self.name,
            "aud": audience,
            "sub": subject,
            "sans": list(names),
            "iat": int(now.timestamp()),
            "nbf": int((now - BACKDATE).timestamp()),
            "exp": int((now + LASTS - BACKDATE).timestamp()),
            "jti": uuid4().hex,
        }
        signed = f"{_part(header)}.{_part(claims)}"
        return f"{signed}.{_base64url(self._sign(signed.encode()))}"

    def _sign(self, content: bytes) -> bytes:
        if isinstance(self._key, rsa.RSAPrivateKey):
            return self._key.sign(content, padding.PKCS1v15(), hashes.SHA256())
        r, s = decode_dss_signature(self._key.sign(content, ec.ECDSA(hashes.SHA256())))
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")


def thumbprint(key: ec.EllipticCurvePublicKey | rsa.RSAPublicKey) -> str:
    """Return the name that a key has where nobody gave it another one."""
    return _base64url(hashlib.sha256(json.dumps(jwk(key), separators=(",", ":")).encode()).digest())


def jwk(key: ec.EllipticCurvePublicKey | rsa.RSAPublicKey) -> dict[str, str]:
    """Return a public key as a JSON web key, its members in the order of a thumbprint."""
    if isinstance(key, rsa.RSAPublicKey):
        numbers = key.public_numbers()
        return {"e": _number(numbers.e), "kty": "RSA", "n": _number(numbers.n)}
    point = key.public_numbers()
    return {
        "crv": "P-256",
        "kty": "EC",
        "x": _base64url(point.x.to_bytes(32, "big")),
        "y": _base64url(point.y.to_bytes(32, "big")),
    }


def _number(value: int) -> str:
    return _base64url(value.to_bytes((value.bit_length() + 7) // 8, "big"))


def _part(content: Mapping[str, Any]) -> str:
    return _base64url(json.dumps(content, separators=(",", ":")).encode())


def _base64url(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()
