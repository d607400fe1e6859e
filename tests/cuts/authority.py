"""A certificate authority that says nothing, or does what it is asked and is not heard."""

import inspect
from enum import StrEnum, unique
from typing import Any

from server.connectors.ca.builtin import BuiltinAuthority
from shared import errors


@unique
class Mood(StrEnum):
    """What becomes of a call."""

    ANSWERS = "answers"
    SILENT = "silent"
    """It is not reached: nothing happens."""
    UNHEARD = "unheard"
    """It does what it is asked, and the answer is lost."""


class MoodyAuthority:
    """The built-in authority, in a mood; it is all that the built-in one is, to whoever asks what it can do."""

    def __init__(self, authority: BuiltinAuthority) -> None:
        """Begin with answering."""
        self._authority = authority
        self.mood = Mood.ANSWERS

    def __getattr__(self, name: str) -> Any:
        """Return what the authority has under this name; a call to it depends on the mood."""
        found = getattr(self._authority, name)
        if not inspect.iscoroutinefunction(found):
            return found

        async def call(*arguments: Any) -> Any:
            if self.mood is Mood.SILENT:
                raise errors.ConnectorUnreachable(connection="built-in")
            answer = await found(*arguments)
            if self.mood is Mood.UNHEARD:
                raise errors.ConnectorUnreachable(connection="built-in")
            return answer

        return call
