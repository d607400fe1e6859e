"""Answers about single certificates of the built-in certificate authority.

They are signed by a responder of two days, whose key lives in this process and nowhere else: the issuing key certifies it,
which is evidence, and is not used for every answer.

Sources: [RFC 6960] 4 (requests, answers, delegated responders and id-pkix-ocsp-nocheck), [RFC 9654] (nonce),
[RFC 5019] 2.2.3 (who is asked about another issuer's certificate says *unauthorized*).
"""

import asyncio
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from cryptography.x509 import ocsp
from cryptography.x509.oid import NameOID

from server.connectors.ca.issuing import Issuer, Order
from server.connectors.ca.profiles import OCSP_SIGNING
from server.ports.ca import Reason
from server.ports.ledger import CertificateLedger, LedgerEntry
from server.ports.publication import StatusAnswer
from shared.clock import Clock

FRESH: Final = timedelta(minutes=10)
"""How long an answer may be kept, and so how long a revocation takes to be known at the most."""

MAX_NONCE: Final = 128
"""Bytes ([RFC 9654] 2.1)."""


@dataclass(frozen=True, slots=True)
class _Signer:
    key: ec.EllipticCurvePrivateKey
    certificate: x509.Certificate

    def serves(self, now: datetime) -> bool:
        """Whether it outlives the answers that it would sign by far."""
        return self.certificate.not_valid_after_utc - now > OCSP_SIGNING.validity / 2


class Responder:
    """Answer for the certificates of one issuer."""

    def __init__(self, issuer: Issuer, ledger: CertificateLedger, clock: Clock) -> None:
        """Certify a responder with `issuer` when the first question comes."""
        self._issuer = issuer
        self._ledger = ledger
        self._clock = clock
        self._subject = issuer.certificate.subject.public_bytes()
        self._key_bits = _key_bits(issuer.certificate)
        self._signer: _Signer | None = None
        self._certifying = asyncio.Lock()

    async def answer(self, question: bytes) -> StatusAnswer:
        """Answer a request (DER) about one certificate; what cannot be answered is an answer that says so."""
        now = self._clock.now()
        try:
            request = ocsp.load_der_ocsp_request(question)
            nonce = _nonce(request)
            ours = self._is_ours(request)
        except (ValueError, RuntimeError, UnsupportedAlgorithm):  # the library: several questions at once
            return _unsuccessful(ocsp.OCSPResponseStatus.MALFORMED_REQUEST, now)
        if not ours:
            return _unsuccessful(ocsp.OCSPResponseStatus.UNAUTHORIZED, now)
        entry = await self._ledger.by_serial(request.serial_number)
        if entry is not None and not self._signed(entry):
            entry = None
        signer = await self._present(now)
        now = now.replace(microsecond=0)
        builder = _about(request, entry, now).responder_id(
            ocsp.OCSPResponderEncoding.HASH, signer.certificate
        )
        builder = builder.certificates([signer.certificate])
        if nonce is not None:
            builder = builder.add_extension(nonce, critical=False)
        signed = builder.sign(signer.key, hashes.SHA256())
        return StatusAnswer(
            content=signed.public_bytes(Encoding.DER),
            made_at=now,
            fresh_until=now + FRESH if nonce is None else None,
        )

    def _is_ours(self, request: ocsp.OCSPRequest) -> bool:
        """Whether the request names our issuer, by its name and its key."""
        algorithm = request.hash_algorithm
        return (request.issuer_name_hash, request.issuer_key_hash) == (
            _digest(algorithm, self._subject),
            _digest(algorithm, self._key_bits),
        )

    def _signed(self, entry: LedgerEntry) -> bool:
        """The ledger also holds what the roots signed."""
        return x509.load_der_x509_certificate(entry.certificate).issuer == self._issuer.certificate.subject

    async def _present(self, now: datetime) -> _Signer:
        """Return the present responder; a new one is made once, however many ask."""
        async with self._certifying:
            if self._signer is None or not self._signer.serves(now):
                self._signer = await self._certified()
            return self._signer

    async def _certified(self) -> _Signer:
        key = ec.generate_private_key(ec.SECP256R1())
        organisation = self._issuer.certificate.subject.get_attributes_for_oid(NameOID.ORGANIZATION_NAME)
        entry = await self._issuer.make(
            Order(
                profile=OCSP_SIGNING,
                subject=x509.Name([*organisation, x509.NameAttribute(NameOID.COMMON_NAME, "OCSP Responder")]),
                public_key=key.public_key(),
                extensions=(x509.OCSPNoCheck(),),
            )
        )
        await self._ledger.record((entry,))
        return _Signer(key, x509.load_der_x509_certificate(entry.certificate))


def _about(request: ocsp.OCSPRequest, entry: LedgerEntry | None, now: datetime) -> ocsp.OCSPResponseBuilder:
    """Say what the book says; what is not in it is unknown, not good."""
    status, revoked_at, reason = ocsp.OCSPCertStatus.UNKNOWN, None, None
    if entry is not None and entry.revoked_at is None:
        status = ocsp.OCSPCertStatus.GOOD
    elif entry is not None:
        status, revoked_at = ocsp.OCSPCertStatus.REVOKED, entry.revoked_at
        reason = None if entry.reason == Reason.UNSPECIFIED.value else x509.ReasonFlags(entry.reason)
    return ocsp.OCSPResponseBuilder().add_response_by_hash(
        issuer_name_hash=request.issuer_name_hash,
        issuer_key_hash=request.issuer_key_hash,
        serial_number=request.serial_number,
        algorithm=request.hash_algorithm,
        cert_status=status,
        this_update=now,
        next_update=now + FRESH,
        revocation_time=revoked_at,
        revocation_reason=reason,
    )


def _nonce(request: ocsp.OCSPRequest) -> x509.OCSPNonce | None:
    """Return the nonce that the answer has to repeat; `ValueError` where it is too long, or empty."""
    try:
        nonce = request.extensions.get_extension_for_class(x509.OCSPNonce).value
    except x509.ExtensionNotFound:
        return None
    if not 0 < len(nonce.nonce) <= MAX_NONCE:
        message = "length of the nonce"
        raise ValueError(message)
    return nonce


def _unsuccessful(status: ocsp.OCSPResponseStatus, now: datetime) -> StatusAnswer:
    refused = ocsp.OCSPResponseBuilder.build_unsuccessful(status)
    return StatusAnswer(content=refused.public_bytes(Encoding.DER), made_at=now)


def _digest(algorithm: hashes.HashAlgorithm, content: bytes) -> bytes:
    digest = hashes.Hash(algorithm)
    digest.update(content)
    return digest.finalize()


def _key_bits(certificate: x509.Certificate) -> bytes:
    """Return the bits of the public key, without the algorithm that stands before them."""
    match certificate.public_key():
        case ec.EllipticCurvePublicKey() as key:
            return key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        case rsa.RSAPublicKey() as key:
            return key.public_bytes(Encoding.DER, PublicFormat.PKCS1)
        case other:
            message = f"issuers do not have keys of the kind {type(other).__name__}"
            raise TypeError(message)
