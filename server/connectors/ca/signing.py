"""Certificates and revocation lists signed by a key that stays in its key store.

`cryptography` builds and encodes them; it calls `sign` of whatever private key it is given. The stand-in here takes
down what is to be signed in a first pass and hands over the key store's signature in a second one, so that no
structure is encoded by hand.
"""

from typing import Any, Final, NoReturn

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from server.ports.keystore import IssuerPublicKey, KeyStore
from shared import errors

DIGEST_OF_CURVE: Final[dict[str, hashes.HashAlgorithm]] = {
    "secp256r1": hashes.SHA256(),
    "secp384r1": hashes.SHA384(),
}


class _StandIn:
    """The part of a private key that signs: it remembers the message and answers with a given signature."""

    def __init__(self, public: Any) -> None:
        self.message = b""
        self.signature = b""
        self._public = public

    @property
    def key_size(self) -> int:
        size: int = self._public.key_size
        return size

    def public_key(self) -> Any:
        return self._public

    def sign(self, data: Any, *_how: object) -> bytes:
        self.message = bytes(data)
        return self.signature

    def _stays(self, *_asked: object) -> NoReturn:
        raise errors.NotSupported(connection="key store", what="anything but signatures")

    exchange = decrypt = private_numbers = private_bytes = __copy__ = __deepcopy__ = _stays


class _EllipticCurveStandIn(_StandIn, ec.EllipticCurvePrivateKey):
    @property
    def curve(self) -> ec.EllipticCurve:
        curve: ec.EllipticCurve = self._public.curve
        return curve


class _RsaStandIn(_StandIn, rsa.RSAPrivateKey):
    pass


async def issuer_key(keystore: KeyStore, name: str) -> IssuerPublicKey:
    """Return the public half of an issuer's key.

    Raises:
        NotSupported: the key store has no such key.
    """
    public = await keystore.public_key(name)
    if public is None:
        raise errors.NotSupported(connection="key store", what=f"signing key {name}")
    return public


async def sign_certificate(
    builder: x509.CertificateBuilder, keystore: KeyStore, name: str
) -> x509.Certificate:
    """Sign a certificate with the key `name` of the key store.

    Raises:
        NotSupported: the key store has no such key, or it is of a kind that we do not sign with.
    """
    certificate: x509.Certificate = await _sign(builder, keystore, name)
    return certificate


async def sign_list(
    builder: x509.CertificateRevocationListBuilder, keystore: KeyStore, name: str
) -> x509.CertificateRevocationList:
    """Sign a revocation list with the key `name` of the key store; raises as `sign_certificate`."""
    signed: x509.CertificateRevocationList = await _sign(builder, keystore, name)
    return signed


async def _sign(builder: Any, keystore: KeyStore, name: str) -> Any:
    stand_in, digest = _stand_in(await issuer_key(keystore, name))
    builder.sign(stand_in, digest)
    stand_in.signature = await keystore.sign(name, stand_in.message)
    return builder.sign(stand_in, digest)


def _stand_in(public: IssuerPublicKey) -> tuple[_StandIn, hashes.HashAlgorithm]:
    if isinstance(public, rsa.RSAPublicKey):
        return _RsaStandIn(public), hashes.SHA256()
    if isinstance(public, ec.EllipticCurvePublicKey) and public.curve.name in DIGEST_OF_CURVE:
        return _EllipticCurveStandIn(public), DIGEST_OF_CURVE[public.curve.name]
    raise errors.NotSupported(connection="key store", what="signatures of this kind")
