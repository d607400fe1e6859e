"""The session of the command line, between one command and the next: a token in a file of the state folder.

Whoever can read the file as this user, on this machine, acts as the operator, or the holder, until the session ends. So it is made anew with
mode 0600, it counts with the certificate of this station alone, it ends when nobody uses it, and the next log-off or the
first refusal removes it. Unlike at the desk, it does not end when the operator's card is pulled: no program is there to see it.

A session that an ssh-agent began counts as long as that very agent is there and holds the key; the file says which. Each command
looks before the token is shown (`lent`), and while it works; a terminal that hangs up ends it, too. A socket's name says nothing
about a person.
"""

import asyncio
import os
import signal
import stat
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from kiosk.backend.client import GrpcBackend
from kiosk.backend.token import HeldToken
from kiosk.devices.ssh_agent import SshAgent
from kiosk.station.operator_agent import detached, holds
from shared import errors
from shared.secret import Secret
from shared.sessions import TOKEN_LENGTH, Leaving

FILE: Final = "session"
MAX_FILE: Final = 1024
HOLDERS: Final = b"H"
"""What follows the token of a holder."""

_BOUND: Final = struct.Struct(f">{TOKEN_LENGTH}s32sQQ")
"""Token, digest of the key, device and number of the agent's socket; its path follows."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Bound:
    """The one agent that a session hangs on: its socket, which no other one under this name is, and the key's digest."""

    socket: str
    device: int
    inode: int
    key_digest: bytes

    @classmethod
    def to(cls, socket: str, key_digest: bytes) -> "Bound":
        """Bind to the agent that is at `socket` now.

        Raises:
            NoAgent: none is.
        """
        path = os.path.realpath(socket)
        try:
            found = Path(path).stat()
        except OSError as cause:
            raise errors.NoAgent(reason=cause.strerror or "not reachable") from cause
        return cls(socket=path, device=found.st_dev, inode=found.st_ino, key_digest=key_digest)

    @property
    def agent(self) -> SshAgent:
        """The agent."""
        return SshAgent(self.socket)

    async def is_there(self) -> bool:
        """Whether it is still this agent, and still holds the key."""
        with suppress(errors.NoAgent):
            return Bound.to(self.socket, self.key_digest) == self and await holds(self.agent, self.key_digest)
        return False


class KeptSession:
    """The file, and the token in it."""

    def __init__(self, folder: Path) -> None:
        """Look into the state folder `folder`."""
        self._path = folder / FILE

    def lend(self, token: HeldToken) -> Bound | None:
        """Let calls go with the token that is kept, if there is one; it is forgotten when the server says that it ended.

        What it returns has to be there, or the session is over: `lent` looks.

        Raises:
            ConfigInvalid: others may read the file, or it is damaged.
        """
        kept = self._read()
        if kept is None:
            return None
        value, bound, holder = kept
        token.keep(value, holder=holder)
        token.when_ended(self._ended)
        return bound

    def keep(self, token: Secret, bound: Bound | None = None, *, holder: bool = False) -> None:
        """Keep a token for the commands to come, an operator's or a `holder`'s.

        Raises:
            ConfigInvalid: it cannot be written.
        """
        self.forget()
        try:
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(_written(token, bound) + (HOLDERS if holder else b""))
        except OSError as cause:
            raise errors.ConfigInvalid(
                file=str(self._path), why=cause.strerror or "cannot be written"
            ) from cause

    def forget(self) -> bool:
        """Remove the file; return whether there was one."""
        try:
            self._path.unlink()
        except FileNotFoundError:
            return False
        return True

    def _ended(self) -> None:
        self.forget()

    def _read(self) -> tuple[Secret, Bound | None, bool] | None:
        try:
            descriptor = os.open(self._path, os.O_RDONLY | os.O_NOFOLLOW)
        except FileNotFoundError:
            return None
        except OSError as cause:
            raise errors.ConfigInvalid(
                file=str(self._path), why=cause.strerror or "cannot be read"
            ) from cause
        with os.fdopen(descriptor, "rb") as file:
            if stat.S_IMODE(os.fstat(descriptor).st_mode) & 0o077:
                raise errors.ConfigInvalid(
                    file=str(self._path), why="others may read it (it needs mode 0600)"
                )
            value = file.read(MAX_FILE)
        if len(value) == TOKEN_LENGTH:
            return Secret(value), None, False
        if len(value) == TOKEN_LENGTH + len(HOLDERS) and value.endswith(HOLDERS):
            return Secret(value[:TOKEN_LENGTH]), None, True
        if not _BOUND.size < len(value) < MAX_FILE:
            raise errors.ConfigInvalid(file=str(self._path), why="damaged; log on again")
        token, key_digest, device, inode = _BOUND.unpack_from(value)
        socket = os.fsdecode(value[_BOUND.size :])
        bound = Bound(socket=socket, device=device, inode=inode, key_digest=key_digest)
        return Secret(token), bound, False


@asynccontextmanager
async def lent(kept: KeptSession, line: GrpcBackend) -> AsyncIterator[Bound | None]:
    """Let calls over `line` go with the session that is kept; one of an agent that is gone ends, now or meanwhile.

    What is yielded is the agent that began it; None where a card did.

    Raises:
        ConfigInvalid: others may read the file, or it is damaged.
        SessionEnded: the agent that began it is gone, or does not hold the key any more.
    """
    bound = kept.lend(line.token)
    if bound is None:
        yield None
        return
    if not await bound.is_there():
        await _detach(kept, line)
        raise errors.SessionEnded
    over = asyncio.create_task(detached(bound.agent, bound.key_digest))
    ending = asyncio.create_task(_end(over, kept, line))
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGHUP, over.cancel)
    try:
        yield bound
    finally:
        loop.remove_signal_handler(signal.SIGHUP)
        if not over.done():
            ending.cancel()
        with suppress(asyncio.CancelledError):
            await ending  # the server is told before the line closes


async def _end(over: "asyncio.Task[None]", kept: KeptSession, line: GrpcBackend) -> None:
    """End the session once `over` is done, or cancelled by a terminal that hung up."""
    try:
        await asyncio.wait({over})
    finally:
        over.cancel()
    await _detach(kept, line)


async def _detach(kept: KeptSession, line: GrpcBackend) -> None:
    kept.forget()
    with suppress(errors.KioskError):  # a server that cannot be told ends it on its own
        await line.log_off(Leaving.DETACHED)


def _written(token: Secret, bound: Bound | None) -> bytes:
    if bound is None:
        return token.reveal()
    head = _BOUND.pack(token.reveal(), bound.key_digest, bound.device, bound.inode)
    return head + os.fsencode(bound.socket)
