"""Somebody far away proves a card of ours through a forwarded ssh-agent: nothing between card and verification is replaced.

The card is in a reader of the real pcscd, OpenSC and OpenSSH's agent use it, sshd forwards the agent.
"""

import base64
import dataclasses
import os
import secrets
import shlex
import subprocess
import sys
import textwrap
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Final

import pytest
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_ssh_public_key

from kiosk.devices.ssh_agent import Message, SshAgent
from kiosk.station.operator_agent import fingerprint
from shared import errors
from shared.logon import LIFETIME, LogonPurpose, LogonText
from shared.piv.certificate import CertificateContainer
from shared.piv.chuid import Chuid
from shared.piv.fascn import FascN
from shared.piv.ids import Algorithm, ObjectId, Origin, PinPolicyId, ProfileName, Slot
from shared.piv.publickey import PublicKey, subject_public_key_info
from shared.secret import Secret
from shared.ssh.keys import key_of_certificate, write_key
from shared.ssh.sshsig import NAMESPACE, SshSignature, read_signature, signature_by, verify
from shared.ssh.wire import WireReader, number, string
from shared.virtual.card import VirtualCard
from shared.virtual.factory import manufacture
from shared.virtual.keys import generate_key
from shared.virtual.memory import StoredKey
from shared.virtual.profiles import PROFILES
from tests.peers.authority import SmallAuthority
from tests.peers.judges.opensc import module
from tests.peers.pcscd import PcscReader
from tests.peers.plugged import plugged
from tests.peers.programs import REPOSITORY, STOP_TIMEOUT_S, need, run, wait_until
from tests.peers.remote_operator import GONE
from tests.peers.ssh_agent import RealAgent, real_agent
from tests.peers.sshd import SshServer, ssh_server

PIN: Final = "428713"
ON_THE_CARD: Final = {
    Slot.AUTHENTICATION: (Algorithm.P256, PinPolicyId.ONCE),
    Slot.SIGNATURE: (Algorithm.P384, PinPolicyId.ALWAYS),
    Slot.KEY_MANAGEMENT: (Algorithm.RSA_2048, PinPolicyId.ONCE),
}


def a_text() -> LogonText:
    """Return a challenge as a server makes them."""
    return LogonText(
        server="cards.example.org",
        station=secrets.token_bytes(32),
        nonce=secrets.token_bytes(32),
        expires_at=datetime.now(UTC).replace(microsecond=0) + LIFETIME,
        purpose=LogonPurpose.LOG_ON,
    )


def a_card() -> tuple[VirtualCard, dict[Slot, x509.Certificate]]:
    """Return an operator's card as it is after its issue, and its certificates."""
    authority, certificates = SmallAuthority(), {}
    memory = manufacture(PROFILES[ProfileName.YUBIKEY_5_7], serial=20_114_777, random=os.urandom)
    pin = dataclasses.replace(memory.pin, value=Secret(PIN.encode().ljust(8, b"\xff")))
    chuid = Chuid(fasc_n=FascN(), guid=uuid.uuid4(), expires=date(2040, 1, 1))
    memory = dataclasses.replace(memory, pin=pin).with_object(ObjectId.CHUID, bytes(chuid))
    for slot, (algorithm, policy) in ON_THE_CARD.items():
        private = generate_key(algorithm)
        key = StoredKey(algorithm=algorithm, private=private, origin=Origin.GENERATED, pin=policy)
        public = private.public_key()
        certificates[slot] = authority.certify(public, f"Anna Berg {slot.value:02X}")
        container = CertificateContainer(certificate=certificates[slot].public_bytes(Encoding.DER))
        memory = memory.with_key(slot, key).with_object(slot.certificate_object, bytes(container))
    return VirtualCard(memory, random=os.urandom), certificates


def spki(certificate: x509.Certificate) -> bytes:
    key = certificate.public_key()
    assert isinstance(key, PublicKey)
    return subject_public_key_info(key)


