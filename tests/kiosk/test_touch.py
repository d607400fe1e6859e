"""Commands far away, of an operator whose key takes a touch each time: they ask for one where the server wants to know."""

from uuid import UUID

import pytest

from kiosk.codes import read_out
from kiosk.devices.ssh_agent import Message
from kiosk.operate import operate
from kiosk.station.faces import Job
from server.authority.access import Caller
from server.authority.acting import require_proof
from server.authority.policy import OPERATION_RULES
from server.operations.link import StationLink
from server.ports.store import KeyChanged
from shared import errors
from shared.credential.lifecycle import OperationKind
from shared.credential.model import KeyRecord, KeyState
from shared.credentials import CodeView
from shared.piv.ids import Algorithm, Slot, TouchPolicyId
from shared.secret import Secret
from tests.kiosk.test_log_on_by_agent import Afar
from tests.kiosk.test_log_on_by_agent import afar as afar  # noqa: PLC0414  # a fixture
from tests.server.authority.logons import Person
from tests.server.rpc import world
from tests.server.rpc.world import begin_and_done

SENSITIVE = OPERATION_RULES[OperationKind.ISSUE]
JOB = Job(operation=OperationKind.REGISTER, reader="Virtual reader 1")


async def guarded(caller: Caller, station: StationLink) -> None:
    """Do what is sensitive, as the engine does."""
    require_proof(caller, SENSITIVE)
    await begin_and_done(caller, station)


async def guarded_read_out(_: object, caller: Caller, record_id: UUID) -> CodeView:
    del record_id
    require_proof(caller, SENSITIVE)
    return CodeView(code=Secret.from_text("1234 5678 9012"))


@pytest.fixture(autouse=True)
def _sensitive(afar: Afar, monkeypatch: pytest.MonkeyPatch) -> None:
    afar.world.engine.behaviour = guarded
    monkeypatch.setattr(world.Credentials, "read_out", guarded_read_out)


async def vouch(afar: Afar, public_key: bytes) -> None:
    """Let the record say of the key in 9A of the operator's card that it takes a touch each time."""
    key = KeyRecord(
        slot=Slot.AUTHENTICATION,
        algorithm=Algorithm.P256,
        state=KeyState.PROVEN,
        public_key=public_key,
        touch=TouchPolicyId.ALWAYS,
    )
    await afar.world.store.cards.apply(afar.clerk.lease, [KeyChanged(key=key)])


def signatures(afar: Afar) -> int:
    """Return how often the agent was asked for one."""
    return sum(request[0] == Message.SIGN_REQUEST for request in afar.agent.double.asked)


async def test_each_act_takes_a_touch(afar: Afar, capsys: pytest.CaptureFixture[str]) -> None:
    await vouch(afar, afar.clerk.person.public_key)
    said = await afar.log_on()
    assert not said.document["possession_only"]
    assert "takes a touch" in said.lines[1]
    assert signatures(afar) == 1
    assert (await operate(afar.config, JOB)).exit_code == 0
    assert signatures(afar) == 2
    assert "Touch the card" in capsys.readouterr().err
    afar.world.clock.later += afar.world.sessions.limits.agent_idle / 2
    assert (await read_out(afar.config, "bob")).document["code"] == "1234 5678 9012"
    assert signatures(afar) == 3


async def test_nobody_touches_nothing_happens(afar: Afar) -> None:
    await vouch(afar, afar.clerk.person.public_key)
    await afar.log_on()
    afar.agent.double.answer = lambda _: bytes((Message.FAILURE,))
    with pytest.raises(errors.AgentRefused):
        await operate(afar.config, JOB)
    with pytest.raises(errors.AgentRefused):
        await read_out(afar.config, "bob")


@pytest.mark.parametrize("vouched", [False, True])
async def test_another_key_is_asked_for_nothing(afar: Afar, vouched: bool) -> None:  # noqa: FBT001  # a parameter
    if vouched:
        await vouch(afar, Person().public_key)
    await afar.log_on()
    assert (await operate(afar.config, JOB)).document["error"] == "presence-needed"
    with pytest.raises(errors.PresenceNeeded):
        await read_out(afar.config, "bob")
    assert signatures(afar) == 1
