"""What every key store in this process's memory does with its keys; how they are kept is for the ones built on it.

Signing keys stay loaded: a card costs four to six signatures. Elliptic-curve signatures take some 30 µs and are
made where they are asked for; RSA takes milliseconds and, like everything that waits for a disk, has a thread.
"""

import asyncio
import re
import secrets
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Final, TypeVar

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from server.connectors.keystore.content import CURVES, RSA_BITS, Content, MasterKey, NamedKey, SigningKey
from server.connectors.keystore.kdf import MASTER_KEY_LENGTH, counter_kdf, fixed_input
from server.ports.keystore import Derivation, IssuerPublicKey, MasterGeneration, SigningAlgorithm
from shared import errors
from shared.clock import Clock
from shared.secret import Secret

T = TypeVar("T")

CONNECTION: Final = "key store"
KEY_NAME: Final = re.compile(r"[a-z0-9]+(?:[-/][a-z0-9]+)*")

SEAL_LABEL: Final = b"seal"
"""The derivation label of sealing keys; no `KeyPurpose` has this value."""

SEAL_VERSION: Final = 1
NONCE_LENGTH: Final = 12
SEAL_HEADER_LENGTH: Final = 5
"""Version, and the master key's generation in four bytes."""

DIGESTS: Final[dict[SigningAlgorithm, hashes.HashAlgorithm]] = {
    SigningAlgorithm.P256_SHA256: hashes.SHA256(),
    SigningAlgorithm.P384_SHA384: hashes.SHA384(),
    SigningAlgorithm.RSA3072_SHA256: hashes.SHA256(),
    SigningAlgorithm.RSA4096_SHA256: hashes.SHA256(),
}


