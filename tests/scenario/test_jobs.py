"""What certificate authorities do not do at once is done later, and somebody is told before it is too late."""

import asyncio
import logging
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from itertools import pairwise
from uuid import uuid4

import pytest

from server.authority.work import Work
from server.operations import tasks as tasks_module
from server.operations.lateness import Deadlines, Lateness
from server.operations.sweep import AT_ONCE, sweep
from server.operations.tasks import LONGEST_PAUSE, attempt
from server.ports.ca import Reason
from server.probes import probes
from shared import errors
from shared.credential.model import CertificateState, CertificateTask, PinState, RequestId, State
from shared.credential.reasons import Cause
from shared.relay import OperationKind
from tests.conftest import FixedClock
from tests.scenario.lab import BOB, Holder
from tests.scenario.replacing import PIN, active_card
from tests.scenario.working import Mood, Working, all_jobs

SHORT_S = 0.05


@pytest.fixture
async def working(clock: FixedClock) -> AsyncIterator[Working]:
    made = await Working.start(clock)
    yield made
    await made.close()


@pytest.fixture
def short_patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks_module, "PATIENCE_S", SHORT_S)


async def revoked_while(working: Working, mood: Mood) -> None:
    """Have a credential revoked whose authority is in this mood."""
    await active_card(working.lab)
    record = await working.record()
    working.authority.mood = mood
    decided = await working.lab.station.decide(record.record_id, OperationKind.REVOKE, Cause.STOLEN)
    assert (decided.state, decided.facts["waiting"]) == (State.REVOKED, 4)


async def doctor(working: Working) -> dict[str, object]:
    services = working.lab.services
    found = probes(
        services,
        services.keystore,  # type: ignore[arg-type]  # the one in memory has generations too
        connection="built-in",
        issuing=(await working.lab.ca.trust())[0],
        deadlines=Deadlines(),
        jobs=all_jobs(services),
    )
    said: dict[str, object] = {}
    for subject, probe in found.items():
        try:
            said[subject] = await probe()
        except errors.KioskError as error:
            said[subject] = error
    return said


def work(working: Working) -> Work:
    services = working.lab.services
    return Work(services, Deadlines(), {job.name: job.every for job in all_jobs(services)})


# --- the clock of 18 hours ------------------------------------------------------------------------------


async def test_a_revocation_that_waits_raises_an_alarm_before_and_at_18_hours(
    working: Working, caplog: pytest.LogCaptureFixture
) -> None:
    await revoked_while(working, Mood.ASLEEP)
    asked_at = working.clock.now()
    assert (await doctor(working))["certificate-tasks"] == {"waiting": 4, "given-up": 0}
    await working.pass_time(timedelta(hours=12, minutes=-10))
    assert await working.evidence("certificate-task-late") == []
    await working.pass_time(timedelta(minutes=10))
    late = await working.evidence("certificate-task-late")
    assert len(late) == 4
    assert {entry.at - asked_at for entry in late} == {timedelta(hours=12)}
    assert {entry.record.facts["failure"] for entry in late} == {"asleep"}
    found = (await doctor(working))["certificate-tasks"]
    assert isinstance(found, errors.TasksLate)
    assert found.facts == {"late": 4, "overdue": 0, "hours": 18}
    await working.pass_time(timedelta(hours=12))
    assert len(await working.evidence("certificate-task-late")) == 4
    overdue = await working.evidence("certificate-task-overdue")
    assert len(overdue) == 4
    assert {entry.at - asked_at for entry in overdue} == {timedelta(hours=18)}
    alarms = [line for line in caplog.records if line.levelno == logging.ERROR]
    assert len(alarms) == 8
    assert BOB.name not in caplog.text
    found = (await doctor(working))["certificate-tasks"]
    assert isinstance(found, errors.TasksLate)
    assert found.facts == {"late": 4, "overdue": 4, "hours": 18}
    listed = await work(working).tasks()
    assert {view.lateness for view in listed.tasks} == {Lateness.OVERDUE}

    working.authority.mood = Mood.AWAKE
    await working.pass_time(LONGEST_PAUSE + timedelta(minutes=10))
    assert working.reasons() == [Reason.KEY_COMPROMISE] * 4
    assert {each.state for each in (await working.record()).certificates} == {CertificateState.REVOKED}
    assert (await doctor(working))["certificate-tasks"] == {"waiting": 0, "given-up": 0}


