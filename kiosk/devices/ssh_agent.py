"""A forwarded ssh-agent: it signs texts to log on with, by keys that stay where their operator is.

Whoever is at the other end may be anybody. Answers are bounded in size, number and time, and a signature is checked before it
is passed on. Nothing but a `LogonText` is ever handed over to be signed, in a namespace of ours.

Sources: draft-ietf-sshm-ssh-agent, sections 3 (framing), 4.3 to 4.6 (identities, signatures); OpenSSH, PROTOCOL.sshsig.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from enum import IntEnum, unique
from typing import Final, Self

from cryptography.exceptions import InvalidSignature

from kiosk.ports import AgentKey
from shared import errors
from shared.logon import LogonText
from shared.ssh.keys import key_of_certificate, read_key, spki_of, write_key
from shared.ssh.sshsig import signature_by, to_be_signed, verify
from shared.ssh.wire import LENGTH, WireReader, number, string

SOCKET_VARIABLE: Final = "SSH_AUTH_SOCK"
ANSWER_TIMEOUT_S: Final = 10.0
"""An agent knows its keys; the line to it may be slow."""
SIGN_TIMEOUT_S: Final = 45.0
"""Whoever is behind the agent may have to agree, or to touch something; a challenge lives for a minute."""
MAX_ANSWER: Final = 262_144
"""Bytes; OpenSSH's own limit."""
MAX_KEYS: Final = 256

_RSA_SHA2_512: Final = 4
_WHAT: Final = "ssh-agent"


@unique
class Message(IntEnum):
    """What is said to an agent and by it (draft-ietf-sshm-ssh-agent, section 6.1)."""

    FAILURE = 5
    REQUEST_IDENTITIES = 11
    IDENTITIES_ANSWER = 12
    SIGN_REQUEST = 13
    SIGN_RESPONSE = 14


class SshAgent:
    """`kiosk.ports.Agent` at a Unix socket; each question has a connection of its own."""

    def __init__(
        self,
        socket: str,
        *,
        answer_timeout_s: float = ANSWER_TIMEOUT_S,
        sign_timeout_s: float = SIGN_TIMEOUT_S,
    ) -> None:
        """Name the socket; nothing is opened yet. An empty name is no agent."""
        self._socket = socket
        self._answer_timeout_s = answer_timeout_s
        self._sign_timeout_s = sign_timeout_s

    @classmethod
    def forwarded(cls, environment: Mapping[str, str]) -> Self:
        """Return the agent that sshd put behind this log-in. Who is behind the agent is for its signatures to say."""
        return cls(environment.get(SOCKET_VARIABLE, ""))

    @property
    def named(self) -> bool:
        """Whether there is a socket's name."""
        return bool(self._socket)

    async def keys(self) -> Sequence[AgentKey]:
        """Return the keys that may log somebody on; those of other kinds are left out."""
        answer = await self._ask(bytes((Message.REQUEST_IDENTITIES,)), self._answer_timeout_s)
        found = []
        with WireReader(answer, _WHAT) as reader:
            if reader.take(1)[0] != Message.IDENTITIES_ANSWER:
                raise reader.wrong(why="no list of keys")
            count = reader.number()
            if count > MAX_KEYS:
                raise reader.wrong(why="too many keys")
            for _ in range(count):
                blob, comment = reader.string(), reader.string()
                with suppress(errors.Garbled):  # a key of another kind
                    public_key = spki_of(read_key(blob))
                    found.append(AgentKey(public_key=public_key, comment=comment.decode(errors="replace")))
        return found

    async def sign(self, public_key: bytes, text: LogonText) -> bytes:
        """Have a text signed in our namespace (SSHSIG), and return the signature, which is this key's.

        Raises:
            NoAgent: none is there, or it takes too long.
            AgentKeyMissing: the agent does not hold this key.
            AgentRefused: it does, and does not sign.
            Garbled: what it answers is no signature of this key over this text.
        """
        if not any(held.public_key == public_key for held in await self.keys()):
            raise errors.AgentKeyMissing
        key = key_of_certificate(public_key)
        request = string(write_key(key)) + string(to_be_signed(text)) + number(_RSA_SHA2_512)
        answer = await self._ask(bytes((Message.SIGN_REQUEST,)) + request, self._sign_timeout_s)
        with WireReader(answer, _WHAT) as reader:
            kind = reader.take(1)[0]
            if kind == Message.FAILURE:
                raise errors.AgentRefused
            if kind != Message.SIGN_RESPONSE:
                raise reader.wrong(why="no signature")
            signature = signature_by(key, reader.string())
        try:
            verify(signature, bytes(text))
        except InvalidSignature as cause:
            raise errors.Garbled(why=f"{_WHAT}: not a signature of the key that was asked for") from cause
        return bytes(signature)

    async def gone(self) -> None:
        """Return when the agent is not there any more: sshd closes its socket when the line or the log-in ends."""
        with suppress(errors.NoAgent, OSError):
            async with self._connected() as (reader, _):
                await reader.read(1)  # an agent says nothing unasked

    async def _ask(self, request: bytes, timeout_s: float) -> bytes:
        """Send one message and return the answer.

        Raises:
            NoAgent: none is there, it hung up, or it takes too long.
            Garbled: the answer is empty, or too long.
        """
        try:
            async with asyncio.timeout(timeout_s), self._connected() as (reader, writer):
                writer.write(string(request))
                await writer.drain()
                length = int.from_bytes(await reader.readexactly(LENGTH), "big")
                if not 0 < length <= MAX_ANSWER:
                    raise errors.Garbled(why=f"{_WHAT}: an answer of {length} bytes")
                return await reader.readexactly(length)
        except TimeoutError as cause:
            raise errors.NoAgent(reason="no answer in time") from cause
        except (OSError, asyncio.IncompleteReadError) as cause:
            raise errors.NoAgent(reason="hung up") from cause

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
        if not self._socket:
            raise errors.NoAgent(reason="none is forwarded")
        try:
            reader, writer = await asyncio.open_unix_connection(self._socket)
        except OSError as cause:
            raise errors.NoAgent(reason=cause.strerror or "not reachable") from cause
        try:
            yield reader, writer
        finally:
            writer.transport.abort()  # it does not wait for an agent that reads nothing
            with suppress(OSError):
                await writer.wait_closed()
