"""What every outside certificate authority has in common; a product's file says only how it is asked.

An answer that is lost is an outcome of its own (`Unanswered`), so that it takes nothing from the others that were asked for at
the same time; an answer that is no certificate for the asked key is another (`Unfit`). Whether a certificate is what was asked
for in every other respect is judged for all authorities alike, where it would reach a card (`server.operations.obtain`).
"""

import asyncio
import base64
import binascii
import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from server.connectors.ca.findings import findings_of
from server.connectors.ca.requests import read_key, read_request
from server.connectors.http import Http
from server.connectors.tls import certificates_in
from server.ports.ca import (
    Abilities,
    CanHold,
    CanRevoke,
    Issued,
    Names,
    Outcome,
    Refused,
    SignRequest,
    Unanswered,
    Unfit,
)
from server.ports.connection import Configured, Field, FieldKind, Finding, Surroundings
from shared import errors
from shared.piv.ids import Algorithm

LONGEST_REASON: Final = 200
"""Characters of an authority's own words that are kept."""

REVOKED: Final = Refused("the certificate was revoked")
WITHOUT_PROOF: Final = Refused("it wants a request that the key has signed")

ISSUERS_FIELD: Final = Field(
    name="issuers",
    kind=FieldKind.CERTIFICATES,
    title="Issuing certificates",
    required=True,
    help="Who signs (PEM): the issuing certificate first, then each one above it up to the root. Others are refused.",
)
PROFILES_FIELD: Final = Field(
    name="profiles",
    kind=FieldKind.TEXTS,
    title="Profiles",
    required=True,
    help="Its profiles that templates may name; those that are left out are hidden.",
)
ALGORITHMS_FIELD: Final = Field(
    name="algorithms",
    kind=FieldKind.TEXTS,
    title="Kinds of keys",
    help="Kinds of keys that it certifies, as templates name them; without them: RSA 2048 to 4096, P-256 and P-384.",
)
NAMES_FIELD: Final = Field(
    name="names",
    kind=FieldKind.TEXTS,
    title="Names",
    help="Alternative names that its profiles carry: upn, mail, sid, card, fascn; without them: upn, mail, sid.",
)
COMMON_FIELDS: Final = (ISSUERS_FIELD, PROFILES_FIELD, ALGORITHMS_FIELD, NAMES_FIELD)

USUAL_ALGORITHMS: Final = (
    Algorithm.RSA_2048.text,
    Algorithm.RSA_3072.text,
    Algorithm.RSA_4096.text,
    Algorithm.P256.text,
    Algorithm.P384.text,
)
NAMES: Final = ("upn", "mail", "sid", "card", "fascn")
USUAL_NAMES: Final = NAMES[:3]


class OutsideAuthority(ABC):
    """A certificate authority somewhere else; products say how it is asked, found, and what else it can do."""

    FINDS: bool = True
    """Whether a request whose answer was lost can be looked for."""

    def __init__(self, configured: Configured, around: Surroundings, http: Http) -> None:
        """Take what `COMMON_FIELDS` configure.

        Raises:
            Invalid: the issuers are no chain up to a root, or a kind of key or name is not one of ours.
        """
        self.connection = configured.name
        self.http = http
        self.clock = around.clock
        self.profiles = configured.texts("profiles")
        self._algorithms = _known(
            "algorithms",
            configured.texts("algorithms") or USUAL_ALGORITHMS,
            [each.text for each in Algorithm],
        )
        self.names = _known("names", configured.texts("names") or USUAL_NAMES, NAMES)
        self.issuers = chain_of(configured.text("issuers"))
        self.chain = tuple(each.public_bytes(Encoding.DER) for each in self.issuers)

    @property
    def abilities(self) -> Abilities:
        """What this certificate authority can do."""
        return Abilities(
            profiles=self.profiles,
            algorithms=self._algorithms,
            revoke=isinstance(self, CanRevoke),
            hold=isinstance(self, CanHold),
            find=self.FINDS,
            names=self.names,
        )

    async def trust(self) -> Sequence[bytes]:
        """Return the configured issuers, DER, from the issuing one to the root."""
        return self.chain

    async def issue(self, requests: Sequence[SignRequest]) -> Sequence[Outcome]:
        """Ask for certificates side by side; one outcome per request, in the same order."""
        return await asyncio.gather(*(self._outcome(request) for request in requests))

    async def find(self, request: SignRequest) -> Outcome | None:
        """Look for what became of a request after a lost answer; None where nothing is known of it."""
        return await self.look_for(request) if self.FINDS or request.reference else None

    async def test(self) -> Sequence[Finding]:
        """Return what works."""
        return await findings_of(self)

    async def credential_ends(self) -> datetime | None:
        """Return until when our TLS certificate is good; None where there is none."""
        return await self.http.credential_ends()

    async def close(self) -> None:
        """Let go of lines that are held open."""
        await self.http.close()

    # --- for products -----------------------------------------------------------------------------------

    @abstractmethod
    async def ask(self, request: SignRequest) -> Outcome:
        """Ask for one certificate.

        Raises:
            ConnectorUnreachable, ConnectorAnswerWrong: it is not known whether the request was answered.
            ConnectorRefused: it was not.
        """

    @abstractmethod
    async def look_for(self, request: SignRequest) -> Outcome | None:
        """Look for one request; see `CertificateAuthority.find`."""

    @abstractmethod
    async def greet(self) -> None:
        """Ask something that changes nothing and needs our credential; raises what is wrong."""

    def issued(self, request: SignRequest, content: object, chain: Iterable[object] = ()) -> Issued | Unfit:
        """Return a certificate that came back (PEM, DER, or base64 of it), where it is for the asked key."""
        try:
            certificate = certificate_in(content)
            issuers = tuple(certificate_in(each) for each in chain)
        except ValueError:
            return Unfit("it cannot be read")
        if public_key_of(certificate) != request.public_key:
            return Unfit("another public key", certificate)
        return Issued(certificate, issuers or self.chain)

    def refused(self, request: SignRequest, words: object) -> Refused:
        """Return a refusal with the authority's own words, without what they say of a person."""
        return Refused(own_words(words, request.names))

    def own(self, certificate: bytes) -> x509.Certificate:
        """Read a certificate that this authority signed.

        Raises:
            ConnectorRefused: it did not.
        """
        try:
            parsed = x509.load_der_x509_certificate(certificate)
            parsed.verify_directly_issued_by(self.issuers[0])
        except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm) as cause:
            raise self.refusal(reason="not a certificate of this certificate authority") from cause
        return parsed

    def refusal(self, *, reason: str) -> errors.ConnectorRefused:
        """Return the error for what it will not do; `reason` is ours, or went through `own_words`."""
        return errors.ConnectorRefused(connection=self.connection, reason=reason)

    async def _outcome(self, request: SignRequest) -> Outcome:
        if request.profile not in self.profiles:
            return Refused(f"no profile {request.profile}")
        if not (request.request or self.abilities.proof_by_server):
            return WITHOUT_PROOF
        if request.request and not _proves(request):
            return Refused("the request is not signed by its key")
        try:
            return await self.ask(request)
        except errors.ConnectorRefused as refusal:
            return Refused(str(refusal.facts["reason"]))
        except (errors.ConnectorUnreachable, errors.ConnectorAnswerWrong) as failure:
            return Unanswered(str(failure.facts["reason"]))


