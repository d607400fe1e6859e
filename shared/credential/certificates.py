"""Check what a certificate authority returned, before it reaches a card.

No certificate authority is trusted to return what it was asked for: another key, a foreign name, a wrong issuer
or a certificate authority's certificate on somebody's card are found here, whatever product made them.

This is not path validation for a relying party: policies, name constraints and revocation are for those who will
rely on the certificate.

Sources: [RFC 5280] 4.1, 4.2.1.3, 4.2.1.6, 4.2.1.9 and 6.1; [SP 800-73-5] part 1, appendix A (container sizes).
"""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum, unique
from functools import lru_cache
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key

from shared import errors
from shared.credential.names import PIV_FASCN, SECURITY_EXTENSION, UPN, alternative_names, sid_extension
from shared.piv.ids import Slot

MAX_LENGTH: Final = 3008
"""Bytes of the largest certificate that we put on a card (a YubiKey's object of 3,052 bytes less its wrapping)."""

MAX_CHAIN: Final = 5

_UNREADABLE: Final = (
    ValueError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.ExtensionNotFound,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)
"""What cryptography raises for bytes that are no certificate that we can judge."""


@unique
class Usage(StrEnum):
    """The key usage that a slot's certificate must have; values are attributes of `x509.KeyUsage`."""

    DIGITAL_SIGNATURE = "digital_signature"
    KEY_ENCIPHERMENT = "key_encipherment"
    KEY_AGREEMENT = "key_agreement"


def needed_usage(slot: Slot, public_key: bytes) -> Usage:
    """Return the usage without which a certificate is of no use in its slot; `public_key` is DER SPKI."""
    if slot is not Slot.KEY_MANAGEMENT and not slot.retired:
        return Usage.DIGITAL_SIGNATURE
    if isinstance(load_der_public_key(public_key), rsa.RSAPublicKey):
        return Usage.KEY_ENCIPHERMENT
    return Usage.KEY_AGREEMENT


def check_certificate(
    certificate: bytes,
    *,
    connection: str,
    public_key: bytes,
    subject: str,
    trust: Sequence[bytes],
    now: datetime,
    usage: Usage | None = None,
    required: Sequence[x509.GeneralName] = (),
    allowed: Sequence[x509.GeneralName] | None = None,
    sid: str | None = None,
    max_length: int = MAX_LENGTH,
) -> None:
    """Refuse a certificate that is not what was asked for.

    `certificate`, `public_key` (SubjectPublicKeyInfo) and `trust` (the configured issuers, from the issuing one to
    the root) are DER; `subject` is an RFC 4514 string. `required` alternative names must be there; where `allowed`
    is given, no other name of a person or card may be. `sid`: where not None, the security extension, if there is
    one, must name it, and must be there unless it is empty.

    Raises:
        CertificateRejected: `why` says what is wrong, never whose certificate it is.
    """
    why = _too_long(certificate, max_length)
    if not why:
        try:
            parsed, issuers = x509.load_der_x509_certificate(certificate), _chain(tuple(trust))
            why = (
                _wrong_form(certificate, parsed)
                or _wrong_subject(parsed, public_key, subject)
                or _wrong_names(parsed.extensions, required, allowed, sid)
                or _wrong_usage(parsed.extensions, usage)
                or _wrong_issuer(parsed, issuers, now)
            )
        except _UNREADABLE as cause:
            raise errors.CertificateRejected(connection=connection, why="cannot be read") from cause
    if why:
        raise errors.CertificateRejected(connection=connection, why=why)


def check_names(
    *, upn: str = "", mail: str = "", card: str = "", fascn: bytes = b""
) -> tuple[tuple[x509.GeneralName, ...], tuple[x509.GeneralName, ...]]:
    """Return what to give to `check_certificate` as `required` and `allowed`.

    A template names `upn` and `mail` for a slot, so they must be there; the card's names depend on the profile.

    Raises:
        Invalid: one is malformed.
    """
    required = alternative_names(upn=upn, mail=mail)
    return required, required + alternative_names(card=card, fascn=fascn)


