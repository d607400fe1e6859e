"""The key store: where issuer keys live and act.

Everything that depends on a secret of the issuer happens behind this port; what leaves it are derived values
for one card, signatures and sealed bytes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum, unique
from typing import Protocol
from uuid import UUID

from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa

from shared.secret import Secret


@unique
class KeyPurpose(StrEnum):
    """What a derived value is for; part of the derivation, so that no two purposes ever share a value."""

    MANAGEMENT_KEY = "piv management key"
    PUK = "piv puk"
    DATABASE = "database key"


@dataclass(frozen=True, slots=True, kw_only=True)
class Derivation:
    """Name one derived value.

    `subject` is the card's record id (or another random id), `generation` the master key's, `count` a number
    within it (PUK rotation), `length` the number of bytes.
    """

    purpose: KeyPurpose
    subject: UUID
    generation: int
    length: int
    count: int = 0


@unique
class SigningAlgorithm(StrEnum):
    """Kinds of issuer signing keys."""

    P256_SHA256 = "p256-sha256"
    P384_SHA384 = "p384-sha384"
    RSA3072_SHA256 = "rsa3072-sha256"
    RSA4096_SHA256 = "rsa4096-sha256"


IssuerPublicKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey | ed25519.Ed25519PublicKey


class KeyStore(Protocol):
    """Hold issuer keys and use them.

    Signing keys have names such as `ca/root`, `ca/issuing`, `content-signing`, `stations/root`. Signatures are
    DER (ECDSA) or PKCS#1 v1.5 (RSA).
    """

    async def derive(self, derivation: Derivation) -> Secret:
        """Derive a value from the master key of `derivation.generation`.

        Source: [SP 800-108r1] 4.1, counter mode with AES-256-CMAC.
        Raises:
            NotSupported: there is no master key of this generation.
        """
        ...

    async def seal(self, context: str, plaintext: Secret) -> bytes:
        """Encrypt for storage outside; `context` must be given again to unseal."""
        ...

    async def unseal(self, context: str, sealed: bytes) -> Secret:
        """Undo `seal`; `KeyStoreDamaged` where bytes or context are not those that were sealed."""
        ...

    async def generate(self, name: str, algorithm: SigningAlgorithm) -> IssuerPublicKey:
        """Make the signing key `name`; return the present one where it exists already."""
        ...

    async def public_key(self, name: str) -> IssuerPublicKey | None:
        """Return the public half of signing key `name`, or None where there is no such key."""
        ...

    async def sign(self, name: str, message: bytes) -> bytes:
        """Sign `message` (not a digest) with signing key `name` under the algorithm that it was made for.

        Raises:
            NotSupported: there is no such key.
        """
        ...

    def random(self, length: int) -> bytes:
        """Return `length` random bytes."""
        ...

    @property
    def generation(self) -> int:
        """The newest generation of the master key, from 1."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class MasterGeneration:
    """One generation of the master key, and when it was made."""

    generation: int
    created_at: datetime


class MasterKeys(Protocol):
    """A key store whose master key can be renewed: an optional ability of a `KeyStore`."""

    @property
    def generations(self) -> Sequence[MasterGeneration]:
        """Every generation of the master key, the oldest first."""
        ...

    async def add_generation(self) -> int:
        """Make the next generation of the master key and return its number; older ones go on deriving."""
        ...
