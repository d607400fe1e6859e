"""One card at two stations: one works on it at a time, and whoever comes after a cut goes on with it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import timedelta
from uuid import uuid4

import pytest

from kiosk.devices.virtual.reader import VirtualReaders
from kiosk.station.core import StationCore
from kiosk.station.faces import Job, Outcome
from server.authority.access import Caller
from server.authority.console import Console
from server.authority.policy import unrestricted
from server.store.rules import LEASE_PROVEN_S
from shared.credential.model import CardRecord, State, StationId
from shared.credential.pins import PinPolicy
from shared.credential.reasons import Cause
from shared.errors import KioskError
from shared.piv.ids import Ins
from shared.relay import OperationKind, ServerTurn, StationTurn
from shared.secret import Secret
from shared.virtual.faults import Fault, FaultKind
from tests.scenario.judging import PIN, WatchedCard, judge, nothing_changes, said
from tests.scenario.lab import BOB, DirectBackend, Holder, Lab, Notes
from tests.server.rpc.world import MovableClock

READER = "Reader 1"
LEASE = timedelta(seconds=LEASE_PROVEN_S + 1)


class DeadLine(DirectBackend):
    """A line that goes dead after some words of the station; the server hears of it much later."""

    after = 10_000
    comes_back = False

    def __init__(self, lab: Lab, name: str) -> None:
        services = lab.services
        console = Console(
            lab.store.cards,
            lab.store.credentials,
            lab.store.templates,
            services.directories,
            lambda: services.keystore.generation,
            services.clock,
        )
        caller = Caller(
            station_id=StationId(uuid4()),
            name=name,
            lab=True,
            fingerprint=b"\x00" * 32,
            principal=unrestricted("test"),
        )
        super().__init__(lab.engine, console, caller)
        self.dead = asyncio.Event()
        self.noticed = asyncio.Event()

    async def operation(self, turns: AsyncIterator[StationTurn]) -> AsyncIterator[ServerTurn]:
        async def words() -> AsyncIterator[StationTurn]:
            said = 0
            async for turn in turns:
                said += 1
                if said > self.after:
                    self.dead.set()
                    await self.noticed.wait()
                    if not self.comes_back:
                        return
                yield turn

        async for turn in super().operation(words()):
            yield turn


class Desk:
    """A station with a reader of its own."""

    def __init__(self, lab: Lab, name: str) -> None:
        self.line = DeadLine(lab, name)
        self.readers = VirtualReaders([READER])
        self.station = StationCore(self.readers, self.line)

    async def take(self, card: WatchedCard) -> None:
        self.readers.add_card("card", card)
        await self.readers.insert(READER, "card")

    async def issue(self) -> Outcome:
        job = Job(operation=OperationKind.ISSUE, reader=READER, holder=BOB.holder, template="employee")
        return await self.station.perform(job, Holder(), Notes())


@pytest.fixture
async def clock() -> MovableClock:
    return MovableClock()


@pytest.fixture
async def lab(clock: MovableClock) -> AsyncIterator[Lab]:
    made = await Lab.start(clock=clock)
    yield made
    await made.close()


@pytest.fixture
async def desks(lab: Lab) -> AsyncIterator[tuple[Desk, Desk]]:
    made = (Desk(lab, "Desk 1"), Desk(lab, "Desk 2"))
    for desk in made:
        await desk.station.start()
    yield made
    for desk in made:
        await desk.station.close()


async def test_a_card_that_another_station_works_on(
    lab: Lab, clock: MovableClock, desks: tuple[Desk, Desk]
) -> None:
    """The first station's line dies after the card has proven itself; the second has to wait for the lease, then goes on."""
    first, second = desks
    card = WatchedCard.fresh()
    lab.readers.add_card("card", card)
    await first.take(card)
    first.line.after = 5
    work = asyncio.create_task(first.issue())
    await first.line.dead.wait()
    await first.readers.pull(READER)
    await second.take(card)
    async with nothing_changes(lab):
        outcome = await second.issue()
    assert said(outcome, "card-leased") == "Another station is working on this card. Try again."

    clock.later += LEASE
    assert (await second.issue()).state == State.ISSUED
    await judge(lab)
    async with nothing_changes(lab):
        first.line.noticed.set()
        said(await work, "connection-lost")


