"""Which record belongs to a card: a GUID or a serial number is a hint, and a factory state is an alarm."""

from uuid import UUID, uuid4

import pytest

from server.operations.identify import Identified, Sighting, identify
from server.ports.store import Opening, OperationClosed
from server.store.memory import MemoryStore
from shared.clock import SystemClock
from shared.credential.model import (
    FACTORY,
    CardRecord,
    OperationId,
    PinState,
    RecordId,
    SecretRecord,
    SecretVersion,
    State,
    StationId,
)
from shared.piv.ids import ManagementAlgorithm

NEW = SecretRecord(proven=FACTORY)
CUT = SecretRecord(proven=FACTORY, pending=SecretVersion(1))
OURS = SecretRecord(proven=SecretVersion(1))
REKEYED = SecretRecord(proven=SecretVersion(1), pending=SecretVersion(2))
LEAVING = SecretRecord(proven=SecretVersion(1), pending=FACTORY)
SERIAL = 4711


class Shelf:
    """A record with cards in it."""

    def __init__(self) -> None:
        self.cards = MemoryStore(SystemClock()).cards

    async def add(
        self,
        key: SecretRecord,
        *,
        serial: int | None = SERIAL,
        state: State = State.REGISTERED,
        closed: bool = False,
    ) -> CardRecord:
        card = CardRecord(
            record_id=RecordId(uuid4()),
            state=state,
            profile="yubikey-5.7",
            serial=serial,
            virtual=True,
            management_algorithm=ManagementAlgorithm.AES256,
            management_key=key,
            puk=SecretRecord(proven=FACTORY),
            pin=PinState.FACTORY,
        )
        lease = await self.cards.open(
            Opening(
                operation_id=OperationId(uuid4()),
                kind="issue",
                record_id=card.record_id,
                station=StationId(uuid4()),
                new_card=card,
            )
        )
        if closed:
            await self.cards.apply(lease, [OperationClosed(code="done")])
        return card

    async def find(
        self, *, guid: UUID | None = None, serial: int | None = SERIAL, factory: bool | None = None
    ) -> tuple[UUID | None, UUID | None]:
        """Return the ids of the record and of the impostor's."""
        seen = Sighting(profile="yubikey-5.7", serial=serial, guid=guid, factory_management_key=factory)
        found = await identify(self.cards, seen)
        assert isinstance(found, Identified)
        return (
            found.record.record_id if found.record else None,
            found.impostor.record_id if found.impostor else None,
        )


@pytest.fixture
def shelf() -> Shelf:
    return Shelf()


@pytest.mark.parametrize("factory", [None, False, True])
async def test_an_unknown_card(shelf: Shelf, *, factory: bool | None) -> None:
    await shelf.add(OURS, serial=1)
    assert await shelf.find(factory=factory) == (None, None)
    assert await shelf.find(guid=uuid4(), factory=factory) == (None, None)
    assert await shelf.find(guid=uuid4(), serial=None, factory=factory) == (None, None)


@pytest.mark.parametrize("key", [CUT, OURS, REKEYED])
@pytest.mark.parametrize("factory", [None, False])
async def test_a_guid_of_ours_finds_its_record(
    shelf: Shelf, key: SecretRecord, *, factory: bool | None
) -> None:
    """Also under another serial number: what counts is the key, which the card will have to prove."""
    card = await shelf.add(key)
    assert await shelf.find(guid=card.record_id, factory=factory) == (card.record_id, None)
    assert await shelf.find(guid=card.record_id, serial=1, factory=factory) == (card.record_id, None)


@pytest.mark.parametrize("key", [NEW, CUT, LEAVING])
async def test_a_record_that_allows_the_factory_key_is_found_in_factory_state(
    shelf: Shelf, key: SecretRecord
) -> None:
    card = await shelf.add(key)
    assert await shelf.find(guid=card.record_id, factory=True) == (card.record_id, None)
    assert await shelf.find(factory=True) == (card.record_id, None)
    assert await shelf.find(factory=None) == (card.record_id, None)


@pytest.mark.parametrize("key", [OURS, REKEYED])
async def test_a_known_card_in_factory_state_is_an_impostor(shelf: Shelf, key: SecretRecord) -> None:
    card = await shelf.add(key)
    assert await shelf.find(guid=card.record_id, factory=True) == (None, card.record_id)
    assert await shelf.find(factory=True) == (None, card.record_id)
    assert await shelf.find(factory=None) == (None, card.record_id), (
        "it does not tell, and has no GUID of ours"
    )


@pytest.mark.parametrize("key", [CUT, OURS, REKEYED, LEAVING])
async def test_a_card_whose_guid_was_overwritten_is_found_by_its_number(
    shelf: Shelf, key: SecretRecord
) -> None:
    card = await shelf.add(key)
    assert await shelf.find(factory=False) == (card.record_id, None)
    assert await shelf.find(guid=uuid4(), factory=False) == (card.record_id, None)


async def test_a_card_of_somebody_else_with_the_number_of_a_new_one(shelf: Shelf) -> None:
    await shelf.add(NEW)
    assert await shelf.find(factory=False) == (None, None)


async def test_the_newest_of_several(shelf: Shelf) -> None:
    """A card that was reset has two records; the first is history."""
    await shelf.add(OURS)
    again = await shelf.add(CUT)
    assert await shelf.find(factory=True) == (again.record_id, None)
    assert await shelf.find(factory=False) == (again.record_id, None)


async def test_a_deleted_record_is_not_found_by_a_number(shelf: Shelf) -> None:
    await shelf.add(NEW, state=State.DELETED)
    assert await shelf.find(factory=True) == (None, None)
    assert await shelf.find(factory=False) == (None, None)


async def test_another_product_with_the_same_number(shelf: Shelf) -> None:
    await shelf.add(NEW)
    seen = Sighting(profile="yubikey-4", serial=SERIAL, guid=None, factory_management_key=None)
    assert await identify(shelf.cards, seen) == Identified(None)


@pytest.mark.parametrize("factory", [None, False, True])
@pytest.mark.parametrize("key", [NEW, OURS])
async def test_a_card_that_was_given_back_is_new(
    shelf: Shelf, key: SecretRecord, *, factory: bool | None
) -> None:
    """Whatever it still says; and it raises no alarm, for we brought it back to its factory state."""
    card = await shelf.add(key, state=State.UNREGISTERED, closed=True)
    assert await shelf.find(guid=card.record_id, factory=factory) == (None, None)
    assert await shelf.find(factory=factory) == (None, None)


@pytest.mark.parametrize("factory", [None, True])
async def test_giving_back_goes_on_until_it_is_closed(shelf: Shelf, *, factory: bool | None) -> None:
    card = await shelf.add(NEW, state=State.UNREGISTERED)
    assert await shelf.find(guid=card.record_id, factory=factory) == (card.record_id, None)
    assert await shelf.find(factory=factory) == (card.record_id, None)


async def test_a_deleted_card_that_turns_up_is_known_by_its_key(shelf: Shelf) -> None:
    """By GUID or number; in factory state it is a new one, and nobody waits for it."""
    card = await shelf.add(OURS, state=State.DELETED)
    assert await shelf.find(guid=card.record_id, factory=False) == (card.record_id, None)
    assert await shelf.find(factory=False) == (card.record_id, None)
    assert await shelf.find(factory=True) == (None, None)
    again = await shelf.add(OURS)
    await shelf.add(OURS, state=State.DELETED)
    assert await shelf.find(factory=False) == (again.record_id, None), "the one that is not deleted"
    assert await shelf.find(factory=True) == (None, again.record_id)
