"""Make one certificate: from a checked order to an entry of the ledger.

What leaves here was read again with another parser's eyes and verified against its issuer.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import AuthorityInformationAccessOID, ObjectIdentifier

from server.connectors.ca.profiles import CertificateProfile, SubjectKey
from server.connectors.ca.signing import sign_certificate
from server.ports.keystore import KeyStore
from server.ports.store import AuditKind, AuditRecord, LedgerEntry
from shared import errors
from shared.clock import Clock
from shared.credential.model import RequestId

SERIAL_LENGTH: Final = 16
"""Random bytes of a serial number ([RFC 5280] 4.1.2.2 allows 20)."""

BACKDATE: Final = timedelta(minutes=10)
"""Certificates begin this much early, for machines whose clock is behind."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Publication:
    """Where others find the revocation list, the issuer's certificate, and who answers for one; empty: nowhere."""

    crl_url: str = ""
    issuer_url: str = ""
    ocsp_url: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """A certificate to be made; every part was checked by whoever made the order."""

    profile: CertificateProfile
    subject: x509.Name
    public_key: SubjectKey
    names: Sequence[x509.GeneralName] = ()
    extensions: Sequence[x509.ExtensionType] = ()
    request_id: RequestId | None = None
    not_after: datetime | None = None


class Issuer:
    """One issuing certificate with its key in the key store."""

    def __init__(
        self,
        *,
        keystore: KeyStore,
        clock: Clock,
        key: str,
        certificate: bytes,
        publication: Publication | None = None,
        actor: str = "server",
    ) -> None:
        """Read the issuer's own certificate (DER)."""
        self.certificate: Final = x509.load_der_x509_certificate(certificate)
        self.key: Final = key
        self._keystore = keystore
        self._clock = clock
        self._actor = actor
        self._common = tuple(self._common_extensions(publication or Publication()))

    async def make(self, order: Order) -> LedgerEntry:
        """Sign a certificate and return it as it belongs into the ledger; it is not recorded yet.

        Raises:
            Invalid: the key cannot serve the profile, or the end lies before the beginning.
            KeyStoreDamaged: the key store signed with another key than the issuer's.
        """
        certificate = await sign_certificate(self._builder(order), self._keystore, self.key)
        try:
            certificate.verify_directly_issued_by(self.certificate)
        except (InvalidSignature, ValueError, TypeError) as cause:
            raise errors.KeyStoreDamaged(why=f"signing key {self.key} is not its issuer's") from cause
        return LedgerEntry(
            serial=certificate.serial_number,
            request_id=order.request_id,
            public_key=order.public_key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
            certificate=certificate.public_bytes(Encoding.DER),
            not_after=certificate.not_valid_after_utc,
            audit=self.key_used(
                "certificate-signed", f"{certificate.serial_number:x}", profile=order.profile.name
            ),
        )

    def key_used(self, event: str, subject: str, **facts: str | int) -> AuditRecord:
        """Return the evidence of one use of the issuer's key."""
        return AuditRecord(
            kind=AuditKind.KEY_USED,
            event=event,
            actor=self._actor,
            subject=subject,
            facts={"key": self.key, **facts},
        )

    def _builder(self, order: Order) -> x509.CertificateBuilder:
        begin, end = self._validity(order)
        usage = order.profile.usage(order.public_key)
        if usage is None:
            raise errors.Invalid(
                field="public key", why=f"of a kind that cannot serve profile {order.profile.name}"
            )
        builder = (
            x509.CertificateBuilder(
                issuer_name=self.certificate.subject,
                subject_name=order.subject,
                public_key=order.public_key,
                serial_number=serial_number(self._keystore),
                not_valid_before=begin,
                not_valid_after=end,
            )
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(usage, critical=True)
            .add_extension(
                x509.ExtendedKeyUsage(order.profile.purposes), critical=order.profile.purposes_critical
            )
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(order.public_key), critical=False)
        )
        if order.names:
            builder = builder.add_extension(x509.SubjectAlternativeName(order.names), critical=False)
        for extension in (*self._common, *order.extensions):
            builder = builder.add_extension(extension, critical=False)
        return builder

    def _validity(self, order: Order) -> tuple[datetime, datetime]:
        """Return begin and end, never outside the issuer's own."""
        now = self._clock.now()
        begin = max(now - BACKDATE, self.certificate.not_valid_before_utc)
        end = min(order.not_after or now + order.profile.validity, self.certificate.not_valid_after_utc)
        if end <= now:
            raise errors.Invalid(field="not after", why="the certificate would have expired")
        return begin, end

    def _common_extensions(self, publication: Publication) -> list[x509.ExtensionType]:
        own = self.certificate.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
        extensions: list[x509.ExtensionType] = [
            x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(own)
        ]
        if publication.crl_url:
            extensions.append(distribution_point(publication.crl_url))
        access = [
            x509.AccessDescription(method, x509.UniformResourceIdentifier(url))
            for method, url in (
                (AuthorityInformationAccessOID.OCSP, publication.ocsp_url),
                (AuthorityInformationAccessOID.CA_ISSUERS, publication.issuer_url),
            )
            if url
        ]
        if access:
            extensions.append(x509.AuthorityInformationAccess(access))
        return extensions


def distribution_point(url: str) -> x509.CRLDistributionPoints:
    """Return the extension that says where the revocation list is."""
    return x509.CRLDistributionPoints(
        [x509.DistributionPoint([x509.UniformResourceIdentifier(url)], None, None, None)]
    )


def policies(*oids: str) -> x509.CertificatePolicies:
    """Return the extension that asserts certificate policies."""
    return x509.CertificatePolicies(
        [x509.PolicyInformation(ObjectIdentifier(oid), policy_qualifiers=None) for oid in oids]
    )


def serial_number(keystore: KeyStore) -> int:
    """Draw a positive serial number of 128 random bits."""
    return int.from_bytes(keystore.random(SERIAL_LENGTH), "big") or serial_number(keystore)
