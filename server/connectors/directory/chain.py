"""Two directories as one: people are found in the first, and completed from the second by an attribute that both have.

So one card gets the mail address of the one and the security identifier of the other. Whoever is ambiguous in the second
is completed from nobody; whoever is disabled in either may not get a card.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from server.ports.connection import Ability, Configured, Field, FieldKind, Kind, Port, Surroundings
from server.ports.directory import (
    CanAuthenticate,
    CanAuthenticateByCode,
    CanMatch,
    CanWriteBack,
    CodeLogon,
    CodeOutcome,
    Directory,
    HasAbilities,
)
from shared import errors
from shared.credential.model import HolderId, Person
from shared.secret import Secret


class ChainedDirectory:
    """Find people in one directory, complete them from another. The immutable id is the first one's."""

    def __init__(
        self,
        connection: str,
        first: Directory,
        second: Directory,
        *,
        ours: str,
        theirs: str,
        required: bool = True,
    ) -> None:
        """`ours` in the first directory is `theirs` in the second. `required`: who is not in the second is refused.

        Raises:
            NotSupported: the second one cannot look for an attribute.
        """
        if not isinstance(second, CanMatch):
            raise errors.NotSupported(connection=connection, what="looking for people by an attribute")
        self._connection = connection
        self._first = first
        self._second: CanMatch = second
        self._ours = ours
        self._theirs = theirs
        self._required = required
        self._more = _abilities(second)

    @property
    def abilities(self) -> frozenset[Ability]:
        """Those of the first, and photos of the second."""
        return _abilities(self._first) | (self._more & {Ability.PHOTO})

    async def search(self, text: str, limit: int) -> Sequence[Person]:
        """Return people as the first directory has them: a list needs no more. Raises as it does."""
        return await self._first.search(text, limit)

    async def get(self, holder: HolderId) -> Person | None:
        """Return a person of the first, completed from the second.

        Raises:
            ConnectorUnreachable: either does not answer; half a person is none.
            ConnectorRefused: as either; or several are meant in the second, or nobody where one is required.
        """
        person = await self._first.get(holder)
        return None if person is None else await self._completed(person)

    async def match(self, attribute: str, value: str, limit: int) -> Sequence[Person]:
        """Return completed people of the first, by one of its attributes; raises as `get`."""
        if not isinstance(self._first, CanMatch):
            raise errors.NotSupported(connection=self._connection, what="looking for people by an attribute")
        return [await self._completed(person) for person in await self._first.match(attribute, value, limit)]

    async def authenticate(self, holder: HolderId, password: Secret) -> bool:
        """Ask the first directory; raises as it does.

        Raises:
            NotSupported: it cannot say.
        """
        if not isinstance(self._first, CanAuthenticate):
            raise errors.NotSupported(connection=self._connection, what="checking a password")
        return await self._first.authenticate(holder, password)

    async def begin(self, holder: HolderId) -> CodeLogon:
        """Ask the first directory for a code; raises as `authenticate`."""
        return await self._by_code().begin(holder)

    async def outcome(self, holder: HolderId, logon: CodeLogon) -> CodeOutcome:
        """Ask the first directory what became of a code; raises as `authenticate`."""
        return await self._by_code().outcome(holder, logon)

    async def publish(self, holder: HolderId, certificate: bytes) -> None:
        """Write to the first directory; raises as it does.

        Raises:
            NotSupported: it does not write.
        """
        await self._writer().publish(holder, certificate)

    async def withdraw(self, holder: HolderId, certificate: bytes) -> None:
        """Take away from the first directory; raises as `publish`."""
        await self._writer().withdraw(holder, certificate)

    def _by_code(self) -> CanAuthenticateByCode:
        if not isinstance(self._first, CanAuthenticateByCode):
            raise errors.NotSupported(connection=self._connection, what="a log-on on another device")
        return self._first

    def _writer(self) -> CanWriteBack:
        if not isinstance(self._first, CanWriteBack):
            raise errors.NotSupported(connection=self._connection, what="writing back")
        return self._first

    async def _completed(self, person: Person) -> Person:
        value = person.attributes.get(self._ours, "").strip()
        others = await self._second.match(self._theirs, value, 2) if value else ()
        if len(others) > 1:
            raise self._refused(reason=f"two people have this {self._theirs} in the second directory")
        if not others:
            if self._required:
                raise self._refused(reason=f"nobody has this {self._ours} as {self._theirs} in the second")
            return person
        (other,) = others
        ends = [end for end in (person.valid_until, other.valid_until) if end is not None]
        return replace(
            person,
            attributes={
                **other.attributes,
                **{name: text for name, text in person.attributes.items() if text},
            },
            enabled=person.enabled and other.enabled,
            valid_until=min(ends, default=None),
        )

    def _refused(self, reason: str) -> errors.ConnectorRefused:
        return errors.ConnectorRefused(connection=self._connection, reason=reason)


def _abilities(directory: object) -> frozenset[Ability]:
    return directory.abilities if isinstance(directory, HasAbilities) else frozenset({Ability.SEARCH})


def _build(configured: Configured, surroundings: Surroundings) -> ChainedDirectory:
    first, second = configured.text("first"), configured.text("second")
    return ChainedDirectory(
        configured.name,
        surroundings.others(first),
        surroundings.others(second),
        ours=configured.text("attribute"),
        theirs=configured.text("matches") or configured.text("attribute"),
        required=configured.flag("required"),
    )


KIND: Final = Kind(
    name="chain",
    port=Port.DIRECTORY,
    title="Two directories as one",
    fields=(
        Field(
            name="first",
            kind=FieldKind.TEXT,
            title="Found in",
            help="The connection in which people are searched; their immutable ids are its.",
            required=True,
        ),
        Field(
            name="second",
            kind=FieldKind.TEXT,
            title="Completed from",
            help="The connection that says what the first one does not.",
            required=True,
        ),
        Field(
            name="attribute",
            kind=FieldKind.TEXT,
            title="By",
            help="The attribute of the first, as templates call it, that says who it is in the second (upn).",
            required=True,
        ),
        Field(
            name="matches",
            kind=FieldKind.TEXT,
            title="Which is there",
            help="What the second calls it, as templates do; the same where it is empty.",
        ),
        Field(
            name="required",
            kind=FieldKind.FLAG,
            title="Needed",
            help="Whoever is not in the second gets no card.",
            default=True,
        ),
    ),
    abilities=frozenset(
        {Ability.SEARCH, Ability.PHOTO, Ability.AUTHENTICATE, Ability.LEAVERS, Ability.WRITE_BACK}
    ),
    build=_build,
    page="chain.md",
    refers=("first", "second"),
)
