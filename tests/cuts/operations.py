"""What is cut: a table. One more operation is one more row.

A row says how a card comes to where the operation starts, and in which state it ends. What the card is to hold at
the end is not written down: it is what the same operation leaves when nothing is cut.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from shared.credential.model import State
from shared.credential.reasons import Cause
from shared.piv.ids import ProfileName
from shared.relay import OperationKind
from shared.virtual.memory import Memory
from tests.cuts import judge
from tests.cuts.world import World

Arrange = Callable[[World], Awaitable[None]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One operation, or one of the ways to come to it, which then has a `name` of its own.

    `before` is done to a new card first, then `arrange` happens (to the card behind everybody's back, to the server).
    `by_holder` are operations after which the PIN on the card is the one that the holder chose last. `carried_by` is
    the operation that goes on with one that was decided in the record already, and was cut before the card had it.
    With `replaces` its holder has another card before, which is put away for good: this one replaces it for that cause.
    What is done `once` would do more if it were done again: a card that has come to where it should is left alone. A row that
    is `inside` alone needs a server in this process.
    """

    kind: OperationKind
    name: str
    before: tuple[OperationKind, ...]
    state: State
    arrange: Arrange | None = None
    by_holder: bool = False
    reason: str = ""
    carried_by: OperationKind | None = None
    once: bool = False
    replaces: Cause | None = None
    inside: bool = False


REASONS: Final[Mapping[OperationKind, Cause]] = {
    OperationKind.SUSPEND: Cause.FORGOTTEN,
    OperationKind.REVOKE: Cause.STOLEN,
    OperationKind.RETIRE: Cause.LEFT,
    OperationKind.DELETE: Cause.LOST,
}
"""Why something is taken out of use, where a reason is asked."""


def reason_for(kind: OperationKind) -> str:
    """Return the reason that is given for an operation, empty where none is asked."""
    return REASONS.get(kind, "")


async def _block_pin(world: World) -> None:
    """Use up the PIN's tries, as its holder did at home."""

    def blocked(memory: Memory) -> Memory:
        return replace(memory, pin=replace(memory.pin, left=0))

    world.alter(blocked)


async def _renew_master_key(world: World) -> None:
    """Make the card's keys old."""
    await world.renew_master_key()


async def _suspend_without_card(world: World) -> None:
    """Take the credential out of use while the card is at home."""
    record = judge.record_of(world.card.memory, await world.books())
    assert record is not None
    await world.decide(record.record_id, OperationKind.SUSPEND, reason_for(OperationKind.SUSPEND))


_ISSUED: Final = (OperationKind.ISSUE,)
_ACTIVE: Final = (*_ISSUED, OperationKind.ACTIVATE)


def _row(
    kind: OperationKind,
    before: tuple[OperationKind, ...],
    state: State,
    *,
    name: str = "",
    arrange: Arrange | None = None,
    by_holder: bool = False,
    carried_by: OperationKind | None = None,
    once: bool = False,
    replaces: Cause | None = None,
    inside: bool = False,
) -> Row:
    return Row(
        kind=kind,
        name=name or kind.value,
        before=before,
        state=state,
        arrange=arrange,
        by_holder=by_holder,
        reason=reason_for(kind),
        carried_by=carried_by,
        once=once,
        replaces=replaces,
        inside=inside,
    )


def _approved(
    kind: OperationKind, before: tuple[OperationKind, ...], state: State, *, first: Arrange | None = None
) -> Row:
    """Return the row of an operation that somebody asked for and somebody else approved, once."""

    async def arrange(world: World) -> None:
        if first is not None:
            await first(world)
        await world.agree(kind)

    name = f"{kind.value}-approved"
    return _row(kind, before, state, name=name, arrange=arrange, by_holder=True, once=True, inside=True)


OPERATIONS: Final[Mapping[str, Row]] = {
    row.name: row
    for row in (
        _row(OperationKind.REGISTER, (), State.REGISTERED),
        _row(OperationKind.ISSUE, (), State.ISSUED),
        _row(OperationKind.ISSUE, (OperationKind.REGISTER,), State.ISSUED, name="issue-registered"),
        _row(OperationKind.ISSUE, (*_ACTIVE, OperationKind.RETIRE), State.ISSUED, name="issue-again"),
        _row(OperationKind.ISSUE, (), State.ISSUED, name="issue-replacing", replaces=Cause.LOST),
        _row(OperationKind.ACTIVATE, _ISSUED, State.ACTIVE, by_holder=True),
        _row(
            OperationKind.ACTIVATE,
            _ISSUED,
            State.ACTIVE,
            name="activate-replacing",
            by_holder=True,
            replaces=Cause.DAMAGED,
        ),
        _row(OperationKind.CHANGE_PIN, _ACTIVE, State.ACTIVE, by_holder=True),
        _row(OperationKind.UNBLOCK, _ACTIVE, State.ACTIVE, arrange=_block_pin, by_holder=True),
        _row(OperationKind.UPDATE, _ACTIVE, State.ACTIVE, arrange=_renew_master_key, by_holder=True),
        _row(
            OperationKind.UPDATE,
            _ACTIVE,
            State.SUSPENDED,
            name="update-suspended",
            arrange=_suspend_without_card,
        ),
        _row(OperationKind.RENEW, _ACTIVE, State.ACTIVE, by_holder=True),
        _row(OperationKind.REISSUE, _ACTIVE, State.ACTIVE, by_holder=True, once=True),
        _row(OperationKind.SUSPEND, _ACTIVE, State.SUSPENDED, carried_by=OperationKind.UPDATE),
        _row(OperationKind.RESUME, (*_ACTIVE, OperationKind.SUSPEND), State.ACTIVE, by_holder=True),
        _row(OperationKind.REVOKE, _ACTIVE, State.REVOKED, carried_by=OperationKind.UPDATE),
        _row(OperationKind.RETIRE, _ACTIVE, State.RETIRED),
        _approved(OperationKind.ACTIVATE, _ISSUED, State.ACTIVE),
        _approved(OperationKind.UNBLOCK, _ACTIVE, State.ACTIVE, first=_block_pin),
        _approved(OperationKind.REISSUE, _ACTIVE, State.ACTIVE),
        _approved(OperationKind.RESUME, (*_ACTIVE, OperationKind.SUSPEND), State.ACTIVE),
        _row(OperationKind.DELETE, _ACTIVE, State.DELETED, carried_by=OperationKind.UPDATE),
        _row(OperationKind.UNREGISTER, (*_ACTIVE, OperationKind.RETIRE), State.UNREGISTERED),
        _row(
            OperationKind.UNREGISTER,
            (OperationKind.REGISTER,),
            State.UNREGISTERED,
            name="unregister-registered",
        ),
    )
}

PROFILES: Final = {
    profile.value: profile
    for profile in (ProfileName.YUBIKEY_5_7, ProfileName.YUBIKEY_4, ProfileName.UNKNOWN)
}
"""With metadata; without; without, of unknown make. PUKs have three tries."""
