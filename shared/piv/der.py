"""The few DER types that signed objects are made of; lengths and nesting are BER-TLV's.

Source: [X.690] sections 8 and 10, 11.6 (a SET OF is sorted by its encodings).
"""

from typing import Final

from shared import errors
from shared.iso7816.tlv import encode

INTEGER: Final = 0x02
OCTET_STRING: Final = 0x04
NULL: Final = 0x05
OBJECT_IDENTIFIER: Final = 0x06
SEQUENCE: Final = 0x30
SET: Final = 0x31
CONTEXT_0: Final = 0xA0
CONTEXT_1: Final = 0xA1


def sequence(*elements: bytes) -> bytes:
    """Join encoded elements in a SEQUENCE."""
    return encode(SEQUENCE, b"".join(elements))


def set_of(*elements: bytes) -> bytes:
    """Join encoded elements in a SET OF, sorted."""
    return encode(SET, b"".join(sorted(elements)))


def octet_string(value: bytes) -> bytes:
    """Wrap bytes in an OCTET STRING."""
    return encode(OCTET_STRING, value)


def integer(value: int) -> bytes:
    """Encode an INTEGER that is not negative."""
    if value < 0:
        raise errors.Garbled(why="negative integers are not encoded here")
    return encode(INTEGER, value.to_bytes(value.bit_length() // 8 + 1, "big"))


def read_integer(raw: bytes) -> int:
    """Read the value of an INTEGER.

    Raises:
        CardMalformed: it is empty.
    """
    if not raw:
        raise errors.CardMalformed(what="DER", why="an integer without bytes")
    return int.from_bytes(raw, "big", signed=True)


def oid(dotted: str) -> bytes:
    """Encode an OBJECT IDENTIFIER that is written with dots."""
    first, second, *rest = (int(arc) for arc in dotted.split("."))
    return encode(OBJECT_IDENTIFIER, b"".join(_base_128(arc) for arc in (first * 40 + second, *rest)))


def algorithm(dotted: str, parameters: bytes = b"") -> bytes:
    """Encode an AlgorithmIdentifier."""
    return sequence(oid(dotted), parameters)


def _base_128(number: int) -> bytes:
    groups = [number & 0x7F]
    while number := number >> 7:
        groups.append(0x80 | number & 0x7F)
    return bytes(reversed(groups))
