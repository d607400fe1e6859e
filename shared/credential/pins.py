"""What a PIN must look like.

The station enforces a policy before the card sees the PIN; the server never sees it.

Sources: [SP 800-73-5] part 2, section 3.2.1 (PIV PIN: 6 to 8 characters, padded with FF).
"""

import itertools
from dataclasses import dataclass, field
from enum import StrEnum, unique
from typing import Final

from shared import errors
from shared.credential.personal import taken_from
from shared.piv.ids import FACTORY_PIN
from shared.secret import Secret

PIN_FIELD_LENGTH: Final = 8
PADDING: Final = 0xFF


@unique
class Characters(StrEnum):
    """The characters that a PIN may have."""

    DIGITS = "digits"
    ALPHANUMERIC = "alphanumeric"
    ANY = "any"


@dataclass(frozen=True, slots=True, kw_only=True)
class PinPolicy:
    """Rules for a new PIN, from the template, within what the card can do. Lengths count bytes.

    `personal` are texts of the holder (`shared.credential.personal`), which the server fills in for one question.
    `present` is the PIN that is to be changed, which the station fills in where it knows it; it never travels.
    """

    min_length: int = 6
    max_length: int = 8
    characters: Characters = Characters.DIGITS
    allow_sequences: bool = False
    allow_repeats: bool = False
    forbidden: tuple[str, ...] = ("123456", "12345678")
    personal: tuple[str, ...] = field(default=(), repr=False)
    present: Secret | None = field(default=None, repr=False)


def check_pin(pin: bytes, policy: PinPolicy) -> None:
    """Refuse a PIN that breaks the policy.

    `pin` is ASCII, without padding. The factory's PIN is refused whatever the policy says.

    Raises:
        PinPolicyViolated: `rule` is `length`, `characters`, `factory`, `well-known`, `sequence`, `repeat`, `personal`
            or `same`.
    """
    if not policy.min_length <= len(pin) <= policy.max_length:
        raise errors.PinPolicyViolated(rule="length")
    allowed = {
        Characters.DIGITS: pin.isdigit(),
        Characters.ALPHANUMERIC: pin.isalnum() and pin.isascii(),
        Characters.ANY: all(0x20 <= byte < 0x7F for byte in pin),
    }[policy.characters]
    if not allowed:
        raise errors.PinPolicyViolated(rule="characters")
    if pin == FACTORY_PIN:
        raise errors.PinPolicyViolated(rule="factory")
    if any(pin == known.encode() for known in policy.forbidden):
        raise errors.PinPolicyViolated(rule="well-known")
    steps = {after - before for before, after in itertools.pairwise(pin)}
    if not policy.allow_repeats and steps == {0}:
        raise errors.PinPolicyViolated(rule="repeat")
    if not policy.allow_sequences and steps in ({1}, {-1}):
        raise errors.PinPolicyViolated(rule="sequence")
    if taken_from(pin, policy.personal):
        raise errors.PinPolicyViolated(rule="personal")
    if policy.present is not None and _same(pin, policy.present):
        raise errors.PinPolicyViolated(rule="same")


def _same(pin: bytes, present: Secret) -> bool:
    chosen = Secret(pin)
    try:
        return chosen == present
    finally:
        chosen.wipe()


def pad(pin: bytes) -> bytes:
    """Fill a PIN up to the field of the card's commands: eight bytes, the rest FF.

    Raises:
        PinPolicyViolated: longer than the field.
    """
    if len(pin) > PIN_FIELD_LENGTH:
        raise errors.PinPolicyViolated(rule="length")
    return pin + bytes([PADDING]) * (PIN_FIELD_LENGTH - len(pin))
