"""Jobs begin when their time has come, one process at a time; whatever becomes of one, it is done again."""

import asyncio
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

import pytest

from server.jobs.runner import SPREAD, START, Job, Runner
from server.operations.services import Services
from server.store.memory import MemoryStore
from shared import errors
from tests.conftest import FixedClock
from tests.scenario.lab import Lab

SECRET = "739154"


@dataclass
class Work:
    """A job that does what the test says, and remembers when."""

    fault: Exception | None = None
    hangs: asyncio.Event | None = None
    began: list[datetime] = field(default_factory=list)
    started: asyncio.Event = field(default_factory=asyncio.Event)

    def job(self, name: str, minutes: int = 10) -> Job:
        return Job(name=name, every=timedelta(minutes=minutes), run=self.run)

    async def run(self, services: Services, now: datetime) -> str:
        del services
        self.began.append(now)
        self.started.set()
        if self.hangs is not None:
            await self.hangs.wait()
        if self.fault is not None:
            raise self.fault
        return "1 done"


@dataclass
class Bench:
    """A runner's surroundings."""

    clock: FixedClock
    store: MemoryStore
    services: Services

    def runner(self, *jobs: Job, holder: str = "one", random: float = 1.0) -> Runner:
        return Runner(self.services, jobs, holder=holder, random=lambda: random)

    async def after(self, runner: Runner, passed: timedelta) -> None:
        self.clock.move(passed)
        await runner.run_due()

    async def notes(self) -> dict[str, str]:
        return {record.name: record.note for record in await self.store.jobs.all()}

    async def evidence(self) -> list[tuple[str, object]]:
        entries = await self.store.audit.page(0, 1000)
        return [
            (entry.record.subject, entry.record.facts["error"])
            for entry in entries
            if entry.record.event == "job-failed"
        ]


@pytest.fixture
async def bench(clock: FixedClock) -> AsyncIterator[Bench]:
    lab = await Lab.start()
    store = MemoryStore(clock)
    yield Bench(clock, store, replace(lab.services, store=store, clock=clock))
    await lab.close()


async def test_jobs_are_done_in_their_own_time(bench: Bench) -> None:
    often, seldom = Work(), Work()
    runner = bench.runner(often.job("often", 10), seldom.job("seldom", 60))
    await runner.run_due()
    assert (often.began, seldom.began) == ([], [])
    await bench.after(runner, START)
    assert len(often.began) == len(seldom.began) == 1
    await bench.after(runner, timedelta(minutes=10))
    assert len(often.began) == 1  # the spread makes it later
    await bench.after(runner, timedelta(minutes=10) * SPREAD)
    assert (len(often.began), len(seldom.began)) == (2, 1)
    for _ in range(5):
        await bench.after(runner, timedelta(minutes=10) * (1 + SPREAD))
    assert (len(often.began), len(seldom.began)) == (7, 2)
    assert await bench.notes() == {"often": "1 done", "seldom": "1 done"}
    (record, _) = await bench.store.jobs.all()
    assert record.last_run_at == record.expires_at == bench.clock.now()


async def test_a_job_that_fails_is_done_again_and_leaves_evidence_once(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    work, other = Work(fault=errors.ConnectorUnreachable(connection="hr", reason=SECRET)), Work()
    runner = bench.runner(work.job("flaky"), other.job("steady"))
    every = timedelta(minutes=12)
    for _ in range(3):
        await bench.after(runner, every)
    assert len(work.began) == len(other.began) == 3
    assert (await bench.notes())["flaky"] == "failed: connector-unreachable"
    assert await bench.evidence() == [("flaky", "connector-unreachable")]
    work.fault = ValueError(SECRET)
    await bench.after(runner, every)
    assert (await bench.notes())["flaky"] == "failed: ValueError"
    assert await bench.evidence() == [("flaky", "connector-unreachable"), ("flaky", "ValueError")]
    (record, _) = await bench.store.jobs.all()
    assert record.failure == "ValueError"
    work.fault = None
    await bench.after(runner, every)
    (record, _) = await bench.store.jobs.all()
    assert (record.note, record.failure) == ("1 done", "")
    work.fault = ValueError(SECRET)
    await bench.after(runner, every)
    assert len(await bench.evidence()) == 3
    assert {line.levelno for line in caplog.records if line.name == "server.jobs.runner"} == {logging.ERROR}
    assert SECRET not in caplog.text


async def test_one_process_does_a_job_at_a_time(bench: Bench) -> None:
    first, second = Work(hangs=asyncio.Event()), Work()
    one, two = bench.runner(first.job("same")), bench.runner(second.job("same"), holder="two")
    bench.clock.move(START)
    running = asyncio.create_task(one.run_due())
    await first.started.wait()
    await two.run_due()
    assert second.began == []
    assert first.hangs is not None
    first.hangs.set()
    await running
    await bench.after(two, timedelta(minutes=12))
    assert len(second.began) == 1


async def test_a_slow_job_keeps_no_other_waiting_and_does_not_overtake_itself(bench: Bench) -> None:
    slow, quick = Work(hangs=asyncio.Event()), Work()
    runner = bench.runner(slow.job("slow"), quick.job("quick"))
    for _ in range(3):
        bench.clock.move(timedelta(minutes=12))
        runner._begin_due()
        for _ in range(10):
            await asyncio.sleep(0)
    assert (len(slow.began), len(quick.began)) == (1, 3)
    await runner.stop()


async def test_stopping_stops_a_job_where_it_waits(bench: Bench) -> None:
    work = Work(hangs=asyncio.Event())
    runner = bench.runner(work.job("long"), random=0.0)
    runner.start()
    await work.started.wait()
    await runner.stop()
    assert await bench.notes() == {"long": "stopped"}
    (record,) = await bench.store.jobs.all()
    assert (record.expires_at, record.failure) == (bench.clock.now(), "")
    assert await bench.evidence() == []
    assert not [task for task in asyncio.all_tasks() if task.get_name().startswith("job ")]
    await runner.stop()


async def test_a_store_that_fails_does_not_end_the_jobs(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    work = Work()
    runner = bench.runner(work.job("often"))

    async def fails(*_: object) -> bool:
        raise errors.StoreUnavailable(why="disk full")

    with monkeypatch.context() as broken:
        broken.setattr(bench.store.jobs, "begin", fails)
        await bench.after(runner, START)
    assert work.began == []
    assert "job often was not recorded: store-unavailable" in caplog.text
    await bench.after(runner, timedelta(minutes=12))
    assert len(work.began) == 1
