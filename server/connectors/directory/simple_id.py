"""People without a directory: whoever is typed in, as a number or a name of the organisation's own.

For a start without a directory and for stand-alone labs. The typed text is the immutable id: two spellings are two
people, so that it is held to one form.
"""

import re
from collections.abc import Sequence
from typing import Final
from uuid import UUID

from server.ports.connection import Ability, Configured, Field, FieldKind, Kind, Port, Surroundings
from shared import errors
from shared.credential.model import HolderId, Person

LONGEST: Final = 64
CHARACTERS: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._@-]{0,62}[A-Za-z0-9])?")


class SimpleIds:
    """Find whoever is asked for, where the text is of the form that ids have."""

    def __init__(self, *, shortest: int = 1, longest: int = LONGEST, prefix: str = "") -> None:
        """Take the lengths of an id. `prefix` is what every one begins with: it keeps them apart from other directories'.

        Raises:
            Invalid: no id could be of this form.
        """
        if not 1 <= shortest <= longest <= LONGEST or len(prefix) >= longest:
            raise errors.Invalid(field="length", why=f"1 to {LONGEST} characters, and longer than the prefix")
        if prefix and not CHARACTERS.fullmatch(prefix + "0"):
            raise errors.Invalid(field="prefix", why="letters, digits, and . _ @ - between them")
        self._shortest = shortest
        self._longest = longest
        self._prefix = prefix

    @property
    def abilities(self) -> frozenset[Ability]:
        """Finding who is asked for, and nothing else."""
        return frozenset({Ability.SEARCH})

    async def search(self, text: str, limit: int) -> Sequence[Person]:
        """Return the one person that the text names; nobody where it is no id."""
        person = self._person(text.strip())
        return (person,) if person is not None and limit > 0 else ()

    async def get(self, holder: HolderId) -> Person | None:
        """Return the person with this id; None where it is none of ours."""
        return self._person(holder)

    async def match(self, attribute: str, value: str, limit: int) -> Sequence[Person]:
        """Return the person whose id is `value`; there is no other attribute."""
        return await self.search(value, limit) if attribute in ATTRIBUTES else ()

    def _person(self, text: str) -> Person | None:
        if not (self._shortest <= len(text) <= self._longest and text.startswith(self._prefix)):
            return None
        if not CHARACTERS.fullmatch(text) or _is_uuid(text):
            return None
        return Person(holder=HolderId(text), name=text, attributes=dict.fromkeys(ATTRIBUTES, text))


def _is_uuid(text: str) -> bool:
    """Whether it is of the form that the immutable ids of other directories have: it is one of theirs."""
    try:
        UUID(text)
    except ValueError:
        return False
    return True


ATTRIBUTES: Final = ("name", "user", "employee-id")
"""What the id is for templates."""


def _build(configured: Configured, surroundings: Surroundings) -> SimpleIds:
    del surroundings  # nothing outside is asked
    return SimpleIds(
        shortest=configured.number("shortest"),
        longest=configured.number("longest"),
        prefix=configured.text("prefix"),
    )


KIND: Final = Kind(
    name="simple-id",
    port=Port.DIRECTORY,
    title="Simple ID string",
    fields=(
        Field(
            name="shortest",
            kind=FieldKind.NUMBER,
            title="Shortest id",
            help="Characters that an id has at least.",
            default=1,
            minimum=1,
            maximum=LONGEST,
        ),
        Field(
            name="longest",
            kind=FieldKind.NUMBER,
            title="Longest id",
            help="Characters that an id has at the most; with the same number twice, exactly.",
            default=LONGEST,
            minimum=1,
            maximum=LONGEST,
        ),
        Field(
            name="prefix",
            kind=FieldKind.TEXT,
            title="Prefix",
            help="What every id begins with; needed where another directory is searched too.",
        ),
    ),
    abilities=frozenset({Ability.SEARCH}),
    build=_build,
    page="simple-id.md",
)
