"""The built-in certificate authority's book: what it signed and what it revoked."""

import hashlib
from collections.abc import Sequence
from datetime import datetime
from typing import Final

from sqlalchemy import bindparam, func, insert, or_, select, update

from server.ports.store import AuditRecord, LedgerEntry
from server.store import evidence
from server.store.rules import ON_HOLD, check_revocation
from server.store.schema import counter, ledger
from server.store.statements import Cursor, Prepared, Row, add, given
from server.store.writer import Writer
from shared import errors
from shared.clock import Clock
from shared.credential.model import RequestId

SERIAL_LENGTH: Final = 20
"""Octets of a serial at most ([RFC 5280] section 4.1.2.2): more than any integer of a database holds."""

CRL_NUMBER: Final = "crl-number"

_ADD: Final = add(ledger)
_ENTRY: Final = (
    ledger.c.serial,
    ledger.c.request_id,
    ledger.c.public_key,
    ledger.c.certificate,
    ledger.c.not_after,
    ledger.c.revoked_at,
    ledger.c.reason,
)
_BY_REQUEST: Final = Prepared(select(*_ENTRY).where(ledger.c.request_id == given(ledger.c.request_id)))
_BY_SERIAL: Final = Prepared(select(*_ENTRY).where(ledger.c.serial == given(ledger.c.serial)))
_BY_KEY: Final = Prepared(
    select(*_ENTRY).where(ledger.c.key_digest == given(ledger.c.key_digest)).order_by(ledger.c.number)
)
_REVOKED: Final = Prepared(
    select(*_ENTRY)
    .where(ledger.c.revoked_at.is_not(None), ledger.c.not_after > given(ledger.c.not_after))
    .order_by(ledger.c.number)
)
_KNOWN: Final = Prepared(select(ledger.c.number).where(ledger.c.serial == given(ledger.c.serial)))
_REVOKE: Final = Prepared(
    update(ledger)
    .where(
        ledger.c.serial == given(ledger.c.serial),
        or_(ledger.c.revoked_at.is_(None), ledger.c.reason == ON_HOLD),
    )
    .values(
        revoked_at=func.coalesce(ledger.c.revoked_at, given(ledger.c.revoked_at)),
        reason=given(ledger.c.reason),
    )
)
_HOLD: Final = Prepared(
    update(ledger)
    .where(ledger.c.serial == given(ledger.c.serial), ledger.c.revoked_at.is_(None))
    .values(revoked_at=given(ledger.c.revoked_at), reason=ON_HOLD)
)
_RELEASE: Final = Prepared(
    update(ledger)
    .where(ledger.c.serial == given(ledger.c.serial), ledger.c.reason == ON_HOLD)
    .values(revoked_at=None, reason="")
)
_GOOD: Final = Prepared(
    select(ledger.c.number).where(ledger.c.serial == given(ledger.c.serial), ledger.c.revoked_at.is_(None))
)
_COUNT: Final = Prepared(
    update(counter)
    .where(counter.c.name == given(counter.c.name))
    .values(value=counter.c.value + 1)
    .returning(counter.c.value)
)
_START_COUNT: Final = Prepared(
    insert(counter).values(name=given(counter.c.name), value=bindparam("first", 1))
)


