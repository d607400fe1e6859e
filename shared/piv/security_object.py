"""The Security Object: the issuer's signature over the digests of objects that are not signed themselves.

Sources: [SP 800-73-5] part 1, section 3.1.7, table 2 (container identifiers) and table 12; [ICAO PKI 1.1] appendix C
(LDSSecurityObject); [SP 800-78-5] section 3.2.3 (digests use the signature's hash).
"""

import hmac
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes

from shared import errors
from shared.iso7816.tlv import Reader, encode
from shared.piv import cms, der
from shared.piv.ids import ObjectId

_WHAT: Final = "security object"
_MAPPING, _SIGNED, _CHECK = 0xBA, 0xBB, 0xFE
GROUPS_MAX: Final = 16

CONTAINER_IDS: Final[dict[ObjectId, int]] = {
    ObjectId.CCC: 0xDB00,
    ObjectId.CHUID: 0x3000,
    ObjectId.AUTHENTICATION_CERTIFICATE: 0x0101,
    ObjectId.FINGERPRINTS: 0x6010,
    ObjectId.FACIAL_IMAGE: 0x6030,
    ObjectId.PRINTED_INFORMATION: 0x3001,
    ObjectId.SIGNATURE_CERTIFICATE: 0x0100,
    ObjectId.KEY_MANAGEMENT_CERTIFICATE: 0x0102,
    ObjectId.CARD_AUTHENTICATION_CERTIFICATE: 0x0500,
    ObjectId.DISCOVERY: 0x6050,
    ObjectId.KEY_HISTORY: 0x6060,
    **{ObjectId(ObjectId.RETIRED_CERTIFICATE_1 + at): 0x1001 + at for at in range(20)},
    ObjectId.IRIS: 0x1015,
    ObjectId.BIOMETRIC_GROUP_TEMPLATE: 0x1016,
    ObjectId.SECURE_MESSAGING_CERTIFICATE_SIGNER: 0x1017,
    ObjectId.PAIRING_CODE_REFERENCE: 0x1018,
}
_OBJECTS: Final = {container: object_id for object_id, container in CONTAINER_IDS.items()}

