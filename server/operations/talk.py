"""The server's side of the relay: conversations and questions over a station's link.

Drives conversations by sending their batches as `Exchange` turns. Counts what it cost.
"""

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, TypeVar

from server.operations.link import StationLink
from shared import errors
from shared.credential.pins import PinPolicy
from shared.iso7816.conversation import Conversation
from shared.relay import (
    Answer,
    Ask,
    Cancel,
    CardGone,
    Draw,
    Exchange,
    Progress,
    Purpose,
    Question,
    Refusal,
    Responses,
    StepChange,
    StepLine,
    Steps,
    Working,
)

T = TypeVar("T")

SILENCE_S: Final = 60.0
"""How long a station at work on a card may say nothing; an honest one says every five seconds that it is busy."""

EXCHANGE_S: Final = 900.0
"""How long one exchange may take: the slowest cards make four RSA keys of 4096 bits in half of that."""


class Talk:
    """One operation's dialogue with its station."""

    def __init__(self, link: StationLink) -> None:
        """Talk over `link`; a lease is set once there is one."""
        self._link = link
        self._numbers = itertools.count(1)
        self._cancelled = False
        self.epoch = 0
        self.keep_alive: Callable[[], Awaitable[None]] | None = None
        self.judge: Callable[[], Awaitable[None]] | None = None
        """Refuse to go on where who asked may not any more; asked after every wait for a person."""
        self.round_trips = 0
        self.commands = 0

    async def converse(self, conversation: Conversation[T], *, release: bool = False) -> T:
        """Run a conversation with the card and return its value.

        With `release`, the station resets the card and ends its transaction right after the conversation's
        batch; such a conversation has one batch.

        Raises:
            CardLost: the card left; the conversation was told.
            CardError: what the conversation makes of the card's answers.
            PolicyError: the station refused a hole.
        """
        try:
            batch = next(conversation)
            while True:
                number = next(self._numbers)
                items = tuple(batch)
                self.round_trips += 1
                self.commands += len(items)
                await self._link.send(Exchange(number=number, items=items, epoch=self.epoch, release=release))
                turn = await self._card_answer(number)
                match turn:
                    case Responses(responses=responses) if 0 < len(responses) <= len(items):
                        batch = conversation.send(responses)
                    case CardGone():
                        batch = conversation.throw(errors.CardLost())
                    case _:
                        raise errors.Garbled(why="not the answer to an exchange")
                if release:
                    raise errors.Garbled(why="a conversation went on after the card was released")
        except StopIteration as end:
            return end.value  # type: ignore[no-any-return]  # the generator's return type is T
        finally:
            conversation.close()

    async def draw(self, hole: str, uses: int) -> None:
        """Have the station draw a transport PIN for `hole`."""
        await self._link.send(Draw(hole=hole, uses=uses))

    async def ask_pin(
        self,
        question: Question,
        purpose: Purpose,
        *,
        hole: str,
        uses: int,
        policy: PinPolicy | None = None,
        tries_left: int | None = None,
        problem: errors.KioskError | None = None,
    ) -> None:
        """Have the station ask for a PIN, which stays there.

        `problem` is why the last one did not do.

        Raises:
            Cancelled: the person gave none.
            SessionEnded, NotAllowed: meanwhile, who asked may not go on any more.
        """
        number = next(self._numbers)
        facts: dict[str, errors.Fact] = {}
        if problem is not None:
            facts = {"problem": problem.code, **problem.facts}
        await self._link.send(
            Ask(
                number=number,
                question=question,
                purpose=purpose,
                hole=hole,
                uses=uses,
                policy=policy,
                tries_left=tries_left,
                facts=facts,
            )
        )
        turn = await self._answer(number)
        if not isinstance(turn, Answer):
            raise errors.Garbled(why="not the answer to a question")
        if not turn.given:
            raise errors.Cancelled(question=question.value)
        if self.judge is not None:
            await self.judge()

    async def show(self, steps: Sequence[StepLine]) -> None:
        """Show the list of steps."""
        await self._link.send(Steps(steps=tuple(steps)))

    async def progress(self, *steps: StepChange) -> None:
        """Say that steps started or are done."""
        if steps:
            await self._link.send(Progress(steps=steps))

    def stop_if_cancelled(self) -> None:
        """Stop here, at a border between two steps, if the person asked to.

        Raises:
            Cancelled: the person did.
        """
        if self._cancelled:
            raise errors.Cancelled(question="operation")

    async def _card_answer(self, number: int) -> Responses | CardGone | Answer:
        """Return the answer to exchange `number`.

        Raises:
            ConnectionLost: the station fell silent, or the card is busy for ever; another station may go on.
        """
        try:
            async with asyncio.timeout(EXCHANGE_S):
                return await self._answer(number, silence=SILENCE_S)
        except TimeoutError as cause:
            raise errors.ConnectionLost from cause

    async def _answer(self, number: int, *, silence: float | None = None) -> Responses | CardGone | Answer:
        """Return the answer to turn `number`; keep the lease alive while the card is busy."""
        while True:
            async with asyncio.timeout(silence):
                turn = await self._link.receive()
            match turn:
                case Working():
                    if self.keep_alive is not None:
                        await self.keep_alive()
                case Cancel():
                    self._cancelled = True
                case Refusal(error=error):
                    raise _as_a_station_may(error)
                case Responses() | CardGone() | Answer() if turn.number == number:
                    return turn
                case _:
                    raise errors.Garbled(why="a turn out of turn")


def _as_a_station_may(error: errors.KioskError) -> errors.KioskError:
    """Return a station's refusal if it is one that stations have reasons for.

    What the card says is for the server to judge, and so is what certificate authorities and the record say: an
    operation acts upon such errors.
    """
    if isinstance(error, errors.CardMissing | errors.PinBlocked):
        return error
    if isinstance(error, errors.CardError | errors.ConnectorError | errors.StoreError):
        return errors.Garbled(why="a refusal that is not for a station to make")
    return error
