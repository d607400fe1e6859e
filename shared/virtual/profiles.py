"""The products that a virtual card can be, as data.

What a profile leaves out, its card does not know: an instruction that is not listed answers 6D00, a slot or
an algorithm that is not listed is refused.

Sources: [SP 800-73-5], [SP 800-78-5]; Yubico's published description of the PIV extensions by firmware
version; for `unknown` a mixture of what was seen in the field.
"""

from dataclasses import dataclass, field
from functools import reduce
from operator import xor
from typing import Final

from shared.piv.ids import (
    FACTORY_MANAGEMENT_KEY,
    PIV_AID,
    PRIMARY_SLOTS,
    Algorithm,
    Ins,
    ManagementAlgorithm,
    ObjectId,
    ProfileName,
    Slot,
)

STANDARD: Final = frozenset(
    {
        Ins.VERIFY,
        Ins.CHANGE_REFERENCE_DATA,
        Ins.RESET_RETRY_COUNTER,
        Ins.GENERATE_ASYMMETRIC,
        Ins.GENERAL_AUTHENTICATE,
        Ins.GET_DATA,
        Ins.PUT_DATA,
    }
)
"""What every PIV application knows."""

_YUBIKEY_4: Final = STANDARD | {
    Ins.ATTEST,
    Ins.SET_PIN_RETRIES,
    Ins.RESET,
    Ins.GET_VERSION,
    Ins.IMPORT_KEY,
    Ins.SET_MANAGEMENT_KEY,
}
_YUBIKEY_5: Final = _YUBIKEY_4 | {Ins.GET_SERIAL}
_YUBIKEY_5_3: Final = _YUBIKEY_5 | {Ins.GET_METADATA}
_YUBIKEY_5_7: Final = _YUBIKEY_5_3 | {Ins.MOVE_KEY}

_CLASSIC: Final = frozenset({Algorithm.RSA_2048, Algorithm.P256, Algorithm.P384})
_MODERN: Final = frozenset(Algorithm)
_TDES_ONLY: Final = frozenset({ManagementAlgorithm.TDES})
_ALL_SLOTS: Final = frozenset(Slot)
_STANDARD_SLOTS: Final = _ALL_SLOTS - {Slot.ATTESTATION}

_YUBIKEY_4_ATR: Final = bytes.fromhex("3BF81300008131FE15597562696B657934D4")


def _atr(historical: bytes) -> bytes:
    """Return an ATR for T=0 and T=1 with these historical bytes ([ISO 7816-3] 8.2)."""
    body = bytes((0x80 | len(historical), 0x80, 0x01)) + historical
    return b"\x3b" + body + bytes((reduce(xor, body),))


