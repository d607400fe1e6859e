"""Holders whom their directory does not know any more, or says are disabled.

Nobody is a leaver because a directory is silent: what counts is a positive answer. Whoever is *not found* counts only where
the same directory, asked right after, still knows somebody who was there before; and where many are gone at once, something
happened to the directory or to our right to read it, and not to them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum, unique
from typing import Final

from server.operations.services import Services
from server.ports.connection import Ability
from server.ports.directory import Directory, HasAbilities
from shared import errors
from shared.credential.model import CardRecord, HolderId, Person, State
from shared.credential.template import Template
from shared.credential.template_reading import parse_template

EVERYBODY: Final = 1_000_000
IN_USE: Final = frozenset({State.ISSUED, State.ACTIVE})

FEW: Final = 3
"""So many may leave at once in the smallest organisation."""
SHARE: Final = 0.1
"""What part of its holders may leave a directory at once."""


@unique
class Why(StrEnum):
    """Why somebody counts as a leaver."""

    DISABLED = "disabled"
    OVER = "account-over"
    NOT_FOUND = "not-found"


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaver:
    """A card in use whose holder has left."""

    card: CardRecord
    template: Template
    why: Why


@dataclass(frozen=True, slots=True, kw_only=True)
class Looked:
    """What one directory said. `silent` says why nothing can be concluded of it; `doubtful`: too many are gone at once."""

    directory: str
    leavers: tuple[Leaver, ...] = ()
    asked: int = 0
    silent: str = ""
    doubtful: bool = False


async def look(services: Services) -> Sequence[Looked]:
    """Ask every directory for the holders of cards in use; changes nothing, and raises nothing of a directory's."""
    cards: dict[str, list[tuple[CardRecord, Template]]] = {}
    for card in await services.store.credentials.search("", EVERYBODY):
        if card.credential is None or card.state not in IN_USE:
            continue
        stored = await services.store.templates.version(card.credential.template)
        if stored is not None:
            template = parse_template(stored.text)
            cards.setdefault(template.directory, []).append((card, template))
    return [await _look(services, name, of_directory) for name, of_directory in sorted(cards.items())]


async def _look(services: Services, name: str, cards: Sequence[tuple[CardRecord, Template]]) -> Looked:
    directory = services.directories.get(name)
    if directory is None:
        return Looked(directory=name, silent="there is no such connection any more")
    if isinstance(directory, HasAbilities) and Ability.LEAVERS not in directory.abilities:
        return Looked(directory=name, silent="it does not say who has gone")
    holders = {card.credential.holder for card, _ in cards if card.credential is not None}
    try:
        people = {holder: await directory.get(holder) for holder in sorted(holders)}
        sure = await _knows_somebody(directory, people)
    except errors.ConnectorError as problem:
        return Looked(directory=name, silent=str(problem.facts.get("reason", problem.code)))
    gone = {holder: why for holder, person in people.items() if (why := _why(services, person, sure=sure))}
    leavers = tuple(
        Leaver(card=card, template=template, why=gone[card.credential.holder])
        for card, template in cards
        if card.credential is not None and card.credential.holder in gone
    )
    missing = sum(1 for person in people.values() if person is None)
    return Looked(
        directory=name,
        leavers=leavers,
        asked=len(people),
        silent="" if sure or not missing else "it knows nobody: that somebody is missing means nothing",
        doubtful=len(gone) > max(FEW, int(SHARE * len(people))),
    )


async def _knows_somebody(directory: Directory, people: dict[HolderId, Person | None]) -> bool:
    """Whether the directory still knows somebody, asked now, by the same question as for those who are missing."""
    known = [holder for holder, person in people.items() if person is not None]
    if not known:
        known = [person.holder for person in await directory.search("", 1)]
    return bool(known) and await directory.get(known[0]) is not None


def _why(services: Services, person: Person | None, *, sure: bool) -> Why | None:
    if person is None:
        return Why.NOT_FOUND if sure else None
    if not person.enabled:
        return Why.DISABLED
    return None if person.is_valid(services.clock.now()) else Why.OVER