def _proves(request: SignRequest) -> bool:
    """Whether the request is for the asked key and signed by it: not every authority looks."""
    try:
        return read_request(request.request) == read_key(request.public_key)
    except errors.Invalid:
        return False


def chain_of(pem: str) -> tuple[x509.Certificate, ...]:
    """Read issuers from the issuing one to the root.

    Raises:
        Invalid: they are no chain, or do not end in a root that signed itself.
    """
    found = tuple(certificates_in(pem))
    for below, above in zip(found, (*found[1:], *found[-1:]), strict=True):
        try:
            below.verify_directly_issued_by(above)
        except (ValueError, TypeError, InvalidSignature) as cause:
            why = "give the issuing certificate first, then each one above it, to the root"
            raise errors.Invalid(field="issuers", why=why) from cause
    if not found:
        raise errors.Invalid(field="issuers", why="there is no certificate")
    return found


def certificate_in(content: object) -> bytes:
    """Return the DER certificate in a text or in bytes: PEM, DER, base64 of DER, or base64 of that.

    Raises:
        ValueError: there is none.
    """
    for _ in range(3):
        if isinstance(content, str):
            content = content.encode()
        if not isinstance(content, bytes):
            break
        if b"-----BEGIN CERTIFICATE-----" in content:
            return x509.load_pem_x509_certificate(content).public_bytes(Encoding.DER)
        if content[:1] == b"\x30":
            return x509.load_der_x509_certificate(content).public_bytes(Encoding.DER)
        try:
            content = base64.b64decode(b"".join(content.split()), validate=True)
        except binascii.Error:
            break
    raise ValueError


def public_key_of(certificate: bytes) -> bytes:
    """Return the public key (DER SubjectPublicKeyInfo) of a certificate; empty where it cannot be read."""
    try:
        key = x509.load_der_x509_certificate(certificate).public_key()
    except (ValueError, UnsupportedAlgorithm):
        return b""
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def pem_request(request: SignRequest) -> str:
    """Return the signed request as PEM."""
    lines = re.findall(".{1,64}", base64.b64encode(request.request).decode())
    return "\n".join(("-----BEGIN CERTIFICATE REQUEST-----", *lines, "-----END CERTIFICATE REQUEST-----", ""))


def own_words(words: object, names: Names) -> str:
    """Return what an authority says as one short line, without the names that it repeats."""
    text = " ".join(str(words).split()) if words else ""
    text = "".join(each for each in text if each.isprintable())
    told = [names.subject, names.upn, names.mail, names.sid, names.card, names.account]
    if names.subject:
        told += [str(each.value) for each in x509.Name.from_rfc4514_string(names.subject)]
    for each in sorted(filter(None, told), key=len, reverse=True):
        text = text.replace(each, "…")
    return text[:LONGEST_REASON] or "it gives no reason"


def _known(field: str, given: Sequence[str], known: Iterable[str]) -> tuple[str, ...]:
    choices = tuple(known)
    for each in given:
        if each not in choices:
            raise errors.Invalid(field=field, why=f"{each} is none of {', '.join(choices)}")
    return tuple(given)