async def test_an_alarm_is_not_raised_again_after_a_restart(working: Working) -> None:
    await revoked_while(working, Mood.ASLEEP)
    await working.pass_time(timedelta(hours=13))
    await working.restart()
    await working.pass_time(timedelta(hours=1))
    assert len(await working.evidence("certificate-task-late")) == 4


async def test_who_was_not_there_to_warn_says_only_that_it_is_over(working: Working) -> None:
    await revoked_while(working, Mood.ASLEEP)
    working.clock.move(timedelta(hours=30))
    await working.runner.run_due()
    assert await working.evidence("certificate-task-late") == []
    assert len(await working.evidence("certificate-task-overdue")) == 4


async def test_an_authority_that_sleeps_is_asked_ever_more_seldom(working: Working) -> None:
    await revoked_while(working, Mood.ASLEEP)
    began = working.clock.now()
    await working.pass_time(timedelta(hours=18), step=timedelta(seconds=30))
    times = sorted(set(working.authority.tried) - {began})
    gaps = [later - earlier for earlier, later in pairwise(times)]
    assert times[0] - began <= timedelta(minutes=1)
    assert max(gaps) <= LONGEST_PAUSE + timedelta(minutes=1)
    assert gaps[-1] >= LONGEST_PAUSE
    assert len(times) < 60


async def test_after_a_restart_nothing_waits_for_its_next_time(working: Working) -> None:
    await revoked_while(working, Mood.ASLEEP)
    await working.pass_time(timedelta(hours=5))
    working.authority.mood = Mood.AWAKE
    await working.restart()
    await working.pass_time(timedelta(seconds=5))
    assert working.reasons() == [Reason.KEY_COMPROMISE] * 4


# --- an authority that hangs, or loses its answers ------------------------------------------------------


@pytest.mark.usefixtures("short_patience")
async def test_an_authority_that_hangs_is_let_go(working: Working) -> None:
    await revoked_while(working, Mood.HANGS)
    assert working.authority.cancelled == 4
    assert {task.failure for task in (await working.record()).tasks} == {"no answer in time"}
    assert working.reasons() == [""] * 4


@pytest.mark.usefixtures("short_patience")
async def test_what_was_done_without_an_answer_is_done_again_without_harm(working: Working) -> None:
    await revoked_while(working, Mood.DOES_AND_HANGS)
    assert working.reasons() == [Reason.KEY_COMPROMISE] * 4
    revoked_at = [each.revoked_at for each in working.ledger()]
    assert len((await working.record()).tasks) == 4
    working.authority.mood = Mood.AWAKE
    await working.pass_time(timedelta(minutes=1))
    assert (await working.record()).tasks == ()
    assert [each.revoked_at for each in working.ledger()] == revoked_at
    assert len(await working.evidence("certificate-revoked")) == 8  # the authority's four, and the record's


async def test_whoever_stops_waiting_leaves_the_tasks(working: Working) -> None:
    await revoked_while(working, Mood.ASLEEP)
    working.authority.mood = Mood.HANGS
    working.clock.move(timedelta(minutes=1))
    before = (await working.record()).tasks
    running = asyncio.create_task(working.runner.run_due())
    while len(working.authority.tried) < 8:  # noqa: ASYNC110  # four at the counter, four now
        await asyncio.sleep(0)
    await working.runner.stop()
    await asyncio.gather(running, return_exceptions=True)
    assert working.authority.cancelled == 4
    assert (await working.record()).tasks == before
    assert (await working.notes())["certificate-tasks"] == "stopped"
    working.authority.mood = Mood.AWAKE
    await working.restart()
    await working.runner.run_due()
    assert (await working.record()).tasks == ()


