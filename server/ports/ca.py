"""Certificate authorities.

A certificate authority is asked for several certificates at once (a credential has up to four), so that one
that can answer together does. Sending a request twice may make two certificates: after a lost answer, `find`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum, unique
from typing import Protocol, runtime_checkable

from shared.credential.model import RequestId
from shared.credential.reasons import Reason as Reason  # noqa: PLC0414  # a word of this port


@unique
class Profile(StrEnum):
    """Profiles of the built-in certificate authority; other connectors have names of their own."""

    SMART_CARD_LOGON = "smart-card-logon"
    PIV_AUTHENTICATION = "piv-authentication"
    SIGNATURE = "signature"
    KEY_MANAGEMENT = "key-management"
    CARD_AUTHENTICATION = "card-authentication"


@dataclass(frozen=True, slots=True, kw_only=True)
class Names:
    """Subject and alternative names of a certificate. Empty fields are left out.

    `subject` is an RFC 4514 string; `sid` goes into Microsoft's security extension (OID 1.3.6.1.4.1.311.25.2);
    `card` is the card's GUID as a URN (urn:uuid:…). `account` (domain, backslash, name) is in no certificate: it says
    for whom an enrolment agent asks.
    """

    subject: str
    upn: str = ""
    mail: str = ""
    sid: str = ""
    card: str = ""
    fascn: bytes = b""
    account: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class SignRequest:
    """Ask for one certificate.

    `request` is a DER PKCS#10 request whose signature proves possession; it may be empty for a key that cannot
    sign, where the server has other proof: then `public_key` (DER SubjectPublicKeyInfo) alone counts. `reference` is
    what the certificate authority said when it last let this request wait.
    """

    request_id: RequestId
    profile: str
    names: Names
    public_key: bytes
    request: bytes = b""
    not_after: datetime | None = None
    reference: str = ""


@dataclass(frozen=True, slots=True)
class Issued:
    """A certificate, DER, with its issuers from nearest to root."""

    certificate: bytes
    chain: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class Pending:
    """The certificate authority wants time or a person; ask again with `find`, with its `reference` in the request."""

    reference: str = ""


@dataclass(frozen=True, slots=True)
class Refused:
    """The certificate authority will not issue this; `reason` is its own words."""

    reason: str


@dataclass(frozen=True, slots=True)
class Unanswered:
    """One of several requests may have arrived, and no answer came; `reason` says how. Look for it with `find`."""

    reason: str


@dataclass(frozen=True, slots=True)
class Unfit:
    """What came back is no certificate that was asked for; `why` says what is wrong with it.

    `certificate` (DER) is there where it could be read, so that one for our key can be revoked.
    """

    why: str
    certificate: bytes = b""


Outcome = Issued | Pending | Refused | Unanswered | Unfit


@dataclass(frozen=True, slots=True, kw_only=True)
class Abilities:
    """What a certificate authority can do; asked when a template is checked, never at the counter."""

    profiles: tuple[str, ...]
    algorithms: tuple[str, ...]
    revoke: bool = False
    hold: bool = False
    """It can put a certificate on hold, and release it."""
    find: bool = True
    """`find` can look for a request whose answer was lost; where it cannot, its key is never sent again."""
    knows_at_once: bool = False
    """What `find` does not find is not there, and will not come."""
    proof_by_server: bool = False
    """It accepts the server's word that the key is held, without a signed request."""
    names: tuple[str, ...] = field(default_factory=tuple)
    for_accounts: bool = False
    """It asks as an enrolment agent, on behalf of an account that a template has to name."""


class CertificateAuthority(Protocol):
    """Issue certificates. Raises `ConnectorUnreachable` and `ConnectorRefused` (bad credentials, no right)."""

    @property
    def abilities(self) -> Abilities:
        """What this certificate authority can do."""
        ...

    async def issue(self, requests: Sequence[SignRequest]) -> Sequence[Outcome]:
        """Ask for certificates; one outcome per request, in the same order."""
        ...

    async def find(self, request: SignRequest) -> Outcome | None:
        """Look for what became of a request after a lost answer; None where nothing is known of it."""
        ...

    async def trust(self) -> Sequence[bytes]:
        """Return the configured issuers, DER, from the issuing one to the root."""
        ...


@runtime_checkable
class CanGreet(Protocol):
    """Be asked whether it is there and knows us."""

    async def greet(self) -> None:
        """Ask something that changes nothing and needs our credential.

        Raises:
            ConnectorUnreachable, ConnectorRefused, ConnectorAnswerWrong: what is wrong.
        """
        ...


@runtime_checkable
class CanRevoke(Protocol):
    """Revoke certificates."""

    async def revoke(self, certificate: bytes, reason: Reason) -> None:
        """Revoke one certificate (DER); doing it again is no error."""
        ...


@runtime_checkable
class CanHold(Protocol):
    """Put certificates on hold, and release them."""

    async def hold(self, certificate: bytes) -> None:
        """Put one certificate (DER) on hold; doing it again is no error, one that is revoked stays revoked."""
        ...

    async def release(self, certificate: bytes) -> None:
        """Make a held certificate valid again; one that is not on hold stays as it is.

        Raises:
            ConnectorRefused: it was revoked for good meanwhile.
        """
        ...


@runtime_checkable
class CanListProfiles(Protocol):
    """Say which profiles there are, so that an administrator chooses those that templates may name."""

    async def offered_profiles(self) -> Sequence[str]:
        """Return every profile that our credential may use, sorted; those of `abilities` are what is shown of them."""
        ...


@runtime_checkable
class PublishesCrl(Protocol):
    """Publish a certificate revocation list."""

    async def crl(self) -> bytes:
        """Return the present list, DER, signed."""
        ...
