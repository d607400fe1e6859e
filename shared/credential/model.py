"""What the record knows: cards, their secrets and keys, credentials, certificates, people.

A *card* is the device; a *credential* binds it to a holder by a template. Screens show one combined `State`.
"""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum, unique
from typing import Final, NewType
from uuid import UUID

from shared.piv.ids import Algorithm, ManagementAlgorithm, Slot, TouchPolicyId

RecordId = NewType("RecordId", UUID)
"""Random, made at registration and written to the card (CHUID's GUID); what keys are derived from."""

CredentialId = NewType("CredentialId", UUID)
OperationId = NewType("OperationId", UUID)
RequestId = NewType("RequestId", UUID)
"""Names one certificate request, stored before the certificate authority is asked."""

StationId = NewType("StationId", UUID)
HolderId = NewType("HolderId", str)
"""The directory's immutable id (entryUUID, objectGUID, the key column of a file)."""


@unique
class State(StrEnum):
    """The combined state of a card and its credential."""

    UNREGISTERED = "unregistered"
    REGISTERED = "registered"
    ISSUED = "issued"
    ACTIVE = "active"
    SUSPENDED = "suspended"
    REVOKED = "revoked"
    RETIRED = "retired"
    DELETED = "deleted"


@unique
class SecretKind(StrEnum):
    """The secrets of a card that the server derives."""

    MANAGEMENT_KEY = "management-key"
    PUK = "puk"


@dataclass(frozen=True, slots=True, order=True)
class SecretVersion:
    """Which value of a derived secret: the master key's generation, and a count within it (PUK rotation)."""

    generation: int
    count: int = 0


FACTORY: Final = SecretVersion(0)
"""The value that the card left the factory with."""

