"""`kiosk log-on` and `kiosk log-off`: the commands themselves, against a server that knows an operator, over TLS."""

import json
import os
import stat
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from kiosk.backend.identity import store_identity
from kiosk.commands import Result
from kiosk.credentials import credentials
from kiosk.devices.virtual.image import ImageFile
from kiosk.log_on import log_off, log_on
from kiosk.operate import Given
from kiosk.session_file import FILE
from kiosk.wiring import VIRTUAL_CARDS
from shared import errors
from shared.credential.model import State
from shared.piv.certificate import CertificateContainer
from shared.piv.data import write_object
from shared.piv.ids import PinPolicyId, Slot, TouchPolicyId
from shared.piv.keys import import_key
from shared.piv.management import authenticated_singly, factory_key
from shared.piv.select import fresh
from tests.server.authority.logons import Clerk, Person
from tests.server.rpc.world import World, running
from tests.server.store.examples import with_template
from tests.shared.piv.terminal import Terminal

PIN, WRONG = "123456", "999999"
READER, EMPTY_CARD = "Virtual reader 1", "Virtual reader 2"
SETTINGS = """\
[station]
state-folder = "{folder}/station"

[station.readers]
kind = "virtual"
virtual-count = 2
"""


@dataclass
class Machine:
    """A machine that has joined, with the operator's card in its first reader."""

    world: World
    clerk: Clerk
    config: Path
    folder: Path

    @property
    def session(self) -> Path:
        return self.folder / FILE

    @property
    def pin_tries(self) -> int:
        memory = ImageFile(self.folder / VIRTUAL_CARDS / "1.json").load()
        assert memory is not None
        return memory.pin.left

    async def log_on(self, pin: str = PIN, reader: str = READER) -> Result:
        reading, writing = os.pipe()
        os.write(writing, f"{pin}\n".encode())
        os.close(writing)
        return await log_on(self.config, reader, Given(pin_fd=reading))


def put_card(folder: Path, person: Person) -> None:
    """Make the image of a virtual card with the operator's key and certificate."""
    terminal = Terminal()
    key = factory_key(terminal.card.memory.management.algorithm)
    made = import_key(Slot.AUTHENTICATION, person.key, PinPolicyId.DEFAULT, TouchPolicyId.DEFAULT)
    terminal.drive(fresh(authenticated_singly(key, made)))
    container = bytes(CertificateContainer(certificate=person.certificate))
    written = write_object(Slot.AUTHENTICATION.certificate_object, container)
    terminal.drive(fresh(authenticated_singly(key, written)))
    (folder / VIRTUAL_CARDS).mkdir(mode=0o700, parents=True)
    ImageFile(folder / VIRTUAL_CARDS / "1.json").save(terminal.card.memory)


@pytest.fixture
async def machine(tmp_path: Path) -> AsyncIterator[Machine]:
    async with running() as world:
        await with_template(world.store)
        anna = Person(until=datetime.now(UTC) + timedelta(days=1))
        assert isinstance(anna.key, ec.EllipticCurvePrivateKey)
        clerk = await Clerk.hired(world.store, anna, "normal")
        folder = tmp_path / "station"
        put_card(folder, anna)
        folder.chmod(0o700)
        store_identity(folder, await world.lab_station())
        config = tmp_path / "kiosk.toml"
        config.write_text(SETTINGS.format(folder=tmp_path))
        yield Machine(world, clerk, config, folder)


async def test_a_session_serves_the_commands_that_follow(machine: Machine) -> None:
    with pytest.raises(errors.LogonNeeded):
        await credentials(machine.config, "b")
    said = await machine.log_on()
    assert said.exit_code == 0
    document: dict[str, Any] = json.loads(json.dumps(said.document))
    assert (document["ok"], document["operator"], document["roles"]) == (True, "Anna Berg", ["normal"])
    assert (document["idle_s"], document["failed_logons"]) == (600, 0)
    assert said.lines[0].startswith("Anna Berg is logged on until ")
    assert stat.S_IMODE(machine.session.stat().st_mode) == 0o600
    assert (await credentials(machine.config, "b")).exit_code == 0
    ended = await log_off(machine.config)
    assert ended.document == {"ok": True, "ended": True}
    assert not machine.session.exists()
    assert await machine.world.store.sessions.live() == ()
    with pytest.raises(errors.LogonNeeded):
        await credentials(machine.config, "b")


async def test_a_wrong_pin_costs_a_try_and_a_script_stops(machine: Machine) -> None:
    with pytest.raises(errors.Cancelled):
        await machine.log_on(WRONG)
    assert machine.pin_tries == 2
    assert not machine.session.exists()
    with pytest.raises(errors.Cancelled):  # with fewer than three tries left a script risks nothing
        await machine.log_on(PIN)
    assert machine.pin_tries == 2
    operator = await machine.world.store.operators.by_id(machine.clerk.operator.operator_id)
    assert operator is not None
    assert operator.failed_logons == 0


async def test_a_card_that_logs_nobody_on(machine: Machine) -> None:
    with pytest.raises(errors.LogonRefused):
        await machine.log_on(reader=EMPTY_CARD)
    assert not machine.session.exists()


async def test_a_new_log_on_ends_the_one_before(machine: Machine) -> None:
    await machine.log_on()
    first = machine.session.read_bytes()
    await machine.log_on()
    assert machine.session.read_bytes() != first
    assert len(await machine.world.store.sessions.live()) == 1


async def test_a_session_that_ended_is_forgotten(machine: Machine) -> None:
    await machine.log_on()
    await machine.clerk.set_credential(State.REVOKED)
    with pytest.raises(errors.SessionEnded):
        await credentials(machine.config, "b")
    assert not machine.session.exists()
    with pytest.raises(errors.LogonNeeded):
        await credentials(machine.config, "b")


async def test_who_is_not_logged_on_logs_off_all_the_same(machine: Machine) -> None:
    assert (await log_off(machine.config)).document == {"ok": True, "ended": False}


async def test_a_damaged_file_can_be_logged_off(machine: Machine) -> None:
    machine.session.write_bytes(b"damaged")
    machine.session.chmod(0o600)
    with pytest.raises(errors.ConfigInvalid):
        await credentials(machine.config, "b")
    assert (await log_off(machine.config)).document == {"ok": True, "ended": True}
    assert not machine.session.exists()
