"""Names of people, cards, readers and templates are shown; the terminal never acts upon them."""

from dataclasses import replace

import pytest

from kiosk.station.wording import step
from kiosk.tui.orders import NoOrders
from shared import errors
from shared.console import Found
from shared.credential.model import State
from shared.display import ORDERS
from shared.relay import StepLine
from tests.tui.conftest import Desk
from tests.tui.look import lines, shows
from tests.tui.scripted import PEOPLE, ScriptedStation, credential, reader, record

ORDER = "\x1b]0;owned\x07\x9b2J\u202eEvil\u2066[bold red]x[/]\r"


def tainted(text: str) -> str:
    return f"{text}{ORDER}"


async def test_no_order_of_others_reaches_the_terminal(desk: Desk, station: ScriptedStation) -> None:
    person = replace(
        PEOPLE[0],
        name=tainted(PEOPLE[0].name),
        attributes={name: tainted(value) for name, value in PEOPLE[0].attributes.items()},
    )
    view = reader(1, State.ACTIVE, person)
    assert view.record is not None
    assert view.card is not None
    await station.put(
        replace(
            view,
            record=replace(view.record, template_title=tainted("Badge"), notices=(tainted("notice"),)),
            card=replace(view.card, product=tainted("Card"), certificates=(tainted("9A CN=Anna"),)),
        )
    )
    app = desk()
    async with app.run_test(size=(120, 40)) as pilot:
        await shows(pilot, "Anna Berg")
        drawn = lines(app)
        assert not any(ORDERS.search(line) for line in drawn)
        assert any("[bold red]x[/]" in line for line in drawn), "markup of others is text"
        failed = errors.ReaderFailed(reader=tainted("Reader"), reason=tainted("unplugged"))
        await station.put(replace(view, record=None, card=None, error=failed))
        await shows(pilot, "unplugged")
        assert not any(ORDERS.search(line) for line in lines(app))


async def test_nor_from_the_directory(
    desk: Desk, station: ScriptedStation, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def found(text: str, limit: int = 50, directory: str = "") -> Found:  # noqa: ARG001  # the station's form
        return Found(people=(replace(PEOPLE[0], name=f"\x1b[31m{tainted('Zoe')}"),), more=False)

    monkeypatch.setattr(station, "find_people", found)
    await station.put(reader(1, State.UNREGISTERED))
    app = desk()
    async with app.run_test(size=(100, 30)) as pilot:
        await pilot.press("i")
        await shows(pilot, "1 person")
        await shows(pilot, "Zoe")
        assert not any(ORDERS.search(line) for line in lines(app))


async def test_nor_from_the_record_and_no_name_is_markup(desk: Desk) -> None:
    person = replace(PEOPLE[0], name=tainted("Zoe"))
    known = record(State.ACTIVE, person, template_title=tainted("Badge"))
    station = ScriptedStation(reader(1, State.ACTIVE, person, record=known))
    station.credentials = [
        credential(
            0,
            State.ACTIVE,
            holder_name=tainted("Zoe"),
            template_title=tainted("Badge"),
            profile=tainted("card"),
            reason=tainted("why"),
        )
    ]
    app = desk(station)
    async with app.run_test(size=(120, 40)) as pilot:
        for keys, words in (
            (("m",), "Every day"),
            (("o",), "Revoke: why?  Zoe"),
            (("enter",), "Revoke?  Zoe"),
            (("n", "f"), "1 credential"),
            (("enter",), "Without the card"),
            (("h",), "Are you sure"),
            (("y",), "Hide it"),
            (("escape", "enter", "s", "enter"), "suspended until somebody"),
        ):
            for key in keys:
                await pilot.press(key)
                await pilot.pause(0.3)
            await shows(pilot, words)
            drawn = lines(app)
            assert any("Zoe" in line for line in drawn)
            headings = [line.split("╔")[1] for line in drawn if "╔" in line]
            assert all("[bold red]x[/]" in heading for heading in headings if "Zoe" in heading), headings
            assert not any(ORDERS.search(line) for line in drawn)


def test_the_filter_of_the_framework_is_still_asked(desk: Desk) -> None:
    assert any(isinstance(one, NoOrders) for one in desk().get_line_filters())


@pytest.mark.parametrize("key", ["{slot.__class__}", "{", "{0}", "{slot:9999999999}"])
def test_a_step_that_nobody_knows_is_no_pattern_for_facts(key: str) -> None:
    assert "class 'str'" not in step(StepLine(key=key, facts={"slot": "9A"}))
