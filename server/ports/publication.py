"""What a certificate authority publishes, for everybody who meets one of its certificates."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum, unique
from typing import Protocol


@unique
class Published(StrEnum):
    """A document, by the last part of its address."""

    ISSUING_CRL = "issuing.crl"
    ROOT_CRL = "root.crl"
    ISSUING_CERTIFICATE = "issuing.cer"
    ROOT_CERTIFICATE = "root.cer"


@dataclass(frozen=True, slots=True, kw_only=True)
class Document:
    """What is handed out: DER, and from when until when it may be believed."""

    content: bytes
    made_at: datetime
    fresh_until: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class StatusAnswer:
    """An answer to one question about one certificate (DER). Without an end it must not be kept."""

    content: bytes
    made_at: datetime
    fresh_until: datetime | None = None


class Publishes(Protocol):
    """Revocation lists, issuers and answers about single certificates, without anybody asked who asks."""

    async def document(self, which: Published) -> Document:
        """Return a document as it is now."""
        ...

    async def status(self, question: bytes) -> StatusAnswer:
        """Answer an OCSP request (DER); what cannot be answered is an answer that says so.

        Source: [RFC 6960] 4.2.1.
        """
        ...