class LedgerTable:
    """The port `CertificateLedger`."""

    def __init__(self, writer: Writer, clock: Clock) -> None:
        """Work through `writer`."""
        self._writer = writer
        self._clock = clock

    async def record(self, entries: Sequence[LedgerEntry]) -> None:
        """Store certificates in one durable commit, before they leave the certificate authority."""

        def work(cursor: Cursor) -> None:
            for entry in entries:
                _ADD.run(cursor, _values(entry))
                if entry.audit is not None:
                    evidence.append(cursor, self._clock, entry.audit)

        await self._writer.write(work)

    async def by_request(self, request_id: RequestId) -> LedgerEntry | None:
        """Return what was signed for this request."""
        row = await self._writer.read(lambda cursor: _BY_REQUEST.row(cursor, request_id=request_id))
        return None if row is None else _entry(row)

    async def by_serial(self, serial: int) -> LedgerEntry | None:
        """Return what has this serial number; None where nothing of it was signed here."""
        if not 0 <= serial < 1 << 8 * SERIAL_LENGTH:
            return None
        row = await self._writer.read(lambda cursor: _BY_SERIAL.row(cursor, serial=_serial(serial)))
        return None if row is None else _entry(row)

    async def by_public_key(self, public_key: bytes) -> Sequence[LedgerEntry]:
        """Return what was signed for this key (DER SubjectPublicKeyInfo)."""
        digest = _key_digest(public_key)
        rows = await self._writer.read(lambda cursor: _BY_KEY.rows(cursor, key_digest=digest))
        return [_entry(row) for row in rows]

    async def revoke(self, serial: int, reason: str, at: datetime, audit: AuditRecord) -> None:
        """Mark as revoked, with evidence; the first reason and time stay, but a hold gets its reason.

        Raises:
            Invalid: nothing with this serial was signed here, or the reason is a hold's.
        """

        def work(cursor: Cursor) -> None:
            kept = _signed(cursor, serial)
            check_revocation(reason)
            if _REVOKE.run(cursor, {"serial": kept, "reason": reason, "revoked_at": at}) == 1:
                evidence.append(cursor, self._clock, audit)

        await self._writer.write(work)

    async def hold(self, serial: int, at: datetime, audit: AuditRecord) -> None:
        """Put on hold, with evidence; one that is on hold or revoked stays as it is."""

        def work(cursor: Cursor) -> None:
            if _HOLD.run(cursor, {"serial": _signed(cursor, serial), "revoked_at": at}) == 1:
                evidence.append(cursor, self._clock, audit)

        await self._writer.write(work)

    async def release(self, serial: int, audit: AuditRecord) -> bool:
        """Lift a hold, with evidence; returns whether the certificate is good now."""

        def work(cursor: Cursor) -> bool:
            kept = _signed(cursor, serial)
            if _RELEASE.run(cursor, {"serial": kept}) == 1:
                evidence.append(cursor, self._clock, audit)
            return _GOOD.row(cursor, serial=kept) is not None

        return await self._writer.write(work)

    async def revoked(self) -> Sequence[LedgerEntry]:
        """Return certificates that are revoked or on hold and have not expired."""
        now = self._clock.now()
        rows = await self._writer.read(lambda cursor: _REVOKED.rows(cursor, not_after=now))
        return [_entry(row) for row in rows]

    async def next_crl_number(self) -> int:
        """Count up and return the CRL number, from 1."""

        def work(cursor: Cursor) -> int:
            counted = _COUNT.row(cursor, name=CRL_NUMBER)
            if counted is not None:
                return int(counted[0])
            _START_COUNT.run(cursor, {"name": CRL_NUMBER})
            return 1

        return await self._writer.write(work)


def _signed(cursor: Cursor, serial: int) -> bytes:
    """Return a serial number as it is kept.

    Raises:
        Invalid: nothing with this serial was signed here.
    """
    kept = _serial(serial)
    if _KNOWN.row(cursor, serial=kept) is None:
        raise errors.Invalid(field="serial", why="not signed here")
    return kept


def _serial(serial: int) -> bytes:
    return serial.to_bytes(SERIAL_LENGTH, "big")


def _key_digest(public_key: bytes) -> bytes:
    return hashlib.sha256(public_key).digest()


def _values(entry: LedgerEntry) -> dict[str, object]:
    return {
        "serial": _serial(entry.serial),
        "request_id": entry.request_id,
        "key_digest": _key_digest(entry.public_key),
        "public_key": entry.public_key,
        "certificate": entry.certificate,
        "not_after": entry.not_after,
        "revoked_at": entry.revoked_at,
        "reason": entry.reason,
    }


def _entry(row: Row) -> LedgerEntry:
    serial, request_id, public_key, certificate, not_after, revoked_at, reason = row
    return LedgerEntry(
        serial=int.from_bytes(serial, "big"),
        request_id=request_id,
        public_key=public_key,
        certificate=certificate,
        not_after=not_after,
        revoked_at=revoked_at,
        reason=reason,
    )
