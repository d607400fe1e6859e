"""The container that certificates lie in on a card, plain or compressed.

Source: [SP 800-73-5] part 1, section 3.1.3 and table 10 (70 certificate, 71 CertInfo, FE); [RFC 1952] (gzip).
"""

import gzip
import zlib
from dataclasses import dataclass
from typing import Final, Self

from shared import errors
from shared.iso7816.tlv import Reader, encode

CERTIFICATE_MAX: Final = 32 * 1024
"""The largest certificate that is taken out of a compressed container, in bytes."""

_WHAT: Final = "certificate container"
_CERTIFICATE, _INFO, _MSCUID, _CHECK = 0x70, 0x71, 0x72, 0xFE
_COMPRESSED: Final = 0x01
_GZIP_WINDOW: Final = 16 + zlib.MAX_WBITS


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateContainer:
    """A certificate as what is inside 53.

    `certificate` is DER, never compressed; `compressed` says how it lies on the card.
    """

    certificate: bytes
    compressed: bool = False

    @classmethod
    def fitting(cls, certificate: bytes, *, object_max: int) -> Self:
        """Return a container of up to `object_max` bytes, compressed only where it must be.

        Raises:
            CardFull: it does not fit even when compressed.
        """
        for compressed in (False, True):
            container = cls(certificate=certificate, compressed=compressed)
            if len(bytes(container)) <= object_max:
                return container
        raise errors.CardFull(command=f"certificate of {len(certificate)} bytes")

    def __bytes__(self) -> bytes:
        """Encode the whole object; the same certificate gives the same bytes (no time in the gzip header)."""
        content = gzip.compress(self.certificate, mtime=0) if self.compressed else self.certificate
        info = bytes([_COMPRESSED if self.compressed else 0])
        return encode(_CERTIFICATE, content) + encode(_INFO, info) + encode(_CHECK, b"")

    @classmethod
    def from_bytes(cls, raw: bytes) -> Self:
        """Decode what is inside 53.

        Raises:
            CardMalformed: fields missing or unknown, or compressed content that is damaged or too large.
        """
        with Reader(raw, _WHAT) as reader:
            content = reader.expect(_CERTIFICATE)
            info = reader.expect(_INFO)
            # written by issuers after older editions of the standard; says nothing that we use
            reader.optional(_MSCUID)
            # mandatory, but some tools leave it out
            check = reader.optional(_CHECK)
        if check or len(info) != 1 or info[0] not in {0, _COMPRESSED}:
            raise errors.CardMalformed(what=_WHAT, why="a field has a value that the standard does not know")
        if info[0] == _COMPRESSED:
            return cls(certificate=_decompress(content), compressed=True)
        return cls(certificate=content)


def _decompress(content: bytes) -> bytes:
    """Undo gzip, up to the largest certificate: a few bytes could otherwise fill all memory."""
    decompressor = zlib.decompressobj(_GZIP_WINDOW)
    try:
        certificate = decompressor.decompress(content, CERTIFICATE_MAX)
    except zlib.error as cause:
        raise errors.CardMalformed(what=_WHAT, why="damaged compression") from cause
    if not decompressor.eof or decompressor.unused_data or decompressor.unconsumed_tail:
        raise errors.CardMalformed(
            what=_WHAT, why="compressed content is cut, too large, or followed by more"
        )
    return certificate
