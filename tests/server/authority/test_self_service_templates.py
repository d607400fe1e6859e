"""A template is refused whose holders could never log on as it says."""

import pytest

from server.authority.services import TemplateAction, TemplateText
from server.authority.templates import Templates
from server.connectors.directory.memory import MemoryDirectory
from server.ports.directory import Directory
from server.store.memory import MemoryStore
from shared import errors
from tests.scenario.holders import BADGE, PASSWORDS, PasswordDirectory
from tests.scenario.lab import BOB, Lab
from tests.server.rpc.world import MovableClock


@pytest.mark.parametrize(
    ("directory", "template", "refused"),
    [
        (MemoryDirectory([BOB]), BADGE, True),
        (PasswordDirectory([BOB], PASSWORDS), BADGE, False),
        (MemoryDirectory([BOB]), BADGE.replace('"password", ', "").replace('"password"', '"card"'), False),
    ],
)
async def test_passwords_need_a_directory_that_checks_them(
    directory: Directory, template: str, *, refused: bool
) -> None:
    clock = MovableClock()
    lab = await Lab.start(clock=clock)
    try:
        authorities = lab.services.authorities
        templates = Templates(MemoryStore(clock).templates, authorities, {"people": directory}, clock)
        (line,) = await templates.plan([TemplateText(source="badge.toml", text=template)])
    finally:
        await lab.close()
    assert (line.action is TemplateAction.REFUSE) is refused
    assert [type(problem) for problem in line.problems] == [errors.TemplateImpossible] * refused
