"""The station's side of one operation: turns from the server in, turns to the server out.

The server says what to send and what to ask; the station sends it inside one PC/SC transaction that spans from
the first exchange to the one with `release`, and never waits for a person inside it. What the server may do with
the holder's secrets is decided by `guard`, before anything is sent.

Before a person is asked for the present PIN, and again right before it is used, the card is asked for the tries
that are left: with fewer than three nothing is tried that the person did not agree to.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Coroutine, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final, TypeVar

from kiosk.ports import Backend, CardSession, Readers, Spoken
from kiosk.station.asking import Asking
from kiosk.station.faces import Outcome, Person, Watcher
from kiosk.station.filling import fill, wipe
from kiosk.station.guard import Guard
from kiosk.station.pins import HeldPins, PinKind, RandomBelow
from kiosk.station.transaction import Transaction, ask_for_tries
from shared import errors
from shared.clock import Clock
from shared.credential.model import State
from shared.credential.pins import PIN_FIELD_LENGTH, PinPolicy, check_pin
from shared.errors import Fact, KioskError
from shared.iso7816.apdu import Command, Hole, Item, Response
from shared.iso7816.conversation import accepted
from shared.iso7816.status import SW, tries_left
from shared.piv.ids import Ins
from shared.relay import (
    Answer,
    Ask,
    Begin,
    Cancel,
    CardGone,
    Done,
    Draw,
    Exchange,
    Failed,
    Progress,
    Question,
    Refusal,
    Responses,
    ServerTurn,
    StationTurn,
    Steps,
    Working,
)
from shared.secret import Secret

T = TypeVar("T")

WORKING_EVERY_S: Final = 5.0
"""How often a busy card is reported; well below the 30 s of a lease without proof."""

VERDICT_WAIT_S: Final = 10.0
"""How long to wait for the server's last word after a refusal."""

FEW_TRIES: Final = 3
"""With fewer tries left than this, a person decides."""

UNKNOWN_STATE: Final = "unknown"


@dataclass(frozen=True, slots=True, kw_only=True)
class RelayParts:
    """What every relay of a station needs besides the operation itself."""

    readers: Readers
    backend: Backend
    clock: Clock
    random_below: RandomBelow


