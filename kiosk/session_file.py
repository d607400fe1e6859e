"""The session of the command line, between one command and the next: a token in a file of the state folder.

Whoever can read the file as this user, on this machine, acts as the operator until the session ends. So it is made anew with
mode 0600, it counts with the certificate of this station alone, it ends when nobody uses it, and the next log-off or the
first refusal removes it. Unlike at the desk, it does not end when the operator's card is pulled: no program is there to see it.
"""

import os
import stat
from pathlib import Path
from typing import Final

from kiosk.backend.token import HeldToken
from shared import errors
from shared.secret import Secret
from shared.sessions import TOKEN_LENGTH

FILE: Final = "session"


class KeptSession:
    """The file, and the token in it."""

    def __init__(self, folder: Path) -> None:
        """Look into the state folder `folder`."""
        self._path = folder / FILE

    def lend(self, token: HeldToken) -> None:
        """Let calls go with the token that is kept, if there is one; it is forgotten when the server says that it ended.

        Raises:
            ConfigInvalid: others may read the file, or it is damaged.
        """
        kept = self._read()
        if kept is not None:
            token.keep(kept)
            token.when_ended(self._ended)

    def keep(self, token: Secret) -> None:
        """Keep a token for the commands to come.

        Raises:
            ConfigInvalid: it cannot be written.
        """
        self.forget()
        try:
            descriptor = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(token.reveal())
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

    def _read(self) -> Secret | None:
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
            value = file.read(TOKEN_LENGTH + 1)
        if len(value) != TOKEN_LENGTH:
            raise errors.ConfigInvalid(file=str(self._path), why="damaged; log on again")
        return Secret(value)
