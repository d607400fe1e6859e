"""How a CMP message shows where it comes from: a shared password, or a signature.

Sources: [RFC 4210] 5.1.3 (protection), 5.1.3.1 (password-based MAC); [RFC 9481] 2 and 6.1 (algorithms).
"""

import hashlib
import hmac
import secrets
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final, Protocol

from asn1crypto import algos, core
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from server.connectors.ca.cmp.structures import PASSWORD_BASED_MAC, PasswordBasedMac
from shared import errors
from shared.secret import Secret

ITERATIONS: Final = 10_000
MAX_ITERATIONS: Final = 1_000_000
"""What a message may ask of us: an answer must not keep a processor busy for minutes."""
MIN_ITERATIONS: Final = 100
"""[RFC 4211] 4.4: the least that means anything; OpenSSL's server uses 500."""
SALT_LENGTH: Final = 16
DIGESTS: Final = {"sha1", "sha256", "sha384", "sha512"}
"""For passwords in answers; ours are made with SHA-256."""

MACS: Final = {
    "1.3.6.1.5.5.8.1.2": "sha1",
    "1.2.840.113549.2.7": "sha1",
    "1.2.840.113549.2.9": "sha256",
    "1.2.840.113549.2.10": "sha384",
    "1.2.840.113549.2.11": "sha512",
}
"""HMAC by its object identifiers; the first is [RFC 4210]'s own, which OpenSSL writes."""

SIGNATURES: Final[dict[str, hashes.HashAlgorithm]] = {
    "sha256_rsa": hashes.SHA256(),
    "sha384_rsa": hashes.SHA384(),
    "sha512_rsa": hashes.SHA512(),
    "sha256_ecdsa": hashes.SHA256(),
    "sha384_ecdsa": hashes.SHA384(),
    "sha512_ecdsa": hashes.SHA512(),
}


class Unprotected(Exception):
    """A message is not from whom it has to be; `why` says what is wrong. The connector makes a typed error of it."""

    def __init__(self, *, why: str) -> None:
        """Keep what is wrong."""
        super().__init__(why)
        self.why = why


class Protection(Protocol):
    """Protect our messages, and judge theirs."""

    @property
    def algorithm(self) -> Any:
        """The AlgorithmIdentifier of our next message; a new salt each time."""
        ...

    @property
    def key_id(self) -> bytes:
        """By what the other end finds our password or certificate."""
        ...

    @property
    def certificates(self) -> Sequence[bytes]:
        """Our certificate and its issuers, DER, to be sent along."""
        ...

    def protect(self, algorithm: Any, content: bytes) -> bytes:
        """Return the protection of `content` by an algorithm that was ours."""
        ...

    def verify(
        self, algorithm: Any, content: bytes, protection: bytes, certificates: Sequence[bytes], now: datetime
    ) -> None:
        """Judge the protection of one of their messages; `Unprotected` where it does not hold."""
        ...


class PasswordProtection:
    """A password that both ends know, found by its reference."""

    def __init__(self, reference: str, password: Secret) -> None:
        """Take what the authority's administrator handed over."""
        self.key_id = reference.encode()
        self.certificates: Sequence[bytes] = ()
        self._password = password

    @property
    def algorithm(self) -> Any:
        """A password-based MAC with SHA-256 and a salt of its own."""
        parameters = PasswordBasedMac(
            {
                "salt": secrets.token_bytes(SALT_LENGTH),
                "owf": {"algorithm": "sha256"},
                "iterations": ITERATIONS,
                "mac": {"algorithm": "sha256"},
            }
        )
        return {"algorithm": PASSWORD_BASED_MAC, "parameters": parameters}

    def protect(self, algorithm: Any, content: bytes) -> bytes:
        """Return the MAC of `content`."""
        return self._mac(algorithm["parameters"], content)

    def verify(
        self, algorithm: Any, content: bytes, protection: bytes, certificates: Sequence[bytes], now: datetime
    ) -> None:
        """Compare the MAC that the same password makes."""
        del certificates, now
        if algorithm["algorithm"].dotted != PASSWORD_BASED_MAC:
            raise Unprotected(why="its answer is not protected by the password")
        if not hmac.compare_digest(
            self._mac(algorithm["parameters"].parse(PasswordBasedMac), content), protection
        ):
            raise Unprotected(why="its answer was made with another password, or was changed")

    def _mac(self, parameters: Any, content: bytes) -> bytes:
        owf, mac = parameters["owf"]["algorithm"].native, MACS.get(parameters["mac"]["algorithm"].dotted)
        iterations = parameters["iterations"].native
        if owf not in DIGESTS or mac is None or not MIN_ITERATIONS <= iterations <= MAX_ITERATIONS:
            raise Unprotected(
                why="its password-based protection uses algorithms or numbers that are not accepted"
            )
        key = self._password.reveal() + parameters["salt"].native
        for _ in range(iterations):
            key = hashlib.new(owf, key, usedforsecurity=True).digest()
        return hmac.digest(key, content, mac)


