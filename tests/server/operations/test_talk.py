"""The server's side of the relay: turns in their order, and nothing else."""

import asyncio
from collections.abc import Sequence

import pytest

from server.operations import talk as talk_module
from server.operations.talk import Talk
from shared import errors
from shared.credential.pins import PinPolicy
from shared.iso7816.apdu import Command, Response
from shared.iso7816.conversation import Conversation, send
from shared.relay import (
    Answer,
    Ask,
    Begin,
    Cancel,
    CardGone,
    Draw,
    Exchange,
    OperationKind,
    Progress,
    Purpose,
    Question,
    Refusal,
    Responses,
    ServerTurn,
    StationTurn,
    StepChange,
    StepLine,
    Steps,
    Working,
)

COMMAND = Command(ins=0xCB, label="GET DATA")
OK = Response(b"\x01", 0x9000)


class Script:
    """A station that says what it was told to say."""

    def __init__(self, *answers: StationTurn | errors.KioskError) -> None:
        self.answers = list(answers)
        self.heard: list[ServerTurn] = []

    async def send(self, turn: ServerTurn) -> None:
        self.heard.append(turn)

    async def receive(self) -> StationTurn:
        answer = self.answers.pop(0)
        if isinstance(answer, errors.KioskError):
            raise answer
        return answer


def responses(number: int, *said: Response) -> Responses:
    return Responses(number=number, responses=said or (OK,))


def two_batches(log: list[str]) -> Conversation[bytes]:
    """Send two commands, one after the other, and note how it ends."""
    try:
        first = yield from send(COMMAND)
        second = yield from send(COMMAND)
    except errors.CardLost:
        log.append("lost")
        raise
    finally:
        log.append("closed")
    return first.data + second.data


async def test_batches_travel_in_turn() -> None:
    station = Script(responses(1), responses(2, Response(b"\x02", 0x9000)))
    talk = Talk(station)
    talk.epoch = 7
    assert await talk.converse(two_batches([])) == b"\x01\x02"
    assert station.heard == [
        Exchange(number=1, items=(COMMAND,), epoch=7),
        Exchange(number=2, items=(COMMAND,), epoch=7),
    ]
    assert (talk.round_trips, talk.commands) == (2, 2)


async def test_a_conversation_of_nothing_costs_nothing() -> None:
    def silent() -> Conversation[int]:
        yield from ()
        return 5

    station = Script()
    assert await Talk(station).converse(silent()) == 5
    assert station.heard == []


async def test_a_lost_card_is_told_to_the_conversation() -> None:
    log: list[str] = []
    with pytest.raises(errors.CardLost):
        await Talk(Script(responses(1), CardGone(number=2))).converse(two_batches(log))
    assert log == ["lost", "closed"]


@pytest.mark.parametrize(
    "turns",
    [
        [responses(2)],
        [Responses(number=1, responses=())],
        [responses(1, OK, OK)],
        [Answer(number=1, given=True)],
        [CardGone(number=3)],
        [Begin(operation=OperationKind.ISSUE, reader="r", virtual=False)],
        [responses(1), responses(1)],
    ],
)
async def test_a_turn_out_of_turn_ends_it(turns: Sequence[StationTurn]) -> None:
    log: list[str] = []
    with pytest.raises(errors.Garbled):
        await Talk(Script(*turns)).converse(two_batches(log))
    assert log == ["closed"]


async def test_a_refusal_is_its_error() -> None:
    log: list[str] = []
    refusal = Refusal(number=1, error=errors.HoleRefused(command="PUT DATA", why="no PIN goes there"))
    with pytest.raises(errors.HoleRefused):
        await Talk(Script(refusal)).converse(two_batches(log))
    assert log == ["closed"]


async def test_a_line_that_ends_closes_the_conversation() -> None:
    log: list[str] = []
    with pytest.raises(errors.ConnectionLost):
        await Talk(Script(responses(1), errors.ConnectionLost())).converse(two_batches(log))
    assert log == ["closed"]


async def test_a_conversation_that_releases_the_card_has_one_batch() -> None:
    station = Script(responses(1))
    await Talk(station).converse(send(COMMAND), release=True)
    assert station.heard == [Exchange(number=1, items=(COMMAND,), epoch=0, release=True)]
    with pytest.raises(errors.Garbled):
        await Talk(Script(responses(1))).converse(two_batches([]), release=True)


async def test_a_busy_card_keeps_the_lease() -> None:
    extended = 0

    async def extend() -> None:
        nonlocal extended
        extended += 1

    talk = Talk(Script(Working(number=1), Working(number=1), responses(1), responses(2)))
    talk.keep_alive = extend
    await talk.converse(two_batches([]))
    assert extended == 2


async def test_a_busy_card_before_there_is_a_lease() -> None:
    await Talk(Script(Working(number=1), responses(1), responses(2))).converse(two_batches([]))


