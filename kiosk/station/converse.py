"""Drive a conversation over the card of a reader."""

from kiosk.ports import CardSession
from kiosk.station.filling import fill, plain, wipe
from kiosk.station.pins import HeldPins
from shared import errors
from shared.iso7816.apdu import ColdReset
from shared.iso7816.conversation import Conversation, T


async def converse(conversation: Conversation[T], session: CardSession, pins: HeldPins | None = None) -> T:
    """Run a conversation to its end; without `pins` it has no holes and no texts to sign.

    Only for conversations that the station begins on its own account: nobody judges them here.

    Raises:
        CardLost: the card went away; the conversation was told before.
        CardError: whatever the conversation makes of the card's answers.
    """
    try:
        batch = next(conversation)
        while True:
            items = [
                item if isinstance(item, ColdReset) else plain(item) if pins is None else fill(item, pins)
                for item in batch
            ]
            try:
                spoken = await session.exchange(items)
            finally:
                for item in items:
                    wipe(item)
            batch = (
                conversation.throw(errors.CardLost()) if spoken.lost else conversation.send(spoken.responses)
            )
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]  # the generator's return type is T
