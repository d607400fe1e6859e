"""The holder's present PIN: asked for until the card takes it, before anything is done that cannot be undone."""

from collections.abc import Callable
from typing import Final, TypeVar

from server.operations.operation import Operation
from shared import errors
from shared.iso7816.apdu import Hole
from shared.iso7816.conversation import Conversation, nothing, together
from shared.piv.inspect import CardFacts
from shared.piv.pin import verify_pin
from shared.piv.select import fresh
from shared.relay import Purpose, Question

T = TypeVar("T")

PIN: Final = Hole(name="pin")


async def present_pin(
    op: Operation,
    facts: CardFacts,
    purpose: Purpose,
    *,
    uses: int,
    then: Callable[[], Conversation[T]] = nothing,  # type: ignore[assignment]  # None, where nothing follows
) -> T:
    """Ask for the present PIN and verify it after a reset; return the value of `then`, which follows in the same batch.

    A wrong PIN ends the batch, so it costs the one try that the person spent; it is asked for again while there are more.
    `uses` counts every filling of the operation, this one included.

    Raises:
        PinBlocked: that was the last try.
        Cancelled: the holder gave up.
    """
    problem: errors.PinRejected | None = None
    tries_left = facts.pin.tries_left
    while True:
        await op.talk.ask_pin(
            Question.CURRENT_PIN,
            purpose,
            hole=PIN.name,
            uses=uses,
            tries_left=tries_left,
            problem=problem,
        )
        try:
            verified = fresh(together(verify_pin(PIN), then()), chuid=facts.chuid_raw)
            _, value = await op.talk.converse(verified, release=True)
        except errors.PinRejected as rejected:
            problem, tries_left = rejected, int(rejected.facts["tries_left"])
        else:
            return value  # type: ignore[no-any-return]  # together's values are as typed as its arguments
