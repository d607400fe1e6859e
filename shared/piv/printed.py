"""Printed Information: what is printed on the card, readable with the PIN.

Source: [SP 800-73-5] part 1, section 3.3.1 and table 14.
"""

from dataclasses import dataclass
from typing import Final, Self

from shared import errors
from shared.iso7816.tlv import Reader, encode

_WHAT: Final = "printed information"
_CHECK: Final = 0xFE
_FIELDS: Final = (
    ("name", 0x01, 125),
    ("affiliation", 0x02, 20),
    ("expires", 0x04, 9),
    ("serial", 0x05, 20),
    ("issuer", 0x06, 15),
    ("organisation_1", 0x07, 20),
    ("organisation_2", 0x08, 20),
)
"""Fields in order, their tags, their greatest lengths in bytes."""
_OPTIONAL: Final = frozenset({"organisation_1", "organisation_2"})


@dataclass(frozen=True, slots=True, kw_only=True)
class PrintedInformation:
    """The texts on the card's face. `expires` is YYYYMMMDD, such as 2031JAN24; organisation lines may be absent."""

    name: str
    affiliation: str
    expires: str
    serial: str
    issuer: str
    organisation_1: str | None = None
    organisation_2: str | None = None

    def __post_init__(self) -> None:
        """Check the lengths, counted in bytes of UTF-8."""
        for field, _, longest in _FIELDS:
            text: str | None = getattr(self, field)
            if text is not None and len(text.encode()) > longest:
                raise errors.Garbled(why=f"printed {field} has more than {longest} bytes")

    def __bytes__(self) -> bytes:
        """Encode the whole object."""
        raw = b""
        for field, tag, _ in _FIELDS:
            text: str | None = getattr(self, field)
            raw += b"" if text is None else encode(tag, text.encode())
        return raw + encode(_CHECK, b"")

    @classmethod
    def from_bytes(cls, raw: bytes) -> Self:
        """Decode what is inside 53; raises `CardMalformed`."""
        texts: dict[str, str] = {}
        with Reader(raw, _WHAT) as reader:
            for field, tag, longest in _FIELDS:
                value = reader.optional(tag) if field in _OPTIONAL else reader.expect(tag)
                if value is None:
                    continue
                if len(value) > longest:
                    raise errors.CardMalformed(what=_WHAT, why=f"{field} is too long")
                try:
                    texts[field] = value.decode()
                except UnicodeDecodeError as cause:
                    raise errors.CardMalformed(what=_WHAT, why=f"{field} is no text") from cause
            if reader.expect(_CHECK):
                raise errors.CardMalformed(what=_WHAT, why="error detection code is not empty")
        return cls(**texts)
