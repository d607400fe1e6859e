"""The built-in certificate authority.

Its keys live in the key store, its book in the record. What it signs is in the book before it leaves; a request
that was answered once gets the same certificate again.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import Encoding

from server.connectors.ca.bootstrap import ISSUING_KEY, Issuers
from server.connectors.ca.issuing import Issuer, Publication
from server.connectors.ca.profiles import HOLDER_PROFILES, NameKind
from server.connectors.ca.requests import order_for
from server.connectors.ca.revocation import Revoked, revocation_list
from server.ports.ca import Abilities, Issued, Outcome, Reason, Refused, SignRequest
from server.ports.keystore import KeyStore
from server.ports.store import AuditKind, AuditRecord, AuditStore, CertificateLedger, LedgerEntry
from shared import errors
from shared.clock import Clock
from shared.piv.ids import Algorithm

CRL_LIFETIME: Final = timedelta(days=7)
CRL_REFRESH: Final = timedelta(minutes=10)
"""How long a list is handed out again; a revocation in this process ends it at once."""


class BuiltinAuthority:
    """Issue, revoke, hold and publish with keys of our own.

    It is a `CertificateAuthority`, `CanRevoke`, `CanHold`, `CanListProfiles` and `PublishesCrl`.
    """

    def __init__(
        self,
        *,
        connection: str,
        keystore: KeyStore,
        ledger: CertificateLedger,
        audit: AuditStore,
        clock: Clock,
        issuers: Issuers,
        publication: Publication | None = None,
        policies: Mapping[str, str] | None = None,
        actor: str = "server",
    ) -> None:
        """Take the issuers that `bootstrap` made.

        `policies`: the certificate policy (a dotted OID) that a profile asserts, by the profile's name. None is
        built in: asserting somebody's policy is for those who follow it.
        """
        self._connection = connection
        self._ledger = ledger
        self._audit = audit
        self._clock = clock
        self._keystore = keystore
        self._policies = dict(policies or {})
        self._actor = actor
        self._chain = (issuers.issuing, issuers.root)
        self._issuer = Issuer(
            keystore=keystore,
            clock=clock,
            key=ISSUING_KEY,
            certificate=issuers.issuing,
            publication=publication,
            actor=actor,
        )
        self._list: tuple[datetime, bytes] | None = None

    @property
    def abilities(self) -> Abilities:
        """What this certificate authority can do."""
        return Abilities(
            profiles=tuple(HOLDER_PROFILES),
            algorithms=tuple(algorithm.text for algorithm in Algorithm),
            revoke=True,
            hold=True,
            knows_at_once=True,
            proof_by_server=True,
            names=tuple(kind.value for kind in NameKind),
        )

    @property
    def issuer(self) -> Issuer:
        """The issuing certificate with its key, for the server's own certificates."""
        return self._issuer

    async def offered_profiles(self) -> Sequence[str]:
        """Return every profile that templates may name."""
        return sorted(HOLDER_PROFILES)

    async def trust(self) -> Sequence[bytes]:
        """Return the configured issuers, DER, from the issuing one to the root."""
        return self._chain

    async def issue(self, requests: Sequence[SignRequest]) -> Sequence[Outcome]:
        """Sign what may be signed and record it all in one commit; one outcome per request, in the same order.

        A request id that was answered before gets the same certificate. That costs nothing in the usual case: the
        record refuses a second certificate for a request id, and only then is the first one looked for.
        """
        refused: dict[int, Refused] = {}
        made: dict[object, LedgerEntry] = {}
        for index, request in enumerate(requests):
            try:
                if request.request_id not in made:
                    order = order_for(request, self._policies.get(request.profile, ""))
                    made[request.request_id] = await self._issuer.make(order)
            except errors.Invalid as refusal:
                refused[index] = Refused(f"{refusal.facts['field']}: {refusal.facts['why']}")
        if made:
            made |= await self._record(tuple(made.values()))
        return [
            refused.get(index) or self._answer(request, made[request.request_id])
            for index, request in enumerate(requests)
        ]

    async def find(self, request: SignRequest) -> Outcome | None:
        """Look for what became of a request after a lost answer; None where nothing was signed for it."""
        entry = await self._ledger.by_request(request.request_id)
        return self._answer(request, entry) if entry is not None else None

    async def revoke(self, certificate: bytes, reason: Reason) -> None:
        """Revoke one certificate (DER); doing it again changes nothing.

        Raises:
            ConnectorRefused: not a certificate of this certificate authority.
        """
        parsed = self._own(certificate)
        audit = self._evidence(parsed, "certificate-revoked", reason)
        await self._ledger.revoke(parsed.serial_number, reason.value, self._clock.now(), audit)
        self._list = None

    async def hold(self, certificate: bytes) -> None:
        """Put one certificate (DER) on hold; one that is revoked stays revoked.

        Raises:
            ConnectorRefused: not a certificate of this certificate authority.
        """
        parsed = self._own(certificate)
        audit = self._evidence(parsed, "certificate-held", Reason.CERTIFICATE_HOLD)
        await self._ledger.hold(parsed.serial_number, self._clock.now(), audit)
        self._list = None

    async def release(self, certificate: bytes) -> None:
        """Make a held certificate valid again; one that is not on hold stays as it is.

        Raises:
            ConnectorRefused: not a certificate of this certificate authority, or revoked for good.
        """
        parsed = self._own(certificate)
        audit = self._evidence(parsed, "certificate-released", Reason.CERTIFICATE_HOLD)
        good = await self._ledger.release(parsed.serial_number, audit)
        self._list = None
        if not good:
            raise errors.ConnectorRefused(connection=self._connection, reason="revoked for good")

    def _own(self, certificate: bytes) -> x509.Certificate:
        """Read a certificate that was signed here.

        Raises:
            ConnectorRefused: it was not.
        """
        try:
            parsed = x509.load_der_x509_certificate(certificate)
            parsed.verify_directly_issued_by(self._issuer.certificate)
        except (ValueError, TypeError, InvalidSignature) as cause:
            raise errors.ConnectorRefused(
                connection=self._connection, reason="not a certificate of this certificate authority"
            ) from cause
        return parsed

    def _evidence(self, certificate: x509.Certificate, event: str, reason: Reason) -> AuditRecord:
        return AuditRecord(
            kind=AuditKind.TRANSITION,
            event=event,
            actor=self._actor,
            subject=f"{certificate.serial_number:x}",
            facts={"reason": reason.value},
        )

    async def crl(self) -> bytes:
        """Return the present list, DER, signed; at most ten minutes old, valid for a week."""
        now = self._clock.now()
        if self._list is not None and now - self._list[0] < CRL_REFRESH:
            return self._list[1]
        number = await self._ledger.next_crl_number()
        revoked = [
            Revoked(serial=entry.serial, at=entry.revoked_at, reason=Reason(entry.reason))
            for entry in await self._ledger.revoked()
            if entry.revoked_at is not None and self._is_ours(entry)
        ]
        signed = await revocation_list(
            revoked,
            issuer=self._issuer.certificate,
            keystore=self._keystore,
            key=self._issuer.key,
            number=number,
            now=now,
            lifetime=CRL_LIFETIME,
        )
        await self._audit.append([self._issuer.key_used("crl-signed", str(number), entries=len(revoked))])
        encoded = signed.public_bytes(Encoding.DER)
        self._list = (now, encoded)
        return encoded

    def _is_ours(self, entry: LedgerEntry) -> bool:
        """The ledger also holds what the stations' root signed."""
        issuer = x509.load_der_x509_certificate(entry.certificate).issuer
        return issuer == self._issuer.certificate.subject

    def _answer(self, request: SignRequest, entry: LedgerEntry) -> Outcome:
        if entry.public_key != request.public_key:
            return Refused("request id: used for another key")
        if entry.revoked_at is not None:
            return Refused("the certificate was revoked")
        return Issued(entry.certificate, self._chain)

    async def _record(self, entries: Sequence[LedgerEntry]) -> dict[object, LedgerEntry]:
        """Record new certificates; return those that count by request id, in place of what was signed again."""
        try:
            await self._ledger.record(entries)
        except errors.StoreConflict:
            earlier: dict[object, LedgerEntry] = {}
            for entry in entries:
                known = await self._ledger.by_request(entry.request_id) if entry.request_id else None
                if known is not None:
                    earlier[entry.request_id] = known
            if not earlier:
                raise
            fresh = [entry for entry in entries if entry.request_id not in earlier]
            if fresh:
                await self._ledger.record(fresh)
            return earlier
        return {}
