"""What is cut: a table. One more operation is one more row.

A row says how a card comes to where the operation starts, and in which state it ends. What the card is to hold at
the end is not written down: it is what the same operation leaves when nothing is cut.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from shared.credential.model import State
from shared.credential.reasons import Cause
from shared.piv.ids import ProfileName
from shared.relay import OperationKind
from shared.virtual.memory import Memory

if TYPE_CHECKING:
    from tests.cuts.world import World

Arrange = Callable[["World"], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One operation.

    `before` is done to a new card first, then `arrange` happens (to the card behind everybody's back, to the server).
    `by_holder` are operations after which the PIN on the card is the one that the holder chose last. `carried_by` is
    the operation that goes on with one that was decided in the record already, and was cut before the card had it. What
    is done `once` would do more if it were done again: a card that has come to where it should is left alone.
    """

    kind: OperationKind
    before: tuple[OperationKind, ...]
    state: State
    arrange: Arrange | None = None
    by_holder: bool = False
    reason: str = ""
    carried_by: OperationKind | None = None
    once: bool = False


async def _block_pin(world: "World") -> None:
    """Use up the PIN's tries, as its holder did at home."""

    def blocked(memory: Memory) -> Memory:
        return replace(memory, pin=replace(memory.pin, left=0))

    world.alter(blocked)


async def _renew_master_key(world: "World") -> None:
    """Make the card's keys old."""
    await world.renew_master_key()


OPERATIONS: Final[Mapping[str, Row]] = {
    row.kind.value: row
    for row in (
        Row(kind=OperationKind.ISSUE, before=(), state=State.ISSUED),
        Row(kind=OperationKind.ACTIVATE, before=(OperationKind.ISSUE,), state=State.ACTIVE, by_holder=True),
        Row(
            kind=OperationKind.CHANGE_PIN,
            before=(OperationKind.ISSUE, OperationKind.ACTIVATE),
            state=State.ACTIVE,
            by_holder=True,
        ),
        Row(
            kind=OperationKind.UNBLOCK,
            before=(OperationKind.ISSUE, OperationKind.ACTIVATE),
            state=State.ACTIVE,
            arrange=_block_pin,
            by_holder=True,
        ),
        Row(
            kind=OperationKind.UPDATE,
            before=(OperationKind.ISSUE, OperationKind.ACTIVATE),
            state=State.ACTIVE,
            arrange=_renew_master_key,
            by_holder=True,
        ),
        Row(
            kind=OperationKind.RENEW,
            before=(OperationKind.ISSUE, OperationKind.ACTIVATE),
            state=State.ACTIVE,
            by_holder=True,
        ),
        Row(
            kind=OperationKind.REISSUE,
            before=(OperationKind.ISSUE, OperationKind.ACTIVATE),
            state=State.ACTIVE,
            by_holder=True,
            once=True,
        ),
        Row(
            kind=OperationKind.REVOKE,
            before=(OperationKind.ISSUE, OperationKind.ACTIVATE),
            state=State.REVOKED,
            reason=Cause.STOLEN,
        ),
        Row(
            kind=OperationKind.RETIRE,
            before=(OperationKind.ISSUE, OperationKind.ACTIVATE),
            state=State.RETIRED,
            reason=Cause.LEFT,
        ),
        Row(kind=OperationKind.REGISTER, before=(), state=State.REGISTERED),
        Row(
            kind=OperationKind.UNREGISTER,
            before=(OperationKind.ISSUE, OperationKind.ACTIVATE, OperationKind.RETIRE),
            state=State.UNREGISTERED,
        ),
    )
}


def reason_for(kind: OperationKind) -> str:
    """Return the reason that is given for an operation, empty where none is asked."""
    row = OPERATIONS.get(kind.value)
    return row.reason if row is not None else ""


PROFILES: Final = {
    profile.value: profile
    for profile in (ProfileName.YUBIKEY_5_7, ProfileName.YUBIKEY_4, ProfileName.UNKNOWN)
}
"""With metadata; without; without, of unknown make. PUKs have three tries."""
