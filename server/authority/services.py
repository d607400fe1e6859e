"""What the servicers need from rules and operations: one protocol per audience, values in and out."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum, unique
from typing import Protocol
from uuid import UUID

from server.authority.access import Caller
from server.authority.presence import Presence
from server.operations.lateness import Lateness
from server.ports.store import StationRecord
from server.ports.write_back import WriteBack
from shared.console import CardHints, CardView, Comparison, Found, TemplateView
from shared.credential.lifecycle import OperationKind
from shared.credential.model import CertificateTask, RecordId, RequestId, State
from shared.credentials import CodeView, DecisionView, FoundCredentials
from shared.errors import Fact, KioskError
from shared.logon import LogonPurpose
from shared.rehearsal import Rehearsal, RehearsalRequest
from shared.sessions import Leaving, LogonReply, Proof, SessionView
from shared.station_profile import StationProfile


class ConsoleService(Protocol):
    """What a station's faces ask between operations. Who may ask was judged before (`access`)."""

    async def look_up(self, caller: Caller, hints: CardHints) -> CardView:
        """Return what the record says of a card; `UNREGISTERED` where it says nothing."""
        ...

    async def compare(self, caller: Caller, hints: CardHints, template: str) -> Comparison:
        """Return how a card differs from a template: the one of its credential where none is named.

        Raises:
            UnknownTemplate: there is no template of this name.
            Invalid: nothing was seen of the card.
        """
        ...

    async def find_people(self, caller: Caller, text: str, limit: int, directory: str = "") -> Found:
        """Search one directory, or all of them where none is named.

        Raises:
            Invalid: no directory has this name.
            ConnectorUnreachable, ConnectorRefused: the directory's failures.
        """
        ...

    async def templates(self, caller: Caller) -> Sequence[TemplateView]:
        """Return the templates that this station may issue, by name."""
        ...


class CredentialsService(Protocol):
    """Credentials whose cards are not here. Who may ask was judged before (`access`)."""

    async def find(self, caller: Caller, text: str, limit: int) -> FoundCredentials:
        """Search by a part of the holder's name, by the holder's id, or by a credential's id."""
        ...

    async def decide(
        self, caller: Caller, record_id: UUID, operation: OperationKind, reason: str
    ) -> DecisionView:
        """Suspend, resume, revoke or delete.

        Raises:
            UnknownCard, TransitionForbidden, Invalid, CardNeeded, CardLeased: nothing was decided.
        """
        ...

    async def read_out(self, caller: Caller, record_id: UUID) -> CodeView:
        """Tell the code that unblocks a card far away.

        Raises:
            UnknownCard, TransitionForbidden, OperationInterrupted, SecretUnresolved, CardLeased: nothing is disclosed.
        """
        ...

    async def make_unblock_code(self, caller: Caller, record_id: UUID) -> CodeView:
        """Make a code with which a holder unblocks the card at a station, once.

        Raises:
            UnknownCard, TransitionForbidden: there is none.
        """
        ...


class SessionsService(Protocol):
    """Log-ons of operators at the calling station."""

    async def challenge(self, caller: Caller, purpose: LogonPurpose, server: str) -> bytes:
        """Return a text for the operator's card to sign.

        Raises:
            TooManyAttempts, Invalid, LogonNeeded: there is none.
        """
        ...

    async def log_on(self, caller: Caller, proof: Proof) -> LogonReply:
        """Begin a session.

        Raises:
            TooManyAttempts, LogonRefused: nobody is logged on.
        """
        ...

    async def step_up(self, caller: Caller, proof: Proof) -> SessionView:
        """Take the proof again.

        Raises:
            LogonNeeded, SessionEnded, TooManyAttempts, LogonRefused: it does not count.
        """
        ...

    async def log_off(self, caller: Caller, why: Leaving) -> None:
        """End the session; `LogonNeeded` where there is none."""
        ...

    async def who_is(self, caller: Caller) -> SessionView:
        """Return who is logged on; `LogonNeeded` where nobody is."""
        ...


class RehearsalService(Protocol):
    """Dry runs. Who may ask was judged before (`access`)."""

    async def rehearse_issue(self, caller: Caller, request: RehearsalRequest) -> Rehearsal:
        """Return what issuing this card would do; nothing is changed.

        Raises:
            TooManyAttempts: others wait already.
            CannotRehearse: what would be done to this card is not known.
            KioskError: whatever issuing itself would be refused with.
        """
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplateText:
    """A template as an administrator wrote it. `source` is the file's name, for messages only."""

    source: str
    text: str


