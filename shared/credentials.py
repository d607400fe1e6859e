"""What a station's faces ask about credentials whose cards are not here, and the answers, as values."""

from dataclasses import dataclass, field
from uuid import UUID

from shared.credential.lifecycle import OperationKind
from shared.credential.model import State
from shared.errors import Fact
from shared.secret import Secret


@dataclass(frozen=True, slots=True, kw_only=True)
class CredentialView:
    """A credential as a face lists it.

    `record_id` names the card in the record; `credential_id` is None for a card that is only being issued. Times are
    ISO 8601 in UTC or empty; `reason` is a `Cause`. `reachable` is what may be done without the card. `waits_for_card`:
    what was decided has not reached the card yet; `waiting` counts what certificate authorities have yet to do. `replaces`
    and `primary` are the credentials in whose place this one was made.
    """

    record_id: UUID
    credential_id: UUID | None
    state: State
    holder: str
    holder_name: str
    template: str = ""
    template_title: str = ""
    template_version: int = 0
    profile: str = ""
    serial: int | None = None
    issued_at: str = ""
    since: str = ""
    ends_at: str = ""
    reason: str = ""
    reachable: tuple[OperationKind, ...] = ()
    interrupted: OperationKind | None = None
    waits_for_card: bool = False
    waiting: int = 0
    replaces: UUID | None = None
    primary: UUID | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundCredentials:
    """Credentials that matched a search; `more` says that the limit cut the list."""

    credentials: tuple[CredentialView, ...] = ()
    more: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeView:
    """A code that is shown once. `expires_at` is ISO 8601 in UTC; empty where it does not end by itself."""

    code: Secret
    expires_at: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class DecisionView:
    """What came of a decision: the combined state, and facts for words (`holder`, `reason`, `waiting`)."""

    state: State
    facts: dict[str, Fact] = field(default_factory=dict)