UNSIGNED_OBJECTS: Final = (
    ObjectId.CCC,
    ObjectId.PRINTED_INFORMATION,
    ObjectId.DISCOVERY,
    ObjectId.KEY_HISTORY,
)
"""What must be covered where it is on the card, since nothing else protects it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SecurityObject:
    """A Security Object as what is inside 53.

    `groups` names the object behind each data group number; `signed` is a DER CMS SignedData with the digests in it
    and without the signer's certificate, which the CHUID carries.
    """

    groups: Mapping[int, ObjectId]
    signed: bytes

    def __bytes__(self) -> bytes:
        """Encode the whole object."""
        mapping = b"".join(
            bytes([number]) + CONTAINER_IDS[object_id].to_bytes(2, "big")
            for number, object_id in self.groups.items()
        )
        return encode(_MAPPING, mapping) + encode(_SIGNED, self.signed) + encode(_CHECK, b"")

    @classmethod
    def from_bytes(cls, raw: bytes) -> Self:
        """Decode what is inside 53; raises `CardMalformed`."""
        with Reader(raw, _WHAT) as reader:
            mapping = reader.expect(_MAPPING)
            signed = reader.expect(_SIGNED)
            if reader.expect(_CHECK) or len(mapping) % 3:
                raise errors.CardMalformed(what=_WHAT, why="a field has the wrong length")
        groups: dict[int, ObjectId] = {}
        for at in range(0, len(mapping), 3):
            number, container = mapping[at], int.from_bytes(mapping[at + 1 : at + 3], "big")
            if not 1 <= number <= GROUPS_MAX or number in groups or container not in _OBJECTS:
                raise errors.CardMalformed(
                    what=_WHAT, why=f"data group {number} of container {container:04X}"
                )
            groups[number] = _OBJECTS[container]
        if len(set(groups.values())) != len(groups):
            raise errors.CardMalformed(what=_WHAT, why="an object twice")
        return cls(groups=groups, signed=signed)


@dataclass(frozen=True, slots=True, kw_only=True)
class Digests:
    """What a Security Object signs: the digest of each object, by data group number.

    `objects` has the content of each object as it is on the card, inside 53 (7E for the Discovery Object).
    """

    objects: Mapping[ObjectId, bytes]
    certificate: x509.Certificate

    def __post_init__(self) -> None:
        """Check that there is a number and a container identifier for every object."""
        unknown = [object_id for object_id in self.objects if object_id not in CONTAINER_IDS]
        if unknown or not 1 <= len(self.objects) <= GROUPS_MAX:
            raise errors.Garbled(why=f"a security object covers 1 to {GROUPS_MAX} standard objects")

    @property
    def groups(self) -> dict[int, ObjectId]:
        """The data group numbers, from 1, in the order of `objects`."""
        return dict(enumerate(self.objects, start=1))

    @property
    def content(self) -> bytes:
        """The DER LDSSecurityObject."""
        digest = cms.digest_for(self.certificate)
        hashed = (
            der.sequence(der.integer(number), der.octet_string(_digest(digest, self.objects[object_id])))
            for number, object_id in self.groups.items()
        )
        return der.sequence(der.integer(0), cms.digest_identifier(digest), der.sequence(*hashed))

    def to_be_signed(self) -> bytes:
        """Return what the content signing key signs."""
        return cms.to_be_signed(
            content_type=cms.LDS_CONTENT, content=self.content, certificate=self.certificate
        )

    def assemble(self, signature: bytes) -> SecurityObject:
        """Return the finished object, `signature` being over `to_be_signed`."""
        signed = cms.assemble(
            content_type=cms.LDS_CONTENT,
            content=self.content,
            certificate=self.certificate,
            signature=signature,
            detached=False,
            with_certificate=False,
        )
        return SecurityObject(groups=self.groups, signed=signed)


def verify(
    security_object: SecurityObject, objects: Mapping[ObjectId, bytes], certificate: x509.Certificate
) -> None:
    """Check that the content signer vouches for these objects; objects that it does not name are not looked at.

    Raises:
        CardMalformed: the signature is not the signer's, or an object is missing or was changed.
    """
    verified = cms.verify(security_object.signed, content_type=cms.LDS_CONTENT, certificate=certificate)
    digest, digests = _read_lds(verified.content)
    if digests.keys() != security_object.groups.keys():
        raise errors.CardMalformed(what=_WHAT, why="mapping and signed digests name different groups")
    for number, object_id in security_object.groups.items():
        content = objects.get(object_id)
        if content is None or not hmac.compare_digest(_digest(digest, content), digests[number]):
            raise errors.CardMalformed(what=_WHAT, why=f"{object_id.name} is missing or was changed")


def digests_differ(security_object: SecurityObject, objects: Mapping[ObjectId, bytes]) -> frozenset[ObjectId]:
    """Return what is named and is missing, or is not what was signed. Who signed is not looked at: see `verify`.

    Raises:
        CardMalformed: it is no list of digests, or of other objects than it says.
    """
    digest, digests = _read_lds(cms.stated(security_object.signed, content_type=cms.LDS_CONTENT))
    if digests.keys() != security_object.groups.keys():
        raise errors.CardMalformed(what=_WHAT, why="mapping and signed digests name different groups")
    return frozenset(
        object_id
        for number, object_id in security_object.groups.items()
        if object_id not in objects
        or not hmac.compare_digest(_digest(digest, objects[object_id]), digests[number])
    )


def _read_lds(raw: bytes) -> tuple[cms.DigestAlgorithm, dict[int, bytes]]:
    """Read a DER LDSSecurityObject."""
    digests: dict[int, bytes] = {}
    with Reader(raw, _WHAT) as outer, outer.nested(der.SEQUENCE) as lds:
        if der.read_integer(lds.expect(der.INTEGER)) != 0:
            raise errors.CardMalformed(what=_WHAT, why="unknown version")
        digest = cms.read_digest(lds.expect(der.SEQUENCE))
        with lds.nested(der.SEQUENCE) as groups:
            while not groups.empty:
                with groups.nested(der.SEQUENCE) as group:
                    number = der.read_integer(group.expect(der.INTEGER))
                    if number in digests:
                        raise errors.CardMalformed(what=_WHAT, why="a data group twice")
                    digests[number] = group.expect(der.OCTET_STRING)
    return digest, digests


def _digest(algorithm: cms.DigestAlgorithm, content: bytes) -> bytes:
    hasher = hashes.Hash(algorithm)
    hasher.update(content)
    return hasher.finalize()
