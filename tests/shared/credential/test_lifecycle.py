"""What may follow what."""

import pytest

from shared import errors
from shared.credential.lifecycle import (
    CONTINUED,
    ENDING,
    LIFECYCLE,
    WITHOUT_CARD,
    OperationKind,
    reachable,
    target,
)
from shared.credential.model import State


def test_every_operation_is_in_the_table_once() -> None:
    assert sorted(way.operation for way in LIFECYCLE) == sorted(OperationKind)


@pytest.mark.parametrize(
    ("state", "operations"),
    [
        (State.UNREGISTERED, "issue register"),
        (State.REGISTERED, "issue update unregister delete"),
        (State.ISSUED, "activate update retire revoke delete"),
        (
            State.ACTIVE,
            "change-pin unblock update renew reissue suspend retire revoke delete",
        ),
        (State.SUSPENDED, "resume update retire revoke delete"),
        (State.REVOKED, "update retire delete"),
        (State.RETIRED, "issue update unregister delete"),
        (State.DELETED, "update unregister"),
    ],
)
def test_what_is_reachable(state: State, operations: str) -> None:
    assert " ".join(reachable(state)) == operations


def test_where_an_operation_leads() -> None:
    assert target(OperationKind.ISSUE, State.UNREGISTERED) is State.ISSUED
    assert target(OperationKind.CHANGE_PIN, State.ACTIVE) is State.ACTIVE


def test_what_is_not_reachable_is_refused() -> None:
    for state in State:
        for operation in OperationKind:
            if operation in reachable(state):
                continue
            with pytest.raises(errors.TransitionForbidden) as caught:
                target(operation, state)
            assert caught.value.facts == {"operation": operation.value, "state": state.value}


def test_every_state_can_be_left_for_the_factory() -> None:
    """No card is kept for ever: from everywhere there is a way back to where it came from."""
    reached = {State.UNREGISTERED}
    while True:
        more = {
            state
            for way in LIFECYCLE
            for state in way.sources
            if (way.target or state) in reached and state not in reached
        }
        if not more:
            break
        reached |= more
    assert reached == set(State)


def test_what_is_decided_without_the_card_leaves_nothing_to_continue() -> None:
    assert {OperationKind.SUSPEND, OperationKind.REVOKE, OperationKind.DELETE} == WITHOUT_CARD - CONTINUED
    assert ENDING > WITHOUT_CARD - CONTINUED
