"""The turns between server and station, as values.

One stream per operation. The station begins; then the server says what to send to the card and what to ask
the person, and the station answers. `shared.proto.convert` turns these into messages; nothing else does.

What each turn may do with the holder's secrets is decided by the station (`kiosk.station.relay`), not here.
"""

from dataclasses import dataclass, field
from enum import StrEnum, unique

from shared.credential.lifecycle import OperationKind as OperationKind  # noqa: PLC0414  # a word of the turns
from shared.credential.pins import PinPolicy
from shared.errors import Fact, KioskError
from shared.iso7816.apdu import Item, Response
from shared.secret import Secret


@unique
class Question(StrEnum):
    """What a station asks a person."""

    CURRENT_PIN = "current-pin"
    NEW_PIN = "new-pin"
    CONFIRM = "confirm"
    NEW_CODE = "new-code"
    """Draw the unblock code of the System Owner's card, show it once, and have it kept."""
    PRESENT_CODE = "present-code"
    """That code, typed by whoever kept it."""


@unique
class Purpose(StrEnum):
    """What a PIN that is filled into a hole serves; the station lets only matching commands pass after it."""

    ISSUE = "issue"
    """A transport PIN, drawn by the station: sign certificate requests, prove keys, read back."""
    ACTIVATE = "activate"
    """The holder's first PIN: set it, verify it, prove keys."""
    CHANGE_PIN = "change-pin"
    """The holder's present and new PIN: change it, nothing else."""
    UNBLOCK = "unblock"
    """The holder's new PIN, the present one being blocked or forgotten: set it, verify it."""
    END = "end"
    """A PIN that nobody knows takes the place of the holder's, because the credential is out of use: set it, nothing
    else."""
    PROVE = "prove"
    """The holder's present PIN, while keys or certificates are replaced: sign certificate requests, prove keys."""


# --- the station speaks ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Begin:
    """Open an operation on the card in one reader. Fields that an operation does not need stay empty.

    `holder` is the directory's immutable id; `template` a template's name; `reader` the reader's name for
    records and messages; `virtual` says that card and reader are not hardware; `reason` is a `Cause`, for what takes
    a credential out of use. An issue may name the credential (its id) that the new one `replaces`, or its `primary`,
    for which it stands in for a time; `reason` then says why. `slots` narrows what is renewed or reissued, in the
    texts of `Slot`. `temporary_pin` says of an activation or unblocking that somebody else than the holder chooses
    the PIN, who therefore has to change it. `roles` are the names of those that the credential of an operator carries.
    """

    operation: OperationKind
    reader: str
    virtual: bool
    holder: str = ""
    template: str = ""
    reason: str = ""
    replaces: str = ""
    primary: str = ""
    slots: tuple[str, ...] = ()
    temporary_pin: bool = False
    code: Secret | None = None
    roles: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Responses:
    """What the card said to exchange `number`, up to and with the first response that was not accepted."""

    number: int
    responses: tuple[Response, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Working:
    """The card is still busy with exchange `number`; keeps the lease alive."""

    number: int


@dataclass(frozen=True, slots=True, kw_only=True)
class CardGone:
    """The card left during exchange `number`, or was reset by another program; `responses` came before that."""

    number: int
    responses: tuple[Response, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """The station will not do turn `number`; the error says why (a hole where none may be, a stale epoch)."""

    number: int
    error: KioskError


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a person said to ask `number`. A PIN never travels: `given` says only that the station has it."""

    number: int
    given: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Cancel:
    """The person wants to stop; the server stops at the next border between two steps."""


StationTurn = Begin | Responses | Working | CardGone | Refusal | Answer | Cancel


# --- the server speaks ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    """Send these items to the card, in order, inside one PC/SC transaction that lasts until `release`.

    `epoch` is the lease's; a station refuses one older than it has seen for this operation. After the batch
    with `release` the card is reset and the transaction ends; so it does whenever the operation ends.
    """

    number: int
    items: tuple[Item, ...]
    epoch: int
    release: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Draw:
    """Draw a random transport PIN for hole `hole`, good for `uses` fillings, forgotten with the operation.

    No answer. `length` counts decimal digits.
    """

    hole: str
    uses: int
    length: int = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask:
    """Put a question to the person, outside any transaction.

    For a PIN, `hole` names where it will be used and `uses` how often, for `purpose`; `policy` binds a new
    PIN; `tries_left` is shown for a current one.
    """

    number: int
    question: Question
    purpose: Purpose
    hole: str = ""
    uses: int = 0
    policy: PinPolicy | None = None
    tries_left: int | None = None
    facts: dict[str, Fact] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class StepLine:
    """One line of the live list: a stable key for the words, and facts to fill in (a slot, a count)."""

    key: str
    facts: dict[str, Fact] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Steps:
    """The whole list of steps, sent when the plan is made. No answer."""

    steps: tuple[StepLine, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class StepChange:
    """Step `index` of the list started (`done` false) or is done. `expected_ms` where known."""

    index: int
    done: bool
    expected_ms: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """Steps started or are done; those that change together are told together. No answer."""

    steps: tuple[StepChange, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Done:
    """The operation is done and recorded. `state` is the combined state of card and credential now."""

    state: str
    facts: dict[str, Fact] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """The operation ended early. `state` is what the record says now; `next_action` a stable key for words."""

    error: KioskError
    state: str
    next_action: str
    facts: dict[str, Fact] = field(default_factory=dict)


ServerTurn = Exchange | Draw | Ask | Steps | Progress | Done | Failed
