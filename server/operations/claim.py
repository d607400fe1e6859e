"""Two stations that say that they have the same card: who shows it has it.

What a card says of itself when it is read anybody can say, so that a station that lies could keep a card from being worked on
by claiming it. Its lease gives way to a station whose card proves its management key.

Source: card-rules, "Leases".
"""

from collections.abc import Awaitable
from typing import TYPE_CHECKING, Protocol, TypeVar

from shared import errors
from shared.credential.model import FACTORY
from shared.iso7816.conversation import nothing
from shared.piv.select import fresh

if TYPE_CHECKING:  # an operation claims its card; this module is told of it in return
    from server.operations.operation import Operation

T_co = TypeVar("T_co", covariant=True)
T = TypeVar("T")


class Take(Protocol[T_co]):
    """Take the lease of a card; a `firm` one also where another station only claims the card."""

    def __call__(self, *, firm: bool = False) -> Awaitable[T_co]:
        """Take it; `CardLeased` where it cannot be had."""
        ...


async def claim(op: "Operation", take: Take[T]) -> T:
    """Take the lease; where another station has it, have the card prove first that it is here.

    Raises:
        CardLeased: the card has proven itself there, or does not here.
        CardLost: it left.
    """
    try:
        return await take()
    except errors.CardLeased:
        if not await _shown(op):
            raise
    return await take(firm=True)


async def _shown(op: "Operation") -> bool:
    """Whether the card proves a management key of ours; it is reset afterwards, so that nobody finds it open."""
    if op.record is None or op.facts is None:
        return False
    try:
        version = await op.prove(op.record, op.facts)
    except errors.CardLost:
        raise
    except errors.CardError:
        return False
    await op.talk.converse(fresh(nothing(), chuid=op.facts.chuid_raw), release=True)
    return version != FACTORY
