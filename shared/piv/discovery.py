"""The Discovery Object: which application this is, and which PINs open it.

Source: [SP 800-73-5] part 1, section 3.3.2 and table 18 (PIN usage policy).
"""

from dataclasses import dataclass
from enum import IntEnum, unique
from typing import Final, Self

from shared import errors
from shared.iso7816.tlv import Reader, encode
from shared.piv.ids import PIV_AID

_WHAT: Final = "discovery object"
_AID, _POLICY = 0x4F, 0x5F2F
_PIV_PIN, _GLOBAL_PIN, _OCC, _VCI, _VCI_NO_PAIRING = 0x40, 0x20, 0x10, 0x08, 0x04


@unique
class Preference(IntEnum):
    """Which PIN a card that has both wants to be asked for (second byte of the policy)."""

    NONE = 0x00
    PIV_PIN = 0x10
    GLOBAL_PIN = 0x20


@dataclass(frozen=True, slots=True, kw_only=True)
class Discovery:
    """The Discovery Object as what is inside 7E.

    `global_pin`, `on_card_comparison` and `virtual_contact` say what else than the PIV PIN satisfies the access rules;
    `pairing_code` is whether the virtual contact interface needs one.
    """

    global_pin: bool = False
    on_card_comparison: bool = False
    virtual_contact: bool = False
    pairing_code: bool = True
    preference: Preference = Preference.NONE
    application: bytes = PIV_AID

    def __bytes__(self) -> bytes:
        """Encode what goes into 7E."""
        first = _PIV_PIN
        first |= _GLOBAL_PIN * self.global_pin
        first |= _OCC * self.on_card_comparison
        first |= _VCI * self.virtual_contact
        first |= _VCI_NO_PAIRING * (not self.pairing_code)
        return encode(_AID, self.application) + encode(_POLICY, bytes([first, self.preference]))

    @classmethod
    def from_bytes(cls, raw: bytes) -> Self:
        """Decode what is inside 7E.

        Raises:
            CardMalformed: a field is missing or left over, or the policy does not have the PIV PIN.
        """
        with Reader(raw, _WHAT) as reader:
            application = reader.expect(_AID)
            policy = reader.expect(_POLICY)
        known = _PIV_PIN | _GLOBAL_PIN | _OCC | _VCI | _VCI_NO_PAIRING
        if len(policy) != 2 or policy[0] & ~known or not policy[0] & _PIV_PIN:
            raise errors.CardMalformed(what=_WHAT, why=f"PIN usage policy {policy.hex().upper()}")
        try:
            preference = Preference(policy[1])
        except ValueError as unknown:
            raise errors.CardMalformed(what=_WHAT, why=str(unknown)) from unknown
        return cls(
            global_pin=bool(policy[0] & _GLOBAL_PIN),
            on_card_comparison=bool(policy[0] & _OCC),
            virtual_contact=bool(policy[0] & _VCI),
            pairing_code=not policy[0] & _VCI_NO_PAIRING,
            preference=preference,
            application=application,
        )
