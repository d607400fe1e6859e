"""Directories: where people come from."""

from collections.abc import Sequence
from typing import Protocol

from shared.credential.model import HolderId, Person


class Directory(Protocol):
    """Find people. Read only. Raises `ConnectorUnreachable` and `ConnectorRefused`.

    Attribute names of a `Person` are the ones that templates use: `user`, `upn`, `mail`, `name`, `given-name`,
    `surname`, `department`, `title`, `employee-id`, `sid`, `photo`, `birth-date`; the connector maps its own names to
    them.
    """

    async def search(self, text: str, limit: int) -> Sequence[Person]:
        """Return at most `limit` people whose name, log-on name, mail or number matches `text`."""
        ...

    async def get(self, holder: HolderId) -> Person | None:
        """Return the person with this immutable id, or None."""
        ...
