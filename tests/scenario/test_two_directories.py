"""People are searched in all directories; an id that means two people gets no card."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

import pytest

from server.connectors.directory.memory import MemoryDirectory
from server.operations.services import Services
from server.ports.directory import Directory
from shared import errors
from shared.credential.model import HolderId, Person, State
from shared.piv.ids import ProfileName
from shared.relay import OperationKind
from tests.scenario.lab import BOB, Lab

MALLORY = replace(BOB, name="Mallory Jones")


class Dead:
    """A directory that does not answer."""

    async def search(self, text: str, limit: int) -> Sequence[Person]:  # the port's form
        raise errors.ConnectorUnreachable(connection="other", reason="no answer")

    async def get(self, holder: HolderId) -> Person | None:  # the port's form
        raise errors.ConnectorUnreachable(connection="other", reason="no answer")


async def started(other: Directory) -> Lab:
    def with_another(services: Services) -> Services:
        return replace(services, directories={**services.directories, "other": other})

    lab = await Lab.start(adapt=with_another)
    await lab.insert(ProfileName.YUBIKEY_5_4)
    return lab


@pytest.fixture
async def labs() -> AsyncIterator[list[Lab]]:
    made: list[Lab] = []
    yield made
    for lab in made:
        await lab.close()


async def test_an_id_that_means_two_people_gets_no_card(labs: list[Lab]) -> None:
    lab = await started(MemoryDirectory([MALLORY]))
    labs.append(lab)
    outcome = await lab.perform(OperationKind.ISSUE, subject=MALLORY.holder, template="employee")
    assert isinstance(outcome.error, errors.Invalid)
    assert outcome.error.facts["field"] == "holder"
    assert outcome.state == State.UNREGISTERED


@pytest.mark.parametrize(
    "other", [MemoryDirectory([BOB]), MemoryDirectory([]), Dead()], ids=["copy", "empty", "dead"]
)
async def test_any_other_directory_is_in_nobodys_way(labs: list[Lab], other: Directory) -> None:
    lab = await started(other)
    labs.append(lab)
    outcome = await lab.perform(OperationKind.ISSUE, subject=BOB.holder, template="employee")
    assert outcome.error is None


async def test_one_directory_is_searched_alone_and_everybody_is_said_to_be_in_theirs(labs: list[Lab]) -> None:
    mallory = replace(MALLORY, holder=HolderId("7a7e7c6e-0009"))
    lab = await started(MemoryDirectory([mallory]))
    labs.append(lab)
    everybody = await lab.station.find_people("")
    assert everybody.directories == ("people", "other")
    assert {each.name: each.directory for each in everybody.people} == {
        BOB.name: "people",
        mallory.name: "other",
    }
    alone = await lab.station.find_people("", directory="other")
    assert [each.name for each in alone.people] == [mallory.name]
    assert {view.directory for view in await lab.station.templates()} == {"people"}
    with pytest.raises(errors.Invalid):
        await lab.station.find_people("", directory="elsewhere")


async def test_a_directory_that_does_not_answer_is_not_in_the_way_of_one_that_was_chosen(
    labs: list[Lab],
) -> None:
    lab = await started(Dead())
    labs.append(lab)
    with pytest.raises(errors.ConnectorUnreachable):
        await lab.station.find_people("")
    assert (await lab.station.find_people("", directory="people")).people
