"""Take a card into stock, and give one back, at the desk: a key each, and a question before all is deleted."""

from kiosk.station.faces import Job
from kiosk.tui.confirm import Confirm
from kiosk.tui.labels import OPERATION_KEYS
from shared.credential.lifecycle import OperationKind
from shared.credential.model import State
from tests.tui.conftest import Desk
from tests.tui.look import shows, until
from tests.tui.scripted import ScriptedStation, reader, record, seen

KEY = OPERATION_KEYS[OperationKind.UNREGISTER]


async def test_a_key_takes_a_blank_card_into_stock(desk: Desk) -> None:
    station = ScriptedStation(reader(1, State.UNREGISTERED))
    app = desk(station)
    async with app.run_test(size=(80, 24)) as pilot:
        await shows(pilot, " i   Issue this card")
        await pilot.press(OPERATION_KEYS[OperationKind.REGISTER])
        await shows(pilot, "✓ The card is registered and may be issued.")
    assert station.asked == [Job(operation=OperationKind.REGISTER, reader=reader(1, State.ACTIVE).name)]


async def test_z_asks_before_everything_is_deleted_and_enter_does_not_answer(desk: Desk) -> None:
    station = ScriptedStation(reader(1, State.RETIRED))
    app = desk(station)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("z")
        await shows(pilot, "Give this card back?", "Its record is closed.", " y   Give it back")
        await pilot.press("enter")
        assert isinstance(app.screen, Confirm)
        await pilot.press("n")
        await until(pilot, lambda: not isinstance(app.screen, Confirm))
        assert station.asked == []
        await pilot.press("z")
        await shows(pilot, "Give this card back?")
        await pilot.press("y")
        await shows(pilot, "✓ The card is as from the factory and no longer ours.")
    assert station.asked == [Job(operation=OperationKind.UNREGISTER, reader=reader(1, State.ACTIVE).name)]


async def test_another_card_than_the_one_that_was_asked_about_is_left_alone(desk: Desk) -> None:
    station = ScriptedStation(reader(1, State.RETIRED))
    app = desk(station)
    async with app.run_test(size=(80, 24)) as pilot:
        await pilot.press("z")
        await shows(pilot, "Give this card back?")
        await station.put(reader(1, State.RETIRED, card=seen(5)))
        await pilot.press("y")
        await shows(pilot, "Another card answered than before")
    assert station.asked == []


async def test_a_card_that_was_cut_while_it_was_given_back_goes_on_without_a_question(desk: Desk) -> None:
    cut = record(State.RETIRED, interrupted=OperationKind.UNREGISTER)
    station = ScriptedStation(reader(1, State.RETIRED, record=cut))
    app = desk(station)
    async with app.run_test(size=(80, 24)) as pilot:
        await shows(pilot, "Unregistering was interrupted.", f" {KEY}   Continue unregistering")
        await pilot.press("enter")
        await shows(pilot, "✓ The card is as from the factory and no longer ours.")
    assert station.asked == [Job(operation=OperationKind.UNREGISTER, reader=reader(1).name)]
