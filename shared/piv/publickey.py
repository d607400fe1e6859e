"""Public keys as cards write them.

Sources: [SP 800-73-5] part 2, section 3.3.2, table 11 (data objects in the template 7F49); [SEC 1] 2.3.3 (points);
Yubico's extensions for Ed25519 and X25519 (the raw public key under tag 86).
"""

from typing import Final

from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from shared import errors
from shared.iso7816.tlv import Reader, encode
from shared.piv.ids import Algorithm

PublicKey = rsa.RSAPublicKey | ec.EllipticCurvePublicKey | Ed25519PublicKey | X25519PublicKey

TEMPLATE: Final = 0x7F49
MODULUS: Final = 0x81
EXPONENT: Final = 0x82
POINT: Final = 0x86

CURVES: Final[dict[Algorithm, ec.EllipticCurve]] = {
    Algorithm.P256: ec.SECP256R1(),
    Algorithm.P384: ec.SECP384R1(),
}
_WHAT: Final = "public key"


def read_public_key(algorithm: Algorithm, raw: bytes) -> PublicKey:
    """Read what is inside 7F49, or in a metadata answer, as a key of exactly this algorithm.

    Raises:
        CardMalformed: another kind or size of key, a point off the curve, or bytes left over.
    """
    with Reader(raw, _WHAT) as reader:
        if algorithm.rsa_bits:
            modulus = int.from_bytes(reader.expect(MODULUS), "big")
            exponent = int.from_bytes(reader.expect(EXPONENT), "big")
        else:
            point = reader.expect(POINT)
    try:
        if algorithm.rsa_bits:
            key = rsa.RSAPublicNumbers(exponent, modulus).public_key()
            if key.key_size != algorithm.rsa_bits:
                raise errors.CardMalformed(what=_WHAT, why=f"{key.key_size} bits")
            return key
        if algorithm is Algorithm.ED25519:
            return Ed25519PublicKey.from_public_bytes(point)
        if algorithm is Algorithm.X25519:
            return X25519PublicKey.from_public_bytes(point)
        return ec.EllipticCurvePublicKey.from_encoded_point(CURVES[algorithm], point)
    except ValueError as cause:
        raise errors.CardMalformed(what=_WHAT, why="not a key of this algorithm") from cause


def write_public_key(key: PublicKey) -> bytes:
    """Return what a card puts inside 7F49 for this key."""
    if isinstance(key, rsa.RSAPublicKey):
        numbers = key.public_numbers()
        return encode(MODULUS, _unsigned(numbers.n)) + encode(EXPONENT, _unsigned(numbers.e))
    return encode(POINT, point_of(key))


def point_of(key: ec.EllipticCurvePublicKey | Ed25519PublicKey | X25519PublicKey) -> bytes:
    """Return a curve key's public bytes: the uncompressed point, or the 32 bytes of the Edwards curves."""
    if isinstance(key, ec.EllipticCurvePublicKey):
        return key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
    return key.public_bytes(Encoding.Raw, PublicFormat.Raw)


def algorithm_of(key: PublicKey) -> Algorithm:
    """Return the slot algorithm that a public key belongs to.

    Raises:
        NotSupportedByCard: a size or curve that no slot has.
    """
    if isinstance(key, Ed25519PublicKey):
        return Algorithm.ED25519
    if isinstance(key, X25519PublicKey):
        return Algorithm.X25519
    if isinstance(key, rsa.RSAPublicKey):
        for member in Algorithm:
            if member.rsa_bits == key.key_size:
                return member
        raise errors.NotSupportedByCard(what=f"RSA-{key.key_size}")
    for member, curve in CURVES.items():
        if curve.name == key.curve.name:
            return member
    raise errors.NotSupportedByCard(what=key.curve.name)


def subject_public_key_info(key: PublicKey) -> bytes:
    """Return the key as a DER SubjectPublicKeyInfo, the form that the record keeps and comparisons use."""
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _unsigned(number: int) -> bytes:
    return number.to_bytes((number.bit_length() + 7) // 8, "big")
