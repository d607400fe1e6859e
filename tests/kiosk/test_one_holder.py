"""Whom a command means: only the directory is searched whose people get the template."""

from collections.abc import Sequence

import pytest

from kiosk.operate import one_holder
from shared import errors
from shared.console import Found, TemplateView
from shared.credential.model import HolderId, Person
from tests.kiosk.station.doubles import ScriptedBackend


class TwoDirectories(ScriptedBackend):
    """One directory answers, the other one does not."""

    async def find_people(self, text: str, limit: int, directory: str = "") -> Found:
        if directory != "staff":
            raise errors.ConnectorUnreachable(connection="visitors")
        people = [Person(holder=HolderId("1001"), name="Anna Berg", directory="staff")]
        return Found(people=tuple(each for each in people if text in each.name)[:limit])

    async def templates(self) -> Sequence[TemplateView]:
        return (
            TemplateView(name="badge", title="Badge", version=1, directory="staff"),
            TemplateView(name="guest", title="Guest", version=1, directory="visitors"),
            TemplateView(name="owner", title="Owner", version=1, directory="built-in"),
        )


async def test_a_directory_that_does_not_answer_is_in_nobodys_way() -> None:
    line = TwoDirectories()
    assert await one_holder(line, "Anna", "badge") == "1001"
    assert await one_holder(line, "1001", "badge") == "1001"
    for template in ("", "guest", "owner", "unheard-of"):
        with pytest.raises(errors.ConnectorUnreachable):
            await one_holder(line, "Anna", template)