async def test_a_fault_of_a_connector_is_a_failure_of_its_tasks(
    working: Working, caplog: pytest.LogCaptureFixture
) -> None:
    await revoked_while(working, Mood.FAULTY)
    assert {task.failure for task in (await working.record()).tasks} == {"fault: ValueError"}
    await working.pass_time(timedelta(minutes=5))
    assert (await working.notes())["certificate-tasks"] == "0 done, 4 failed, 0 not tried"
    assert "739154" not in caplog.text
    working.authority.mood = Mood.AWAKE
    await working.pass_time(timedelta(hours=1))
    assert working.reasons() == [Reason.KEY_COMPROMISE] * 4


# --- one authority sleeps, the others work --------------------------------------------------------------


@pytest.mark.usefixtures("short_patience")
async def test_one_that_sleeps_keeps_nobody_else_waiting(working: Working) -> None:
    await revoked_while(working, Mood.ASLEEP)
    (*_, real) = (await working.record()).tasks
    now = working.clock.now()
    sleepers = [
        replace(real, connection="hangs", request_id=RequestId(uuid4()), next_at=now) for _ in range(40)
    ]
    slow, tried = working.authority, 0

    class Other:
        """Nobody knows these certificates; an attempt takes as long as patience lasts."""

        def __getattr__(self, name: str) -> object:
            return getattr(slow, name)

        async def revoke(self, certificate: bytes, reason: Reason) -> None:
            nonlocal tried
            del certificate, reason
            tried += 1
            await asyncio.Event().wait()

    certificate = (await working.record()).certificates[0]
    kept = working.lab.store._book.state
    card = kept.cards[real.record_id]
    more = tuple(replace(certificate, request_id=task.request_id, connection="hangs") for task in sleepers)
    kept.cards[real.record_id] = replace(card, certificates=(*card.certificates, *more))
    kept.tasks.update({task.request_id: task for task in sleepers})
    services = replace(
        working.lab.services,
        authorities={"built-in": working.authority, "hangs": Other()},  # type: ignore[dict-item]  # it stands in
    )
    working.authority.mood = Mood.AWAKE
    waiting: list[CertificateTask] = [*sleepers, *(await working.record()).tasks[:4]]
    swept = await sweep(services, waiting)
    assert (swept.done, swept.failed, swept.left) == (4, AT_ONCE, 40 - AT_ONCE)
    assert tried == AT_ONCE
    due = await services.store.tasks.due(now, 100)
    assert len(due) == 40 - AT_ONCE  # those that were tried wait longer, so that others find out


# --- an administrator -----------------------------------------------------------------------------------


async def test_an_administrator_has_it_tried_now(working: Working) -> None:
    await revoked_while(working, Mood.ASLEEP)
    with pytest.raises(errors.Invalid):
        await work(working).retry("nobody", "admin", given_up=False)
    came = await work(working).retry("built-in", "admin", given_up=False)
    assert (came.done, came.failed, came.left) == (0, 4, 0)
    working.authority.mood = Mood.AWAKE
    came = await work(working).retry("", "admin", given_up=False)
    assert (came.done, came.failed, came.left) == (4, 0, 0)
    assert working.reasons() == [Reason.KEY_COMPROMISE] * 4
    retried = await working.evidence("certificate-tasks-retried")
    assert [(entry.record.actor, entry.record.facts["tasks"]) for entry in retried] == [("admin", 4)] * 2
    assert (await work(working).retry("built-in", "admin", given_up=False)).done == 0


