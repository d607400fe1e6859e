"""The container of the facial image; the image itself is a CBEFF record that is not looked into here.

Source: [SP 800-73-5] part 1, section 3.2.2 and table 13.
"""

from dataclasses import dataclass
from typing import Final, Self

from shared import errors
from shared.iso7816.tlv import Reader, encode

RECORD_MAX: Final = 12704
_WHAT: Final = "facial image"
_IMAGE, _CHECK = 0xBC, 0xFE


@dataclass(frozen=True, slots=True)
class FacialImage:
    """A facial image as what is inside 53. `record` is a CBEFF record with the issuer's signature."""

    record: bytes

    def __post_init__(self) -> None:
        """Check the length."""
        if len(self.record) > RECORD_MAX:
            raise errors.Garbled(why=f"a facial image has {RECORD_MAX} bytes at most")

    def __bytes__(self) -> bytes:
        """Encode the whole object."""
        return encode(_IMAGE, self.record) + encode(_CHECK, b"")

    @classmethod
    def from_bytes(cls, raw: bytes) -> Self:
        """Decode what is inside 53; raises `CardMalformed`."""
        with Reader(raw, _WHAT) as reader:
            record = reader.expect(_IMAGE)
            check = reader.expect(_CHECK)
        if check or len(record) > RECORD_MAX:
            raise errors.CardMalformed(what=_WHAT, why="a field has the wrong length")
        return cls(record)
