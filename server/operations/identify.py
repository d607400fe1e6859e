"""Which record belongs to the card in the reader.

A GUID, a serial: look-up hints, nothing more. That it really is the card of the record is shown by mutual
authentication with the record's management key, before any secret is sent.
"""

from dataclasses import dataclass
from typing import Protocol
from uuid import UUID

from server.ports.store import CardStore
from shared.credential.drift import may_be_factory
from shared.credential.model import FACTORY, CardRecord, RecordId, State


class Seen(Protocol):
    """What was seen of a card: `CardHints` of a station, or what the server read itself."""

    @property
    def guid(self) -> UUID | None:
        """The CHUID's GUID."""
        ...

    @property
    def serial(self) -> int | None:
        """The serial number, where the card has one."""
        ...

    @property
    def profile(self) -> str:
        """The profile's name."""
        ...

    @property
    def factory_management_key(self) -> bool | None:
        """Whether the card says that its management key is the factory's; None where it cannot tell."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """What was seen of a card, as values."""

    profile: str
    serial: int | None
    guid: UUID | None
    factory_management_key: bool | None


@dataclass(frozen=True, slots=True)
class Identified:
    """The card's record, or None.

    `impostor` is the record of a known card that shows up in factory state: the card was reset elsewhere, or is a
    stranger with a copied number. It gets a new record id.
    """

    record: CardRecord | None
    impostor: CardRecord | None = None


async def identify(cards: CardStore, seen: Seen) -> Identified:
    """Find the card's record by its GUID, else by serial: an interrupted first issue of it, or a card of ours.

    A card that was given back is nobody's, whatever it still says; one whose record was deleted is known by its key.
    """
    record = await cards.card(RecordId(seen.guid)) if seen.guid is not None else None
    if record is not None and not _given_back(record):
        if seen.factory_management_key and not may_be_factory(record):
            return Identified(None, impostor=record)
        return Identified(record)
    if seen.serial is None:
        return Identified(None)
    known = [
        card
        for card in await cards.cards_by_hint(profile=seen.profile, serial=seen.serial)
        if card.serial == seen.serial and not _given_back(card) and not _never_owned(card)
    ]
    fitting = [card for card in known if _fits(card, seen)]
    if fitting:
        return Identified(next((card for card in reversed(fitting) if _expected(card)), fitting[-1]))
    is_foreign = seen.factory_management_key is False
    missed = [card for card in known if _expected(card)]
    return Identified(None, impostor=missed[-1] if missed and not is_foreign else None)


def _given_back(record: CardRecord) -> bool:
    """Whether the card was brought back to its factory state by us, to the end, or never was ours."""
    return record.state is State.UNREGISTERED and record.open_operation is None


def _never_owned(record: CardRecord) -> bool:
    """Whether the record was deleted before its card had proven a key of ours: its number says nothing."""
    return record.state is State.DELETED and record.management_key.proven in {None, FACTORY}


def _expected(record: CardRecord) -> bool:
    """Whether somebody waits for the card of this record: not, where it was deleted."""
    return record.state is not State.DELETED


def _fits(record: CardRecord, seen: Seen) -> bool:
    """Whether a card without our GUID may be the one of this record; mutual authentication will show.

    A card with a key that is not the factory's may be ours, its GUID overwritten by somebody. Any other was cut
    in its first issue, or its record would not allow the factory's key.
    """
    if seen.factory_management_key is False:
        return {record.management_key.proven, record.management_key.pending} - {FACTORY, None} != set()
    return may_be_factory(record)
