"""A key store for rehearsals: its keys are worthless, and its signatures as long as signatures can be.

Master keys follow from a published text, so nothing that derives from them opens a card of anybody. Nothing here is a
secret, and nothing here may ever meet a real card.
"""

import hashlib
from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache
from typing import Any, Final

from cryptography.hazmat.primitives.asymmetric import ec

from server.connectors.keystore.content import Content, MasterKey, NamedKey
from server.connectors.keystore.kdf import MASTER_KEY_LENGTH
from server.connectors.keystore.ring import KeyRing
from server.ports.keystore import SigningAlgorithm
from shared.clock import Clock
from shared.secret import Secret

_SEED: Final = b"issuance-kiosk rehearsal v1"
_EPOCH: Final = datetime(2016, 1, 1, tzinfo=UTC)


class ScratchKeyStore(KeyRing):
    """Hold keys that protect nothing. `random` is the same in every rehearsal."""

    def __init__(
        self, generations: int, names: tuple[str, ...], random: Callable[[int], bytes], clock: Clock
    ) -> None:
        """Have as many generations of the master key as the real key store, and signing keys of these names."""
        super().__init__(_content(generations, names), clock)
        self._random = random

    def random(self, length: int) -> bytes:
        """Return the next `length` bytes of the rehearsal's stream."""
        return self._random(length)


def _content(generations: int, names: tuple[str, ...]) -> Content:
    masters = tuple(
        MasterKey(generation=number, key=_master(number), created_at=_EPOCH)
        for number in range(1, generations + 1)
    )
    return Content(masters=masters, signing=_signing(names))


def _master(generation: int) -> Secret:
    return Secret(hashlib.shake_256(_SEED + generation.to_bytes(4, "big")).digest(MASTER_KEY_LENGTH))


@cache
def _signing(names: tuple[str, ...]) -> tuple[NamedKey, ...]:
    return tuple(
        NamedKey(
            name=name,
            algorithm=SigningAlgorithm.P256_SHA256,
            key=LongestSignatures(ec.generate_private_key(ec.SECP256R1())),
            created_at=_EPOCH,
        )
        for name in names
    )


class Stream:
    """Bytes that are the same in every rehearsal. The first bit of each draw is set, so that numbers have full length."""

    def __init__(self) -> None:
        """Begin at the beginning."""
        self._draws = 0

    def __call__(self, length: int) -> bytes:
        """Return the next `length` bytes."""
        self._draws += 1
        drawn = hashlib.shake_256(_SEED + b"/" + self._draws.to_bytes(4, "big")).digest(length)
        return bytes((drawn[0] | 0x80,)) + drawn[1:] if length else b""


class LongestSignatures(ec.EllipticCurvePrivateKey):
    """A key that signs until the signature has the greatest length: with r and s of full size, one in four has.

    What a rehearsal measures is then a maximum, and the same every time.
    """

    def __init__(self, key: ec.EllipticCurvePrivateKey) -> None:
        """Sign with `key`."""
        self._key = key
        size = (key.key_size + 7) // 8
        self._longest = 2 + 2 * (2 + 1 + size)
        """A SEQUENCE of two INTEGERs, each with a zero byte before it."""

    def sign(self, data: Any, signature_algorithm: ec.EllipticCurveSignatureAlgorithm) -> bytes:
        """Sign `data`, again and again until it is long enough."""
        while True:
            signature = self._key.sign(data, signature_algorithm)
            if len(signature) == self._longest:
                return signature

    @property
    def curve(self) -> ec.EllipticCurve:
        """The key's curve."""
        return self._key.curve

    @property
    def key_size(self) -> int:
        """Bits."""
        return self._key.key_size

    def public_key(self) -> ec.EllipticCurvePublicKey:
        """Return the public half."""
        return self._key.public_key()

    def exchange(self, algorithm: ec.ECDH, peer_public_key: ec.EllipticCurvePublicKey) -> bytes:
        """Agree on a secret."""
        return self._key.exchange(algorithm, peer_public_key)

    def private_numbers(self) -> ec.EllipticCurvePrivateNumbers:
        """Return the key's numbers."""
        return self._key.private_numbers()

    def private_bytes(self, encoding: Any, format: Any, encryption_algorithm: Any) -> bytes:  # noqa: A002  # cryptography's name
        """Return the key, encoded."""
        return self._key.private_bytes(encoding, format, encryption_algorithm)

    def __copy__(self) -> "LongestSignatures":
        """Return it: it never changes."""
        return self

    def __deepcopy__(self, memo: dict[int, Any]) -> "LongestSignatures":
        """Return it: it never changes."""
        return self
