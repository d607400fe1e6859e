"""People who leave: noticed, suspended where the template says so, and never because a directory is silent."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest

from server.jobs.leavers import LEFT, leavers
from server.operations.leavers import FEW, Looked, Why, look
from server.ports.directory import Directory
from shared import errors
from shared.credential.model import HolderId, Person, State
from tests.conftest import FixedClock
from tests.scenario.lab import BOB, Lab
from tests.scenario.replacing import active_card, record_of
from tests.scenario.templates import EMPLOYEE

SUSPENDING = EMPLOYEE.replace("\n", '\nwhen-holder-leaves = "suspend"\n', 1)
EVE = Person(holder=HolderId("eve"), name="Eve Other", attributes={"user": "eve"})


@dataclass
class Fickle:
    """A directory that changes its mind."""

    people: dict[HolderId, Person] = field(default_factory=lambda: {BOB.holder: BOB, EVE.holder: EVE})
    problem: errors.KioskError | None = None

    async def search(self, text: str, limit: int) -> Sequence[Person]:
        self._consider()
        return list(self.people.values())[:limit]

    async def get(self, holder: HolderId) -> Person | None:
        self._consider()
        return self.people.get(holder)

    def _consider(self) -> None:
        if self.problem is not None:
            raise self.problem


@dataclass
class Set:
    lab: Lab
    directory: Fickle

    async def run(self) -> str:
        services = self.lab.services
        return await leavers(services.store).run(services, services.clock.now())

    async def looked(self) -> Looked:
        (found,) = await look(self.lab.services)
        return found

    async def noticed(self) -> list[dict[str, errors.Fact]]:
        record = await record_of(self.lab)
        entries = await self.lab.store.audit.about(str(record.record_id))
        return [entry.record.facts for entry in entries if entry.record.event == LEFT]

    async def state(self) -> State:
        return (await record_of(self.lab)).state


@pytest.fixture(params=[SUSPENDING])
async def made(request: pytest.FixtureRequest, clock: FixedClock) -> AsyncIterator[Set]:
    directory = Fickle()
    directories: dict[str, Directory] = {"people": directory}
    lab = await Lab.start(
        clock=clock, template=request.param, adapt=lambda services: replace(services, directories=directories)
    )
    await active_card(lab)
    yield Set(lab, directory)
    await lab.close()


async def test_who_is_there_keeps_the_card(made: Set) -> None:
    assert await made.run() == "0 listed, 0 suspended"
    assert await made.state() is State.ACTIVE


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"enabled": False}, Why.DISABLED),
        ({"valid_until": FixedClock().now() - timedelta(days=1)}, Why.OVER),
        (None, Why.NOT_FOUND),
    ],
)
async def test_who_has_left_is_suspended(made: Set, change: dict[str, object] | None, why: Why) -> None:
    if change is None:
        del made.directory.people[BOB.holder]
    else:
        made.directory.people[BOB.holder] = replace(BOB, **change)  # type: ignore[arg-type]  # fields of its own
    assert [leaver.why for leaver in (await made.looked()).leavers] == [why]
    assert await made.run() == "0 listed, 1 suspended"
    record = await record_of(made.lab)
    assert record.credential is not None
    assert (record.state, record.credential.reason) == (State.SUSPENDED, "left")
    entries = await made.lab.store.audit.about(str(record.record_id))
    told = next(entry.record.facts for entry in entries if entry.record.event == "suspended")
    assert (told["why"], told["directory"]) == (why.value, "people")
    assert await made.run() == "0 listed, 0 suspended"


@pytest.mark.parametrize("made", [EMPLOYEE], indirect=True)
async def test_without_a_policy_leavers_are_listed_once(made: Set) -> None:
    made.directory.people[BOB.holder] = replace(BOB, enabled=False)
    for _ in range(2):
        assert await made.run() == "1 listed, 0 suspended"
    (noticed,) = await made.noticed()
    assert (noticed["why"], noticed["doubtful"]) == ("disabled", False)
    assert await made.state() is State.ACTIVE


async def test_a_directory_that_is_silent_suspends_nobody(made: Set) -> None:
    for problem in (
        errors.ConnectorUnreachable(connection="people", reason="time-out"),
        errors.ConnectorRefused(connection="people", reason="bind: invalidCredentials"),
    ):
        made.directory.problem = problem
        assert await made.run() == "0 listed, 0 suspended; nothing known of people"
        assert (await made.looked()).silent == problem.facts["reason"]
    assert await made.state() is State.ACTIVE


async def test_a_directory_that_knows_nobody_suspends_nobody(made: Set) -> None:
    made.directory.people.clear()
    assert await made.run() == "0 listed, 0 suspended; nothing known of people"
    assert await made.state() is State.ACTIVE


async def test_a_directory_that_finds_people_but_none_by_id_suspends_nobody(made: Set) -> None:
    """As when the attribute with the id may not be read any more, or is another one."""
    made.directory.people = {HolderId("x"): EVE}
    assert await made.run() == "0 listed, 0 suspended; nothing known of people"
    assert await made.state() is State.ACTIVE


async def test_a_connection_that_is_gone_suspends_nobody(made: Set) -> None:
    made.lab.services = replace(made.lab.services, directories={})
    assert await made.run() == "0 listed, 0 suspended; nothing known of people"
    assert await made.state() is State.ACTIVE


async def test_many_at_once_are_listed_and_not_suspended(made: Set, monkeypatch: pytest.MonkeyPatch) -> None:
    made.directory.people[BOB.holder] = replace(BOB, enabled=False)
    assert FEW >= 1
    monkeypatch.setattr("server.operations.leavers.FEW", 0)
    assert await made.run() == "1 listed, 0 suspended; too many gone at once in people"
    (noticed,) = await made.noticed()
    assert noticed["doubtful"] is True
    assert await made.state() is State.ACTIVE