class KeyRing:
    """Derive, seal and sign with keys in memory; the common part of the software key stores."""

    def __init__(self, content: Content, clock: Clock) -> None:
        """Take over the keys of `content`."""
        self._clock = clock
        self._content = content
        self._signing: dict[str, NamedKey] = {named.name: named for named in content.signing}
        self._changing = asyncio.Lock()
        self._executor = ThreadPoolExecutor(max_workers=1, thread_name_prefix="key-store")

    @property
    def generation(self) -> int:
        """The newest generation of the master key, from 1."""
        return self._content.masters[-1].generation

    @property
    def generations(self) -> Sequence[MasterGeneration]:
        """Every generation of the master key, the oldest first."""
        return tuple(
            MasterGeneration(generation=master.generation, created_at=master.created_at)
            for master in self._content.masters
        )

    def random(self, length: int) -> bytes:
        """Return `length` random bytes from the operating system."""
        return secrets.token_bytes(length)

    async def derive(self, derivation: Derivation) -> Secret:
        """Derive a value from the master key of `derivation.generation`.

        Fixed input: Label is the purpose; Context is the subject's 16 bytes, the generation and the count in four
        bytes each.

        Source: [SP 800-108r1] 4.1, counter mode with AES-256-CMAC.
        Raises:
            NotSupported: there is no master key of this generation.
        """
        context = (
            derivation.subject.bytes
            + derivation.generation.to_bytes(4, "big")
            + derivation.count.to_bytes(4, "big")
        )
        fixed = fixed_input(derivation.purpose.value.encode(), context, derivation.length)
        master = self._master(derivation.generation)
        if master is None:
            raise errors.NotSupported(connection=CONNECTION, what=f"generation {derivation.generation}")
        return Secret(counter_kdf(master.reveal(), fixed, derivation.length))

    async def seal(self, context: str, plaintext: Secret) -> bytes:
        """Encrypt for storage outside: version, generation, nonce, AES-256-GCM under a key of this context."""
        header = bytes([SEAL_VERSION]) + self.generation.to_bytes(4, "big")
        nonce = self.random(NONCE_LENGTH)
        cipher = AESGCM(_sealing_key(self._content.masters[-1].key, context))
        return header + nonce + cipher.encrypt(nonce, plaintext.reveal(), header)

    async def unseal(self, context: str, sealed: bytes) -> Secret:
        """Undo `seal`.

        Raises:
            KeyStoreDamaged: bytes or context are not those that were sealed, or by another key store.
        """
        header, rest = sealed[:SEAL_HEADER_LENGTH], sealed[SEAL_HEADER_LENGTH:]
        if len(header) < SEAL_HEADER_LENGTH or header[0] != SEAL_VERSION:
            raise errors.KeyStoreDamaged(why="sealed bytes of an unknown form")
        master = self._master(int.from_bytes(header[1:], "big"))
        if master is None:
            raise errors.KeyStoreDamaged(why="sealed under an unknown generation")
        try:
            plain = AESGCM(_sealing_key(master, context)).decrypt(
                rest[:NONCE_LENGTH], rest[NONCE_LENGTH:], header
            )
        except (InvalidTag, ValueError) as cause:
            raise errors.KeyStoreDamaged(why="sealed bytes do not open in this context") from cause
        return Secret(plain)

    async def generate(self, name: str, algorithm: SigningAlgorithm) -> IssuerPublicKey:
        """Make the signing key `name`; return the present one where it exists already.

        Raises:
            Invalid: the name is not lower-case words with dashes and slashes.
        """
        if not KEY_NAME.fullmatch(name):
            raise errors.Invalid(field="key name", why="lower-case words, joined by - and /")
        async with self._changing:
            if name not in self._signing:
                key = await self._in_thread(lambda: _generate(algorithm))
                made = NamedKey(name=name, algorithm=algorithm, key=key, created_at=self._clock.now())
                await self._change(lambda content: _with_signing_key(content, made))
        return self._signing[name].key.public_key()

    async def add_generation(self) -> int:
        """Make the next generation of the master key and return its number; older ones go on deriving."""
        async with self._changing:
            fresh = Secret(self.random(MASTER_KEY_LENGTH))
            now = self._clock.now()

            def add(content: Content) -> Content:
                number = content.masters[-1].generation + 1
                made = MasterKey(generation=number, key=fresh, created_at=now)
                return replace(content, masters=(*content.masters, made))

            await self._change(add)
            return self.generation

    async def public_key(self, name: str) -> IssuerPublicKey | None:
        """Return the public half of signing key `name`, or None where there is no such key."""
        named = self._signing.get(name)
        return named.key.public_key() if named is not None else None

    async def sign(self, name: str, message: bytes) -> bytes:
        """Sign `message` (not a digest) with signing key `name` under the algorithm that it was made for.

        Raises:
            NotSupported: there is no such key.
        """
        named = self._signing.get(name)
        if named is None:
            raise errors.NotSupported(connection=CONNECTION, what=f"signing key {name}")
        key, digest = named.key, DIGESTS[named.algorithm]
        if isinstance(key, rsa.RSAPrivateKey):
            return await self._in_thread(lambda: key.sign(message, padding.PKCS1v15(), digest))
        return key.sign(message, ec.ECDSA(digest))

    async def _change(self, change: Callable[[Content], Content]) -> None:
        """Apply `change` and keep the result before it is used."""
        self._adopt(change(self._content))

    def _adopt(self, content: Content) -> None:
        self._content = content
        self._signing = {named.name: named for named in content.signing}

    def _master(self, generation: int) -> Secret | None:
        if not 1 <= generation <= len(self._content.masters):
            return None
        return self._content.masters[generation - 1].key

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._executor, work)


def fresh_content(clock: Clock) -> Content:
    """Make the content of a new key store: the first generation of the master key."""
    first = MasterKey(
        generation=1, key=Secret(secrets.token_bytes(MASTER_KEY_LENGTH)), created_at=clock.now()
    )
    return Content(masters=(first,))


def _sealing_key(master: Secret, context: str) -> bytes:
    return counter_kdf(master.reveal(), fixed_input(SEAL_LABEL, context.encode(), 32), 32)


def _with_signing_key(content: Content, made: NamedKey) -> Content:
    if any(named.name == made.name for named in content.signing):
        return content  # another process made it first; its key counts
    return replace(content, signing=(*content.signing, made))


def _generate(algorithm: SigningAlgorithm) -> SigningKey:
    bits = RSA_BITS.get(algorithm)
    if bits is not None:
        return rsa.generate_private_key(public_exponent=65537, key_size=bits)
    return ec.generate_private_key(CURVES[algorithm])
