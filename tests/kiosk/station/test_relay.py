import asyncio
import secrets
from collections.abc import AsyncIterator, Callable

import pytest

from kiosk.devices.virtual.reader import VirtualReaders
from kiosk.station import relay as relay_module
from kiosk.station.faces import Outcome
from kiosk.station.relay import Relay, RelayParts
from shared import errors
from shared.clock import SystemClock
from shared.credential.pins import PinPolicy
from shared.iso7816.apdu import ColdReset, Hole
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
from shared.virtual.card import VirtualCard
from shared.virtual.faults import Fault, FaultKind
from tests.kiosk.station.commands import (
    FACTORY_FIELD,
    READ_CHUID,
    SELECT,
    authenticate_management,
    change,
    put_data,
    sign,
    tries,
    unblock,
    verify,
    verify_plain,
)
from tests.kiosk.station.doubles import READER, NotingWatcher, ScriptedBackend, ToldPerson, readers_with_card

PIN, NEW = Hole(name="pin"), Hole(name="new")
FACTORY_PUK = b"12345678"

Turns = AsyncIterator[StationTurn]
ServerTurns = AsyncIterator[ServerTurn]


class Bench:
    """One relay between a script and a virtual card."""

    def __init__(self, readers: VirtualReaders, card: VirtualCard) -> None:
        self.readers = readers
        self.card = card
        self.person = ToldPerson()
        self.watcher = NotingWatcher()
        self.backend = ScriptedBackend()
        self.relay: Relay | None = None

    async def run(
        self, script: Callable[[Turns], ServerTurns], operation: OperationKind = OperationKind.ISSUE
    ) -> Outcome:
        self.backend.script = script
        parts = RelayParts(
            readers=self.readers, backend=self.backend, clock=SystemClock(), random_below=secrets.randbelow
        )
        begin = Begin(operation=operation, reader=READER, virtual=True)
        self.relay = Relay(parts, begin, self.person, self.watcher)
        return await self.relay.run()

    def heard(self, kind: type[StationTurn]) -> list[StationTurn]:
        return [turn for turn in self.backend.heard if isinstance(turn, kind)]

    def refused(self) -> errors.KioskError:
        (turn,) = self.heard(Refusal)
        assert isinstance(turn, Refusal)
        return turn.error


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    readers, card = await readers_with_card()
    yield Bench(readers, card)
    await readers.close()


def exchange(*items: object, number: int = 1, release: bool = True, epoch: int = 1) -> Exchange:
    return Exchange(number=number, items=items, epoch=epoch, release=release)  # type: ignore[arg-type]  # items


def ask_current(**changes: object) -> Ask:
    fields = {
        "number": 1,
        "question": Question.CURRENT_PIN,
        "purpose": Purpose.CHANGE_PIN,
        "hole": "pin",
        "uses": 1,
    }
    return Ask(**(fields | changes))  # type: ignore[arg-type]  # fields of the turn


def ask_new(**changes: object) -> Ask:
    fields = {
        "number": 2,
        "question": Question.NEW_PIN,
        "purpose": Purpose.CHANGE_PIN,
        "hole": "new",
        "uses": 2,
    }
    return Ask(**(fields | changes))  # type: ignore[arg-type]  # fields of the turn


DONE = Done(state="active", facts={"holder": "Bob"})


async def test_commands_go_to_the_card_and_answers_come_back(bench: Bench) -> None:
    async def script(turns: Turns) -> ServerTurns:
        yield Steps(steps=(StepLine(key="own"),))
        yield Progress(steps=(StepChange(index=0, done=False),))
        yield exchange(SELECT, ColdReset(), SELECT, tries(), release=False)
        assert isinstance(answer := await anext(turns), Responses)
        assert [response.sw for response in answer.responses] == [0x9000, 0x9000, 0x9000, 0x63C3]
        yield exchange(READ_CHUID, put_data(), SELECT, number=2)
        assert isinstance(answer := await anext(turns), Responses)
        assert (answer.number, len(answer.responses)) == (2, 1), "stopped at the first unexpected status"
        yield Progress(steps=(StepChange(index=0, done=True),))
        yield DONE

    outcome = await bench.run(script)
    assert (outcome.error, outcome.state, outcome.next_action) == (None, "active", "none")
    assert (outcome.round_trips, outcome.commands, outcome.facts) == (2, 5, {"holder": "Bob"})
    assert bench.watcher.lists == [(StepLine(key="own"),)]
    assert bench.watcher.seen == [(0, False), (0, True)]


