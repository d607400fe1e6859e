"""A frozen clock and an app over a scripted station."""

from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from kiosk.tui.app import DeskApp
from shared.credential.model import State
from tests.tui.scripted import PEOPLE, ScriptedStation, ScriptedVirtualDesk, reader


class StillClock:
    """Always the same moment, so that pictures do not differ."""

    def now(self) -> datetime:
        return datetime(2026, 11, 20, 14, 2, tzinfo=UTC)

    def monotonic(self) -> float:
        return 1000.0


Desk = Callable[..., DeskApp]


@pytest.fixture
def station() -> ScriptedStation:
    return ScriptedStation(reader(1, State.ACTIVE, PEOPLE[1]), reader(2, State.UNREGISTERED), reader(3))


@pytest.fixture
def desk(station: ScriptedStation) -> Desk:
    def make(of: ScriptedStation = station, *, banner: str = "", virtual: bool = True) -> DeskApp:
        cards = ScriptedVirtualDesk(of) if virtual else None
        return DeskApp(
            station=of, virtual=cards, banner=banner, title="Desk 3 · Main gate", clock=StillClock()
        )

    return make
