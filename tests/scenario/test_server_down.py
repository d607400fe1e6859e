"""The server dies before, during and after an operation, is started again, and the card heals: at any station.

A real process, killed with SIGKILL, over real gRPC with mutual TLS. The judges are the card's memory and the book of
the certificate authority, read from the database with the keys of the key store.
"""

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator

import pytest
from cryptography import x509

from server.connectors.keystore.software import SoftwareKeyStore
from server.store.database import connect
from server.wiring import DATABASE_KEY
from shared.clock import SystemClock
from shared.credential.model import State
from shared.credential.pins import PinPolicy, pad
from shared.errors import KioskError
from shared.relay import Done, Exchange, OperationKind, Responses
from shared.secret import Secret
from tests.scenario.installation import Desk, Installation, Moment
from tests.scenario.judging import PIN, SLOTS, WatchedCard, said
from tests.scenario.lab import Holder
from tests.serving import PASSPHRASE

NEXT_PIN = "482615"
INSERT_AGAIN = "Insert the card again; the work is continued where it stopped."


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """Make an installation once; what each test does there is on cards of its own."""
    installation = Installation(tmp_path_factory.mktemp("server"))
    installation.make()
    return installation


@pytest.fixture
def installation(made: Installation) -> Iterator[Installation]:
    made.start()
    yield made
    made.kill()


numbers = itertools.count(1)


@pytest.fixture
async def desks(installation: Installation) -> AsyncIterator[tuple[Desk, Desk]]:
    opened = []
    for _ in range(2):
        desk = Desk(await installation.joined(f"desk-{next(numbers)}"))
        await desk.station.start()
        opened.append(desk)
        await desk.online()
    yield opened[0], opened[1]
    for desk in opened:
        await desk.station.close()
        await desk.readers.close()


cards: list[WatchedCard] = []
"""Every card of this module so far."""


def a_card() -> WatchedCard:
    cards.append(WatchedCard.fresh(serial=next(numbers)))
    return cards[-1]


async def test_before(installation: Installation, desks: tuple[Desk, Desk]) -> None:
    """Nothing can be begun, nothing is touched; the desk says so, and goes on by itself when the server is back."""
    desk, _ = desks
    card = a_card()
    await desk.take(card)
    await desk.sees(lambda view: view.readers[0].record is not None)
    installation.kill()
    before = card.memory
    outcome = await desk.issue()
    sentence = said(outcome, "server-unreachable")
    assert sentence.startswith("The server localhost:")
    assert sentence.endswith("Try again.")
    assert card.memory == before
    view = await desk.sees(lambda view: not view.connected)
    assert view.readers[0].card is not None, "what is in the reader can still be seen"
    with pytest.raises(KioskError, match="server-unreachable"):
        await desk.station.find_people("anna")
    await installation.restart()
    await desk.online()
    assert (await desk.issue()).state == State.ISSUED


MOMENTS = {
    "at the same station": [(Exchange, 4), (Responses, 5)],
    "at another station": [(Exchange, 2), (Responses, 4), (Responses, 7)],
}
"""Which batch on its way to the card, or which answer on its way back."""


@pytest.mark.parametrize("where", MOMENTS)
async def test_during_an_issue(installation: Installation, desks: tuple[Desk, Desk], where: str) -> None:
    """Killed with keys being made, secrets being set, certificates being asked for, written, read back."""
    first, other = desks
    second = first if where == "at the same station" else other
    for kind, number in MOMENTS[where]:
        card = a_card()
        await first.online()
        await first.take(card)
        moment = Moment(kind, number, installation.kill)
        first.line.watch(moment)
        outcome = await first.issue()
        assert moment.came, (kind, number)
        assert said(outcome, "connection-lost").endswith(INSERT_AGAIN)
        await first.readers.pull("Reader 1")
        await installation.restart()
        await second.online()
        await second.take(card)
        outcome = await second.issue()
        assert (outcome.error, outcome.state) == (None, State.ISSUED), (kind, number)
        await second.readers.pull("Reader 1")
    await judge(installation)


