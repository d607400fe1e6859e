"""Codes that one person reads out and another one types in.

The *read-out code* unblocks a card far away: its PUK, with check digits over what the card says of itself, in groups of
four. A PUK is static and serves any number of times: from then on it counts as disclosed. The check digits tell a
slip of the tongue from the right code, and the code of another card, before the card counts a wrong try.

The *unblock code* unblocks a card at a station, once; the server judges it, and keeps no more than a digest.

Source: card-rules, "Unblocking at a distance".
"""

import hashlib
import re
from collections.abc import Callable
from typing import Final
from uuid import UUID

from shared import errors
from shared.secret import Secret

GROUP: Final = 4
PUK_DIGITS: Final = 8
CHECK_DIGITS: Final = 4

ALPHABET: Final = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
"""Thirty-two signs without I, L, O and U, which are heard or read as others (Crockford's)."""
CODE_LENGTH: Final = 12
"""Sixty bits: nobody finds one that lives for a day, not even with the digest."""

_CONTEXT: Final = b"kiosk read-out code v1\x00"
_HEARD: Final = str.maketrans({"O": "0", "I": "1", "L": "1"})


def read_out_code(puk: bytes, *, serial: int | None, guid: UUID) -> Secret:
    """Return the text that is read out: eight digits of the PUK and four check digits, in groups of four.

    `serial` is the card's, where it has one; else its CHUID's GUID stands for it.
    """
    digits = puk.decode("ascii") + _check(puk, serial, guid)
    return Secret.from_text(_grouped(digits))


def take_read_out_code(text: str, *, serial: int | None, guid: UUID) -> Secret:
    """Return the PUK of a code that was typed in for the card in a reader.

    Raises:
        Invalid: not twelve digits, or not the code of this card; nothing was sent to the card.
    """
    digits = re.sub(r"[\s-]", "", text)
    if not re.fullmatch(rf"\d{{{PUK_DIGITS + CHECK_DIGITS}}}", digits):
        raise errors.Invalid(field="code", why="three groups of four digits")
    puk = digits[:PUK_DIGITS].encode()
    if digits[PUK_DIGITS:] != _check(puk, serial, guid):
        raise errors.Invalid(field="code", why="misheard, or for another card")
    return Secret(puk)


def _check(puk: bytes, serial: int | None, guid: UUID) -> str:
    card = guid.bytes if serial is None else serial.to_bytes(8, "big")
    digest = hashlib.sha256(_CONTEXT + card + puk).digest()
    return f"{int.from_bytes(digest, 'big') % 10**CHECK_DIGITS:0{CHECK_DIGITS}d}"


def new_unblock_code(random: Callable[[int], bytes]) -> Secret:
    """Draw an unblock code; `random` returns that many random bytes."""
    drawn = "".join(ALPHABET[byte % len(ALPHABET)] for byte in random(CODE_LENGTH))
    return Secret.from_text(_grouped(drawn))


def unblock_code_digest(code: Secret, credential: UUID) -> bytes:
    """Return what is kept of an unblock code: SHA-256 over the credential's id and the code as it is meant.

    Raises:
        Invalid: no unblock code looks like this.
    """
    text = re.sub(r"[\s-]", "", code.reveal().decode("utf-8", "replace")).upper().translate(_HEARD)
    if len(text) != CODE_LENGTH or set(text) - set(ALPHABET):
        raise errors.Invalid(field="code", why="three groups of four letters and digits")
    return hashlib.sha256(credential.bytes + text.encode()).digest()


def _grouped(text: str) -> str:
    return " ".join(text[at : at + GROUP] for at in range(0, len(text), GROUP))
