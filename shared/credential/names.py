"""Names of people and cards inside certificates.

One encoding serves the certificate authority that writes them and the check of what any certificate authority
returned.

Sources: [RFC 5280] 4.2.1.6 (alternative names); [SP 800-73-5] part 1, 3.3 and FIPS 201-3, 4.2.2 (FASC-N as
pivFASC-N, card UUID as a URN); [MS-WCCE] 2.2.2.7.7.4 (security identifier extension); Microsoft KB5014754.
"""

import re
from typing import Final
from uuid import UUID

from cryptography import x509

from shared import errors

UPN: Final = x509.ObjectIdentifier("1.3.6.1.4.1.311.20.2.3")
"""otherName: user principal name, UTF8String (Microsoft)."""

PIV_FASCN: Final = x509.ObjectIdentifier("2.16.840.1.101.3.6.6")
"""otherName: pivFASC-N, OCTET STRING of 25 bytes."""

SECURITY_EXTENSION: Final = x509.ObjectIdentifier("1.3.6.1.4.1.311.25.2")
"""szOID_NTDS_CA_SECURITY_EXT: the holder's security identifier (Microsoft)."""

OBJECT_SID: Final = bytes.fromhex("060A2B060104018237190201")
"""The OID 1.3.6.1.4.1.311.25.2.1 (szOID_NTDS_OBJECTSID), DER."""

FASCN_LENGTH: Final = 25
MAX_UPN_LENGTH: Final = 1024
"""Characters ([MS-ADTS]: userPrincipalName)."""

_UPN: Final = re.compile(r"[^@\s\x00-\x1f\x7f]+@[^@\s\x00-\x1f\x7f]+")
_MAIL: Final = re.compile(r"[\x21-\x3f\x41-\x7e]+@[A-Za-z0-9.-]+")
_SID: Final = re.compile(r"S-1-\d{1,15}(-\d{1,10}){1,15}", re.ASCII)

_OCTET_STRING: Final = 0x04
_UTF8_STRING: Final = 0x0C
_SEQUENCE: Final = 0x30
_CONTEXT_0: Final = 0xA0


def _der(tag: int, content: bytes) -> bytes:
    """Encode one DER value; the length takes as many bytes as it needs ([X.690] 8.1.3)."""
    length = len(content)
    if length < 0x80:
        return bytes([tag, length]) + content
    digits = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(digits)]) + digits + content


def parse_subject(text: str) -> x509.Name:
    """Read an RFC 4514 string; the first attribute of the text is the last of the name, as the standard has it.

    Raises:
        Invalid: not a distinguished name, empty, or with an attribute that is too long.
    """
    try:
        name = x509.Name.from_rfc4514_string(text)
    except ValueError as cause:
        raise errors.Invalid(field="subject", why="not a distinguished name of RFC 4514") from cause
    if not name.rdns:
        raise errors.Invalid(field="subject", why="empty")
    return name


def upn_name(upn: str) -> x509.OtherName:
    """Return a user principal name as an alternative name.

    Raises:
        Invalid: not of the form name@realm.
    """
    if not _UPN.fullmatch(upn) or len(upn) > MAX_UPN_LENGTH:
        raise errors.Invalid(field="upn", why="not of the form name@realm")
    return x509.OtherName(UPN, _der(_UTF8_STRING, upn.encode()))


def mail_name(mail: str) -> x509.RFC822Name:
    """Return a mail address as an alternative name.

    Raises:
        Invalid: not an ASCII address ([RFC 5280] 4.2.1.6 has no other in rfc822Name).
    """
    if not _MAIL.fullmatch(mail):
        raise errors.Invalid(field="mail", why="not an ASCII mail address")
    return x509.RFC822Name(mail)


def card_name(urn: str) -> x509.UniformResourceIdentifier:
    """Return a card's (or a station's) UUID as an alternative name; `urn` is urn:uuid:….

    Raises:
        Invalid: not a UUID in its canonical form ([RFC 4122] 3).
    """
    prefix, text = urn[:9], urn[9:]
    try:
        canonical = prefix == "urn:uuid:" and str(UUID(text)) == text
    except ValueError:
        canonical = False
    if not canonical:
        raise errors.Invalid(field="card", why="not of the form urn:uuid:…")
    return x509.UniformResourceIdentifier(urn)


def fascn_name(fascn: bytes) -> x509.OtherName:
    """Return a FASC-N (25 bytes, as in the CHUID) as an alternative name.

    Raises:
        Invalid: not 25 bytes.
    """
    if len(fascn) != FASCN_LENGTH:
        raise errors.Invalid(field="fascn", why=f"{len(fascn)} bytes, not {FASCN_LENGTH}")
    return x509.OtherName(PIV_FASCN, _der(_OCTET_STRING, fascn))


def sid_extension(sid: str) -> x509.UnrecognizedExtension:
    """Return Microsoft's security extension, by which a certificate maps strongly to an account.

    SEQUENCE { [0] { OID objectSid, [0] { OCTET STRING, the identifier in ASCII } } }

    Raises:
        Invalid: not of the form S-1-….
    """
    if not _SID.fullmatch(sid):
        raise errors.Invalid(field="sid", why="not of the form S-1-…")
    value = _der(_CONTEXT_0, _der(_OCTET_STRING, sid.encode()))
    return x509.UnrecognizedExtension(
        SECURITY_EXTENSION, _der(_SEQUENCE, _der(_CONTEXT_0, OBJECT_SID + value))
    )


def alternative_names(
    *, upn: str = "", mail: str = "", card: str = "", fascn: bytes = b""
) -> tuple[x509.GeneralName, ...]:
    """Return the alternative names that are given, in the order in which we write them.

    Raises:
        Invalid: one is malformed; `field` says which.
    """
    names: list[x509.GeneralName] = []
    if upn:
        names.append(upn_name(upn))
    if mail:
        names.append(mail_name(mail))
    if fascn:
        names.append(fascn_name(fascn))
    if card:
        names.append(card_name(card))
    return tuple(names)


def requested_extensions(
    *, upn: str = "", mail: str = "", sid: str = "", card: str = "", fascn: bytes = b""
) -> tuple[x509.ExtensionType, ...]:
    """Return what a request asks for besides its subject: alternative names and the security identifier.

    Raises:
        Invalid: one is malformed; `field` says which.
    """
    names = alternative_names(upn=upn, mail=mail, card=card, fascn=fascn)
    extensions: list[x509.ExtensionType] = [x509.SubjectAlternativeName(names)] if names else []
    if sid:
        extensions.append(sid_extension(sid))
    return tuple(extensions)
