"""Templates: what a credential is made of.

A template is a TOML text (`template_reading`). Once applied it is a numbered version that never changes; the digest of
its canonical form names it in the record.
"""

from dataclasses import dataclass, field
from datetime import timedelta
from enum import StrEnum, unique

from shared.credential.approval import ApprovalRule
from shared.credential.pins import PinPolicy
from shared.credential.reasons import Consequences
from shared.credential.self_service import NO_SELF_SERVICE, SelfService
from shared.piv.ids import (
    Algorithm,
    ManagementAlgorithm,
    PinPolicyId,
    ProfileName,
    Slot,
    TouchPolicyId,
)


@unique
class ManagementKeyChoice(StrEnum):
    """The management key's algorithm: the best that the card can hold, or a fixed one."""

    BEST = "best"
    TDES = "3DES"
    AES128 = "AES-128"
    AES192 = "AES-192"
    AES256 = "AES-256"

    @property
    def algorithm(self) -> ManagementAlgorithm | None:
        """The fixed algorithm, or None for the best."""
        return {
            ManagementKeyChoice.TDES: ManagementAlgorithm.TDES,
            ManagementKeyChoice.AES128: ManagementAlgorithm.AES128,
            ManagementKeyChoice.AES192: ManagementAlgorithm.AES192,
            ManagementKeyChoice.AES256: ManagementAlgorithm.AES256,
        }.get(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class PinSettings:
    """The `[pin]` table: the policy of the PIN, and the card's retry counters where they are to be set.

    `not_from` names variables that no PIN is taken from, `change_after_days` how long its holder may keep one.
    """

    policy: PinPolicy = field(default_factory=PinPolicy)
    not_from: tuple[str, ...] = ()
    change_after_days: int | None = None
    tries: int | None = None
    puk_tries: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateSpec:
    """One `[[certificate]]` table: a key in a slot and its certificate.

    `subject`, `upn`, `mail`, `sid` and `account` are texts with `${variables}`; `account` says for whom an enrolment agent
    asks, and is in no certificate. `days` counts days of validity. `reasons` goes
    before the template's. A certificate is due for renewal `renew_before_days` before it ends: thirty, or a third of a
    shorter life, where the template does not say. `accept_loss`: the key may be replaced although what was encrypted
    for it can then no longer be read. `accept_unrevocable`: its authority may be one that cannot revoke. `write_back`:
    the directory is told of the certificate once it is on the card, and that it is not any more.
    """

    slot: Slot
    algorithm: Algorithm
    ca: str
    profile: str
    subject: str
    upn: str = ""
    mail: str = ""
    sid: str = ""
    account: str = ""
    days: int = 730
    pin_policy: PinPolicyId = PinPolicyId.DEFAULT
    touch_policy: TouchPolicyId = TouchPolicyId.DEFAULT
    reasons: Consequences = field(default_factory=dict)
    renew_before_days: int = 30
    accept_loss: bool = False
    accept_unrevocable: bool = False
    write_back: bool = False

    @property
    def decrypts(self) -> bool:
        """Whether the slot's key opens what others encrypted: once it is gone, nobody reads that any more."""
        return self.slot is Slot.KEY_MANAGEMENT or self.slot.retired


@dataclass(frozen=True, slots=True, kw_only=True)
class Attestation:
    """The `[attestation]` table. `roots` names files of vendor roots that the administrator trusts."""

    required: bool = False
    roots: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Temporary:
    """The `[temporary]` table: its credentials end after `lasts`, and stand in for another one of their holders.

    `suspend_primary`: while it is in use, that other one is not.
    """

    lasts: timedelta
    suspend_primary: bool = True


@unique
class WhenHolderLeaves(StrEnum):
    """What becomes of a credential whose holder the directory does not know any more, or says is disabled."""

    LIST = "list"
    """It is noticed; a person decides."""
    SUSPEND = "suspend"


@dataclass(frozen=True, slots=True, kw_only=True)
class Template:
    """A template, read. `digest` is the SHA-256 of its canonical form: the parsed TOML as JSON with sorted keys.

    `reasons` says what a cause means for the certificates when the credential is taken out of use. `cards` are the kinds
    of card that it may be issued on (empty: any that can do it), `limit` how many credentials of it a person may have
    at a time (None: any number). With `operator`, its credentials carry roles, and log their holders on; with `system_owner`, as the
    System Owner, whose unblock code the server does not know.
    `self_service` says what holders may do on their own.
    `approvals` say what takes a second person; no way stands in two of them. `when_holder_leaves` is for the job that looks
    for people who have left.
    """

    name: str
    digest: bytes
    title: str
    directory: str
    certificates: tuple[CertificateSpec, ...]
    pin: PinSettings = field(default_factory=PinSettings)
    management_key: ManagementKeyChoice = ManagementKeyChoice.BEST
    attestation: Attestation = field(default_factory=Attestation)
    expires_after_days: int = 1825
    reasons: Consequences = field(default_factory=dict)
    cards: tuple[ProfileName, ...] = ()
    limit: int | None = None
    temporary: Temporary | None = None
    operator: bool = False
    system_owner: bool = False
    self_service: SelfService = field(default_factory=lambda: NO_SELF_SERVICE)
    approvals: tuple[ApprovalRule, ...] = ()
    when_holder_leaves: WhenHolderLeaves = WhenHolderLeaves.LIST
