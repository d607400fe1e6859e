"""The number spaces of PIV.

Sources: [SP 800-73-5] part 1, tables 3 (data objects) and 4b/5 (key references); part 2, appendix A;
[SP 800-78-5] table 9 (algorithm identifiers); Yubico's PIV extensions for what is marked *vendor*.
"""

from enum import IntEnum, StrEnum, unique
from typing import Final

PIV_AID: Final = bytes.fromhex("A000000308000010000100")
"""The PIV card application's identifier with its version 1.0 ([SP 800-73-5] part 1, section 2.2)."""

PIV_AID_TRUNCATED: Final = bytes.fromhex("A000000308")
"""The right-truncated identifier: NIST's RID, enough to select."""


@unique
class Ins(IntEnum):
    """Instructions ([SP 800-73-5] part 2, table 2)."""

    VERIFY = 0x20
    CHANGE_REFERENCE_DATA = 0x24
    RESET_RETRY_COUNTER = 0x2C
    GENERATE_ASYMMETRIC = 0x47
    GENERAL_AUTHENTICATE = 0x87
    SELECT = 0xA4
    GET_RESPONSE = 0xC0
    GET_DATA = 0xCB
    PUT_DATA = 0xDB
    MOVE_KEY = 0xF6  # vendor, 5.7; with P1 FF it deletes
    GET_METADATA = 0xF7  # vendor, 5.3
    GET_SERIAL = 0xF8  # vendor, 5.0
    ATTEST = 0xF9  # vendor, 4.3
    SET_PIN_RETRIES = 0xFA  # vendor
    RESET = 0xFB  # vendor
    GET_VERSION = 0xFD  # vendor
    IMPORT_KEY = 0xFE  # vendor
    SET_MANAGEMENT_KEY = 0xFF  # vendor


@unique
class KeyRef(IntEnum):
    """Key references that are not asymmetric slots ([SP 800-73-5] part 1, table 4b)."""

    GLOBAL_PIN = 0x00
    PIN = 0x80
    PUK = 0x81
    MANAGEMENT = 0x9B


@unique
class Slot(IntEnum):
    """Asymmetric key references ([SP 800-73-5] part 1, tables 4b and 5)."""

    AUTHENTICATION = 0x9A
    SIGNATURE = 0x9C
    KEY_MANAGEMENT = 0x9D
    CARD_AUTHENTICATION = 0x9E
    RETIRED_1 = 0x82
    RETIRED_2 = 0x83
    RETIRED_3 = 0x84
    RETIRED_4 = 0x85
    RETIRED_5 = 0x86
    RETIRED_6 = 0x87
    RETIRED_7 = 0x88
    RETIRED_8 = 0x89
    RETIRED_9 = 0x8A
    RETIRED_10 = 0x8B
    RETIRED_11 = 0x8C
    RETIRED_12 = 0x8D
    RETIRED_13 = 0x8E
    RETIRED_14 = 0x8F
    RETIRED_15 = 0x90
    RETIRED_16 = 0x91
    RETIRED_17 = 0x92
    RETIRED_18 = 0x93
    RETIRED_19 = 0x94
    RETIRED_20 = 0x95
    ATTESTATION = 0xF9  # vendor

    @property
    def text(self) -> str:
        """The two hex digits that everybody calls it by."""
        return f"{self.value:02X}"

    @property
    def retired(self) -> bool:
        """Whether it holds a retired key management key (82 to 95)."""
        return self.RETIRED_1 <= self <= self.RETIRED_20

    @property
    def certificate_object(self) -> "ObjectId":
        """The data object with this slot's certificate."""
        if self.retired:
            return ObjectId(ObjectId.RETIRED_CERTIFICATE_1 + (self - self.RETIRED_1))
        return {
            Slot.AUTHENTICATION: ObjectId.AUTHENTICATION_CERTIFICATE,
            Slot.SIGNATURE: ObjectId.SIGNATURE_CERTIFICATE,
            Slot.KEY_MANAGEMENT: ObjectId.KEY_MANAGEMENT_CERTIFICATE,
            Slot.CARD_AUTHENTICATION: ObjectId.CARD_AUTHENTICATION_CERTIFICATE,
            Slot.ATTESTATION: ObjectId.ATTESTATION_CERTIFICATE,
        }[self]


PRIMARY_SLOTS: Final = (
    Slot.AUTHENTICATION,
    Slot.SIGNATURE,
    Slot.KEY_MANAGEMENT,
    Slot.CARD_AUTHENTICATION,
)


