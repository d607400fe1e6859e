"""What is offered for the card in a reader, as the desk draws it: the way to each state, a menu, where a run leads."""

from kiosk.station import wording
from kiosk.station.faces import ReaderView
from kiosk.station.offers import offered, viewed
from kiosk.tui.labels import GROUPS, NOT_YOURS, OPERATION_KEYS, OPERATION_WORDS
from kiosk.tui.menu import Entry, Menu
from kiosk.tui.run import Run
from kiosk.tui.widgets.readers import card_name, holder_name
from shared.credential.lifecycle import LIFECYCLE, OperationKind
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


def menu(reader: ReaderView) -> Menu[OperationKind]:
    """Return everything that may be done to the card in a reader, by what it is for, and what only others may do."""
    possible, seen = offered(reader), viewed(reader)
    entries = [
        Entry(
            choice=operation,
            key=OPERATION_KEYS[operation],
            name=wording.operation(operation),
            words=NOT_YOURS if operation in seen else OPERATION_WORDS[operation],
            group=group,
            shown_only=operation in seen,
        )
        for group, operations in GROUPS.items()
        for operation in operations
        if operation in possible or operation in seen
    ]
    parts = (holder_name(reader), card_name(reader.card) if reader.card else reader.name)
    return Menu(" · ".join(filter(None, parts)), entries)
