"""What an operator's ssh-agent is asked: which keys it has, and to sign one text that logs its operator on.

The key signs a `LogonText` that was compared field by field, wrapped up in a namespace of ours, and nothing else. Whose key it is,
the server knows; what an agent says of a key, and where its socket is, says nothing about a person.

Source: card-rules section 7.
"""

import asyncio
import base64
import hashlib
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Final

from kiosk.ports import Agent, AgentKey
from shared import errors
from shared.errors import KioskError
from shared.logon import LogonText
from shared.sessions import AgentProof
from shared.ssh.keys import key_of_certificate, write_key

LOOK_EVERY_S: Final = 15.0
"""How often an agent that is there is asked whether it still holds the key."""

_IN_9A: Final = frozenset({"PIV AUTH pubkey", "Public key for PIV Authentication"})
"""What OpenSC and ykcs11 call the key in 9A."""


def fingerprint(key: AgentKey) -> str:
    """Return what `ssh-add -l` shows of a key."""
    digest = hashlib.sha256(write_key(key_of_certificate(key.public_key))).digest()
    return f"SHA256:{base64.b64encode(digest).decode().rstrip('=')}"


def digest_of(public_key: bytes) -> bytes:
    """Return how a session remembers its key: SHA-256 of the DER SubjectPublicKeyInfo."""
    return hashlib.sha256(public_key).digest()


async def choose_key(agent: Agent, wanted: str = "") -> AgentKey:
    """Return the key that was named by its fingerprint or comment; without a name the only one, or the only one in a card's 9A.

    Raises:
        NoAgent, Garbled: there is no agent, or it answers nonsense.
        AgentKeyMissing: it holds no such key.
        Invalid: several may be meant.
    """
    held = await agent.keys()
    if wanted:
        found = [each for each in held if wanted in {fingerprint(each), each.comment}]
    elif len(held) > 1:
        found = [each for each in held if each.comment in _IN_9A] or list(held)
    else:
        found = list(held)
    if not found:
        raise errors.AgentKeyMissing
    if len(found) > 1:
        raise errors.Invalid(field="key", why=f"several may be meant: {_listed(found)}")
    return found[0]


async def prove_by_agent(
    agent: Agent, key: AgentKey, challenge: Callable[[], Awaitable[LogonText]]
) -> AgentProof:
    """Have the agent sign what `challenge` returns.

    Raises:
        NoAgent, AgentKeyMissing, AgentRefused, Garbled: the agent did not.
        KioskError: whatever `challenge` raised; nothing was signed.
    """
    text = await challenge()
    return AgentProof(text=bytes(text), signature=await agent.sign(key.public_key, text))


async def holds(agent: Agent, key_digest: bytes) -> bool:
    """Whether an agent is there and holds a key; one that does not answer does not."""
    try:
        return any(digest_of(each.public_key) == key_digest for each in await agent.keys())
    except KioskError:
        return False


async def detached(agent: Agent, key_digest: bytes) -> None:
    """Return when the agent is gone, or does not hold the key any more."""
    gone = asyncio.create_task(agent.gone())
    try:
        while not gone.done() and await holds(agent, key_digest):
            await asyncio.wait({gone}, timeout=LOOK_EVERY_S)
    finally:
        gone.cancel()
        with suppress(asyncio.CancelledError):
            await gone


def _listed(keys: Sequence[AgentKey]) -> str:
    return ", ".join(f"{fingerprint(each)} ({each.comment})" for each in keys)