_YUBIKEY_5_ATR: Final = _atr(bytes.fromhex("8073C021C057597562694B6579"))
"""What a YubiKey 5 NFC shows a contactless reader. The ATR that it shows over USB makes yubikey-manager look for
a USB product in the reader's name, which no virtual reader has."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VirtualProfile:
    """What one product and version can do, and how it comes from the factory.

    `version` and `serials` are None and False where the card does not tell. `max_object` is the largest data
    object in bytes, `capacity` the room for all of them, `max_command` the longest command data after
    chaining. `extended` says whether extended APDUs are understood at all.
    `pin_digits_only` refuses a PIN with letters; `change_verifies` counts a successful CHANGE REFERENCE DATA
    as VERIFY ([SP 800-73-5] part 2, 3.2.2); `reselect_clears` loses the security status when the selected
    application is selected again (the standard keeps it, [SP 800-73-5] part 2, 3.1.1).
    `factory_objects` are CHUID and CCC that a new card already answers.
    """

    name: ProfileName
    product: str
    atr: bytes
    version: tuple[int, int, int] | None = None
    instructions: frozenset[Ins] = STANDARD
    slots: frozenset[Slot] = _STANDARD_SLOTS
    algorithms: frozenset[Algorithm] = _CLASSIC
    management_algorithms: frozenset[ManagementAlgorithm] = _TDES_ONLY
    factory_management: ManagementAlgorithm = ManagementAlgorithm.TDES
    factory_key: bytes = field(default=FACTORY_MANAGEMENT_KEY, repr=False)
    pin_tries: int = 3
    puk_tries: int = 3
    max_object: int = 3063
    capacity: int = 51_200
    max_command: int = 3072
    extended: bool = True
    any_object: bool = False
    template_objects: bool = False
    pin_digits_only: bool = False
    change_verifies: bool = False
    reselect_clears: bool = True
    factory_objects: bool = False
    full_template: bool = False
    form_factor: int = 0x01

    def knows(self, tag: int) -> bool:
        """Whether a data object of this tag may be written."""
        if self.any_object and 0x5F0000 <= tag <= 0x5FFFFF:
            return True
        return tag in _STANDARD_OBJECTS or (self.template_objects and tag in TEMPLATE_OBJECTS)


TEMPLATE_OBJECTS: Final = frozenset({int(ObjectId.DISCOVERY), int(ObjectId.BIOMETRIC_GROUP_TEMPLATE)})
"""Objects that travel under their own tag and not in 5C and 53 ([SP 800-73-5] part 2, 3.3.2)."""

_STANDARD_OBJECTS: Final = (
    frozenset(int(tag) for tag in ObjectId) - TEMPLATE_OBJECTS - {ObjectId.ATTESTATION_CERTIFICATE}
)

PROFILES: Final = {
    profile.name: profile
    for profile in (
        VirtualProfile(
            name=ProfileName.YUBIKEY_4,
            product="YubiKey 4.3.5",
            atr=_YUBIKEY_4_ATR,
            version=(4, 3, 5),
            instructions=_YUBIKEY_4,
            slots=_ALL_SLOTS,
            any_object=True,
        ),
        VirtualProfile(
            name=ProfileName.YUBIKEY_5_0,
            product="YubiKey 5.0.2",
            atr=_YUBIKEY_5_ATR,
            version=(5, 0, 2),
            instructions=_YUBIKEY_5,
            slots=_ALL_SLOTS,
            any_object=True,
        ),
        VirtualProfile(
            name=ProfileName.YUBIKEY_5_3,
            product="YubiKey 5.3.0",
            atr=_YUBIKEY_5_ATR,
            version=(5, 3, 0),
            instructions=_YUBIKEY_5_3,
            slots=_ALL_SLOTS,
            any_object=True,
        ),
        VirtualProfile(
            name=ProfileName.YUBIKEY_5_4,
            product="YubiKey 5.4.3",
            atr=_YUBIKEY_5_ATR,
            version=(5, 4, 3),
            instructions=_YUBIKEY_5_3,
            slots=_ALL_SLOTS,
            management_algorithms=frozenset(ManagementAlgorithm),
            any_object=True,
        ),
        VirtualProfile(
            name=ProfileName.YUBIKEY_5_7,
            product="YubiKey 5.7.1",
            atr=_YUBIKEY_5_ATR,
            version=(5, 7, 1),
            instructions=_YUBIKEY_5_7,
            slots=_ALL_SLOTS,
            algorithms=_MODERN,
            management_algorithms=frozenset(ManagementAlgorithm),
            factory_management=ManagementAlgorithm.AES192,
            any_object=True,
        ),
        VirtualProfile(
            name=ProfileName.PLAIN,
            product="SP 800-73 card",
            atr=_atr(b"\x80\xfb" + PIV_AID),
            algorithms=_CLASSIC | {Algorithm.RSA_3072},
            management_algorithms=_TDES_ONLY,
            max_object=12_710,
            capacity=81_920,
            max_command=12_800,
            template_objects=True,
            pin_digits_only=True,
            change_verifies=True,
            reselect_clears=False,
            full_template=True,
        ),
        VirtualProfile(
            name=ProfileName.UNKNOWN,
            product="PIV applet of unknown make",
            atr=_atr(b"Applet"),
            version=(1, 2, 0),
            instructions=STANDARD | {Ins.GET_VERSION, Ins.SET_MANAGEMENT_KEY},
            slots=frozenset(PRIMARY_SLOTS)
            | {slot for slot in Slot if Slot.RETIRED_1 <= slot <= Slot.RETIRED_11},
            management_algorithms=frozenset(ManagementAlgorithm),
            factory_management=ManagementAlgorithm.AES192,
            max_object=5000,
            capacity=32_768,
            max_command=5100,
            extended=False,
            pin_digits_only=True,
            change_verifies=True,
            reselect_clears=False,
            factory_objects=True,
        ),
    )
}
"""Every product that a virtual card can be."""
