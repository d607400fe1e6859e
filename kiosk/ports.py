"""What the station's core needs from devices and from the server. Implementations: `devices`, `backend`."""

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from enum import StrEnum, unique
from typing import Protocol
from uuid import UUID

from shared.console import CardHints, CardView, Comparison, Found, ServerView, TemplateView
from shared.credential.lifecycle import OperationKind
from shared.credentials import CodeView, DecisionView, FoundCredentials
from shared.iso7816.apdu import ColdReset, Command, Response
from shared.logon import LogonPurpose, LogonText
from shared.relay import ServerTurn, StationTurn
from shared.secret import Secret
from shared.sessions import Leaving, Proof, SessionView


@dataclass(frozen=True, slots=True, kw_only=True)
class ReaderInfo:
    """A reader. `virtual` readers hold cards in memory and are only for lab stations."""

    name: str
    virtual: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CardPresent:
    """A card was put into a reader. `atr` as the reader reports it."""

    reader: ReaderInfo
    atr: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class CardAbsent:
    """A reader is empty now (or was when watching began)."""

    reader: ReaderInfo


@dataclass(frozen=True, slots=True, kw_only=True)
class ReaderAttached:
    """A reader appeared; a `CardPresent` or `CardAbsent` follows."""

    reader: ReaderInfo


@dataclass(frozen=True, slots=True, kw_only=True)
class ReaderDetached:
    """A reader was unplugged."""

    reader: ReaderInfo


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadersFailed:
    """The reader service stopped (pcscd ended); the watch goes on and reports readers when it is back."""

    reason: str


ReaderEvent = CardPresent | CardAbsent | ReaderAttached | ReaderDetached | ReadersFailed


@dataclass(frozen=True, slots=True, kw_only=True)
class Filled:
    """A command whose holes are filled: what really goes to the card. `data` is wiped after use.

    `masked` is what a trace may show in place of `data`.
    """

    command: Command
    data: bytearray
    masked: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class Spoken:
    """What came of a batch: responses up to the first one not accepted; `lost` where the card left."""

    responses: tuple[Response, ...]
    lost: bool = False


class CardSession(Protocol):
    """Exclusive use of the card in one reader, inside one transaction. Works in the reader's own thread."""

    async def exchange(self, items: Sequence[Filled | ColdReset]) -> Spoken:
        """Send items in order, stop after the first response that is not accepted."""
        ...


class Readers(Protocol):
    """All readers of this station of one kind (PC/SC, virtual), or several kinds together."""

    async def all(self) -> Sequence[ReaderInfo]:
        """Return the readers attached now."""
        ...

    def watch(self) -> AsyncIterator[ReaderEvent]:
        """Report what is there, then every change, until the iterator is closed."""
        ...

    def session(self, reader: str) -> AbstractAsyncContextManager[CardSession]:
        """Open the card in `reader` and begin a transaction; on leaving, reset the card and end it.

        Raises:
            NoReader: no reader of this name.
            CardMissing: the reader is empty.
            ReaderBusy: another program has the card exclusively.
        """
        ...

    async def close(self) -> None:
        """End threads and let go of every reader."""
        ...


@unique
class LinkState(StrEnum):
    """How the line to the server is."""

    CONNECTED = "connected"
    CONNECTING = "connecting"
    LOST = "lost"


class Backend(Protocol):
    """The server. Every call raises `ServerUnreachable` when it does not answer, else the server's own error."""

    def operation(self, turns: AsyncIterator[StationTurn]) -> AsyncIterator[ServerTurn]:
        """Open one operation's stream; `ConnectionLost` where it is cut before `Done` or `Failed`."""
        ...

    async def who_am_i(self) -> ServerView:
        """Return how the server knows this station."""
        ...

    async def look_up(self, hints: CardHints) -> CardView:
        """Return what the record says of a card."""
        ...

    async def compare(self, hints: CardHints, template: str) -> Comparison:
        """Return how a card differs from a template: the one of its credential where none is named."""
        ...

    async def find_people(self, text: str, limit: int, directory: str = "") -> Found:
        """Search one directory, or all of them where none is named."""
        ...

    async def templates(self) -> Sequence[TemplateView]:
        """Return the templates that this station may issue."""
        ...

    async def find_credentials(self, text: str, limit: int) -> FoundCredentials:
        """Search credentials by their holders, whether or not their cards are here."""
        ...

    async def decide(self, record_id: UUID, operation: OperationKind, reason: str) -> DecisionView:
        """Suspend, resume, revoke or delete a credential whose card is not here."""
        ...

    async def read_out(self, record_id: UUID) -> CodeView:
        """Tell the code that unblocks a card far away, which is disclosed from then on."""
        ...

    async def make_unblock_code(self, record_id: UUID) -> CodeView:
        """Make a code with which a holder unblocks the card at a station, once."""
        ...

    def link(self) -> AsyncIterator[LinkState]:
        """Report the line's state now and at every change."""
        ...

    async def close(self) -> None:
        """Close the line."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class LineEnds:
    """Who speaks with whom: the name under which the server is called, and the SHA-256 of our certificate."""

    server: str
    station: bytes


class SessionLine(Protocol):
    """The server, where operators log on. The line keeps the session's token and sends it with every call.

    Every call raises `ServerUnreachable` when the server does not answer, else the server's own error.
    """

    @property
    def ends(self) -> LineEnds:
        """Who speaks with whom, as TLS has proven it."""
        ...

    async def challenge(self, purpose: LogonPurpose) -> bytes:
        """Ask for a text that the operator's key is to sign."""
        ...

    async def log_on(self, proof: Proof) -> SessionView:
        """Begin a session; from now on its token goes with every call."""
        ...

    async def step_up(self, proof: Proof) -> SessionView:
        """Prove the operator's key again, as it was proven at the log-on."""
        ...

    async def log_off(self, why: Leaving = Leaving.LOGGED_OFF) -> None:
        """Forget the token at once, then tell the server."""
        ...

    async def who_is(self) -> SessionView:
        """Return who is logged on; `LogonNeeded` where nobody is."""
        ...

    def when_ended(self, told: Callable[[], None]) -> None:
        """Call `told` when the server says that the session has ended; its token is forgotten by then."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentKey:
    """A key that an ssh-agent holds. `public_key` is DER SubjectPublicKeyInfo; `comment` is whatever the agent says."""

    public_key: bytes
    comment: str


class Agent(Protocol):
    """An ssh-agent far away: it has an operator's keys, this place does not.

    Every call raises `NoAgent` where none answers in time, and `Garbled` where it answers nonsense.
    """

    @property
    def named(self) -> bool:
        """Whether this place was told of one at all; whether it answers is another matter."""
        ...

    async def keys(self) -> Sequence[AgentKey]:
        """Return the keys that may log somebody on; those of other kinds are left out."""
        ...

    async def sign(self, public_key: bytes, text: LogonText) -> bytes:
        """Have a text signed in our namespace (SSHSIG), and return the signature, which is this key's.

        Raises:
            AgentKeyMissing: the agent does not hold this key.
            AgentRefused: it does, and does not sign.
        """
        ...

    async def gone(self) -> None:
        """Return when the agent is not there any more: its line was cut, or whoever is behind it has left."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Printer:
    """What would print a text here: its `name`, or `why` there is none."""

    name: str = ""
    why: str = ""


class Paper(Protocol):
    """Prints a few lines of text on paper."""

    async def look(self) -> Printer:
        """Return the printer that would be used, or why there is none."""
        ...

    async def put(self, printer: str, text: Secret) -> str:
        """Print a text; return why it was not taken, or nothing. `text` stays whose it is."""
        ...
