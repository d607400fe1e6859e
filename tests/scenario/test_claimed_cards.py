"""A station that lies: it says that it has a card that it has not, so that nobody else may work on it."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace

import pytest

from kiosk.station.faces import Job, Outcome
from shared.credential.lifecycle import OperationKind
from shared.credential.model import State
from shared.credential.reasons import Cause
from shared.secret import Secret
from tests.scenario.judging import PIN, WatchedCard, nothing_changes, said
from tests.scenario.lab import Holder, Lab, Notes
from tests.scenario.test_two_stations import READER, Desk

SPOKEN = 3
"""Words of a station, until the server has the lease and asks the card to prove itself."""


class Liar(Desk):
    """A station with copies of cards, which say what the cards say of themselves and know none of their keys."""

    def __init__(self, lab: Lab, name: str = "Desk 9") -> None:
        super().__init__(lab, name)
        self.lab = lab
        self.task: asyncio.Task[Outcome] | None = None

    async def claim(self, card: WatchedCard) -> None:
        """Begin to unblock a copy, and fall silent when the server has the card's lease."""
        copy = WatchedCard.fresh()
        key = replace(card.memory.management, value=Secret(bytes(24)))
        copy.alter(replace(card.memory, management=key))
        await self.take(copy)
        self.line.after = SPOKEN
        job = Job(operation=OperationKind.UNBLOCK, reader=READER)
        self.task = asyncio.create_task(self.station.perform(job, Holder(new_pins=[PIN]), Notes()))
        await asyncio.wait_for(self.line.dead.wait(), 10)
        leases = self.lab.store._book.state.leases.values()  # no face shows them
        assert [row.station for row in leases if row.live] == [self.line._caller.station_id]

    async def give_up(self) -> Outcome:
        assert self.task is not None
        self.line.noticed.set()
        return await self.task


@pytest.fixture
async def lab() -> AsyncIterator[Lab]:
    made = await Lab.start()
    yield made
    await made.close()


@pytest.fixture
async def desk(lab: Lab) -> AsyncIterator[Desk]:
    made = Desk(lab, "Desk 1")
    await made.station.start()
    yield made
    await made.station.close()


@pytest.fixture
async def liar(lab: Lab) -> AsyncIterator[Liar]:
    made = Liar(lab)
    await made.station.start()
    yield made
    await made.station.close()


@pytest.fixture
async def card(lab: Lab, desk: Desk) -> WatchedCard:
    made = WatchedCard.fresh()
    lab.readers.add_card("card", made)
    await desk.take(made)
    assert (await desk.issue()).state == State.ISSUED
    assert (await do(desk, OperationKind.ACTIVATE)).state == State.ACTIVE
    return made


async def do(desk: Desk, operation: OperationKind, reason: str = "") -> Outcome:
    job = Job(operation=operation, reader=READER, reason=reason)
    return await desk.station.perform(job, Holder(new_pins=[PIN], current_pins=[PIN]), Notes())


@pytest.mark.parametrize(
    ("operation", "reason", "state"),
    [
        (OperationKind.UNBLOCK, "", State.ACTIVE),
        (OperationKind.REVOKE, Cause.STOLEN, State.REVOKED),
        (OperationKind.SUSPEND, Cause.FORGOTTEN, State.SUSPENDED),
    ],
)
async def test_who_has_the_card_works_on_it(
    desk: Desk, liar: Liar, card: WatchedCard, operation: OperationKind, reason: str, state: State
) -> None:
    await liar.claim(card)
    outcome = await do(desk, operation, reason)
    assert (outcome.error, outcome.state) == (None, state)
    assert (await liar.give_up()).error is not None


async def test_what_the_liar_says_then_changes_nothing(
    lab: Lab, desk: Desk, liar: Liar, card: WatchedCard
) -> None:
    liar.line.comes_back = True
    await liar.claim(card)
    assert (await do(desk, OperationKind.UNBLOCK)).state == State.ACTIVE
    async with nothing_changes(lab):
        assert (await liar.give_up()).error is not None


async def test_a_stolen_card_is_revoked_from_afar_while_the_thief_claims_it(
    lab: Lab, desk: Desk, liar: Liar, card: WatchedCard
) -> None:
    await desk.readers.pull(READER)
    await liar.claim(card)
    (record,) = await lab.store.cards.cards_by_hint(profile=card.memory.profile, serial=1001)
    decided = await desk.station.decide(record.record_id, OperationKind.REVOKE, Cause.STOLEN)
    assert decided.state == State.REVOKED
    assert (await liar.give_up()).error is not None


async def test_a_copy_does_not_take_the_card_from_whom_it_has_proven_itself_to(
    lab: Lab, desk: Desk, liar: Liar, card: WatchedCard
) -> None:
    """The card is at work at one station, and has proven itself; a copy of it cannot."""
    desk.line.after, desk.line.comes_back = SPOKEN + 2, True
    desk.line.dead.clear()
    work = asyncio.create_task(do(desk, OperationKind.UNBLOCK))
    await asyncio.wait_for(desk.line.dead.wait(), 10)
    copy = WatchedCard.fresh()
    copy.alter(replace(card.memory, management=replace(card.memory.management, value=Secret(bytes(24)))))
    await liar.take(copy)
    async with nothing_changes(lab):
        said(await do(liar, OperationKind.UNBLOCK), "card-leased")
    desk.line.noticed.set()
    assert (await work).error is None
