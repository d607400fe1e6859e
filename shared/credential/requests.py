"""PKCS#10 requests for keys that live on a card.

The card signs; so the request is put together around its signature. What the card signs is the whole
CertificationRequestInfo, whose digest the station computes.

Names besides the subject stand in an extension request, for certificate authorities that take them from there.

Sources: [RFC 2986] 4.1 and 4.2; [RFC 2985] 5.4.2 (extensionRequest); algorithm identifiers: [RFC 4055] 5, [RFC 5758] 3.2, [RFC 8410] 3.
"""

from collections.abc import Sequence
from typing import Final

from cryptography import x509

from shared.iso7816 import tlv
from shared.piv.der import octet_string, oid, sequence, set_of
from shared.piv.ids import Algorithm

SEQUENCE: Final = 0x30
INTEGER: Final = 0x02
BIT_STRING: Final = 0x03
ATTRIBUTES: Final = 0xA0
EXTENSION_REQUEST: Final = "1.2.840.113549.1.9.14"

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


def request_info(
    subject: x509.Name, public_key: bytes, extensions: Sequence[x509.ExtensionType] = ()
) -> bytes:
    """Return a DER CertificationRequestInfo; `public_key` is a DER SubjectPublicKeyInfo. No extension is critical."""
    version = tlv.encode(INTEGER, b"\x00")
    attributes = tlv.encode(ATTRIBUTES, _extension_request(extensions) if extensions else b"")
    return tlv.encode(SEQUENCE, version + subject.public_bytes() + public_key + attributes)


def _extension_request(extensions: Sequence[x509.ExtensionType]) -> bytes:
    wanted = [sequence(oid(each.oid.dotted_string), octet_string(each.public_bytes())) for each in extensions]
    return sequence(oid(EXTENSION_REQUEST), set_of(sequence(*wanted)))


def assemble_request(info: bytes, algorithm: Algorithm, signature: bytes) -> bytes:
    """Return the DER CertificationRequest: what was signed, how, and the signature as X.509 has it."""
    bits = tlv.encode(BIT_STRING, b"\x00" + signature)
    return tlv.encode(SEQUENCE, info + SIGNATURE_ALGORITHM[algorithm] + bits)
