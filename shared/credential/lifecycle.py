"""What may follow what: the one table of a credential's life.

The server enforces it, every face shows just what it makes reachable.
"""

from dataclasses import dataclass
from enum import StrEnum, unique
from typing import Final

from shared import errors
from shared.credential.model import State


@unique
class OperationKind(StrEnum):
    """What can be done to a card; the names are those of `kiosk do`."""

    REGISTER = "register"
    ISSUE = "issue"
    ACTIVATE = "activate"
    CHANGE_PIN = "change-pin"
    UNBLOCK = "unblock"
    UPDATE = "update"
    RENEW = "renew"
    REISSUE = "reissue"
    SUSPEND = "suspend"
    RESUME = "resume"
    REVOKE = "revoke"
    RETIRE = "retire"
    UNREGISTER = "unregister"
    DELETE = "delete"


CONTINUED: Final = frozenset(OperationKind) - {
    OperationKind.CHANGE_PIN,
    OperationKind.SUSPEND,
    OperationKind.REVOKE,
    OperationKind.DELETE,
}
"""Operations that are gone on with after a cut. A change of the PIN leaves nothing half done: the old one is in force,
or the new one, and the holder knows both. Suspension, revocation and deletion are decided in one commit; what they
mean for the card is then due, and `update` brings it there."""

ASKING_PIN: Final = frozenset({OperationKind.CHANGE_PIN, OperationKind.RENEW, OperationKind.REISSUE})
"""Operations that take the holder's present PIN, so that none can start, or go on, while it is blocked. One that was cut
gives way to unblocking; whatever it left undone is seen, and done by starting it again."""

WITHOUT_CARD: Final = frozenset(
    {OperationKind.SUSPEND, OperationKind.RESUME, OperationKind.REVOKE, OperationKind.DELETE}
)
"""Operations that need no card; what they mean for it is carried to it when it next appears. Resuming without the card
is possible only while the suspension has not reached it: then its holder's PIN is still in force."""

AT_SIGHT: Final = frozenset({OperationKind.UPDATE})
"""Operations that begin without a person as soon as a card is seen; a station lets a server have no other."""

ENDING: Final = frozenset(
    {OperationKind.SUSPEND, OperationKind.REVOKE, OperationKind.RETIRE, OperationKind.DELETE}
)
"""Operations that take a credential out of use, and ask why."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    """One operation: the states it starts from and the state it ends in (None: as it was)."""

    operation: OperationKind
    sources: frozenset[State]
    target: State | None


_RECORDED: Final = frozenset(State) - {State.UNREGISTERED}

LIFECYCLE: Final = (
    Transition(
        operation=OperationKind.ISSUE,
        sources=frozenset({State.UNREGISTERED, State.REGISTERED, State.RETIRED}),
        target=State.ISSUED,
    ),
    Transition(
        operation=OperationKind.REGISTER,
        sources=frozenset({State.UNREGISTERED}),
        target=State.REGISTERED,
    ),
    Transition(
        operation=OperationKind.ACTIVATE,
        sources=frozenset({State.ISSUED}),
        target=State.ACTIVE,
    ),
    Transition(
        operation=OperationKind.CHANGE_PIN,
        sources=frozenset({State.ACTIVE}),
        target=None,
    ),
    Transition(
        operation=OperationKind.UNBLOCK,
        sources=frozenset({State.ACTIVE}),
        target=None,
    ),
    Transition(
        operation=OperationKind.RESUME,
        sources=frozenset({State.SUSPENDED}),
        target=State.ACTIVE,
    ),
    Transition(
        operation=OperationKind.UPDATE,
        sources=_RECORDED,
        target=None,
    ),
    Transition(
        operation=OperationKind.RENEW,
        sources=frozenset({State.ACTIVE}),
        target=None,
    ),
    Transition(
        operation=OperationKind.REISSUE,
        sources=frozenset({State.ACTIVE}),
        target=None,
    ),
    Transition(
        operation=OperationKind.SUSPEND,
        sources=frozenset({State.ACTIVE}),
        target=State.SUSPENDED,
    ),
    Transition(
        operation=OperationKind.RETIRE,
        sources=frozenset({State.ISSUED, State.ACTIVE, State.SUSPENDED, State.REVOKED}),
        target=State.RETIRED,
    ),
    Transition(
        operation=OperationKind.REVOKE,
        sources=frozenset({State.ISSUED, State.ACTIVE, State.SUSPENDED}),
        target=State.REVOKED,
    ),
    Transition(
        operation=OperationKind.UNREGISTER,
        sources=frozenset({State.REGISTERED, State.RETIRED, State.DELETED}),
        target=State.UNREGISTERED,
    ),
    Transition(
        operation=OperationKind.DELETE,
        sources=_RECORDED - {State.DELETED},
        target=State.DELETED,
    ),
)
"""In the order in which a face offers them: the obvious next one of a state first."""


def reachable(state: State) -> tuple[OperationKind, ...]:
    """Return the operations that may start in `state`, the obvious next one first."""
    return tuple(way.operation for way in LIFECYCLE if state in way.sources)


def target(operation: OperationKind, state: State) -> State:
    """Return the state that `operation` leads to from `state`.

    Raises:
        TransitionForbidden: the table has no such way.
    """
    for way in LIFECYCLE:
        if way.operation is operation and state in way.sources:
            return way.target or state
    raise errors.TransitionForbidden(operation=operation.value, state=state.value)
