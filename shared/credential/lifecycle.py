"""What may follow what: the one table of a credential's life.

The server enforces it, every face shows just what it makes reachable. Only operations that exist are in it.
"""

from dataclasses import dataclass
from enum import StrEnum, unique
from typing import Final

from shared import errors
from shared.credential.model import State


@unique
class OperationKind(StrEnum):
    """What can be done to a card; the names are those of `kiosk do`."""

    ISSUE = "issue"
    ACTIVATE = "activate"
    CHANGE_PIN = "change-pin"
    UNBLOCK = "unblock"
    UPDATE = "update"
    REVOKE = "revoke"
    RETIRE = "retire"


CONTINUED: Final = frozenset(OperationKind) - {OperationKind.CHANGE_PIN}
"""Operations that are gone on with after a cut. A change of the PIN leaves nothing half done: the old one is in force,
or the new one, and the holder knows both."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Transition:
    """One operation: the states it starts from and the state it ends in (None: as it was)."""

    operation: OperationKind
    sources: frozenset[State]
    target: State | None


LIFECYCLE: Final = (
    Transition(
        operation=OperationKind.ISSUE,
        sources=frozenset({State.UNREGISTERED, State.REGISTERED, State.RETIRED}),
        target=State.ISSUED,
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
        operation=OperationKind.UPDATE,
        sources=frozenset({State.ISSUED, State.ACTIVE}),
        target=None,
    ),
    Transition(
        operation=OperationKind.RETIRE,
        sources=frozenset({State.ISSUED, State.ACTIVE, State.REVOKED}),
        target=State.RETIRED,
    ),
    Transition(
        operation=OperationKind.REVOKE,
        sources=frozenset({State.ISSUED, State.ACTIVE}),
        target=State.REVOKED,
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