OWNERS: Final = SecretVersion(0, 1)
"""A PUK that is not derived, and that the server does not know: the System Owner's unblock code."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretRecord:
    """What is known of one secret: the value that was *proven* last, and at most one *pending* change."""

    proven: SecretVersion | None
    pending: SecretVersion | None = None


@unique
class PinState(StrEnum):
    """Whose PIN is on the card."""

    FACTORY = "factory"
    TRANSPORT = "transport"
    """A random value nobody knows; the holder has to activate."""
    HOLDER = "holder"
    UNKNOWN = "unknown"
    """A change was cut; healed through the PUK."""


@unique
class KeyState(StrEnum):
    """How sure the record is of the key in a slot."""

    INTENDED = "intended"
    """GENERATE was about to be sent; what is in the slot is not known."""
    UNPROVEN = "unproven"
    """The card returned a public key; the private key has not signed yet."""
    PROVEN = "proven"


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyRecord:
    """The key in one slot. `public_key` is a DER SubjectPublicKeyInfo, empty while only intended.

    `touch` is what the card's vendor vouched for when the server verified it; None where it never did, whatever a card says.
    """

    slot: Slot
    algorithm: Algorithm
    state: KeyState
    public_key: bytes = b""
    touch: TouchPolicyId | None = None


@unique
class CertificateState(StrEnum):
    """How far a certificate got."""

    REQUESTED = "requested"
    """The certificate authority was about to be asked; there may be a certificate."""
    ISSUED = "issued"
    CONFIRMED = "confirmed"
    """Read back from the card."""
    HELD = "held"
    """On hold at its authority; may be released."""
    REFUSED = "refused"
    REVOKED = "revoked"


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateRecord:
    """One certificate of a credential, from its request on. `certificate` is DER, empty until issued.

    `reference` is what the certificate authority said when it let the request wait: by it, it is asked again.
    """

    request_id: RequestId
    slot: Slot
    connection: str
    profile: str
    public_key: bytes
    state: CertificateState
    certificate: bytes = b""
    reference: str = ""


@unique
class CertificateAction(StrEnum):
    """What a certificate authority can be asked to do with a certificate that it issued."""

    REVOKE = "revoke"
    HOLD = "hold"
    RELEASE = "release"


NEVER: Final = datetime(9999, 1, 1, tzinfo=UTC)
"""When a task is tried again that was given up."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateTask:
    """What a certificate authority still has to do, kept until it has done it.

    There is at most one for a certificate: the newest wish replaces the one before. `reason` is the authority's word for
    why ([RFC 5280] 5.3.1), `failure` what came of the last of the `attempts`. One that an administrator gave up is kept
    as well: it says what was never done.
    """

    request_id: RequestId
    record_id: RecordId
    connection: str
    action: CertificateAction
    reason: str
    asked_at: datetime
    next_at: datetime
    attempts: int = 0
    failure: str = ""

    @property
    def given_up(self) -> bool:
        """Whether an administrator gave it up: it is not tried any more."""
        return self.next_at >= NEVER


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplateRef:
    """One immutable version of a template. `digest` is the SHA-256 of its canonical form."""

    name: str
    version: int
    digest: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class CredentialRecord:
    """A card bound to a holder by a template. `holder_name` is a copy for screens.

    `reason` and `since` say why and since when it is suspended, revoked or closed. A temporary credential ends at
    `ends_at` and stands in for its holder's `primary` one; a replacement names the one that it `replaces`; until something
    happens to either, `reason` says why it was made. `roles` are the names of those with which an operator's was issued.
    """

    credential_id: CredentialId
    holder: HolderId
    holder_name: str
    template: TemplateRef
    state: State
    issued_at: datetime | None = None
    activated_at: datetime | None = None
    reason: str = ""
    since: datetime | None = None
    ends_at: datetime | None = None
    primary: CredentialId | None = None
    replaces: CredentialId | None = None
    pin_set_at: datetime | None = None
    pin_change_due: bool = False
    roles: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenOperation:
    """An operation that began and did not end: a cut. The next insertion continues it.

    `reason` is the cause that was given, so that nobody is asked again; likewise which credential the new one
    `replaces`, or its `primary`, and the `roles` that it carries.
    """

    operation_id: OperationId
    kind: str
    holder: HolderId
    template: TemplateRef | None
    began_at: datetime
    reason: str = ""
    replaces: CredentialId | None = None
    primary: CredentialId | None = None
    roles: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CardRecord:
    """Everything that the server knows of one card.

    `puk_disclosed`: a person was told the PUK; it is rotated at the next contact. `key_disclosed`: whoever has a station that
    carried the management key may know it; it is replaced at the next contact. `tasks` are those of its certificates that
    are still open.
    """

    record_id: RecordId
    state: State
    profile: str
    serial: int | None
    virtual: bool
    management_algorithm: ManagementAlgorithm
    management_key: SecretRecord
    puk: SecretRecord
    pin: PinState
    keys: dict[Slot, KeyRecord] = field(default_factory=dict)
    certificates: tuple[CertificateRecord, ...] = ()
    credential: CredentialRecord | None = None
    open_operation: OpenOperation | None = None
    puk_disclosed: bool = False
    key_disclosed: bool = False
    tasks: tuple[CertificateTask, ...] = ()

    @property
    def revoking(self) -> frozenset[RequestId]:
        """The requests whose certificates are to be revoked: no operation goes on with them."""
        return frozenset(task.request_id for task in self.tasks if task.action is CertificateAction.REVOKE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Person:
    """Somebody in a directory. `attributes` are the directory's, by the names that variables use.

    The account is disabled, or over at `valid_until` (None: it does not end). `directory` is the connection that found them,
    where it was asked who is in which.
    """

    holder: HolderId
    name: str
    attributes: dict[str, str] = field(default_factory=dict, repr=False)
    enabled: bool = True
    valid_until: datetime | None = None
    directory: str = ""

    def is_valid(self, now: datetime) -> bool:
        """Whether the person may get a credential now."""
        return self.enabled and (self.valid_until is None or now < self.valid_until)