class SignatureProtection:
    """Our key and certificate; theirs has to lead to a root that was configured."""

    def __init__(self, key: Secret, certificates: Sequence[bytes], roots: Sequence[bytes]) -> None:
        """Take our key (PEM), our certificate and its issuers, and the roots of theirs (all DER).

        Raises:
            Invalid: the key is not of a kind that signs messages, or not the certificate's.
        """
        try:
            private = load_pem_private_key(key.reveal(), None)
        except (ValueError, TypeError, UnsupportedAlgorithm) as cause:
            raise errors.Invalid(field="key", why="not a private key in PEM, or encrypted") from cause
        if not isinstance(private, rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey):
            raise errors.Invalid(field="key", why="an RSA or EC key is needed")
        own = x509.load_der_x509_certificate(certificates[0])
        if own.public_key() != private.public_key():
            raise errors.Invalid(field="key", why="not the key of the certificate")
        self._private = private
        self.certificates = tuple(certificates)
        self.key_id = x509.SubjectKeyIdentifier.from_public_key(private.public_key()).digest
        self._roots = [x509.load_der_x509_certificate(each) for each in roots]

    @property
    def algorithm(self) -> Any:
        """SHA-256 with the key's own kind of signature."""
        name = "sha256_rsa" if isinstance(self._private, rsa.RSAPrivateKey) else "sha256_ecdsa"
        parameters = {"parameters": core.Null()} if name == "sha256_rsa" else {}
        return {"algorithm": algos.SignedDigestAlgorithmId(name).dotted, **parameters}

    def protect(self, algorithm: Any, content: bytes) -> bytes:
        """Sign `content`."""
        del algorithm
        if isinstance(self._private, rsa.RSAPrivateKey):
            return self._private.sign(content, PKCS1v15(), hashes.SHA256())
        return self._private.sign(content, ec.ECDSA(hashes.SHA256()))

    def verify(
        self, algorithm: Any, content: bytes, protection: bytes, certificates: Sequence[bytes], now: datetime
    ) -> None:
        """Verify a signature by one of the certificates that came along, which leads to a configured root."""
        name = algos.SignedDigestAlgorithmId(algorithm["algorithm"].dotted).native
        digest = SIGNATURES.get(name)
        if digest is None:
            raise Unprotected(why="its answer is not signed, or by an algorithm that is not accepted")
        try:
            found = [x509.load_der_x509_certificate(each) for each in certificates]
        except ValueError as cause:
            raise Unprotected(why="a certificate that came with the answer cannot be read") from cause
        signers = [each for each in (*found, *self._roots) if _signed(each, digest, content, protection)]
        if not signers:
            raise Unprotected(why="the signature of its answer does not verify")
        if not any(self._leads_to_a_root(each, found, now) for each in signers):
            raise Unprotected(why="who signed its answer does not lead to a configured root")

    def _leads_to_a_root(
        self, signer: x509.Certificate, between: Sequence[x509.Certificate], now: datetime
    ) -> bool:
        if signer in self._roots:
            return signer.not_valid_before_utc <= now <= signer.not_valid_after_utc
        return _chained(signer, between, self._roots, now)


def _chained(
    signer: x509.Certificate,
    between: Sequence[x509.Certificate],
    roots: Sequence[x509.Certificate],
    now: datetime,
) -> bool:
    """Follow issuers to a root by signature, name, validity and the right to certify.

    The library's verifier is for TLS: it takes nobody without the purpose of a server or a client, and responders of CMP have
    neither ([RFC 9483] 1.5).
    """
    step, left = signer, list(between)
    for _ in range(len(left) + 1):
        if not step.not_valid_before_utc <= now <= step.not_valid_after_utc:
            return False
        above = next((each for each in (*roots, *left) if _issued(each, step)), None)
        if above is None:
            return False
        if above in roots:
            return above.not_valid_before_utc <= now <= above.not_valid_after_utc
        left.remove(above)
        step = above
    return False


def _issued(above: x509.Certificate, below: x509.Certificate) -> bool:
    try:
        below.verify_directly_issued_by(above)
        return above.extensions.get_extension_for_class(x509.BasicConstraints).value.ca
    except (ValueError, TypeError, InvalidSignature, x509.ExtensionNotFound):
        return False


def _signed(
    certificate: x509.Certificate, digest: hashes.HashAlgorithm, content: bytes, signature: bytes
) -> bool:
    try:
        match certificate.public_key():
            case rsa.RSAPublicKey() as key:
                key.verify(signature, content, PKCS1v15(), digest)
            case ec.EllipticCurvePublicKey() as key:
                key.verify(signature, content, ec.ECDSA(digest))
            case _:
                return False
    except (InvalidSignature, UnsupportedAlgorithm, ValueError):
        return False
    return True
