"""Bring digests and plaintexts to the length that a private key works on.

A card applies the bare key operation: whoever sends a digest fills it up first.

Sources: [RFC 8017] 9.2 (EMSA-PKCS1-v1_5) and 7.2.2 (RSAES-PKCS1-v1_5); [FIPS 186-5] 6.4.1 (the leftmost bits of a
digest as an integer).
"""

from typing import Final

from shared import errors
from shared.piv.ids import Algorithm

FIELD_LENGTH: Final = {Algorithm.P256: 32, Algorithm.P384: 48}

_DIGEST_INFO: Final = {
    32: bytes.fromhex("3031300D060960864801650304020105000420"),
    48: bytes.fromhex("3041300D060960864801650304020205000430"),
    64: bytes.fromhex("3051300D060960864801650304020305000440"),
}
"""DigestInfo up to the digest, by its length: SHA-256, SHA-384, SHA-512 ([RFC 8017] 9.2, note 1)."""


def raw_block(algorithm: Algorithm, digest: bytes) -> bytes:
    """Return what the card is given for this digest; for Ed25519 the text itself.

    Raises:
        NotSupportedByCard: keys of this kind do not sign.
        Garbled: an RSA digest that is not SHA-256, SHA-384 or SHA-512 by its length.
    """
    if algorithm is Algorithm.ED25519:
        return digest
    if algorithm.rsa_bits:
        return pkcs1_v1_5(digest, algorithm.rsa_bits // 8)
    if algorithm not in FIELD_LENGTH:
        raise errors.NotSupportedByCard(what=f"signatures with {algorithm.text}")
    return to_field(digest, FIELD_LENGTH[algorithm])


def to_field(digest: bytes, length: int) -> bytes:
    """Fill a short digest with zeros on the left, cut a long one on the right: the same integer for ECDSA."""
    return digest[:length].rjust(length, b"\x00")


def pkcs1_v1_5(digest: bytes, length: int) -> bytes:
    """Pad an RSA signature's digest to the modulus: 00 01 FF … 00 DigestInfo.

    Raises:
        Garbled: the digest's length belongs to no hash, or the modulus is too short.
    """
    if len(digest) not in _DIGEST_INFO:
        raise errors.Garbled(why=f"no hash has {len(digest)} bytes")
    info = _DIGEST_INFO[len(digest)] + digest
    filling = length - len(info) - 3
    if filling < 8:
        raise errors.Garbled(why="the modulus is too short for the digest")
    return b"\x00\x01" + b"\xff" * filling + b"\x00" + info


def remove_encryption_padding(block: bytes) -> bytes:
    """Take the message out of a decrypted block: 00 02, at least eight random bytes, 00, the message.

    For proofs of possession, where whoever made the ciphertext sees the result: not for messages of strangers, whom an
    error would tell something.

    Raises:
        CardMalformed: the block is not padded like this.
    """
    end = block.find(b"\x00", 2)
    if block[:2] != b"\x00\x02" or end < 10:
        raise errors.CardMalformed(what="decrypted block", why="not padded")
    return block[end + 1 :]
