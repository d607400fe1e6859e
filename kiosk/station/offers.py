"""What a face offers for the card in a reader, made from what server and station say of it."""

from kiosk.station.faces import ReaderView
from shared.credential.lifecycle import ASKING_PIN, OperationKind
from shared.credential.model import State
from shared.roles import Level


def pin_blocked(reader: ReaderView) -> bool:
    """Tell whether the holder's PIN has no tries left (before activation nobody has one to lose)."""
    active = reader.record is not None and reader.record.state in (State.ACTIVE, State.SUSPENDED)
    return active and reader.card is not None and reader.card.pin_tries_left == 0


def offered(reader: ReaderView | None) -> tuple[OperationKind, ...]:
    """Return the operations that may be started now, the obvious one first.

    An operation that was cut goes on before anything else starts; only one that asks for the present PIN gives way to
    unblocking, because its holder may have forgotten it. What asks for a blocked PIN is left out, and what the roles of
    who is logged on do not do.
    """
    return _possible(reader, Level.EXECUTE)


def viewed(reader: ReaderView | None) -> tuple[OperationKind, ...]:
    """Return the operations that somebody else could start now: who is logged on may see them, and no more."""
    return _possible(reader, Level.VIEW)


def _possible(reader: ReaderView | None, level: Level) -> tuple[OperationKind, ...]:
    """Return the operations that make sense now and are allowed exactly as far as `level`."""
    if reader is None or reader.record is None or reader.busy or reader.reading:
        return ()
    ways: tuple[OperationKind, ...] = reader.record.reachable
    cut = reader.record.interrupted
    if cut is not None:
        ways = (cut, OperationKind.UNBLOCK) if cut in ASKING_PIN else (cut,)
    blocked = ASKING_PIN if pin_blocked(reader) else frozenset()
    return tuple(each for each in ways if each not in blocked and reader.allows(each) is level)
