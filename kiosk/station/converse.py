"""Drive a conversation over the card of a reader."""

from kiosk.ports import CardSession
from kiosk.station.filling import plain
from shared import errors
from shared.iso7816.apdu import ColdReset
from shared.iso7816.conversation import Conversation, T


async def converse(conversation: Conversation[T], session: CardSession) -> T:
    """Run a conversation without holes to its end.

    Raises:
        CardLost: the card went away; the conversation was told before.
        CardError: whatever the conversation makes of the card's answers.
    """
    try:
        batch = next(conversation)
        while True:
            spoken = await session.exchange(
                [item if isinstance(item, ColdReset) else plain(item) for item in batch]
            )
            batch = (
                conversation.throw(errors.CardLost()) if spoken.lost else conversation.send(spoken.responses)
            )
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]  # the generator's return type is T
