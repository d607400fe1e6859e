"""The encrypted file of the software key store, as bytes.

::

    kiosk key store 1                   one line: magic, with the version of this layout
    {"lanes": …, "salt": …, …}          one line of JSON: header
    ciphertext and tag                  AES-256-GCM, magic and header as associated data
    32 bytes                            SHA-256 of everything before

The digest protects nothing: it tells a damaged file from a wrong passphrase.

Sources: [RFC 9106] 4 (Argon2id; the second recommended option), [SP 800-38D] (GCM).
"""

import hashlib
import json
import secrets
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.argon2 import Argon2id

from shared import errors
from shared.secret import Secret

MAGIC: Final = b"kiosk key store 1\n"
SALT_LENGTH: Final = 16
NONCE_LENGTH: Final = 12
KEY_LENGTH: Final = 32
DIGEST_LENGTH: Final = 32
MAX_HEADER_LENGTH: Final = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """What one guess of the passphrase costs."""

    memory_kib: int = 64 * 1024
    passes: int = 3
    lanes: int = 4

    def check(self) -> None:
        """Refuse costs that Argon2 does not know or that would take the machine down.

        Raises:
            KeyStoreDamaged: out of bounds.
        """
        known = 1 <= self.lanes <= 64 and 1 <= self.passes <= 100
        if not known or not 8 * self.lanes <= self.memory_kib <= 4 * 1024 * 1024:
            raise errors.KeyStoreDamaged(why="cost of the passphrase out of bounds")


DEFAULT_COST: Final = Cost()


@dataclass(frozen=True, slots=True, kw_only=True)
class Unlocked:
    """The file's key, as long as salt and cost stay the same."""

    salt: bytes
    cost: Cost
    key: Secret


def unlock(passphrase: Secret, *, salt: bytes | None = None, cost: Cost = DEFAULT_COST) -> Unlocked:
    """Turn the passphrase into the file's key; takes a third of a second and `cost.memory_kib` of memory."""
    cost.check()
    salt = salt if salt is not None else secrets.token_bytes(SALT_LENGTH)
    kdf = Argon2id(
        salt=salt,
        length=KEY_LENGTH,
        iterations=cost.passes,
        lanes=cost.lanes,
        memory_cost=cost.memory_kib,
    )
    return Unlocked(salt=salt, cost=cost, key=Secret(kdf.derive(passphrase.reveal())))


def lock(plaintext: bytes, unlocked: Unlocked) -> bytes:
    """Encrypt the content into a whole file, under a fresh nonce."""
    nonce = secrets.token_bytes(NONCE_LENGTH)
    header = {
        "cipher": "aes-256-gcm",
        "kdf": "argon2id",
        "lanes": unlocked.cost.lanes,
        "memory_kib": unlocked.cost.memory_kib,
        "nonce": nonce.hex(),
        "passes": unlocked.cost.passes,
        "salt": unlocked.salt.hex(),
    }
    bound = MAGIC + json.dumps(header, sort_keys=True).encode() + b"\n"
    body = bound + AESGCM(unlocked.key.reveal()).encrypt(nonce, plaintext, bound)
    return body + hashlib.sha256(body).digest()


@dataclass(frozen=True, slots=True, kw_only=True)
class Envelope:
    """A file taken apart, still encrypted."""

    bound: bytes
    salt: bytes
    nonce: bytes
    cost: Cost
    ciphertext: bytes

    @classmethod
    def from_bytes(cls, file: bytes) -> "Envelope":
        """Take a file apart and check that it is whole.

        Raises:
            KeyStoreDamaged: not a key store of this version, cut short, or altered.
        """
        if not file.startswith(MAGIC):
            raise errors.KeyStoreDamaged(why="not a key store, or of a newer version")
        body, digest = file[:-DIGEST_LENGTH], file[-DIGEST_LENGTH:]
        if hashlib.sha256(body).digest() != digest:
            raise errors.KeyStoreDamaged(why="cut short or altered")
        end = body.find(b"\n", len(MAGIC), len(MAGIC) + MAX_HEADER_LENGTH)
        try:
            header = json.loads(body[len(MAGIC) : end]) if end > 0 else {}
            known = (header["kdf"], header["cipher"]) == ("argon2id", "aes-256-gcm")
            cost = Cost(
                memory_kib=int(header["memory_kib"]),
                passes=int(header["passes"]),
                lanes=int(header["lanes"]),
            )
            salt, nonce = bytes.fromhex(header["salt"]), bytes.fromhex(header["nonce"])
        except (ValueError, KeyError, TypeError) as cause:
            raise errors.KeyStoreDamaged(why="header") from cause
        if not known or len(salt) != SALT_LENGTH or len(nonce) != NONCE_LENGTH:
            raise errors.KeyStoreDamaged(why="header")
        cost.check()
        return cls(bound=body[: end + 1], salt=salt, nonce=nonce, cost=cost, ciphertext=body[end + 1 :])

    def decrypt(self, unlocked: Unlocked) -> bytes:
        """Return the content.

        Raises:
            PassphraseRejected: the key is another one (or somebody altered the file and its digest).
        """
        try:
            return AESGCM(unlocked.key.reveal()).decrypt(self.nonce, self.ciphertext, self.bound)
        except (InvalidTag, ValueError) as cause:
            raise errors.PassphraseRejected from cause
