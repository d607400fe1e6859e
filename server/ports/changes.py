"""The changes of a card's record: values that say what happened or is about to happen.

The store applies a list of them in one durable commit, under the card's lease, or nothing of it.
"""

from dataclasses import dataclass
from uuid import UUID

from server.ports.audit import AuditRecord
from server.ports.operators import OperatorRecord
from server.ports.write_back import WriteBack
from shared.credential.model import (
    CertificateRecord,
    CertificateTask,
    CredentialId,
    CredentialRecord,
    KeyRecord,
    PinState,
    RequestId,
    SecretKind,
    SecretRecord,
    State,
    StationId,
)
from shared.piv.ids import ManagementAlgorithm


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretChanged:
    """What is known of a card's secret: stored *pending* before the card is written, *proven* after."""

    kind: SecretKind
    value: SecretRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class ManagementAlgorithmChanged:
    """The card's management key is (about to be) of this algorithm."""

    algorithm: ManagementAlgorithm


@dataclass(frozen=True, slots=True, kw_only=True)
class PukDisclosed:
    """A person was told the card's PUK; or not any more, once it was rotated."""

    disclosed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyDisclosed:
    """Somebody may know the card's management key; or not any more, once it was replaced."""

    disclosed: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class PinChanged:
    """Whose PIN is on the card."""

    pin: PinState


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyChanged:
    """The key in a slot: intended before GENERATE, unproven after, proven once it signed."""

    key: KeyRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateChanged:
    """A certificate request and what became of it; stored before the certificate authority is asked."""

    certificate: CertificateRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateTaskAsked:
    """A certificate authority is to do this; it replaces what it was to do with the same certificate before.

    A certificate that is to be revoked is withdrawn from its directory, too.
    """

    task: CertificateTask


@dataclass(frozen=True, slots=True, kw_only=True)
class CertificateTaskDone:
    """What a certificate authority was to do with this certificate was done here, or is not wanted any more."""

    request_id: RequestId


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteBackAsked:
    """A directory is to be told of a certificate, which was proven on the card."""

    entry: WriteBack


@dataclass(frozen=True, slots=True, kw_only=True)
class CredentialChanged:
    """The card's credential: bound, issued, activated."""

    credential: CredentialRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatorRegistered:
    """The keys of `operator`, which belong to this card's credential, log its holder on.

    Who is an operator already stays as it is; else `operator` is added. Other keys of the same credential, and those of the
    credential that it `replaces`, count no more; of a System Owner, who is active again, no other key does. With one of kind
    *operator*, the passcode of the first start goes.
    """

    operator: OperatorRecord
    replaces: CredentialId | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeEnded:
    """A one-time code of this credential, if there is one, counts no more: what it was for is done, or not possible now."""

    credential_id: CredentialId


@dataclass(frozen=True, slots=True, kw_only=True)
class StateChanged:
    """The combined state of the card; with one that is out of use for good, its certificates are withdrawn from directories."""

    state: State


@dataclass(frozen=True, slots=True, kw_only=True)
class SecretsCarried:
    """This station carried secrets of the card (it must be listed when the station is compromised)."""

    station: StationId


@dataclass(frozen=True, slots=True, kw_only=True)
class ApprovalSpent:
    """This approval is spent by the operation, and by nothing else; nothing is written where it is not open any more."""

    request_id: UUID


@dataclass(frozen=True, slots=True, kw_only=True)
class OperationClosed:
    """The operation ended; `code` is `done` or an error's code.

    `done` ends operation and lease. A failure keeps the operation open: it is a cut, continued at the card's next
    insertion; with `abandon` it is closed for good (nothing had been changed).
    """

    code: str
    abandon: bool = False


Change = (
    SecretChanged
    | ManagementAlgorithmChanged
    | PinChanged
    | PukDisclosed
    | KeyDisclosed
    | KeyChanged
    | CertificateChanged
    | CertificateTaskAsked
    | CertificateTaskDone
    | WriteBackAsked
    | CredentialChanged
    | OperatorRegistered
    | CodeEnded
    | StateChanged
    | SecretsCarried
    | ApprovalSpent
    | OperationClosed
    | AuditRecord
)
