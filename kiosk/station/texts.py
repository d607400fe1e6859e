"""What a private key of the card may sign for a server: a certificate request, or a challenge with our prefix.

A text that logs an operator on is signed by `kiosk.station.logon` alone: no operation may ask for it.

The text comes in full, at the one place of the template where it is signed, and is digested by the station as it belongs
to the kind of key.

Sources: [SP 800-73-5] part 2, section 3.2.4; [RFC 2986] 4.1.
"""

from collections.abc import Sequence
from typing import Final

from cryptography import x509

from shared.iso7816.apdu import CHALLENGE_PREFIX, Command, Part, ToBeSigned
from shared.logon import is_logon_text
from shared.piv.ids import Algorithm, Ins, Slot
from shared.piv.keys import to_be_signed

# A signature algorithm and an empty signature make a whole CertificationRequest of its first part, so that the
# parser of requests judges it.
_ALGORITHM_AND_SIGNATURE: Final = bytes.fromhex("300A06082A8648CE3D040302 030100")


def why_not_signed(command: Command) -> str | None:
    """Say why a text is not to be signed: where it stands, or what it is. None where it is, or there is none."""
    texts = [part for part in command.parts if isinstance(part, ToBeSigned)]
    if not texts:
        return None
    if len(texts) > 1 or command.ins != Ins.GENERAL_AUTHENTICATE or command.p2 not in set(Slot):
        return "a text to sign where nothing is signed"
    (text,) = texts
    if not _stands_in_template(command.parts, text):
        return "the text is not the challenge of the template"
    if why := _why_not_ours(text.content):
        return why
    if text != _as_for_its_key(command.p1, text):
        return "not the digest of this kind of key"
    return None


def _why_not_ours(content: bytes) -> str | None:
    if is_logon_text(content):
        return "a text that logs an operator on, in an operation"
    if content.startswith(CHALLENGE_PREFIX) or _is_request_info(content):
        return None
    return "neither a certificate request nor a challenge of ours"


def _as_for_its_key(algorithm: int, text: ToBeSigned) -> ToBeSigned | None:
    """Return the text as keys of this algorithm sign it; None where they do not sign.

    An RSA key that signed a text without padding, or a bare digest, would give away signatures over anything: two such
    signatures divide into a third ([Brier, Clavier, Coron, Naccache 2001], fixed-pattern padding).
    """
    if algorithm not in set(Algorithm) or not Algorithm(algorithm).can_sign:
        return None
    return to_be_signed(Algorithm(algorithm), text.content)


def _stands_in_template(parts: Sequence[Part], text: ToBeSigned) -> bool:
    """Whether the data is a dynamic authentication template that asks for a signature of exactly this text.

    Source: [SP 800-73-5] part 2, section 3.2.4, table 7 (7C; 81 challenge; 82 response, empty).
    """
    at = parts.index(text)
    around = [part for part in parts if isinstance(part, bytes)]
    if len(around) != len(parts) - 1:
        return False
    before, behind = b"".join(around[:at]), b"".join(around[at:])
    response = bytes((0x82, 0x00))
    challenge = b"\x81" + _der_length(text.length)
    outer = b"\x7c" + _der_length(len(response) + len(challenge) + text.length)
    return (before, behind) in {(outer + response + challenge, b""), (outer + challenge, response)}


def _is_request_info(content: bytes) -> bool:
    """Whether the bytes are one DER CertificationRequestInfo, all of them ([RFC 2986] 4.1)."""
    body = content + _ALGORITHM_AND_SIGNATURE
    try:
        x509.load_der_x509_csr(b"\x30" + _der_length(len(body)) + body)
    except ValueError:
        return False
    return True


def _der_length(length: int) -> bytes:
    if length < 0x80:
        return bytes((length,))
    octets = length.to_bytes((length.bit_length() + 7) // 8, "big")
    return bytes((0x80 | len(octets),)) + octets
