"""A template is refused whose holders could never log on as it says."""

import pytest

from server.authority.services import TemplateAction, TemplateText
from server.authority.templates import Templates
from server.connectors.directory.memory import MemoryDirectory
from server.ports.connection import Ability
from server.ports.directory import CodeLogon, CodeOutcome, Directory
from server.store.memory import MemoryStore
from shared import errors
from shared.credential.model import HolderId
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


class Devices(MemoryDirectory):
    """People who log on on another device, where that is allowed."""

    def __init__(self, *abilities: Ability) -> None:
        super().__init__([BOB])
        self._abilities = frozenset(abilities)

    @property
    def abilities(self) -> frozenset[Ability]:
        return self._abilities

    async def begin(self, holder: HolderId) -> CodeLogon:
        raise errors.NotSupported

    async def outcome(self, holder: HolderId, logon: CodeLogon) -> CodeOutcome:
        raise errors.NotSupported


@pytest.mark.parametrize(
    ("directory", "refused"),
    [
        (Devices(Ability.AUTHENTICATE), False),
        (Devices(), True),
        (PasswordDirectory([BOB], PASSWORDS), True),
    ],
)
async def test_another_device_needs_a_directory_that_logs_on_there(
    directory: Directory, *, refused: bool
) -> None:
    clock = MovableClock()
    lab = await Lab.start(clock=clock)
    try:
        text = BADGE.replace('"password"', '"device"')
        templates = Templates(
            MemoryStore(clock).templates, lab.services.authorities, {"people": directory}, clock
        )
        (line,) = await templates.plan([TemplateText(source="badge.toml", text=text)])
    finally:
        await lab.close()
    assert (line.action is TemplateAction.REFUSE) is refused
    assert ["another device" in repr(problem) for problem in line.problems] == [True] * refused
