"""The slots: generate, import, move and delete keys, and what a key computes.

Sources: [SP 800-73-5] part 2, sections 3.2.4 and 3.3.2; [SP 800-78-5] sections 3 and 6; Yubico's PIV
extensions (import, move, delete, PIN and touch policy, Ed25519 and X25519).
"""

from typing import Final

from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa, utils, x25519
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from shared.iso7816.apdu import Apdu
from shared.iso7816.status import SW
from shared.piv.ids import Algorithm, Origin, PinPolicyId, Slot, TouchPolicyId
from shared.virtual.applet import Applet
from shared.virtual.memory import PrivateKey, StoredKey
from shared.virtual.security import Refused
from shared.virtual.tlv import fields, only, put

_CURVES: Final = {Algorithm.P256: ec.SECP256R1(), Algorithm.P384: ec.SECP384R1()}
_SCALAR_TAG: Final = {
    Algorithm.P256: 0x06,
    Algorithm.P384: 0x06,
    Algorithm.ED25519: 0x07,
    Algorithm.X25519: 0x08,
}
_PREHASHED: Final = {
    Algorithm.P256: (32, ec.ECDSA(utils.Prehashed(hashes.SHA256()))),
    Algorithm.P384: (48, ec.ECDSA(utils.Prehashed(hashes.SHA384()))),
}
_PUBLIC_EXPONENT: Final = 65537
_NO_DIGEST_INFO: Final = utils.NoDigestInfo()
_PKCS1: Final = padding.PKCS1v15()


def generate_key(algorithm: Algorithm) -> PrivateKey:
    """Make a key with OpenSSL's generator: the key source of a card that is given no other."""
    match algorithm:
        case Algorithm.P256 | Algorithm.P384:
            return ec.generate_private_key(_CURVES[algorithm])
        case Algorithm.ED25519:
            return ed25519.Ed25519PrivateKey.generate()
        case Algorithm.X25519:
            return x25519.X25519PrivateKey.generate()
        case _:
            bits = algorithm.rsa_bits
            assert bits is not None
            return rsa.generate_private_key(public_exponent=_PUBLIC_EXPONENT, key_size=bits)


def default_pin_policy(slot: Slot) -> PinPolicyId:
    """Return when a slot wants the PIN if nothing else was asked for ([SP 800-73-5] part 1, table 5)."""
    match slot:
        case Slot.SIGNATURE:
            return PinPolicyId.ALWAYS
        case Slot.CARD_AUTHENTICATION:
            return PinPolicyId.NEVER
        case _:
            return PinPolicyId.ONCE