@unique
class ObjectId(IntEnum):
    """Data objects by their BER-TLV tag ([SP 800-73-5] part 1, table 3)."""

    DISCOVERY = 0x7E
    BIOMETRIC_GROUP_TEMPLATE = 0x7F61
    CCC = 0x5FC107
    CHUID = 0x5FC102
    AUTHENTICATION_CERTIFICATE = 0x5FC105
    FINGERPRINTS = 0x5FC103
    SECURITY = 0x5FC106
    FACIAL_IMAGE = 0x5FC108
    PRINTED_INFORMATION = 0x5FC109
    SIGNATURE_CERTIFICATE = 0x5FC10A
    KEY_MANAGEMENT_CERTIFICATE = 0x5FC10B
    CARD_AUTHENTICATION_CERTIFICATE = 0x5FC101
    KEY_HISTORY = 0x5FC10C
    RETIRED_CERTIFICATE_1 = 0x5FC10D
    RETIRED_CERTIFICATE_2 = 0x5FC10E
    RETIRED_CERTIFICATE_3 = 0x5FC10F
    RETIRED_CERTIFICATE_4 = 0x5FC110
    RETIRED_CERTIFICATE_5 = 0x5FC111
    RETIRED_CERTIFICATE_6 = 0x5FC112
    RETIRED_CERTIFICATE_7 = 0x5FC113
    RETIRED_CERTIFICATE_8 = 0x5FC114
    RETIRED_CERTIFICATE_9 = 0x5FC115
    RETIRED_CERTIFICATE_10 = 0x5FC116
    RETIRED_CERTIFICATE_11 = 0x5FC117
    RETIRED_CERTIFICATE_12 = 0x5FC118
    RETIRED_CERTIFICATE_13 = 0x5FC119
    RETIRED_CERTIFICATE_14 = 0x5FC11A
    RETIRED_CERTIFICATE_15 = 0x5FC11B
    RETIRED_CERTIFICATE_16 = 0x5FC11C
    RETIRED_CERTIFICATE_17 = 0x5FC11D
    RETIRED_CERTIFICATE_18 = 0x5FC11E
    RETIRED_CERTIFICATE_19 = 0x5FC11F
    RETIRED_CERTIFICATE_20 = 0x5FC120
    IRIS = 0x5FC121
    SECURE_MESSAGING_CERTIFICATE_SIGNER = 0x5FC122
    PAIRING_CODE_REFERENCE = 0x5FC123
    ATTESTATION_CERTIFICATE = 0x5FFF01  # vendor


@unique
class Algorithm(IntEnum):
    """Asymmetric algorithms of a slot ([SP 800-78-5] table 9)."""

    RSA_2048 = 0x07
    RSA_3072 = 0x05
    RSA_4096 = 0x16  # vendor, 5.7
    P256 = 0x11
    P384 = 0x14
    ED25519 = 0xE0  # vendor, 5.7
    X25519 = 0xE1  # vendor, 5.7

    @property
    def text(self) -> str:
        """The name that templates and screens use."""
        return {
            Algorithm.RSA_2048: "RSA-2048",
            Algorithm.RSA_3072: "RSA-3072",
            Algorithm.RSA_4096: "RSA-4096",
            Algorithm.P256: "P-256",
            Algorithm.P384: "P-384",
            Algorithm.ED25519: "Ed25519",
            Algorithm.X25519: "X25519",
        }[self]

    @classmethod
    def from_text(cls, text: str) -> "Algorithm":
        """Return the algorithm that is called this; `ValueError` for any other text."""
        for member in cls:
            if member.text.casefold() == text.casefold():
                return member
        raise ValueError(text)

    @property
    def rsa_bits(self) -> int | None:
        """The modulus length in bits, or None for a curve."""
        return {
            Algorithm.RSA_2048: 2048,
            Algorithm.RSA_3072: 3072,
            Algorithm.RSA_4096: 4096,
        }.get(self)

    @property
    def can_sign(self) -> bool:
        """Whether keys of this kind sign at all (X25519 does not)."""
        return self is not Algorithm.X25519


@unique
class ManagementAlgorithm(IntEnum):
    """Symmetric algorithms of the management key ([SP 800-78-5] table 9)."""

    TDES = 0x03
    AES128 = 0x08
    AES192 = 0x0A
    AES256 = 0x0C

    @property
    def key_length(self) -> int:
        """The key's length in bytes."""
        return {
            ManagementAlgorithm.TDES: 24,
            ManagementAlgorithm.AES128: 16,
            ManagementAlgorithm.AES192: 24,
            ManagementAlgorithm.AES256: 32,
        }[self]

    @property
    def block_length(self) -> int:
        """The cipher's block length in bytes, which is the length of witness and challenge."""
        return 8 if self is ManagementAlgorithm.TDES else 16


@unique
class PinPolicyId(IntEnum):
    """When a slot wants the PIN (vendor)."""

    DEFAULT = 0x00
    NEVER = 0x01
    ONCE = 0x02
    ALWAYS = 0x03


@unique
class TouchPolicyId(IntEnum):
    """When a slot wants a touch (vendor)."""

    DEFAULT = 0x00
    NEVER = 0x01
    ALWAYS = 0x02
    CACHED = 0x03


@unique
class Origin(IntEnum):
    """Where a slot's key was made (vendor, metadata)."""

    GENERATED = 0x01
    IMPORTED = 0x02


class ProfileName(StrEnum):
    """The products and versions that `profiles` describes."""

    YUBIKEY_4 = "yubikey-4"
    YUBIKEY_5_0 = "yubikey-5.0"
    YUBIKEY_5_3 = "yubikey-5.3"
    YUBIKEY_5_4 = "yubikey-5.4"
    YUBIKEY_5_7 = "yubikey-5.7"
    PLAIN = "sp800-73"
    UNKNOWN = "unknown"


FACTORY_PIN: Final = b"123456"
FACTORY_PUK: Final = b"12345678"
FACTORY_MANAGEMENT_KEY: Final = bytes.fromhex("010203040506070801020304050607080102030405060708")
"""Well-known factory values; public, so no secrets."""
