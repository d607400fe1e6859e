"""BER-TLV as the card reads and writes it.

The card has a reader of its own, apart from the card engine's, so that both check each other. It reads what a
command may carry (one level at a time, lengths up to 65,535) and must consume everything.

Source: [ISO 7816-4] 5.2.2.
"""

from collections.abc import Iterator

from shared.iso7816.status import SW
from shared.virtual.security import Refused


def put(tag: int, value: bytes) -> bytes:
    """Return one TLV; the tag is written in as few bytes as it has."""
    length = len(value)
    head = tag.to_bytes((tag.bit_length() + 7) // 8 or 1, "big")
    if length < 0x80:
        return head + bytes((length,)) + value
    if length < 0x100:
        return head + bytes((0x81, length)) + value
    return head + b"\x82" + length.to_bytes(2, "big") + value


def walk(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield tag and value of each TLV in `data`, all of it.

    Raises:
        Refused: 6A80, the bytes are not a sequence of TLVs.
    """
    at = 0
    while at < len(data):
        tag, at = _tag(data, at)
        length, at = _length(data, at)
        if at + length > len(data):
            raise Refused(SW.INCORRECT_DATA)
        yield tag, data[at : at + length]
        at += length


def fields(data: bytes) -> dict[int, bytes]:
    """Return the TLVs in `data` by tag.

    Raises:
        Refused: 6A80, malformed, or a tag stands there twice.
    """
    found: dict[int, bytes] = {}
    for tag, value in walk(data):
        if tag in found:
            raise Refused(SW.INCORRECT_DATA)
        found[tag] = value
    return found


def only(data: bytes, tag: int) -> bytes:
    """Return the value of the one TLV in `data`, which must have this tag.

    Raises:
        Refused: 6A80, it is something else.
    """
    found = list(walk(data))
    if len(found) != 1 or found[0][0] != tag:
        raise Refused(SW.INCORRECT_DATA)
    return found[0][1]


def _tag(data: bytes, at: int) -> tuple[int, int]:
    """Read a tag of up to three bytes."""
    first = data[at]
    at += 1
    if first & 0x1F != 0x1F:
        return first, at
    tag = first
    for _ in range(2):
        if at >= len(data):
            break
        tag = tag << 8 | data[at]
        at += 1
        if not tag & 0x80:
            return tag, at
    raise Refused(SW.INCORRECT_DATA)


def _length(data: bytes, at: int) -> tuple[int, int]:
    """Read a length in its short form, 81 or 82."""
    if at >= len(data):
        raise Refused(SW.INCORRECT_DATA)
    first = data[at]
    at += 1
    if first < 0x80:
        return first, at
    width = first & 0x7F
    if width not in {1, 2} or at + width > len(data):
        raise Refused(SW.INCORRECT_DATA)
    return int.from_bytes(data[at : at + width], "big"), at + width
