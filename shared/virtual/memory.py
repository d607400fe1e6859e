"""The card's persistent memory: one frozen value that a command replaces whole, or not at all.

Because a command ends by putting one new `Memory` in the place of the old one, a card that is pulled finds
either the state before the command or the one after it, nothing between.

The image is a header (magic, version, length, CRC-32) and a JSON document. It holds private keys and PINs in
clear: it is a laboratory card, not a safe.
"""

import base64
import binascii
import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeAlias

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa, x25519

from shared import errors
from shared.piv.ids import (
    Algorithm,
    ManagementAlgorithm,
    Origin,
    PinPolicyId,
    ProfileName,
    Slot,
    TouchPolicyId,
)
from shared.secret import Secret

PrivateKey: TypeAlias = (
    rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | x25519.X25519PrivateKey
)

_MAGIC: Final = b"IKVC"
_VERSION: Final = 1
_HEADER: Final = len(_MAGIC) + 1 + 4 + 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """A PIN or PUK: eight bytes, padded with FF, and how many tries it has and has left."""

    value: Secret
    tries: int
    left: int

    @property
    def blocked(self) -> bool:
        """Whether no try is left."""
        return self.left == 0

    def wrong(self) -> "Reference":
        """Return it with one try less."""
        return replace(self, left=max(0, self.left - 1))

    def right(self) -> "Reference":
        """Return it with all its tries."""
        return self if self.left == self.tries else replace(self, left=self.tries)

    def set_to(self, value: bytes) -> "Reference":
        """Return it with a new value and all its tries."""
        return replace(self, value=Secret(value), left=self.tries)


@dataclass(frozen=True, slots=True, kw_only=True)
class ManagementKey:
    """The key behind 9B. `touch` is kept and told, the virtual card is always touched."""

    algorithm: ManagementAlgorithm
    value: Secret
    touch: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class StoredKey:
    """A private key in a slot. The policies are never DEFAULT: the default was resolved when it was made."""

    algorithm: Algorithm
    private: PrivateKey = field(repr=False)
    origin: Origin
    pin: PinPolicyId
    touch: TouchPolicyId = TouchPolicyId.NEVER


@dataclass(frozen=True, slots=True, kw_only=True)
class Memory:
    """Everything that a card keeps without power."""

    profile: ProfileName
    serial: int
    pin: Reference
    puk: Reference
    management: ManagementKey
    keys: Mapping[Slot, StoredKey] = field(default_factory=dict)
    objects: Mapping[int, bytes] = field(default_factory=dict, repr=False)

    def with_key(self, slot: Slot, key: StoredKey) -> "Memory":
        """Return it with `key` in `slot`."""
        return replace(self, keys={**self.keys, slot: key})

    def without_key(self, slot: Slot) -> "Memory":
        """Return it with `slot` empty."""
        return replace(self, keys={at: key for at, key in self.keys.items() if at is not slot})

    def with_object(self, tag: int, value: bytes) -> "Memory":
        """Return it with this data object; an empty value deletes it."""
        objects = {**self.objects, tag: value}
        if not value:
            del objects[tag]
        return replace(self, objects=objects)

    @property
    def used(self) -> int:
        """Bytes that all data objects take."""
        return sum(map(len, self.objects.values()))

    def to_bytes(self) -> bytes:
        """Return the image for a file."""
        body = json.dumps(_document(self), separators=(",", ":"), sort_keys=True).encode()
        numbers = len(body).to_bytes(4, "big") + zlib.crc32(body).to_bytes(4, "big")
        return _MAGIC + bytes((_VERSION,)) + numbers + body

    @classmethod
    def from_bytes(cls, image: bytes) -> "Memory":
        """Read an image.

        Raises:
            CardMalformed: not an image of this version, or damaged; `why` says which.
        """
        if image[: len(_MAGIC)] != _MAGIC or len(image) < _HEADER:
            raise errors.CardMalformed(what="virtual card image", why="not an image")
        if image[len(_MAGIC)] != _VERSION:
            raise errors.CardMalformed(what="virtual card image", why=f"version {image[len(_MAGIC)]}")
        length = int.from_bytes(image[5:9], "big")
        body = image[_HEADER:]
        if len(body) != length or zlib.crc32(body) != int.from_bytes(image[9:13], "big"):
            raise errors.CardMalformed(what="virtual card image", why="damaged")
        try:
            return _memory(json.loads(body))
        except (
            KeyError,
            TypeError,
            ValueError,
            AttributeError,
            binascii.Error,
            UnsupportedAlgorithm,
        ) as wrong:
            raise errors.CardMalformed(what="virtual card image", why="not understood") from wrong


def _document(memory: Memory) -> dict[str, Any]:
    """Return the memory as JSON."""
    return {
        "profile": memory.profile.value,
        "serial": memory.serial,
        "pin": _reference_out(memory.pin),
        "puk": _reference_out(memory.puk),
        "management": {
            "algorithm": memory.management.algorithm.value,
            "value": _text(memory.management.value.reveal()),
            "touch": memory.management.touch,
        },
        "keys": {
            slot.text: {
                "algorithm": key.algorithm.value,
                "private": _text(_private_out(key.private)),
                "origin": key.origin.value,
                "pin": key.pin.value,
                "touch": key.touch.value,
            }
            for slot, key in memory.keys.items()
        },
        "objects": {f"{tag:X}": _text(value) for tag, value in memory.objects.items()},
    }


def _memory(document: dict[str, Any]) -> Memory:
    """Read the JSON of `_document`."""
    management = document["management"]
    return Memory(
        profile=ProfileName(document["profile"]),
        serial=int(document["serial"]),
        pin=_reference_in(document["pin"]),
        puk=_reference_in(document["puk"]),
        management=ManagementKey(
            algorithm=ManagementAlgorithm(management["algorithm"]),
            value=Secret(_binary(management["value"])),
            touch=bool(management["touch"]),
        ),
        keys={
            Slot(int(slot, 16)): StoredKey(
                algorithm=Algorithm(key["algorithm"]),
                private=_private_in(_binary(key["private"])),
                origin=Origin(key["origin"]),
                pin=PinPolicyId(key["pin"]),
                touch=TouchPolicyId(key["touch"]),
            )
            for slot, key in document["keys"].items()
        },
        objects={int(tag, 16): _binary(value) for tag, value in document["objects"].items()},
    )


def _reference_out(reference: Reference) -> dict[str, Any]:
    """Return a PIN or PUK as JSON."""
    return {"value": _text(reference.value.reveal()), "tries": reference.tries, "left": reference.left}


def _reference_in(document: dict[str, Any]) -> Reference:
    """Read the JSON of `_reference_out`."""
    return Reference(
        value=Secret(_binary(document["value"])), tries=int(document["tries"]), left=int(document["left"])
    )


def _private_out(key: PrivateKey) -> bytes:
    """Return PKCS#8 in DER, not encrypted."""
    return key.private_bytes(
        serialization.Encoding.DER, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _private_in(der: bytes) -> PrivateKey:
    """Read what `_private_out` wrote."""
    key = serialization.load_der_private_key(der, password=None)
    if not isinstance(
        key,
        rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey | x25519.X25519PrivateKey,
    ):
        message = "not a key that a PIV slot holds"
        raise TypeError(message)
    return key


def _text(value: bytes) -> str:
    """Return Base64."""
    return base64.b64encode(value).decode()


def _binary(text: str) -> bytes:
    """Read Base64."""
    return base64.b64decode(text, validate=True)