async def test_after(installation: Installation, desks: tuple[Desk, Desk]) -> None:
    """Killed right after it said that the card is issued: that was durable."""
    first, second = desks
    card = a_card()
    await first.take(card)
    first.line.watch(Moment(Done, 1, installation.kill))
    assert (await first.issue()).state == State.ISSUED
    await first.readers.pull("Reader 1")
    await installation.restart()
    await second.online()
    await second.take(card)
    view = await second.sees(lambda view: view.readers[0].record is not None)
    assert view.readers[0].record is not None
    assert view.readers[0].record.state is State.ISSUED
    outcome = await second.perform(OperationKind.ACTIVATE, Holder(new_pins=[PIN]))
    assert (outcome.error, outcome.state) == (None, State.ACTIVE)


async def test_while_the_holder_types(installation: Installation, desks: tuple[Desk, Desk]) -> None:
    """The PIN that was typed for nothing is wiped and went nowhere."""
    desk, _ = desks
    card = a_card()
    await desk.take(card)
    assert (await desk.issue()).state == State.ISSUED
    before = card.memory
    typed = Secret.from_text(PIN)

    class Slow(Holder):
        async def new_pin(self, policy: PinPolicy, problem: KioskError | None) -> Secret | None:
            await asyncio.to_thread(installation.kill)
            return typed

    said(await desk.perform(OperationKind.ACTIVATE, Slow()), "connection-lost")
    assert typed.wiped
    assert card.memory == before


async def test_during_an_activation(installation: Installation, desks: tuple[Desk, Desk]) -> None:
    """Killed with the new PIN on its way to the card, and with the card's answer on its way back."""
    first, second = desks
    for kind, number in [(Exchange, 4), (Responses, 4)]:
        card = a_card()
        await first.online()
        await first.take(card)
        assert (await first.issue()).state == State.ISSUED
        moment = Moment(kind, number, installation.kill)
        first.line.watch(moment)
        outcome = await first.perform(OperationKind.ACTIVATE, Holder(new_pins=[PIN]))
        assert moment.came, (kind, number)
        said(outcome, "connection-lost")
        await first.readers.pull("Reader 1")
        await installation.restart()
        await second.online()
        await second.take(card)
        outcome = await second.perform(OperationKind.ACTIVATE, Holder(new_pins=[NEXT_PIN]))
        assert (outcome.error, outcome.state) == (None, State.ACTIVE)
        assert card.memory.pin.value == Secret(pad(NEXT_PIN.encode()))
        assert card.memory.puk.left == card.memory.puk.tries
        await second.readers.pull("Reader 1")


async def test_during_a_change_of_the_pin(installation: Installation, desks: tuple[Desk, Desk]) -> None:
    """The holder knows both PINs; one of them is in force, and no try is lost."""
    desk, _ = desks
    card = a_card()
    await desk.take(card)
    assert (await desk.issue()).state == State.ISSUED
    assert (await desk.perform(OperationKind.ACTIVATE, Holder(new_pins=[PIN]))).error is None
    desk.line.watch(Moment(Responses, 3, installation.kill))
    outcome = await desk.perform(OperationKind.CHANGE_PIN, Holder(current_pins=[PIN], new_pins=[NEXT_PIN]))
    said(outcome, "connection-lost")
    assert card.memory.pin.value in (Secret(pad(PIN.encode())), Secret(pad(NEXT_PIN.encode())))
    assert card.memory.pin.left == card.memory.pin.tries
    await installation.restart()
    await desk.online()
    holder = Holder(current_pins=[NEXT_PIN, PIN], new_pins=["592604"])
    assert (await desk.perform(OperationKind.CHANGE_PIN, holder)).error is None


async def judge(installation: Installation) -> None:
    """Check that every certificate on a card is its key's, and that none was left behind anywhere."""
    installation.stop()
    keys = SoftwareKeyStore.open(
        installation.folder / "server" / "keys", Secret.from_text(PASSPHRASE), clock=SystemClock()
    )
    database = connect(installation.folder / "server" / "store.db", await keys.derive(DATABASE_KEY))
    try:
        rows = database.execute(
            "SELECT certificate, revoked_at FROM ledger WHERE request_id IS NOT NULL"
        ).fetchall()
    finally:
        database.close()
    live = {bytes(certificate) for certificate, revoked_at in rows if revoked_at is None}
    on_card = set()
    for card, slot in itertools.product(cards, SLOTS):
        content = card.memory.objects[slot.certificate_object]
        (certificate,) = (each for each in live if each in content)
        parsed = x509.load_der_x509_certificate(certificate)
        assert parsed.public_key() == card.memory.keys[slot].private.public_key()
        on_card.add(certificate)
    assert live == on_card, "a certificate that is neither on its card nor revoked"
