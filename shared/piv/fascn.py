"""The Federal Agency Smart Credential Number: 40 characters of four bits and a parity bit in 25 bytes.

Sources: [TIG SCEPACS 2.3] section 6 (encoding and example); [SP 800-73-5] part 1, section 3.1.2.
"""

from dataclasses import dataclass
from typing import Final, Self

from shared import errors

LENGTH: Final = 25
_WHAT: Final = "FASC-N"
_CHARACTERS: Final = 40
_START, _SEPARATOR, _END = 0xB, 0xD, 0xF
_LAYOUT: Final = (
    ("agency", 4, True),
    ("system", 4, True),
    ("credential", 6, True),
    ("series", 1, True),
    ("issue", 1, True),
    ("person", 10, False),
    ("category", 1, False),
    ("organisation", 4, False),
    ("association", 1, False),
)
"""The fields in order, their digits, and whether a field separator follows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FascN:
    """A FASC-N by its fields, as decimal digits.

    `person` is the person identifier, `category` the organisational category, `organisation` its identifier,
    `association` the person's association with it. Cards without a federal number carry agency 9999.

    Raises:
        Garbled: a field has not its number of digits.
    """

    agency: str = "9999"
    system: str = "9999"
    credential: str = "999999"
    series: str = "0"
    issue: str = "1"
    person: str = "0000000000"
    category: str = "3"
    organisation: str = "0000"
    association: str = "1"

    def __post_init__(self) -> None:
        """Check the digits."""
        for name, length, _ in _LAYOUT:
            digits: str = getattr(self, name)
            if len(digits) != length or not (digits.isascii() and digits.isdigit()):
                raise errors.Garbled(why=f"FASC-N field {name} needs {length} digits")

    def __bytes__(self) -> bytes:
        """Encode it with parity and longitudinal redundancy check."""
        characters = [_START]
        for name, _, separated in _LAYOUT:
            characters += [int(digit) for digit in getattr(self, name)]
            characters += [_SEPARATOR] * separated
        characters.append(_END)
        characters.append(_check(characters))
        bits = "".join(_to_bits(character) for character in characters)
        return int(bits, 2).to_bytes(LENGTH, "big")

    @classmethod
    def from_bytes(cls, raw: bytes) -> Self:
        """Decode 25 bytes.

        Raises:
            CardMalformed: wrong length, parity, check, separators or digits.
        """
        if len(raw) != LENGTH:
            raise errors.CardMalformed(what=_WHAT, why=f"{len(raw)} bytes instead of {LENGTH}")
        bits = f"{int.from_bytes(raw, 'big'):0{LENGTH * 8}b}"
        characters = [_from_bits(bits[at : at + 5]) for at in range(0, len(bits), 5)]
        if characters[-1] != _check(characters[:-1]):
            raise errors.CardMalformed(what=_WHAT, why="redundancy check")
        fields: dict[str, str] = {}
        at = 1
        for name, length, separated in _LAYOUT:
            digits = characters[at : at + length]
            at += length
            if any(digit > 9 for digit in digits):
                raise errors.CardMalformed(what=_WHAT, why=f"{name} is not decimal")
            fields[name] = "".join(map(str, digits))
            if separated:
                if characters[at] != _SEPARATOR:
                    raise errors.CardMalformed(what=_WHAT, why=f"no separator after {name}")
                at += 1
        if characters[0] != _START or characters[at] != _END or at != _CHARACTERS - 2:
            raise errors.CardMalformed(what=_WHAT, why="sentinels")
        return cls(**fields)


def _check(characters: list[int]) -> int:
    """Return the longitudinal redundancy check: the exclusive or of everything before it."""
    total = 0
    for character in characters:
        total ^= character
    return total


def _to_bits(character: int) -> str:
    """Write one character, least significant bit first, and its odd parity."""
    bits = f"{character:04b}"[::-1]
    return bits + str((bits.count("1") + 1) % 2)


def _from_bits(bits: str) -> int:
    if bits.count("1") % 2 != 1:
        raise errors.CardMalformed(what=_WHAT, why="parity")
    return int(bits[3::-1], 2)
