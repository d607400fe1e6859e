"""The way out of a connection: attempts, rests, places, and what of it shows."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import pytest

from server.connectors.calling import ATTEMPTS, FAILURES, FIRST_REST_S, LONGEST_REST_S, GuardedLine, Limits
from server.ports.line import Circuit, NoAnswer
from shared import errors
from tests.server.store.examples import NOON, FixedClock


class Outside:
    """What is asked: it answers, or does not, as it is told; sleeping moves its clock."""

    def __init__(self, **limits: Any) -> None:
        self.clock = FixedClock()
        self.slept: list[float] = []
        self.asked = 0
        self.answers: list[BaseException | str] = []
        self.line = GuardedLine(
            "people", self.clock, Limits(**limits), sleep=self.sleep, fraction=lambda: 1.0
        )

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.pass_by(seconds)

    def pass_by(self, seconds: float) -> None:
        self.clock.time += timedelta(seconds=seconds)

    async def act(self) -> str:
        self.asked += 1
        answer = self.answers.pop(0) if self.answers else "here"
        if isinstance(answer, BaseException):
            raise answer
        return answer

    async def call(self, *answers: BaseException | str, repeatable: bool = False) -> str:
        self.answers = list(answers)
        return await self.line.call("search", self.act, repeatable=repeatable)

    async def fail(self, times: int) -> None:
        for _ in range(times):
            with pytest.raises(errors.ConnectorUnreachable):
                await self.call(NoAnswer(reason="silence"))


def gone(**more: Any) -> NoAnswer:
    return NoAnswer(reason="silence", **more)


async def test_an_answer_is_passed_on_and_counted() -> None:
    outside = Outside()
    assert await outside.call("Anna") == "Anna"
    state = outside.line.state
    assert (state.circuit, state.answered, state.failed, state.running) == (Circuit.CLOSED, 1, 0, 0)
    assert state.last_answer_at == NOON


async def test_only_what_is_safe_is_sent_again() -> None:
    outside = Outside()
    assert await outside.call(gone(), gone(), "Anna", repeatable=True) == "Anna"
    assert (outside.asked, outside.slept) == (3, [0.2, 0.4])
    with pytest.raises(errors.ConnectorUnreachable) as refused:
        await outside.call(gone(), "twice")
    assert refused.value.facts == {"connection": "people", "reason": "search: silence"}
    assert outside.answers == ["twice"]
    assert await outside.call(gone(sent=False), "once") == "once"  # it certainly did not arrive


async def test_attempts_have_a_bound() -> None:
    outside = Outside()
    with pytest.raises(errors.ConnectorUnreachable):
        await outside.call(*[gone()] * 9, repeatable=True)
    assert outside.asked == ATTEMPTS


@pytest.mark.parametrize(
    "refusal", [errors.ConnectorRefused(connection="x", reason="no"), ValueError("a fault")]
)
async def test_a_refusal_is_an_answer(refusal: Exception) -> None:
    outside = Outside()
    for _ in range(FAILURES + 1):
        with pytest.raises(type(refusal)):
            await outside.call(refusal, repeatable=True)
    assert outside.asked == FAILURES + 1
    assert outside.line.state.circuit is Circuit.CLOSED
    assert outside.line.state.running == 0


async def test_who_fails_again_and_again_is_let_alone() -> None:
    outside = Outside()
    await outside.fail(FAILURES)
    asked = outside.asked
    with pytest.raises(errors.ConnectorUnreachable) as refused:
        await outside.call("here")
    assert outside.asked == asked
    assert refused.value.facts["wait_s"] == FIRST_REST_S
    assert "let alone" in str(refused.value.facts["reason"])
    assert "silence" in str(refused.value.facts["reason"])
    state = outside.line.state
    assert (state.circuit, state.refused_here, state.failed) == (Circuit.OPEN, 1, FAILURES)
    assert state.retry_at == NOON + timedelta(seconds=FIRST_REST_S)


async def test_a_trial_decides_and_rests_grow_to_a_bound() -> None:
    outside = Outside()
    await outside.fail(FAILURES)
    rests = []
    for _ in range(9):
        state = outside.line.state
        assert state.retry_at is not None
        rest = (state.retry_at - outside.clock.time).total_seconds()
        rests.append(rest)
        outside.pass_by(rest)
        assert outside.line.state.circuit is Circuit.HALF_OPEN
        await outside.fail(1)
    assert rests[:4] == [FIRST_REST_S, 10.0, 20.0, 40.0]
    assert rests[-1] == LONGEST_REST_S
    outside.pass_by(LONGEST_REST_S)
    assert await outside.call("here") == "here"
    assert outside.line.state.circuit is Circuit.CLOSED
    await outside.fail(FAILURES - 1)
    assert outside.line.state.circuit is Circuit.CLOSED


async def test_one_trial_at_a_time_and_a_cancelled_one_says_nothing() -> None:
    outside = Outside()
    await outside.fail(FAILURES)
    outside.pass_by(FIRST_REST_S)
    waits = asyncio.Event()

    async def slow() -> str:
        await waits.wait()
        return "late"

    trial = asyncio.create_task(outside.line.call("search", slow))
    await asyncio.sleep(0.01)
    with pytest.raises(errors.ConnectorUnreachable):
        await outside.call("me too")
    trial.cancel()
    await asyncio.gather(trial, return_exceptions=True)
    assert outside.line.state.circuit is Circuit.HALF_OPEN
    assert await outside.call("here") == "here"


async def test_failures_side_by_side_open_it_once() -> None:
    outside = Outside(at_once=100)
    barrier = asyncio.Event()

    async def fall() -> str:
        await barrier.wait()
        raise gone()

    calls = [asyncio.create_task(outside.line.call("search", fall)) for _ in range(50)]
    await asyncio.sleep(0.01)
    assert outside.line.state.running == 50
    barrier.set()
    await asyncio.gather(*calls, return_exceptions=True)
    assert outside.line.state.retry_at == NOON + timedelta(seconds=FIRST_REST_S)


async def test_a_short_rest_that_was_asked_for_is_waited_for() -> None:
    outside = Outside(timeout_s=10)
    assert await outside.call(gone(sent=False, wait_s=4), "here") == "here"
    assert outside.slept == [4]
    with pytest.raises(errors.ConnectorUnreachable) as refused:
        await outside.call(gone(wait_s=60))
    assert refused.value.facts["wait_s"] == 60
    asked = outside.asked
    with pytest.raises(errors.ConnectorUnreachable):
        await outside.call("here")
    assert outside.asked == asked
    outside.pass_by(55)
    assert await outside.call("here") == "here"  # five seconds are left, and waited
    assert outside.slept[-1] == pytest.approx(5)


async def test_a_call_without_an_end_is_ended() -> None:
    outside = Outside()

    async def never() -> str:
        await asyncio.Event().wait()
        return ""

    with pytest.raises(errors.ConnectorUnreachable) as refused:
        await outside.line.call("issue", never, within_s=0.05)
    assert refused.value.facts["reason"] == "issue: no answer in time"
    assert outside.line.state.failed == 1


async def test_so_many_run_at_once_and_the_next_waits_its_turn() -> None:
    outside = Outside(at_once=2)
    running, most = 0, 0

    async def busy() -> str:
        nonlocal running, most
        running += 1
        most = max(most, running)
        await asyncio.sleep(0.01)
        running -= 1
        return "done"

    call: Callable[[], Awaitable[str]] = lambda: outside.line.call("issue", busy)  # noqa: E731  # the same five times
    assert await asyncio.gather(*(call() for _ in range(5))) == ["done"] * 5
    assert most == 2

    async def holds() -> str:
        await asyncio.sleep(10)
        return ""

    held = [asyncio.create_task(outside.line.call("issue", holds)) for _ in range(2)]
    await asyncio.sleep(0.01)
    with pytest.raises(errors.ConnectorUnreachable) as refused:
        await outside.line.call("issue", busy, within_s=0.05)
    assert "too many calls" in str(refused.value.facts["reason"])
    for task in held:
        task.cancel()
    await asyncio.gather(*held, return_exceptions=True)
    assert outside.line.state.running == 0
