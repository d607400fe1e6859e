"""A certificate authority that is spoken to by CMP, as a registration authority speaks to it.

Requests go as PKCS#10, as the card signed them, or as a certificate template with our names and our word that the key
is held (*raVerified*), for authorities that let a registration authority name people. The number of a transaction is the
number of the request, so that a second message about it is one about the same.

Sources: [RFC 4210], [RFC 9483] 4.1.4 (PKCS#10), 4.2 (revocation), 4.4 (polling), 5.2.3.2 (raVerified), 6.2 (HTTP).
"""

import secrets
from dataclasses import replace
from typing import Any, Final

from asn1crypto import csr, keys
from asn1crypto import x509 as asn1
from asn1crypto.core import ParsableOctetString
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from server.connectors.ca.cmp.protection import Protection, Unprotected
from server.connectors.ca.cmp.structures import (
    ACCEPTED,
    GRANTED_WITH_MODS,
    WAITING,
    ProofOfPossession,
)
from server.connectors.ca.cmp.transaction import Garbled, Transaction, failures, words
from server.connectors.ca.outside import OutsideAuthority
from server.connectors.http import Http
from server.ports.ca import (
    Abilities,
    Issued,
    Names,
    Outcome,
    Pending,
    Reason,
    Refused,
    SignRequest,
)
from server.ports.connection import Configured, Surroundings
from shared import errors
from shared.credential.names import parse_subject, requested_extensions

MEDIA_TYPE: Final = "application/pkixcmp"
DEFAULT_PROFILE: Final = "default"
"""The profile that is asked for at the connection's own address, without a name of its own."""
NUMBER_LENGTH: Final = 16
"""Bytes of a transaction's number ([RFC 9483] 3.1)."""
REQUEST_NUMBER: Final = 0
PKCS10_NUMBER: Final = -1
"""How an answer counts a request that was PKCS#10 ([RFC 9483] 4.1.4); many write 0."""
CERT_REVOKED: Final = 10
"""The bit of PKIFailureInfo that says *revoked already*."""
UNKNOWN_TO_IT: Final = frozenset({1, 12, 20, 23})
"""The bits that say that our protection or our right is not accepted."""
REMOVE_FROM_CRL: Final = "remove_from_crl"
REASONS: Final = {
    Reason.UNSPECIFIED: "unspecified",
    Reason.KEY_COMPROMISE: "key_compromise",
    Reason.AFFILIATION_CHANGED: "affiliation_changed",
    Reason.SUPERSEDED: "superseded",
    Reason.CESSATION_OF_OPERATION: "cessation_of_operation",
    Reason.CERTIFICATE_HOLD: "certificate_hold",
    Reason.PRIVILEGE_WITHDRAWN: "privilege_withdrawn",
}


