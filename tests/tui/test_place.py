"""A person who has a card gets another one, a replacement, or a temporary one."""

from dataclasses import replace
from uuid import UUID

import pytest

from kiosk.station import wording
from kiosk.station.faces import Job
from shared.console import TemplateView
from shared.credential.model import State
from shared.credential.reasons import Cause
from shared.relay import OperationKind
from tests.tui.conftest import Desk
from tests.tui.look import shows, until
from tests.tui.scripted import PEOPLE, TEMPLATES, ScriptedStation, credential, reader

ANNA = credential(0, State.ACTIVE)
DAY = TemplateView(name="day", title="Badge for a day", version=1, slots=("9A P-256 x",), temporary=True)


@pytest.fixture
def station() -> ScriptedStation:
    """A blank card in the reader, and Anna, who has a card."""
    made = ScriptedStation(reader(1, State.UNREGISTERED))
    made.credentials = [ANNA]
    made.template_list = (*TEMPLATES, DAY)
    return made


def job_of(station: ScriptedStation) -> Job:
    (job,) = [asked for asked in station.asked if isinstance(asked, Job)]
    return job


async def test_a_replacement_has_the_old_one_s_template(desk: Desk, station: ScriptedStation) -> None:
    app = desk(station)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("i")
        await shows(pilot, "6 people")
        await pilot.press("enter")
        await shows(pilot, "Anna Berg has a card", "Another card", "Replacement", "Temporary card")
        await pilot.press("r")
        await shows(pilot, "Replacement: why?  Anna Berg", "It was lost", "misuse the old card")
        await pilot.press("down", "enter")
        await shows(pilot, "Issue this card?", "Employee badge  v7", "Replaces", "serial 20114000", "stolen")
        await pilot.press("enter")
        await until(pilot, lambda: any(isinstance(asked, Job) for asked in station.asked))
    assert job_of(station) == Job(
        operation=OperationKind.ISSUE,
        reader="Virtual reader 1",
        holder=PEOPLE[0].holder,
        template="employee",
        replaces=str(ANNA.credential_id),
        reason=Cause.STOLEN.value,
    )


async def test_a_temporary_card_is_made_by_a_template_for_that(desk: Desk, station: ScriptedStation) -> None:
    app = desk(station)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("i")
        await shows(pilot, "6 people")
        await pilot.press("enter")
        await shows(pilot, "Temporary card")
        await pilot.press("t")
        await shows(pilot, "Temporary card: why?  Anna Berg", "It was left at home")
        await pilot.press("enter")
        await shows(pilot, "Issue this card?", "Badge for a day  v1", "Stands in for", "left at home")
        await pilot.press("enter")
        await until(pilot, lambda: any(isinstance(asked, Job) for asked in station.asked))
    job = job_of(station)
    assert (job.primary, job.replaces, job.template) == (str(ANNA.credential_id), "", "day")
    assert job.reason == Cause.FORGOTTEN


async def test_which_one_is_asked_where_there_are_several(desk: Desk, station: ScriptedStation) -> None:
    guest = replace(
        ANNA,
        record_id=UUID(int=7),
        credential_id=UUID(int=77),
        template="guest",
        template_title="Guest card",
        serial=4711,
    )
    station.credentials = [ANNA, guest]
    app = desk(station)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("i")
        await shows(pilot, "6 people")
        await pilot.press("enter")
        await shows(pilot, "Replacement")
        await pilot.press("r")
        await shows(
            pilot, "Which card is replaced?  Anna Berg", "serial 20114000", "Guest card · serial 4711"
        )
        await pilot.press("2")
        await shows(pilot, "Replacement: why?")
        await pilot.press("enter")
        await shows(pilot, "Issue this card?", "Guest card  v2")
        await pilot.press("escape")
        await until(pilot, lambda: not app.screen.is_modal)
    assert not [asked for asked in station.asked if isinstance(asked, Job)]


async def test_there_is_one_temporary_card_at_a_time(desk: Desk, station: ScriptedStation) -> None:
    day = replace(
        ANNA, record_id=UUID(int=8), credential_id=UUID(int=88), template="day", primary=ANNA.credential_id
    )
    station.credentials = [replace(ANNA, state=State.SUSPENDED), day]
    app = desk(station)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("i")
        await shows(pilot, "6 people")
        await pilot.press("enter")
        await shows(pilot, "Another card", "Replacement")
        await pilot.press("t")
        await pilot.press("r")
        await shows(pilot, "Replacement: why?")


async def test_another_card_is_never_made_by_a_template_for_temporary_ones(
    desk: Desk, station: ScriptedStation
) -> None:
    station.credentials = []
    app = desk(station)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("i")
        await shows(pilot, "6 people")
        await pilot.press("enter")
        await shows(pilot, "Which kind of card?", "Employee badge", "Guest card")
        await pilot.press("end", "enter")
        await shows(pilot, "Issue this card?", "Guest card  v2")


async def test_what_followed_is_said(desk: Desk, station: ScriptedStation) -> None:
    station.credentials = []
    app = desk(station)
    perform = station.perform

    async def performing(*words: object) -> object:
        outcome = await perform(*words)  # type: ignore[arg-type]
        return replace(outcome, facts={**outcome.facts, "followed": "revoke later"})

    station.perform = performing  # type: ignore[assignment]
    async with app.run_test(size=(100, 30)) as pilot:
        await pilot.press("i")
        await shows(pilot, "6 people")
        await pilot.press("enter")
        await shows(pilot, "Which kind of card?")
        await pilot.press("enter")
        await shows(pilot, "Issue this card?")
        await pilot.press("enter")
        revoked, later = wording.followed({"followed": "revoke later"})
        await shows(pilot, revoked[:24], later[:24])
