"""The one interface between the station and its faces.

Desk, self-service, batch, command line and tests call a `Station`; they differ in who answers the questions
(`Person`) and in who sees the progress (`Watcher`).
"""

from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import dataclass, field
from enum import StrEnum, unique
from typing import Protocol
from uuid import UUID

from kiosk.ports import Paper as Paper  # noqa: PLC0414  # faces print on it
from kiosk.ports import Printer as Printer  # noqa: PLC0414  # likewise
from shared.approvals import ApprovalView, ApprovalWish
from shared.console import CardView, Comparison, Found, ServerView, TemplateView
from shared.credential.pins import PinPolicy
from shared.credentials import CodeView, DecisionView, FoundCredentials
from shared.errors import Fact, KioskError
from shared.operators import OperatorSummary, RoleSummary
from shared.relay import Begin, OperationKind, StepLine
from shared.roles import Level, Permissions
from shared.secret import Secret
from shared.sessions import SessionView


@dataclass(frozen=True, slots=True, kw_only=True)
class CardSeen:
    """The card in a reader as the station itself read it (not proof of anything).

    `product` is a name for people ("YubiKey 5.7"), `serial` None where the card has none, `tries_left` None
    where it does not tell. `certificates` are texts such as `9A CN=Bob Smith until 2028-11-20`.
    """

    product: str
    profile: str
    serial: int | None = None
    pin_tries_left: int | None = None
    puk_tries_left: int | None = None
    certificates: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ReaderView:
    """One reader for the reader bar: empty, being read, holding a card, holding what is not ours to use.

    `card` is what the station saw, `record` what the server says; `error` why either is missing. A card with
    neither record nor error waits for the line to the server.
    `busy` while an operation runs in it. `permissions` are those of who is logged on; None where nobody has to be.
    """

    name: str
    virtual: bool
    present: bool = False
    reading: bool = False
    busy: bool = False
    card: CardSeen | None = None
    record: CardView | None = None
    error: KioskError | None = None
    permissions: Permissions | None = None

    def allows(self, operation: OperationKind) -> Level:
        """Return how far who is logged on may go with an operation on this card; the server has the last word."""
        if self.permissions is None:
            return Level.EXECUTE
        template = (self.record.template if self.record else "") or None
        if template is None and operation is OperationKind.ISSUE:
            return self.permissions.anywhere(operation)  # which template is asked later
        return self.permissions.allowed(operation, template)


