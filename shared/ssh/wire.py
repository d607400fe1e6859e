"""Numbers and strings as SSH writes them.

Source: [RFC 4251] section 5 (byte, uint32, string, mpint).
"""

from types import TracebackType
from typing import Final, Self

from shared import errors

LENGTH: Final = 4
"""Bytes of a number, and of the length before a string."""


def number(value: int) -> bytes:
    """Return a uint32."""
    return value.to_bytes(LENGTH, "big")


def string(value: bytes) -> bytes:
    """Return bytes behind their length."""
    return number(len(value)) + value


def integer(value: int) -> bytes:
    """Return an mpint that is not negative: as short as possible, with room for the sign."""
    return string(value.to_bytes((value.bit_length() + 8) // 8, "big") if value else b"")


class WireReader:
    """Read fields in order; it must be empty when it is left as a context manager.

    `what` names the structure in errors.
    """

    __slots__ = ("_at", "_raw", "_what")

    def __init__(self, raw: bytes, what: str) -> None:
        """Start at the first byte of `raw`."""
        self._raw = raw
        self._what = what
        self._at = 0

    def __enter__(self) -> Self:
        """Give the reader to the block that empties it."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Make sure that the block read everything, unless it failed already."""
        if kind is None and self._at != len(self._raw):
            raise self.wrong(why="bytes left over")

    def wrong(self, *, why: str) -> errors.Garbled:
        """Return the error for a structure that is not as it should be."""
        return errors.Garbled(why=f"{self._what}: {why}")

    def take(self, length: int) -> bytes:
        """Read so many bytes.

        Raises:
            Garbled: it ends before.
        """
        field = self._raw[self._at : self._at + length]
        if len(field) < length:
            raise self.wrong(why="ends early")
        self._at += length
        return field

    def number(self) -> int:
        """Read a uint32."""
        return int.from_bytes(self.take(LENGTH), "big")

    def string(self) -> bytes:
        """Read bytes behind their length."""
        return self.take(self.number())

    def integer(self) -> int:
        """Read an mpint that is not negative.

        Raises:
            Garbled: it is negative, or longer than it has to be.
        """
        raw = self.string()
        value = int.from_bytes(raw, "big")
        if string(raw) != integer(value):
            raise self.wrong(why="a number in another form")
        return value

    def expect(self, value: bytes, name: str) -> None:
        """Read a string that has to be `value`; `name` says in the error what it is."""
        if self.string() != value:
            raise self.wrong(why=f"another {name}")
