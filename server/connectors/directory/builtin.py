"""The directory of whoever is in no other one: the System Owner, and people whose id is their name.

It has no list, finds nobody by a search, and never fails: with it the first start works before any directory is connected.
"""

from collections.abc import Sequence
from typing import Final

from shared.credential.model import HolderId, Person
from shared.first_start import BY_NAME, SYSTEM_OWNER

NAME_MAX: Final = 64
"""Characters of a name, as a certificate has them ([RFC 5280] A.1, ub-common-name)."""

OWNER: Final = Person(holder=SYSTEM_OWNER, name="System Owner")


class BuiltinDirectory:
    """The port `Directory`."""

    async def search(self, text: str, limit: int) -> Sequence[Person]:  # noqa: ARG002  # the port's form
        """Find nobody: who is in no directory is called by name."""
        return ()

    async def get(self, holder: HolderId) -> Person | None:
        """Return the System Owner, or the person whose name the id says."""
        if holder == SYSTEM_OWNER:
            return OWNER
        name = holder.removeprefix(BY_NAME)
        if name == holder or not 0 < len(name) <= NAME_MAX or name != " ".join(name.split()):
            return None
        return Person(holder=holder, name=name) if name.isprintable() else None
