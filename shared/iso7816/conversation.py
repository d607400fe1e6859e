"""Dialogues with a card, written without I/O.

A conversation is a generator: it yields batches of items (commands and resets), is sent their responses, and
returns a value. Whoever drives it does the I/O: a reader of the station, the server through the relay, a
virtual card in memory, a recorder.

A driver sends a batch in order and stops after the first response that its command does not accept, so a
conversation may be sent fewer responses than it yielded items, never zero. What was not sent is not done. A
card that leaves ends the conversation with `CardLost`, thrown in at the yield.
"""

from collections.abc import Callable, Generator, Sequence
from typing import Any, Protocol, TypeAlias, TypeVar

from shared import errors
from shared.iso7816.apdu import ColdReset, Command, Item, Response
from shared.iso7816.status import error_for

T = TypeVar("T")
Batch: TypeAlias = Sequence[Item]
Conversation: TypeAlias = Generator[Batch, Sequence[Response], T]


class Transmit(Protocol):
    """Send one item to a card and return what it said."""

    def __call__(self, item: Item, /) -> Response:
        """Raise `CardLost` when the card is gone."""
        ...


def accepted(item: Item, response: Response) -> bool:
    """Whether a batch may go on after this response."""
    return isinstance(item, ColdReset) or item.accepts(response)


def check(batch: Batch, responses: Sequence[Response]) -> None:
    """Make sure that the whole batch was accepted.

    Raises:
        CardChanged: a command's `answer` was not what the card returned.
        CardError: the general error for the status that stopped the batch.
        Garbled: fewer responses than items, and no reason for it.
    """
    for item, response in zip(batch, responses, strict=False):
        if isinstance(item, Command) and not item.accepts(response):
            if item.expect is None or response.sw in item.expect:
                raise errors.CardChanged
            raise error_for(response.sw, item.label)
    if len(responses) != len(batch):
        raise errors.Garbled(why="a batch ended early without a reason")


def send(command: Item) -> Conversation[Response]:
    """Send one item as a batch of its own and return its response; an unexpected status raises."""
    (response,) = yield from send_all(command)
    return response


def send_all(*items: Item) -> Conversation[Sequence[Response]]:
    """Send several items as one batch and return their responses; an unexpected status raises."""
    if not items:
        return ()
    responses = yield items
    check(items, responses)
    return responses


def nothing() -> Conversation[None]:
    """Say nothing: a place-holder among the conversations of `together`."""
    yield from ()


def together(*conversations: Conversation[Any]) -> Conversation[tuple[Any, ...]]:
    """Run conversations in lock-step: the n-th batches of all of them travel as one.

    Batches are joined whole and in the order of the arguments, never interleaved. When the card stops the
    joined batch, the conversation it stopped in is told and raises; those behind it are closed unsent.

    Returns:
        The values of all conversations, in the order of the arguments.
    """
    values: list[Any] = [None] * len(conversations)
    running: dict[int, tuple[Conversation[Any], Batch]] = {}

    def resume(index: int, step: Callable[[], Batch]) -> None:
        """Take the conversation's next batch, or its value."""
        try:
            running[index] = (conversations[index], step())
        except StopIteration as end:
            running.pop(index, None)
            values[index] = end.value

    try:
        for index, conversation in enumerate(conversations):
            resume(index, conversation.__next__)
        while running:
            turn = list(running.items())
            responses = yield [item for _, (_, batch) in turn for item in batch]
            at = 0
            for index, (conversation, batch) in turn:
                share = responses[at : at + len(batch)]
                at += len(batch)
                if not share and batch:
                    raise errors.Garbled(why="a batch ended early without a reason")
                resume(index, lambda talk=conversation, said=share: talk.send(said))  # type: ignore[misc]
    finally:
        for conversation in conversations:
            conversation.close()
    return tuple(values)


def drive(conversation: Conversation[T], transmit: Transmit) -> T:
    """Run a conversation to its end over something that answers at once.

    Raises:
        CardLost: the card went away; the conversation was told before.
        CardError: whatever the conversation makes of the card's answers.
    """
    try:
        batch = next(conversation)
        while True:
            try:
                responses = exchange(batch, transmit)
            except errors.CardLost as lost:
                batch = conversation.throw(lost)
            else:
                batch = conversation.send(responses)
    except StopIteration as end:
        return end.value  # type: ignore[no-any-return]  # the generator's return type is T


def exchange(batch: Batch, transmit: Transmit) -> list[Response]:
    """Send a batch item by item and stop after the first response that is not accepted."""
    responses: list[Response] = []
    for item in batch:
        response = transmit(item)
        responses.append(response)
        if not accepted(item, response):
            break
    return responses