async def test_a_transaction_lasts_from_the_first_exchange_to_the_release(bench: Bench) -> None:
    async def script(turns: Turns) -> ServerTurns:
        yield exchange(SELECT, verify_plain(), release=False)
        await anext(turns)
        yield exchange(tries(), number=2, release=True)
        still = await anext(turns)
        assert isinstance(still, Responses)
        assert still.responses[0].sw == 0x9000, "the PIN is still verified"
        yield exchange(SELECT, tries(), number=3, release=False)
        fresh = await anext(turns)
        assert isinstance(fresh, Responses)
        assert fresh.responses[1].sw == 0x63C3, "the release has reset the card"
        yield DONE

    assert (await bench.run(script)).error is None


async def test_a_drawn_pin_is_set_used_and_forgotten(bench: Bench) -> None:
    async def script(turns: Turns) -> ServerTurns:
        yield Draw(hole="pin", uses=2)
        yield exchange(SELECT, unblock(FACTORY_PUK, PIN), ColdReset(), SELECT, verify())
        done = await anext(turns)
        assert isinstance(done, Responses)
        assert [response.sw for response in done.responses] == [0x9000] * 5
        yield exchange(SELECT, verify(), number=2)
        await anext(turns)
        yield Failed(error=errors.HoleRefused(), state="registered", next_action="insert-again")

    outcome = await bench.run(script)
    assert isinstance(outcome.error, errors.HoleRefused)
    assert bench.refused().facts["why"] == "nothing was asked for under this name"
    assert outcome.state == "registered"


async def test_activation_end_to_end_and_the_pin_is_wiped(bench: Bench) -> None:
    bench.person = ToldPerson("12", "918273")

    async def script(turns: Turns) -> ServerTurns:
        yield ask_new(
            purpose=Purpose.ACTIVATE, policy=PinPolicy(min_length=6), facts={"problem": "pin-not-accepted"}
        )
        assert await anext(turns) == Answer(number=2, given=True)
        yield exchange(SELECT, unblock(FACTORY_PUK, NEW), ColdReset(), SELECT, verify("new"))
        done = await anext(turns)
        assert isinstance(done, Responses)
        assert done.responses[-1].sw == 0x9000
        yield DONE

    outcome = await bench.run(script, OperationKind.ACTIVATE)
    assert outcome.error is None
    assert bench.person.asked == [("new", 6, "pin-not-accepted"), ("new", 6, "pin-policy-violated")]
    assert all(secret.wiped for secret in bench.person.secrets)


async def test_a_wrong_present_pin_costs_one_try_and_is_asked_again(bench: Bench) -> None:
    bench.person = ToldPerson("999111", "918273", "123456", "918273")

    async def script(turns: Turns) -> ServerTurns:
        yield ask_current(tries_left=3)
        yield ask_new()
        await anext(turns), await anext(turns)
        yield exchange(SELECT, change(PIN, NEW), number=3)
        wrong = await anext(turns)
        assert isinstance(wrong, Responses)
        assert wrong.responses[-1].sw == 0x63C2
        yield ask_current(number=4, facts={"problem": "pin-rejected", "tries_left": 2})
        yield ask_new(number=5)
        await anext(turns), await anext(turns)
        yield exchange(SELECT, change(PIN, NEW), ColdReset(), SELECT, verify("new"), number=6)
        right = await anext(turns)
        assert isinstance(right, Responses)
        assert [response.sw for response in right.responses] == [0x9000] * 5
        yield DONE

    outcome = await bench.run(script, OperationKind.CHANGE_PIN)
    assert outcome.error is None
    assert bench.person.asked == [
        ("current", 3, ""),
        ("new", 6, ""),
        ("few", 2, ""),
        ("current", 2, "pin-rejected"),
        ("new", 6, ""),
    ]
    assert all(secret.wiped for secret in bench.person.secrets)


