"""Signed data of the card's issuer: CMS with one signer, made around a key that this code never sees.

The issuer's key lives in the server's key store, so signing takes two steps: `to_be_signed` returns what the
key store signs, `assemble` puts the signature into place. `verify` undoes both.

Sources: [RFC 5652] 5 (SignedData); [RFC 5754] (SHA-2 in CMS); [SP 800-73-5] part 1, sections 3.1.2.1 and 3.1.7;
[SP 800-85B] AS06.04.06 (content type of the Security Object); [SP 800-78-5] table 2 (digest by key).
"""

import hmac
from dataclasses import dataclass
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding

from shared import errors
from shared.iso7816.tlv import Reader, encode
from shared.piv import der

CHUID_CONTENT: Final = "2.16.840.1.101.3.6.1"
"""id-PIV-CHUIDSecurityObject."""

LDS_CONTENT: Final = "1.3.27.1.1.1"
"""id-icao-ldsSecurityObject, in the form that SP 800-85B requires."""

_SIGNED_DATA: Final = "1.2.840.113549.1.7.2"
_CONTENT_TYPE: Final = "1.2.840.113549.1.9.3"
_MESSAGE_DIGEST: Final = "1.2.840.113549.1.9.4"
_SIGNER_NAME: Final = "2.16.840.1.101.3.6.5"
_WHAT: Final = "signed data"

DigestAlgorithm = hashes.SHA256 | hashes.SHA384 | hashes.SHA512

_DIGESTS: Final[dict[str, DigestAlgorithm]] = {
    "2.16.840.1.101.3.4.2.1": hashes.SHA256(),
    "2.16.840.1.101.3.4.2.2": hashes.SHA384(),
    "2.16.840.1.101.3.4.2.3": hashes.SHA512(),
}
_ECDSA: Final = {
    "sha256": "1.2.840.10045.4.3.2",
    "sha384": "1.2.840.10045.4.3.3",
    "sha512": "1.2.840.10045.4.3.4",
}
_RSA: Final = {
    "sha256": "1.2.840.113549.1.1.11",
    "sha384": "1.2.840.113549.1.1.12",
    "sha512": "1.2.840.113549.1.1.13",
}
_PLAIN_RSA: Final = "1.2.840.113549.1.1.1"
_NULL: Final = encode(der.NULL, b"")


def digest_for(certificate: x509.Certificate) -> DigestAlgorithm:
    """Return the hash that goes with a content signing key: SHA-384 for P-384, SHA-256 for P-256 and RSA.

    Raises:
        NotSupportedByCard: cards and readers know no other content signing keys.
    """
    key = certificate.public_key()
    if isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP384R1):
        return hashes.SHA384()
    if isinstance(key, rsa.RSAPublicKey) or (
        isinstance(key, ec.EllipticCurvePublicKey) and isinstance(key.curve, ec.SECP256R1)
    ):
        return hashes.SHA256()
    raise errors.NotSupportedByCard(what="content signing with this kind of key")


def to_be_signed(*, content_type: str, content: bytes, certificate: x509.Certificate) -> bytes:
    """Return what the content signing key signs: the DER of the signed attributes.

    `content_type` is a dotted object identifier, `certificate` the content signer's.

    Source: [RFC 5652] 5.4.
    """
    return encode(der.SET, _attributes(content_type, content, certificate))


def assemble(
    *,
    content_type: str,
    content: bytes,
    certificate: x509.Certificate,
    signature: bytes,
    detached: bool,
    with_certificate: bool,
) -> bytes:
    """Put a signature over `to_be_signed` into a DER ContentInfo with SignedData.

    A CHUID's signature is detached and carries the signer's certificate; the Security Object carries its content and no
    certificate, since the CHUID has it.
    """
    digest = digest_identifier(digest_for(certificate))
    encapsulated = b"" if detached else encode(der.CONTEXT_0, der.octet_string(content))
    certificates = encode(der.CONTEXT_0, certificate.public_bytes(Encoding.DER)) if with_certificate else b""
    signer = der.sequence(
        der.integer(1),
        _signer_identifier(certificate),
        digest,
        encode(der.CONTEXT_0, _attributes(content_type, content, certificate)),
        _signature_identifier(certificate),
        der.octet_string(signature),
    )
    signed_data = der.sequence(
        der.integer(3),
        der.set_of(digest),
        der.sequence(der.oid(content_type), encapsulated),
        certificates,
        der.set_of(signer),
    )
    return der.sequence(der.oid(_SIGNED_DATA), encode(der.CONTEXT_0, signed_data))