@unique
class Ended(StrEnum):
    """How the last session of this face ended."""

    LOGGED_OFF = "logged-off"
    CARD_REMOVED = "card-removed"
    DETACHED = "detached"
    """The ssh-agent is gone."""
    IDLE = "idle"
    BY_SERVER = "by-server"
    """The operator, the card or the roles count no more, or its time was over."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StationView:
    """Everything that a face draws between operations. `problem` is a station-wide one (pcscd gone).

    Where `connected` is false, `connecting` tells a line that is being opened from one that was tried in vain.
    `operator` is who is logged on, with `permissions`; `locked` says that somebody has to log on first, `ended` how the
    session before ended.
    """

    server: ServerView | None
    connected: bool
    connecting: bool = False
    readers: tuple[ReaderView, ...] = ()
    problem: KioskError | None = None
    operator: SessionView | None = None
    permissions: Permissions | None = None
    locked: bool = False
    ended: Ended | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What is to be done to the card in one reader.

    `holder` and `template` only for `issue`; `reason` (a `Cause`) for what takes a credential out of use. For
    `replaces`, `primary`, `slots`, `temporary_pin` and `roles` see `shared.relay.Begin`.
    """

    operation: OperationKind
    reader: str
    holder: str = ""
    template: str = ""
    reason: str = ""
    replaces: str = ""
    primary: str = ""
    slots: tuple[str, ...] = ()
    temporary_pin: bool = False
    code: Secret | None = None
    roles: tuple[str, ...] = ()

    def begin(self, *, virtual: bool) -> Begin:
        """Return the job as the server is asked for it; `virtual`: card and reader are not hardware."""
        return Begin(
            operation=self.operation,
            reader=self.reader,
            virtual=virtual,
            holder=self.holder,
            template=self.template,
            reason=self.reason,
            replaces=self.replaces,
            primary=self.primary,
            slots=self.slots,
            temporary_pin=self.temporary_pin,
            code=self.code,
            roles=self.roles,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How an operation ended: `error` None means done. `state` is the combined state of the card now.

    `next_action` is a stable key for words. `round_trips` and `commands` count exchanges and card commands.
    """

    operation: OperationKind
    state: str
    error: KioskError | None = None
    next_action: str = ""
    facts: dict[str, Fact] = field(default_factory=dict)
    round_trips: int = 0
    commands: int = 0
    seconds: float = 0.0


class Person(Protocol):
    """Whoever answers the questions of an operation. None means "stop"."""

    async def new_pin(self, policy: PinPolicy, problem: KioskError | None) -> Secret | None:
        """Ask for a new PIN, typed twice; `problem` is why the last one was refused."""
        ...

    async def current_pin(self, tries_left: int | None, problem: KioskError | None) -> Secret | None:
        """Ask for the present PIN; `problem` is why the last one was refused."""
        ...

    async def confirm_few_tries(self, tries_left: int) -> bool:
        """Ask whether to go on although few tries are left."""
        ...

    async def keep_code(self, code: Secret) -> bool:
        """Show the System Owner's unblock code, once, and return whether it was kept. `code` is wiped afterwards."""
        ...

    async def present_code(self) -> Secret | None:
        """Ask for that code."""
        ...


class Watcher(Protocol):
    """Whoever sees an operation's progress. Calls come from the event loop and return at once."""

    def steps(self, steps: Sequence[StepLine]) -> None:
        """Take the whole list of steps; it may come again when the plan changes."""
        ...

    def step(self, index: int, *, done: bool, expected_ms: int) -> None:
        """Note that step `index` (from 0) started, or is done."""
        ...


class Station(Protocol):
    """Everything that a face may do."""

    def views(self) -> AsyncIterator[StationView]:
        """Yield the present view at once, then a new one at every change."""
        ...

    async def find_people(self, text: str, limit: int = 50, directory: str = "") -> Found:
        """Search the directory."""
        ...

    async def templates(self) -> Sequence[TemplateView]:
        """Return the templates that this station may issue."""
        ...

    async def find_credentials(self, text: str, limit: int = 50) -> FoundCredentials:
        """Search credentials by their holders, whether or not their cards are here."""
        ...

    async def decide(self, record_id: UUID, operation: OperationKind, reason: str) -> DecisionView:
        """Suspend, resume, revoke or delete a credential whose card is not here.

        Raises:
            KioskError: it was not decided.
        """
        ...

    async def read_out(self, record_id: UUID) -> CodeView:
        """Tell the code that unblocks a card far away, which is disclosed from then on."""
        ...

    async def make_unblock_code(self, record_id: UUID) -> CodeView:
        """Make a code with which a holder unblocks the card at a station, once."""
        ...

    async def perform(self, job: Job, person: Person, watcher: Watcher) -> Outcome:
        """Do one operation; never raises for what can go wrong with cards and servers, see `Outcome.error`.

        Cancelling the task stops at the next border between two steps.
        """
        ...

    async def refresh(self, reader: str) -> ReaderView:
        """Read the card in `reader` again and look it up."""
        ...

    async def compare(self, reader: str, template: str) -> Comparison:
        """Compare the card in `reader`, as it was read last, with a template: its own where none is named.

        Raises:
            CardMissing: no card was read there.
            UnknownTemplate: there is no template of this name.
        """
        ...

    async def close(self) -> None:
        """Let go of readers and line."""
        ...


class Logons(Protocol):
    """Where operators log on; a face offers the keys only where there is one."""

    async def log_on(self, reader: str, person: Person) -> SessionView:
        """Log on with the operator's card in `reader`.

        Raises:
            LogonRefused: this card logs nobody on here.
            Cancelled: the operator stopped.
            KioskError: card, reader, or server.
        """
        ...

    @property
    def agent_there(self) -> bool:
        """Whether an ssh-agent was forwarded to this log-in."""
        ...

    async def log_on_by_agent(self) -> SessionView:
        """Log on through the forwarded ssh-agent, which proves possession only.

        Raises:
            LogonRefused: its key logs nobody on here.
            KioskError: agent, or server.
        """
        ...

    async def step_up(self, person: Person) -> SessionView:
        """Prove the operator's card and PIN again, for what is sensitive.

        Raises:
            LogonNeeded: nobody is logged on.
            PresenceNeeded: who is logged on came through an ssh-agent, which proves possession only.
            CardChanged: the operator's card is not where it was.
            KioskError: as `log_on`.
        """
        ...

    async def log_off(self) -> None:
        """End the session."""
        ...

    def touch(self) -> None:
        """Note that somebody is there."""
        ...


class Inbox(Protocol):
    """Where a second person approves; a face offers the key only where there is one. Every call raises the server's own error."""

    def views(self) -> AsyncIterator[Sequence[ApprovalView]]:
        """Yield the requests that wait for who is logged on, and their own, at once and after every change."""
        ...

    async def show(self, request_id: UUID) -> ApprovalView:
        """Return one request, whatever became of it."""
        ...

    async def ask(self, wish: ApprovalWish) -> ApprovalView:
        """Ask for approvals of what one may do oneself."""
        ...

    async def approve(self, seen: ApprovalView, reader: str, person: Person) -> ApprovalView:
        """Have the card in `reader` approve what was `seen`; its PIN is asked of `person`.

        Raises:
            ApprovalRefused: the request does not wait any more, or whoever's card it is does not approve it.
            Cancelled: the approver stopped.
            KioskError: card, reader, or server.
        """
        ...

    async def decline(self, request_id: UUID, why: str) -> ApprovalView:
        """Decline a request for good."""
        ...

    async def withdraw(self, request_id: UUID) -> ApprovalView:
        """Take back one's own request."""
        ...


class Colleagues(Protocol):
    """The operators, looked after by one of them. Every call raises the server's own error.

    An operator is named by id. What changes one raises `StepUpNeeded` where the PIN is needed again, `ApprovalNeeded` where it
    takes a second person, who has been asked by that, and `NotAllowed` where one would give more than one has.
    """

    async def all(self) -> Sequence[OperatorSummary]:
        """Return every operator, by name."""
        ...

    async def roles(self) -> Sequence[RoleSummary]:
        """Return every role."""
        ...

    async def activate(self, which: str, why: str) -> OperatorSummary:
        """Let an operator log on again."""
        ...

    async def deactivate(self, which: str, why: str) -> OperatorSummary:
        """Let an operator log on no more."""
        ...

    async def set_roles(self, which: str, roles: Collection[str], why: str) -> OperatorSummary:
        """Give an operator these roles and no others."""
        ...


class VirtualDesk(Protocol):
    """Virtual cards that the demo inserts and pulls; a face offers the keys only where there is one."""

    def cards(self) -> Sequence[str]:
        """Return the names of all virtual cards."""
        ...

    async def insert(self, reader: str, card: str) -> None:
        """Put a virtual card into a virtual reader."""
        ...

    async def pull(self, reader: str) -> None:
        """Take the card out, whatever it is doing."""
        ...
