"""What the station puts in the place of a text that the card signs.

Sources: [RFC 8017] 9.2 (EMSA-PKCS1-v1_5); [SP 800-73-5] part 2, section 3.2.4; [FIPS 186-5] 6.4 (a digest is the
number that its bits say, so a short one is padded on the left).
"""

import hashlib
from typing import Final

from shared import errors
from shared.iso7816.apdu import Digest, ToBeSigned

_SHA256_INFO: Final = bytes.fromhex("3031300D060960864801650304020105000420")
"""DigestInfo of SHA-256 up to the digest ([RFC 8017] 9.2, note 1)."""

_PKCS1_PADDING_MIN: Final = 8


def encode_text(text: ToBeSigned) -> bytes:
    """Return exactly `text.length` bytes for the card to sign.

    Raises:
        Garbled: the digest does not fit the length that the server gave.
    """
    match text.digest:
        case Digest.SHA256:
            return _left_padded(hashlib.sha256(text.content).digest(), text.length)
        case Digest.SHA384:
            return _left_padded(hashlib.sha384(text.content).digest(), text.length)
        case Digest.PKCS1_SHA256:
            return _pkcs1(hashlib.sha256(text.content).digest(), text.length)
        case Digest.NONE:
            if len(text.content) != text.length:
                raise errors.Garbled(why="a text to sign is not as long as it says")
            return text.content


def _left_padded(digest: bytes, length: int) -> bytes:
    if len(digest) > length:
        raise errors.Garbled(why="a digest is longer than the curve")
    return digest.rjust(length, b"\x00")


def _pkcs1(digest: bytes, length: int) -> bytes:
    tail = b"\x00" + _SHA256_INFO + digest
    padding = length - len(tail) - 2
    if padding < _PKCS1_PADDING_MIN:
        raise errors.Garbled(why="a digest does not fit the modulus")
    return b"\x00\x01" + b"\xff" * padding + tail
