"""PKCS#10 requests for keys that live on a card.

The card signs; so the request is put together around its signature. What the card signs is the whole
CertificationRequestInfo, whose digest the station computes.

Source: [RFC 2986] 4.1 and 4.2; algorithm identifiers: [RFC 4055] 5, [RFC 5758] 3.2, [RFC 8410] 3.
"""

from typing import Final

from cryptography import x509

from shared.iso7816 import tlv
from shared.piv.ids import Algorithm

SEQUENCE: Final = 0x30
INTEGER: Final = 0x02
BIT_STRING: Final = 0x03
ATTRIBUTES: Final = 0xA0

_RSA_SHA256: Final = bytes.fromhex("300D06092A864886F70D01010B0500")

SIGNATURE_ALGORITHM: Final = {
    Algorithm.RSA_2048: _RSA_SHA256,
    Algorithm.RSA_3072: _RSA_SHA256,
    Algorithm.RSA_4096: _RSA_SHA256,
    Algorithm.P256: bytes.fromhex("300A06082A8648CE3D040302"),
    Algorithm.P384: bytes.fromhex("300A06082A8648CE3D040303"),
    Algorithm.ED25519: bytes.fromhex("300506032B6570"),
}
"""DER AlgorithmIdentifier of the signature that a key of each algorithm makes."""


def request_info(subject: x509.Name, public_key: bytes) -> bytes:
    """Return a DER CertificationRequestInfo; `public_key` is a DER SubjectPublicKeyInfo."""
    version = tlv.encode(INTEGER, b"\x00")
    return tlv.encode(SEQUENCE, version + subject.public_bytes() + public_key + tlv.encode(ATTRIBUTES, b""))


def assemble_request(info: bytes, algorithm: Algorithm, signature: bytes) -> bytes:
    """Return the DER CertificationRequest: what was signed, how, and the signature as X.509 has it."""
    bits = tlv.encode(BIT_STRING, b"\x00" + signature)
    return tlv.encode(SEQUENCE, info + SIGNATURE_ALGORITHM[algorithm] + bits)
