"""BER-TLV, read and written whole.

A reader consumes everything or fails: what is left over is an error, never ignored. Tags are integers as the
standards print them (`0x5FC102`), values are bytes. Lengths that are longer than they need be are read, since cards
write them, and never written; the indefinite form is refused.

Source: [ISO 7816-4] 5.2.2 (tag and length fields); annex E of [SP 800-73-5] part 1 uses the same coding.
"""

from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

from shared import errors

TAG_BYTES_MAX: Final = 3
LENGTH_BYTES_MAX: Final = 3
VALUE_MAX: Final = 0xFFFFFF
DEPTH_MAX: Final = 16
"""How deep templates may nest; no structure of PIV or CMS goes beyond ten."""

_MULTI_BYTE: Final = 0x1F
_CONTINUED: Final = 0x80


@dataclass(frozen=True, slots=True)
class Tlv:
    """One element: its tag as printed in the standard and its value."""

    tag: int
    value: bytes

    def __bytes__(self) -> bytes:
        """Encode it."""
        return encode(self.tag, self.value)


def encode(tag: int, value: bytes) -> bytes:
    """Write one element with the shortest length field.

    Raises:
        Garbled: `tag` is no BER tag of up to three bytes, or `value` is longer than 16,777,215 bytes.
    """
    return _encode_tag(tag) + _encode_length(len(value)) + value


def parse(raw: bytes, what: str = "BER-TLV") -> tuple[Tlv, ...]:
    """Read a sequence of elements, all of it, one level deep; `what` names it in errors.

    Raises:
        CardMalformed: a tag, length or value is cut short or out of bounds.
    """
    elements: list[Tlv] = []
    at = 0
    while at < len(raw):
        element, at = _read(raw, at, what)
        elements.append(element)
    return tuple(elements)


def unwrap(tag: int, raw: bytes, what: str = "BER-TLV") -> bytes:
    """Return the value of the one element that `raw` is.

    Raises:
        CardMalformed: another tag, or something follows.
    """
    with Reader(raw, what) as reader:
        return reader.expect(tag)


class Reader:
    """Read elements in order; it must be empty when it is left as a context manager.

    `what` names the structure in errors, `depth` counts the templates around it.
    """

    __slots__ = ("_at", "_depth", "_raw", "_what")

    def __init__(self, raw: bytes, what: str, depth: int = 0) -> None:
        """Start at the first byte of `raw`."""
        if depth > DEPTH_MAX:
            raise errors.CardMalformed(what=what, why="nested too deep")
        self._raw = raw
        self._what = what
        self._depth = depth
        self._at = 0

    def __enter__(self) -> Self:
        """Give the reader to the block that empties it."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Make sure that the block read everything, unless it failed already."""
        if kind is None:
            self.end()

    @property
    def empty(self) -> bool:
        """Whether everything was read."""
        return self._at == len(self._raw)

    def peek(self) -> int | None:
        """Return the next element's tag without reading it, or None at the end."""
        return None if self.empty else _read_tag(self._raw, self._at, self._what)[0]

    def element(self) -> Tlv:
        """Read the next element, whatever its tag."""
        if self.empty:
            raise errors.CardMalformed(what=self._what, why="ended early")
        element, self._at = _read(self._raw, self._at, self._what)
        return element

    def expect(self, tag: int) -> bytes:
        """Read the element `tag`, which must be next, and return its value."""
        found = self.peek()
        if found != tag:
            seen = "the end" if found is None else f"{found:02X}"
            raise errors.CardMalformed(what=self._what, why=f"{tag:02X} expected, {seen} found")
        return self.element().value

    def optional(self, tag: int) -> bytes | None:
        """Read the element `tag` if it is next and return its value, else None."""
        return self.element().value if self.peek() == tag else None

    def nested(self, tag: int) -> "Reader":
        """Read the template `tag`, which must be next, and return a reader for what is in it."""
        return Reader(self.expect(tag), self._what, self._depth + 1)

    def end(self) -> None:
        """Make sure that everything was read.

        Raises:
            CardMalformed: an element is left.
        """
        if not self.empty:
            raise errors.CardMalformed(what=self._what, why=f"{len(self._raw) - self._at} bytes left over")


def _encode_tag(tag: int) -> bytes:
    raw = tag.to_bytes(max(1, (tag.bit_length() + 7) // 8), "big") if tag > 0 else b""
    if not raw or len(raw) > TAG_BYTES_MAX or _tag_length(raw) != len(raw):
        raise errors.Garbled(why=f"{tag:X} is not a BER tag")
    return raw


def _tag_length(raw: bytes) -> int | None:
    """Return how many bytes of `raw`, which is not empty, are its first tag, or None if that is cut or too long."""
    if raw[0] & _MULTI_BYTE != _MULTI_BYTE:
        return 1
    for count, byte in enumerate(raw[1:TAG_BYTES_MAX], start=2):
        if not byte & _CONTINUED:
            return count
    return None


def _encode_length(length: int) -> bytes:
    if length < _CONTINUED:
        return bytes([length])
    if length > VALUE_MAX:
        raise errors.Garbled(why="a value is too long for BER-TLV here")
    raw = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes([_CONTINUED | len(raw)]) + raw


def _read_tag(raw: bytes, at: int, what: str) -> tuple[int, int]:
    """Return the tag at `at` and where its length field begins."""
    length = _tag_length(raw[at : at + TAG_BYTES_MAX])
    if length is None or raw[at] == 0:
        raise errors.CardMalformed(what=what, why="bad tag")
    return int.from_bytes(raw[at : at + length], "big"), at + length


def _read(raw: bytes, at: int, what: str) -> tuple[Tlv, int]:
    """Return the element at `at` and where the next one begins."""
    tag, at = _read_tag(raw, at, what)
    if at >= len(raw):
        raise errors.CardMalformed(what=what, why="length missing")
    first = raw[at]
    at += 1
    length = first
    if first & _CONTINUED:
        count = first & 0x7F
        if not 1 <= count <= LENGTH_BYTES_MAX or at + count > len(raw):
            raise errors.CardMalformed(what=what, why="bad length")
        length = int.from_bytes(raw[at : at + count], "big")
        at += count
    if at + length > len(raw):
        raise errors.CardMalformed(what=what, why="value cut short")
    return Tlv(tag, raw[at : at + length]), at + length