def _too_long(certificate: bytes, max_length: int) -> str:
    return f"{len(certificate)} bytes, more than {max_length}" if len(certificate) > max_length else ""


def _wrong_form(encoded: bytes, certificate: x509.Certificate) -> str:
    """Find what a lenient parser lets through."""
    if certificate.version is not x509.Version.v3:
        return "not of version 3"
    if certificate.serial_number <= 0:
        return "a serial number that is not positive"
    if not encoded.endswith(b"\0" + certificate.signature):
        return (
            "a signature that is no whole number of bytes"  # the unused bits of a BIT STRING are not signed
        )
    return ""


def _wrong_subject(certificate: x509.Certificate, public_key: bytes, subject: str) -> str:
    key = certificate.public_key()
    if key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo) != public_key:
        return "another public key"
    if certificate.subject != x509.Name.from_rfc4514_string(subject):
        return "another subject"
    return ""


def _wrong_names(
    extensions: x509.Extensions,
    required: Sequence[x509.GeneralName],
    allowed: Sequence[x509.GeneralName] | None,
    sid: str | None,
) -> str:
    present: Sequence[x509.GeneralName] = ()
    security = None
    for extension in extensions:
        if isinstance(extension.value, x509.SubjectAlternativeName):
            present = list(extension.value)
        elif extension.oid == SECURITY_EXTENSION:
            security = extension.value
    if any(name not in present for name in required):
        return "an alternative name is missing"
    if allowed is not None and any(_names_somebody(name) and name not in allowed for name in present):
        return "an alternative name that was not asked for"
    if sid is not None and (sid or security is not None):
        if security is None:
            return "the security identifier is missing"
        if not sid or security != sid_extension(sid):
            return "another security identifier"
    return ""


def _names_somebody(name: x509.GeneralName) -> bool:
    """Whether a name may stand for a person or a card; a directory name, say, does not log anybody on."""
    if isinstance(name, x509.OtherName):
        return name.type_id in (UPN, PIV_FASCN)
    return isinstance(name, x509.RFC822Name | x509.UniformResourceIdentifier | x509.DNSName | x509.IPAddress)


def _wrong_usage(extensions: x509.Extensions, usage: Usage | None) -> str:
    key_usage = None
    for extension in extensions:
        if isinstance(extension.value, x509.BasicConstraints) and extension.value.ca:
            return "a certificate authority's certificate"
        if isinstance(extension.value, x509.KeyUsage):
            key_usage = extension.value
    if key_usage is not None and key_usage.key_cert_sign:
        return "a certificate authority's key usage"
    if usage is not None and (key_usage is None or not getattr(key_usage, usage.value)):
        return f"no key usage {usage.value.replace('_', ' ')}"
    return ""


def _wrong_issuer(certificate: x509.Certificate, issuers: Sequence[x509.Certificate], now: datetime) -> str:
    if not certificate.not_valid_before_utc <= now <= certificate.not_valid_after_utc:
        return "not valid now"
    if not issuers:
        return "the configured issuers are no chain up to a root"
    if any(not issuer.not_valid_before_utc <= now <= issuer.not_valid_after_utc for issuer in issuers):
        return "the certificate authority itself is not valid now"
    if not _signed_by(certificate, issuers[0]):
        return "not signed by the configured certificate authority"
    return ""


@lru_cache(maxsize=16)
def _chain(trust: tuple[bytes, ...]) -> tuple[x509.Certificate, ...]:
    """Read the configured issuers; empty where they are no chain up to a root that signed itself."""
    if not 1 <= len(trust) <= MAX_CHAIN:
        return ()
    issuers = tuple(x509.load_der_x509_certificate(issuer) for issuer in trust)
    for below, above in zip(issuers, (*issuers[1:], issuers[-1]), strict=True):
        constraints = below.extensions.get_extension_for_class(x509.BasicConstraints).value
        if not constraints.ca or not _signed_by(below, above):
            return ()
    return issuers


def _signed_by(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(issuer)
    except (InvalidSignature, ValueError, TypeError):
        return False
    return True
