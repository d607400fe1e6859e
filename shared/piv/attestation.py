"""A card's vendor vouches that a key was made on the card.

An attestation has no nonce: it says that this public key was made by such a device, at any time. So the caller
also makes sure that the key is the one in the request and that it was not seen before.

Source: Yubico, "PIV attestation" (chain and extensions under 1.3.6.1.4.1.41482.3).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm

from shared import errors
from shared.iso7816.tlv import unwrap
from shared.piv import der
from shared.piv.ids import PinPolicyId, TouchPolicyId
from shared.piv.profiles import ROCA
from shared.piv.publickey import PublicKey, subject_public_key_info
from shared.piv.vendor import Version

FIRMWARE: Final = x509.ObjectIdentifier("1.3.6.1.4.1.41482.3.3")
SERIAL: Final = x509.ObjectIdentifier("1.3.6.1.4.1.41482.3.7")
POLICY: Final = x509.ObjectIdentifier("1.3.6.1.4.1.41482.3.8")
CHAIN_MAX: Final = 6
"""How many certificates may stand between the attestation and a root, both included."""

_WHAT: Final = "attestation"


@dataclass(frozen=True, slots=True, kw_only=True)
class Attestation:
    """What the vendor vouches for. `serial` is None where the device hides it."""

    version: Version
    serial: int | None
    pin_policy: PinPolicyId
    touch_policy: TouchPolicyId


@dataclass(frozen=True, slots=True, kw_only=True)
class Trust:
    """Whom to believe: pinned `roots`, and further certificates that may stand between them and a card's own."""

    roots: tuple[x509.Certificate, ...]
    intermediates: tuple[x509.Certificate, ...] = ()


def verify_attestation(
    attestation: bytes,
    card_certificate: bytes,
    trust: Trust,
    *,
    public_key: PublicKey,
    at: datetime,
    serial: int | None = None,
) -> Attestation:
    """Check that a card of a pinned vendor made `public_key`.

    `attestation` is what ATTEST returned, `card_certificate` the certificate of the card's attestation key (object
    5FFF01), both DER; `serial` is compared where it is given. Policies are the caller's to compare.

    Raises:
        CardNotGenuine: any of that does not hold; `why` says what.
    """
    statement, own = _load(attestation), _load(card_certificate)
    key = statement.public_key()
    if subject_public_key_info(key) != subject_public_key_info(public_key):  # type: ignore[arg-type]  # only encoded
        raise errors.CardNotGenuine(why="the attestation is for another key")
    _check_chain([statement, own], trust, at)
    result = _read(statement)
    if ROCA[0] <= result.version <= ROCA[1]:
        raise errors.CardNotGenuine(why="attestation keys of this firmware can be factored (CVE-2017-15361)")
    if serial is not None and result.serial != serial:
        raise errors.CardNotGenuine(why="the attestation is from another device")
    return result


def _load(raw: bytes) -> x509.Certificate:
    try:
        return x509.load_der_x509_certificate(raw)
    except ValueError as cause:
        raise errors.CardNotGenuine(why="no certificate") from cause


def _check_chain(chain: list[x509.Certificate], trust: Trust, at: datetime) -> None:
    """Follow the signatures from the attestation to a root."""
    if not _issued_by(chain[0], chain[1]):
        raise errors.CardNotGenuine(why="the attestation is not signed by the card's attestation key")
    while len(chain) < CHAIN_MAX:
        last = chain[-1]
        root = _issuer_of(last, trust.roots)
        if root is not None:
            _check_each([*chain, root], at)
            return
        between = _issuer_of(last, trust.intermediates)
        if between is None:
            break
        chain.append(between)
    raise errors.CardNotGenuine(why="the attestation does not lead to a root that is trusted here")


def _issuer_of(issued: x509.Certificate, candidates: Sequence[x509.Certificate]) -> x509.Certificate | None:
    return next((candidate for candidate in candidates if _issued_by(issued, candidate)), None)


def _issued_by(issued: x509.Certificate, issuer: x509.Certificate) -> bool:
    try:
        issued.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def _check_each(chain: list[x509.Certificate], at: datetime) -> None:
    """Check dates, and that whoever signed a certificate may."""
    for certificate in chain:
        if not certificate.not_valid_before_utc <= at <= certificate.not_valid_after_utc:
            raise errors.CardNotGenuine(why="a certificate of the attestation is not valid now")
    for issuer in chain[1:]:
        constraints = _extension(issuer, x509.BasicConstraints)
        if constraints is not None and not constraints.ca:
            raise errors.CardNotGenuine(why="a certificate of the attestation may not sign others")


def _extension(
    certificate: x509.Certificate, kind: type[x509.BasicConstraints]
) -> x509.BasicConstraints | None:
    try:
        return certificate.extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None
    except ValueError as cause:
        raise errors.CardNotGenuine(why="malformed extensions") from cause


def _read(statement: x509.Certificate) -> Attestation:
    """Read the vendor's extensions; firmware and policy must be there."""
    firmware, policy = _vendor(statement, FIRMWARE), _vendor(statement, POLICY)
    serial = _vendor(statement, SERIAL)
    if firmware is None or policy is None or len(policy) != 2:
        raise errors.CardNotGenuine(why="the attestation says nothing of firmware or policies")
    try:
        return Attestation(
            version=Version.from_bytes(firmware),
            serial=None if serial is None else der.read_integer(unwrap(der.INTEGER, serial, _WHAT)),
            pin_policy=PinPolicyId(policy[0]),
            touch_policy=TouchPolicyId(policy[1]),
        )
    except (ValueError, errors.CardMalformed) as cause:
        raise errors.CardNotGenuine(why="the attestation's extensions are malformed") from cause


def _vendor(certificate: x509.Certificate, oid: x509.ObjectIdentifier) -> bytes | None:
    try:
        found = certificate.extensions.get_extension_for_oid(oid).value
    except x509.ExtensionNotFound:
        return None
    except ValueError as cause:
        raise errors.CardNotGenuine(why="malformed extensions") from cause
    return found.value if isinstance(found, x509.UnrecognizedExtension) else None
