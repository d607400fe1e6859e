"""What the built-in certificate authority publishes: two lists, two certificates, and answers about single ones."""

from datetime import datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from server.connectors.ca.bootstrap import ROOT_KEY, Issuers
from server.connectors.ca.builtin import CRL_REFRESH, BuiltinAuthority
from server.connectors.ca.ocsp import Responder
from server.connectors.ca.revocation import Revoked, revocation_list
from server.ports.ca import Reason
from server.ports.keystore import KeyStore
from server.ports.publication import Document, Published, StatusAnswer
from server.ports.store import AuditKind, AuditRecord, AuditStore, CertificateLedger
from shared.clock import Clock

ROOT_LIST_LIFETIME: Final = timedelta(days=90)
ROOT_LIST_REFRESH: Final = timedelta(days=1)
"""How long the root's list is handed out again: its key is used rarely."""


class BuiltinPublication:
    """The port `Publishes` over the built-in certificate authority."""

    def __init__(
        self,
        authority: BuiltinAuthority,
        *,
        issuers: Issuers,
        keystore: KeyStore,
        ledger: CertificateLedger,
        audit: AuditStore,
        clock: Clock,
        actor: str = "server",
    ) -> None:
        """Publish what `authority` signed, and what the root says of the issuing certificate."""
        self._authority = authority
        self._issuers = issuers
        self._root = x509.load_der_x509_certificate(issuers.root)
        self._issuing = x509.load_der_x509_certificate(issuers.issuing)
        self._keystore = keystore
        self._ledger = ledger
        self._audit = audit
        self._clock = clock
        self._actor = actor
        self._responder = Responder(authority.issuer, ledger, clock)
        self._root_list: tuple[datetime, bytes] | None = None

    async def document(self, which: Published) -> Document:
        """Return a list or a certificate, DER. A list is handed out as fresh only until it is looked at again."""
        match which:
            case Published.ISSUING_CERTIFICATE:
                return _certificate(self._issuing)
            case Published.ROOT_CERTIFICATE:
                return _certificate(self._root)
            case Published.ISSUING_CRL:
                return _list(await self._authority.crl(), CRL_REFRESH)
            case Published.ROOT_CRL:
                return _list(await self._roots_list(), ROOT_LIST_REFRESH)

    async def status(self, question: bytes) -> StatusAnswer:
        """Answer an OCSP request about a certificate of the issuing certificate authority."""
        return await self._responder.answer(question)

    async def _roots_list(self) -> bytes:
        """Return the root's list: empty, as long as the issuing certificate is good."""
        now = self._clock.now()
        if self._root_list is not None and now - self._root_list[0] < ROOT_LIST_REFRESH:
            return self._root_list[1]
        number = await self._ledger.next_crl_number()
        entry = await self._ledger.by_serial(self._issuing.serial_number)
        revoked = (
            [Revoked(serial=entry.serial, at=entry.revoked_at, reason=Reason(entry.reason))]
            if entry is not None and entry.revoked_at is not None
            else []
        )
        signed = await revocation_list(
            revoked,
            issuer=self._root,
            keystore=self._keystore,
            key=ROOT_KEY,
            number=number,
            now=now,
            lifetime=ROOT_LIST_LIFETIME,
        )
        used = AuditRecord(
            kind=AuditKind.KEY_USED,
            event="crl-signed",
            actor=self._actor,
            subject=str(number),
            facts={"key": ROOT_KEY, "entries": len(revoked)},
        )
        await self._audit.append([used])
        self._root_list = (now, signed.public_bytes(Encoding.DER))
        return self._root_list[1]


def _certificate(certificate: x509.Certificate) -> Document:
    return Document(
        content=certificate.public_bytes(Encoding.DER),
        made_at=certificate.not_valid_before_utc,
        fresh_until=certificate.not_valid_after_utc,
    )


def _list(content: bytes, refresh: timedelta) -> Document:
    read = x509.load_der_x509_crl(content)
    return Document(content=content, made_at=read.last_update_utc, fresh_until=read.last_update_utc + refresh)