async def test_what_can_never_succeed_is_given_up_and_kept(working: Working) -> None:
    await revoked_while(working, Mood.ASLEEP)
    desk = work(working)
    listed = await desk.tasks()
    assert [(view.slot, view.holder, view.serial) for view in listed.tasks] == [
        (slot, BOB.name, 1001) for slot in ("9A", "9C", "9D", "9E")
    ]
    request_id = listed.tasks[0].task.request_id
    with pytest.raises(errors.Invalid):
        await desk.give_up(request_id, "  ", "admin")
    with pytest.raises(errors.Invalid):
        await desk.give_up(RequestId(uuid4()), "no such thing", "admin")
    view = await desk.give_up(request_id, "the authority was\nswitched off", "admin")
    assert (view.lateness, view.task.failure) == (Lateness.GIVEN_UP, "the authority was switched off")
    (evidence,) = await working.evidence("certificate-task-given-up")
    assert evidence.record.actor == "admin"
    assert evidence.record.facts["why"] == "the authority was switched off"
    tried = len(working.authority.tried)
    await working.pass_time(timedelta(hours=20))
    assert len(working.authority.tried) > tried
    kept = {task.request_id: task for task in (await working.record()).tasks}
    assert kept[request_id].attempts == 1
    assert len(await working.evidence("certificate-task-overdue")) == 3
    working.authority.mood = Mood.AWAKE
    await working.restart()
    await working.pass_time(timedelta(hours=1))
    (left,) = (await working.record()).tasks
    assert left.request_id == request_id
    assert working.reasons().count("") == 1
    assert (await doctor(working))["certificate-tasks"] == {"waiting": 0, "given-up": 1}
    unrevoked = [
        each.request_id
        for each in (await working.record()).certificates
        if each.state is CertificateState.CONFIRMED
    ]
    assert unrevoked == [request_id]
    assert (await desk.retry("", "admin", given_up=True)).done == 1
    assert working.reasons() == [Reason.KEY_COMPROMISE] * 4


async def test_jobs_are_listed(working: Working) -> None:
    before = await work(working).jobs()
    assert [job.name for job in before] == [
        "certificate-tasks", "credentials", "leavers", "orphans", "renewal", "succession", "temporary",
    ]  # fmt: skip
    assert {job.last_run_at for job in before} == {None}
    await working.pass_time(timedelta(minutes=1))
    after = {job.name: job for job in await work(working).jobs()}
    assert after["orphans"].last_run_at == working.clock.now()
    assert (after["orphans"].note, after["orphans"].running) == ("0 to be revoked", False)
    said = await doctor(working)
    assert said["job:orphans"] == {"last": working.clock.now().isoformat(), "result": "0 to be revoked"}


async def test_a_job_that_fails_is_told(working: Working, monkeypatch: pytest.MonkeyPatch) -> None:
    async def fails(*_: object) -> object:
        raise errors.StoreUnavailable(why="disk full")

    with monkeypatch.context() as broken:
        broken.setattr(working.lab.store.credentials, "stale", fails)
        await working.pass_time(timedelta(minutes=1))
    found = (await doctor(working))["job:orphans"]
    assert isinstance(found, errors.JobFailed)
    assert found.facts == {"job": "orphans", "reason": "store-unavailable"}
    await working.pass_time(timedelta(hours=2))
    assert not isinstance((await doctor(working))["job:orphans"], errors.JobFailed)


# --- a person at the card is not disturbed --------------------------------------------------------------


async def test_who_types_a_pin_does_not_begin_again_because_an_authority_was_asked(working: Working) -> None:
    """A suspended credential is resumed while the job fails to put its certificates on hold."""
    await active_card(working.lab)
    working.authority.mood = Mood.ASLEEP
    assert (await working.lab.perform(OperationKind.SUSPEND, reason=Cause.FORGOTTEN)).error is None
    working.clock.move(timedelta(minutes=2))

    class Slow(Holder):
        async def new_pin(self, *question: object) -> object:  # type: ignore[override]  # whatever is asked
            await attempt(working.lab.services, (await working.record()).tasks)
            return await super().new_pin(*question)  # type: ignore[arg-type]  # as it came

    resumed = await working.lab.perform(OperationKind.RESUME, Slow(new_pins=[PIN]))
    assert resumed.error is None
    record = await working.record()
    assert (record.state, record.pin) == (State.ACTIVE, PinState.HOLDER)
    assert {task.attempts for task in record.tasks} <= {0, 1}