def public_template(key: PrivateKey) -> bytes:
    """Return the public key as TLVs: 81 modulus and 82 exponent, or 86 point."""
    match key:
        case rsa.RSAPrivateKey():
            numbers = key.public_key().public_numbers()
            modulus = numbers.n.to_bytes(key.key_size // 8, "big")
            exponent = numbers.e.to_bytes((numbers.e.bit_length() + 7) // 8, "big")
            return put(0x81, modulus) + put(0x82, exponent)
        case ec.EllipticCurvePrivateKey():
            return put(0x86, key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint))
        case _:
            return put(0x86, key.public_key().public_bytes_raw())


def generate(applet: Applet, apdu: Apdu) -> bytes:
    """Make a key pair in a slot and return its public half (GENERATE ASYMMETRIC KEY PAIR)."""
    slot = usable_slot(applet, apdu.p2)
    if apdu.p1:
        raise Refused(SW.INCORRECT_PARAMETERS)
    applet.needs_management()
    template = fields(only(apdu.data, 0xAC))
    if 0x80 not in template or not template.keys() <= {0x80, 0x81, 0xAA, 0xAB}:
        raise Refused(SW.INCORRECT_DATA)
    algorithm = usable_algorithm(applet, _one(template[0x80]), SW.INCORRECT_DATA)
    pin, touch = _policies(applet, slot, template)
    private = applet.key_source(algorithm)
    key = StoredKey(algorithm=algorithm, private=private, origin=Origin.GENERATED, pin=pin, touch=touch)
    applet.memory = applet.memory.with_key(slot, key)
    return put(0x7F49, public_template(private))


def import_key(applet: Applet, apdu: Apdu) -> bytes:
    """Take a private key that was made elsewhere (vendor)."""
    slot = usable_slot(applet, apdu.p2)
    algorithm = usable_algorithm(applet, apdu.p1, SW.INCORRECT_PARAMETERS)
    applet.needs_management()
    parts = fields(apdu.data)
    pin, touch = _policies(applet, slot, parts)
    try:
        private = _private_key(algorithm, parts)
    except (KeyError, ValueError) as wrong:
        raise Refused(SW.INCORRECT_DATA) from wrong
    key = StoredKey(algorithm=algorithm, private=private, origin=Origin.IMPORTED, pin=pin, touch=touch)
    applet.memory = applet.memory.with_key(slot, key)
    return b""


def move_key(applet: Applet, apdu: Apdu) -> bytes:
    """Move a key to an empty slot, or with P1 FF delete it (vendor)."""
    applet.needs_management()
    source = usable_slot(applet, apdu.p2)
    if apdu.data:
        raise Refused(SW.INCORRECT_DATA)
    if source not in applet.memory.keys:
        raise Refused(SW.REFERENCE_NOT_FOUND)
    key, emptied = applet.memory.keys[source], applet.memory.without_key(source)
    if apdu.p1 == 0xFF:
        applet.memory = emptied
        return b""
    target = usable_slot(applet, apdu.p1)
    if Slot.ATTESTATION in {source, target} or target in applet.memory.keys:
        raise Refused(SW.INCORRECT_DATA)
    applet.memory = emptied.with_key(target, key)
    return b""


def usable_slot(applet: Applet, reference: int) -> Slot:
    """Return the slot of this reference.

    Raises:
        Refused: 6A86, no such slot on this card.
    """
    if reference not in applet.profile.slots:
        raise Refused(SW.INCORRECT_PARAMETERS)
    return Slot(reference)


def usable_algorithm(applet: Applet, identifier: int, otherwise: SW) -> Algorithm:
    """Return the algorithm of this identifier.

    Raises:
        Refused: with the status `otherwise`, this card does not know it.
    """
    if identifier not in applet.profile.algorithms:
        raise Refused(otherwise)
    return Algorithm(identifier)


def compute(key: StoredKey, data: bytes) -> bytes:
    """Sign a digest or text, or decrypt a block, with the private key.

    RSA takes a whole block and raises it to the private exponent; ECDSA takes a digest no longer than the
    curve's order; Ed25519 takes the text itself.

    Source: [SP 800-73-5] part 2, appendix A.3 and A.4.
    Raises:
        Refused: 6A80, the block has the wrong length; 6A86, this key computes nothing of the kind.
    """
    match key.private:
        case rsa.RSAPrivateKey():
            return _rsa(key.private, data)
        case ec.EllipticCurvePrivateKey():
            length, scheme = _PREHASHED[key.algorithm]
            if not 0 < len(data) <= length:
                raise Refused(SW.INCORRECT_DATA)
            return key.private.sign(data.rjust(length, b"\0"), scheme)
        case ed25519.Ed25519PrivateKey():
            return key.private.sign(data)
        case _:
            raise Refused(SW.INCORRECT_PARAMETERS)


def agree(key: StoredKey, point: bytes) -> bytes:
    """Return the shared secret with the holder of `point` (the X coordinate, [SP 800-73-5] part 2, A.5).

    Raises:
        Refused: 6A80, not a point of the key's curve; 6A86, this key does no key agreement.
    """
    try:
        match key.private:
            case ec.EllipticCurvePrivateKey():
                peer = ec.EllipticCurvePublicKey.from_encoded_point(key.private.curve, point)
                return key.private.exchange(ec.ECDH(), peer)
            case x25519.X25519PrivateKey():
                return key.private.exchange(x25519.X25519PublicKey.from_public_bytes(point))
            case _:
                raise Refused(SW.INCORRECT_PARAMETERS)
    except ValueError as wrong:
        raise Refused(SW.INCORRECT_DATA) from wrong


def _rsa(key: rsa.RSAPrivateKey, block: bytes) -> bytes:
    """Raise a block to the private exponent.

    A block with PKCS #1 v1.5 signature padding goes through OpenSSL, which gives the same result ten times
    faster; what else there is (PSS, decryption) is computed with the Chinese remainder theorem.
    """
    length = key.key_size // 8
    if len(block) != length:
        raise Refused(SW.INCORRECT_DATA)
    if block.startswith(b"\0\1\xff"):
        filler, zero, content = block[2:].partition(b"\0")
        if zero and len(filler) >= 8 and filler.count(0xFF) == len(filler):
            return key.sign(content, _PKCS1, _NO_DIGEST_INFO)
    numbers = key.private_numbers()
    value = int.from_bytes(block, "big")
    if value >= numbers.public_numbers.n:
        raise Refused(SW.INCORRECT_DATA)
    by_p = pow(value, numbers.dmp1, numbers.p)
    by_q = pow(value, numbers.dmq1, numbers.q)
    result = by_q + numbers.q * ((by_p - by_q) * numbers.iqmp % numbers.p)
    return result.to_bytes(length, "big")


def _private_key(algorithm: Algorithm, parts: dict[int, bytes]) -> PrivateKey:
    """Put an imported key together; `KeyError` and `ValueError` where it is none."""
    if algorithm.rsa_bits is not None:
        p, q, dmp1, dmq1, iqmp = (int.from_bytes(parts[tag], "big") for tag in (1, 2, 3, 4, 5))
        public = rsa.RSAPublicNumbers(_PUBLIC_EXPONENT, p * q)
        exponent = pow(_PUBLIC_EXPONENT, -1, (p - 1) * (q - 1))
        key = rsa.RSAPrivateNumbers(p, q, exponent, dmp1, dmq1, iqmp, public).private_key()
        if key.key_size != algorithm.rsa_bits:
            raise ValueError(algorithm.text)
        return key
    scalar = parts[_SCALAR_TAG[algorithm]]
    match algorithm:
        case Algorithm.ED25519:
            return ed25519.Ed25519PrivateKey.from_private_bytes(scalar)
        case Algorithm.X25519:
            return x25519.X25519PrivateKey.from_private_bytes(scalar)
        case _:
            return ec.derive_private_key(int.from_bytes(scalar, "big"), _CURVES[algorithm])


def _policies(applet: Applet, slot: Slot, parts: dict[int, bytes]) -> tuple[PinPolicyId, TouchPolicyId]:
    """Read tags AA and AB, which only cards with the vendor's extensions know."""
    if applet.profile.version is None and parts.keys() & {0xAA, 0xAB}:
        raise Refused(SW.INCORRECT_DATA)
    try:
        pin = PinPolicyId(_one(parts.get(0xAA, b"\0")))
        touch = TouchPolicyId(_one(parts.get(0xAB, b"\0")))
    except ValueError as wrong:
        raise Refused(SW.INCORRECT_DATA) from wrong
    return pin or default_pin_policy(slot), touch or TouchPolicyId.NEVER


def _one(value: bytes) -> int:
    """Return the only byte of a value.

    Raises:
        Refused: 6A80, it has another length.
    """
    if len(value) != 1:
        raise Refused(SW.INCORRECT_DATA)
    return value[0]