@unique
class TemplateAction(StrEnum):
    """What applying a text does."""

    CREATE = "create"
    UPDATE = "update"
    """A new version; the old one stays."""
    KEEP = "keep"
    """The newest version already says this."""
    REFUSE = "refuse"
    """It has problems; nothing of the whole set is applied."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TemplateLine:
    """What becomes of one text. Versions count from 1; 0 means none. `changes` are lines of a difference.

    `problems` are errors such as `TemplateInvalid`, `TemplateImpossible`; `warnings` are stable keys or texts.
    """

    source: str
    name: str
    action: TemplateAction
    from_version: int = 0
    to_version: int = 0
    changes: tuple[str, ...] = ()
    problems: tuple[KioskError, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One thing that `doctor` looked at. `subject` is a stable key (`store`, `key-store`, `ca:built-in`, …)."""

    subject: str
    error: KioskError | None = None
    facts: dict[str, Fact] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Whether it is as it should be."""
        return self.error is None


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerStatus:
    """How the server is."""

    server: str
    version: str
    started_at: datetime
    checks: tuple[Check, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyGeneration:
    """One generation of the master key.

    `cards` hold a management key of it; `why` and `actor` are empty where it was made with the key store.
    """

    generation: int
    created_at: datetime
    cards: int = 0
    why: str = ""
    actor: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskView:
    """What an authority still has to do, or a directory has to be told, or what was given up, and about whose card.

    `holder` is a name, or an id where the credential was never made; empty where the record is closed.
    """

    task: CertificateTask | WriteBack
    lateness: Lateness
    slot: str
    holder: str = ""
    serial: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WaitingTasks:
    """The oldest tasks, and how many there are."""

    tasks: tuple[TaskView, ...]
    total: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Retried:
    """What came of trying tasks. `left` were not tried: their authority does not answer, or there are too many."""

    done: int
    failed: int
    left: int


@dataclass(frozen=True, slots=True, kw_only=True)
class JobView:
    """A job of the server: how often it is done, when it was last, and how that went."""

    name: str
    every: timedelta
    last_run_at: datetime | None = None
    note: str = ""
    running: bool = False
    failed: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class StationView:
    """A station, and when it was last heard of."""

    station: StationRecord
    presence: Presence


@dataclass(frozen=True, slots=True, kw_only=True)
class CarriedCard:
    """A card whose secrets a compromised station carried, last `at` that time; `rotates_puk` and `rekeys` at its next contact."""

    record_id: RecordId
    at: datetime
    serial: int | None
    state: State
    holder: str
    rotates_puk: bool
    rekeys: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class CompromisedStation:
    """A station that was declared compromised, and what has to be given other secrets."""

    station: StationRecord
    cards: tuple[CarriedCard, ...]


class RenewalService(Protocol):
    """The next certificates of stations."""

    async def renew(self, caller: Caller, request: bytes) -> bytes:
        """Certify a new key (PKCS#10, DER) of the calling station; return its certificate, DER.

        Raises:
            TooManyAttempts, Invalid, NotAllowed: there is none.
        """
        ...


class AdminService(Protocol):
    """What `kiosk-server` commands ask of the running server, over its Unix socket."""

    async def create_token(self, name: str, *, lab: bool, valid_for: timedelta) -> str:
        """Make a join token and return its text; it works once.

        Raises:
            Invalid: the name or the time is not acceptable.
            NotAllowed: the settings allow no lab stations.
        """
        ...

    async def stations(self) -> Sequence[StationView]:
        """Return every station, by name."""
        ...

    async def block_station(self, which: str, why: str) -> StationRecord:
        """Let a station do nothing any more, at once; what it is doing is cut.

        Raises:
            Invalid: there is no such station, several have this name, or there is no reason.
        """
        ...

    async def unblock_station(self, which: str, why: str) -> StationRecord:
        """Let a blocked station work again; `Invalid` as above, or where it is not blocked."""
        ...

    async def compromise_station(self, which: str, why: str) -> CompromisedStation:
        """Block a station for good and name every card whose secrets it carried; `Invalid` as above."""
        ...

    async def set_station_profile(self, which: str, profile: StationProfile, why: str) -> StationRecord:
        """Say what a station may be used for; `Invalid` as above, or where there is no such template."""
        ...

    async def rename_station(self, which: str, name: str, why: str) -> StationRecord:
        """Call a station by another name; `Invalid` as above, or where the name is not acceptable."""
        ...

    async def plan_templates(self, texts: Sequence[TemplateText]) -> Sequence[TemplateLine]:
        """Say what applying these texts would do; changes nothing."""
        ...

    async def apply_templates(self, texts: Sequence[TemplateText]) -> Sequence[TemplateLine]:
        """Apply all texts or, where one has problems, none."""
        ...

    async def status(self) -> ServerStatus:
        """Check everything that the server needs, outside systems included."""
        ...

    async def key_generations(self) -> Sequence[KeyGeneration]:
        """Return every generation of the master key, the oldest first."""
        ...

    async def new_key_generation(self, why: str) -> KeyGeneration:
        """Make the next generation of the master key and return it; older cards go on working.

        Raises:
            Invalid: there is no reason, or a very long one.
        """
        ...

    async def tasks(self) -> WaitingTasks:
        """Return what certificate authorities still have to do, the oldest first."""
        ...

    async def retry_tasks(self, connection: str, *, given_up: bool) -> Retried:
        """Have tasks tried now: all of them, or those of one connection.

        Raises:
            Invalid: there is no such connection.
        """
        ...

    async def give_up_task(self, request_id: RequestId, why: str) -> TaskView:
        """Stop trying a task; it is kept.

        Raises:
            Invalid: there is no such task, or no reason, or a very long one.
            StoreConflict: it was done just now.
        """
        ...

    async def jobs(self) -> Sequence[JobView]:
        """Return the server's jobs, by name."""
        ...
