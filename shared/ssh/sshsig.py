"""Signatures that an ssh-agent makes over a text to log on with, in OpenSSH's format SSHSIG.

An agent signs whatever it is handed. What it is handed here begins with `SSHSIG` and a namespace of ours, so that the signature
is good for nothing else: what a log-in by SSH signs begins with the length of a session's id, which those letters are
not; signatures over files, commits and mail have other namespaces; what a card in a reader signs begins with
`CHALLENGE_PREFIX`. None of theirs is taken for one of ours either, because every field is compared.

The namespace ends in a name that can never belong to anybody ([RFC 6761] 6.4). The field that is reserved is empty. The text is
hashed with SHA-512; then the key signs with the digest of its kind, an RSA key with SHA-512 and no other.

An agent proves that somebody has the key. It proves neither a PIN nor a person.

Sources: OpenSSH, PROTOCOL.sshsig; [RFC 5656] 3.1.2, [RFC 8332] section 3, [RFC 8709] section 6 (signatures).
"""

import hashlib
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256, SHA384, SHA512

from shared import errors
from shared.logon import LogonText
from shared.ssh.keys import ECDSA, ED25519, SshKey, curve_of, read_key, spki_of, write_key
from shared.ssh.wire import WireReader, number, string

NAMESPACE: Final = b"kiosk-logon@issuance-kiosk.invalid"
RSA_SHA512: Final = b"rsa-sha2-512"
MAX_SIGNATURE: Final = 2048
"""Bytes of a whole signature; one by an RSA key of 4096 bits has some 1200."""

_MAGIC: Final = b"SSHSIG"
_VERSION: Final = 1
_RESERVED: Final = b""
_HASH: Final = b"sha512"
_WHAT: Final = "SSH signature"


@dataclass(frozen=True, slots=True, kw_only=True)
class SshSignature:
    """A signature in our namespace. `value` is what the key made, in the form of its kind."""

    key: SshKey
    value: bytes

    @property
    def public_key(self) -> bytes:
        """Whose it claims to be, as certificates and the record have it (DER SubjectPublicKeyInfo)."""
        return spki_of(self.key)

    def __bytes__(self) -> bytes:
        """Return the one form."""
        made = string(_algorithm(self.key)) + string(self.value)
        fields = (write_key(self.key), NAMESPACE, _RESERVED, _HASH, made)
        return _MAGIC + number(_VERSION) + b"".join(string(each) for each in fields)


def to_be_signed(text: LogonText) -> bytes:
    """Return what an agent is handed to sign."""
    return _preimage(bytes(text))


def read_signature(raw: bytes) -> SshSignature:
    """Read a signature in our namespace, all of it.

    Raises:
        Garbled: it is malformed, for something else, or of a kind that is not taken here.
    """
    if len(raw) > MAX_SIGNATURE:
        raise errors.Garbled(why=f"{_WHAT}: too long")
    with WireReader(raw, _WHAT) as reader:
        if reader.take(len(_MAGIC)) != _MAGIC or reader.number() != _VERSION:
            raise reader.wrong(why="of another version")
        key = read_key(reader.string())
        reader.expect(NAMESPACE, "namespace")
        reader.expect(_RESERVED, "reserved field")
        reader.expect(_HASH, "hash")
        made = reader.string()
    return signature_by(key, made)


def signature_by(key: SshKey, made: bytes) -> SshSignature:
    """Return the signature of which an agent made `made` with this key.

    Raises:
        Garbled: it is malformed, or made with an algorithm that is not taken here: `ssh-rsa`, `rsa-sha2-256`.
    """
    with WireReader(made, _WHAT) as reader:
        reader.expect(_algorithm(key), "algorithm")
        value = reader.string()
    return SshSignature(key=key, value=value)


def verify(signature: SshSignature, text: bytes) -> None:
    """Check a signature over a text to log on with, by the key that it names: whose key that is, is for others to say.

    Raises:
        InvalidSignature: it is not this key's over this text.
    """
    content = _preimage(text)
    match signature.key:
        case ec.EllipticCurvePublicKey() as key:
            digest = SHA384() if isinstance(key.curve, ec.SECP384R1) else SHA256()
            key.verify(_der(signature.value), content, ec.ECDSA(digest))
        case rsa.RSAPublicKey() as key:
            key.verify(signature.value, content, padding.PKCS1v15(), SHA512())
        case key:
            key.verify(signature.value, content)


def _preimage(text: bytes) -> bytes:
    fields = (NAMESPACE, _RESERVED, _HASH, hashlib.sha512(text).digest())
    return _MAGIC + b"".join(string(each) for each in fields)


def _algorithm(key: SshKey) -> bytes:
    """Return the one algorithm that is taken of a key."""
    match key:
        case ec.EllipticCurvePublicKey():
            return ECDSA + curve_of(key)
        case rsa.RSAPublicKey():
            return RSA_SHA512
        case _:
            return ED25519


def _der(value: bytes) -> bytes:
    """Return an ECDSA signature in DER.

    Raises:
        InvalidSignature: it is no signature.
    """
    try:
        with WireReader(value, _WHAT) as reader:
            return encode_dss_signature(reader.integer(), reader.integer())
    except errors.Garbled as cause:
        raise InvalidSignature from cause
