"""Drive conversations against a virtual card, or against a script of answers."""

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from typing import TypeVar

from cryptography.hazmat.primitives.asymmetric import rsa

from shared import errors
from shared.iso7816.apdu import (
    CHAINING_BIT,
    SHORT_DATA_MAX,
    ColdReset,
    Command,
    Digest,
    Hole,
    Item,
    Part,
    Response,
    ToBeSigned,
    encode,
)
from shared.iso7816.conversation import Conversation, drive
from shared.iso7816.status import SW
from shared.piv.ids import Algorithm, ProfileName
from shared.piv.padding import pkcs1_v1_5
from shared.virtual.card import VirtualCard
from shared.virtual.keys import generate_key
from shared.virtual.memory import PrivateKey

T = TypeVar("T")

PIN = b"123456\xff\xff"


@cache
def rsa_key(bits: int) -> rsa.RSAPrivateKey:
    """One key of each size for all tests: they take seconds to make."""
    return rsa.generate_private_key(65537, bits)


def pooled_key(algorithm: Algorithm) -> PrivateKey:
    return rsa_key(algorithm.rsa_bits) if algorithm.rsa_bits else generate_key(algorithm)


class Terminal:
    """A reader with a virtual card: fills holes, digests texts, chains, fetches; notes the batches."""

    def __init__(
        self, profile: ProfileName = ProfileName.YUBIKEY_5_7, holes: Mapping[str, bytes] | None = None
    ) -> None:
        self.card = VirtualCard.new(profile, serial=20_114_501, random=os.urandom, key_source=pooled_key)
        self.card.power_on()
        self.holes = {"pin": PIN, **(holes or {})}
        self.labels: list[str] = []
        self.batches: list[int] = []

    def drive(self, talk: Conversation[T]) -> T:
        return drive(self._counted(talk), self)

    def _counted(self, talk: Conversation[T]) -> Conversation[T]:
        try:
            batch = next(talk)
            while True:
                self.batches.append(len(batch))
                batch = talk.send((yield batch))
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]

    def __call__(self, item: Item) -> Response:
        self.labels.append(item.label)
        if isinstance(item, ColdReset):
            return Response(self.card.power_on(), SW.OK)
        data = b"".join(self._fill(part) for part in item.parts)
        header = bytes([item.cla, item.ins, item.p1, item.p2])
        while len(data) > SHORT_DATA_MAX:
            link = bytes([item.cla | CHAINING_BIT]) + header[1:]
            _, sw = self._transmit(encode(header=link, data=data[:SHORT_DATA_MAX], le=None))
            if sw != SW.OK:
                return Response(b"", sw)
            data = data[SHORT_DATA_MAX:]
        answer, sw = self._transmit(encode(header=header, data=data, le=item.le))
        while sw >> 8 == 0x61:
            more, sw = self._transmit(bytes([0, 0xC0, 0, 0, sw & 0xFF]))
            answer += more
        return Response(answer, sw)

    def _transmit(self, raw: bytes) -> tuple[bytes, int]:
        answer = self.card.transmit(raw)
        if not answer:
            raise errors.CardLost
        return answer[:-2], int.from_bytes(answer[-2:], "big")

    def _fill(self, part: Part) -> bytes:
        match part:
            case Hole():
                assert len(self.holes[part.name]) == part.length
                return self.holes[part.name]
            case ToBeSigned():
                digested = _digested(part)
                assert len(digested) == part.length
                return digested
            case _:
                return part


def _digested(text: ToBeSigned) -> bytes:
    match text.digest:
        case Digest.SHA256:
            return hashlib.sha256(text.content).digest()
        case Digest.SHA384:
            return hashlib.sha384(text.content).digest()
        case Digest.PKCS1_SHA256:
            return pkcs1_v1_5(hashlib.sha256(text.content).digest(), text.length)
        case Digest.NONE:
            return text.content


class Script:
    """Answers commands in turn from a list; keeps what it was sent."""

    def __init__(self, *answers: Response | int | Callable[[Command], Response]) -> None:
        self._answers = list(answers)
        self.sent: list[Item] = []

    def __call__(self, item: Item) -> Response:
        self.sent.append(item)
        if isinstance(item, ColdReset):
            return Response(b"\x3b\x00", SW.OK)
        answer = self._answers.pop(0)
        if isinstance(answer, int):
            return Response(b"", answer)
        return answer if isinstance(answer, Response) else answer(item)

    @property
    def commands(self) -> Sequence[Command]:
        return [item for item in self.sent if isinstance(item, Command)]


def said(data: str) -> Response:
    """A successful response with this data in hexadecimal."""
    return Response(bytes.fromhex(data), SW.OK)