class CmpAuthority(OutsideAuthority):
    """Issue through CMP; what revokes is `RevokingCmpAuthority`."""

    FINDS = False

    def __init__(self, configured: Configured, around: Surroundings, protection: Protection) -> None:
        """Take the configuration; our messages and theirs are under `protection`.

        Raises:
            Invalid: a field cannot be used.
        """
        super().__init__(configured, around, Http(configured, around, plain=True))
        self._protection = protection
        self._recipient = self.issuers[0].subject.public_bytes()
        self._named = configured.text("request") == "crmf"

    @property
    def abilities(self) -> Abilities:
        """What it can do."""
        return replace(super().abilities, proof_by_server=self._named)

    async def ask(self, request: SignRequest) -> Outcome:
        """Ask in a transaction of the request's own number."""
        kind, content = self._content(request)
        return await self._outcome_of(self._transaction(request.request_id.bytes), request, kind, content)

    async def look_for(self, request: SignRequest) -> Outcome | None:
        """Ask again for what was left waiting."""
        transaction = self._transaction(request.request_id.bytes, bytes.fromhex(request.reference))
        number = REQUEST_NUMBER if self._named else PKCS10_NUMBER
        return await self._outcome_of(transaction, request, "pollReq", [{"id": number}])

    async def greet(self) -> None:
        """Ask about a transaction that is not there: the answer is protected, and says whether ours was.

        Raises:
            ConnectorRefused: it does not take our protection.
        """
        transaction = self._transaction(secrets.token_bytes(NUMBER_LENGTH))
        body, _ = await self._exchange(transaction, "pollReq", [{"id": REQUEST_NUMBER}], self.profiles[0])
        if body.name == "error" and failures(body.chosen["status"]) & UNKNOWN_TO_IT:
            raise self.refusal(reason=f"it does not accept our credential: {words(body.chosen['status'])}")

    # --- one request ------------------------------------------------------------------------------------

    def _content(self, request: SignRequest) -> tuple[str, Any]:
        if not self._named:
            return "p10cr", csr.CertificationRequest.load(request.request)
        template = {
            "subject": asn1.Name.load(parse_subject(request.names.subject).public_bytes()),
            "public_key": keys.PublicKeyInfo.load(request.public_key),
            "extensions": _extensions(request.names),
        }
        message = {
            "request": {"id": REQUEST_NUMBER, "template": template},
            "proof": ProofOfPossession("ra_verified", None),
        }
        return "cr", [message]

    async def _outcome_of(
        self, transaction: Transaction, request: SignRequest, kind: str, content: Any
    ) -> Outcome:
        body, implicit = await self._exchange(transaction, kind, content, request.profile)
        if body.name == "error":
            return self._said(request, body.chosen["status"])
        if body.name == "pollRep":
            return Pending(transaction.theirs.hex())
        if body.name not in {"cp", "ip"} or len(body.chosen["responses"]) != 1:
            raise self._wrong(reason=f"it answers {kind} with {body.name}")
        (response,) = body.chosen["responses"]
        status = response["status"]["status"].native
        if status == WAITING:
            return Pending(transaction.theirs.hex())
        if status not in {ACCEPTED, GRANTED_WITH_MODS}:
            return self._said(request, response["status"])
        if response["pair"].native is None or response["pair"]["certificate"].name != "certificate":
            raise self._wrong(reason="it grants a certificate and sends none")
        certificate = bytes(response["pair"]["certificate"].chosen.untag().dump())
        issued = self.issued(request, certificate)
        if isinstance(issued, Issued) and not implicit:
            await self._confirm(transaction, certificate, response["id"].native, request.profile)
        return issued

    def _said(self, request: SignRequest, status: Any) -> Refused:
        if failures(status) & UNKNOWN_TO_IT:
            return Refused(f"it does not accept our credential: {words(status)}")
        return self.refused(request, words(status))

    async def _confirm(self, transaction: Transaction, certificate: bytes, number: int, profile: str) -> None:
        """Say that the certificate arrived; an authority may take back what is not confirmed."""
        algorithm = x509.load_der_x509_certificate(certificate).signature_hash_algorithm or hashes.SHA512()
        digest = hashes.Hash(algorithm)
        digest.update(certificate)
        content = [{"hash": digest.finalize(), "id": number}]
        body, _ = await self._exchange(transaction, "certConf", content, profile, repeatable=True)
        if body.name != "pkiconf":
            raise self._wrong(reason="it does not take the confirmation of its certificate")

    # --- the wire ---------------------------------------------------------------------------------------

    def _transaction(self, number: bytes, theirs: bytes = b"") -> Transaction:
        certificates = self._protection.certificates
        sender = (
            x509.load_der_x509_certificate(certificates[0]).subject if certificates else x509.Name([])
        ).public_bytes()
        return Transaction(
            number,
            self._protection,
            sender=sender,
            recipient=self._recipient,
            now=self.clock.now(),
            theirs=theirs,
        )

    async def _exchange(
        self, transaction: Transaction, kind: str, content: Any, profile: str, *, repeatable: bool = False
    ) -> tuple[Any, bool]:
        """Send one message and return the body of its answer, and whether that needs no confirmation."""
        path = "" if profile == DEFAULT_PROFILE else f"p/{profile}"
        reply = await self.http.call(
            "POST",
            path,
            body=transaction.say(kind, content),
            headers={"Content-Type": MEDIA_TYPE, "Accept": MEDIA_TYPE},
            ok=(200, 400, 500),  # errors may come as messages with these ([RFC 9811] 3.3)
            what=kind,
            repeatable=repeatable,
        )
        if reply.media_type != MEDIA_TYPE:
            raise reply.wrong(reason=f"it is {reply.media_type or 'of no media type'}, not a CMP message")
        try:
            body, _, implicit = transaction.hear(reply.body)
        except (Garbled, Unprotected) as cause:
            raise self._wrong(reason=cause.why) from cause
        return body, implicit

    def _wrong(self, *, reason: str) -> errors.ConnectorAnswerWrong:
        return errors.ConnectorAnswerWrong(connection=self.connection, reason=reason)


class RevokingCmpAuthority(CmpAuthority):
    """One that lets our credential revoke, hold and release (`CanRevoke`, `CanHold`)."""

    @property
    def abilities(self) -> Abilities:
        """What it can do."""
        return replace(super().abilities, revoke=True, hold=True)

    async def revoke(self, certificate: bytes, reason: Reason) -> None:
        """Revoke one certificate (DER); doing it again is no error.

        Raises:
            ConnectorRefused: the authority will not.
        """
        await self._change(certificate, REASONS[reason])

    async def hold(self, certificate: bytes) -> None:
        """Put one certificate (DER) on hold; one that is revoked stays so."""
        await self._change(certificate, REASONS[Reason.CERTIFICATE_HOLD])

    async def release(self, certificate: bytes) -> None:
        """Make a held certificate valid again ([RFC 4210] 5.3.9: reason removeFromCRL).

        Raises:
            ConnectorRefused: the authority will not: it was revoked for good.
        """
        await self._change(certificate, REMOVE_FROM_CRL)

    async def _change(self, certificate: bytes, reason: str) -> None:
        parsed = self.own(certificate)
        details = {
            "which": {
                "serial_number": parsed.serial_number,
                "issuer": asn1.Name.load(parsed.issuer.public_bytes()),
            },
            "entry": [{"extn_id": "crl_reason", "critical": False, "extn_value": reason}],
        }
        transaction = self._transaction(secrets.token_bytes(NUMBER_LENGTH))
        body, _ = await self._exchange(transaction, "rr", [details], DEFAULT_PROFILE, repeatable=True)
        if body.name == "error":
            raise self.refusal(reason=words(body.chosen["status"]))
        if body.name != "rp" or len(body.chosen["status"]) != 1:
            raise self._wrong(reason=f"it answers rr with {body.name}")
        (status,) = body.chosen["status"]
        if status["status"].native in {ACCEPTED, GRANTED_WITH_MODS}:
            return
        if CERT_REVOKED not in failures(status):
            raise self.refusal(reason=words(status))
        if reason == REMOVE_FROM_CRL:
            raise self.refusal(reason="revoked for good")


def _extensions(names: Names) -> asn1.Extensions:
    """Return the names besides the subject, for a certificate template."""
    wanted = requested_extensions(
        upn=names.upn, mail=names.mail, sid=names.sid, card=names.card, fascn=names.fascn
    )
    return asn1.Extensions(
        [
            {
                "extn_id": each.oid.dotted_string,
                "critical": False,
                "extn_value": ParsableOctetString(each.public_bytes()),
            }
            for each in wanted
        ]
    )
