"""What a key store holds, as a value, and its encoding before encryption.

Secrets that Python has turned into text or numbers cannot be wiped; the plain form lives only while the store is
read or written.
"""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from server.connectors.keystore.kdf import MASTER_KEY_LENGTH
from server.ports.keystore import SigningAlgorithm
from shared import errors
from shared.secret import Secret

SigningKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey

RSA_BITS: Final = {SigningAlgorithm.RSA3072_SHA256: 3072, SigningAlgorithm.RSA4096_SHA256: 4096}
CURVES: Final[dict[SigningAlgorithm, ec.EllipticCurve]] = {
    SigningAlgorithm.P256_SHA256: ec.SECP256R1(),
    SigningAlgorithm.P384_SHA384: ec.SECP384R1(),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class MasterKey:
    """One generation of the master key: 32 bytes."""

    generation: int
    key: Secret
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedKey:
    """A signing key under its name, loaded and ready."""

    name: str
    algorithm: SigningAlgorithm
    key: SigningKey
    created_at: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Content:
    """Master keys from generation 1 on without gaps, and signing keys by name."""

    masters: tuple[MasterKey, ...]
    signing: tuple[NamedKey, ...] = ()

    def __bytes__(self) -> bytes:
        """Encode as JSON; keys are hex, signing keys PKCS#8 ([RFC 5958]) in hex."""
        return json.dumps(
            {
                "masters": [
                    {
                        "generation": master.generation,
                        "key": master.key.reveal().hex(),
                        "created": master.created_at.isoformat(),
                    }
                    for master in self.masters
                ],
                "signing": [
                    {
                        "name": named.name,
                        "algorithm": named.algorithm.value,
                        "pkcs8": _pkcs8(named.key).hex(),
                        "created": named.created_at.isoformat(),
                    }
                    for named in self.signing
                ],
            },
            sort_keys=True,
        ).encode()

    @classmethod
    def from_bytes(cls, encoded: bytes) -> "Content":
        """Undo `bytes(content)`.

        Raises:
            KeyStoreDamaged: it decrypted, but is not what this version writes.
        """
        try:
            tree = json.loads(encoded)
            masters = tuple(_master(entry) for entry in tree["masters"])
            signing = tuple(_named(entry) for entry in tree["signing"])
        except (ValueError, KeyError, TypeError) as cause:
            # the cause may quote key material: name its kind only, and cut it off
            raise errors.KeyStoreDamaged(why=f"content ({type(cause).__name__})") from None
        if not masters or [master.generation for master in masters] != list(range(1, len(masters) + 1)):
            raise errors.KeyStoreDamaged(why="generations of the master key are missing")
        return cls(masters=masters, signing=signing)


def _pkcs8(key: SigningKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _master(entry: dict[str, Any]) -> MasterKey:
    key = bytes.fromhex(entry["key"])
    if len(key) != MASTER_KEY_LENGTH:
        raise ValueError(len(key))
    return MasterKey(
        generation=entry["generation"], key=Secret(key), created_at=datetime.fromisoformat(entry["created"])
    )


def _named(entry: dict[str, Any]) -> NamedKey:
    algorithm = SigningAlgorithm(entry["algorithm"])
    key = serialization.load_der_private_key(bytes.fromhex(entry["pkcs8"]), password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) or not fits(key, algorithm):
        raise ValueError(algorithm.value)
    return NamedKey(
        name=entry["name"],
        algorithm=algorithm,
        key=key,
        created_at=datetime.fromisoformat(entry["created"]),
    )


def fits(key: SigningKey, algorithm: SigningAlgorithm) -> bool:
    """Tell whether `key` is of the kind that `algorithm` names."""
    if isinstance(key, rsa.RSAPrivateKey):
        return RSA_BITS.get(algorithm) == key.key_size
    curve = CURVES.get(algorithm)
    return curve is not None and curve.name == key.curve.name
