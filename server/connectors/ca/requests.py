"""Check what is asked of the built-in certificate authority: proof of possession, key, names.

Sources: [RFC 2986]; [SP 800-78-5] 3.1 (kinds and sizes of keys).
"""

from typing import Final

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa, x25519
from cryptography.hazmat.primitives.serialization import load_der_public_key

from server.connectors.ca.issuing import Order, policies
from server.connectors.ca.profiles import (
    CARD_NAMES,
    HOLDER_PROFILES,
    CertificateProfile,
    NameKind,
    SubjectKey,
)
from server.ports.ca import Names, SignRequest
from shared import errors
from shared.credential.names import alternative_names, parse_subject, sid_extension

RSA_BITS: Final = (2048, 3072, 4096)
RSA_EXPONENT: Final = 65537
CURVES: Final = ("secp256r1", "secp384r1")
DIGESTS: Final = (hashes.SHA256, hashes.SHA384, hashes.SHA512)


def order_for(request: SignRequest, policy: str = "") -> Order:
    """Check a request and turn it into an order.

    Raises:
        Invalid: unknown profile, key not proven or not of our kinds, a name malformed, missing or out of place.
    """
    profile = HOLDER_PROFILES.get(request.profile)
    if profile is None:
        raise errors.Invalid(field="profile", why=f"no profile {request.profile}")
    key = read_key(request.public_key)
    if request.request:
        if read_request(request.request) != key:
            raise errors.Invalid(field="request", why="signed for another key")
    elif not profile.agrees:
        raise errors.Invalid(field="request", why="a key that can sign must sign its request")
    extensions: list[x509.ExtensionType] = [policies(policy)] if policy else []
    if request.names.sid:
        extensions.append(sid_extension(request.names.sid))
    return Order(
        profile=profile,
        subject=parse_subject(request.names.subject),
        public_key=key,
        names=_names(profile, request.names),
        extensions=extensions,
        request_id=request.request_id,
        not_after=request.not_after,
    )


def read_request(request: bytes) -> SubjectKey:
    """Verify a DER PKCS#10 request and return the key whose possession it proves.

    Raises:
        Invalid: malformed, not signed by its key, or a key or digest that we do not accept.
    """
    try:
        parsed = x509.load_der_x509_csr(request)
        key = accept(parsed.public_key())
        proven = parsed.is_signature_valid
        digest = parsed.signature_hash_algorithm
    except (ValueError, TypeError, UnsupportedAlgorithm) as cause:
        raise errors.Invalid(field="request", why="cannot be read") from cause
    if not proven or not (digest is None or isinstance(digest, DIGESTS)):
        raise errors.Invalid(field="request", why="not signed by its own key")
    return key


def read_key(public_key: bytes) -> SubjectKey:
    """Read a DER SubjectPublicKeyInfo.

    Raises:
        Invalid: malformed, or not of our kinds.
    """
    try:
        return accept(load_der_public_key(public_key))
    except (ValueError, TypeError, UnsupportedAlgorithm) as cause:
        raise errors.Invalid(field="public key", why="cannot be read") from cause


def accept(key: object) -> SubjectKey:
    """Accept keys of the kinds that cards have.

    Raises:
        Invalid: another kind, size, curve or exponent.
    """
    if isinstance(key, rsa.RSAPublicKey):
        if key.key_size in RSA_BITS and key.public_numbers().e == RSA_EXPONENT:
            return key
    elif isinstance(key, ec.EllipticCurvePublicKey):
        if key.curve.name in CURVES:
            return key
    elif isinstance(key, ed25519.Ed25519PublicKey | x25519.X25519PublicKey):
        return key
    raise errors.Invalid(field="public key", why="not of a kind that is certified here")


def _names(profile: CertificateProfile, names: Names) -> tuple[x509.GeneralName, ...]:
    """Choose the alternative names that the profile carries."""
    given = {kind: getattr(names, kind.value) for kind in NameKind if getattr(names, kind.value)}
    for kind in profile.requires - set(given):
        raise errors.Invalid(field=kind.value, why=f"profile {profile.name} needs it")
    for kind in set(given) - profile.carries - CARD_NAMES:
        raise errors.Invalid(field=kind.value, why=f"profile {profile.name} does not carry it")
    return alternative_names(
        **{
            kind.value: value
            for kind, value in given.items()
            if kind in profile.carries and kind is not NameKind.SID
        }
    )