async def test_the_new_pin_is_not_the_present_one(bench: Bench) -> None:
    """The station has both; the server hears of neither."""
    bench.person = ToldPerson("739154", "739154", "918273")

    async def script(turns: Turns) -> ServerTurns:
        yield ask_current(tries_left=3)
        yield ask_new(policy=PinPolicy(personal=("918274",)))
        assert await anext(turns) == Answer(number=1, given=True)
        assert await anext(turns) == Answer(number=2, given=True)
        yield DONE

    assert (await bench.run(script, OperationKind.CHANGE_PIN)).error is None
    assert bench.person.asked[1:] == [("new", 6, ""), ("new", 6, "pin-policy-violated")]
    assert all(secret.wiped for secret in bench.person.secrets)


async def test_what_is_the_holders_own_is_refused_before_the_card_sees_it(bench: Bench) -> None:
    bench.person = ToldPerson("070384", "918273")

    async def script(turns: Turns) -> ServerTurns:
        yield ask_new(purpose=Purpose.ACTIVATE, policy=PinPolicy(personal=("07031984", "070384")))
        assert await anext(turns) == Answer(number=2, given=True)
        yield DONE

    assert (await bench.run(script, OperationKind.ACTIVATE)).error is None
    assert bench.person.asked == [("new", 6, ""), ("new", 6, "pin-policy-violated")]


async def burn(bench: Bench, count: int) -> None:
    """Use up tries of the card's PIN before the operation."""
    for _ in range(count):
        bench.card.transmit(bytes.fromhex("00A4040005A000000308"))
        bench.card.transmit(bytes.fromhex("0020008008") + b"000000\xff\xff")


async def test_with_few_tries_left_the_person_decides(bench: Bench) -> None:
    await burn(bench, 1)
    bench.person = ToldPerson("123456", agrees=False)

    async def script(turns: Turns) -> ServerTurns:
        yield ask_current(tries_left=3)
        assert await anext(turns) == Answer(number=1, given=False)
        yield Failed(error=errors.Cancelled(question="current-pin"), state="active", next_action="none")

    outcome = await bench.run(script, OperationKind.CHANGE_PIN)
    assert isinstance(outcome.error, errors.Cancelled)
    assert bench.person.asked == [("few", 2, "")], "the card is believed, not the server"


async def test_no_question_about_a_blocked_pin(bench: Bench) -> None:
    await burn(bench, 3)
    bench.person = ToldPerson("123456")

    async def script(turns: Turns) -> ServerTurns:
        yield ask_current()
        await anext(turns)
        yield Failed(error=errors.PinBlocked(), state="active", next_action="unblock")

    outcome = await bench.run(script, OperationKind.CHANGE_PIN)
    assert isinstance(outcome.error, errors.PinBlocked)
    assert outcome.next_action == "unblock"
    assert bench.person.asked == []


@pytest.mark.parametrize(
    ("hostile", "left"),
    [
        (verify_plain(), 2),
        (verify_plain(b"000000\xff\xff"), 3),
        (change(b"000000\xff\xff", FACTORY_FIELD), 3),
    ],
)
async def test_a_server_cannot_burn_the_last_tries(bench: Bench, hostile: object, left: int) -> None:
    """Nobody was asked, so nothing that may be wrong is sent with fewer than three tries left."""
    bench.card.transmit(bytes.fromhex("00A4040005A000000308"))
    bench.card.transmit(bytes.fromhex("0024008010") + FACTORY_FIELD + b"739184\xff\xff")
    bench.card.reset()

    async def script(turns: Turns) -> ServerTurns:
        for number in range(1, 5):
            yield exchange(SELECT, hostile, number=number)
            if isinstance(await anext(turns), Refusal):
                return

    outcome = await bench.run(script)
    assert isinstance(outcome.error, errors.HoleRefused)
    bench.card.transmit(bytes.fromhex("00A4040005A000000308"))
    assert bench.card.transmit(bytes.fromhex("00200080")) == bytes((0x63, 0xC0 + left))


