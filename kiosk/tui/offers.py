"""What the desk offers for the card in a reader, made from what server and station say of it."""

from kiosk.station.faces import ReaderView
from kiosk.tui.labels import OPERATION_KEYS
from kiosk.tui.run import Run
from shared.credential.lifecycle import LIFECYCLE, OperationKind
from shared.credential.model import State


def pin_blocked(reader: ReaderView) -> bool:
    """Tell whether the holder's PIN has no tries left (before activation nobody has one to lose)."""
    active = reader.record is not None and reader.record.state in (State.ACTIVE, State.SUSPENDED)
    return active and reader.card is not None and reader.card.pin_tries_left == 0


def offered(reader: ReaderView | None) -> tuple[OperationKind, ...]:
    """Return the operations that may be started now, the obvious one first.

    An operation that was cut goes on before anything else starts. What asks for a blocked PIN is left out.
    """
    if reader is None or reader.record is None or reader.busy or reader.reading:
        return ()
    if reader.record.interrupted is not None:
        return (reader.record.interrupted,)
    blocked = {OperationKind.CHANGE_PIN} if pin_blocked(reader) else set()
    return tuple(operation for operation in reader.record.reachable if operation not in blocked)


def ways(reader: ReaderView | None) -> dict[State, str]:
    """Return the states that the card can go to now, each with the key that takes it there."""
    possible = offered(reader)
    if reader is None or reader.record is None or reader.record.interrupted is not None:
        return {}
    state = reader.record.state
    return {
        way.target or state: OPERATION_KEYS[way.operation]
        for way in reversed(LIFECYCLE)
        if way.operation in possible and state in way.sources
    }


def goal(run: Run) -> State | None:
    """Return the state that an operation leads to, None where it leaves the card as it is."""
    return next(way.target for way in LIFECYCLE if way.operation is run.job.operation)