@dataclass(frozen=True, slots=True, kw_only=True)
class Verified:
    """Signed data whose signature is right: what was signed, and by whom. Whether to trust the signer is not said."""

    content: bytes
    certificate: x509.Certificate


def verify(
    raw: bytes,
    *,
    content_type: str,
    content: bytes | None = None,
    certificate: x509.Certificate | None = None,
) -> Verified:
    """Check a ContentInfo with SignedData and one signer.

    `content` must be given exactly where the signature is detached, `certificate` where none is in it (and where one
    is, it must be the same). The chain of the certificate is the caller's to check.

    Raises:
        CardMalformed: it is not such a structure, or signature, digest or content type are not right.
    """
    parts = _parse(raw, content_type)
    signed = parts.content if content is None else content
    if signed is None or (content is not None and parts.content is not None):
        raise errors.CardMalformed(what=_WHAT, why="content given twice or not at all")
    signer = _choose(parts.certificate, certificate)
    if _signer_identifier(signer) != encode(der.SEQUENCE, parts.signer):
        raise errors.CardMalformed(what=_WHAT, why="signed by somebody else than the certificate's owner")
    attributes = _read_attributes(parts.attributes)
    hasher = hashes.Hash(parts.digest)
    hasher.update(signed)
    if not hmac.compare_digest(
        attributes.get(der.oid(_MESSAGE_DIGEST), b""), der.octet_string(hasher.finalize())
    ):
        raise errors.CardMalformed(what=_WHAT, why="the content was changed")
    if attributes.get(der.oid(_CONTENT_TYPE)) != der.oid(content_type):
        raise errors.CardMalformed(what=_WHAT, why="the content type was changed")
    _check_signature(signer, parts, encode(der.SET, parts.attributes))
    return Verified(content=signed, certificate=signer)


def stated(raw: bytes, *, content_type: str) -> bytes:
    """Return the content of a ContentInfo with SignedData, nothing of it checked: to compare with, not to rely on.

    Raises:
        CardMalformed: it is not such a structure, or carries no content.
    """
    content = _parse(raw, content_type).content
    if content is None:
        raise errors.CardMalformed(what=_WHAT, why="no content")
    return content


@dataclass(frozen=True, slots=True, kw_only=True)
class _Parts:
    """SignedData taken apart; `signer` is inside IssuerAndSerialNumber, `attributes` inside the [0]."""

    content: bytes | None
    certificate: x509.Certificate | None
    signer: bytes
    digest: DigestAlgorithm
    attributes: bytes
    algorithm: bytes
    signature: bytes


def _attributes(content_type: str, content: bytes, certificate: x509.Certificate) -> bytes:
    """Return the signed attributes, sorted, without the tag around them, which differs between its two uses."""
    hasher = hashes.Hash(digest_for(certificate))
    hasher.update(content)
    attributes = (
        der.sequence(der.oid(_CONTENT_TYPE), der.set_of(der.oid(content_type))),
        der.sequence(der.oid(_MESSAGE_DIGEST), der.set_of(der.octet_string(hasher.finalize()))),
        der.sequence(der.oid(_SIGNER_NAME), der.set_of(certificate.subject.public_bytes())),
    )
    return b"".join(sorted(attributes))


def _signer_identifier(certificate: x509.Certificate) -> bytes:
    return der.sequence(certificate.issuer.public_bytes(), der.integer(certificate.serial_number))


def digest_identifier(digest: DigestAlgorithm) -> bytes:
    """Return the AlgorithmIdentifier of a hash, without parameters ([RFC 5754] 2)."""
    dotted = next(dotted for dotted, known in _DIGESTS.items() if known.name == digest.name)
    return der.algorithm(dotted)


def _signature_identifier(certificate: x509.Certificate) -> bytes:
    digest = digest_for(certificate)
    if isinstance(certificate.public_key(), rsa.RSAPublicKey):
        return der.algorithm(_RSA[digest.name], _NULL)
    return der.algorithm(_ECDSA[digest.name])


