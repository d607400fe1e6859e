"""The built-in certificate authority's own book: what it signed and what it revoked."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from server.ports.audit import AuditRecord
from shared.credential.model import RequestId


@dataclass(frozen=True, slots=True, kw_only=True)
class LedgerEntry:
    """One certificate that the built-in certificate authority signed. `certificate` is DER."""

    serial: int
    request_id: RequestId | None
    public_key: bytes
    certificate: bytes
    not_after: datetime
    revoked_at: datetime | None = None
    reason: str = ""
    audit: AuditRecord | None = None


class CertificateLedger(Protocol):
    """The built-in certificate authority's own book: what it signed and what it revoked."""

    async def record(self, entries: Sequence[LedgerEntry]) -> None:
        """Store certificates in one durable commit, before they leave the certificate authority.

        Raises:
            StoreConflict: a serial number or a request id is recorded already; nothing was stored.
        """
        ...

    async def by_request(self, request_id: RequestId) -> LedgerEntry | None:
        """Return what was signed for this request."""
        ...

    async def by_serial(self, serial: int) -> LedgerEntry | None:
        """Return what has this serial number; None where nothing of it was signed here."""
        ...

    async def by_public_key(self, public_key: bytes) -> Sequence[LedgerEntry]:
        """Return what was signed for this key (DER SubjectPublicKeyInfo)."""
        ...

    async def revoke(self, serial: int, reason: str, at: datetime, audit: AuditRecord) -> None:
        """Mark as revoked, for good: the first reason and time stay.

        One on hold gets its reason and keeps the time from which it was on hold ([X.509], hold instruction code).

        Raises:
            Invalid: not signed here, or the reason is `certificateHold`.
        """
        ...

    async def hold(self, serial: int, at: datetime, audit: AuditRecord) -> None:
        """Put on hold, which may be lifted; one that is on hold or revoked stays as it is.

        Raises:
            Invalid: not signed here.
        """
        ...

    async def release(self, serial: int, audit: AuditRecord) -> bool:
        """Lift a hold; returns whether the certificate is good now: False where it was revoked for good.

        Raises:
            Invalid: not signed here.
        """
        ...

    async def revoked(self) -> Sequence[LedgerEntry]:
        """Return certificates that are revoked or on hold (reason `certificateHold`) and have not expired."""
        ...

    async def next_crl_number(self) -> int:
        """Count up and return the CRL number."""
        ...
