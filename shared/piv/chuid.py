"""The Card Holder Unique Identifier.

Source: [SP 800-73-5] part 1, section 3.1.2 and table 9.
"""

import uuid
from dataclasses import dataclass, replace
from datetime import date
from typing import Final, Self

from shared import errors
from shared.iso7816.tlv import Reader, encode
from shared.piv.fascn import FascN

_BUFFER_LENGTH, _FASC_N, _AGENCY, _ORGANISATION, _DUNS = 0xEE, 0x30, 0x31, 0x32, 0x33
_GUID, _EXPIRY, _HOLDER, _KEY_MAP, _SIGNATURE, _CHECK = 0x34, 0x35, 0x36, 0x3D, 0x3E, 0xFE
_WHAT: Final = "CHUID"

NO_EXPIRY: Final = date(9999, 12, 31)
"""Of a card without a credential: the day that X.509 gives to what has no end ([RFC 5280] 4.1.2.5)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Chuid:
    """A CHUID as what is inside 53.

    `guid` is the card UUID, `expires` the last day of validity, `holder_uuid` the holder's own UUID where there is one,
    `signature` a DER CMS SignedData (see `shared.piv.cms`), empty on cards that do not sign it. `deprecated` keeps
    what old issuers wrote before the GUID (tags EE, 31, 32, 33) byte for byte, since the signature covers it.
    """

    fasc_n: FascN
    guid: uuid.UUID
    expires: date
    holder_uuid: uuid.UUID | None = None
    signature: bytes = b""
    buffer_length: bytes = b""
    deprecated: bytes = b""
    key_map: bytes = b""

    def __bytes__(self) -> bytes:
        """Encode the whole object."""
        return self.buffer_length + self._before() + encode(_SIGNATURE, self.signature) + encode(_CHECK, b"")

    @property
    def signed_content(self) -> bytes:
        """What the issuer's signature covers: everything but the signature's own element.

        Source: [SP 800-73-5] part 1, section 3.1.2.1; [FIPS 201-3] table B-1.
        """
        return self._before() + encode(_CHECK, b"")

    def with_signature(self, signature: bytes) -> Self:
        """Return the same CHUID with the issuer's signature."""
        return replace(self, signature=signature)

    @classmethod
    def from_bytes(cls, raw: bytes) -> Self:
        """Decode what is inside 53.

        Raises:
            CardMalformed: a mandatory field is missing, an unknown one is there, or a value is not what it should be.
        """
        with Reader(raw, _WHAT) as reader:
            buffer_length = _kept(reader, _BUFFER_LENGTH)
            fasc_n = FascN.from_bytes(reader.expect(_FASC_N))
            deprecated = b"".join(_kept(reader, tag) for tag in (_AGENCY, _ORGANISATION, _DUNS))
            guid = _uuid(reader.expect(_GUID), "GUID")
            expires = _date(reader.expect(_EXPIRY))
            holder = reader.optional(_HOLDER)
            key_map = _kept(reader, _KEY_MAP)
            signature = reader.expect(_SIGNATURE)
            # the error detection code is mandatory and always empty, but some issuers leave it out
            if reader.optional(_CHECK):
                raise errors.CardMalformed(what=_WHAT, why="error detection code is not empty")
        return cls(
            fasc_n=fasc_n,
            guid=guid,
            expires=expires,
            holder_uuid=None if holder is None else _uuid(holder, "cardholder UUID"),
            signature=signature,
            buffer_length=buffer_length,
            deprecated=deprecated,
            key_map=key_map,
        )

    def _before(self) -> bytes:
        """Encode everything up to the signature, without the deprecated buffer length."""
        fields = (
            encode(_FASC_N, bytes(self.fasc_n)),
            self.deprecated,
            encode(_GUID, self.guid.bytes),
            encode(_EXPIRY, f"{self.expires:%Y%m%d}".encode()),
            b"" if self.holder_uuid is None else encode(_HOLDER, self.holder_uuid.bytes),
            self.key_map,
        )
        return b"".join(fields)


def _kept(reader: Reader, tag: int) -> bytes:
    value = reader.optional(tag)
    return b"" if value is None else encode(tag, value)


def _uuid(raw: bytes, name: str) -> uuid.UUID:
    if len(raw) != 16:
        raise errors.CardMalformed(what=_WHAT, why=f"{name} has {len(raw)} bytes")
    return uuid.UUID(bytes=raw)


def _date(raw: bytes) -> date:
    try:
        text = raw.decode("ascii")
        if len(text) != 8 or not text.isdigit():
            raise errors.CardMalformed(what=_WHAT, why="expiry is not YYYYMMDD")
        return date(int(text[:4]), int(text[4:6]), int(text[6:]))
    except ValueError as cause:
        raise errors.CardMalformed(what=_WHAT, why="expiry is no date") from cause
