"""The picture of the life says what the table of the life says."""

import pytest

from kiosk.tui.labels import OPERATION_KEYS, STATE_NAMES
from kiosk.tui.widgets.life import NEIGHBOURS, PLACES, way
from shared.credential.lifecycle import LIFECYCLE
from shared.credential.model import State
from tests.tui.conftest import Desk
from tests.tui.look import lines, shows
from tests.tui.scripted import PEOPLE, ScriptedStation, reader


@pytest.mark.parametrize("size", [(80, 24), (120, 40)])
@pytest.mark.parametrize("state", list(State))
async def test_every_state_that_is_in_reach_has_its_key(
    desk: Desk, state: State, size: tuple[int, int]
) -> None:
    app = desk(ScriptedStation(reader(1, state, PEOPLE[0])))
    async with app.run_test(size=size) as pilot:
        await shows(pilot, f"● {STATE_NAMES[state].upper()}", "Life of this card")
        drawn = "\n".join(lines(app))
        for transition in LIFECYCLE:
            if state not in transition.sources or transition.target in (None, state):
                continue
            others = {
                OPERATION_KEYS[each.operation]
                for each in LIFECYCLE
                if each.target is transition.target and state in each.sources
            }
            assert any(f"┌─ {key} ─" in drawn for key in others), transition.operation


def test_every_state_has_a_place_of_its_own() -> None:
    assert set(PLACES) == set(NEIGHBOURS) == set(State)
    assert len(set(PLACES.values())) == len(State)


def test_every_way_of_the_table_can_be_drawn_as_arrows() -> None:
    for transition in LIFECYCLE:
        for source in transition.sources:
            goal = transition.target or source
            arrows = way(source, goal)
            assert bool(arrows) == (goal is not source), (source, goal)
            assert all(after in NEIGHBOURS[before] for before, after in arrows)
