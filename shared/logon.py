"""The text that an operator's card signs: to log on, for the PIN asked again, to approve.

What is signed names everything that it is good for: this protocol, the server, the station by the fingerprint of its
TLS certificate, a number used once, an end, and the purpose. A signature for one of them is none for another. The station
knows all but the number itself, and checks it before a card sees the text (`check_logon_text`).

It begins like every challenge (`CHALLENGE_PREFIX`), so that it can be neither a certificate request nor a document; a
station signs it when somebody logs on and at no other time (`is_logon_text`): no operation may ask for it.

The form is canonical: fields in their order, each behind its length in two bytes, and nothing left over.

A card signs a digest that no SSH agent makes: SHA3 for keys on curves, SHA-384 for RSA, where agents use SHA-256, SHA-384
by the curve, SHA-1 and SHA-512. An agent signs any bytes for whoever it is forwarded to, so that a signature by one must
never pass for a card in a reader. Ed25519 leaves no choice of a digest: such keys log nobody on with a card.

Sources: [FIPS 186-5] (ECDSA, RSA PKCS #1 v1.5); [RFC 8332], [RFC 5656] 6.2.1 (what agents make); card-rules section 7.
"""

import hashlib
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum, unique
from typing import Final

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.hashes import SHA3_256, SHA3_384, SHA384
from cryptography.hazmat.primitives.serialization import load_der_public_key

from shared import errors
from shared.iso7816.apdu import CHALLENGE_PREFIX
from shared.piv.ids import Algorithm

CONTEXT: Final = b"kiosk-logon-v1"
FINGERPRINT_LENGTH: Final = 32
NONCE_LENGTH: Final = 32
INTENT_LENGTH: Final = 32
MAX_SERVER: Final = 255
"""Bytes of a server's name."""
LIFETIME: Final = timedelta(seconds=60)
"""How long a challenge lives."""
CLOCK_TOLERANCE: Final = timedelta(minutes=5)
"""How far the clocks of station and server may be apart before the station signs nothing."""
MIN_RSA_BITS: Final = 2048
MAX_RSA_BITS: Final = 4096

_FIELDS: Final = 7
_LENGTH: Final = 2
_TIME_LENGTH: Final = 8
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND: Final = timedelta(seconds=1)