async def test_a_violation_is_refused_before_anything_is_sent(bench: Bench) -> None:
    async def script(turns: Turns) -> ServerTurns:
        yield Draw(hole="pin", uses=1)
        yield exchange(SELECT, unblock(FACTORY_PUK, PIN), number=7)
        await anext(turns)
        yield exchange(SELECT, verify(), authenticate_management(), number=8)
        await anext(turns)
        yield exchange(SELECT, number=9)
        yield Failed(error=errors.HoleRefused(), state="unregistered", next_action="call-administrator")

    before = bench.card.commands
    outcome = await bench.run(script)
    assert isinstance(outcome.error, errors.HoleRefused)
    assert bench.card.commands == before + 2, "nothing of the refused batch, nothing after it"
    (turn,) = bench.heard(Refusal)
    assert isinstance(turn, Refusal)
    assert turn.number == 8


async def test_a_question_for_another_purpose_is_refused_unasked(bench: Bench) -> None:
    bench.person = ToldPerson("123456")

    async def script(turns: Turns) -> ServerTurns:
        yield ask_current(purpose=Purpose.ISSUE)
        await anext(turns)
        yield DONE

    outcome = await bench.run(script, OperationKind.CHANGE_PIN)
    assert isinstance(outcome.error, errors.HoleRefused), "even where the server calls it done"
    assert bench.person.asked == []


async def test_an_older_epoch_is_refused(bench: Bench) -> None:
    async def script(turns: Turns) -> ServerTurns:
        yield exchange(SELECT, epoch=5)
        await anext(turns)
        yield exchange(SELECT, number=2, epoch=4)
        await anext(turns)

    outcome = await bench.run(script)
    assert isinstance(outcome.error, errors.LeaseLost)
    assert isinstance(bench.refused(), errors.LeaseLost)


async def test_a_silent_server_after_a_refusal_is_not_waited_for(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay_module, "VERDICT_WAIT_S", 0.05)

    async def script(turns: Turns) -> ServerTurns:
        yield exchange(SELECT, verify())
        await anext(turns)
        await asyncio.sleep(60)
        yield DONE

    outcome = await bench.run(script)
    assert isinstance(outcome.error, errors.HoleRefused)
    assert outcome.state == "unknown"


async def test_a_server_that_talks_on_after_a_refusal_is_not_listened_to_for_ever(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay_module, "VERDICT_WAIT_S", 0.1)

    async def script(turns: Turns) -> ServerTurns:
        yield exchange(SELECT, verify())
        await anext(turns)
        while True:
            await asyncio.sleep(0.02)
            yield Progress(steps=())

    async with asyncio.timeout(5):
        outcome = await bench.run(script)
    assert isinstance(outcome.error, errors.HoleRefused)


async def test_facts_of_a_question_may_have_any_name(bench: Bench) -> None:
    async def script(turns: Turns) -> ServerTurns:
        yield ask_current(facts={"problem": "pin-rejected", "self": "x", "not a name": "y"})
        await anext(turns)
        yield DONE

    bench.person = ToldPerson("123456")
    outcome = await bench.run(script, OperationKind.CHANGE_PIN)
    assert outcome.error is None


async def test_a_server_cannot_have_values_kept_without_end(bench: Bench) -> None:
    async def script(turns: Turns) -> ServerTurns:
        for number in range(1000):
            yield Draw(hole=f"hole {number}", uses=1)
        await anext(turns)
        yield Failed(error=errors.Garbled(why="too many"), state="unregistered", next_action="none")

    outcome = await bench.run(script)
    assert isinstance(outcome.error, errors.Garbled)
    assert isinstance(bench.refused(), errors.Garbled)


async def test_a_pulled_card_is_reported_with_what_came_before(bench: Bench) -> None:
    bench.readers.arm("card", Fault(kind=FaultKind.RESPONSE_LOST, at=2))

    async def script(turns: Turns) -> ServerTurns:
        yield exchange(SELECT, tries(), SELECT)
        gone = await anext(turns)
        assert isinstance(gone, CardGone)
        assert [response.sw for response in gone.responses] == [0x9000]
        yield exchange(SELECT, number=2)
        assert await anext(turns) == CardGone(number=2)
        yield Failed(error=errors.CardLost(), state="registered", next_action="insert-again")

    outcome = await bench.run(script)
    assert isinstance(outcome.error, errors.CardLost)
    assert outcome.next_action == "insert-again"


async def test_a_missing_reader_is_told_to_the_server(bench: Bench) -> None:
    await bench.readers.detach(READER)

    async def script(turns: Turns) -> ServerTurns:
        yield exchange(SELECT)
        await anext(turns)
        yield Failed(error=errors.NoReader(), state="unregistered", next_action="try-again")

    assert isinstance((await bench.run(script)).error, errors.NoReader)