@dataclass(frozen=True, slots=True, kw_only=True)
class LogIn:
    """A log-in by SSH with its agent forwarded; the far side is `tests.peers.remote_operator`."""

    process: subprocess.Popen[str]

    def sign(self, public_key: bytes, text: LogonText) -> str:
        """Have the far side have a text signed; the signature in hexadecimal, or an error's code."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.write(f"{public_key.hex()} {bytes(text).hex()}\n")
        self.process.stdin.flush()
        return self.process.stdout.readline().strip()


@contextmanager
def logged_in(server: SshServer, agent: RealAgent) -> Iterator[LogIn]:
    """Log in with a key of the agent, and forward it; at the end the line drops."""
    options = [f"UserKnownHostsFile={server.known_hosts}", "StrictHostKeyChecking=yes", "BatchMode=yes"]
    options += [f"IdentityAgent={agent.socket}", f"ForwardAgent={agent.socket}", "IdentityFile=none"]
    flags = [word for option in options for word in ("-o", option)]
    argv = [need("ssh", "openssh-client"), "-F", "none", "-T", "-p", str(server.port), *flags]
    process = subprocess.Popen(
        [*argv, f"{server.user}@127.0.0.1"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        yield LogIn(process=process)
    finally:
        process.kill()
        process.wait(STOP_TIMEOUT_S)
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.close()
        process.stdout.close()


@pytest.mark.needs_pcscd
@pytest.mark.needs_opensc
@pytest.mark.needs_sshd
async def test_a_card_far_away_signs_through_sshd(
    pcsc_reader: PcscReader, short_folder: Path, tmp_path: Path
) -> None:
    card, certificates = a_card()
    mine = certificates[Slot.AUTHENTICATION]
    line = mine.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    far = f"cd {REPOSITORY} && exec {sys.executable} -m tests.peers.remote_operator {tmp_path}"
    forced = f'restrict,agent-forwarding,command="{far}"'
    with real_agent(short_folder) as agent:
        with plugged(card, pcsc_reader):
            agent.answer(PIN)
            agent.add("-c", "-t", "60", "-s", module())
            agent.answer("yes")
            with ssh_server(tmp_path, line, options=forced) as server:
                with logged_in(server, agent) as log_in:
                    text, other = a_text(), a_text()
                    for slot in (Slot.AUTHENTICATION, Slot.KEY_MANAGEMENT):
                        signature = read_signature(bytes.fromhex(log_in.sign(spki(certificates[slot]), text)))
                        assert signature.public_key == spki(certificates[slot])
                        verify(signature, bytes(text))
                        with pytest.raises(InvalidSignature):
                            verify(signature, bytes(other))
                    # the agent was told the PIN once; a key that wants it each time signs nothing
                    assert log_in.sign(spki(certificates[Slot.SIGNATURE]), text) == "agent-refused"
                    stranger = ec.generate_private_key(ec.SECP256R1()).public_key()
                    assert log_in.sign(subject_public_key_info(stranger), text) == "agent-key-missing"
                    assert not (tmp_path / GONE).exists()
                wait_until((tmp_path / GONE).exists, "the far side notices that the line dropped")
        with pytest.raises(errors.AgentRefused):  # the card was pulled
            await SshAgent(str(agent.socket)).sign(spki(mine), a_text())


# --- an agent with a key in a file ----------------------------------------------------------------------


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """An agent that holds one key."""

    agent: RealAgent
    public: Path
    public_key: bytes

    @property
    def client(self) -> SshAgent:
        """Our side of it."""
        return SshAgent(str(self.agent.socket))


@pytest.fixture
def held(short_folder: Path) -> Iterator[Held]:
    """Give an agent that holds one key, which it asks for before it signs where a test says so."""
    file = short_folder / "key"
    run([need("ssh-keygen", "openssh-client"), "-q", "-t", "ecdsa", "-N", "", "-C", "", "-f", file])
    public = file.with_suffix(".pub")
    key = load_ssh_public_key(public.read_bytes())
    assert isinstance(key, PublicKey)
    with real_agent(short_folder) as agent:
        agent.add(file)
        yield Held(agent=agent, public=public, public_key=subject_public_key_info(key))


async def test_a_fingerprint_is_what_ssh_add_shows(held: Held) -> None:
    (key,) = await held.client.keys()
    assert f" {fingerprint(key)} " in held.agent.add("-l")


async def test_openssh_verifies_what_its_agent_signed_for_us(held: Held, tmp_path: Path) -> None:
    text = a_text()
    raw = await held.client.sign(held.public_key, text)
    armour = "\n".join(textwrap.wrap(base64.b64encode(raw).decode(), 70))
    signature, allowed, message = tmp_path / "sig", tmp_path / "allowed", tmp_path / "message"
    signature.write_text(f"-----BEGIN SSH SIGNATURE-----\n{armour}\n-----END SSH SIGNATURE-----\n")
    allowed.write_text(f"anna {held.public.read_text()}")
    message.write_bytes(bytes(text))
    verified = [need("ssh-keygen", "openssh-client"), "-Y", "verify", "-f", allowed, "-I", "anna"]
    command = shlex.join(str(word) for word in [*verified, "-n", NAMESPACE.decode(), "-s", signature])
    said = run(["sh", "-c", f"{command} < {message}"])
    assert said.startswith('Good "kiosk-logon@issuance-kiosk.invalid" signature for anna')


@pytest.mark.parametrize("namespace", ["file", "git", "kiosk-logon@example.org"])
def test_a_signature_for_something_else_logs_nobody_on(held: Held, tmp_path: Path, namespace: str) -> None:
    message = tmp_path / "message"
    message.write_bytes(bytes(a_text()))
    tool = need("ssh-keygen", "openssh-client")
    run([tool, "-Y", "sign", "-f", held.public, "-n", namespace, message], environment=held.agent.environment)
    lines = (tmp_path / "message.sig").read_text().splitlines()
    with pytest.raises(errors.Garbled, match="namespace"):
        read_signature(base64.b64decode("".join(lines[1:-1])))


@pytest.mark.parametrize("length", [20, 32, 64])
async def test_a_log_in_by_ssh_logs_nobody_on(held: Held, length: int) -> None:
    user = b"".join(map(string, (b"anna", b"ssh-connection", b"publickey")))
    log_in = string(secrets.token_bytes(length)) + b"\x32" + user + b"\x01"
    made = await signed_by(held, log_in)
    with pytest.raises(InvalidSignature):
        verify(made, log_in)


async def test_a_bare_text_logs_nobody_on(held: Held) -> None:
    text = bytes(a_text())
    made = await signed_by(held, text)
    with pytest.raises(InvalidSignature):
        verify(made, text)


async def signed_by(held: Held, content: bytes) -> SshSignature:
    """Have the agent sign what our client never would, and claim that it is in our namespace."""
    key = key_of_certificate(held.public_key)
    request = bytes((Message.SIGN_REQUEST,)) + string(write_key(key)) + string(content) + number(0)
    answer = await held.client._ask(request, STOP_TIMEOUT_S)
    with WireReader(answer[1:], "answer") as reader:
        made = signature_by(key, reader.string())
    return read_signature(bytes(made))


async def test_an_agent_that_is_locked_holds_nothing(held: Held) -> None:
    held.agent.answer("a password")
    held.agent.add("-x")
    with pytest.raises(errors.AgentKeyMissing):
        await held.client.sign(held.public_key, a_text())


async def test_whoever_is_behind_the_agent_may_be_asked(held: Held) -> None:
    held.agent.add("-D")
    held.agent.add("-c", held.public.with_suffix(""))
    held.agent.answer("yes")
    text = a_text()
    verify(read_signature(await held.client.sign(held.public_key, text)), bytes(text))
    held.agent.answer("", status=1)
    with pytest.raises(errors.AgentRefused):
        await held.client.sign(held.public_key, text)