class Relay:
    """One operation on the card in one reader. Used once."""

    def __init__(self, parts: RelayParts, begin: Begin, person: Person, watcher: Watcher) -> None:
        """Prepare; nothing is sent before `run`."""
        self._parts = parts
        self._begin = begin
        self._asking = Asking(person)
        self._watcher = watcher
        self._pins = HeldPins(parts.random_below)
        self._guard = Guard(begin.operation, self._pins)
        self._card = Transaction(parts.readers, begin.reader)
        self._outgoing: asyncio.Queue[StationTurn | None] = asyncio.Queue()
        self._epoch = 0
        self._agreed_tries = FEW_TRIES
        self._refused: KioskError | None = None
        self._round_trips = 0
        self._commands = 0

    def cancel(self) -> None:
        """Ask the server to stop at the next border between two steps; a question that is open ends."""
        if not self._asking.stopped:
            self._asking.stop()
            self._outgoing.put_nowait(Cancel())

    async def run(self) -> Outcome:
        """Do the operation and say how it ended; card, line and server failures are in the outcome."""
        started = self._parts.clock.monotonic()
        self._outgoing.put_nowait(self._begin)
        turns = self._parts.backend.operation(self._turns())
        try:
            end = await self._until_end(turns)
            error, state, action, facts = _verdict(end)
        except KioskError as failure:
            error, state, action, facts = failure, UNKNOWN_STATE, next_action_for(failure), {}
        finally:
            self._pins.wipe()
            await self._release()
            self._outgoing.put_nowait(None)
            if isinstance(turns, AsyncGenerator):
                await turns.aclose()
        if self._refused is not None:
            error, action = self._refused, action or next_action_for(self._refused)
        return Outcome(
            operation=self._begin.operation,
            state=state,
            error=error,
            next_action=action,
            facts=facts,
            round_trips=self._round_trips,
            commands=self._commands,
            seconds=self._parts.clock.monotonic() - started,
        )

    async def _turns(self) -> AsyncIterator[StationTurn]:
        while (turn := await self._outgoing.get()) is not None:
            yield turn

    async def _until_end(self, turns: AsyncIterator[ServerTurn]) -> Done | Failed:
        """Take turns until the last one.

        Raises:
            ConnectionLost: the stream ended without one.
            KioskError: what the station refused, when the server has no last word to that.
        """
        deadline: float | None = None
        while True:
            if self._refused is not None and deadline is None:
                deadline = asyncio.get_running_loop().time() + VERDICT_WAIT_S
            try:
                async with asyncio.timeout_at(deadline):
                    turn = await anext(turns)
            except StopAsyncIteration:
                raise (self._refused or errors.ConnectionLost()) from None
            except TimeoutError:
                assert self._refused is not None
                raise self._refused from None
            if isinstance(turn, Done | Failed):
                return turn
            if self._refused is None:
                await self._take(turn)

    async def _take(self, turn: ServerTurn) -> None:
        match turn:
            case Exchange():
                await self._exchange(turn)
            case Ask():
                await self._ask(turn)
            case Draw():
                try:
                    self._pins.draw(turn.hole, length=turn.length, uses=turn.uses)
                except errors.Garbled as garbled:
                    self._refuse(0, garbled)
            case Steps():
                self._watcher.steps(turn.steps)
            case Progress():
                for step in turn.steps:
                    self._watcher.step(step.index, done=step.done, expected_ms=step.expected_ms)

    def _refuse(self, number: int, error: KioskError) -> None:
        """End the operation from our side; what the server wants after that is not done."""
        self._refused = error
        self._pins.wipe()
        self._outgoing.put_nowait(Refusal(number=number, error=error))

    # --- the card ---------------------------------------------------------------------------------------

    async def _exchange(self, turn: Exchange) -> None:
        self._round_trips += 1
        heard: list[Response] = []
        try:
            if turn.epoch < self._epoch:
                raise errors.LeaseLost
            self._epoch = turn.epoch
            self._guard.check(turn.items)
            lost = await self._while_working(turn.number, self._send(turn.items, heard))
        except errors.CardLost:
            lost = True
        except KioskError as error:
            lost = isinstance(error, errors.CardMissing) and self._commands > 0
            if not lost:
                self._refuse(turn.number, error)
                await self._release()
                return
        self._commands += len(heard)
        if lost or turn.release:
            await self._release()
        said = tuple(heard)
        self._outgoing.put_nowait(
            CardGone(number=turn.number, responses=said)
            if lost
            else Responses(number=turn.number, responses=said)
        )

    async def _send(self, items: Sequence[Item], heard: list[Response]) -> bool:
        """Send a checked batch, collect the responses in `heard`, return whether the card was lost.

        Raises:
            HoleRefused: few tries are left and nobody agreed to use one.
            CardMissing, NoReader, ReaderBusy, ReaderFailed, PcscUnavailable: there is no session to be had.
        """
        session = await self._card.opened()
        split = self._guard.first_risk(items)
        if split is None:
            return await self._send_part(session, items, heard)
        if await self._send_part(session, items[:split], heard):
            return True
        if len(heard) < split or (heard and not accepted(items[split - 1], heard[-1])):
            return False
        first = items[split]
        assert isinstance(first, Command)
        left, lost = await ask_for_tries(session, first.p2)
        if lost:
            return True
        if left is not None and 0 < left < self._agreed_tries:
            raise errors.HoleRefused(command=first.label, why=f"only {left} tries are left")
        return await self._send_part(session, items[split:], heard)

    async def _send_part(self, session: CardSession, items: Sequence[Item], heard: list[Response]) -> bool:
        if not items:
            return False
        filled = [fill(item, self._pins) for item in items]
        try:
            spoken = await session.exchange(filled)
        finally:
            for item in filled:
                wipe(item)
        heard.extend(spoken.responses)
        self._account(items, spoken)
        stopped = bool(spoken.responses) and not accepted(
            items[len(spoken.responses) - 1], spoken.responses[-1]
        )
        self._guard.sent(len(heard), refused=stopped)
        return spoken.lost

    def _account(self, items: Sequence[Item], spoken: Spoken) -> None:
        """Count the uses of what was sent, and forget what the card called wrong."""
        sent = len(spoken.responses) + (1 if spoken.lost else 0)
        for index, item in enumerate(items[:sent]):
            if isinstance(item, Command) and item.holes:
                if index < len(spoken.responses) and not spoken.responses[index].ok:
                    self._note_refusal(item, spoken.responses[index].sw)
                elif index < len(spoken.responses) and item.ins != Ins.VERIFY:
                    self._pins.mark_set(item.holes[-1].name)
                for hole in item.holes:
                    self._pins.spend(hole.name)

    def _note_refusal(self, command: Command, sw: int) -> None:
        """Forget a value that the card called wrong: it is never sent again."""
        wrong = tries_left(sw) is not None or sw == SW.AUTHENTICATION_BLOCKED
        if wrong and isinstance(command.parts[0], Hole):
            self._pins.forget(command.parts[0].name)

    async def _release(self) -> None:
        await self._card.close()
        self._guard.reset()

    async def _while_working(self, number: int, work: Coroutine[Any, Any, T]) -> T:
        """Wait for the card, and tell the server every few seconds that it is still at it."""
        task = asyncio.ensure_future(work)
        try:
            while not (await asyncio.wait({task}, timeout=WORKING_EVERY_S))[0]:
                self._outgoing.put_nowait(Working(number=number))
        finally:
            if not task.done():
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)
        return task.result()

    # --- the person -------------------------------------------------------------------------------------

    async def _ask(self, turn: Ask) -> None:
        await self._release()
        try:
            self._guard.check_purpose(turn.purpose)
            match turn.question:
                case Question.NEW_PIN:
                    secret = await self._new_pin(turn.policy or PinPolicy(), _problem(turn))
                    given = self._keep(turn, secret, PinKind.NEW)
                case Question.CURRENT_PIN:
                    secret = await self._current_pin(turn.tries_left, _problem(turn))
                    given = self._keep(turn, secret, PinKind.CURRENT)
                case Question.NEW_CODE:
                    given = await self._new_code(turn)
                case Question.PRESENT_CODE:
                    given = self._keep(turn, await self._asking.code(), PinKind.CODE)
                case Question.CONFIRM:
                    if turn.tries_left is None:
                        raise errors.Garbled(why="a confirmation of nothing that this station knows")
                    given = await self._confirmed(turn.tries_left)
        except KioskError as error:
            self._refuse(turn.number, error)
            return
        self._outgoing.put_nowait(Answer(number=turn.number, given=given))

    def _keep(self, turn: Ask, secret: Secret | None, kind: PinKind) -> bool:
        if secret is None:
            return False
        self._pins.keep(turn.hole, secret, kind=kind, purpose=turn.purpose, uses=turn.uses)
        return True

    async def _new_pin(self, policy: PinPolicy, problem: KioskError | None) -> Secret | None:
        rules = replace(policy, present=self._pins.present)
        return await self._asking.typed(
            lambda issue: self._asking.person.new_pin(rules, issue),
            lambda pin: check_pin(pin, rules),
            problem,
        )

    async def _current_pin(self, told: int | None, problem: KioskError | None) -> Secret | None:
        """Ask for the present PIN, after asking the card how often that may go wrong.

        Raises:
            PinBlocked: no tries are left; there is no use in typing.
        """
        left = await self._card.tries_left_alone()
        self._guard.reset()
        if left == 0:
            raise errors.PinBlocked
        if left is None:
            left = told
        if left is not None and left < self._agreed_tries and not await self._confirmed(left):
            return None
        return await self._asking.typed(
            lambda issue: self._asking.person.current_pin(left, issue), _check_field, problem
        )

    async def _new_code(self, turn: Ask) -> bool:
        """Draw the unblock code, and keep it for the card once the person has kept it."""
        code = self._pins.draw_code()
        if await self._asking.code_kept(code):
            return self._keep(turn, code, PinKind.CODE)
        code.wipe()
        return False

    async def _confirmed(self, left: int) -> bool:
        agreed = bool(await self._asking.answered(self._asking.person.confirm_few_tries(left)))
        if agreed:
            self._agreed_tries = min(self._agreed_tries, left)
        return agreed


def _problem(turn: Ask) -> KioskError | None:
    """Return why the last value did not do: the fact `problem` is an error's code, the others are its facts."""
    facts = dict(turn.facts)
    code = facts.pop("problem", None)
    return None if code is None else errors.from_code(str(code), facts)


def _check_field(pin: bytes) -> None:
    if not 0 < len(pin) <= PIN_FIELD_LENGTH:
        raise errors.PinPolicyViolated(rule="length")


def _verdict(end: Done | Failed) -> tuple[KioskError | None, str, str, dict[str, Fact]]:
    if isinstance(end, Done):
        return None, end.state, "activate" if end.state == State.ISSUED else "none", end.facts
    return end.error, end.state, end.next_action, end.facts


def next_action_for(error: KioskError) -> str:
    """Return what to do after a failure that the server said nothing about."""
    if error.outcome_unknown:
        return "insert-again"
    return "try-again" if error.retryable else "call-administrator"