async def test_a_station_that_only_claims_the_card_does_not_keep_it_from_another(
    lab: Lab, desks: tuple[Desk, Desk]
) -> None:
    """The first station falls silent before the card has proven itself to the server there; the second need not wait."""
    first, second = desks
    card = WatchedCard.fresh()
    lab.readers.add_card("card", card)
    await first.take(card)
    first.line.after, first.line.comes_back = 4, True
    work = asyncio.create_task(first.issue())
    await first.line.dead.wait()
    await first.readers.pull(READER)
    await second.take(card)
    assert (await second.issue()).state == State.ISSUED
    async with nothing_changes(lab):
        first.line.noticed.set()
        said(await work, "lease-lost")
    await judge(lab)


async def test_what_the_first_still_wants_to_write_is_refused(
    lab: Lab, clock: MovableClock, desks: tuple[Desk, Desk]
) -> None:
    """The first station sleeps through its lease, with the card's answer in hand, and then comes back."""
    first, second = desks
    card = WatchedCard.fresh()
    lab.readers.add_card("card", card)
    await first.take(card)
    first.line.after, first.line.comes_back = 4, True
    work = asyncio.create_task(first.issue())
    await first.line.dead.wait()
    await first.readers.pull(READER)
    clock.later += LEASE
    await second.take(card)
    assert (await second.issue()).state == State.ISSUED
    async with nothing_changes(lab):
        first.line.noticed.set()
        outcome = await work
    said(outcome, "lease-lost")
    await judge(lab)


async def test_a_cut_is_continued_at_another_station_at_once(lab: Lab, desks: tuple[Desk, Desk]) -> None:
    """The station told the server that the card was pulled: nobody has to wait for the lease."""
    first, second = desks
    card = WatchedCard.fresh()
    lab.readers.add_card("card", card)
    await first.take(card)
    first.readers.arm("card", Fault(kind=FaultKind.RESPONSE_LOST, ins=Ins.SET_MANAGEMENT_KEY))
    said(await first.issue(), "card-lost")
    await second.take(card)
    assert (await second.issue()).state == State.ISSUED
    await judge(lab)
    job = Job(operation=OperationKind.ACTIVATE, reader=READER)
    assert (await second.station.perform(job, Holder(new_pins=[PIN]), Notes())).state == State.ACTIVE


class Wanderer(Holder):
    """Somebody who is asked for a PIN, and does something at another station before typing it."""

    def __init__(self, meanwhile: Callable[[], Awaitable[None]]) -> None:
        super().__init__(new_pins=[PIN])
        self.meanwhile = meanwhile

    async def new_pin(self, policy: PinPolicy, problem: KioskError | None) -> Secret | None:
        await self.meanwhile()
        return await super().new_pin(policy, problem)


@pytest.mark.parametrize("operation", [OperationKind.REVOKE, OperationKind.RETIRE, OperationKind.ACTIVATE])
async def test_what_was_done_to_a_card_while_a_person_was_asked_stands(
    lab: Lab, desks: tuple[Desk, Desk], operation: OperationKind
) -> None:
    """An activation that was begun before the card was revoked elsewhere neither undoes that nor tries an old PUK."""
    first, second = desks
    card = WatchedCard.fresh()
    lab.readers.add_card("card", card)
    await first.take(card)
    assert (await first.issue()).state == State.ISSUED
    records: list[CardRecord] = []

    async def meanwhile() -> None:
        await first.readers.pull(READER)
        await second.take(card)
        job = Job(operation=operation, reader=READER, reason=Cause.STOLEN)
        assert (await second.station.perform(job, Holder(new_pins=[PIN]), Notes())).error is None
        records.extend(await lab.store.cards.cards_by_hint(profile=card.memory.profile, serial=1001))
        await second.readers.pull(READER)
        await first.readers.insert(READER, "card")

    job = Job(operation=OperationKind.ACTIVATE, reader=READER)
    outcome = await first.station.perform(job, Wanderer(meanwhile), Notes())
    said(outcome, "store-conflict")
    assert await lab.store.cards.cards_by_hint(profile=card.memory.profile, serial=1001) == tuple(records)
    assert outcome.state == records[0].state
