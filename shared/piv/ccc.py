"""The Card Capability Container.

PIV fixes nearly all of it; what differs from card to card is the card identifier.

Source: [SP 800-73-5] part 1, section 3.1.1 and table 8; [GSC-IS 2.1] chapter 6 (card identifier).
"""

from dataclasses import dataclass
from typing import Final, Self

from shared import errors
from shared.iso7816.tlv import Reader, encode

GSC_RID: Final = bytes.fromhex("A000000116")
MANUFACTURER: Final = 0xFF
JAVA_CARD: Final = 0x02
_WHAT: Final = "CCC"
_IDENTIFIER, _CHECK = 0xF0, 0xFE
_EMPTY_TAGS: Final = (0xF6, 0xF7, 0xFA, 0xFB, 0xFC, 0xFD)
_OPTIONAL_TAGS: Final = (0xE3, 0xB4)


@dataclass(frozen=True, slots=True, kw_only=True)
class Ccc:
    """A CCC as what is inside 53.

    `card_id` are the 14 bytes that are the card's own, `manufacturer` and `card_type` stand before them. The other
    fields have the values that PIV prescribes; a card with other values is read, and written back, unchanged.
    """

    card_id: bytes
    manufacturer: int = MANUFACTURER
    card_type: int = JAVA_CARD
    container_version: bytes = b"\x21"
    grammar_version: bytes = b"\x21"
    applications: bytes = b""
    pkcs15: bytes = b"\x00"
    data_model: bytes = b"\x10"
    rest: bytes = b"".join(encode(tag, b"") for tag in _EMPTY_TAGS)

    def __post_init__(self) -> None:
        """Check the card's own bytes."""
        if len(self.card_id) != 14:
            raise errors.Garbled(why="a CCC's card id has 14 bytes")

    def __bytes__(self) -> bytes:
        """Encode the whole object."""
        identifier = GSC_RID + bytes([self.manufacturer, self.card_type]) + self.card_id
        fields = (
            encode(_IDENTIFIER, identifier),
            encode(0xF1, self.container_version),
            encode(0xF2, self.grammar_version),
            encode(0xF3, self.applications),
            encode(0xF4, self.pkcs15),
            encode(0xF5, self.data_model),
            self.rest,
            encode(_CHECK, b""),
        )
        return b"".join(fields)

    @classmethod
    def from_bytes(cls, raw: bytes) -> Self:
        """Decode what is inside 53.

        Raises:
            CardMalformed: fields missing, out of order or unknown, or no GSC card identifier.
        """
        with Reader(raw, _WHAT) as reader:
            identifier = reader.expect(_IDENTIFIER)
            if len(identifier) != 21 or not identifier.startswith(GSC_RID):
                raise errors.CardMalformed(what=_WHAT, why="no GSC card identifier")
            values = [reader.expect(tag) for tag in (0xF1, 0xF2, 0xF3, 0xF4, 0xF5)]
            rest = b"".join(encode(tag, reader.expect(tag)) for tag in _EMPTY_TAGS)
            for tag in _OPTIONAL_TAGS:
                value = reader.optional(tag)
                rest += b"" if value is None else encode(tag, value)
            if reader.expect(_CHECK):
                raise errors.CardMalformed(what=_WHAT, why="error detection code is not empty")
        return cls(
            card_id=identifier[7:],
            manufacturer=identifier[5],
            card_type=identifier[6],
            container_version=values[0],
            grammar_version=values[1],
            applications=values[2],
            pkcs15=values[3],
            data_model=values[4],
            rest=rest,
        )
