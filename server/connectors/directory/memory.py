"""A directory in memory: the reference for what a search finds."""

from collections.abc import Iterable, Sequence

from server.ports.connection import Ability
from shared.credential.model import HolderId, Person

PREFIX_ATTRIBUTES = ("user", "upn", "mail")
"""Attributes that a word may begin."""

EXACT_ATTRIBUTES = ("employee-id",)
"""Attributes that a word must be."""


class MemoryDirectory:
    """Find people in a list."""

    def __init__(self, people: Iterable[Person]) -> None:
        """Take over the people; each immutable id counts once, the last one."""
        self._people = {person.holder: person for person in people}

    @property
    def abilities(self) -> frozenset[Ability]:
        """Searching, and saying who has gone."""
        return frozenset({Ability.SEARCH, Ability.LEAVERS})

    async def search(self, text: str, limit: int) -> Sequence[Person]:
        """Return at most `limit` people that match, by name; an empty text matches everybody.

        Every word of the text must be part of the name, begin log-on name, UPN or mail, or be the number; upper
        and lower case are one.
        """
        words = text.casefold().split()
        found = [person for person in self._people.values() if _matches(person, words)]
        return sorted(found, key=by_name)[: max(limit, 0)]

    async def get(self, holder: HolderId) -> Person | None:
        """Return the person with this immutable id, or None."""
        return self._people.get(holder)

    async def match(self, attribute: str, value: str, limit: int) -> Sequence[Person]:
        """Return people with this value; upper and lower case are one, as in directories. An empty one matches nobody."""
        wanted = value.strip().casefold()
        found = (
            person
            for person in self._people.values()
            if wanted and person.attributes.get(attribute, "").strip().casefold() == wanted
        )
        return sorted(found, key=by_name)[: max(limit, 0)]


def by_name(person: Person) -> tuple[str, str]:
    """Order people for a list."""
    return person.name.casefold(), person.holder


def _matches(person: Person, words: Sequence[str]) -> bool:
    name = person.name.casefold()
    begins = [person.attributes.get(attribute, "").casefold() for attribute in PREFIX_ATTRIBUTES]
    equals = [person.attributes.get(attribute, "").casefold() for attribute in EXACT_ATTRIBUTES]
    return all(
        word in name or word in equals or any(value.startswith(word) for value in begins) for word in words
    )
