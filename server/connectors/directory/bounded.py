"""A socket that lets only LDAP messages through, and only so many.

The library believes what a message says of its length, and waits for the rest for ever; a length of nothing makes it go
round in a circle. So every message's frame is judged here, before the library sees it.

Source: [RFC 4511] 5.1 (definite lengths), [X.690] 8.1.3.
"""

import ssl
import time
from typing import Final

ANSWER_MAX: Final = 32 * 1024 * 1024
"""Bytes of one answer: a page of people with photos, and far more than that."""
PATIENCE: Final = 4
"""How many time-outs a whole answer may take, however busily it drips."""

ENDLESS: Final = "an answer without an end"
NOT_ONE: Final = "its answer is not LDAP"

SEQUENCE: Final = 0x30
LENGTH_BYTES_MAX: Final = 4
SMALLEST: Final = 5
"""Bytes of a message: a number, and an operation without content."""


class Frames:
    """Follow where messages begin and end."""

    def __init__(self) -> None:
        """Begin between two messages."""
        self._header = b""
        self._left = 0

    def feed(self, data: bytes) -> None:
        """Go on with what came.

        Raises:
            OSError: it is no message, or a very long one.
        """
        at = 0
        while at < len(data):
            if self._left:
                taken = min(self._left, len(data) - at)
                self._left -= taken
                at += taken
                continue
            self._header += data[at : at + 1]
            at += 1
            length = _length(self._header)
            if length is not None:
                self._header, self._left = b"", length


def _length(header: bytes) -> int | None:
    """Return what a message's first bytes say of its length; None while there are too few of them."""
    if header[0] != SEQUENCE:
        raise OSError(NOT_ONE)
    if len(header) == 1:
        return None
    count = header[1] & 0x7F if header[1] & 0x80 else 0
    if header[1] == 0x80 or count > LENGTH_BYTES_MAX:
        raise OSError(NOT_ONE)
    if len(header) < 2 + count:
        return None
    length = int.from_bytes(header[2:], "big") if count else header[1]
    if length < SMALLEST:
        raise OSError(NOT_ONE)
    if length > ANSWER_MAX:
        raise OSError(ENDLESS)
    return length


class BoundedSocket(ssl.SSLSocket):
    """Receive messages within bounds."""

    _left = ANSWER_MAX
    _until = float("inf")
    _frames: Frames | None = None

    def allow(self, seconds: float) -> None:
        """Begin a new answer, which may take this long."""
        self._left = ANSWER_MAX
        self._until = time.monotonic() + seconds

    def recv(self, buflen: int = 1024, flags: int = 0) -> bytes:
        """Receive within the bounds."""
        if self._left <= 0 or time.monotonic() > self._until:
            raise OSError(ENDLESS)
        data = super().recv(buflen, flags)
        self._left -= len(data)
        if self._frames is None:
            self._frames = Frames()
        self._frames.feed(data)
        return data
