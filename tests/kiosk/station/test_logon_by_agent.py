"""Logging on at a desk through an ssh-agent: which key signs what, and how the session ends with the agent."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field

import pytest

from kiosk.devices.virtual.reader import VirtualReaders
from kiosk.ports import AgentKey
from kiosk.station import operator_agent
from kiosk.station.logon import Logon
from kiosk.station.operator_agent import choose_key, fingerprint
from shared import errors
from shared.clock import SystemClock
from shared.logon import LogonPurpose, LogonText, read_logon_text
from shared.sessions import AgentProof, Leaving
from shared.ssh.keys import spki_of
from shared.ssh.sshsig import read_signature, signature_by, to_be_signed, verify
from tests.kiosk.station.doubles import ToldPerson
from tests.kiosk.station.test_logon import Line
from tests.shared.ssh.keyring import ED25519, P256, P384, RSA, PrivateKey, sign

SOON_S = 5.0


def held(key: PrivateKey, comment: str = "") -> AgentKey:
    return AgentKey(public_key=spki_of(key.public_key()), comment=comment)


@dataclass
class Agent:
    """An agent that signs at once with whatever it holds."""

    named: bool = True
    held: list[AgentKey] = field(default_factory=lambda: [held(P256)])
    signed: list[LogonText] = field(default_factory=list)
    failure: errors.KioskError | None = None
    left: asyncio.Event = field(default_factory=asyncio.Event)

    async def keys(self) -> Sequence[AgentKey]:
        return self.held

    async def sign(self, public_key: bytes, text: LogonText) -> bytes:
        if self.failure is not None:
            raise self.failure
        self.signed.append(text)
        key = next(each for each in (P256, P384, RSA, ED25519) if spki_of(each.public_key()) == public_key)
        return bytes(signature_by(key.public_key(), sign(key, to_be_signed(text))))

    async def gone(self) -> None:
        await self.left.wait()


@dataclass
class Desk:
    line: Line
    agent: Agent
    logon: Logon

    async def over(self) -> None:
        """Wait until the server was told, and nobody is logged on."""
        await asyncio.wait_for(self.line.heard.wait(), SOON_S)
        assert self.logon.session is None
        assert self.line.ended == [Leaving.DETACHED]


@pytest.fixture
async def desk() -> AsyncIterator[Desk]:
    readers, line, agent = VirtualReaders(["Virtual 1"]), Line(), Agent()
    made = Desk(line, agent, Logon(readers, line, SystemClock(), agent))
    yield made
    await made.logon.close()
    await readers.close()


async def test_the_agents_key_signs_the_challenge_wrapped_up(desk: Desk) -> None:
    assert desk.logon.agent_there
    view = await desk.logon.log_on_by_agent()
    assert desk.logon.session == view
    ((purpose, proof),) = desk.line.proofs
    assert isinstance(proof, AgentProof)
    assert (purpose, read_logon_text(proof.text).purpose) == (LogonPurpose.LOG_ON, LogonPurpose.LOG_ON)
    signature = read_signature(proof.signature)
    assert signature.public_key == spki_of(P256.public_key())
    verify(signature, proof.text)


async def test_a_text_for_something_else_is_not_shown_to_the_agent(desk: Desk) -> None:
    desk.line.text = lambda text: bytes(text).replace(b"cards.example.org", b"other.example.org")
    with pytest.raises(errors.ChallengeRefused):
        await desk.logon.log_on_by_agent()
    assert desk.agent.signed == []
    assert desk.logon.session is None


async def test_it_ends_when_the_agent_is_gone(desk: Desk) -> None:
    await desk.logon.log_on_by_agent()
    assert desk.logon.session is not None
    desk.agent.left.set()
    await desk.over()


async def test_it_ends_when_the_agent_lets_go_of_the_key(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operator_agent, "LOOK_EVERY_S", 0.01)
    await desk.logon.log_on_by_agent()
    desk.agent.held = [held(RSA)]
    await desk.over()


async def test_whoever_logs_off_is_not_watched(desk: Desk) -> None:
    await desk.logon.log_on_by_agent()
    await desk.logon.log_off()
    desk.agent.left.set()
    await asyncio.sleep(0)
    assert desk.line.ended == [Leaving.LOGGED_OFF]


async def test_the_proof_again_is_the_agents_where_the_server_takes_it(desk: Desk) -> None:
    """Our servers give out no challenge for one: `PresenceNeeded`."""
    await desk.logon.log_on_by_agent()
    await desk.logon.step_up(ToldPerson())
    assert [purpose for purpose, _ in desk.line.proofs] == [LogonPurpose.LOG_ON, LogonPurpose.STEP_UP]


async def test_an_agent_that_refuses_logs_nobody_on(desk: Desk) -> None:
    desk.agent.failure = errors.AgentRefused()
    with pytest.raises(errors.AgentRefused):
        await desk.logon.log_on_by_agent()
    assert desk.line.proofs == []


async def test_without_an_agent_nobody_logs_on_through_one() -> None:
    readers = VirtualReaders([])
    logon = Logon(readers, Line(), SystemClock())
    assert not logon.agent_there
    with pytest.raises(errors.NoAgent):
        await logon.log_on_by_agent()
    await logon.close()
    await readers.close()


# --- which key ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("comment", ["PIV AUTH pubkey", "Public key for PIV Authentication"])
async def test_of_several_the_one_in_9a_is_meant(comment: str) -> None:
    agent = Agent(held=[held(RSA, "SIGN pubkey"), held(P256, comment), held(ED25519, "anna@laptop")])
    assert (await choose_key(agent)).public_key == spki_of(P256.public_key())
    assert await choose_key(agent, "anna@laptop") == agent.held[2]
    assert await choose_key(agent, fingerprint(agent.held[0])) == agent.held[0]


async def test_two_that_may_be_meant_are_none() -> None:
    agent = Agent(held=[held(RSA, "PIV AUTH pubkey"), held(P256, "PIV AUTH pubkey")])
    for wanted in ("", "PIV AUTH pubkey"):
        with pytest.raises(errors.Invalid):
            await choose_key(agent, wanted)
    with pytest.raises(errors.AgentKeyMissing):
        await choose_key(agent, "pubkey")
    with pytest.raises(errors.AgentKeyMissing):
        await choose_key(Agent(held=[]))
