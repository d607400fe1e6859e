"""Put commands in front of another conversation, in the same batch.

That saves a round trip: the reset that every phase begins with, and the second half of an authentication, travel with
the first batch of what comes after them.
"""

from collections.abc import Callable, Sequence
from typing import TypeVar

from shared import errors
from shared.iso7816.apdu import Item, Response
from shared.iso7816.conversation import Batch, Conversation

T = TypeVar("T")


def _joinable(_batch: Batch) -> bool:
    return True


def prefixed(
    prefix: Sequence[Item],
    then: Conversation[T],
    judge: Callable[[Sequence[Response]], None],
    may_join: Callable[[Batch], bool] = _joinable,
) -> Conversation[T]:
    """Send `prefix` with the first batch of `then`, judge its responses, then go on with `then`.

    `judge` is given what the card said to the prefix (as far as it got) and raises if `then` must not go on: then is
    closed, although its first batch may have been executed. Where `may_join` refuses that batch, the
    prefix is sent and judged alone and the batch follows.
    """
    size = len(prefix)
    try:
        try:
            batch = next(then)
        except StopIteration as end:
            judge((yield prefix))
            return end.value  # type: ignore[no-any-return]  # the generator's return type is T
        if not may_join(batch):
            judge((yield prefix))
            return (yield from _resumed(then, batch))
        responses = yield [*prefix, *batch]
        judge(responses[:size])
        share = responses[size:]
        if batch and not share:
            raise errors.Garbled(why="a batch ended early without a reason")
        try:
            batch = then.send(share)
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]  # the generator's return type is T
        return (yield from _resumed(then, batch))
    finally:
        then.close()


def _resumed(then: Conversation[T], batch: Batch) -> Conversation[T]:
    """Go on with a conversation that has yielded `batch` already; a lost card is told to it."""
    try:
        while True:
            try:
                responses = yield batch
            except errors.CardLost as lost:
                batch = then.throw(lost)
            else:
                batch = then.send(responses)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]  # the generator's return type is T