async def test_a_lease_that_was_lost_meanwhile() -> None:
    async def extend() -> None:
        raise errors.LeaseLost

    talk = Talk(Script(Working(number=1), responses(1)))
    talk.keep_alive = extend
    with pytest.raises(errors.LeaseLost):
        await talk.converse(two_batches([]))


async def test_a_wish_to_stop_is_granted_at_the_next_border() -> None:
    talk = Talk(Script(Cancel(), responses(1), responses(2)))
    talk.stop_if_cancelled()
    assert await talk.converse(two_batches([])) == b"\x01\x01"
    with pytest.raises(errors.Cancelled):
        talk.stop_if_cancelled()


async def ask(talk: Talk, problem: errors.KioskError | None = None) -> None:
    await talk.ask_pin(
        Question.CURRENT_PIN,
        Purpose.CHANGE_PIN,
        hole="pin",
        uses=2,
        policy=PinPolicy(),
        tries_left=2,
        problem=problem,
    )


async def test_a_pin_is_asked_for_and_never_seen() -> None:
    station = Script(Answer(number=1, given=True))
    await ask(Talk(station), errors.PinRejected(tries_left=2))
    assert station.heard == [
        Ask(
            number=1,
            question=Question.CURRENT_PIN,
            purpose=Purpose.CHANGE_PIN,
            hole="pin",
            uses=2,
            policy=PinPolicy(),
            tries_left=2,
            facts={"problem": "pin-rejected", "tries_left": 2},
        )
    ]


@pytest.mark.parametrize(
    "turns", [[Answer(number=1, given=False)], [Cancel(), Answer(number=1, given=False)]]
)
async def test_no_answer_is_no(turns: Sequence[StationTurn]) -> None:
    with pytest.raises(errors.Cancelled) as caught:
        await ask(Talk(Script(*turns)))
    assert caught.value.facts == {"question": "current-pin"}


@pytest.mark.parametrize("turn", [responses(1), CardGone(number=1), Answer(number=2, given=True)])
async def test_something_else_than_an_answer(turn: StationTurn) -> None:
    with pytest.raises(errors.Garbled):
        await ask(Talk(Script(turn)))


async def test_what_needs_no_answer() -> None:
    station = Script()
    talk = Talk(station)
    await talk.draw("transport", 9)
    await talk.show([StepLine(key="own")])
    await talk.progress()
    await talk.progress(StepChange(index=0, done=True))
    assert station.heard == [
        Draw(hole="transport", uses=9),
        Steps(steps=(StepLine(key="own"),)),
        Progress(steps=(StepChange(index=0, done=True),)),
    ]


@pytest.mark.parametrize(
    "claimed",
    [
        errors.ManagementKeyRejected(),
        errors.PukRejected(tries_left=2),
        errors.PinRejected(tries_left=2),
        errors.CardNotGenuine(why="so it says"),
        errors.CertificateRejected(connection="built-in", why="so it says"),
        errors.LeaseLost(),
        errors.HoleRefused(command="VERIFY", why="few tries are left"),
        errors.NoReader(reader="1"),
        errors.CardMissing(),
        errors.PinBlocked(),
    ],
)
async def test_a_station_refuses_for_reasons_of_its_own_only(claimed: errors.KioskError) -> None:
    """Operations act upon what a card or a certificate authority says: that is not for a station to say."""
    talk = Talk(Script(Refusal(number=1, error=claimed)))
    with pytest.raises(errors.KioskError) as caught:
        await talk.converse(two_batches([]))
    own = isinstance(
        claimed, errors.PolicyError | errors.DeviceError | errors.CardMissing | errors.PinBlocked
    )
    assert isinstance(caught.value, type(claimed) if own else errors.Garbled)


class Busy(Script):
    """A station whose card is busy for ever, or that says nothing any more."""

    async def receive(self) -> StationTurn:
        await asyncio.sleep(0.01 if self.answers else 3600)
        return Working(number=1)


@pytest.mark.parametrize("says", [(), (Working(number=1),)], ids=["silent", "busy"])
async def test_a_station_does_not_hold_a_card_for_ever(
    says: tuple[StationTurn, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(talk_module, "SILENCE_S", 0.05)
    monkeypatch.setattr(talk_module, "EXCHANGE_S", 0.2)
    log: list[str] = []
    async with asyncio.timeout(5):
        with pytest.raises(errors.ConnectionLost):
            await Talk(Busy(*says)).converse(two_batches(log))
    assert log == ["closed"]


async def test_a_person_may_think_longer_than_a_station_may_be_silent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(talk_module, "SILENCE_S", 0.01)

    class Slow(Script):
        async def receive(self) -> StationTurn:
            await asyncio.sleep(0.1)
            return Answer(number=1, given=True)

    await Talk(Slow()).ask_pin(Question.NEW_PIN, Purpose.ACTIVATE, hole="new", uses=1)
