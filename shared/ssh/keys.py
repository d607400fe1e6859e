"""Public keys as SSH writes them, and as certificates and the record do (DER SubjectPublicKeyInfo).

Only kinds that an operator logs on with: P-256, P-384, RSA from 2048 to 4096 bits, Ed25519. Each has one form here and one
there, so that a key is recognised by comparing bytes. Keys of security keys (`sk-…`) have no certificate; SSH's own
certificates and DSA are none of ours.

Sources: [RFC 4253] 6.6 (ssh-rsa), [RFC 5656] 3.1 (ecdsa-sha2-*), [RFC 8709] section 4 (ssh-ed25519).
"""

from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import load_der_public_key

from shared import errors
from shared.logon import MAX_RSA_BITS, MIN_RSA_BITS
from shared.piv.publickey import point_of, subject_public_key_info
from shared.ssh.wire import WireReader, integer, string

SshKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey | ed25519.Ed25519PublicKey

RSA: Final = b"ssh-rsa"
ED25519: Final = b"ssh-ed25519"
CURVES: Final[dict[bytes, ec.EllipticCurve]] = {
    b"nistp256": ec.SECP256R1(),
    b"nistp384": ec.SECP384R1(),
}
ECDSA: Final = b"ecdsa-sha2-"
"""Before the name of the curve."""

_WHAT: Final = "SSH key"


def read_key(blob: bytes) -> SshKey:
    """Read a public key, all of it.

    Raises:
        Garbled: it is malformed, or of a kind that nobody logs on with.
    """
    with WireReader(blob, _WHAT) as reader:
        name = reader.string()
        try:
            key = _read(name, reader)
        except ValueError as cause:
            raise reader.wrong(why="no such key") from cause
    if write_key(key) != blob:
        raise errors.Garbled(why=f"{_WHAT}: in another form")
    return key


def write_key(key: SshKey) -> bytes:
    """Return the one form of a public key."""
    match key:
        case rsa.RSAPublicKey():
            numbers = key.public_numbers()
            return string(RSA) + integer(numbers.e) + integer(numbers.n)
        case ec.EllipticCurvePublicKey():
            curve = curve_of(key)
            return string(ECDSA + curve) + string(curve) + string(point_of(key))
        case _:
            return string(ED25519) + string(point_of(key))


def key_of_certificate(public_key: bytes) -> SshKey:
    """Return the key that a certificate names (DER SubjectPublicKeyInfo).

    Raises:
        Garbled: it is malformed, or of a kind that nobody logs on with.
    """
    try:
        key = load_der_public_key(public_key)
    except (ValueError, UnsupportedAlgorithm) as cause:
        raise errors.Garbled(why=f"{_WHAT}: no such key") from cause
    if not isinstance(key, SshKey):
        raise errors.Garbled(why=f"{_WHAT}: of a kind that nobody logs on with")
    return read_key(write_key(key))


def spki_of(key: SshKey) -> bytes:
    """Return a key as certificates and the record have it."""
    return subject_public_key_info(key)


def curve_of(key: ec.EllipticCurvePublicKey) -> bytes:
    """Return SSH's name of a curve; one that SSH keys here cannot have is refused as `Garbled`."""
    for name, curve in CURVES.items():
        if curve.name == key.curve.name:
            return name
    raise errors.Garbled(why=f"{_WHAT}: of a kind that nobody logs on with")


def _read(name: bytes, reader: WireReader) -> SshKey:
    if name == ED25519:
        return ed25519.Ed25519PublicKey.from_public_bytes(reader.string())
    if name == RSA:
        exponent, modulus = reader.integer(), reader.integer()
        if not MIN_RSA_BITS <= modulus.bit_length() <= MAX_RSA_BITS:
            raise reader.wrong(why=f"RSA of {modulus.bit_length()} bits")
        return rsa.RSAPublicNumbers(exponent, modulus).public_key()
    curve = name.removeprefix(ECDSA)
    if name == curve or curve not in CURVES:
        raise reader.wrong(why="of a kind that nobody logs on with")
    reader.expect(curve, "curve")
    return ec.EllipticCurvePublicKey.from_encoded_point(CURVES[curve], reader.string())
