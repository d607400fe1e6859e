"""Commands and responses, as values and as bytes.

A `Command` may have *holes* in its data. The server never knows what goes into them: the station fills them
in from what the holder typed, and forgets it. Likewise the server never hands a digest to a card whose PIN is
verified: it sends the whole text (`ToBeSigned`), and the station computes the digest.

Framing (short, extended, chained) is chosen by the station's channel; `encode` does one command APDU.

Sources: [ISO 7816-4] 5.1 to 5.3 (command-response pairs, chaining), annex B.
"""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from shared import errors
from shared.iso7816.status import SW

SHORT_DATA_MAX: Final = 255
SHORT_LE_MAX: Final = 256
EXTENDED_DATA_MAX: Final = 65535
EXTENDED_LE_MAX: Final = 65536
CHAINING_BIT: Final = 0x10

ONLY_OK: Final = frozenset({int(SW.OK)})
"""The command is expected to succeed; any other status stops the batch."""

ANY_STATUS: Final[frozenset[int] | None] = None
"""Whatever the card says is an answer (a probe); the batch goes on."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hole:
    """A place in a command that the station fills: `length` bytes, padded with FF.

    `name` names the `Ask` or `Draw` turn that the value comes from.
    """

    name: str
    length: int = 8


class Digest(StrEnum):
    """What the station does with a text before the card signs it."""

    SHA256 = "sha256"
    """The raw digest, for ECDSA."""
    SHA384 = "sha384"
    """The raw digest, for ECDSA."""
    PKCS1_SHA256 = "pkcs1-sha256"
    """EMSA-PKCS1-v1_5 over SHA-256, padded to the modulus ([RFC 8017] 9.2)."""
    NONE = "none"
    """The text itself, for Ed25519."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ToBeSigned:
    """A text that the card signs; the station checks what it is and computes the digest.

    `content` is a DER CertificationRequestInfo ([RFC 2986] 4.1), or a challenge that begins with
    `CHALLENGE_PREFIX`. `length` is what takes its place in the command, in bytes.
    """

    content: bytes
    digest: Digest
    length: int


CHALLENGE_PREFIX: Final = b"issuance-kiosk proof of possession v1\x00"
"""What every challenge begins with that a card of a holder is asked to sign."""

Part = bytes | Hole | ToBeSigned


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One command APDU before framing.

    `le` is the number of response bytes expected: None for no data, 0 for "as much as there is".
    `expect` are the status words that let a batch go on (`ONLY_OK`, `ANY_STATUS`, or a set).
    `answer`, where given, is the response data that the card must return: anything else stops the batch, so
    that what follows is never sent to another card.
    `sensitive` data or responses are masked in every trace; no text form of a command shows its data.
    """

    ins: int
    label: str
    cla: int = 0x00
    p1: int = 0x00
    p2: int = 0x00
    parts: tuple[Part, ...] = field(default=(), repr=False)
    le: int | None = None
    expect: frozenset[int] | None = ONLY_OK
    answer: bytes | None = None
    sensitive: bool = False

    @property
    def holes(self) -> tuple[Hole, ...]:
        """The holes in the order of the data."""
        return tuple(part for part in self.parts if isinstance(part, Hole))

    @property
    def plain(self) -> bytes:
        """The data of a command that needs nothing from the station.

        Raises:
            Garbled: there is a hole or a text to sign in it.
        """
        if all(isinstance(part, bytes) for part in self.parts):
            return b"".join(part for part in self.parts if isinstance(part, bytes))
        raise errors.Garbled(why=f"{self.label} has a hole")

    @property
    def length(self) -> int:
        """The number of data bytes once everything is filled in."""
        return sum(len(part) if isinstance(part, bytes) else part.length for part in self.parts)

    def accepts(self, response: "Response") -> bool:
        """Whether a batch may go on after this response."""
        if self.expect is not None and response.sw not in self.expect:
            return False
        return self.answer is None or response.data == self.answer


@dataclass(frozen=True, slots=True, kw_only=True)
class ColdReset:
    """Power the card off and on; every security status is gone. Its response is the ATR with 9000."""

    label: str = "cold reset"


Item = Command | ColdReset


@dataclass(frozen=True, slots=True)
class Response:
    """What the card returned: data and status word."""

    data: bytes
    sw: int

    @property
    def ok(self) -> bool:
        """Whether the status is 9000."""
        return self.sw == SW.OK


@dataclass(frozen=True, slots=True)
class Apdu:
    """A command APDU as the card sees it. `le` is None when no response data is expected."""

    cla: int
    ins: int
    p1: int
    p2: int
    data: bytes
    le: int | None
    extended: bool = False


def encode(*, header: bytes, data: bytes, le: int | None, extended: bool = False) -> bytes:
    """Frame one command APDU.

    `header` is CLA INS P1 P2. `le` counts bytes; 0 asks for the maximum (256 short, 65,536 extended).

    Source: [ISO 7816-4] 5.1 and annex B.1 (cases 1 to 4, short and extended).
    Raises:
        Garbled: `data` or `le` does not fit the length format.
    """
    largest_data, largest_le = (
        (EXTENDED_DATA_MAX, EXTENDED_LE_MAX) if extended else (SHORT_DATA_MAX, SHORT_LE_MAX)
    )
    if len(header) != 4 or len(data) > largest_data or (le is not None and not 0 <= le <= largest_le):
        raise errors.Garbled(why="command does not fit its length format")
    width = 2 if extended else 1
    body = bytearray(header)
    if extended and (data or le is not None):
        body.append(0)
    if data:
        body += len(data).to_bytes(width, "big") + data
    if le is not None:
        body += (le % largest_le).to_bytes(width, "big")
    return bytes(body)


def decode(raw: bytes) -> Apdu:
    """Read one command APDU, all of it.

    Source: [ISO 7816-4] annex B.1 and B.2.
    Raises:
        Garbled: too short, or the lengths do not add up.
    """
    if len(raw) < 4:
        raise errors.Garbled(why="a command APDU has four bytes at least")
    cla, ins, p1, p2 = raw[:4]
    body = raw[4:]
    if not body:
        return Apdu(cla, ins, p1, p2, b"", None)
    extended = body[0] == 0 and len(body) > 1
    width, largest = (2, EXTENDED_LE_MAX) if extended else (1, SHORT_LE_MAX)
    rest = body[1:] if extended else body
    if len(rest) == width:
        return Apdu(cla, ins, p1, p2, b"", int.from_bytes(rest, "big") or largest, extended)
    length = int.from_bytes(rest[:width], "big")
    data, tail = rest[width : width + length], rest[width + length :]
    if not length or len(data) != length or len(tail) not in {0, width}:
        raise errors.Garbled(why="the lengths in a command APDU do not add up")
    le = (int.from_bytes(tail, "big") or largest) if tail else None
    return Apdu(cla, ins, p1, p2, data, le, extended)
