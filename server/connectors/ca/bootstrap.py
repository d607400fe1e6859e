"""The issuers' own certificates: made once, kept by whoever asked.

Keys of the key store: `ca/root` certifies `ca/issuing`, which certifies holders and `content-signing`; `stations/root`
certifies stations and the server's TLS identity, so that a holder's certificate is never a station's.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509.oid import NameOID

from server.connectors.ca.issuing import BACKDATE, Issuer, Order, serial_number
from server.connectors.ca.profiles import CONTENT_SIGNING, YEAR
from server.connectors.ca.signing import sign_certificate
from server.ports.keystore import KeyStore, SigningAlgorithm
from server.ports.store import AuditKind, AuditRecord, CertificateLedger, LedgerEntry
from shared import errors
from shared.clock import Clock

ROOT_KEY: Final = "ca/root"
ISSUING_KEY: Final = "ca/issuing"
STATIONS_KEY: Final = "stations/root"
CONTENT_SIGNING_KEY: Final = "content-signing"

MAX_ORGANISATION: Final = 64
"""Characters ([X.520], ub-organization-name)."""

ROOT_VALIDITY: Final = 20 * YEAR
ISSUING_VALIDITY: Final = 10 * YEAR


@dataclass(frozen=True, slots=True, kw_only=True)
class Issuers:
    """The certificates (DER) of the built-in certificate authority."""

    root: bytes
    issuing: bytes


async def bootstrap(
    keystore: KeyStore,
    ledger: CertificateLedger,
    clock: Clock,
    organisation: str,
    *,
    algorithm: SigningAlgorithm = SigningAlgorithm.P256_SHA256,
) -> Issuers:
    """Make root and issuing certificate authority; keys that exist already are used again.

    The certificates are recorded in one commit; the caller keeps them.

    Raises:
        Invalid: the organisation is no name for a certificate.
    """
    makers = _Maker(keystore, clock, algorithm)
    root = await makers.certify(
        _name(organisation, "Root CA"), key=ROOT_KEY, validity=ROOT_VALIDITY, path_length=1
    )
    issuing = await makers.certify(
        _name(organisation, "Issuing CA"),
        key=ISSUING_KEY,
        validity=ISSUING_VALIDITY,
        path_length=0,
        issuer=x509.load_der_x509_certificate(root.certificate),
    )
    await ledger.record((root, issuing))
    return Issuers(root=root.certificate, issuing=issuing.certificate)


async def bootstrap_stations(
    keystore: KeyStore,
    ledger: CertificateLedger,
    clock: Clock,
    organisation: str,
    *,
    algorithm: SigningAlgorithm = SigningAlgorithm.P256_SHA256,
) -> bytes:
    """Make the stations' root and return its certificate (DER); raises as `bootstrap`."""
    root = await _Maker(keystore, clock, algorithm).certify(
        _name(organisation, "Stations Root CA"), key=STATIONS_KEY, validity=ROOT_VALIDITY, path_length=0
    )
    await ledger.record((root,))
    return root.certificate


async def certify_content_signer(
    issuer: Issuer,
    keystore: KeyStore,
    ledger: CertificateLedger,
    *,
    algorithm: SigningAlgorithm = SigningAlgorithm.P256_SHA256,
) -> bytes:
    """Make the key that signs CHUID and Security Object, certify it under the issuing one, and return DER."""
    public = await keystore.generate(CONTENT_SIGNING_KEY, algorithm)
    organisation = issuer.certificate.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
    entry = await issuer.make(
        Order(
            profile=CONTENT_SIGNING,
            subject=x509.Name([*organisation, x509.NameAttribute(NameOID.COMMON_NAME, "Content Signing")]),
            public_key=public,
        )
    )
    await ledger.record((entry,))
    return entry.certificate


def _name(organisation: str, role: str) -> x509.Name:
    if not 1 <= len(organisation) <= MAX_ORGANISATION or not organisation.isprintable():
        raise errors.Invalid(field="organisation", why=f"1 to {MAX_ORGANISATION} characters")
    return x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, organisation),
            x509.NameAttribute(NameOID.COMMON_NAME, role),
        ]
    )


class _Maker:
    """Certificates of certificate authorities."""

    def __init__(self, keystore: KeyStore, clock: Clock, algorithm: SigningAlgorithm) -> None:
        self._keystore = keystore
        self._clock = clock
        self._algorithm = algorithm

    async def certify(
        self,
        name: x509.Name,
        *,
        key: str,
        validity: timedelta,
        path_length: int,
        issuer: x509.Certificate | None = None,
    ) -> LedgerEntry:
        """Certify key `key`: by itself, or by the root."""
        public = await self._keystore.generate(key, self._algorithm)
        now = self._clock.now()
        identifier = x509.SubjectKeyIdentifier.from_public_key(public)
        above = (
            issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
            if issuer is not None
            else identifier
        )
        builder = (
            x509.CertificateBuilder(
                issuer_name=issuer.subject if issuer is not None else name,
                subject_name=name,
                public_key=public,
                serial_number=serial_number(self._keystore),
                not_valid_before=now - BACKDATE,
                not_valid_after=now + validity,
            )
            .add_extension(x509.BasicConstraints(ca=True, path_length=path_length), critical=True)
            .add_extension(_CA_USAGE, critical=True)
            .add_extension(identifier, critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(above), critical=False
            )
        )
        signer = ROOT_KEY if issuer is not None else key
        certificate = await sign_certificate(builder, self._keystore, signer)
        certificate.verify_directly_issued_by(issuer if issuer is not None else certificate)
        return LedgerEntry(
            serial=certificate.serial_number,
            request_id=None,
            public_key=public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo),
            certificate=certificate.public_bytes(Encoding.DER),
            not_after=certificate.not_valid_after_utc,
            audit=AuditRecord(
                kind=AuditKind.KEY_USED,
                event="issuer-certified",
                actor="server",
                subject=f"{certificate.serial_number:x}",
                facts={"key": signer, "certified": key},
            ),
        )


_CA_USAGE: Final = x509.KeyUsage(
    digital_signature=False,
    content_commitment=False,
    key_encipherment=False,
    data_encipherment=False,
    key_agreement=False,
    key_cert_sign=True,
    crl_sign=True,
    encipher_only=False,
    decipher_only=False,
)
