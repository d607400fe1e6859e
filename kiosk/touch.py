"""What a command does where the server wants to know that somebody is there: the key behind the ssh-agent signs again, for a touch.

A session of a card in a reader is proven again at the desk alone: a command has nobody whom it could ask for the PIN a second
time, and ends with what the server said.
"""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from kiosk.commands import say
from kiosk.station import wording
from kiosk.station.logon import challenge_from
from kiosk.station.operator_agent import digest_of, prove_by_agent
from kiosk.wiring import Parts
from shared import errors
from shared.clock import SystemClock
from shared.logon import LogonPurpose

T = TypeVar("T")


async def touched(parts: Parts) -> bool:
    """Have the agent that logged on sign again; False where none did.

    Raises:
        PresenceNeeded: its key is not one that takes a touch each time.
        KioskError: agent, or server; `LogonRefused` where it was another key.
    """
    bound, line = parts.bound, parts.backend
    if bound is None:
        return False
    key = next(
        (each for each in await bound.agent.keys() if digest_of(each.public_key) == bound.key_digest), None
    )
    if key is None:
        raise errors.AgentKeyMissing
    say(wording.TOUCH)
    proof = await prove_by_agent(
        bound.agent, key, lambda: challenge_from(line, LogonPurpose.STEP_UP, SystemClock())
    )
    await line.step_up(proof)
    return True


async def with_touch(parts: Parts, act: Callable[[], Awaitable[T]]) -> T:
    """Do something; where it takes somebody's presence, have the agent show that, and do it once more.

    Raises:
        StepUpNeeded: a card logged on.
        KioskError: whatever `act` or `touched` raises.
    """
    try:
        return await act()
    except errors.StepUpNeeded:
        if not await touched(parts):
            raise
    return await act()
