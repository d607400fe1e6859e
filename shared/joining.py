"""The join token: how a new station finds the server, knows it again, and proves that it was invited.

`kiosk-join-1.` and lower-case base32 (no padding) of: SHA-256 of the certificate that the joining listener
shows (32 bytes), the secret (32 bytes), a check sum against typing errors (4 bytes), the listener's address
(UTF-8, host:port). White space inside is ignored, so that a token may be broken over lines.

Source: [RFC 4648] 6 (base32).
"""

import base64
import hashlib
from dataclasses import dataclass
from typing import Final

from shared import errors
from shared.secret import Secret

PREFIX: Final = "kiosk-join-1."
SECRET_LENGTH: Final = 32
FINGERPRINT_LENGTH: Final = 32
CHECK_LENGTH: Final = 4
MAX_ADDRESS: Final = 255
"""Bytes."""

_FIXED: Final = FINGERPRINT_LENGTH + SECRET_LENGTH + CHECK_LENGTH


@dataclass(frozen=True, slots=True, kw_only=True)
class Invitation:
    """What a join token says. `address` is host:port, `fingerprint` the SHA-256 of a certificate (DER)."""

    address: str
    fingerprint: bytes
    secret: Secret


def write_token(invitation: Invitation) -> str:
    """Write a token."""
    address = invitation.address.encode()
    fixed = invitation.fingerprint + invitation.secret.reveal()
    raw = fixed + _check(fixed + address) + address
    return PREFIX + base64.b32encode(raw).decode().rstrip("=").lower()


def read_token(text: str) -> Invitation:
    """Read a token.

    Raises:
        Invalid: not a token, or mistyped; nothing was sent anywhere.
    """
    compact = "".join(text.split()).lower()
    if not compact.startswith(PREFIX):
        raise errors.Invalid(field="token", why=f"it does not begin with {PREFIX.rstrip('.')}")
    body = compact.removeprefix(PREFIX).upper()
    try:
        raw = base64.b32decode(body + "=" * (-len(body) % 8))
        address = raw[_FIXED:].decode()
    except ValueError as error:
        raise errors.Invalid(field="token", why="mistyped") from error
    fixed, check = raw[: _FIXED - CHECK_LENGTH], raw[_FIXED - CHECK_LENGTH : _FIXED]
    if check != _check(fixed + raw[_FIXED:]) or not 0 < len(address.encode()) <= MAX_ADDRESS:
        raise errors.Invalid(field="token", why="mistyped")
    return Invitation(
        address=address, fingerprint=fixed[:FINGERPRINT_LENGTH], secret=Secret(fixed[FINGERPRINT_LENGTH:])
    )


def _check(raw: bytes) -> bytes:
    return hashlib.sha256(PREFIX.encode() + raw).digest()[:CHECK_LENGTH]
