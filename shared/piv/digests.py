"""What a station puts in the place of a text that the card signs.

The server never hands over a digest: it sends the text, the station's guard judges it, and the digest is made here.

Sources: [RFC 8017] 9.2 (EMSA-PKCS1-v1_5); [SP 800-73-5] part 2, section 3.2.4; [FIPS 186-5] 6.4.1.
"""

import hashlib

from shared import errors
from shared.iso7816.apdu import Digest, ToBeSigned
from shared.piv.padding import pkcs1_v1_5, to_field


def encode_text(text: ToBeSigned) -> bytes:
    """Return exactly `text.length` bytes for the card to sign.

    Raises:
        Garbled: the length that the server gave has no room for the digest.
    """
    match text.digest:
        case Digest.SHA256:
            return to_field(hashlib.sha256(text.content).digest(), text.length)
        case Digest.SHA384:
            return to_field(hashlib.sha384(text.content).digest(), text.length)
        case Digest.PKCS1_SHA256:
            return pkcs1_v1_5(hashlib.sha256(text.content).digest(), text.length)
        case Digest.NONE:
            if len(text.content) != text.length:
                raise errors.Garbled(why="a text to sign is not as long as it says")
            return text.content
