"""The Key History Object: how many retired keys a card holds, and where their certificates are.

Source: [SP 800-73-5] part 1, section 3.3.3 and table 19.
"""

from dataclasses import dataclass
from typing import Final, Self

from shared import errors
from shared.iso7816.tlv import Reader, encode

_WHAT: Final = "key history"
_ON_CARD, _OFF_CARD, _URL, _CHECK = 0xC1, 0xC2, 0xF3, 0xFE
KEYS_MAX: Final = 20
URL_MAX: Final = 118


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyHistory:
    """How many retired keys have their certificates on and off the card; `url` is where the latter are."""

    on_card: int = 0
    off_card: int = 0
    url: str = ""

    def __post_init__(self) -> None:
        """Check the counts, and that there is an address exactly where it is needed."""
        why = _why_wrong(self.on_card, self.off_card, self.url)
        if why:
            raise errors.Garbled(why=why)

    def __bytes__(self) -> bytes:
        """Encode the whole object."""
        fields = (
            encode(_ON_CARD, bytes([self.on_card])),
            encode(_OFF_CARD, bytes([self.off_card])),
            encode(_URL, self.url.encode()) if self.url else b"",
            encode(_CHECK, b""),
        )
        return b"".join(fields)

    @classmethod
    def from_bytes(cls, raw: bytes) -> Self:
        """Decode what is inside 53; raises `CardMalformed`."""
        with Reader(raw, _WHAT) as reader:
            on_card, off_card = reader.expect(_ON_CARD), reader.expect(_OFF_CARD)
            url = reader.optional(_URL) or b""
            check = reader.expect(_CHECK)
        if len(on_card) != 1 or len(off_card) != 1 or check:
            raise errors.CardMalformed(what=_WHAT, why="a field has the wrong length")
        try:
            address = url.decode()
        except UnicodeDecodeError as cause:
            raise errors.CardMalformed(what=_WHAT, why="the address is no text") from cause
        why = _why_wrong(on_card[0], off_card[0], address)
        if why:
            raise errors.CardMalformed(what=_WHAT, why=why)
        return cls(on_card=on_card[0], off_card=off_card[0], url=address)


def _why_wrong(on_card: int, off_card: int, url: str) -> str:
    if on_card < 0 or off_card < 0 or on_card + off_card > KEYS_MAX:
        return f"there are {KEYS_MAX} retired keys at most"
    if bool(off_card) != bool(url):
        return "an address belongs to keys with certificates off the card"
    return "the address is too long" if len(url.encode()) > URL_MAX else ""
