"""The management key (9B): prove it, have the card prove it, change it.

*Mutual* authentication is the rule: the card shows that it holds the recorded key before it is told any secret.
*Single* authentication, where only we prove ourselves, serves factory keys, which prove nothing.

Sources: [SP 800-73-5] part 2, section 3.2.4 and appendix A.1 (GENERAL AUTHENTICATE); [SP 800-78-5] section 5 (card
management keys); SET MANAGEMENT KEY as published by Yubico.
"""

import hmac
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from cryptography.hazmat.decrepit.ciphers.algorithms import TripleDES
from cryptography.hazmat.primitives.ciphers import Cipher
from cryptography.hazmat.primitives.ciphers.algorithms import AES
from cryptography.hazmat.primitives.ciphers.modes import ECB

from shared import errors
from shared.iso7816.apdu import Command, Response
from shared.iso7816.conversation import Batch, Conversation, nothing, send
from shared.iso7816.tlv import Reader, encode
from shared.piv.ids import FACTORY_MANAGEMENT_KEY, Ins, KeyRef, ManagementAlgorithm
from shared.piv.prefix import prefixed
from shared.secret import Secret

T = TypeVar("T")

_TEMPLATE = 0x7C
_WITNESS, _CHALLENGE, _RESPONSE = 0x80, 0x81, 0x82
_WHAT = "GENERAL AUTHENTICATE"
_PLAIN, _WITH_TOUCH = 0xFF, 0xFE


@dataclass(frozen=True, slots=True)
class ManagementKey:
    """A management key and its algorithm.

    Raises:
        Garbled: the key has not the algorithm's length.
    """

    algorithm: ManagementAlgorithm
    value: Secret

    def __post_init__(self) -> None:
        """Check the length."""
        if len(self.value.reveal()) != self.algorithm.key_length:
            raise errors.Garbled(why="the management key has not its algorithm's length")

    def encrypt(self, block: bytes) -> bytes:
        """Encrypt one block of the cipher."""
        encryptor = self._cipher().encryptor()
        return encryptor.update(block) + encryptor.finalize()

    def decrypt(self, block: bytes) -> bytes:
        """Decrypt one block of the cipher."""
        decryptor = self._cipher().decryptor()
        return decryptor.update(block) + decryptor.finalize()

    def _cipher(self) -> Cipher[ECB]:
        # one block at a time, as the card does: the protocol needs the bare cipher, which is what ECB of one block is
        kind = TripleDES if self.algorithm is ManagementAlgorithm.TDES else AES
        return Cipher(kind(self.value.reveal()), ECB())  # noqa: S305  # see above


def factory_key(algorithm: ManagementAlgorithm) -> ManagementKey:
    """Return the well-known key that cards leave the factory with, cut or repeated to the algorithm's length."""
    doubled = FACTORY_MANAGEMENT_KEY * 2
    return ManagementKey(algorithm, Secret(doubled[: algorithm.key_length]))


def authenticated(
    key: ManagementKey, then: Conversation[T], random: Callable[[int], bytes]
) -> Conversation[T]:
    """Authenticate card and server to each other, then go on with `then`.

    The first batch of `then` travels with the second half of the authentication, unless it carries a secret of ours
    (a PUK, a key): then it waits until the card has proved itself. `then` is closed where the proof fails.

    Source: [SP 800-73-5] part 2, appendix A.1 (mutual authentication).
    Raises:
        ManagementKeyRejected: the card does not take the key, or has one of another algorithm.
        CardNotGenuine: the card does not know the key itself.
    """
    length = key.algorithm.block_length
    witness = yield from _ask(key, _WITNESS)
    challenge = random(length)
    if len(challenge) != length:
        raise errors.Garbled(why="the source of randomness returned too little")
    inner = encode(_WITNESS, key.decrypt(witness)) + encode(_CHALLENGE, challenge)
    proof = _general_authenticate(key, inner, le=0)

    def judge(responses: Sequence[Response]) -> None:
        cryptogram = _read_field(_accepted(responses[0]), _RESPONSE)
        if not hmac.compare_digest(cryptogram, key.encrypt(challenge)):
            raise errors.CardNotGenuine(why="it does not know its management key")

    return (yield from prefixed([proof], then, judge, lambda batch: not carries_secret(batch)))


def prove_management_key(key: ManagementKey, random: Callable[[int], bytes]) -> Conversation[None]:
    """Authenticate card and server to each other, and nothing else; raises as `authenticated`."""
    yield from authenticated(key, nothing(), random)


def authenticated_singly(key: ManagementKey, then: Conversation[T]) -> Conversation[T]:
    """Authenticate the server to the card with a *public* key, then go on with `then` in the same batch.

    Source: [SP 800-73-5] part 2, appendix A.1 (external authentication).
    Raises:
        ManagementKeyRejected: the card does not take the key, or has one of another algorithm.
    """
    challenge = yield from _ask(key, _CHALLENGE)
    answer = _general_authenticate(key, encode(_RESPONSE, key.encrypt(challenge)), le=None)

    def judge(responses: Sequence[Response]) -> None:
        _accepted(responses[0])

    return (yield from prefixed([answer], then, judge))


def set_management_key(key: ManagementKey, *, touch: bool = False) -> Conversation[None]:
    """Replace the management key; needs the present one (vendor). `touch` asks for a touch at each later use.

    Raises:
        NotAuthorised: the present key was not proved before.
        NotSupportedByCard: the card has no such command.
    """
    value = encode(KeyRef.MANAGEMENT, key.value.reveal())
    yield from send(
        Command(
            ins=Ins.SET_MANAGEMENT_KEY,
            p1=0xFF,
            p2=_WITH_TOUCH if touch else _PLAIN,
            parts=(bytes([key.algorithm]), value),
            sensitive=True,
            label="SET MANAGEMENT KEY",
        )
    )


def carries_secret(batch: Batch) -> bool:
    """Whether a batch hands the card (and whoever carries it) a secret of ours; a hole is none."""
    return any(
        isinstance(item, Command)
        and item.sensitive
        and any(isinstance(part, bytes) and part for part in item.parts)
        for item in batch
    )


def _general_authenticate(key: ManagementKey, inner: bytes, le: int | None) -> Command:
    return Command(
        ins=Ins.GENERAL_AUTHENTICATE,
        p1=key.algorithm,
        p2=KeyRef.MANAGEMENT,
        parts=(encode(_TEMPLATE, inner),),
        le=le,
        label="GENERAL AUTHENTICATE (management key)",
    )


def _ask(key: ManagementKey, tag: int) -> Conversation[bytes]:
    """Ask the card for a witness or a challenge, one block long."""
    (response,) = yield [_general_authenticate(key, encode(tag, b""), le=0)]
    block = _read_field(_accepted(response), tag)
    if len(block) != key.algorithm.block_length:
        raise errors.CardMalformed(what=_WHAT, why=f"{len(block)} bytes are not a block")
    return block


def _accepted(response: Response) -> bytes:
    if not response.ok:
        raise errors.ManagementKeyRejected(sw=f"{response.sw:04X}")
    return response.data


def _read_field(raw: bytes, tag: int) -> bytes:
    with Reader(raw, _WHAT) as outer, outer.nested(_TEMPLATE) as inner:
        return inner.expect(tag)