async def test_a_slow_card_keeps_its_lease(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(relay_module, "WORKING_EVERY_S", 0.02)
    bench.readers.arm("card", Fault(kind=FaultKind.DELAY, at=1, seconds=0.15))

    async def script(turns: Turns) -> ServerTurns:
        yield exchange(SELECT, number=3)
        while isinstance(turn := await anext(turns), Working):
            assert turn.number == 3
        assert isinstance(turn, Responses)
        yield DONE

    assert (await bench.run(script)).error is None
    assert len(bench.heard(Working)) >= 2


async def test_a_cut_line_is_an_outcome(bench: Bench) -> None:
    async def ends(_turns: Turns) -> ServerTurns:
        yield Steps(steps=())

    async def breaks(turns: Turns) -> ServerTurns:
        yield exchange(SELECT)
        await anext(turns)
        raise errors.ServerUnreachable(server="localhost", reason="gone")

    outcome = await bench.run(ends)
    assert isinstance(outcome.error, errors.ConnectionLost)
    assert outcome.next_action == "insert-again"
    outcome = await bench.run(breaks)
    assert isinstance(outcome.error, errors.ServerUnreachable)
    assert outcome.next_action == "try-again"


async def test_cancelling_ends_the_question_and_tells_the_server(bench: Bench) -> None:
    class Thinker(ToldPerson):
        async def new_pin(self, _policy: PinPolicy, _problem: errors.KioskError | None) -> None:
            await asyncio.sleep(60)

    bench.person = Thinker()

    async def script(turns: Turns) -> ServerTurns:
        yield ask_new(purpose=Purpose.ACTIVATE)
        assert isinstance(await anext(turns), Cancel)
        assert await anext(turns) == Answer(number=2, given=False)
        yield Failed(error=errors.Cancelled(question="new-pin"), state="issued", next_action="none")

    running = asyncio.create_task(bench.run(script, OperationKind.ACTIVATE))
    await asyncio.sleep(0.05)
    assert bench.relay is not None
    bench.relay.cancel()
    bench.relay.cancel()
    assert isinstance((await running).error, errors.Cancelled)


async def test_no_person_is_waited_for_inside_a_transaction(bench: Bench) -> None:
    class Other(ToldPerson):
        """Uses the card while it is asked, which only works outside the transaction."""

        async def new_pin(self, _policy: PinPolicy, _problem: errors.KioskError | None) -> None:
            async with asyncio.timeout(1), bench.readers.session(READER):
                self.asked.append(("free", None, ""))

    bench.person = Other()

    async def script(turns: Turns) -> ServerTurns:
        yield exchange(SELECT, release=False)
        await anext(turns)
        yield ask_new(purpose=Purpose.ACTIVATE)
        await anext(turns)
        yield DONE

    await bench.run(script, OperationKind.ACTIVATE)
    assert bench.person.asked == [("free", None, "")]


async def test_a_confirmation_of_the_unknown_and_a_bad_draw_are_refused(bench: Bench) -> None:
    async def confirm(turns: Turns) -> ServerTurns:
        yield Ask(number=1, question=Question.CONFIRM, purpose=Purpose.ISSUE)
        await anext(turns)

    async def draw(turns: Turns) -> ServerTurns:
        yield Draw(hole="pin", uses=1, length=4)
        await anext(turns)

    assert isinstance((await bench.run(confirm)).error, errors.Garbled)
    assert isinstance((await bench.run(draw)).error, errors.Garbled)


async def test_signing_on_the_card_with_a_digest_of_ours(bench: Bench) -> None:
    """Without a key in the slot the card refuses; the command got there, with the digest filled in."""

    async def script(turns: Turns) -> ServerTurns:
        yield Draw(hole="pin", uses=2)
        yield exchange(SELECT, unblock(FACTORY_PUK, PIN), ColdReset(), SELECT, verify(), sign())
        answer = await anext(turns)
        assert isinstance(answer, Responses)
        assert len(answer.responses) == 6
        assert answer.responses[-1].sw != 0x9000
        yield DONE

    assert (await bench.run(script)).error is None
