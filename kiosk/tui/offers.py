"""What is offered for the card in a reader, as the desk draws it: the way to each state, and where a run leads."""

from kiosk.station.faces import ReaderView
from kiosk.station.offers import offered
from kiosk.tui.labels import OPERATION_KEYS
from kiosk.tui.run import Run
from shared.credential.lifecycle import LIFECYCLE
from shared.credential.model import State


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
