"""One CMP transaction: messages that belong together by a number, and answer each other by nonces. No I/O.

Source: [RFC 4210] 5.1.1 (header), 5.3 (bodies), 5.2.3 (status); [RFC 9483] 3 (what both ends check).
"""

import secrets
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from asn1crypto import core
from asn1crypto import x509 as asn1

from server.connectors.ca.cmp.protection import Protection, Unprotected
from server.connectors.ca.cmp.structures import (
    FAILURES,
    IMPLICIT_CONFIRM,
    Body,
    Header,
    Message,
    ProtectedPart,
)

VERSION: Final = 2
"""cmp2000."""
NONCE_LENGTH: Final = 16
MAX_TEXT: Final = 200
"""Characters of what the other end says in words that go into an error."""


class Garbled(Exception):
    """What came back is no answer to what was sent; `why` says what is wrong with it."""

    def __init__(self, *, why: str) -> None:
        """Keep what is wrong."""
        super().__init__(why)
        self.why = why


class Transaction:
    """Make our messages of one transaction, and read theirs."""

    def __init__(
        self,
        number: bytes,
        protection: Protection,
        *,
        sender: bytes,
        recipient: bytes,
        now: datetime,
        theirs: bytes = b"",
    ) -> None:
        """`number` is its id (16 bytes); `sender` and `recipient` are names (DER); `theirs` is their last nonce, if known."""
        self._number = number
        self._protection = protection
        self._sender = asn1.GeneralName("directory_name", asn1.Name.load(sender))
        self._recipient = asn1.GeneralName("directory_name", asn1.Name.load(recipient))
        self._now = now
        self._ours = b""
        self.theirs = theirs

    def say(self, kind: str, content: Any) -> bytes:
        """Return a message with a body of this kind, DER, protected."""
        self._ours = secrets.token_bytes(NONCE_LENGTH)
        algorithm = self._protection.algorithm
        header = Header(
            {
                "pvno": VERSION,
                "sender": self._sender,
                "recipient": self._recipient,
                "message_time": self._now.replace(microsecond=0),
                "protection_alg": algorithm,
                "sender_kid": self._protection.key_id,
                "transaction_id": self._number,
                "sender_nonce": self._ours,
                **({"recip_nonce": self.theirs} if self.theirs else {}),
                "general_info": [{"type": IMPLICIT_CONFIRM, "value": core.Null()}],
            }
        )
        body = Body(kind, content)
        covered = ProtectedPart({"header": header, "body": body}).dump()
        message = {
            "header": header,
            "body": body,
            "protection": self._protection.protect(algorithm, covered),
        }
        if self._protection.certificates:
            message["extra_certs"] = [asn1.Certificate.load(each) for each in self._protection.certificates]
        return bytes(Message(message).dump())

    def hear(self, content: bytes) -> tuple[Any, Sequence[bytes], bool]:
        """Return the body of an answer, the certificates that came with it, and whether it needs no confirmation.

        Raises:
            Garbled: it is no message, or answers something else.
            Unprotected: it is not from whom it has to be.
        """
        try:
            message = Message.load(content, strict=True)
            header, body = message["header"], message["body"]
            number, nonce = header["transaction_id"].native, header["recip_nonce"].native
            extra = [each.dump() for each in message["extra_certs"] or ()]
            covered = ProtectedPart({"header": header, "body": body}).dump()
            algorithm, protection = header["protection_alg"], message["protection"].native
            implicit = any(each["type"].dotted == IMPLICIT_CONFIRM for each in header["general_info"] or ())
            said = body.chosen.native is not None or body.name == "pkiconf"
        except (ValueError, TypeError, KeyError, AttributeError) as cause:
            raise Garbled(why="it is no CMP message") from cause
        if not said or number != self._number or nonce != self._ours:
            raise Garbled(why="it answers something else")
        if not algorithm.native or protection is None:
            raise Unprotected(why="its answer is not protected")
        self._protection.verify(algorithm, covered, protection, extra, self._now)
        self.theirs = header["sender_nonce"].native or b""
        return body, extra, implicit


def failures(status: Any) -> frozenset[int]:
    """Return the numbers of what a status says went wrong (`structures.FAILURES`)."""
    bits = status["failures"].native or ()
    return frozenset(number for number, bit in enumerate(bits) if bit)


def words(status: Any) -> str:
    """Return what a status says: the failures by name, and the other end's own words."""
    named = [FAILURES.get(number, f"failure {number}") for number in sorted(failures(status))]
    own = " ".join(status["text"].native or ())[:MAX_TEXT]
    printable = "".join(letter for letter in own if letter.isprintable())
    return "; ".join([*named, *([printable] if printable else [])]) or "no reason given"