@unique
class LogonPurpose(StrEnum):
    """What a signature is good for."""

    LOG_ON = "log-on"
    STEP_UP = "step-up"
    APPROVE = "approve"
    """What is approved is an intent, named by its digest."""
    SELF_SERVICE = "self-service"
    """A holder logs on with a card of their own, as no operator."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LogonText:
    """What is signed. `server` is the name under which the station called; `station` the SHA-256 of its certificate.

    `expires_at` counts whole seconds. `intent` is the digest of what is approved, empty for every other purpose.
    """

    server: str
    station: bytes
    nonce: bytes
    expires_at: datetime
    purpose: LogonPurpose
    intent: bytes = b""

    def __post_init__(self) -> None:
        """Refuse a text that could be read as another one, or not at all."""
        seconds = self.expires_at - _EPOCH
        if (
            not 0 < len(self.server.encode()) <= MAX_SERVER
            or len(self.station) != FINGERPRINT_LENGTH
            or len(self.nonce) != NONCE_LENGTH
            or len(self.intent) != (INTENT_LENGTH if self.purpose is LogonPurpose.APPROVE else 0)
            or seconds < timedelta()
            or seconds % _SECOND
        ):
            raise errors.Garbled(why="a field of a text to log on with")

    def __bytes__(self) -> bytes:
        """Return the one form that is signed."""
        fields = (
            CONTEXT,
            self.server.encode(),
            self.station,
            self.nonce,
            ((self.expires_at - _EPOCH) // _SECOND).to_bytes(_TIME_LENGTH, "big"),
            self.purpose.encode(),
            self.intent,
        )
        return CHALLENGE_PREFIX + b"".join(len(each).to_bytes(_LENGTH, "big") + each for each in fields)


_START: Final = CHALLENGE_PREFIX + len(CONTEXT).to_bytes(_LENGTH, "big") + CONTEXT


def is_logon_text(content: bytes) -> bool:
    """Whether a text to sign would log somebody on, or claims to; damaged ones are meant, too."""
    return content.startswith(_START)


def read_logon_text(content: bytes) -> LogonText:
    """Read a text, all of it.

    Raises:
        Garbled: it is none, or not in the one form.
    """
    if not is_logon_text(content):
        raise errors.Garbled(why="not a text to log on with")
    rest = content[len(CHALLENGE_PREFIX) :]
    fields: list[bytes] = []
    while rest and len(fields) < _FIELDS:
        length = int.from_bytes(rest[:_LENGTH], "big")
        field = rest[_LENGTH : _LENGTH + length]
        if len(rest) < _LENGTH + length:
            raise errors.Garbled(why="a text to log on with ends early")
        fields.append(field)
        rest = rest[_LENGTH + length :]
    if rest or len(fields) != _FIELDS or len(fields[4]) != _TIME_LENGTH:
        raise errors.Garbled(why="not the fields of a text to log on with")
    _, server, station, nonce, expires, purpose, intent = fields
    try:
        return LogonText(
            server=server.decode(),
            station=station,
            nonce=nonce,
            expires_at=_EPOCH + int.from_bytes(expires, "big") * _SECOND,
            purpose=LogonPurpose(purpose.decode()),
            intent=intent,
        )
    except (ValueError, OverflowError) as cause:
        raise errors.Garbled(why="a field of a text to log on with") from cause


def check_logon_text(
    content: bytes,
    *,
    server: str,
    station: bytes,
    purpose: LogonPurpose,
    now: datetime,
    intent: bytes = b"",
) -> LogonText:
    """Read a text that a server wants signed, and compare every field that the station knows itself.

    Raises:
        ChallengeRefused: it is for something else than was asked for; `why` names the field. Nothing may sign it.
    """
    try:
        text = read_logon_text(content)
    except errors.Garbled as cause:
        raise errors.ChallengeRefused(why="form") from cause
    lasts = text.expires_at - now
    wrong = {
        "server": text.server != server,
        "station": text.station != station,
        "purpose": text.purpose is not purpose,
        "intent": text.intent != intent,
        "expiry": not -CLOCK_TOLERANCE < lasts <= LIFETIME + CLOCK_TOLERANCE,
    }
    for field, differs in wrong.items():
        if differs:
            raise errors.ChallengeRefused(why=field)
    return text


def verify_logon(public_key: bytes, content: bytes, signature: bytes) -> None:
    """Check a card's signature over a text by a key (DER SubjectPublicKeyInfo): P-256, P-384, or RSA from 2048 bits.

    Raises:
        InvalidSignature: it is not this key's, or the key is of a kind that nobody logs on with.
    """
    try:
        key = load_der_public_key(public_key)
    except (ValueError, UnsupportedAlgorithm) as cause:
        raise InvalidSignature from cause
    match key:
        case ec.EllipticCurvePublicKey(curve=ec.SECP256R1()):
            key.verify(signature, content, ec.ECDSA(SHA3_256()))
        case ec.EllipticCurvePublicKey(curve=ec.SECP384R1()):
            key.verify(signature, content, ec.ECDSA(SHA3_384()))
        case rsa.RSAPublicKey() if MIN_RSA_BITS <= key.key_size <= MAX_RSA_BITS:
            key.verify(signature, content, PKCS1v15(), SHA384())
        case _:
            raise InvalidSignature


def logon_digest(algorithm: Algorithm, content: bytes) -> bytes:
    """Return the digest of a text that the card signs.

    Raises:
        NotSupportedByCard: nobody logs on with a key of this kind.
    """
    if algorithm is Algorithm.P256:
        return hashlib.sha3_256(content).digest()
    if algorithm is Algorithm.P384:
        return hashlib.sha3_384(content).digest()
    if algorithm.rsa_bits is not None and algorithm.rsa_bits >= MIN_RSA_BITS:
        return hashlib.sha384(content).digest()
    raise errors.NotSupportedByCard(what=f"log-on with {algorithm.text} keys")
