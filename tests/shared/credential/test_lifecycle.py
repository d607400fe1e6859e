"""What may follow what."""

import pytest

from shared import errors
from shared.credential.lifecycle import LIFECYCLE, OperationKind, reachable, target
from shared.credential.model import State


def test_every_operation_is_in_the_table_once() -> None:
    assert sorted(way.operation for way in LIFECYCLE) == sorted(OperationKind)


@pytest.mark.parametrize(
    ("state", "operations"),
    [
        (State.UNREGISTERED, (OperationKind.ISSUE,)),
        (State.REGISTERED, (OperationKind.ISSUE,)),
        (
            State.ISSUED,
            (OperationKind.ACTIVATE, OperationKind.UPDATE, OperationKind.RETIRE, OperationKind.REVOKE),
        ),
        (State.RETIRED, (OperationKind.ISSUE,)),
        (
            State.ACTIVE,
            (
                OperationKind.CHANGE_PIN,
                OperationKind.UNBLOCK,
                OperationKind.UPDATE,
                OperationKind.RETIRE,
                OperationKind.REVOKE,
            ),
        ),
        (State.REVOKED, (OperationKind.RETIRE,)),
        (State.DELETED, ()),
    ],
)
def test_what_is_reachable(state: State, operations: tuple[OperationKind, ...]) -> None:
    assert reachable(state) == operations


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