def _parse(raw: bytes, content_type: str) -> _Parts:
    with Reader(raw, _WHAT) as outer, outer.nested(der.SEQUENCE) as info:
        _expect_oid(info, _SIGNED_DATA)
        with info.nested(der.CONTEXT_0) as explicit, explicit.nested(der.SEQUENCE) as data:
            if der.read_integer(data.expect(der.INTEGER)) != 3:
                raise errors.CardMalformed(what=_WHAT, why="version is not 3")
            data.expect(der.SET)
            with data.nested(der.SEQUENCE) as encapsulated:
                _expect_oid(encapsulated, content_type)
                inner = encapsulated.optional(der.CONTEXT_0)
            content = None if inner is None else _only(inner, der.OCTET_STRING)
            certificate = data.optional(der.CONTEXT_0)
            with data.nested(der.SET) as signers, signers.nested(der.SEQUENCE) as signer:
                if der.read_integer(signer.expect(der.INTEGER)) != 1:
                    raise errors.CardMalformed(
                        what=_WHAT, why="the signer is not named by issuer and serial number"
                    )
                name = signer.expect(der.SEQUENCE)
                digest = read_digest(signer.expect(der.SEQUENCE))
                attributes = signer.expect(der.CONTEXT_0)
                algorithm = signer.expect(der.SEQUENCE)
                signature = signer.expect(der.OCTET_STRING)
                # unsigned attributes (a time stamp, say) prove nothing here
                signer.optional(der.CONTEXT_1)
    return _Parts(
        content=content,
        certificate=None if certificate is None else _load(certificate),
        signer=name,
        digest=digest,
        attributes=attributes,
        algorithm=algorithm,
        signature=signature,
    )


def _only(raw: bytes, tag: int) -> bytes:
    with Reader(raw, _WHAT) as reader:
        return reader.expect(tag)


def _expect_oid(reader: Reader, dotted: str) -> None:
    if encode(der.OBJECT_IDENTIFIER, reader.expect(der.OBJECT_IDENTIFIER)) != der.oid(dotted):
        raise errors.CardMalformed(what=_WHAT, why=f"not of type {dotted}")


def read_digest(raw: bytes) -> DigestAlgorithm:
    """Read an AlgorithmIdentifier's content; its parameters are absent or NULL."""
    for dotted, digest in _DIGESTS.items():
        if raw in {der.oid(dotted), der.oid(dotted) + _NULL}:
            return digest
    raise errors.CardMalformed(what=_WHAT, why="a digest that is not SHA-2")


def _read_attributes(raw: bytes) -> dict[bytes, bytes]:
    """Return the single value of every signed attribute by its encoded type."""
    attributes: dict[bytes, bytes] = {}
    with Reader(raw, _WHAT) as reader:
        while not reader.empty:
            with reader.nested(der.SEQUENCE) as attribute:
                kind = encode(der.OBJECT_IDENTIFIER, attribute.expect(der.OBJECT_IDENTIFIER))
                if kind in attributes:
                    raise errors.CardMalformed(what=_WHAT, why="a signed attribute twice")
                attributes[kind] = attribute.expect(der.SET)
    return attributes


def _load(raw: bytes) -> x509.Certificate:
    try:
        return x509.load_der_x509_certificate(raw)
    except ValueError as cause:
        raise errors.CardMalformed(what=_WHAT, why="no single certificate") from cause


def _choose(carried: x509.Certificate | None, given: x509.Certificate | None) -> x509.Certificate:
    chosen = given or carried
    if chosen is None or (given is not None and carried is not None and given != carried):
        raise errors.CardMalformed(what=_WHAT, why="no certificate, or another one than expected")
    return chosen


def _check_signature(signer: x509.Certificate, parts: _Parts, message: bytes) -> None:
    key = signer.public_key()
    name = parts.digest.name
    try:
        if isinstance(key, rsa.RSAPublicKey):
            allowed = {der.oid(dotted) + _NULL for dotted in (_RSA[name], _PLAIN_RSA)}
            if parts.algorithm not in allowed:
                raise errors.CardMalformed(
                    what=_WHAT, why="signature and digest algorithm do not go together"
                )
            key.verify(parts.signature, message, padding.PKCS1v15(), parts.digest)
        elif isinstance(key, ec.EllipticCurvePublicKey):
            if parts.algorithm != der.oid(_ECDSA[name]):
                raise errors.CardMalformed(
                    what=_WHAT, why="signature and digest algorithm do not go together"
                )
            key.verify(parts.signature, message, ec.ECDSA(parts.digest))
        else:
            raise errors.CardMalformed(what=_WHAT, why="a signer's key of this kind is not known")
    except InvalidSignature as cause:
        raise errors.CardMalformed(what=_WHAT, why="the signature does not verify") from cause
